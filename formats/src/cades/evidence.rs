//! Certificates, CRLs and OCSP responses are added to a finished signature or token: what makes it verifiable for ever, CAdES-LT.
//!
//! RFC 5652 §5.1 keeps `certificates` and `crls` outside of what is signed, ETSI EN 319 122-1 §5.4 puts the evidence there. Both
//! sets are written anew in DER's order; everything beside them is copied as sent.

use super::parse::{CONTEXT_0, CONTEXT_1, signed_data};
use super::{CadesError, MAX_BYTES, MAX_CERTIFICATES, MAX_CRLS, Profile, SignedData};
use crate::oid;
use crate::tlv::{self, Element};

/// `version` of a SignedData that carries revocation information of another format, RFC 5652 §5.1.
const VERSION_5: &[u8] = &[tlv::INTEGER, 1, 5];

/// `cms`, a signature file or a token, with these certificates, CRLs and OCSP responses (each DER) beside those it has. What it has
/// is not added twice. The same evidence in another order gives the same bytes; with nothing new the bytes stay as they are.
///
/// # Errors
/// `cms` is no SignedData of one signer, a piece of evidence is not one DER SEQUENCE, or the result would have more of them than
/// [`MAX_CERTIFICATES`], [`MAX_CRLS`] or be larger than [`MAX_BYTES`].
pub fn with_evidence(
    cms: &[u8],
    certificates: &[Vec<u8>],
    crls: &[Vec<u8>],
    ocsp: &[Vec<u8>],
) -> Result<Vec<u8>, CadesError> {
    // The wider profile: what signs a document is accepted by it too.
    SignedData::parse(cms, Profile::Token)?;
    let mut parts = signed_data(cms)?.children();
    let mut version = parts.expect(tlv::INTEGER)?.raw;
    let algorithms = parts.expect(tlv::SET)?;
    let encapsulated = parts.expect(tlv::SEQUENCE)?;
    let old_certificates = parts.optional(CONTEXT_0)?;
    let old_crls = parts.optional(CONTEXT_1)?;
    let signers = parts.expect(tlv::SET)?;
    parts.finish()?;

    for piece in certificates.iter().chain(crls).chain(ocsp) {
        Element::only(piece)?.tagged(tlv::SEQUENCE)?;
    }
    let responses: Vec<Vec<u8>> = ocsp.iter().map(|response| ocsp_info(response)).collect();
    let (all_certificates, more) = united(old_certificates.as_ref(), certificates.iter(), MAX_CERTIFICATES)?;
    let (all_crls, more_crls) = united(old_crls.as_ref(), crls.iter().chain(&responses), MAX_CRLS)?;
    if !more && !more_crls {
        return Ok(cms.to_vec());
    }
    if all_crls.iter().any(|choice| choice.first() == Some(&CONTEXT_1)) {
        version = VERSION_5;
    }
    let set = |tag: u8, elements: Vec<Vec<u8>>| match elements.is_empty() {
        true => Vec::new(),
        false => tlv::encode_set_of(tag, elements),
    };
    let signed_data = tlv::encode(
        tlv::SEQUENCE,
        &[
            version,
            algorithms.raw,
            encapsulated.raw,
            &set(CONTEXT_0, all_certificates),
            &set(CONTEXT_1, all_crls),
            signers.raw,
        ],
    );
    let whole = tlv::encode(
        tlv::SEQUENCE,
        &[
            &tlv::encode_oid(&oid::SIGNED_DATA),
            &tlv::encode(CONTEXT_0, &[&signed_data]),
        ],
    );
    if whole.len() > MAX_BYTES {
        return Err(CadesError::Malformed(format!(
            "with its evidence larger than {MAX_BYTES} bytes"
        )));
    }
    Ok(whole)
}

/// [RFC 5940 §2.2](https://www.rfc-editor.org/rfc/rfc5940#section-2.2): a whole OCSPResponse as revocation information.
///
/// ```asn1
/// OtherRevocationInfoFormat ::= SEQUENCE { otherRevInfoFormat OBJECT IDENTIFIER, otherRevInfo ANY }   -- RFC 5652 §10.2.1
/// ```
fn ocsp_info(response: &[u8]) -> Vec<u8> {
    tlv::encode(CONTEXT_1, &[&tlv::encode_oid(&oid::RI_OCSP_RESPONSE), response])
}

