//! Document time stamps of a PDF (EN 319 142-1 §5.4.3, ISO 32000-2 §12.8.5), newest first: a passing one proves that what lies in
//! the file before it existed at its genTime: signatures with all they carry, earlier stamps, the security store of then.

use formats::cades::Profile;
use formats::pdf::{PdfSignature, SignatureKind, SignedPdf};

use super::super::Setting;
use super::super::existence::carried;
use super::super::ledger::Ledger;
use super::super::stamp::Over;
use super::{Archives, Judged, token_passes};
use crate::report::rfc3339;

/// Judges all document time stamps and enters what they prove into the setting's existence. Also where the newest one that passed
/// stands: all that ends before is covered.
pub(in super::super) fn judge(pdf: &SignedPdf, setting: &mut Setting<'_>) -> (Archives, Option<usize>) {
    let mut archives = Archives::default();
    let mut covered = None;
    let stamps = pdf.signatures.iter().rev();
    for stamp in stamps.filter(|one| one.kind == SignatureKind::DocTimeStamp) {
        let name = format!("Document time stamp {}", stamp.field);
        if let Some(defect) = stamp.defects.first() {
            let detail = format!("{name} proves nothing: {defect}.");
            archives.ledger.warn("archive", detail);
            continue;
        }
        let bytes = stamp.contents.as_slice();
        let over = Over::Document(&stamp.digests);
        let known = setting.existence.of(bytes);
        let (passed, summary) = token_passes(&name, bytes, &over, known, Ledger::default(), setting, &mut archives);
        if passed {
            prove(&name, pdf, stamp, setting, &mut archives);
            covered = covered.max(Some(stamp.contents_start));
        }
        archives.stamps.push(Judged {
            summary,
            passed,
            inside: None,
            names: Vec::new(),
            whole: false,
        });
    }
    (archives, covered)
}

fn prove(name: &str, pdf: &SignedPdf, stamp: &PdfSignature, setting: &mut Setting<'_>, archives: &mut Archives) {
    let Some(gen_time) = gen_time(stamp) else { return };
    let mut signatures = 0_usize;
    for signature in pdf.signatures.iter().filter(|one| covers(stamp, one)) {
        let profile = match signature.kind {
            SignatureKind::DocTimeStamp => Profile::Token,
            SignatureKind::Cades => Profile::Document,
            _ => Profile::PlainCms,
        };
        setting
            .existence
            .prove(&carried(&signature.contents, profile), gen_time);
        signatures += 1;
    }
    let stored = pdf.store.places.iter().filter(|one| one.end <= stamp.contents_start);
    let stored: Vec<[u8; 32]> = stored.map(|one| one.sha256).collect();
    setting.existence.prove(&stored, gen_time);
    let detail = format!(
        "{name} proves that {signatures} signatures and stamps and {} objects of the security store existed at {}.",
        stored.len(),
        rfc3339(gen_time)
    );
    archives.ledger.pass("archive", detail);
}

fn gen_time(stamp: &PdfSignature) -> Option<time::OffsetDateTime> {
    let token = formats::timestamp::Token::parse(&stamp.contents).ok()?;
    Some(token.info.gen_time)
}

/// The whole revision a signature ends lies before the stamp.
fn covers(stamp: &PdfSignature, signature: &PdfSignature) -> bool {
    signature.defects.is_empty() && signature.revision_end <= stamp.contents_start
}
