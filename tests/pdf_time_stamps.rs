//! Several document time stamps in one PDF: each newer one keeps those before it alive, and a broken link keeps nothing.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use formats::digest::DigestAlgorithm;
use formats::pdf::SignedPdf;
use kit::pdf::{LETTER, Look, STORE, pdf, signed, stored};
use kit::{Ca, ContainerOptions, CrlSpec, TestHpki, TokenSpec, TsaSpec};
use time::{Duration, OffsetDateTime};
use trust_store::policy::Level;
use trust_store::{Evidence, Subject, TrustStore, ValidationReport};

/// Who stamps: authorities that end one after the other.
struct Bench {
    hpki: TestHpki,
    now: OffsetDateTime,
    trust: TrustStore,
}

impl Bench {
    fn new() -> Self {
        let now = OffsetDateTime::now_utc();
        let (hpki, folder) = (TestHpki::new("http://127.0.0.1:9", now), tempfile::tempdir().unwrap());
        hpki.write_trust(folder.path());
        // The CAs of the test HPKI sign with RSA-2048, which real ones will not do any more by then.
        std::fs::write(
            folder.path().join("policy.toml"),
            "[algorithms]\nrsa2048 = \"2060-12-31\"\n",
        )
        .unwrap();
        let trust = client::trust::load(folder.path()).unwrap();
        Self { hpki, now, trust }
    }

    fn years(&self, years: i64) -> OffsetDateTime {
        self.now + Duration::days(365 * years)
    }

    /// A stamp made in so many years by an authority that ends in so many.
    fn authority(&self, made: i64, ends: i64) -> TokenSpec {
        TokenSpec {
            certificate: Some(self.hpki.tsa_with(TsaSpec {
                serial: 0x40 + u64::try_from(ends).unwrap(),
                not_after: Some(self.years(ends)),
                ..TsaSpec::default()
            })),
            ..TokenSpec::at(self.years(made))
        }
    }

    /// What the authorities' root says in so many years.
    fn list(&self, years: i64) -> Vec<u8> {
        let at = self.years(years) - Duration::hours(1);
        self.hpki.crl(Ca::TsaRoot, CrlSpec::at(at))
    }

    /// A letter whose own stamp ends in three years.
    fn letter(&self) -> Vec<u8> {
        signed(&pdf(&LETTER), Look::PLAIN, |ranges| {
            let options = ContainerOptions {
                stamp: Some(self.authority(0, 3)),
                signing_time: None,
            };
            self.hpki.signature(&self.hpki.doctor(), ranges, options)
        })
    }

    /// With a store of `lists` and a document time stamp over it, the `number`th; `sound`: over what is there.
    fn renewed(&self, pdf: &[u8], number: u32, lists: &[Vec<u8>], token: TokenSpec, sound: bool) -> Vec<u8> {
        let earlier: String = (0..number).map(|one| format!("{} 0 R ", field(one))).collect();
        let look = Look {
            form: "ETSI.RFC3161",
            more: "",
            number: field(number),
            earlier: &earlier,
            catalog: STORE,
            ..Look::PLAIN
        };
        signed(&stored(pdf, &earlier, lists, &[]), look, |ranges| {
            let over = if sound { ranges } else { b"something else" };
            let imprint = DigestAlgorithm::Sha256.digest(over);
            self.hpki.tsa_token(DigestAlgorithm::Sha256, &imprint, token)
        })
    }

    /// In so many years, with what the root says then.
    fn judge(&self, pdf: &[u8], years: i64) -> ValidationReport {
        let mut evidence = Evidence::default();
        evidence.add("tsa.crl", &self.list(years));
        let subject = Subject::Pdf(Box::new(SignedPdf::of(pdf)));
        let validated = self.trust.validate(subject, evidence, self.years(years));
        let report = validated.report().clone();
        assert_eq!(report.replay().unwrap(), report);
        report
    }
}

/// Number of a field: the signature, then the stamps.
fn field(number: u32) -> u32 {
    if number == 0 { 20 } else { 58 + 2 * number }
}

fn told(report: &ValidationReport) -> (bool, Option<&str>) {
    (report.passed(), report.level.as_deref())
}

#[test]
fn stamps_renewed_in_time_keep_a_letter_for_decades() {
    let bench = Bench::new();
    let mut lists: Vec<Vec<u8>> = bench
        .hpki
        .evidence(bench.now, &[])
        .into_iter()
        .map(|(_, list)| list)
        .collect();
    let first = bench.renewed(&bench.letter(), 1, &lists, bench.authority(0, 5), true);
    lists.push(bench.list(4));
    let second = bench.renewed(&first, 2, &lists, bench.authority(4, 8), true);
    let unsound = bench.renewed(&first, 2, &lists, bench.authority(4, 8), false);
    lists.push(bench.list(7));
    let third = bench.renewed(&second, 3, &lists, bench.authority(7, 11), true);
    let over_unsound = bench.renewed(&unsound, 3, &lists, bench.authority(7, 11), true);
    let (long, none) = ((true, Some(Level::BLta.name())), (false, Some(Level::BB.name())));
    for (name, pdf, years, expected) in [
        ("first", &first, 2, long),
        ("first", &first, 6, none),
        ("second", &second, 6, long),
        ("second", &second, 9, none),
        ("third", &third, 9, long),
        // The newest store lies behind the first stamp, and no sound one covers it.
        ("unsound", &unsound, 4, (true, Some(Level::BLt.name()))),
        ("unsound", &unsound, 6, none),
        ("over unsound", &over_unsound, 9, none),
    ] {
        let report = bench.judge(pdf, years);
        assert_eq!(told(&report), expected, "{name} in {years} years: {:#?}", report.checks);
        let warned = report
            .checks
            .iter()
            .any(|check| check.detail.contains("proves nothing"));
        assert!(
            !name.contains("unsound") || warned,
            "{name} in {years} years says nothing of the broken stamp"
        );
    }
    // What was known by the third is what the second knew, and more.
    let report = bench.judge(&third, 9);
    assert_eq!(report.timestamps.len(), 4, "{:#?}", report.timestamps);
}

#[test]
fn stamps_out_of_their_order_prove_nothing_they_do_not_cover() {
    let bench = Bench::new();
    let lists: Vec<Vec<u8>> = bench
        .hpki
        .evidence(bench.now, &[])
        .into_iter()
        .map(|(_, list)| list)
        .collect();
    // The stamp that lasts is within; the one without has ended and keeps nothing, and takes nothing away.
    let within = bench.renewed(&bench.letter(), 1, &lists, bench.authority(0, 11), true);
    let both = bench.renewed(&within, 2, &lists, bench.authority(1, 3), true);
    assert_eq!(told(&bench.judge(&within, 6)), (true, Some(Level::BLta.name())));
    assert_eq!(told(&bench.judge(&both, 6)), (true, Some(Level::BLt.name())));
    // More than a PDF may carry, one after the other.
    let mut many = bench.letter();
    for number in 1..=16 {
        many = bench.renewed(&many, number, &lists, bench.authority(0, 5), true);
    }
    let report = bench.judge(&many, 0);
    assert!(!report.passed(), "{:#?}", report.checks);
}
