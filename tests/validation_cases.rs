//! Makes the folders of `fixtures/validation` from the kit: a good submission, and for each case the one thing that is wrong.

use std::fs;
use std::path::Path;

use formats::asice::{FilePlan, SignedManifest, manifest, write};
use formats::cades::{Profile, SignedData, with_timestamp};
use formats::digest::DigestAlgorithm;
use formats::envelope::Envelope;
use kit::{Ca, Card, CardSpec, ContainerOptions, Revoked, TestHpki, TokenSpec};
use time::format_description::well_known::Rfc3339;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

#[path = "validation_cases/archive_stamps.rs"]
mod archive_stamps;
#[path = "validation_cases/archives.rs"]
mod archives;
#[path = "validation_cases/containers.rs"]
mod containers;
#[path = "validation_cases/evidence.rs"]
mod evidence;
#[path = "validation_cases/first.rs"]
mod first;
#[path = "validation_cases/hindsight.rs"]
mod hindsight;
#[path = "validation_cases/ocsp.rs"]
mod ocsp;
#[path = "validation_cases/routes.rs"]
mod routes;
#[path = "validation_cases/signers.rs"]
mod signers;
#[path = "validation_cases/stamps.rs"]
mod stamps;
#[path = "validation_cases/values.rs"]
mod values;

const NOW: OffsetDateTime = datetime!(2026-11-20 03:00:00 UTC);
const ANY_POLICY: const_oid::ObjectIdentifier = const_oid::ObjectIdentifier::new_unwrap("2.5.29.32.0");
const PASSED: (&str, Option<&str>) = ("TOTAL-PASSED", None);

const fn failed(sub: &'static str) -> (&'static str, Option<&'static str>) {
    ("TOTAL-FAILED", Some(sub))
}

const fn indeterminate(sub: &'static str) -> (&'static str, Option<&'static str>) {
    ("INDETERMINATE", Some(sub))
}

/// Makes the first signature over the bytes given, in place of the usual one.
type Sign = Box<dyn Fn(&TestHpki, &[u8]) -> Vec<u8>>;

/// A good submission, to be spoilt in one place.
struct Plan {
    hpki: TestHpki,
    card: CardSpec,
    /// The signing CA's certificate, in signature and trust directory, in place of the usual one.
    sign_ca: Option<Vec<u8>>,
    sign: Option<Sign>,
    stamp: Option<TokenSpec>,
    /// Added after the stamp, as they are.
    #[expect(clippy::type_complexity, reason = "a name for it would say less than it does")]
    tokens: Box<dyn Fn(&TestHpki, &[u8]) -> Vec<Vec<u8>>>,
    /// Cards that sign too.
    others: Vec<CardSpec>,
    envelope: fn(&mut Envelope),
    /// Bare signature over this, and whether it is written beside it.
    bare: Option<(&'static str, Option<&'static str>)>,
    now: OffsetDateTime,
    crl_at: OffsetDateTime,
    revoked: Vec<(Ca, Revoked)>,
    policy: &'static str,
    edit: Box<dyn Fn(Vec<u8>) -> Vec<u8>>,
    after: Box<dyn Fn(&Path)>,
    missing: usize,
    /// What one of the checks must say.
    says: Option<&'static str>,
}

impl Plan {
    fn good() -> Self {
        Self {
            hpki: TestHpki::new("http://crl.example", NOW),
            card: CardSpec::doctor(),
            sign_ca: None,
            sign: None,
            stamp: Some(TokenSpec::at(hours(-1))),
            tokens: Box::new(|_, _| Vec::new()),
            others: Vec::new(),
            envelope: |_| {},
            bare: None,
            now: NOW,
            crl_at: hours(-6),
            revoked: Vec::new(),
            policy: "",
            edit: Box::new(|container| container),
            after: Box::new(|_| {}),
            missing: 0,
            says: None,
        }
    }

    fn issued(&self, spec: &CardSpec) -> Card {
        let mut card = self.hpki.card(spec.clone());
        if let (Some(ca), Some(issuer)) = (&self.sign_ca, card.chain.first_mut()) {
            issuer.clone_from(ca);
        }
        card
    }

    /// The signature over `content`, with its stamps.
    fn signature(&self, content: &[u8]) -> Vec<u8> {
        let unstamped = ContainerOptions {
            stamp: None,
            signing_time: None,
        };
        let mut signature = match &self.sign {
            Some(sign) => sign(&self.hpki, content),
            None => self.hpki.signature(&self.issued(&self.card), content, unstamped),
        };
        let stamps = self
            .stamp
            .clone()
            .into_iter()
            .map(|spec| token(&self.hpki, &signature, spec));
        let mut stamps: Vec<Vec<u8>> = stamps.collect();
        stamps.extend((self.tokens)(&self.hpki, &signature));
        for stamp in stamps {
            signature = with_timestamp(&signature, &stamp).unwrap();
        }
        signature
    }

