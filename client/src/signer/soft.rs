//! Keys from files: PKCS #12, or a PEM key with its certificate. For tests, servers and clinics without a card reader; an HPKI
//! key never lives in a file.

use std::path::Path;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self as lc, EcdsaKeyPair, KeyPair, RsaKeyPair};
use formats::cades::SignatureScheme;
use formats::digest::DigestAlgorithm;
use trust_store::anchors::pem_or_der;
use trust_store::{Certificate, algorithm};
use zeroize::Zeroizing;

use super::{Signer, SignerError};
use crate::error::{Code, Failure};
use crate::files;

/// A key in this process's memory.
pub struct SoftSigner {
    certificate: Certificate,
    chain: Vec<Vec<u8>>,
    key: Key,
    pss: bool,
}

enum Key {
    Rsa(RsaKeyPair),
    /// With the digest its curve signs.
    Ecdsa(EcdsaKeyPair, DigestAlgorithm),
}

impl SoftSigner {
    /// From a PKCS #12 file's bytes.
    ///
    /// # Errors
    /// [`Code::KeyPassword`], [`Code::KeyUnreadable`], [`Code::KeyMismatch`].
    pub fn from_pkcs12(bytes: &[u8], password: &str, name: &str) -> Result<Self, Failure> {
        let store = p12_keystore::KeyStore::from_pkcs12(bytes, password).map_err(|error| match error {
            // The MAC is the first thing a password opens.
            p12_keystore::error::Error::MacError(_) => Failure::new(Code::KeyPassword, name),
            other => Failure::new(Code::KeyUnreadable, format!("{name}: {other}")),
        })?;
        let (_, entry) = store.private_key_chain().ok_or_else(|| {
            Failure::new(
                Code::KeyUnreadable,
                format!("{name}: no private key with a certificate"),
            )
        })?;
        let mut certificates = entry.chain().iter().map(|certificate| certificate.as_der().to_vec());
        let own = certificates
            .next()
            .ok_or_else(|| Failure::new(Code::KeyUnreadable, format!("{name}: no certificate")))?;
        Self::new(&own, certificates.collect(), entry.key(), name)
    }

