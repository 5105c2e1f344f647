//! The keys of the test HPKI: made once, committed, worth nothing; and signing with them.

use std::sync::OnceLock;

use aws_lc_rs::rand::SystemRandom;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256,
    RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RsaEncoding, RsaKeyPair,
};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912;
use der::asn1::{Any, BitString, Null};
use formats::digest::DigestAlgorithm;
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

/// One of the committed keys, by what it is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    /// Root CA
    Root,
    /// Signing CA
    SignCa,
    /// Signing CA after its key was rolled over
    SignCaRollover,
    /// Authentication CA
    AuthCa,
    /// Root of the time stamp authority
    TsaRoot,
    /// Root of the time stamp authority whose keys last
    LastingTsaRoot,
    /// Time stamp authority
    Tsa,
    /// OCSP responder
    Ocsp,
    /// 医師
    Doctor,
    /// 薬剤師
    Pharmacist,
    /// 看護師
    Nurse,
    /// 歯科医師
    Dentist,
    /// A clerk's card, without qualification
    NoRole,
    /// Authentication card
    Auth,
    /// A doctor with a P-256 key
    EcDoctor,
    /// A doctor with a P-384 key
    P384Doctor,
    /// A doctor with an RSA-3072 key
    Rsa3072Doctor,
    /// Not part of the test HPKI: for what somebody else signed
    Spare,
    /// Another spare one
    Spare2,
    /// A spare P-256 key
    EcSpare,
}

struct Loaded {
    pkcs8: Vec<u8>,
    pair: Pair,
}

enum Pair {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
}

impl Key {
    /// The private key, DER of PKCS #8 PrivateKeyInfo.
    #[must_use]
    pub fn pkcs8(self) -> Vec<u8> {
        self.loaded().pkcs8.clone()
    }

