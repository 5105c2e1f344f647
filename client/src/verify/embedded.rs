//! Signatures inside the letters of a container: a PDF's own is judged like any other, XML and FHIR signatures are named. None of
//! them decides about the container.

use std::path::Path;

use formats::asice::Unpacker;
use formats::letter::{self, LetterForm, MAX_LETTER_BYTES};
use formats::pdf::{self, SignedPdf};
use time::OffsetDateTime;
use trust_store::report::EmbeddedSignature;
use trust_store::{Evidence, Subject, TrustStore};

use crate::error::Failure;
use crate::files;

/// Most files looked into.
const MAX_FILES: usize = 64;

/// The files of a container that may be letters with a signature of their own, small enough to be read whole.
pub(super) fn candidates(subject: &Subject) -> Vec<String> {
    let Subject::Container(container) = subject else {
        return Vec::new();
    };
    let small = container
        .files
        .iter()
        .filter(|file| !file.path.starts_with("images/") && file.size <= MAX_LETTER_BYTES as u64);
    small.take(MAX_FILES).map(|file| file.path.clone()).collect()
}

/// What signatures these files hold.
///
/// # Errors
/// The container cannot be opened again. A file that cannot be taken out is the container's failure, told there.
pub(super) fn judge(
    container: &Path,
    candidates: &[String],
    trust: &TrustStore,
    evidence: &Evidence,
    at: OffsetDateTime,
) -> Result<Vec<EmbeddedSignature>, Failure> {
    let mut found = Vec::new();
    if candidates.is_empty() {
        return Ok(found);
    }
    let mut file = files::open(container)?;
    let Ok(unpacker) = Unpacker::open(&mut file) else {
        return Ok(found);
    };
    for path in candidates {
        let mut bytes = Vec::new();
        if unpacker.extract(&mut file, path, &mut bytes).is_ok() {
            found.extend(look(path, &bytes, trust, evidence, at));
        }
    }
    Ok(found)
}

fn look(
    path: &str,
    bytes: &[u8],
    trust: &TrustStore,
    evidence: &Evidence,
    at: OffsetDateTime,
) -> Option<EmbeddedSignature> {
    let found = |kind: &str, report| EmbeddedSignature {
        path: path.to_owned(),
        kind: kind.to_owned(),
        report,
    };
    if letter::recognise(bytes) != Some(LetterForm::Pdf) {
        return letter::inner_signature(bytes).map(|kind| found(kind, None));
    }
    let read = SignedPdf::of(bytes);
    // A PDF that is merely damaged is no signature.
    if read.signatures.is_empty() && !(read.unreadable.is_some() && pdf::seems_signed(bytes)) {
        return None;
    }
    let validated = trust.validate(Subject::Pdf(Box::new(read)), evidence.clone(), at);
    Some(found("PDF signature", Some(Box::new(validated.report().clone()))))
}
