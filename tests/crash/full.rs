//! A disk that fills while an upload is under way. Needs strace; said by name where it is missing.

use formats::wire::Receipt;
use http::Request;
use kit::desk::append;
use kit::stage::Stage;
use kit::{Pair, RelayOptions};

use super::letters::written;
use super::sync::{Tracer, strace_or_skip};
use super::tally::{Ledger, judge};

#[test]
fn a_disk_that_fills_during_an_upload_is_said_and_deliveries_go_on() {
    if !strace_or_skip("a_disk_that_fills_during_an_upload_is_said_and_deliveries_go_on") {
        return;
    }
    let stage = Stage::new(&RelayOptions::default());
    let relay = &stage.relay;
    let pair = stage.pair();
    let doctor = stage.services.hpki().doctor();
    let earlier = stage.container(&pair, &doctor, |_, _| {});
    let receipt = pair.clinic.submit(relay, &earlier);
    assert_eq!(receipt.status, 201, "{}", receipt.json());

    // Half of a second letter is acknowledged; then there is no room for a byte more of it.
    let container = stage.container(&pair, &doctor, |_, _| {});
    let begun = pair.clinic.begin_upload(relay, container.len() as u64, None);
    let place = begun.header("location").to_owned();
    let https = pair.clinic.https(relay);
    let half = container.len() / 2;
    let first = https.send(append(&place, 0), &container[..half]).unwrap();
    assert_eq!(first.status, 204, "{}", first.json());
    let (_, id) = place.rsplit_once('/').unwrap();
    let bytes = relay.data().join("uploads").join(id).join("container.asice.sealed");
    let writes = "write,writev,pwrite64,pwritev";
    let mut tracer = Tracer::on(relay, writes, "error=ENOSPC", &[bytes]);
    let full = https.send(append(&place, half as u64), &container[half..]).unwrap();
    assert_eq!(
        (full.status, full.code().as_str()),
        (507, "no_space"),
        "{}",
        relay.log()
    );

    // The letter accepted before can be had, and its delivery recorded.
    delivered(&stage, &pair, &receipt.json()["id"], &earlier);
    assert_eq!(relay.portal("/readyz").status, 200);

    // With room again the upload goes on from what was acknowledged.
    tracer.detach();
    let head = https
        .send(Request::head(&place).header("tus-resumable", "1.0.0"), &[])
        .unwrap();
    let offset: usize = head.header("upload-offset").parse().unwrap();
    assert_eq!(offset, half, "what was acknowledged is kept, and no more");
    let rest = https.send(append(&place, offset as u64), &container[offset..]).unwrap();
    assert_eq!(rest.status, 204, "{}", rest.json());
    let second = pair.clinic.submit_upload(relay, &place);
    assert_eq!(second.status, 201, "{}", second.json());
    delivered(&stage, &pair, &second.json()["id"], &container);
    let mut ledger = Ledger::new(&pair);
    for (bytes, answer) in [(earlier, receipt), (container, second)] {
        let receipt: Receipt = serde_json::from_value(answer.json()).unwrap();
        ledger
            .acknowledged
            .push((written(&pair, receipt.id.clone(), &bytes), receipt));
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    judge("disk full during an upload", &stage, &runtime, &[ledger]);
}

fn delivered(stage: &Stage, pair: &Pair, id: &serde_json::Value, container: &[u8]) {
    let id = id.as_str().unwrap();
    let fetched = pair
        .hospital
        .get_as(&stage.relay, &format!("/v1/submissions/{id}/container"), "staff", &[]);
    assert!(fetched.status == 200 && fetched.body == container, "{}", fetched.status);
    let acknowledge = Request::post(format!("/v1/submissions/{id}/acknowledgement")).header("hikyaku-person", "staff");
    let acknowledged = pair.hospital.https(&stage.relay).send(acknowledge, &[]).unwrap();
    assert_eq!(acknowledged.status, 200);
}
