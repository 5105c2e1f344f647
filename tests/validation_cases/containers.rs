//! The container, several signatures, and bare signatures.

use std::fs;
use std::path::Path;
use std::process::Command;

use formats::cades::{CertificateHash, Encapsulated, SigningIdentity, prepare_encapsulated};
use formats::digest::DigestAlgorithm;
use formats::envelope::DocumentKind;
use kit::{Ca, CardSpec, CrlReason, Revoked, TestHpki};

use super::{PASSED, Row, failed, hours, indeterminate, patched};

/// The rows.
pub(super) const ROWS: &[Row] = &[
    (
        "file_without_reference",
        failed("FORMAT_FAILURE"),
        "a file no manifest names",
        "CONTRACTS.md §1 Manifest",
        |plan| {
            plan.edit = Box::new(with_stowaway);
        },
    ),
    (
        "flipped_manifest_mime_type",
        failed("HASH_FAILURE"),
        "a byte of the manifest that names no file",
        "CONTRACTS.md §1 Manifest",
        |plan| {
            plan.edit = Box::new(|container| patched(container, b"x-pkcs7-signature\"", b"x-pkcs7-signaturf\""));
        },
    ),
    (
        "other_digest_algorithm",
        failed("FORMAT_FAILURE"),
        "a digest algorithm nobody named",
        "CONTRACTS.md §1 Manifest",
        |plan| {
            plan.edit = Box::new(|container| patched(container, b"xmlenc#sha256", b"xmlenc#sha257"));
        },
    ),
    (
        "deflated_by_other_software",
        PASSED,
        "compressed, in another order, with directories",
        "CONTRACTS.md §1 Reading profile",
        |plan| {
            plan.edit = Box::new(rezipped);
        },
    ),
    (
        "envelope_changed",
        failed("HASH_FAILURE"),
        "the envelope was changed after signing",
        "CONTRACTS.md §1",
        |plan| {
            plan.edit = Box::new(|container| patched(container, b"\"sex\": \"M\"", b"\"sex\": \"F\""));
        },
    ),
    (
        "two_signatures",
        PASSED,
        "doctor and pharmacist, each for a kind",
        "CONTRACTS.md §1 Several signatures",
        |plan| {
            plan.others = vec![CardSpec::pharmacist()];
            plan.envelope = |envelope| envelope.documents[1].kind = DocumentKind::MedicationReport;
        },
    ),
    (
        "two_signatures_kind_uncovered",
        failed("SIG_CONSTRAINTS_FAILURE"),
        "doctor and dentist, none for a pharmacist's report",
        "CONTRACTS.md §1 Several signatures",
        |plan| {
            plan.others = vec![CardSpec::dentist()];
            plan.envelope = |envelope| envelope.documents[1].kind = DocumentKind::MedicationReport;
        },
    ),
    (
        "two_signatures_second_revoked",
        failed("REVOKED"),
        "all must validate",
        "CONTRACTS.md §1 Several signatures",
        |plan| {
            plan.others = vec![CardSpec::dentist()];
            plan.revoked = vec![(
                Ca::Sign,
                Revoked::new(CardSpec::dentist().serial, hours(-8), CrlReason::KeyCompromise),
            )];
        },
    ),
    (
        "two_signatures_one_kind",
        PASSED,
        "a pharmacist beside the doctor a referral needs",
        "CONTRACTS.md §1 Several signatures",
        |plan| {
            plan.others = vec![CardSpec::pharmacist()];
        },
    ),
    (
        "roles_star",
        PASSED,
        "a kind opened to any qualification",
        "CONTRACTS.md §3",
        |plan| {
            plan.card = CardSpec::nurse();
            plan.policy = "[roles]\nReferral = [\"*\"]\nImageStudy = [\"General Nurse\"]";
        },
    ),
    (
        "bare",
        PASSED,
        "a bare signature with its content",
        "CONTRACTS.md §4 verify",
        |plan| {
            plan.bare = Some(("letter", Some("letter")));
        },
    ),
    (
        "bare_other_content",
        failed("HASH_FAILURE"),
        "with other content",
        "CONTRACTS.md §4 verify",
        |plan| {
            plan.bare = Some(("letter", Some("lettex")));
        },
    ),
    (
        "bare_without_content",
        indeterminate("SIGNED_DATA_NOT_FOUND"),
        "without content",
        "CONTRACTS.md §4 verify",
        |plan| {
            plan.bare = Some(("letter", None));
        },
    ),
    (
        "bare_any_role",
        PASSED,
        "role rules are for containers",
        "CONTRACTS.md §4 verify",
        |plan| {
            plan.bare = Some(("letter", Some("letter")));
            plan.card = CardSpec::no_role();
        },
    ),
    (
        "attached",
        PASSED,
        "content inside, none supplied",
        "CONTRACTS.md §4 verify",
        |plan| {
            plan.bare = Some(("letter", None));
            plan.sign = Some(Box::new(|hpki, content| attached(hpki, content, sha256)));
        },
    ),
    (
        "attached_equal",
        PASSED,
        "content inside equal to that supplied",
        "CONTRACTS.md §1 Signature",
        |plan| {
            plan.bare = Some(("letter", Some("letter")));
            plan.sign = Some(Box::new(|hpki, content| attached(hpki, content, sha256)));
        },
    ),
    (
        "attached_different",
        failed("HASH_FAILURE"),
        "content inside other than that supplied",
        "CONTRACTS.md §1 Signature",
        |plan| {
            plan.bare = Some(("letter", Some("lettex")));
            plan.sign = Some(Box::new(|hpki, content| attached(hpki, content, sha256)));
        },
    ),
    (
        "attached_in_container",
        failed("FORMAT_FAILURE"),
        "a container's signature must be detached",
        "CONTRACTS.md §1 Signature",
        |plan| {
            plan.sign = Some(Box::new(|hpki, content| attached(hpki, content, sha256)));
        },
    ),
    (
        "ess_v1_signer",
        failed("FORMAT_FAILURE"),
        "signing-certificate v1 is refused for signers",
        "CONTRACTS.md §1 Signature",
        |plan| {
            plan.stamp = None;
            plan.policy = "minimum_level = \"B-B\"";
            plan.bare = Some(("letter", Some("letter")));
            plan.sign = Some(Box::new(|hpki, content| attached(hpki, content, sha1)));
        },
    ),
    (
        "bare_not_cms",
        failed("FORMAT_FAILURE"),
        "bytes that are no signature",
        "CONTRACTS.md §3",
        |plan| {
            plan.stamp = None;
            plan.bare = Some(("letter", Some("letter")));
            plan.sign = Some(Box::new(|_, _| b"no signature".to_vec()));
        },
    ),
];

