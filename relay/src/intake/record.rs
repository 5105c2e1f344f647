//! What the trail keeps of a submission: ids, digests, names of institutions — no patient's name, no title.

use formats::asice::Container;
use formats::digest::{DigestAlgorithm, sha256};
use formats::envelope::Envelope;
use formats::trail::Submission;
use formats::wire::DocumentSummary;
use trust_store::{ValidationReport, Verified};

use super::Beside;
use crate::context::Context;
use crate::problem::Problem;

/// The record of an accepted submission, after comparing what the verdict speaks about with what is stored.
///
/// # Errors
/// `internal` if they differ: then something is wrong inside the relay, and nothing is acknowledged.
pub(super) fn accepted(
    envelope: &Envelope,
    container: &Container,
    verified: &Verified,
    beside: &Beside,
    stored_as: &str,
) -> Result<Submission, Problem> {
    if *verified.container_sha256() != container.sha256 || hex::encode(verified.evidence_sha256()) != beside.evidence {
        return Err(Problem::internal(
            &"the verdict speaks about other bytes than those stored",
        ));
    }
    Ok(Submission {
        manifest_sha256: hex::encode(verified.manifest_sha256()),
        signature_value_sha256: hex::encode(verified.signature_value_sha256()),
        policy_sha256: hex::encode(verified.policy_sha256()),
        ..held(envelope, container, verified.report(), beside, stored_as)
    })
}

/// The record of a submission that waits for evidence. What only a verdict can say is stated from the container.
pub(super) fn waiting(
    context: &Context,
    envelope: &Envelope,
    container: &Container,
    report: &ValidationReport,
    beside: &Beside,
    stored_as: &str,
) -> Submission {
    let manifest = container.manifests.first();
    let signature = container.signatures.first();
    let value = signature
        .and_then(|file| formats::cades::SignedData::parse(&file.bytes, formats::cades::Profile::Document).ok());
    let digest = manifest.and_then(|manifest| manifest.digests.get(DigestAlgorithm::Sha256));
    Submission {
        manifest_sha256: digest.map(hex::encode).unwrap_or_default(),
        signature_value_sha256: value
            .map(|signed| hex::encode(sha256(&signed.signer.signature)))
            .unwrap_or_default(),
        policy_sha256: hex::encode(context.trust.current().digest()),
        ..held(envelope, container, report, beside, stored_as)
    }
}

fn held(
    envelope: &Envelope,
    container: &Container,
    report: &ValidationReport,
    beside: &Beside,
    stored_as: &str,
) -> Submission {
    Submission {
        submission: envelope.id.clone(),
        sender: envelope.sender.clone(),
        recipients: envelope.recipients.clone(),
        patient: envelope.patient.id.clone(),
        documents: documents(envelope, container),
        in_reply_to: envelope.in_reply_to.clone(),
        size: container.size,
        container_sha256: hex::encode(container.sha256),
        manifest_sha256: String::new(),
        signature_value_sha256: String::new(),
        evidence_sha256: beside.evidence.clone(),
        policy_sha256: String::new(),
        report_sha256: beside.report.clone(),
        signed_at: report.best_signature_time.clone(),
        signer: report.signer.as_ref().map(|signer| signer.subject.clone()),
        hc_roles: report
            .signer
            .as_ref()
            .map(|signer| signer.hc_roles.clone())
            .unwrap_or_default(),
        stored_as: stored_as.to_owned(),
    }
}

fn documents(envelope: &Envelope, container: &Container) -> Vec<DocumentSummary> {
    let summary = |document: &formats::envelope::Document| {
        let below = document.path.ends_with('/');
        let of = |path: &str| {
            if below {
                path.starts_with(&document.path)
            } else {
                path == document.path
            }
        };
        let files = container.files.iter().filter(|file| of(&file.path));
        let (count, bytes) = files.fold((0, 0), |(count, bytes), file| (count + 1, bytes + file.size));
        DocumentSummary {
            path: document.path.clone(),
            kind: document.kind,
            category: document.category,
            media_type: document.media_type.clone(),
            files: count,
            bytes,
        }
    };
    envelope.documents.iter().map(summary).collect()
}

/// The sub-indication as the report writes it.
pub(super) fn sub_indication(report: &ValidationReport) -> Option<String> {
    let value = serde_json::to_value(report.sub_indication?).ok()?;
    value.as_str().map(str::to_owned)
}
