//! `hikyaku inspect`: says what a file is and what is in it. Describes, never judges.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use formats::asice::{Container, Severity};
use formats::cades::{CertificateHash, EssVersion, Profile, SignedData, SignerIdentifier};
use formats::letter::LetterForm;
use formats::pdf::{SignatureKind, SignedPdf};
use formats::timestamp::{Response, Token};
use formats::{dicom, hc_role, letter};
use serde_json::{Value, json};
use trust_store::report::rfc3339;
use trust_store::revocation::crl::Crl;
use trust_store::revocation::ocsp::{CertStatus, OcspResponse};
use trust_store::role_policy::{RoleClass, classify};
use trust_store::{Certificate, Evidence};

use crate::context::Context;
use crate::error::{Code, Exit, Failure};
use crate::files;

/// Options of `inspect`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Certificate, CRL, OCSP response, signature, token, container, DICOM file or letter
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Runs it.
///
/// # Errors
/// [`Code::FileUnreadable`]; [`Code::FileMalformed`] for a file of no known kind.
pub fn run(context: &Context, options: &Options) -> Result<Exit, Failure> {
    let path = &options.file;
    let mut file = files::open(path)?;
    let mut head = Vec::new();
    let unreadable = |error: std::io::Error| files::unreadable(path, &error);
    file.by_ref().take(4096).read_to_end(&mut head).map_err(unreadable)?;
    file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    let (value, well_formed) = if head.starts_with(b"PK") {
        let container = Container::read(&mut file).map_err(unreadable)?;
        let well_formed = !container
            .findings
            .iter()
            .any(|finding| finding.severity == Severity::Fatal);
        (describe_container(&container), well_formed)
    } else if dicom::is_dicom(&head) {
        let header = dicom::Header::read(file).map_err(|error| malformed(path, &error))?;
        (describe_dicom(&header), true)
    } else {
        let bytes = files::read_small(path)?;
        match describe_asn1(&bytes) {
            Some(value) => (value, true),
            None => (describe_letter(path, &bytes)?, true),
        }
    };
    context.output.print(&value, &outline(&value, 0));
    Ok(if well_formed { Exit::Done } else { Exit::Refused })
}

fn malformed(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Code::FileMalformed, format!("{}: {error}", path.display()))
}

/// The same sorting as evidence directories; a file of several things is described thing by thing.
fn describe_asn1(bytes: &[u8]) -> Option<Value> {
    if let Ok(signed) = SignedData::parse(bytes, Profile::Document) {
        return Some(describe_signature(&signed));
    }
    let mut evidence = Evidence::default();
    evidence.add("file", bytes);
    if let Ok(token) = Response::parse(bytes) {
        evidence.tokens.push(token);
        evidence.tokens.dedup();
    }
    let certificates = evidence
        .certificates
        .iter()
        .filter_map(|der| Certificate::parse(der).ok());
    let mut found: Vec<Value> = certificates
        .map(|certificate| describe_certificate(&certificate))
        .collect();
    found.extend(
        evidence
            .crls
            .iter()
            .filter_map(|der| Crl::parse(der).ok())
            .map(|crl| describe_crl(&crl)),
    );
    found.extend(
        evidence
            .ocsp
            .iter()
            .filter_map(|der| OcspResponse::parse(der).ok())
            .map(|response| describe_ocsp(&response)),
    );
    found.extend(
        evidence
            .tokens
            .iter()
            .filter_map(|der| Token::parse(der).ok())
            .map(|token| describe_token(&token)),
    );
    match found.len() {
        0 => None,
        1 => found.pop(),
        _ => Some(json!({ "type": "several", "items": found })),
    }
}

fn describe_certificate(certificate: &Certificate) -> Value {
    let usage = certificate.key_usage().ok().flatten();
    let uses: Vec<&str> = [
        ("digitalSignature", usage.is_some_and(|usage| usage.digital_signature())),
        ("nonRepudiation", usage.is_some_and(|usage| usage.non_repudiation())),
        ("keyCertSign", usage.is_some_and(|usage| usage.key_cert_sign())),
        ("cRLSign", usage.is_some_and(|usage| usage.crl_sign())),
    ]
    .into_iter()
    .filter_map(|(name, set)| set.then_some(name))
    .collect();
    let attributes = certificate.extension(&const_oid::db::rfc5280::ID_CE_SUBJECT_DIRECTORY_ATTRIBUTES);
    let roles = attributes.map(|extension| hc_role::roles(&extension.value));
    let (roles, role_warnings) = roles.map(|found| (found.roles, found.warnings)).unwrap_or_default();
    let mut warnings = certificate.warnings.clone();
    warnings.extend(role_warnings);
    let unknown = roles
        .iter()
        .filter(|role| matches!(classify(&role.0), RoleClass::Unknown));
    warnings
        .extend(unknown.map(|role| format!("{:?} is none of the qualifications and manager roles of HPKI", role.0)));
    let policies = certificate.policies().unwrap_or_default();
    json!({
        "type": "certificate",
        "subject": certificate.subject.to_string(), "issuer": certificate.issuer.to_string(),
        "serial": hex::encode(&certificate.serial),
        "not_before": rfc3339(certificate.not_before), "not_after": rfc3339(certificate.not_after),
        "key": trust_store::algorithm::key_name(&certificate.key).ok(), "ca": certificate.is_ca(),
        "key_usage": uses,
        "policies": policies.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "hc_roles": roles.into_iter().map(|role| role.0).collect::<Vec<_>>(),
        "crl_urls": trust_store::revocation::urls(certificate),
        "ocsp_urls": trust_store::revocation::ocsp_urls(certificate),
        "issuer_urls": trust_store::revocation::issuer_urls(certificate),
        "warnings": warnings,
    })
}

