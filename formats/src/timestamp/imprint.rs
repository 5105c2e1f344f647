//! The steps between the types of `cryptographic-message-syntax` and ours: MessageImprint, numbers, identifiers.

use std::convert::Infallible;

use bcder::decode::{Constructed, DecodeError, SliceSource};
use bcder::encode::Values;
use bcder::{Integer, Mode, OctetString, Oid};
use const_oid::ObjectIdentifier;
use cryptographic_message_syntax::asn1::rfc3161::MessageImprint;
use cryptographic_message_syntax::asn1::rfc5652::DigestAlgorithmIdentifier;

use super::TimestampError;
use crate::digest::DigestAlgorithm;
use crate::tlv;

/// Reads a BER value that is all of `bytes`. The caller has bounded size and nesting ([`tlv::check_nesting`]); `bcder` does not.
pub(super) fn decode<'a, T>(
    bytes: &'a [u8],
    read: impl FnOnce(&mut Constructed<'_, SliceSource<'a>>) -> Result<T, DecodeError<Infallible>>,
) -> Result<T, TimestampError> {
    Constructed::decode(SliceSource::new(bytes), Mode::Ber, read)
        .map_err(|error| TimestampError::Malformed(error.to_string()))
}

/// DER of a value made here. (`bcder` panics over one that was read, because parts of it keep the mode they were read in.)
pub(super) fn encode(value: impl Values) -> Vec<u8> {
    value.to_captured(Mode::Der).as_slice().to_vec()
}

/// `MessageImprint ::= SEQUENCE { hashAlgorithm AlgorithmIdentifier, hashedMessage OCTET STRING }`, RFC 3161 §2.4.1.
pub(super) fn imprint_of(algorithm: DigestAlgorithm, imprint: &[u8]) -> MessageImprint {
    MessageImprint {
        hash_algorithm: DigestAlgorithmIdentifier {
            algorithm: identifier_of(&algorithm.oid()),
            parameters: None, // written as NULL
        },
        hashed_message: OctetString::new(imprint.to_vec().into()),
    }
}

/// Algorithm and imprint.
pub(super) fn read_imprint(imprint: &MessageImprint) -> Result<(ObjectIdentifier, Vec<u8>), TimestampError> {
    let algorithm = read_identifier(&imprint.hash_algorithm.algorithm)?;
    Ok((algorithm, imprint.hashed_message.to_bytes().to_vec()))
}

pub(super) fn identifier_of(identifier: &ObjectIdentifier) -> Oid {
    Oid(identifier.as_bytes().to_vec().into())
}

pub(super) fn read_identifier(identifier: &Oid) -> Result<ObjectIdentifier, TimestampError> {
    ObjectIdentifier::from_bytes(identifier.0.as_ref())
        .map_err(|_| TimestampError::Malformed("an object identifier is malformed".to_owned()))
}

/// The number with these content octets. Octets that add nothing are left out, as DER asks; none at all are 0.
pub(super) fn integer_of(content: &[u8]) -> Integer {
    let mut content = content;
    while let [0x00, next, ..] | [0xff, next, ..] = content
        && content.first().is_some_and(|first| (first ^ next) & 0x80 == 0)
    {
        content = content.get(1..).unwrap_or_default();
    }
    // `Integer` cannot be made of octets but by reading them.
    decode(&tlv::encode(tlv::INTEGER, &[content]), Integer::take_from).unwrap_or_else(|_| Integer::from(0_u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_the_shortest_form() {
        for (octets, shortest) in [
            (&[][..], &[0][..]),
            (&[0], &[0]),
            (&[0, 0, 5], &[5]),
            (&[0, 0x80], &[0, 0x80]),
            (&[0xff, 0xff, 0x80], &[0x80]),
            (&[0xff], &[0xff]),
            (&[0xff, 0x7f], &[0xff, 0x7f]),
            (&[0xc0, 1], &[0xc0, 1]),
            (&[1; 21], &[1; 21]),
        ] {
            assert_eq!(integer_of(octets).as_slice(), shortest, "{octets:?}");
        }
    }
}
