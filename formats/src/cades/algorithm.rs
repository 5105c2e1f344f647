//! Which digest a signature algorithm implies, and the identifiers written into new signatures.

use const_oid::ObjectIdentifier;
use der::Decode as _;
use spki::AlgorithmIdentifierOwned;

use super::{CadesError, SignatureScheme};
use crate::digest::DigestAlgorithm;
use crate::oid;
use crate::tlv::{self, Element};

const NULL: [u8; 2] = [0x05, 0x00];

/// Reads an AlgorithmIdentifier that names a digest of ours.
pub(super) fn read_digest(element: &Element<'_>) -> Result<DigestAlgorithm, CadesError> {
    element.tagged(tlv::SEQUENCE)?;
    let mut parts = element.children();
    let identifier = parts.any()?.oid()?;
    DigestAlgorithm::from_oid(&identifier)
        .ok_or_else(|| CadesError::UnsupportedAlgorithm(format!("digest {identifier}")))
}

/// Reads the signature algorithm and holds it against the digest algorithm.
pub(super) fn read_signature(
    element: &Element<'_>,
    digest: DigestAlgorithm,
) -> Result<AlgorithmIdentifierOwned, CadesError> {
    let algorithm = AlgorithmIdentifierOwned::from_der(element.raw)
        .map_err(|_| CadesError::Malformed("the signature algorithm is not DER".to_owned()))?;
    let implied = match algorithm.oid {
        oid::RSA_ENCRYPTION => digest,
        oid::RSASSA_PSS => pss_digest(element)?,
        named => implied_digest(&named)
            .ok_or_else(|| CadesError::UnsupportedAlgorithm(format!("signature algorithm {named}")))?,
    };
    if implied != digest {
        return Err(CadesError::Algorithm(format!(
            "the signature is over {}, the digest algorithm is {}",
            implied.name(),
            digest.name()
        )));
    }
    Ok(algorithm)
}

fn implied_digest(algorithm: &ObjectIdentifier) -> Option<DigestAlgorithm> {
    match *algorithm {
        oid::SHA256_WITH_RSA | oid::ECDSA_WITH_SHA256 => Some(DigestAlgorithm::Sha256),
        oid::SHA384_WITH_RSA | oid::ECDSA_WITH_SHA384 => Some(DigestAlgorithm::Sha384),
        oid::SHA512_WITH_RSA | oid::ECDSA_WITH_SHA512 => Some(DigestAlgorithm::Sha512),
        _ => None,
    }
}

/// `RSASSA-PSS-params ::= SEQUENCE { hashAlgorithm [0] DEFAULT sha1, … }`, RFC 8017 A.2.3.
fn pss_digest(algorithm: &Element<'_>) -> Result<DigestAlgorithm, CadesError> {
    let mut parts = algorithm.children();
    parts.expect(tlv::OBJECT_IDENTIFIER)?;
    let parameters = parts
        .next()?
        .ok_or_else(|| CadesError::Algorithm("RSASSA-PSS without parameters".to_owned()))?;
    parameters.tagged(tlv::SEQUENCE)?;
    match parameters.children().optional(0xa0)? {
        Some(hash) => read_digest(&hash.explicit()?),
        None => Err(CadesError::UnsupportedAlgorithm("RSASSA-PSS over SHA-1".to_owned())),
    }
}

/// DER of the AlgorithmIdentifier of a digest; parameters absent (RFC 5754 §2).
pub(super) fn encode_digest(digest: DigestAlgorithm) -> Vec<u8> {
    tlv::encode(tlv::SEQUENCE, &[&tlv::encode_oid(&digest.oid())])
}

/// DER of the AlgorithmIdentifier of a signature.
pub(super) fn encode_signature(scheme: SignatureScheme, digest: DigestAlgorithm) -> Vec<u8> {
    let identifier = match (scheme, digest) {
        (SignatureScheme::RsaPkcs1, DigestAlgorithm::Sha256) => oid::SHA256_WITH_RSA,
        (SignatureScheme::RsaPkcs1, DigestAlgorithm::Sha384) => oid::SHA384_WITH_RSA,
        (SignatureScheme::RsaPkcs1, DigestAlgorithm::Sha512) => oid::SHA512_WITH_RSA,
        (SignatureScheme::RsaPss, _) => oid::RSASSA_PSS,
        (SignatureScheme::Ecdsa, DigestAlgorithm::Sha256) => oid::ECDSA_WITH_SHA256,
        (SignatureScheme::Ecdsa, DigestAlgorithm::Sha384) => oid::ECDSA_WITH_SHA384,
        (SignatureScheme::Ecdsa, DigestAlgorithm::Sha512) => oid::ECDSA_WITH_SHA512,
    };
    let parameters = match scheme {
        SignatureScheme::RsaPkcs1 => NULL.to_vec(),
        SignatureScheme::RsaPss => encode_pss_parameters(digest),
        SignatureScheme::Ecdsa => Vec::new(),
    };
    tlv::encode(tlv::SEQUENCE, &[&tlv::encode_oid(&identifier), &parameters])
}

/// MGF1 over the same hash, salt as long as the hash. RFC 4055 §2.1 and §3.1 want the hash with NULL here.
fn encode_pss_parameters(digest: DigestAlgorithm) -> Vec<u8> {
    let hash = tlv::encode(tlv::SEQUENCE, &[&tlv::encode_oid(&digest.oid()), &NULL]);
    let mask = tlv::encode(tlv::SEQUENCE, &[&tlv::encode_oid(&oid::MGF1), &hash]);
    let salt = u8::try_from(digest.output_len()).unwrap_or(0);
    tlv::encode(
        tlv::SEQUENCE,
        &[
            &tlv::encode(0xa0, &[&hash]),
            &tlv::encode(0xa1, &[&mask]),
            &tlv::encode(0xa2, &[&tlv::encode(tlv::INTEGER, &[&[salt]])]),
        ],
    )
}
