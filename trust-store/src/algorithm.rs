//! The one door to aws-lc-rs: which signature algorithms are accepted, and their mathematics. `CONTRACTS.md` §3 "Algorithms".

use aws_lc_rs::digest as lc_digest;
use aws_lc_rs::signature::{self as lc, RsaPssSaltLength, VerificationAlgorithm};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912;
use der::asn1::{Any, UintRef};
use der::{Decode, Sequence};
use formats::digest::DigestAlgorithm;
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

/// Why a signature does not verify.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AlgorithmError {
    /// An algorithm or key this house does not accept.
    #[error("algorithm not accepted: {0}")]
    NotAccepted(String),
    /// The mathematics fails.
    #[error("the signature does not verify")]
    BadSignature,
}

/// Which signatures on certificates, CRLs and OCSP responses are accepted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Accepted {
    /// Those of `CONTRACTS.md` §3.
    #[default]
    Listed,
    /// RSA PKCS#1 v1.5 over SHA-1 too: for chains of the past that somebody looks into on purpose. No validation uses it.
    AndSha1,
}

/// As [`verify`], with SHA-1 where `accepted` says so.
///
/// # Errors
/// As [`verify`].
pub fn verify_accepting(
    accepted: Accepted,
    algorithm: &AlgorithmIdentifierOwned,
    key: &SubjectPublicKeyInfoOwned,
    message: &[u8],
    signature: &[u8],
) -> Result<(), AlgorithmError> {
    if accepted == Accepted::AndSha1 && algorithm.oid == rfc5912::SHA_1_WITH_RSA_ENCRYPTION {
        let Key::Rsa {
            bytes, only_pss: None, ..
        } = Key::read(key)?
        else {
            return Err(refused("a key of another kind than the signature algorithm"));
        };
        return lc::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY
            .verify_sig(bytes, message, signature)
            .map_err(|_| AlgorithmError::BadSignature);
    }
    verify(algorithm, key, message, signature)
}

/// Verifies `signature` over `message` under `key`, for signature algorithms that name their hash (certificates, CRLs).
///
/// # Errors
/// [`AlgorithmError::NotAccepted`] for algorithms, parameters or keys outside the list, [`AlgorithmError::BadSignature`] else.
pub fn verify(
    algorithm: &AlgorithmIdentifierOwned,
    key: &SubjectPublicKeyInfoOwned,
    message: &[u8],
    signature: &[u8],
) -> Result<(), AlgorithmError> {
    Scheme::read(algorithm, None)?.verify(key, message, signature)
}

/// As [`verify`] for CMS, where the hash is stated beside the signature algorithm and both must agree; `rsaEncryption` as
/// signature algorithm (RFC 3370 §3.2) takes the hash from there.
///
/// # Errors
/// As [`verify`]; a signature algorithm of another hash than `digest` is not accepted.
pub fn verify_with_digest(
    algorithm: &AlgorithmIdentifierOwned,
    digest: DigestAlgorithm,
    key: &SubjectPublicKeyInfoOwned,
    message: &[u8],
    signature: &[u8],
) -> Result<(), AlgorithmError> {
    Scheme::read(algorithm, Some(digest))?.verify(key, message, signature)
}

/// The names under which `policy.toml [algorithms]` speaks of this signature: its key class (`rsa2048`, `p256`, …) and its
/// hash (`sha256`, …). An RSA modulus between two classes counts as the lower.
///
/// # Errors
/// [`AlgorithmError::NotAccepted`] as [`verify`].
pub fn algorithm_names(
    algorithm: &AlgorithmIdentifierOwned,
    digest: Option<DigestAlgorithm>,
    key: &SubjectPublicKeyInfoOwned,
) -> Result<Vec<String>, AlgorithmError> {
    let scheme = Scheme::read(algorithm, digest)?;
    Ok(vec![key_name(key)?.into(), scheme.digest().name().into()])
}

