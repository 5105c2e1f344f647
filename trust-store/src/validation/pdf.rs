//! The signatures of a PDF: each is a bare CMS over its ranges, judged as any other, and what was appended after it weighs too.

use std::collections::HashSet;

use formats::cades::{CadesError, Profile, SignedData, ValidationValues};
use formats::digest::sha256;
use formats::pdf::{PdfSignature, SignatureKind, SignedPdf};
use time::OffsetDateTime;

use super::TrustStore;
use super::archive;
use super::ledger::{Ledger, Row};
use super::level::{self, Case};
use super::material::{self, Material};
use super::signature::{self, Content, Judged};
use crate::evidence::Evidence;

/// One judgement per signature of a person, at least one.
pub(super) fn judge(
    store: &TrustStore,
    pdf: &SignedPdf,
    evidence: &Evidence,
    now: OffsetDateTime,
    asking: bool,
) -> Vec<Judged> {
    let mut common = material::left_aside(evidence);
    if let Some(problem) = &pdf.unreadable {
        let detail = format!("The signatures of the PDF cannot be read: {problem}.");
        common.fail("pdf_format", Row::FormatFailure, detail);
        return vec![Judged::without_signature(common)];
    }
    let people = pdf
        .signatures
        .iter()
        .filter(|one| one.kind != SignatureKind::DocTimeStamp);
    let parsed: Vec<(&PdfSignature, Result<SignedData, CadesError>)> = people.map(|one| (one, read(one))).collect();
    let tokens: Vec<SignedData> = pdf
        .signatures
        .iter()
        .filter(|one| one.kind == SignatureKind::DocTimeStamp)
        .filter_map(|one| SignedData::parse(&one.contents, Profile::Token).ok())
        .collect();
    let signed = || parsed.iter().filter_map(|(_, parsed)| parsed.as_ref().ok());
    // What the security store holds is evidence of its maker's choice, like what a signature carries itself.
    let stored: Vec<SignedData> = signed().take(1).map(|shape| carrier(shape, pdf, usize::MAX)).collect();
    let known: Vec<&SignedData> = signed().chain(&tokens).chain(&stored).collect();
    let mut setting = store.setting(&known, evidence, now, asking);
    for stored in &stored {
        material::unreadable(stored, &setting.material, &mut common);
    }
    if asking && !tokens.is_empty() {
        // What an archive keeps cannot be had elsewhere any more.
        setting.material = Material::gather(&known, &store.anchors, evidence, false);
    }
    let (archives, end) = archive::judge_documents(pdf, &mut setting);
    let covered = stored
        .first()
        .zip(end)
        .map(|(shape, end)| (carrier(shape, pdf, end), end));
    let judged: Vec<Judged> = parsed
        .iter()
        .map(|(signature, parsed)| {
            let mut ledger = common.clone();
            form(signature, &mut ledger);
            afterwards(signature, &mut ledger);
            if refused(signature, &mut ledger) {
                return Judged {
                    name: signature.field.clone(),
                    ..Judged::without_signature(ledger)
                };
            }
            let content = Content::Pdf(signature);
            let mut judged = signature::judge(&signature.field, parsed, &content, ledger, &setting);
            if let Ok(signed) = parsed {
                let case = Case {
                    name: &signature.field,
                    signed,
                    content: &content,
                    position: 0,
                    archives: &archives,
                    container: None,
                    tokens: &stored,
                    covered: covered
                        .as_ref()
                        .filter(|(_, end)| signature.revision_end <= *end)
                        .map(|(covered, _)| covered),
                };
                level::conclude(store, &case, &mut judged, &mut setting);
                attributes(signature, signed, &mut judged);
            }
            judged.ledger.pass(
                "role",
                "Which documents it may sign is not judged for a signature inside a PDF.",
            );
            judged
        })
        .collect();
    if judged.is_empty() {
        common.fail(
            "signatures",
            Row::FormatFailure,
            "The PDF holds no signature of a person.",
        );
        return vec![Judged::without_signature(common)];
    }
    judged
}

