//! A container in the reading profile: read, judged, unpacked, repacked.

use std::io::Cursor;

use formats::asice::{Container, Intake, IntakeError, Limits, Severity, Unpacker, repack};
use formats::digest::{DigestAlgorithm, sha256};
use trust_store::Subject;

use super::house::house;
use super::sums::prepared;

/// Files of a fuzzed container may inflate this far before the target lets be what is in them.
const CONTENT: u64 = 8 << 20;

pub(crate) fn run(input: &[u8]) {
    let Some((_, bytes)) = prepared(input) else { return };
    let container = Container::read(&mut Cursor::new(&bytes)).expect("memory does not fail");
    assert_eq!(container.sha256, sha256(&bytes));
    assert_eq!(container.size, bytes.len() as u64);
    assert!(
        container.findings.len() <= 64 + 8 * bytes.len() / 46,
        "findings grow beyond entries"
    );
    for finding in &container.findings {
        assert!(finding.detail.len() <= 4096 + 2 * bytes.len(), "{}", finding.code);
    }
    let fatal = container
        .findings
        .iter()
        .any(|finding| finding.severity == Severity::Fatal);
    judge(&container, fatal);
    let content: u64 = container.files.iter().map(|file| file.size).sum();
    if !fatal && content <= CONTENT {
        unpack(&bytes, &container);
        again(&bytes, &container);
    }
}

/// A verdict is always there, and passes only what a test card signed.
fn judge(container: &Container, fatal: bool) {
    let house = house();
    let subject = Subject::Container(Box::new(container.clone()));
    let _ = house.store.missing(&subject, &house.evidence, house.now);
    let _ = house
        .store
        .foresee(container.clone(), house.evidence.clone(), house.now);
    let validated = house.store.validate(subject, house.evidence.clone(), house.now);
    let report = validated.report();
    assert_eq!(report.passed(), report.sub_indication.is_none());
    if !report.passed() {
        assert!(validated.into_verified().is_err());
        return;
    }
    assert!(!fatal, "a container with a fatal finding passed");
    assert!(report.files.iter().all(|file| file.digest_ok));
    for manifest in &container.manifests {
        let digest = manifest
            .digests
            .get(DigestAlgorithm::Sha256)
            .expect("all digests are there");
        assert!(house.signed_manifest(digest), "a manifest nobody signed passed");
        for reference in &manifest.references {
            let file = container.files.iter().find(|file| file.path == reference.path);
            let digest = file.and_then(|file| file.digests.get(reference.algorithm));
            assert_eq!(
                digest,
                Some(&reference.digest[..]),
                "a file that is not the one signed passed"
            );
        }
    }
    let verified = validated.into_verified().expect("it passed");
    assert_eq!(*verified.container_sha256(), container.sha256);
}

/// What is taken out is what was hashed, and where a file is said to lie it lies.
fn unpack(bytes: &[u8], container: &Container) {
    let mut source = Cursor::new(bytes);
    let unpacker = Unpacker::open(&mut source).expect("a sound container opens");
    for file in &container.files {
        let mut out = Vec::new();
        let size = unpacker
            .extract(&mut source, &file.path, &mut out)
            .expect("a sound file comes out");
        assert_eq!((size, out.len() as u64), (file.size, file.size));
        for algorithm in [
            DigestAlgorithm::Sha256,
            DigestAlgorithm::Sha384,
            DigestAlgorithm::Sha512,
        ] {
            if let Some(digest) = file.digests.get(algorithm) {
                assert_eq!(digest, algorithm.digest(&out));
            }
        }
        if let Some(offset) = file.offset {
            let start = usize::try_from(offset).expect("it is in memory");
            assert_eq!(bytes.get(start..start + out.len()), Some(&out[..]));
        }
    }
}

/// Repacked, it says the same; and where every file is the one referred to, the relay would take it.
fn again(bytes: &[u8], container: &Container) {
    let mut repacked = Vec::new();
    if repack(&mut Cursor::new(bytes), &mut repacked).is_err() {
        return;
    }
    let second = Container::read(&mut Cursor::new(&repacked)).expect("memory does not fail");
    let fatal = second
        .findings
        .iter()
        .find(|finding| finding.severity == Severity::Fatal);
    assert_eq!(fatal, None, "a repacked container is no longer sound");
    assert_eq!(second.files.len(), container.files.len());
    for file in &container.files {
        let twin = second
            .files
            .iter()
            .find(|twin| twin.path == file.path)
            .expect("no file is lost");
        assert_eq!(twin.digests, file.digests);
    }
    let signatures = |container: &Container| {
        let mut all: Vec<_> = container.signatures.iter().map(|one| one.bytes.clone()).collect();
        all.sort();
        all
    };
    assert_eq!(signatures(&second), signatures(container));
    let true_digests = second
        .manifests
        .iter()
        .flat_map(|manifest| &manifest.references)
        .all(|reference| {
            let file = second.files.iter().find(|file| file.path == reference.path);
            file.and_then(|file| file.digests.get(reference.algorithm)) == Some(&reference.digest)
        });
    let mut intake = Intake::new(Limits::default());
    let taken = intake
        .push::<IntakeError>(&repacked, &mut |_| Ok(()))
        .and_then(|()| intake.finish());
    match taken {
        Ok(taken) => {
            assert!(true_digests, "a file that is not the one referred to was taken in");
            assert_eq!(taken.sha256, second.sha256);
        }
        Err(error) => assert!(
            !true_digests,
            "the relay does not take what was repacked for it: {error}"
        ),
    }
}
