//! Which digest a signature algorithm implies, and the identifiers written into new signatures.

use const_oid::ObjectIdentifier;
use der::asn1::Any;
use der::{Decode as _, EncodingRules, Sequence};
use spki::AlgorithmIdentifierOwned;

use super::{CadesError, SignatureScheme};
use crate::digest::DigestAlgorithm;
use crate::oid;
use crate::tlv::Element;

/// `RSASSA-PSS-params`, RFC 8017 A.2.3. Each field has a DEFAULT (SHA-1, MGF1 with SHA-1, 20, 1), here `None`.
///
/// ```asn1
/// RSASSA-PSS-params ::= SEQUENCE { hashAlgorithm [0] HashAlgorithm DEFAULT sha1, maskGenAlgorithm [1] MaskGenAlgorithm DEFAULT
///     mgf1SHA1, saltLength [2] INTEGER DEFAULT 20, trailerField [3] TrailerField DEFAULT trailerFieldBC }
/// ```
#[derive(Sequence)]
struct RsaPssParams {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    hash_algorithm: Option<AlgorithmIdentifierOwned>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    mask_gen_algorithm: Option<AlgorithmIdentifierOwned>,
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT", optional = "true")]
    salt_length: Option<u32>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    trailer_field: Option<u32>,
}

/// `CMSAlgorithmProtection`, RFC 6211 §2: what the signer says the algorithms are, under the signature.
///
/// ```asn1
/// CMSAlgorithmProtection ::= SEQUENCE { digestAlgorithm DigestAlgorithmIdentifier, signatureAlgorithm [1] SignatureAlgorithmIdentifier
///     OPTIONAL, macAlgorithm [2] MessageAuthenticationCodeAlgorithm OPTIONAL }
/// ```
#[derive(Sequence)]
pub(super) struct AlgorithmProtection {
    digest_algorithm: AlgorithmIdentifierOwned,
    #[asn1(
        context_specific = "1",
        tag_mode = "IMPLICIT",
        constructed = "true",
        optional = "true"
    )]
    signature_algorithm: Option<AlgorithmIdentifierOwned>,
    #[asn1(
        context_specific = "2",
        tag_mode = "IMPLICIT",
        constructed = "true",
        optional = "true"
    )]
    mac_algorithm: Option<AlgorithmIdentifierOwned>,
}

impl AlgorithmProtection {
    pub(super) fn read(value: &Element<'_>) -> Result<Self, CadesError> {
        Ok(Self::from_ber(value.raw)?)
    }

    /// Whether these are the algorithms the SignerInfo names. A SignerInfo has a signature and no MAC.
    pub(super) fn agrees(&self, digest: DigestAlgorithm, signature: &AlgorithmIdentifierOwned) -> bool {
        let stated = self.signature_algorithm.as_ref();
        self.mac_algorithm.is_none()
            && self.digest_algorithm.oid == digest.oid()
            && stated.is_some_and(|stated| stated.oid == signature.oid && parameters(stated) == parameters(signature))
    }
}

/// Absent and NULL say the same.
fn parameters(algorithm: &AlgorithmIdentifierOwned) -> Option<&Any> {
    algorithm
        .parameters
        .as_ref()
        .filter(|parameters| !parameters.to_ref().is_null())
}

/// Reads an AlgorithmIdentifier that names a digest of ours.
pub(super) fn read_digest(element: &Element<'_>) -> Result<DigestAlgorithm, CadesError> {
    digest(&AlgorithmIdentifierOwned::from_ber(element.raw)?)
}

/// The digest of ours it names.
pub(super) fn digest(algorithm: &AlgorithmIdentifierOwned) -> Result<DigestAlgorithm, CadesError> {
    DigestAlgorithm::from_oid(&algorithm.oid)
        .ok_or_else(|| CadesError::UnsupportedAlgorithm(format!("digest {}", algorithm.oid)))
}

/// Reads the signature algorithm and holds it against the digest algorithm.
pub(super) fn read_signature(
    element: &Element<'_>,
    digest: DigestAlgorithm,
) -> Result<AlgorithmIdentifierOwned, CadesError> {
    let algorithm = AlgorithmIdentifierOwned::from_ber(element.raw)?;
    let implied = match algorithm.oid {
        oid::RSA_ENCRYPTION => digest,
        oid::RSASSA_PSS => pss_digest(&algorithm)?,
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

fn pss_digest(algorithm: &AlgorithmIdentifierOwned) -> Result<DigestAlgorithm, CadesError> {
    let parameters = algorithm
        .parameters
        .as_ref()
        .ok_or_else(|| CadesError::Algorithm("RSASSA-PSS without parameters".to_owned()))?;
    let parameters = parameters
        .decode_as_encoding::<RsaPssParams>(EncodingRules::Ber)
        .map_err(|_| CadesError::Algorithm("the parameters of RSASSA-PSS are malformed".to_owned()))?;
    match parameters.hash_algorithm {
        Some(hash) => digest(&hash),
        None => Err(CadesError::UnsupportedAlgorithm("RSASSA-PSS over SHA-1".to_owned())),
    }
}

/// The AlgorithmIdentifier of a digest; parameters absent (RFC 5754 §2).
pub(super) fn of_digest(digest: DigestAlgorithm) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned {
        oid: digest.oid(),
        parameters: None,
    }
}

/// The AlgorithmIdentifier of a signature.
pub(super) fn of_signature(
    scheme: SignatureScheme,
    digest: DigestAlgorithm,
) -> Result<AlgorithmIdentifierOwned, CadesError> {
    let oid = match (scheme, digest) {
        (SignatureScheme::RsaPkcs1, DigestAlgorithm::Sha256) => oid::SHA256_WITH_RSA,
        (SignatureScheme::RsaPkcs1, DigestAlgorithm::Sha384) => oid::SHA384_WITH_RSA,
        (SignatureScheme::RsaPkcs1, DigestAlgorithm::Sha512) => oid::SHA512_WITH_RSA,
        (SignatureScheme::RsaPss, _) => oid::RSASSA_PSS,
        (SignatureScheme::Ecdsa, DigestAlgorithm::Sha256) => oid::ECDSA_WITH_SHA256,
        (SignatureScheme::Ecdsa, DigestAlgorithm::Sha384) => oid::ECDSA_WITH_SHA384,
        (SignatureScheme::Ecdsa, DigestAlgorithm::Sha512) => oid::ECDSA_WITH_SHA512,
    };
    let parameters = match scheme {
        SignatureScheme::RsaPkcs1 => Some(Any::null()),
        SignatureScheme::RsaPss => Some(Any::encode_from(&pss_parameters(digest)?)?),
        SignatureScheme::Ecdsa => None,
    };
    Ok(AlgorithmIdentifierOwned { oid, parameters })
}

/// MGF1 over the same hash, salt as long as the hash. RFC 4055 §2.1 and §3.1 want the hash with NULL here.
fn pss_parameters(digest: DigestAlgorithm) -> Result<RsaPssParams, CadesError> {
    let hash = AlgorithmIdentifierOwned {
        oid: digest.oid(),
        parameters: Some(Any::null()),
    };
    let mask = AlgorithmIdentifierOwned {
        oid: oid::MGF1,
        parameters: Some(Any::encode_from(&hash)?),
    };
    Ok(RsaPssParams {
        hash_algorithm: Some(hash),
        mask_gen_algorithm: Some(mask),
        salt_length: u32::try_from(digest.output_len()).ok(),
        trailer_field: None,
    })
}
