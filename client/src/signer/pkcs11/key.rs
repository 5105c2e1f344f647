//! The private key of a certificate on a token, and how it signs: mechanism, input and the shape of the signature.

use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use cryptoki::types::Ulong;
use der::asn1::{OctetStringRef, UintRef};
use der::{Decode, Encode, Sequence};
use formats::cades::SignatureScheme;
use formats::digest::DigestAlgorithm;
use trust_store::{Certificate, algorithm};

use super::Trouble;
use super::token::{Found, Token};
use crate::error::{Code, Failure};
use crate::signer::SignerError;

/// A private key on a token.
pub(super) struct PrivateKey {
    pub(super) handle: ObjectHandle,
    /// CKA_ALWAYS_AUTHENTICATE
    pub(super) always_authenticate: bool,
}

impl PrivateKey {
    /// The key of a certificate: an RSA key by its modulus and exponent, an EC key by the CKA_ID of its public point. Never by label: labels differ
    /// from issuer to issuer, and certificates of CAs lie on the same card.
    pub(super) fn find(session: &Session, found: &Found) -> Result<Self, Trouble> {
        let private = Attribute::Class(ObjectClass::PRIVATE_KEY);
        let handle = match rsa_numbers(&found.certificate) {
            Some((modulus, exponent)) => {
                let rsa = [
                    private.clone(),
                    Attribute::KeyType(KeyType::RSA),
                    Attribute::Modulus(modulus.clone()),
                ];
                let exact = [rsa.as_slice(), &[Attribute::PublicExponent(exponent)]].concat();
                match first(session, &exact)? {
                    Some(handle) => Some(handle),
                    // Tokens need not keep the public exponent with the private key.
                    None => match first(session, &rsa)? {
                        Some(handle) => Some(handle),
                        None => by_attribute(session, &private, &modulus)?,
                    },
                }
            }
            None => first(
                session,
                &[
                    private,
                    Attribute::KeyType(KeyType::EC),
                    Attribute::Id(ec_id(session, found)),
                ],
            )?,
        };
        let handle = handle.ok_or_else(|| {
            Trouble::Final(SignerError::Failed(
                "the token holds no private key for its certificate".to_owned(),
            ))
        })?;
        let always_authenticate = session
            .get_attributes(handle, &[AttributeType::AlwaysAuthenticate])
            .unwrap_or_default()
            .contains(&Attribute::AlwaysAuthenticate(true));
        Ok(Self {
            handle,
            always_authenticate,
        })
    }
}

/// How the key of `certificate` signs on `token`.
pub(super) fn scheme(certificate: &Certificate, token: &Token, pss: bool) -> Result<SignatureScheme, Failure> {
    let not_offered = |what: &str| Failure::new(Code::MechanismNotOffered, format!("{}: {what}", token.label));
    let name = algorithm::key_name(&certificate.key).map_err(|error| not_offered(&error.to_string()))?;
    let (scheme, mechanism) = match (name.starts_with("rsa"), pss) {
        // Every HPKI module has it; a list that does not name it is not believed.
        (true, false) => return Ok(SignatureScheme::RsaPkcs1),
        (true, true) => (SignatureScheme::RsaPss, MechanismType::RSA_PKCS_PSS),
        (false, _) => (SignatureScheme::Ecdsa, MechanismType::ECDSA),
    };
    if token.mechanisms.contains(&mechanism) {
        Ok(scheme)
    } else {
        Err(not_offered(&format!("{mechanism}")))
    }
}

pub(super) fn mechanism(scheme: SignatureScheme, digest: DigestAlgorithm) -> Mechanism<'static> {
    let (hash_alg, mgf, s_len) = match digest {
        DigestAlgorithm::Sha256 => (MechanismType::SHA256, PkcsMgfType::MGF1_SHA256, Ulong::new(32)),
        DigestAlgorithm::Sha384 => (MechanismType::SHA384, PkcsMgfType::MGF1_SHA384, Ulong::new(48)),
        DigestAlgorithm::Sha512 => (MechanismType::SHA512, PkcsMgfType::MGF1_SHA512, Ulong::new(64)),
    };
    match scheme {
        SignatureScheme::RsaPkcs1 => Mechanism::RsaPkcs,
        SignatureScheme::RsaPss => Mechanism::RsaPkcsPss(PkcsPssParams { hash_alg, mgf, s_len }),
        SignatureScheme::Ecdsa => Mechanism::Ecdsa,
    }
}