    fn container(&self) -> Vec<u8> {
        let (mut envelope, files) = kit::referral();
        envelope.id = "01934c2e-7a00-7000-8000-000000000001".parse().unwrap();
        (self.envelope)(&mut envelope);
        let mut all = vec![("submission.json".to_owned(), envelope.to_json().unwrap())];
        all.extend(files);
        let plan = |(path, bytes): &(String, Vec<u8>)| FilePlan::measure(path, &mut bytes.as_slice()).unwrap();
        let plans: Vec<FilePlan> = all.iter().map(plan).collect();
        let mut signed = vec![manifest::encode(1, &plans)];
        let mut signatures = vec![self.signature(&signed[0])];
        for (number, other) in (2..).zip(&self.others) {
            let manifest = manifest::encode(number, &plans);
            signatures.push(
                self.hpki
                    .signature(&self.issued(other), &manifest, ContainerOptions::at(hours(-1))),
            );
            signed.push(manifest);
        }
        let pairs: Vec<SignedManifest> = signed
            .iter()
            .zip(&signatures)
            .map(|(manifest, signature)| SignedManifest { manifest, signature })
            .collect();
        let mut container = Vec::new();
        write(&mut container, &pairs, &plans, |path| {
            let file = all.iter().find(|(known, _)| known == path);
            Ok(file.unwrap().1.as_slice())
        })
        .unwrap();
        (self.edit)(container)
    }
}

fn hours(count: i64) -> OffsetDateTime {
    NOW + Duration::hours(count)
}

/// A token over the value of `signature`.
fn token(hpki: &TestHpki, signature: &[u8], spec: TokenSpec) -> Vec<u8> {
    let parsed = SignedData::parse(signature, Profile::Document).unwrap();
    let imprint = DigestAlgorithm::Sha256.digest(&parsed.signer.signature);
    hpki.tsa_token(DigestAlgorithm::Sha256, &imprint, spec)
}

/// The plan for `name`, what is to come of it, and why.
type Row = (
    &'static str,
    (&'static str, Option<&'static str>),
    &'static str,
    &'static str,
    fn(&mut Plan),
);

/// Writes every case below `root`, each folder anew.
pub(crate) fn write_all(root: &Path) {
    let all = [
        first::ROWS,
        signers::ROWS,
        routes::ROWS,
        stamps::ROWS,
        evidence::ROWS,
        ocsp::ROWS,
        containers::ROWS,
        archives::ROWS,
        archive_stamps::ROWS,
        values::ROWS,
        hindsight::ROWS,
    ];
    for (name, (indication, sub), why, spec, spoil) in all.into_iter().flatten() {
        let folder = root.join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let mut plan = Plan::good();
        spoil(&mut plan);
        match plan.bare {
            Some((content, beside)) => {
                fs::write(folder.join("signature.p7s"), plan.signature(content.as_bytes())).unwrap();
                if let Some(beside) = beside {
                    fs::write(folder.join("content"), beside).unwrap();
                }
            }
            None => fs::write(folder.join("container.asice"), plan.container()).unwrap(),
        }
        plan.hpki.write_trust(&folder.join("trust"));
        if let Some(ca) = &plan.sign_ca {
            fs::write(folder.join("trust/intermediates/test-sign-ca.der"), ca).unwrap();
        }
        fs::write(folder.join("trust/policy.toml"), plan.policy).unwrap();
        plan.hpki
            .write_evidence(&folder.join("evidence"), plan.crl_at, &plan.revoked);
        (plan.after)(&folder);
        let sub = sub.map_or_else(String::new, |sub| format!("sub_indication = \"{sub}\"\n"));
        let says = plan
            .says
            .map_or_else(String::new, |says| format!("says = \"{says}\"\n"));
        let now = plan.now.format(&Rfc3339).unwrap();
        let missing = plan.missing;
        let case = format!(
            "why = \"{why}\"\nspec = \"{spec}\"\nnow = \"{now}\"\nindication = \"{indication}\"\n{sub}missing = {missing}\n{says}"
        );
        fs::write(folder.join("case.toml"), case).unwrap();
    }
}

fn signature_value(container: &[u8]) -> Vec<u8> {
    let entry = entries(container)
        .into_iter()
        .find(|(name, ..)| name.ends_with(".p7s"))
        .unwrap();
    SignedData::parse(&container[entry.1..entry.2], Profile::Document)
        .unwrap()
        .signer
        .signature
}

/// Name, begin and end of each stored entry.
fn entries(container: &[u8]) -> Vec<(String, usize, usize)> {
    let number = |at: usize, len: usize| {
        container[at..at + len]
            .iter()
            .rev()
            .fold(0_usize, |number, byte| number << 8 | usize::from(*byte))
    };
    let (mut at, mut found) = (0, Vec::new());
    while container[at..].starts_with(b"PK\x03\x04") {
        let begin = at + 30 + number(at + 26, 2) + number(at + 28, 2);
        let name = String::from_utf8_lossy(&container[at + 30..at + 30 + number(at + 26, 2)]).into_owned();
        found.push((name, begin, begin + number(at + 18, 4)));
        at = begin + number(at + 18, 4);
    }
    found
}

/// The container with `old` replaced where it first occurs, and the entry's CRC mended: ZIP has nothing to complain of.
fn patched(mut container: Vec<u8>, old: &[u8], new: &[u8]) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let at = container
        .windows(old.len())
        .position(|window| window == old)
        .expect("what is to be replaced");
    let (_, begin, end) = entries(&container).into_iter().find(|(_, _, end)| at < *end).unwrap();
    let before = crc(&container[begin..end]).to_le_bytes();
    container[at..at + old.len()].copy_from_slice(new);
    let after = crc(&container[begin..end]).to_le_bytes();
    for at in 0..container.len() - 4 {
        if container[at..at + 4] == before {
            container[at..at + 4].copy_from_slice(&after);
        }
    }
    container
}

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}