/// SHA-1, for two purposes only: the certificate hash inside ESS signing-certificate v1 of a time-stamp token, and the names of
/// issuer and responder in OCSP, which identify and prove nothing.
#[must_use]
pub fn sha1(bytes: &[u8]) -> Vec<u8> {
    lc_digest::digest(&lc_digest::SHA1_FOR_LEGACY_USE_ONLY, bytes)
        .as_ref()
        .to_vec()
}

/// The class of a public key as `policy.toml [algorithms]` names it.
///
/// # Errors
/// [`AlgorithmError::NotAccepted`] for keys outside the list.
pub fn key_name(key: &SubjectPublicKeyInfoOwned) -> Result<&'static str, AlgorithmError> {
    Ok(match Key::read(key)? {
        Key::Rsa { bits, .. } => match bits {
            0..=3071 => "rsa2048",
            3072..=4095 => "rsa3072",
            4096..=8191 => "rsa4096",
            _ => "rsa8192",
        },
        Key::Ec { curve: Curve::P256, .. } => "p256",
        Key::Ec { curve: Curve::P384, .. } => "p384",
        Key::Ec { curve: Curve::P521, .. } => "p521",
    })
}

/// A signature algorithm with its hash, read from its identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Pkcs1(DigestAlgorithm),
    Pss(DigestAlgorithm, u16),
    Ecdsa(DigestAlgorithm),
}

impl Scheme {
    fn read(algorithm: &AlgorithmIdentifierOwned, stated: Option<DigestAlgorithm>) -> Result<Self, AlgorithmError> {
        use DigestAlgorithm::{Sha256, Sha384, Sha512};
        let oid = algorithm.oid;
        let scheme = match oid {
            rfc5912::SHA_256_WITH_RSA_ENCRYPTION => Self::Pkcs1(Sha256),
            rfc5912::SHA_384_WITH_RSA_ENCRYPTION => Self::Pkcs1(Sha384),
            rfc5912::SHA_512_WITH_RSA_ENCRYPTION => Self::Pkcs1(Sha512),
            rfc5912::ECDSA_WITH_SHA_256 => Self::Ecdsa(Sha256),
            rfc5912::ECDSA_WITH_SHA_384 => Self::Ecdsa(Sha384),
            rfc5912::ECDSA_WITH_SHA_512 => Self::Ecdsa(Sha512),
            rfc5912::ID_RSASSA_PSS => {
                let (digest, salt) = pss_parameters(algorithm.parameters.as_ref())?;
                Self::Pss(digest, salt)
            }
            rfc5912::RSA_ENCRYPTION => {
                Self::Pkcs1(stated.ok_or_else(|| refused("rsaEncryption does not name a hash"))?)
            }
            other => return Err(refused(format!("signature algorithm {other}"))),
        };
        let exact = match scheme {
            // RFC 4055 §5: NULL is written, absence is accepted.
            Self::Pkcs1(_) => null_or_absent(algorithm.parameters.as_ref()),
            // RFC 5758 §3.2: absent.
            Self::Ecdsa(_) => algorithm.parameters.is_none(),
            Self::Pss(..) => true,
        };
        if !exact {
            return Err(refused(format!("parameters of signature algorithm {oid}")));
        }
        match stated {
            Some(digest) if digest != scheme.digest() => Err(refused(format!(
                "signature algorithm says {}, digest algorithm says {}",
                scheme.digest().name(),
                digest.name()
            ))),
            _ => Ok(scheme),
        }
    }

    fn digest(self) -> DigestAlgorithm {
        match self {
            Self::Pkcs1(digest) | Self::Pss(digest, _) | Self::Ecdsa(digest) => digest,
        }
    }

