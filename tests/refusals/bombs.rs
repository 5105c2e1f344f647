//! Small inputs that would like to become large.

use super::*;

#[test]
fn bombs_are_not_unpacked_and_claims_not_believed() {
    let stage = stage();
    let pair = stage.pair();
    let good = stage.container(&pair, &stage.services.hpki().doctor(), |_, _| {});
    let parts = entries(&good);
    let changed = |change: &dyn Fn(&mut Vec<Entry>)| {
        let mut parts = parts.clone();
        change(&mut parts);
        archive(&parts)
    };
    let nested = |tag: &[u8], depth: usize| tag.repeat(depth);
    let many: Vec<Entry> = (0..60_000)
        .map(|number| Entry::new(&format!("images/{number}"), b""))
        .collect();
    let mut end_claims = good.clone();
    let end = end_claims.len() - 22;
    end_claims[end + 8..end + 20].fill(0xff);
    for (what, container) in [
        (
            "an entry that claims 4 GiB",
            changed(&|parts| parts[4].claimed = Some(u32::MAX - 1)),
        ),
        (
            "a signature that claims 4 GiB",
            changed(&|parts| parts[2].claimed = Some(u32::MAX - 1)),
        ),
        (
            "an envelope that claims 4 GiB",
            changed(&|parts| parts[3].claimed = Some(u32::MAX - 1)),
        ),
        (
            "a ZIP64 size without its field",
            changed(&|parts| parts[4].claimed = Some(u32::MAX)),
        ),
        ("a directory that claims the world", end_claims),
        (
            "a deflate bomb",
            changed(&|parts| {
                parts[4].bytes = vec![0; 1 << 20];
                parts[4].method = 8;
                parts[4].claimed = Some(u32::MAX - 1);
            }),
        ),
        (
            "sixty thousand empty files",
            changed(&|parts| parts.extend(many.iter().cloned())),
        ),
        (
            "CMS nested without end",
            changed(&|parts| parts[2].bytes = nested(b"\x30\x80", 2 << 20)),
        ),
        (
            "CMS that claims 4 GiB",
            changed(&|parts| parts[2].bytes = nested(b"\x30\x84\xff\xff\xff\xff", 1000)),
        ),
        (
            "an endless CMS string",
            changed(&|parts| parts[2].bytes = nested(b"\x24\x80\x04\x01\x00", 1 << 20)),
        ),
        (
            "a manifest of one opening tag after the other",
            changed(&|parts| parts[1].bytes = nested(b"<a>", 1 << 20)),
        ),
    ] {
        let reply = pair.clinic.submit(&stage.relay, &container);
        let refused = ["container_profile", "validation_failed"].contains(&reply.code().as_str());
        assert!(
            reply.status == 422 && refused,
            "{what}: {} {}",
            reply.status,
            String::from_utf8_lossy(&reply.body)
        );
    }
    assert_eq!(pair.clinic.submit(&stage.relay, &good).status, 201, "the relay goes on");
    well(&stage);
    println!(
        "the relay has had {} MiB",
        stage.relay.peak_memory().unwrap_or_default() >> 20
    );
}

/// The relay never reads into an image: it hashes the bytes, stores them and hands them out, whatever their header claims.
/// Only the client reads DICOM, `formats::dicom`, and there the bounds are tested.
#[test]
fn dicom_that_would_explode_in_a_reader_passes_as_plain_bytes() {
    let stage = Stage::new(&RelayOptions::default());
    let pair = stage.pair();
    let doctor = stage.services.hpki().doctor();
    let ordinary = stage.container(&pair, &doctor, |_, _| {});
    assert_eq!(pair.clinic.submit(&stage.relay, &ordinary).status, 201);
    // Explicit VR, little endian, as the kit's images are.
    let with = |tail: &[u8]| [kit::dicom(1, 1, 1), tail.to_vec()].concat();
    let sequence = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff";
    for (what, image) in [
        (
            "pixels that claim 4 GiB",
            with(b"\xe0\x7f\x10\x00OW\0\0\xfe\xff\xff\xff"),
        ),
        (
            "a text that claims 4 GiB",
            with(b"\xe0\x7f\x11\x00UT\0\0\xfe\xff\xff\xff"),
        ),
        ("sequences nested without end", with(&sequence.repeat(400_000))),
        (
            "a million empty elements",
            with(&b"\xe1\x7f\x10\x00LO\0\0".repeat(1_000_000)),
        ),
    ] {
        let before = stage.relay.peak_memory();
        let container = stage.container(&pair, &doctor, |_, files| files[2].1.clone_from(&image));
        let sent = pair.clinic.submit(&stage.relay, &container);
        assert_eq!(sent.status, 201, "{what}: {}", sent.json());
        if let (Some(before), Some(after)) = (before, stage.relay.peak_memory()) {
            assert!(
                after < before + (32 << 20),
                "{what}: {} MiB more",
                (after - before) >> 20
            );
        }
        let id = sent.json()["id"].as_str().unwrap().to_owned();
        let fetched = pair
            .hospital
            .get_as(&stage.relay, &format!("/v1/submissions/{id}/container"), "staff", &[]);
        assert!(fetched.status == 200 && fetched.body == container, "{what}");
    }
    well(&stage);
}