pub(super) fn sha256(certificate: &[u8]) -> CertificateHash {
    CertificateHash::Sha2(DigestAlgorithm::Sha256, DigestAlgorithm::Sha256.digest(certificate))
}

fn sha1(certificate: &[u8]) -> CertificateHash {
    CertificateHash::Sha1(trust_store::algorithm::sha1(certificate).try_into().unwrap())
}

/// The doctor's signature with its content inside.
pub(super) fn attached(hpki: &TestHpki, content: &[u8], hash: fn(&[u8]) -> CertificateHash) -> Vec<u8> {
    let card = hpki.doctor();
    let identity = SigningIdentity {
        certificate: card.certificate.clone(),
        chain: card.chain.clone(),
        scheme: card.scheme(),
    };
    let encapsulated = Encapsulated {
        content_type: const_oid::db::rfc5911::ID_DATA,
        content,
        certificate_hash: hash(&card.certificate),
        with_certificates: true,
    };
    let digest = DigestAlgorithm::Sha256;
    let prepared = prepare_encapsulated(&identity, digest, encapsulated, None).unwrap();
    let value = card.sign(prepared.to_be_signed(), digest);
    prepared.finish(&value).unwrap()
}

/// One more file, by Info-ZIP.
fn with_stowaway(container: Vec<u8>) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("out.zip"), container).unwrap();
    fs::create_dir(folder.path().join("images")).unwrap();
    fs::write(folder.path().join("images/IM0003"), b"nobody signed this").unwrap();
    run(folder.path(), "zip -X -0 -D out.zip images/IM0003");
    fs::read(folder.path().join("out.zip")).unwrap()
}

/// The same files as Info-ZIP packs them: compressed, with directories, the signature last.
fn rezipped(container: Vec<u8>) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("in.zip"), container).unwrap();
    run(folder.path(), "unzip -q in.zip -d tree");
    run(&folder.path().join("tree"), "zip -X -0 ../out.zip mimetype");
    run(
        &folder.path().join("tree"),
        "zip -X -9 -r ../out.zip images letter submission.json META-INF",
    );
    fs::read(folder.path().join("out.zip")).unwrap()
}

fn run(folder: &Path, command: &str) {
    let mut words = command.split(' ');
    let mut command = Command::new(words.next().unwrap());
    let output = command.current_dir(folder).args(words).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