    /// From a private key (PKCS #8, PKCS #1 or SEC 1; DER or PEM) and certificates, the key's own first.
    ///
    /// # Errors
    /// [`Code::KeyUnreadable`], [`Code::KeyMismatch`].
    pub fn from_key_and_certificates(key: &[u8], certificates: &[u8], name: &str) -> Result<Self, Failure> {
        let unreadable = |why: String| Failure::new(Code::KeyUnreadable, format!("{name}: {why}"));
        let mut certificates = pem_or_der(certificates, "CERTIFICATE")
            .map_err(|error| unreadable(format!("certificate: {error}")))?
            .into_iter();
        let own = certificates
            .next()
            .ok_or_else(|| unreadable("no certificate".to_owned()))?;
        let mut key_der = None;
        for label in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"] {
            let found = pem_or_der(key, label).map_err(|error| unreadable(error.to_string()))?;
            key_der = key_der.or_else(|| found.into_iter().next().map(Zeroizing::new));
        }
        let key_der = key_der.ok_or_else(|| unreadable("no unencrypted private key".to_owned()))?;
        Self::new(&own, certificates.collect(), &key_der, name)
    }

    /// From files: `key` alone is PKCS #12, with `certificate` it is a PEM or DER pair. `password` is asked only for PKCS #12.
    ///
    /// # Errors
    /// As [`SoftSigner::from_pkcs12`], or what `password` fails with.
    pub fn open(
        key: &Path,
        certificate: Option<&Path>,
        password: impl FnOnce() -> Result<Zeroizing<String>, Failure>,
    ) -> Result<Self, Failure> {
        let name = key.display().to_string();
        let bytes = Zeroizing::new(files::read_small(key)?);
        if let Some(certificate) = certificate {
            return Self::from_key_and_certificates(&bytes, &files::read_small(certificate)?, &name);
        }
        if bytes.starts_with(b"-----BEGIN") {
            // One PEM file may hold both.
            return Self::from_key_and_certificates(&bytes, &bytes, &name);
        }
        Self::from_pkcs12(&bytes, &password()?, &name)
    }

    /// Signs RSA-PSS instead of PKCS #1 v1.5. Without effect on other keys.
    #[must_use]
    pub fn with_pss(mut self, pss: bool) -> Self {
        self.pss = pss;
        self
    }

    fn new(certificate: &[u8], chain: Vec<Vec<u8>>, key: &[u8], name: &str) -> Result<Self, Failure> {
        let unreadable = |why: String| Failure::new(Code::KeyUnreadable, format!("{name}: {why}"));
        let certificate = Certificate::parse(certificate).map_err(|error| unreadable(error.to_string()))?;
        let key_name = algorithm::key_name(&certificate.key).map_err(|error| unreadable(error.to_string()))?;
        let rejected = |error: aws_lc_rs::error::KeyRejected| unreadable(format!("the private key: {error}"));
        let curve = |algorithm| {
            EcdsaKeyPair::from_pkcs8(algorithm, key)
                .or_else(|_| EcdsaKeyPair::from_private_key_der(algorithm, key).map_err(rejected))
        };
        let key = match key_name {
            "p256" => Key::Ecdsa(curve(&lc::ECDSA_P256_SHA256_ASN1_SIGNING)?, DigestAlgorithm::Sha256),
            "p384" => Key::Ecdsa(curve(&lc::ECDSA_P384_SHA384_ASN1_SIGNING)?, DigestAlgorithm::Sha384),
            "p521" => Key::Ecdsa(curve(&lc::ECDSA_P521_SHA512_ASN1_SIGNING)?, DigestAlgorithm::Sha512),
            _ => Key::Rsa(
                RsaKeyPair::from_pkcs8(key)
                    .or_else(|_| RsaKeyPair::from_der(key))
                    .map_err(rejected)?,
            ),
        };
        let public = match &key {
            Key::Rsa(pair) => pair.public_key().as_ref(),
            Key::Ecdsa(pair, _) => pair.public_key().as_ref(),
        };
        if certificate.key.subject_public_key.raw_bytes() != public {
            return Err(Failure::new(Code::KeyMismatch, name));
        }
        Ok(Self {
            certificate,
            chain,
            key,
            pss: false,
        })
    }
}

impl Signer for SoftSigner {
    fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    fn chain(&self) -> &[Vec<u8>] {
        &self.chain
    }

    fn scheme(&self) -> SignatureScheme {
        match (&self.key, self.pss) {
            (Key::Rsa(_), false) => SignatureScheme::RsaPkcs1,
            (Key::Rsa(_), true) => SignatureScheme::RsaPss,
            (Key::Ecdsa(..), _) => SignatureScheme::Ecdsa,
        }
    }

    fn sign(&mut self, to_be_signed: &[u8], digest: DigestAlgorithm) -> Result<Vec<u8>, SignerError> {
        let random = SystemRandom::new();
        match &self.key {
            Key::Rsa(pair) => {
                let padding: &'static dyn lc::RsaEncoding = match (self.pss, digest) {
                    (false, DigestAlgorithm::Sha256) => &lc::RSA_PKCS1_SHA256,
                    (false, DigestAlgorithm::Sha384) => &lc::RSA_PKCS1_SHA384,
                    (false, DigestAlgorithm::Sha512) => &lc::RSA_PKCS1_SHA512,
                    (true, DigestAlgorithm::Sha256) => &lc::RSA_PSS_SHA256,
                    (true, DigestAlgorithm::Sha384) => &lc::RSA_PSS_SHA384,
                    (true, DigestAlgorithm::Sha512) => &lc::RSA_PSS_SHA512,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, to_be_signed, &mut signature)
                    .map_err(|_| SignerError::Failed("the RSA key does not sign".to_owned()))?;
                Ok(signature)
            }
            Key::Ecdsa(pair, of_curve) if *of_curve == digest => pair
                .sign(&random, to_be_signed)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| SignerError::Failed("the EC key does not sign".to_owned())),
            Key::Ecdsa(..) => Err(SignerError::NotOffered(format!(
                "this curve does not sign {}",
                digest.name()
            ))),
        }
    }
}
