//! A container as it is uploaded, in pieces the fuzzer cuts: what is taken in does not depend on the cuts, and the reader agrees.

use std::io::Cursor;

use formats::asice::{Container, Intake, IntakeError, IntakeEvent, Limits, Severity};
use formats::digest::{DigestAlgorithm, MultiHasher};

use super::sums::prepared;

pub(crate) fn run(input: &[u8]) {
    let Some((seed, bytes)) = prepared(input) else { return };
    let whole = take(&bytes, |_| usize::MAX);
    let mut state = u64::from(seed) | 1;
    let cut = take(&bytes, |_| {
        // xorshift64: cuts from one byte to some hundred, chosen by the input.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        match seed % 4 {
            0 => 1,
            1 => usize::try_from(state % 7).unwrap_or(0) + 1,
            _ => usize::try_from(state % 509).unwrap_or(0) + 1,
        }
    });
    match (whole, cut) {
        (Ok(whole), Ok(cut)) => {
            assert!(same(&whole, &cut), "the cuts change what is taken in");
            reader_agrees(&bytes, &whole);
        }
        (Err(whole), Err(cut)) => assert_eq!(whole, cut, "the cuts change why it is refused"),
        (whole, cut) => panic!("the cuts decide: {:?} {:?}", whole.err(), cut.err()),
    }
}

/// Takes a container in. Events come in order, and their bytes are what the entry at the end says.
fn take(bytes: &[u8], mut next: impl FnMut(usize) -> usize) -> Result<Container, IntakeError> {
    let mut intake = Intake::new(Limits::default());
    let mut rest = bytes;
    let mut open: Option<(String, u64, MultiHasher)> = None;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(next(rest.len()).min(rest.len()));
        rest = later;
        intake.push::<IntakeError>(now, &mut |event| {
            match event {
                IntakeEvent::FileStart { path, size, .. } => {
                    assert!(open.is_none(), "a file begins inside another");
                    open = Some((path.to_owned(), size, MultiHasher::all()));
                }
                IntakeEvent::FileBytes(bytes) => {
                    let (_, left, hasher) = open.as_mut().expect("bytes belong to a file");
                    *left = left
                        .checked_sub(bytes.len() as u64)
                        .expect("not more bytes than declared");
                    hasher.update(bytes);
                }
                IntakeEvent::FileEnd(entry) => {
                    let (path, left, hasher) = open.take().expect("the file began");
                    assert_eq!((&path, left), (&entry.path, 0));
                    let digests = hasher.finish();
                    for algorithm in [
                        DigestAlgorithm::Sha256,
                        DigestAlgorithm::Sha384,
                        DigestAlgorithm::Sha512,
                    ] {
                        if let Some(digest) = entry.digests.get(algorithm) {
                            assert_eq!(digests.get(algorithm), Some(digest));
                        }
                    }
                }
                IntakeEvent::Manifest(_) | IntakeEvent::Signature(_) | IntakeEvent::Envelope(..) => {
                    assert!(open.is_none(), "META-INF and envelope come first");
                }
            }
            Ok(())
        })?;
    }
    intake.finish()
}

fn same(one: &Container, other: &Container) -> bool {
    (one.sha256, one.size) == (other.sha256, other.size)
        && one.manifests == other.manifests
        && one.signatures == other.signatures
        && one.envelope == other.envelope
        && one.files == other.files
        && one.findings == other.findings
}

fn reader_agrees(bytes: &[u8], taken: &Container) {
    let read = Container::read(&mut Cursor::new(bytes)).expect("memory does not fail");
    let odd = read.findings.iter().find(|finding| finding.severity == Severity::Fatal);
    assert_eq!(odd, None, "the reader refuses what was taken in");
    assert_eq!((read.sha256, read.size), (taken.sha256, taken.size));
    assert!(read.manifests == taken.manifests && read.signatures == taken.signatures);
    assert!(read.envelope == taken.envelope);
    assert!(read.files == taken.files, "reader and intake see other files");
    for manifest in &taken.manifests {
        for reference in &manifest.references {
            let file = taken.files.iter().find(|file| file.path == reference.path);
            let digest = file.and_then(|file| file.digests.get(reference.algorithm));
            assert_eq!(
                digest,
                Some(&reference.digest[..]),
                "what was taken in is not what was signed"
            );
        }
    }
}
