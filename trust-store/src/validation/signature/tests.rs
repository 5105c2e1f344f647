//! Hashes between signature, manifest and files: which of them still binds what became known late.

use formats::asice::Reference;
use formats::digest::DigestAlgorithm;
use time::macros::datetime;

use super::*;
use crate::anchors::Anchors;
use crate::policy::Policy;
use crate::validation::existence::Existence;
use crate::validation::material::Material;
use crate::validation::material::tests::carrying;

const SIGNED: OffsetDateTime = datetime!(2030-01-01 00:00 UTC);
const ENDED: OffsetDateTime = datetime!(2031-01-01 00:00 UTC);
const NOW: OffsetDateTime = datetime!(2035-01-01 00:00 UTC);

fn manifest() -> Manifest {
    let reference = |path: &str, algorithm: DigestAlgorithm| Reference {
        path: path.to_owned(),
        mime_type: None,
        algorithm,
        digest: algorithm.digest(path.as_bytes()),
    };
    Manifest {
        name: "META-INF/ASiCManifest001.xml".to_owned(),
        digests: Digests::of(b"manifest"),
        signature: "META-INF/signature001.p7s".to_owned(),
        references: vec![
            reference("a.pdf", DigestAlgorithm::Sha256),
            reference("b.pdf", DigestAlgorithm::Sha512),
        ],
    }
}

/// What is wrong with a container where these entries are proven to be of before the end of SHA-256.
fn row(proven: &[&str]) -> Option<Row> {
    row_of(&Content::Manifest(Some(&manifest())), proven)
}

fn row_of(content: &Content<'_>, proven: &[&str]) -> Option<Row> {
    let (anchors, mut policy) = (Anchors::default(), Policy::default());
    policy.algorithms.insert("sha256".to_owned(), ENDED);
    let mut existence = Existence::unproven(NOW);
    for entry in proven {
        existence.prove_entry(entry, SIGNED);
    }
    let evidence = crate::evidence::Evidence::default();
    let setting = Setting {
        anchors: &anchors,
        policy: &policy,
        now: NOW,
        tokens: &[],
        material: Material::gather(&[], &anchors, &evidence, false),
        existence,
        asking: false,
    };
    let mut ledger = Ledger::default();
    reference_dates(
        content,
        &carrying(Vec::new(), Vec::new()),
        &setting,
        SIGNED,
        &mut ledger,
    );
    ledger.row()
}

#[test]
fn a_hash_given_up_binds_only_what_is_proven_to_be_older() {
    let name = manifest().name;
    assert_eq!(row(&["a.pdf", &name]), None);
    for too_little in [vec![], vec!["a.pdf"], vec![name.as_str()], vec!["b.pdf", name.as_str()]] {
        assert_eq!(row(&too_little), Some(Row::CryptoConstraintsFailure), "{too_little:?}");
    }
}

#[test]
fn so_does_the_hash_of_content_beside_a_bare_signature() {
    let digests = Digests::of(b"letter");
    let content = Content::Bare(Some(&digests));
    assert_eq!(row_of(&content, &[CONTENT]), None);
    assert_eq!(row_of(&content, &["a.pdf"]), Some(Row::CryptoConstraintsFailure));
}

#[test]
fn a_digest_nobody_computed_is_not_an_empty_one() {
    let signed = carrying(Vec::new(), Vec::new());
    assert!(signed.signer.message_digest.is_empty());
    let computed = Digests::from_iter([(DigestAlgorithm::Sha512, vec![1; 64])]);
    let mut ledger = Ledger::default();
    signed_content(&signed, &Content::Bare(Some(&computed)), &mut ledger);
    assert_eq!(ledger.row(), Some(Row::HashFailure));
}
