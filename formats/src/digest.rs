//! The hash functions this house accepts, by name, and a hasher that computes several in one pass.

use const_oid::ObjectIdentifier;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

/// A hash function of FIPS 180-4. SHA-1 is absent on purpose: it is only ever an identifier inside ESS signing-certificate v1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DigestAlgorithm {
    /// SHA-256
    #[serde(rename = "sha256")]
    Sha256,
    /// SHA-384
    #[serde(rename = "sha384")]
    Sha384,
    /// SHA-512
    #[serde(rename = "sha512")]
    Sha512,
}

impl DigestAlgorithm {
    /// All of them, weakest first.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// The algorithm an object identifier names, if it is one of ours.
    #[must_use]
    pub fn from_oid(oid: &ObjectIdentifier) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.oid() == *oid)
    }

    /// The algorithm an XML digest URI names (`http://www.w3.org/2001/04/xmlenc#sha256`, …).
    #[must_use]
    pub fn from_xml_uri(uri: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.xml_uri() == uri)
    }

    /// Its object identifier.
    #[must_use]
    pub fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Sha256 => const_oid::db::rfc5912::ID_SHA_256,
            Self::Sha384 => const_oid::db::rfc5912::ID_SHA_384,
            Self::Sha512 => const_oid::db::rfc5912::ID_SHA_512,
        }
    }

    /// Its name in XML digital signatures.
    #[must_use]
    pub fn xml_uri(self) -> &'static str {
        match self {
            Self::Sha256 => "http://www.w3.org/2001/04/xmlenc#sha256",
            Self::Sha384 => "http://www.w3.org/2001/04/xmldsig-more#sha384",
            Self::Sha512 => "http://www.w3.org/2001/04/xmlenc#sha512",
        }
    }

    /// Its name as people and `policy.toml` write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// Length of its output in bytes.
    #[must_use]
    pub fn output_len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// Hash of `bytes`.
    #[must_use]
    pub fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha384 => Sha384::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }
}

/// SHA-256 of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Digests of one piece of content under one or more algorithms.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Digests(Vec<(DigestAlgorithm, Vec<u8>)>);

impl Digests {
    /// Digests of `bytes` under every algorithm.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = MultiHasher::all();
        hasher.update(bytes);
        hasher.finish()
    }

    /// Each digest with its algorithm, in the order computed.
    pub fn iter(&self) -> impl Iterator<Item = (DigestAlgorithm, &[u8])> {
        self.0.iter().map(|(algorithm, digest)| (*algorithm, digest.as_slice()))
    }

    /// The digest under `algorithm`, if it was computed.
    #[must_use]
    pub fn get(&self, algorithm: DigestAlgorithm) -> Option<&[u8]> {
        self.0
            .iter()
            .find(|(known, _)| *known == algorithm)
            .map(|(_, digest)| digest.as_slice())
    }
}

impl FromIterator<(DigestAlgorithm, Vec<u8>)> for Digests {
    fn from_iter<I: IntoIterator<Item = (DigestAlgorithm, Vec<u8>)>>(digests: I) -> Self {
        Self(digests.into_iter().collect())
    }
}

/// Hashes a stream once under the algorithms asked for.
#[derive(Clone, Default)]
pub struct MultiHasher {
    sha256: Option<Sha256>,
    sha384: Option<Sha384>,
    sha512: Option<Sha512>,
}

impl MultiHasher {
    /// A hasher for `algorithms`.
    #[must_use]
    pub fn new(algorithms: impl IntoIterator<Item = DigestAlgorithm>) -> Self {
        let mut hasher = Self::default();
        for algorithm in algorithms {
            match algorithm {
                DigestAlgorithm::Sha256 => hasher.sha256 = Some(Sha256::new()),
                DigestAlgorithm::Sha384 => hasher.sha384 = Some(Sha384::new()),
                DigestAlgorithm::Sha512 => hasher.sha512 = Some(Sha512::new()),
            }
        }
        hasher
    }

    /// A hasher for all three.
    #[must_use]
    pub fn all() -> Self {
        Self::new(DigestAlgorithm::ALL)
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        if let Some(hasher) = &mut self.sha256 {
            hasher.update(bytes);
        }
        if let Some(hasher) = &mut self.sha384 {
            hasher.update(bytes);
        }
        if let Some(hasher) = &mut self.sha512 {
            hasher.update(bytes);
        }
    }

    /// The digests of all bytes taken.
    #[must_use]
    pub fn finish(self) -> Digests {
        // Exactly as many as there are: a container's hundred thousand files each keep theirs.
        let count = [self.sha256.is_some(), self.sha384.is_some(), self.sha512.is_some()];
        let mut digests = Vec::with_capacity(count.into_iter().filter(|there| *there).count());
        if let Some(hasher) = self.sha256 {
            digests.push((DigestAlgorithm::Sha256, hasher.finalize().to_vec()));
        }
        if let Some(hasher) = self.sha384 {
            digests.push((DigestAlgorithm::Sha384, hasher.finalize().to_vec()));
        }
        if let Some(hasher) = self.sha512 {
            digests.push((DigestAlgorithm::Sha512, hasher.finalize().to_vec()));
        }
        Digests(digests)
    }
}