    fn verify(self, key: &SubjectPublicKeyInfoOwned, message: &[u8], signature: &[u8]) -> Result<(), AlgorithmError> {
        use DigestAlgorithm::{Sha256, Sha384, Sha512};
        let key = Key::read(key)?;
        let result = match (self, key) {
            (
                Self::Pkcs1(digest),
                Key::Rsa {
                    bytes, only_pss: None, ..
                },
            ) => match digest {
                Sha256 => lc::RSA_PKCS1_2048_8192_SHA256,
                Sha384 => lc::RSA_PKCS1_2048_8192_SHA384,
                Sha512 => lc::RSA_PKCS1_2048_8192_SHA512,
            }
            .verify_sig(bytes, message, signature),
            (Self::Pss(digest, salt), Key::Rsa { bytes, only_pss, .. }) => {
                // RFC 4055 §3.3: parameters in the key bind the hash and give the least salt length.
                if only_pss
                    .flatten()
                    .is_some_and(|(of_key, least)| of_key != digest || salt < least)
                {
                    return Err(refused("RSASSA-PSS parameters other than the key demands"));
                }
                match digest {
                    Sha256 => lc::RSA_PSS_2048_8192_SHA256,
                    Sha384 => lc::RSA_PSS_2048_8192_SHA384,
                    Sha512 => lc::RSA_PSS_2048_8192_SHA512,
                }
                .with_pss_salt_length(RsaPssSaltLength::Custom(salt))
                .verify_sig(bytes, message, signature)
            }
            (Self::Ecdsa(digest), Key::Ec { curve, bytes }) => match (curve, digest) {
                (Curve::P256, Sha256) => &lc::ECDSA_P256_SHA256_ASN1,
                (Curve::P256, Sha384) => &lc::ECDSA_P256_SHA384_ASN1,
                (Curve::P256, Sha512) => &lc::ECDSA_P256_SHA512_ASN1,
                (Curve::P384, Sha256) => &lc::ECDSA_P384_SHA256_ASN1,
                (Curve::P384, Sha384) => &lc::ECDSA_P384_SHA384_ASN1,
                (Curve::P384, Sha512) => &lc::ECDSA_P384_SHA512_ASN1,
                (Curve::P521, Sha256) => &lc::ECDSA_P521_SHA256_ASN1,
                (Curve::P521, Sha384) => &lc::ECDSA_P521_SHA384_ASN1,
                (Curve::P521, Sha512) => &lc::ECDSA_P521_SHA512_ASN1,
            }
            .verify_sig(bytes, message, signature),
            _ => return Err(refused("a key of another kind than the signature algorithm")),
        };
        result.map_err(|_| AlgorithmError::BadSignature)
    }
}

#[derive(Debug, Clone, Copy)]
enum Curve {
    P256,
    P384,
    P521,
}

/// A public key, read from its SubjectPublicKeyInfo.
enum Key<'a> {
    Rsa {
        /// RSAPublicKey, DER.
        bytes: &'a [u8],
        /// Length of the modulus.
        bits: usize,
        /// Set for id-RSASSA-PSS keys, with their parameters where given.
        only_pss: Option<Option<(DigestAlgorithm, u16)>>,
    },
    Ec {
        curve: Curve,
        /// The point.
        bytes: &'a [u8],
    },
}

/// RFC 8017 A.1.1
/// ```text
/// RSAPublicKey ::= SEQUENCE { modulus INTEGER, publicExponent INTEGER }
/// ```
#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    public_exponent: UintRef<'a>,
}