    /// The private key as PEM.
    #[must_use]
    pub fn pem(self) -> &'static str {
        match self {
            Self::Root => include_str!("keys/root.pem"),
            Self::SignCa => include_str!("keys/sign_ca.pem"),
            Self::SignCaRollover => include_str!("keys/sign_ca_rollover.pem"),
            Self::AuthCa => include_str!("keys/auth_ca.pem"),
            Self::TsaRoot => include_str!("keys/tsa_root.pem"),
            Self::LastingTsaRoot => include_str!("keys/lasting_tsa_root.pem"),
            Self::Tsa => include_str!("keys/tsa.pem"),
            Self::Ocsp => include_str!("keys/ocsp.pem"),
            Self::Doctor => include_str!("keys/doctor.pem"),
            Self::Pharmacist => include_str!("keys/pharmacist.pem"),
            Self::Nurse => include_str!("keys/nurse.pem"),
            Self::Dentist => include_str!("keys/dentist.pem"),
            Self::NoRole => include_str!("keys/no_role.pem"),
            Self::Auth => include_str!("keys/auth.pem"),
            Self::EcDoctor => include_str!("keys/ec_doctor.pem"),
            Self::P384Doctor => include_str!("keys/p384_doctor.pem"),
            Self::Rsa3072Doctor => include_str!("keys/rsa3072_doctor.pem"),
            Self::Spare => include_str!("keys/spare.pem"),
            Self::Spare2 => include_str!("keys/spare2.pem"),
            Self::EcSpare => include_str!("keys/ec_spare.pem"),
        }
    }

    /// Its SubjectPublicKeyInfo.
    #[must_use]
    pub fn public(self) -> SubjectPublicKeyInfoOwned {
        let (oid, parameters, key) = match &self.loaded().pair {
            Pair::Rsa(pair) => (rfc5912::RSA_ENCRYPTION, Any::from(Null), pair.public_key().as_ref()),
            Pair::P256(pair) => (
                rfc5912::ID_EC_PUBLIC_KEY,
                Any::from(rfc5912::SECP_256_R_1),
                pair.public_key().as_ref(),
            ),
            Pair::P384(pair) => (
                rfc5912::ID_EC_PUBLIC_KEY,
                Any::from(rfc5912::SECP_384_R_1),
                pair.public_key().as_ref(),
            ),
        };
        SubjectPublicKeyInfoOwned {
            algorithm: AlgorithmIdentifierOwned {
                oid,
                parameters: Some(parameters),
            },
            subject_public_key: BitString::from_bytes(key).expect("a public key fits a BIT STRING"),
        }
    }

    /// The algorithm [`sign`](Self::sign) uses for `digest`: RSA PKCS #1 v1.5, or ECDSA.
    #[must_use]
    pub fn signature_algorithm(self, digest: DigestAlgorithm) -> AlgorithmIdentifierOwned {
        let rsa = |oid| AlgorithmIdentifierOwned {
            oid,
            parameters: Some(Any::from(Null)),
        };
        let ec = |oid: ObjectIdentifier| AlgorithmIdentifierOwned { oid, parameters: None };
        match (&self.loaded().pair, digest) {
            (Pair::Rsa(_), DigestAlgorithm::Sha256) => rsa(rfc5912::SHA_256_WITH_RSA_ENCRYPTION),
            (Pair::Rsa(_), DigestAlgorithm::Sha384) => rsa(rfc5912::SHA_384_WITH_RSA_ENCRYPTION),
            (Pair::Rsa(_), DigestAlgorithm::Sha512) => rsa(rfc5912::SHA_512_WITH_RSA_ENCRYPTION),
            (Pair::P256(_), DigestAlgorithm::Sha256) => ec(rfc5912::ECDSA_WITH_SHA_256),
            (Pair::P384(_), DigestAlgorithm::Sha384) => ec(rfc5912::ECDSA_WITH_SHA_384),
            _ => panic!("{self:?} does not sign with {}", digest.name()),
        }
    }

    /// The hash that goes with the key: SHA-256, for P-384 SHA-384.
    #[must_use]
    pub fn natural_digest(self) -> DigestAlgorithm {
        match self.loaded().pair {
            Pair::P384(_) => DigestAlgorithm::Sha384,
            _ => DigestAlgorithm::Sha256,
        }
    }

    /// Signs `message`, hashed with `digest`.
    #[must_use]
    pub fn sign(self, message: &[u8], digest: DigestAlgorithm) -> Vec<u8> {
        let random = SystemRandom::new();
        match (&self.loaded().pair, digest) {
            (Pair::Rsa(pair), digest) => {
                let encoding: &'static dyn RsaEncoding = match digest {
                    DigestAlgorithm::Sha256 => &RSA_PKCS1_SHA256,
                    DigestAlgorithm::Sha384 => &RSA_PKCS1_SHA384,
                    DigestAlgorithm::Sha512 => &RSA_PKCS1_SHA512,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, message, &mut signature)
                    .expect("a committed RSA key signs");
                signature
            }
            (Pair::P256(pair), DigestAlgorithm::Sha256) | (Pair::P384(pair), DigestAlgorithm::Sha384) => pair
                .sign(&random, message)
                .expect("a committed EC key signs")
                .as_ref()
                .to_vec(),
            _ => panic!("{self:?} does not sign with {}", digest.name()),
        }
    }

    fn loaded(self) -> &'static Loaded {
        static KEYS: [OnceLock<Loaded>; 20] = [const { OnceLock::new() }; 20];
        KEYS[self as usize].get_or_init(|| Loaded::from_pem(self.pem()))
    }
}

impl Loaded {
    fn from_pem(pem: &str) -> Self {
        let (_, document) = der::Document::from_pem(pem).expect("a committed key is PEM");
        let pkcs8 = document.as_bytes().to_vec();
        let pair = RsaKeyPair::from_pkcs8(&pkcs8)
            .map(Pair::Rsa)
            .or_else(|_| EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8).map(Pair::P256))
            .or_else(|_| EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, &pkcs8).map(Pair::P384))
            .expect("a committed key is RSA, P-256 or P-384");
        Self { pkcs8, pair }
    }
}