fn describe_crl(crl: &Crl) -> Value {
    json!({
        "type": "crl", "issuer": crl.issuer.to_string(), "this_update": rfc3339(crl.this_update),
        "next_update": crl.next_update.map(rfc3339), "number": crl.number.as_deref().map(hex::encode),
        "delta": crl.base_number.is_some(), "revoked": crl.len(),
    })
}

fn describe_ocsp(response: &OcspResponse) -> Value {
    let Some(basic) = &response.basic else {
        return json!({ "type": "ocsp", "status": response.status.to_string() });
    };
    let answers = basic.singles.iter().map(|single| {
        let (status, revocation) = match &single.status {
            CertStatus::Good => ("good", None),
            CertStatus::Unknown => ("unknown", None),
            CertStatus::Revoked(revocation) => ("revoked", Some(revocation)),
        };
        json!({
            "serial": hex::encode(&single.cert_id.serial), "hash_algorithm": single.cert_id.hash_algorithm.to_string(),
            "issuer_name_hash": hex::encode(&single.cert_id.issuer_name_hash),
            "issuer_key_hash": hex::encode(&single.cert_id.issuer_key_hash), "status": status,
            "revoked_at": revocation.map(|found| rfc3339(found.at)),
            "reason": revocation.map(|found| format!("{:?}", found.reason)),
            "this_update": rfc3339(single.this_update), "next_update": single.next_update.map(rfc3339),
            "archive_cutoff": single.archive_cutoff.map(rfc3339),
        })
    });
    json!({
        "type": "ocsp", "status": response.status.to_string(), "responder": basic.responder.to_string(),
        "produced_at": rfc3339(basic.produced_at), "nonce": basic.nonce.as_deref().map(hex::encode),
        "certificates": basic.certificates.iter().map(|one| one.subject.to_string()).collect::<Vec<_>>(),
        "answers": answers.collect::<Vec<_>>(),
    })
}

