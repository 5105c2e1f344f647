//! Signatures and time stamps that do not pass.

use super::*;

fn sub_indication(reply: &Reply) -> String {
    reply.json()["report"]["sub_indication"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn signatures_that_do_not_pass() {
    let stage = stage();
    let pair = stage.pair();
    let hpki = stage.services.hpki();
    let card = |spec: CardSpec| hpki.card(spec);
    let yesterday = OffsetDateTime::now_utc() - Duration::days(1);
    let rows: Vec<(&str, Card, &str)> = vec![
        (
            "a pharmacist on a referral",
            hpki.pharmacist(),
            "SIG_CONSTRAINTS_FAILURE",
        ),
        ("a card without profession", hpki.no_role(), "SIG_CONSTRAINTS_FAILURE"),
        ("the authentication card", hpki.auth_card(), "SIG_CONSTRAINTS_FAILURE"),
        ("a revoked card", card(revoked()), "REVOKED"),
        (
            "an expired card",
            card(CardSpec {
                not_after: Some(yesterday),
                serial: 0x902,
                ..CardSpec::doctor()
            }),
            "EXPIRED",
        ),
        (
            "a card of another policy",
            card(CardSpec {
                policies: vec![kit::card::TEST_SIGNING_POLICY],
                serial: 0x903,
                ..CardSpec::doctor()
            }),
            "SIG_CONSTRAINTS_FAILURE",
        ),
        (
            "a card that no CA issued",
            card(CardSpec {
                issuer_key: Some(Key::Spare),
                serial: 0x904,
                ..CardSpec::doctor()
            }),
            "NO_CERTIFICATE_CHAIN_FOUND",
        ),
    ];
    for (what, card, sub) in &rows {
        let container = stage.container(&pair, card, |_, _| {});
        let reply = refused(&stage, &pair, what, &container, "validation_failed");
        assert_eq!(sub_indication(&reply), *sub, "{what}: {}", reply.json());
    }
    assert_eq!(accounted(&stage, &pair, "validation_failed"), rows.len());
    well(&stage);
}

#[test]
fn time_stamps_that_prove_nothing() {
    let stage = stage();
    let pair = stage.pair();
    let hpki = stage.services.hpki();
    let stamped = |stamp: Option<TokenSpec>| {
        let (envelope, files) = pair.referral(|_, _| {});
        let options = ContainerOptions {
            stamp,
            signing_time: None,
        };
        hpki.container(&hpki.doctor(), &envelope, &files, options)
    };
    let good = TokenSpec::at(OffsetDateTime::now_utc());
    let no_authority = TokenSpec {
        certificate: Some(hpki.tsa_with(TsaSpec {
            purposes: Vec::new(),
            serial: 0x31,
            ..TsaSpec::default()
        })),
        ..good.clone()
    };
    let signing_ca = TokenSpec {
        certificate: Some(hpki.tsa_with(TsaSpec {
            ca: kit::Ca::Sign,
            serial: 0x32,
            ..TsaSpec::default()
        })),
        ..good.clone()
    };
    let forged = TokenSpec {
        key: Key::Spare,
        ..good
    };
    for (what, container, expected) in [
        (
            "an authority without the key purpose",
            stamped(Some(no_authority)),
            "SIG_CONSTRAINTS_FAILURE",
        ),
        (
            "an authority below the wrong anchor",
            stamped(Some(signing_ca)),
            "NO_CERTIFICATE_CHAIN_FOUND",
        ),
        (
            "a token signed by another key",
            stamped(Some(forged)),
            "SIG_CRYPTO_FAILURE",
        ),
        ("no stamp", stamped(None), "SIG_CONSTRAINTS_FAILURE"),
        ("the stamp of another signature", swapped(&stage, &pair), "HASH_FAILURE"),
    ] {
        let reply = refused(&stage, &pair, what, &container, "validation_failed");
        assert_eq!(sub_indication(&reply), expected, "{what}: {}", reply.json());
    }
    well(&stage);
}

/// A good token, moved from another signature.
fn swapped(stage: &Stage, pair: &Pair) -> Vec<u8> {
    let hpki = stage.services.hpki();
    let mut parts = entries(&stage.container(pair, &hpki.doctor(), |_, _| {}));
    let bare = |content: &[u8]| {
        let options = ContainerOptions {
            stamp: None,
            signing_time: None,
        };
        hpki.signature(&hpki.doctor(), content, options)
    };
    let other = bare(b"another manifest");
    let value = SignedData::parse(&other, Profile::Document).unwrap().signer.signature;
    let imprint = DigestAlgorithm::Sha256.digest(&value);
    let token = hpki.tsa_token(
        DigestAlgorithm::Sha256,
        &imprint,
        TokenSpec::at(OffsetDateTime::now_utc()),
    );
    parts[2].bytes = with_timestamp(&bare(&parts[1].bytes), &token).unwrap();
    archive(&parts)
}
