//! The trust store under which fuzzed signatures are judged: that of the case `good_doctor`, and what was ever signed for it.

use std::collections::BTreeSet;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use formats::asice::Container;
use formats::cades::{Profile, SignedData};
use formats::digest::{DigestAlgorithm, sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use trust_store::path::CertificatePool;
use trust_store::{AnchorSet, Anchors, Certificate, Evidence, Policy, TrustAnchor, TrustStore};

/// What a judgement needs beside the input.
pub(crate) struct House {
    pub(crate) store: TrustStore,
    pub(crate) evidence: Evidence,
    pub(crate) now: OffsetDateTime,
    /// The container of the case, which passes.
    pub(crate) good: Container,
    /// The certificates of its signature and its stamps, and the anchors.
    certificates: Vec<Certificate>,
    /// SHA-256 of every manifest that a test card ever signed.
    manifests: BTreeSet<Vec<u8>>,
    /// SHA-256 of every set of signed attributes that a test card ever signed.
    attributes: BTreeSet<[u8; 32]>,
}

/// The house, built once from `tests/fixtures/validation`.
pub(crate) fn house() -> &'static House {
    static HOUSE: OnceLock<House> = OnceLock::new();
    HOUSE.get_or_init(House::new)
}

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/validation")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("it can be read").path()).collect();
    files.sort();
    files
}

fn read(path: impl AsRef<Path>) -> Vec<u8> {
    fs::read(path).expect("the file is there")
}

/// What test cards signed: in the cases, and in the seeds of the targets that judge.
fn signed() -> (BTreeSet<Vec<u8>>, BTreeSet<[u8; 32]>) {
    let seeds = |target: &str| files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target));
    let inside = |name: &'static str| files(&cases()).into_iter().map(move |case| case.join(name));
    let mut signatures: Vec<Vec<u8>> = inside("signature.p7s").filter_map(|path| fs::read(path).ok()).collect();
    signatures.extend(seeds("cms").iter().map(read));
    for pdf in seeds("pdf").iter().map(read) {
        let found = formats::pdf::SignedPdf::of(&pdf).signatures;
        signatures.extend(found.into_iter().map(|signature| signature.contents));
    }
    let mut containers: Vec<Vec<u8>> = inside("container.asice")
        .filter_map(|path| fs::read(path).ok())
        .collect();
    // Their first byte says how the target reads them.
    containers.extend(
        seeds("container")
            .iter()
            .filter_map(|path| Some(read(path).get(1..)?.to_vec())),
    );
    let mut manifests = BTreeSet::new();
    for container in containers {
        let container = Container::read(&mut Cursor::new(container)).expect("memory does not fail");
        signatures.extend(
            container
                .signatures
                .into_iter()
                .map(|signature| signature.bytes.to_vec()),
        );
        let digests = container.manifests.iter().map(|manifest| &manifest.digests);
        manifests.extend(digests.filter_map(|all| all.get(DigestAlgorithm::Sha256).map(<[u8]>::to_vec)));
    }
    let parsed = signatures
        .iter()
        .filter_map(|bytes| SignedData::parse(bytes, Profile::Document).ok());
    let attributes = parsed.map(|parsed| sha256(&parsed.signer.signed_attributes)).collect();
    (manifests, attributes)
}

impl House {
    fn new() -> Self {
        let case = cases().join("good_doctor");
        let anchors = |name: &str| {
            let all = files(&case.join("trust").join(name));
            AnchorSet(
                all.iter()
                    .flat_map(|file| TrustAnchor::parse(&read(file)).expect("it is an anchor"))
                    .collect(),
            )
        };
        let mut evidence = Evidence::default();
        for file in files(&case.join("evidence")) {
            evidence.add(&file.to_string_lossy(), &read(&file));
        }
        let case_toml = String::from_utf8(read(case.join("case.toml"))).expect("it is text");
        let now = case_toml.lines().find_map(|line| line.strip_prefix("now = "));
        let now = now.expect("the case says when it is judged").trim_matches('"');
        let (manifests, attributes) = signed();
        let anchors = Anchors {
            hpki: anchors("hpki"),
            tsa: anchors("tsa"),
            intermediates: files(&case.join("trust/intermediates")).iter().map(read).collect(),
            ..Anchors::default()
        };
        let container = read(case.join("container.asice"));
        let good = Container::read(&mut Cursor::new(container)).expect("memory does not fail");
        let mut certificates: Vec<Certificate> = Vec::new();
        for signature in &good.signatures {
            let signature = SignedData::parse(&signature.bytes, Profile::Document).expect("it is a signature");
            let stamps = signature.signer.timestamps.iter();
            let stamps = stamps.map(|token| SignedData::parse(token, Profile::Token).expect("it is a token"));
            let stamped: Vec<Vec<u8>> = stamps.flat_map(|token| token.certificates).collect();
            let all = signature
                .certificates
                .iter()
                .chain(&stamped)
                .chain(&anchors.intermediates);
            certificates.extend(all.map(|bytes| Certificate::parse(bytes).expect("it is a certificate")));
        }
        let roots = anchors.hpki.0.iter().chain(&anchors.tsa.0);
        certificates.extend(roots.map(|anchor| anchor.certificate.clone()));
        assert!(
            certificates.iter().any(|certificate| !certificate.is_ca()),
            "nobody is there to be judged"
        );
        Self {
            store: TrustStore {
                anchors,
                policy: Policy::default(),
            },
            evidence,
            now: OffsetDateTime::parse(now, &Rfc3339).expect("it is a time"),
            good,
            certificates,
            manifests,
            attributes,
        }
    }

    /// Everybody: the signer, the authorities, the anchors.
    pub(crate) fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// Those who may issue certificates.
    pub(crate) fn authorities(&self) -> Vec<&Certificate> {
        self.certificates
            .iter()
            .filter(|certificate| certificate.is_ca())
            .collect()
    }

    /// Each certificate with its issuer's.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&Certificate, &Certificate)> {
        self.certificates.iter().flat_map(|leaf| {
            let issuers = self.certificates.iter().filter(|issuer| issuer.subject == leaf.issuer);
            issuers.map(move |issuer| (leaf, issuer))
        })
    }

    /// Everybody, as a pool.
    pub(crate) fn pool(&self) -> CertificatePool {
        CertificatePool::from_der(
            &self
                .certificates
                .iter()
                .map(|one| one.der().to_vec())
                .collect::<Vec<_>>(),
        )
    }

    /// Whether a test card ever signed this manifest.
    pub(crate) fn signed_manifest(&self, sha256: &[u8]) -> bool {
        self.manifests.contains(sha256)
    }

    /// Whether a test card ever signed these attributes.
    pub(crate) fn signed_attributes(&self, bytes: &[u8]) -> bool {
        self.attributes.contains(&sha256(bytes))
    }
}
