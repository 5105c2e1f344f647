//! Evidence of unknown kind, evidence files, reports and policies: what is read can be written and read again.

use trust_store::report::Language;
use trust_store::{Evidence, Policy, ValidationReport};

pub(crate) fn run(input: &[u8]) {
    let mut evidence = Evidence::default();
    evidence.add("input", input);
    evidence.add("input", input);
    let parts = evidence.certificates.len() + evidence.crls.len() + evidence.ocsp.len() + evidence.tokens.len();
    assert!(parts <= 10_000);
    assert_eq!(evidence.unreadable.len(), usize::from(parts == 0));
    round(&evidence);
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(read) = Evidence::from_json(text) {
        round(&read);
        let mut twice = read.clone();
        twice.merge(read);
    }
    if let Ok(report) = serde_json::from_str::<ValidationReport>(text) {
        let _ = (
            report.sentence(Language::Japanese),
            report.sentence(Language::English),
            report.reason(),
        );
        let written = serde_json::to_string(&report).expect("it can be written");
        let again: ValidationReport = serde_json::from_str(&written).expect("what is written can be read");
        assert_eq!(again, report);
    }
    if let Ok(policy) = Policy::from_toml(text) {
        let again = Policy::from_toml(&policy.to_toml()).expect("what is written can be read");
        assert_eq!(again.digest(), policy.digest());
        assert_eq!(again, policy);
    }
}

fn round(evidence: &Evidence) {
    let again = Evidence::from_json(&evidence.to_json()).expect("what is written can be read");
    assert_eq!(again, *evidence);
    assert_eq!(again.digest(), evidence.digest());
}