fn describe_signature(signed: &SignedData) -> Value {
    let signer = &signed.signer;
    let certificates = signed
        .certificates
        .iter()
        .filter_map(|der| Certificate::parse(der).ok());
    let own = certificates.clone().find(|certificate| match &signer.identifier {
        SignerIdentifier::IssuerAndSerialNumber { issuer, serial } => {
            certificate.issuer.der() == issuer && certificate.serial == *serial
        }
        SignerIdentifier::SubjectKeyIdentifier(id) => certificate.subject_key_identifier() == Some(id.as_slice()),
    });
    let stamps = signer.timestamps.iter().map(|token| match Token::parse(token) {
        Ok(token) => describe_token(&token),
        Err(error) => json!({ "type": "timestamp", "error": error.to_string() }),
    });
    let ess = signer.signing_certificate.as_ref();
    json!({
        "type": "signature", "detached": signed.content.is_none(),
        "digest_algorithm": signer.digest_algorithm.name(), "signature_algorithm": signer.signature_algorithm.oid.to_string(),
        "message_digest": hex::encode(&signer.message_digest), "signing_time": signer.signing_time.map(rfc3339),
        "signing_certificate": ess.map(|ess| match (ess.version, &ess.hash) {
            (EssVersion::V1, _) => "v1 sha1",
            (EssVersion::V2, CertificateHash::Sha2(algorithm, _)) => algorithm.name(),
            (EssVersion::V2, CertificateHash::Sha1(_)) => "sha1",
        }),
        "signer": own.as_ref().map(describe_certificate),
        "certificates": certificates.map(|certificate| certificate.subject.to_string()).collect::<Vec<_>>(),
        "crls": signed.crls.len(), "ocsp_responses": signed.ocsp.len(), "timestamps": stamps.collect::<Vec<_>>(),
        "other_unsigned_attributes": signer.other_unsigned_attributes.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn describe_token(token: &Token) -> Value {
    let info = &token.info;
    json!({
        "type": "timestamp", "gen_time": rfc3339(info.gen_time), "policy": info.policy.to_string(),
        "imprint_algorithm": info.imprint_algorithm.map(|algorithm| algorithm.name()), "imprint": hex::encode(&info.imprint),
        "serial": hex::encode(&info.serial), "nonce": info.nonce.as_deref().map(hex::encode),
    })
}

fn describe_container(container: &Container) -> Value {
    let files: Vec<Value> = container
        .files
        .iter()
        .map(|file| json!({ "path": file.path, "size": file.size }))
        .collect();
    let findings = container.findings.iter().map(|finding| {
        json!({ "fatal": finding.severity == Severity::Fatal, "code": finding.code, "detail": finding.detail })
    });
    let signatures = container.signatures.iter().map(|file| {
        let mut value = match SignedData::parse(&file.bytes, Profile::Document) {
            Ok(signed) => describe_signature(&signed),
            Err(error) => json!({ "type": "signature", "error": error.to_string() }),
        };
        value["name"] = file.name.as_str().into();
        value
    });
    json!({
        "type": "container", "sha256": hex::encode(container.sha256), "size": container.size,
        "manifests": container.manifests.iter().map(|manifest| manifest.name.as_str()).collect::<Vec<_>>(),
        "signatures": signatures.collect::<Vec<_>>(),
        "envelope": container.envelope.as_ref().and_then(|envelope| serde_json::to_value(envelope).ok()),
        "files": files, "findings": findings.collect::<Vec<_>>(),
    })
}

fn describe_dicom(header: &dicom::Header) -> Value {
    json!({
        "type": "dicom", "transfer_syntax": header.transfer_syntax, "sop_class": header.sop_class,
        "sop_instance": header.sop_instance, "study": header.study, "series": header.series,
        "modality": header.modality, "study_date": header.study_date, "study_description": header.study_description,
        "series_description": header.series_description, "patient_name": header.patient_name,
        "patient_id": header.patient_id, "birth_date": header.birth_date, "sex": header.sex,
        "warnings": header.warnings,
    })
}

fn describe_letter(path: &Path, bytes: &[u8]) -> Result<Value, Failure> {
    let letter = letter::describe(bytes).map_err(|error| malformed(path, &error))?;
    let letter = letter.ok_or_else(|| malformed(path, &"a file of no kind that inspect knows"))?;
    let pdf = (letter.form == LetterForm::Pdf).then(|| describe_pdf(&SignedPdf::of(bytes)));
    Ok(json!({
        "type": "letter", "media_type": letter.form.media_type(), "title": letter.title, "type_code": letter.type_code,
        "date": letter.date, "patient_id": letter.patient.id, "patient_name": letter.patient.name,
        "patient_kana": letter.patient.kana, "birth_date": letter.patient.birth_date, "sex": letter.patient.sex,
        "institutions": letter.institutions, "inner_signature": letter.inner_signature, "warnings": letter.warnings,
        "pdf": pdf,
    }))
}

fn describe_pdf(pdf: &SignedPdf) -> Value {
    let signatures = pdf.signatures.iter().map(|one| {
        let inside = match one.kind {
            SignatureKind::DocTimeStamp => Token::parse(&one.contents)
                .map(|token| describe_token(&token))
                .map_err(|error| error.to_string()),
            _ => SignedData::parse(&one.contents, Profile::PlainCms)
                .map(|signed| describe_signature(&signed))
                .map_err(|error| error.to_string()),
        };
        json!({
            "field": one.field, "form": one.kind.sub_filter(), "claimed_time": one.claimed_time,
            "covers_bytes": one.revision_end, "certification": one.certification, "locks_fields": one.locks_fields,
            "defects": one.defects, "changed_afterwards": one.afterwards.changes, "added_afterwards": one.afterwards.additions,
            "unused_objects": one.afterwards.unused_objects, "cms": inside.unwrap_or_else(Value::String),
        })
    });
    json!({
        "sections": pdf.sections, "unreadable": pdf.unreadable, "signatures": signatures.collect::<Vec<_>>(),
        "security_store": { "certificates": pdf.store.certificates.len(), "crls": pdf.store.crls.len(), "ocsp": pdf.store.ocsp.len() },
    })
}

/// JSON as indented lines for people. What is absent is left out. The depth is that of the values made above.
fn outline(value: &Value, depth: usize) -> String {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(_, value)| {
                !matches!(value, Value::Null) && value.as_array().is_none_or(|items| !items.is_empty())
            })
            .map(|(name, value)| match value {
                Value::Object(_) | Value::Array(_) => format!("{indent}{name}:\n{}", outline(value, depth + 1)),
                _ => format!("{indent}{name}: {}\n", plain(value)),
            })
            .collect(),
        Value::Array(items) => items
            .iter()
            .map(|item| match item {
                Value::Object(_) => format!("{indent}-\n{}", outline(item, depth + 1)),
                _ => format!("{indent}- {}\n", plain(item)),
            })
            .collect(),
        _ => format!("{indent}{}\n", plain(value)),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
