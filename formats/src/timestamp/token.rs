//! TimeStampToken and the TSTInfo inside, RFC 3161 §2.4.2.

use bcder::encode::PrimitiveContent as _;
use cryptographic_message_syntax::asn1::rfc3161::MessageImprint;

use super::gen_time;
use super::imprint::{self, imprint_of, integer_of, read_imprint};
use super::{TimestampError, Token, TstInfo};
use crate::cades::{Profile, SignedData};
use crate::digest::DigestAlgorithm;
use crate::oid;
use crate::tlv::{self, Element};

const BOOLEAN: u8 = 0x01;

impl Token {
    /// Reads a token (a ContentInfo).
    ///
    /// # Errors
    /// The CMS or the TSTInfo is malformed, or is of another type or version.
    pub fn parse(bytes: &[u8]) -> Result<Self, TimestampError> {
        let signed_data = SignedData::parse(bytes, Profile::Token)?;
        if signed_data.content_type != oid::TST_INFO {
            return Err(TimestampError::Malformed("the content is not id-ct-TSTInfo".to_owned()));
        }
        let content = signed_data.content.as_deref();
        let info = TstInfo::parse(content.ok_or_else(|| TimestampError::Malformed("no TSTInfo".to_owned()))?)?;
        Ok(Self { signed_data, info })
    }
}

impl TstInfo {
    /// Reads `TSTInfo`. Accuracy, ordering and tsa are walked over.
    ///
    /// # Errors
    /// It is malformed, of another version than 1, or has a critical extension.
    pub fn parse(bytes: &[u8]) -> Result<Self, TimestampError> {
        tlv::check_nesting(bytes)?;
        let info = Element::only(bytes)?;
        info.tagged(tlv::SEQUENCE)?;
        let mut parts = info.children();
        if parts.expect(tlv::INTEGER)?.content != [1] {
            return Err(TimestampError::Malformed("the version is not 1".to_owned()));
        }
        let policy = parts.any()?.oid()?;
        let imprint = imprint::decode(parts.expect(tlv::SEQUENCE)?.raw, MessageImprint::take_from)?;
        let (algorithm, imprint) = read_imprint(&imprint)?;
        let serial = parts.expect(tlv::INTEGER)?.content.to_vec();
        let gen_time = gen_time::read(&parts.any()?)?;
        parts.optional(tlv::SEQUENCE)?;
        parts.optional(BOOLEAN)?;
        let nonce = parts.optional(tlv::INTEGER)?.map(|nonce| nonce.content.to_vec());
        parts.optional(0xa0)?;
        if let Some(extensions) = parts.optional(0xa1)? {
            let mut extensions = extensions.children();
            while let Some(extension) = extensions.next()? {
                let mut fields = extension.children();
                fields.expect(tlv::OBJECT_IDENTIFIER)?;
                if fields
                    .optional(BOOLEAN)?
                    .is_some_and(|critical| critical.content != [0])
                {
                    return Err(TimestampError::Extension);
                }
            }
        }
        parts.finish()?;
        let imprint_algorithm = DigestAlgorithm::from_oid(&algorithm);
        Ok(Self {
            policy,
            imprint_algorithm,
            imprint,
            serial,
            gen_time,
            nonce,
        })
    }

    /// DER, without the optional fields but the nonce.
    ///
    /// # Errors
    /// The imprint's algorithm is not one of ours.
    pub fn encode(&self) -> Result<Vec<u8>, TimestampError> {
        let algorithm = self
            .imprint_algorithm
            .ok_or_else(|| TimestampError::Malformed("no imprint algorithm".to_owned()))?;
        let nonce = self
            .nonce
            .as_ref()
            .map(|nonce| imprint::encode(integer_of(nonce).encode()))
            .unwrap_or_default();
        Ok(tlv::encode(
            tlv::SEQUENCE,
            &[
                &tlv::encode(tlv::INTEGER, &[&[1]]),
                &tlv::encode_oid(&self.policy),
                &imprint::encode(imprint_of(algorithm, &self.imprint).encode_ref()),
                &imprint::encode(integer_of(&self.serial).encode()),
                &gen_time::write(self.gen_time),
                &nonce,
            ],
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn what_is_stated_is_read_back() {
        let info = TstInfo {
            policy: oid::DATA,
            imprint_algorithm: Some(DigestAlgorithm::Sha512),
            imprint: vec![5; 64],
            serial: vec![1, 2],
            gen_time: datetime!(2026-11-22 10:00:00.197 UTC),
            nonce: Some(vec![0xc0, 6]),
        };
        let bytes = info.encode().unwrap();
        assert_eq!(TstInfo::parse(&bytes).unwrap(), info);
        for cut in 0..bytes.len() {
            assert!(TstInfo::parse(&bytes[..cut]).is_err());
        }
    }
}
