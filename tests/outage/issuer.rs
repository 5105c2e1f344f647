//! A CA whose certificate nobody has: it is fetched where the card says, if the operator lists that host.

use super::*;
use kit::CardSpec;
use kit::x509::issuer_location;

/// A letter whose card says where its CA's certificate is, and does not bring it along.
fn letter(stage: &Stage, pair: &Pair, address: String) -> Vec<u8> {
    let spec = CardSpec {
        extra_extensions: vec![issuer_location(&address)],
        ..CardSpec::doctor()
    };
    let mut card = stage.services.hpki().card(spec);
    card.chain.clear();
    stage.container(pair, &card, |_, _| {})
}

#[test]
fn the_certificate_of_an_issuer_is_fetched_from_a_listed_host_and_from_no_other() {
    let stage = Stage::new(&RelayOptions::default());
    let known = stage.relay.folder().join("trust/intermediates/test-sign-ca.der");
    std::fs::remove_file(known).unwrap();
    stage.relay.kill9();
    stage.relay.restart();
    let pair = stage.pair();
    let sign = |host: &str| {
        let port = stage.services.url().rsplit(':').next().unwrap().to_owned();
        letter(&stage, &pair, format!("http://{host}:{port}/ca/sign.der"))
    };
    let refused = pair.clinic.submit(&stage.relay, &sign("localhost"));
    let report = refused.json()["report"].clone();
    assert_eq!(
        (refused.status, report["sub_indication"].as_str()),
        (422, Some("NO_CERTIFICATE_CHAIN_FOUND")),
        "{report}"
    );
    assert_eq!(stage.services.requests("/ca/"), 0, "localhost is not listed");
    // Another CA's certificate there helps nobody: what is fetched is trusted for nothing.
    let other = format!("{}/ca/auth.der", stage.services.url());
    let refused = pair.clinic.submit(&stage.relay, &letter(&stage, &pair, other));
    assert_eq!(
        (refused.status, stage.services.requests("/ca/")),
        (422, 1),
        "{}",
        refused.json()
    );
    // Any sender could write this address: of a host that is listed alone it reaches no port but that of the scheme.
    let config = std::fs::read_to_string(stage.relay.config()).unwrap();
    let authority = stage.services.url().trim_start_matches("http://");
    std::fs::write(stage.relay.config(), config.replace(&format!(", \"{authority}\""), "")).unwrap();
    stage.relay.stop();
    stage.relay.restart();
    let refused = pair.clinic.submit(&stage.relay, &sign("127.0.0.1"));
    assert_eq!(refused.status, 422, "{}", refused.json());
    assert_eq!(stage.services.requests("/ca/sign.der"), 0, "its port is not listed");
    std::fs::write(stage.relay.config(), config).unwrap();
    stage.relay.stop();
    stage.relay.restart();
    let accepted = pair.clinic.submit(&stage.relay, &sign("127.0.0.1"));
    assert_eq!(accepted.status, 201, "{}", accepted.json());
    assert_eq!(stage.services.requests("/ca/sign.der"), 1);
}