/// What of the security store ends before `end`, in the shape of what a signature carries.
fn carrier(shape: &SignedData, pdf: &SignedPdf, end: usize) -> SignedData {
    let places = pdf.store.places.iter().filter(|one| one.end <= end);
    let there: HashSet<[u8; 32]> = places.map(|one| one.sha256).collect();
    let kept = |all: &[Vec<u8>]| all.iter().filter(|one| there.contains(&sha256(one))).cloned().collect();
    let mut carrier = shape.clone();
    carrier.certificates = kept(&pdf.store.certificates);
    carrier.crls = kept(&pdf.store.crls);
    carrier.ocsp = kept(&pdf.store.ocsp);
    carrier.signer.timestamps.clear();
    carrier.signer.archive_stamps.clear();
    carrier.signer.values = ValidationValues::default();
    carrier
}

fn read(signature: &PdfSignature) -> Result<SignedData, CadesError> {
    let profile = match signature.kind {
        SignatureKind::Cades => Profile::Document,
        _ => Profile::PlainCms,
    };
    SignedData::parse(&signature.contents, profile)
}

/// The signature covers exactly one revision of the file.
fn form(signature: &PdfSignature, ledger: &mut Ledger) {
    for defect in &signature.defects {
        ledger.fail(
            "pdf_format",
            Row::FormatFailure,
            format!("The PDF signature is malformed: {defect}."),
        );
    }
    if signature.defects.is_empty() {
        let form = signature.kind.sub_filter();
        let detail =
            format!("The signature ({form}) covers one whole revision of the PDF and leaves out nothing but itself.");
        ledger.pass("pdf_format", detail);
    }
}

/// What is displayed is still what was signed.
fn afterwards(signature: &PdfSignature, ledger: &mut Ledger) {
    let after = &signature.afterwards;
    for change in &after.changes {
        let detail = format!("The PDF was changed after this signature: {change}.");
        ledger.fail("pdf_changes", Row::FormatFailure, detail);
    }
    if after.changes.is_empty() && signature.defects.is_empty() {
        let detail = match after.additions.as_slice() {
            [] => "Nothing was appended to the PDF after this signature.".to_owned(),
            some => format!(
                "After this signature only this was done to the PDF: {}.",
                some.join("; ")
            ),
        };
        ledger.pass("pdf_changes", detail);
    }
    if after.unused_objects > 0 {
        let count = after.unused_objects;
        let detail =
            format!("The signed PDF holds {count} objects that nothing shows, and something was appended to it.");
        ledger.warn("pdf_changes", detail);
    }
    if let Some(permitted) = signature.certification {
        let detail = format!(
            "The signature certifies the PDF (DocMDP {permitted}); changes it would permit are refused all the same."
        );
        ledger.pass("pdf_permissions", detail);
    }
    if signature.locks_fields {
        ledger.pass("pdf_permissions", "The signature locks form fields (FieldMDP).");
    }
}

/// Encodings of the past: recognised, not accepted.
fn refused(signature: &PdfSignature, ledger: &mut Ledger) -> bool {
    let row = match signature.kind {
        SignatureKind::Cades | SignatureKind::Pkcs7 | SignatureKind::DocTimeStamp => {
            return !signature.defects.is_empty();
        }
        SignatureKind::Pkcs7Sha1 | SignatureKind::X509RsaSha1 => Row::CryptoConstraintsFailure,
        SignatureKind::Other => Row::FormatFailure,
    };
    let detail = format!(
        "A PDF signature of the form {} is not accepted.",
        signature.kind.sub_filter()
    );
    ledger.fail("pdf_format", row, detail);
    true
}

/// What PAdES asks of the CMS beyond CAdES, and what plain CMS lacks.
fn attributes(signature: &PdfSignature, signed: &SignedData, judged: &mut Judged) {
    let ledger = &mut judged.ledger;
    if signed.content.is_some() {
        let detail = "The signature must be detached; it holds content of its own.";
        ledger.fail("message_digest", Row::FormatFailure, detail);
    }
    if signature.kind == SignatureKind::Cades && signed.signer.signing_time.is_some() {
        ledger.warn(
            "signing_time",
            "The signature has a signing-time attribute, which PAdES forbids.",
        );
    }
    if signed.signer.signing_certificate.is_none() {
        judged.level = None;
        let detail = "The signature is plain CMS without a signing-certificate attribute: it is of no level.";
        ledger.fail("level", Row::BelowMinimumLevel, detail);
    }
}