/// What is there and what is new, and whether anything is.
fn united<'a>(
    present: Option<&Element<'_>>,
    more: impl Iterator<Item = &'a Vec<u8>>,
    most: usize,
) -> Result<(Vec<Vec<u8>>, bool), CadesError> {
    let mut all = Vec::new();
    if let Some(present) = present {
        let mut elements = present.children();
        while let Some(element) = elements.next()? {
            all.push(element.raw.to_vec());
        }
    }
    let before = all.len();
    for piece in more {
        if !all.contains(piece) {
            all.push(piece.clone());
        }
    }
    if all.len() > most {
        return Err(CadesError::Malformed(format!("more than {most} pieces of evidence")));
    }
    let grown = all.len() > before;
    Ok((all, grown))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cades::tests::{signature, token};
    use crate::cades::with_timestamp;

    fn piece(content: u8) -> Vec<u8> {
        vec![0x30, 3, 2, 1, content]
    }

    #[test]
    fn only_the_evidence_is_new_and_nothing_is_there_twice() {
        let stamped = with_timestamp(&signature(), &token()).unwrap();
        let before = SignedData::parse(&stamped, Profile::Document).unwrap();
        let (certificates, crls) = (vec![piece(9), piece(1), piece(9)], vec![piece(5)]);
        let full = with_evidence(&stamped, &certificates, &crls, &[]).unwrap();
        let after = SignedData::parse(&full, Profile::Document).unwrap();
        assert_eq!(after.signer.signed_attributes, before.signer.signed_attributes);
        assert_eq!(after.signer.signature, before.signer.signature);
        assert_eq!(after.signer.timestamps, before.signer.timestamps);
        assert_eq!(after.content, before.content);
        assert_eq!(after.certificates.len(), before.certificates.len() + 2);
        assert!(before.certificates.iter().all(|one| after.certificates.contains(one)));
        assert_eq!(after.crls.len(), before.crls.len() + 1);
        let signers = |bytes: &[u8]| {
            let mut parts = signed_data(bytes).unwrap().children();
            let mut last = parts.any().unwrap();
            while let Some(next) = parts.next().unwrap() {
                last = next;
            }
            last.raw.to_vec()
        };
        assert_eq!(signers(&full), signers(&stamped), "the SignerInfo, byte for byte");

        let turned = with_evidence(&stamped, &[piece(1), piece(9)], &crls, &[]).unwrap();
        assert_eq!(turned, full, "the order does not matter");
        assert_eq!(with_evidence(&full, &certificates, &crls, &[]).unwrap(), full);
        let in_steps = with_evidence(&stamped, &[piece(9)], &[], &[]).unwrap();
        assert_eq!(with_evidence(&in_steps, &[piece(1)], &crls, &[]).unwrap(), full);
    }

    #[test]
    fn a_token_keeps_what_its_authority_signed() {
        let before = SignedData::parse(&token(), Profile::Token).unwrap();
        let full = with_evidence(&token(), &[piece(1)], &[piece(2)], &[]).unwrap();
        let after = SignedData::parse(&full, Profile::Token).unwrap();
        assert_eq!(after.content, before.content);
        assert_eq!(after.signer.signature, before.signer.signature);
        assert_eq!(after.crls, [piece(2)]);
    }

    #[test]
    fn an_ocsp_response_is_other_revocation_information() {
        let full = with_evidence(&signature(), &[], &[piece(2)], &[piece(7)]).unwrap();
        let mut parts = signed_data(&full).unwrap().children();
        assert_eq!(parts.any().unwrap().raw, VERSION_5);
        let expected = [&[0xa1, 15, 6, 8, 0x2b, 6, 1, 5, 5, 7, 16, 2][..], &piece(7)].concat();
        let at = full
            .windows(expected.len())
            .position(|window| window == expected)
            .unwrap();
        let read = SignedData::parse(&full, Profile::Document).unwrap();
        assert_eq!((read.crls, read.ocsp), (vec![piece(2)], vec![piece(7)]));
        assert_eq!(with_evidence(&full, &[], &[], &[piece(7)]).unwrap(), full);
        // id-ri-scvp, RFC 5940 §2.3: not for us, and no reason to refuse the signature.
        let mut other = full.clone();
        other[at + 11] = 4;
        let read = SignedData::parse(&other, Profile::Document).unwrap();
        assert_eq!((read.crls, read.ocsp), (vec![piece(2)], Vec::new()));
        // Something after the response, in the place of its last octets.
        let mut longer = full;
        longer[at + 13] = 1;
        assert!(SignedData::parse(&longer, Profile::Document).is_err());
    }

    #[test]
    fn what_is_no_evidence_or_too_much_is_refused() {
        assert!(with_evidence(b"", &[], &[], &[]).is_err());
        assert!(with_evidence(&signature(), &[vec![4, 1, 1]], &[], &[]).is_err());
        assert!(with_evidence(&signature(), &[[piece(1), piece(2)].concat()], &[], &[]).is_err());
        assert!(with_evidence(&signature(), &[], &[], &[Vec::new()]).is_err());
        let many = (0..=MAX_CRLS).map(|one| tlv::encode(0x30, &[&one.to_be_bytes()]));
        assert!(with_evidence(&signature(), &[], &many.collect::<Vec<_>>(), &[]).is_err());
        let large = tlv::encode(0x30, &[&vec![5; MAX_BYTES]]);
        assert!(with_evidence(&signature(), &[large], &[], &[]).is_err());
    }
}