/// What the token gets to sign: for PKCS #1 v1.5 the DigestInfo, else the bare hash.
pub(super) fn input(scheme: SignatureScheme, digest: DigestAlgorithm, hash: &[u8]) -> Vec<u8> {
    if scheme == SignatureScheme::RsaPkcs1 {
        let mut digest_info = digest_info_prefix(digest).to_vec();
        digest_info.extend_from_slice(hash);
        digest_info
    } else {
        hash.to_vec()
    }
}

/// RFC 3279 §2.2.3: tokens give `r ‖ s`, signatures carry the DER of both.
pub(super) fn encode_signature(scheme: SignatureScheme, raw: Vec<u8>) -> Result<Vec<u8>, Trouble> {
    #[derive(Sequence)]
    struct EcdsaSigValue<'a> {
        r: UintRef<'a>,
        s: UintRef<'a>,
    }
    if scheme != SignatureScheme::Ecdsa {
        return Ok(raw);
    }
    let (r, s) = raw.split_at(raw.len() / 2);
    UintRef::new(r)
        .and_then(|r| Ok(EcdsaSigValue { r, s: UintRef::new(s)? }))
        .and_then(|value| value.to_der())
        .map_err(|_| {
            Trouble::Final(SignerError::Failed(
                "the token's ECDSA signature is malformed".to_owned(),
            ))
        })
}

/// RFC 8017 §9.2 note 1: the DER of DigestInfo up to the hash.
fn digest_info_prefix(digest: DigestAlgorithm) -> [u8; 19] {
    let (total, last, length) = match digest {
        DigestAlgorithm::Sha256 => (0x31, 0x01, 0x20),
        DigestAlgorithm::Sha384 => (0x41, 0x02, 0x30),
        DigestAlgorithm::Sha512 => (0x51, 0x03, 0x40),
    };
    [
        0x30, total, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, last, 0x05, 0x00, 0x04,
        length,
    ]
}

fn first(session: &Session, template: &[Attribute]) -> Result<Option<ObjectHandle>, Trouble> {
    Ok(session
        .find_objects(template)
        .map_err(Trouble::from)?
        .into_iter()
        .next())
}

/// For modules that cannot search by modulus: look at each private key.
fn by_attribute(session: &Session, private: &Attribute, modulus: &[u8]) -> Result<Option<ObjectHandle>, Trouble> {
    let keys = session
        .find_objects(std::slice::from_ref(private))
        .map_err(Trouble::from)?;
    Ok(keys.into_iter().find(|key| {
        let attributes = session
            .get_attributes(*key, &[AttributeType::Modulus])
            .unwrap_or_default();
        attributes.iter().any(|attribute| {
            matches!(attribute, Attribute::Modulus(other) if other.iter().skip_while(|b| **b == 0).eq(modulus))
        })
    }))
}

/// RFC 8017 A.1.1: `RSAPublicKey ::= SEQUENCE { modulus INTEGER, publicExponent INTEGER }`, without leading zeros.
fn rsa_numbers(certificate: &Certificate) -> Option<(Vec<u8>, Vec<u8>)> {
    #[derive(Sequence)]
    struct RsaPublicKey<'a> {
        modulus: UintRef<'a>,
        public_exponent: UintRef<'a>,
    }
    let key = RsaPublicKey::from_der(certificate.key.subject_public_key.raw_bytes()).ok()?;
    Some((key.modulus.as_bytes().to_vec(), key.public_exponent.as_bytes().to_vec()))
}

/// The CKA_ID of an EC key: that of the public key with the certificate's point, else the certificate's own.
fn ec_id(session: &Session, found: &Found) -> Vec<u8> {
    let point =
        OctetStringRef::new(found.certificate.key.subject_public_key.raw_bytes()).and_then(|point| point.to_der());
    let public = point.ok().and_then(|point| {
        let template = [Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::EcPoint(point)];
        session.find_objects(&template).ok()?.into_iter().next()
    });
    let attributes = public.and_then(|key| session.get_attributes(key, &[AttributeType::Id]).ok());
    match attributes.as_deref() {
        Some([Attribute::Id(id)]) => id.clone(),
        _ => found.id.clone(),
    }
}
