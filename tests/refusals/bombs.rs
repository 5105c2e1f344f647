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
