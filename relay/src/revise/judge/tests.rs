//! What revises a verdict: a revocation that the new evidence shows, by the times the verdict was made with.

use time::Duration;

use super::*;
use crate::revise::watch::entry;

const SIGNED: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;
const NOW: OffsetDateTime = SIGNED.saturating_add(Duration::days(900));

fn card() -> SignerSummary {
    let text = |text: &str| text.to_owned();
    SignerSummary {
        subject: text("CN=card"),
        issuer: text("CN=ca"),
        serial: text("0a"),
        not_before: text("1969-01-01T00:00:00Z"),
        not_after: text("1974-01-01T00:00:00Z"),
        hc_roles: Vec::new(),
    }
}

fn one(signer: &SignerSummary, sub_indication: Option<SubIndication>, time: OffsetDateTime) -> OfOne<'_> {
    let passed = sub_indication.is_none();
    OfOne {
        indication: if passed {
            Indication::TotalPassed
        } else {
            Indication::Indeterminate
        },
        sub_indication,
        signer: Some(signer),
        time: Some(time),
    }
}

#[test]
fn a_revocation_that_is_there_without_the_new_evidence_revises_nothing() {
    use SubIndication::{OutOfBoundsNoPoe, Revoked, RevokedNoPoe, TryLater};
    let card = card();
    let (passed, aged) = (one(&card, None, SIGNED), one(&card, Some(RevokedNoPoe), NOW));
    let revoked = one(&card, Some(Revoked), SIGNED);
    let stamp = entry("CN=tsa-ca", "0b", SIGNED + Duration::days(500), Part::Stamp);
    let earlier = entry("CN=ca", "0a", SIGNED - Duration::days(1), Part::Signer);
    let later = entry("CN=ca", "0a", SIGNED + Duration::days(1), Part::Signer);

    assert!(is_because(&[&earlier], &passed, &passed, &revoked));
    assert!(is_because(
        &[&earlier],
        &passed,
        &one(&card, Some(OutOfBoundsNoPoe), NOW),
        &aged
    ));
    assert!(
        !is_because(&[&stamp], &passed, &aged, &aged),
        "its stamp has ended, and its card was revoked since"
    );
    assert!(
        !is_because(&[&later], &passed, &one(&card, Some(OutOfBoundsNoPoe), NOW), &aged),
        "revoked after it signed, its stamp has ended"
    );
    assert!(!is_because(&[&earlier], &passed, &passed, &passed));
    assert!(
        is_because(&[&stamp], &passed, &passed, &aged),
        "the stamp itself is revoked"
    );
    assert!(is_because(&[&stamp], &passed, &one(&card, Some(TryLater), NOW), &aged));
}