impl<'a> Key<'a> {
    fn read(key: &'a SubjectPublicKeyInfoOwned) -> Result<Self, AlgorithmError> {
        let parameters = key.algorithm.parameters.as_ref();
        let bytes = key
            .subject_public_key
            .as_bytes()
            .ok_or_else(|| refused("a public key with unused bits"))?;
        let only_pss = match key.algorithm.oid {
            rfc5912::ID_EC_PUBLIC_KEY => {
                let named = parameters.and_then(|value| value.decode_as::<ObjectIdentifier>().ok());
                let curve = match named {
                    Some(rfc5912::SECP_256_R_1) => Curve::P256,
                    Some(rfc5912::SECP_384_R_1) => Curve::P384,
                    Some(rfc5912::SECP_521_R_1) => Curve::P521,
                    Some(other) => return Err(refused(format!("curve {other}"))),
                    None => return Err(refused("a curve that is not named")),
                };
                return Ok(Self::Ec { curve, bytes });
            }
            rfc5912::RSA_ENCRYPTION if parameters.is_some_and(is_null) => None,
            rfc5912::RSA_ENCRYPTION => return Err(refused("parameters of an RSA key")),
            rfc5912::ID_RSASSA_PSS => Some(match parameters {
                Some(_) => Some(pss_parameters(parameters)?),
                None => None,
            }),
            other => return Err(refused(format!("key algorithm {other}"))),
        };
        let rsa = RsaPublicKey::from_der(bytes).map_err(|_| refused("an RSA key that does not parse"))?;
        let modulus = rsa.modulus.as_bytes();
        let leading = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
        let bits = (modulus.len() * 8).saturating_sub(leading);
        if !(2048..=8192).contains(&bits) {
            return Err(refused(format!("an RSA modulus of {bits} bits")));
        }
        if rsa.public_exponent.as_bytes().last().is_none_or(|byte| byte % 2 == 0) {
            return Err(refused("an even RSA exponent"));
        }
        Ok(Self::Rsa { bytes, bits, only_pss })
    }
}

/// RFC 4055 §3.1
/// ```text
/// RSASSA-PSS-params ::= SEQUENCE {
///     hashAlgorithm    [0] HashAlgorithm    DEFAULT sha1,
///     maskGenAlgorithm [1] MaskGenAlgorithm DEFAULT mgf1SHA1,
///     saltLength       [2] INTEGER          DEFAULT 20,
///     trailerField     [3] INTEGER          DEFAULT 1 }
/// ```
#[derive(Sequence)]
struct PssParameters {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    hash: Option<AlgorithmIdentifierOwned>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    mask: Option<AlgorithmIdentifierOwned>,
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT", optional = "true")]
    salt: Option<u16>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    trailer: Option<u8>,
}

fn pss_parameters(parameters: Option<&Any>) -> Result<(DigestAlgorithm, u16), AlgorithmError> {
    let parsed: PssParameters = parameters
        .and_then(|value| value.decode_as().ok())
        .ok_or_else(|| refused("RSASSA-PSS parameters that do not parse"))?;
    // An absent hash or mask means SHA-1.
    let hash = parsed
        .hash
        .as_ref()
        .and_then(hash_of)
        .ok_or_else(|| refused("RSASSA-PSS over another hash"))?;
    let mask = parsed
        .mask
        .filter(|mask| mask.oid == rfc5912::ID_MGF_1)
        .and_then(|mask| mask.parameters?.decode_as::<AlgorithmIdentifierOwned>().ok())
        .and_then(|inner| hash_of(&inner));
    if mask != Some(hash) {
        return Err(refused("RSASSA-PSS with a mask of another hash"));
    }
    if parsed.trailer.is_some_and(|trailer| trailer != 1) {
        return Err(refused("RSASSA-PSS with another trailer"));
    }
    Ok((hash, parsed.salt.unwrap_or(20)))
}

fn hash_of(algorithm: &AlgorithmIdentifierOwned) -> Option<DigestAlgorithm> {
    DigestAlgorithm::from_oid(&algorithm.oid).filter(|_| null_or_absent(algorithm.parameters.as_ref()))
}

fn null_or_absent(parameters: Option<&Any>) -> bool {
    parameters.is_none_or(is_null)
}

fn is_null(value: &Any) -> bool {
    value.decode_as::<der::asn1::Null>().is_ok()
}

fn refused(what: impl Into<String>) -> AlgorithmError {
    AlgorithmError::NotAccepted(what.into())
}
