//! A stamp is added to a finished signature without touching a byte of what is signed.
//!
//! The elements around the new attribute get new definite lengths; everything beside the path to it is copied as sent.

use super::parse::{CONTEXT_0, CONTEXT_1, only_signer, signed_data};
use super::{CadesError, MAX_BYTES, Profile, SignedData};
use crate::oid;
use crate::tlv::{self, Element};

/// The signature with `token` (a TimeStampToken) as a further signature-time-stamp attribute. Foreign BER is welcome.
///
/// # Errors
/// The signature or the token is malformed, or the result would be larger than [`MAX_BYTES`]. Whether the token is over this
/// signature's value is for validation to say.
pub fn with_timestamp(p7s: &[u8], token: &[u8]) -> Result<Vec<u8>, CadesError> {
    SignedData::parse(p7s, Profile::Document)?;
    SignedData::parse(token, Profile::Token)?;
    with_unsigned(p7s, &stamp(token))
}

/// A SignedData with one more unsigned attribute (DER).
pub(super) fn with_unsigned(cms: &[u8], attribute: &[u8]) -> Result<Vec<u8>, CadesError> {
    let signed_data = signed_data(cms)?;
    let (before, signers) = last_child(&signed_data)?;
    let signer = with_attribute(&only_signer(&signers)?, attribute)?;
    let signers = tlv::encode(tlv::SET, &[&signer]);
    let signed_data = tlv::encode(tlv::SEQUENCE, &[before, &signers]);
    let stamped = tlv::encode(
        tlv::SEQUENCE,
        &[
            &tlv::encode_oid(&oid::SIGNED_DATA),
            &tlv::encode(CONTEXT_0, &[&signed_data]),
        ],
    );
    if stamped.len() > MAX_BYTES {
        return Err(CadesError::Malformed(format!(
            "with the stamp larger than {MAX_BYTES} bytes"
        )));
    }
    Ok(stamped)
}

/// DER around the token as sent; `Attribute` would write BER inside it anew.
fn stamp(token: &[u8]) -> Vec<u8> {
    let identifier = tlv::encode_oid(&oid::SIGNATURE_TIME_STAMP);
    tlv::encode(tlv::SEQUENCE, &[&identifier, &tlv::encode(tlv::SET, &[token])])
}

/// The SignerInfo with one more unsigned attribute.
fn with_attribute(signer: &Element<'_>, attribute: &[u8]) -> Result<Vec<u8>, CadesError> {
    let (before, last) = last_child(signer)?;
    if last.tag != CONTEXT_1 {
        let unsigned = tlv::encode(CONTEXT_1, &[attribute]);
        return Ok(tlv::encode(tlv::SEQUENCE, &[signer.content, &unsigned]));
    }
    let mut present = Vec::new();
    let mut attributes = last.children();
    while let Some(element) = attributes.next()? {
        present.push(element.raw);
    }
    // DER sorts a SET OF. What is there stays in its order, so in an unsorted one the place does not matter.
    let place = present
        .iter()
        .position(|other| *other > attribute)
        .unwrap_or(present.len());
    present.insert(place, attribute);
    let unsigned = tlv::encode(CONTEXT_1, &present);
    Ok(tlv::encode(tlv::SEQUENCE, &[before, &unsigned]))
}

/// The last element inside, and the bytes before it.
fn last_child<'a>(parent: &Element<'a>) -> Result<(&'a [u8], Element<'a>), CadesError> {
    let mut children = parent.children();
    let mut last = children.any()?;
    while let Some(next) = children.next()? {
        last = next;
    }
    let length = parent.content.len().saturating_sub(last.raw.len());
    Ok((parent.content.get(..length).unwrap_or_default(), last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cades::tests::{signature, token};

    #[test]
    fn only_the_stamp_is_new() {
        let plain = signature();
        let before = SignedData::parse(&plain, Profile::Document).unwrap();
        let once = with_timestamp(&plain, &token()).unwrap();
        let twice = with_timestamp(&once, &token()).unwrap();
        let after = SignedData::parse(&twice, Profile::Document).unwrap();
        assert_eq!(after.signer.timestamps, [token(), token()]);
        assert_eq!(after.signer.signed_attributes, before.signer.signed_attributes);
        assert_eq!(after.signer.signature, before.signer.signature);
        assert_eq!(after.certificates, before.certificates);
        assert_eq!(
            SignedData::parse(&once, Profile::Document).unwrap().signer.timestamps,
            [token()]
        );
    }

    #[test]
    fn what_is_no_signature_or_no_token_is_refused() {
        assert!(with_timestamp(&signature(), b"").is_err());
        assert!(with_timestamp(&signature(), &[0x30, 0x00]).is_err());
        assert!(
            with_timestamp(&token(), &token()).is_err(),
            "a token is no document signature when it is version 1"
        );
    }
}
