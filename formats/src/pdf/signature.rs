//! One signature dictionary: what it signs, and whether that is exactly one revision of the file.
//!
//! The published forgeries live on readers that are content with less: a ByteRange or Contents that is missing or empty (USF), a
//! second range that moved so that other bytes fit between (SWA), an end that is not the end of a revision (ISA).

use std::ops::Range;

use super::document::{Document, View};
use super::object::{Dictionary, Object, Reference, is_space};
use super::{Afterwards, PdfError, PdfSignature, SignatureKind, xref};
use crate::cades::{Profile, SignedData};
use crate::digest::{Digests, MultiHasher};
use crate::timestamp::Token;
use crate::tlv;

/// The signature a field's value holds.
pub(super) fn read(document: &Document<'_>, field: String, value: &Object) -> Result<PdfSignature, PdfError> {
    let view = document.newest();
    let mut signature = PdfSignature {
        field,
        kind: SignatureKind::Other,
        contents: Vec::new(),
        digests: Digests::default(),
        revision_end: 0,
        contents_start: 0,
        claimed_time: None,
        certification: None,
        locks_fields: false,
        defects: Vec::new(),
        afterwards: Afterwards::default(),
    };
    let reference = value.reference();
    let located = match reference {
        Some(reference) => view.locate(reference)?,
        None => None,
    };
    // Direct, compressed or absent: no ByteRange can be about it.
    let Some((Object::Dictionary(dictionary), Some(_))) = located else {
        signature
            .defects
            .push("the signature is no object of its own in the file".to_owned());
        return Ok(signature);
    };
    signature.kind = kind(&dictionary, &mut signature.defects);
    signature.claimed_time = dictionary.get("M").and_then(Object::string).and_then(date);
    permissions(&view, &dictionary, &mut signature)?;
    let Some(gap) = gap(document, &dictionary, &mut signature) else {
        return Ok(signature);
    };
    in_its_revision(document, reference, &mut signature);
    match dictionary.get("Contents").and_then(Object::string).and_then(unpadded) {
        Some(contents) => signature.contents = contents.to_vec(),
        None => signature
            .defects
            .push("Contents holds no CMS followed by zeros".to_owned()),
    }
    if signature.defects.is_empty() {
        signature.digests = digests(document.bytes, &gap, &signature);
    }
    Ok(signature)
}

fn kind(dictionary: &Dictionary, defects: &mut Vec<String>) -> SignatureKind {
    let kind = match dictionary.name("SubFilter") {
        Some(b"ETSI.CAdES.detached") => SignatureKind::Cades,
        Some(b"adbe.pkcs7.detached") => SignatureKind::Pkcs7,
        Some(b"ETSI.RFC3161") => SignatureKind::DocTimeStamp,
        Some(b"adbe.pkcs7.sha1") => SignatureKind::Pkcs7Sha1,
        Some(b"adbe.x509.rsa_sha1") => SignatureKind::X509RsaSha1,
        _ => SignatureKind::Other,
    };
    let fits = match dictionary.get("Type") {
        None => true,
        Some(stated) => {
            let expected: &[u8] = if kind == SignatureKind::DocTimeStamp {
                b"DocTimeStamp"
            } else {
                b"Sig"
            };
            stated.name() == Some(expected)
        }
    };
    if !fits {
        defects.push("Type and SubFilter do not fit each other".to_owned());
    }
    kind
}

/// The place of `/Contents`, if `/ByteRange` leaves out just that and ends with a revision.
fn gap(document: &Document<'_>, dictionary: &Dictionary, signature: &mut PdfSignature) -> Option<Range<usize>> {
    let defects = &mut signature.defects;
    let ranges = dictionary.get("ByteRange").and_then(Object::array).unwrap_or_default();
    let numbers: Option<Vec<usize>> = ranges
        .iter()
        .map(|number| match number {
            Object::Integer(value) => usize::try_from(*value).ok(),
            _ => None,
        })
        .collect();
    let Some([begin, first, second, rest]) = numbers.and_then(|numbers| <[usize; 4]>::try_from(numbers).ok()) else {
        defects.push("ByteRange is not two ranges".to_owned());
        return None;
    };
    let end = second.checked_add(rest).filter(|end| *end <= document.bytes.len());
    let (true, Some(end)) = (begin == 0 && first > 0 && first < second && rest > 0, end) else {
        defects.push("ByteRange does not begin with the file, overlaps, or reaches past its end".to_owned());
        return None;
    };
    signature.revision_end = end;
    signature.contents_start = first;
    let Some(contents) = dictionary.span("Contents") else {
        defects.push("there is no Contents".to_owned());
        return None;
    };
    let written = document.bytes.get(contents.clone()).unwrap_or_default();
    if contents != (first..second) || !written.starts_with(b"<") || !written.ends_with(b">") {
        defects.push("ByteRange leaves out something else than Contents".to_owned());
        return None;
    }
    let revision = document.bytes.get(..end).unwrap_or_default();
    if xref::start(revision).is_err() || revision.len() - revision.trim_ascii_end().len() > 2 {
        defects.push("ByteRange does not end where a revision of the file ends".to_owned());
        return None;
    }
    Some(contents)
}

/// The dictionary read is the one its own revision knows.
fn in_its_revision(document: &Document<'_>, reference: Option<Reference>, signature: &mut PdfSignature) {
    let newest = document.newest();
    let number = reference.map(|reference| reference.number);
    let then = document.revision(signature.revision_end);
    let same = number
        .zip(then)
        .is_some_and(|(number, then)| then.entry(number).is_some() && then.entry(number) == newest.entry(number));
    if !same {
        signature
            .defects
            .push("the signature is not the one of the revision it ends".to_owned());
    }
}

/// DocMDP and FieldMDP, ISO 32000-1 §12.8.2.
fn permissions(view: &View<'_, '_>, dictionary: &Dictionary, signature: &mut PdfSignature) -> Result<(), PdfError> {
    let references = view.get(dictionary, "Reference")?;
    for reference in references.array().unwrap_or_default().iter().take(16) {
        let reference = view.follow(reference)?;
        let Some(reference) = reference.dictionary() else {
            continue;
        };
        match reference.name("TransformMethod") {
            Some(b"DocMDP") => {
                let parameters = view.get(reference, "TransformParams")?;
                let permitted = parameters.dictionary().and_then(|parameters| parameters.integer("P"));
                signature.certification = Some(permitted.unwrap_or(2));
            }
            Some(b"FieldMDP") => signature.locks_fields = true,
            _ => {}
        }
    }
    Ok(())
}

/// The one element, if nothing but zeros follows it.
fn unpadded(contents: &[u8]) -> Option<&[u8]> {
    let element = tlv::Reader::new(contents).next().ok().flatten()?;
    if element.tag != tlv::SEQUENCE {
        return None;
    }
    let padding = contents.get(element.raw.len()..)?;
    padding.iter().all(|byte| *byte == 0).then_some(element.raw)
}

/// Under the one algorithm the CMS names. What names none cannot be verified anyway.
fn digests(bytes: &[u8], gap: &Range<usize>, signature: &PdfSignature) -> Digests {
    let algorithm = match signature.kind {
        SignatureKind::Cades | SignatureKind::Pkcs7 => SignedData::parse(&signature.contents, Profile::PlainCms)
            .ok()
            .map(|signed| signed.signer.digest_algorithm),
        SignatureKind::DocTimeStamp => Token::parse(&signature.contents)
            .ok()
            .and_then(|token| token.info.imprint_algorithm),
        _ => None,
    };
    let mut hasher = MultiHasher::new(algorithm);
    hasher.update(bytes.get(..gap.start).unwrap_or_default());
    hasher.update(bytes.get(gap.end..signature.revision_end).unwrap_or_default());
    hasher.finish()
}

/// `D:20261122100000+09'00'`, if it is made of nothing else than a date is.
fn date(written: &[u8]) -> Option<String> {
    let fits = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'D' | b':' | b'+' | b'-' | b'Z' | b'\'');
    let plain = written.len() <= 32 && written.iter().all(|byte| fits(byte) && !is_space(*byte));
    plain.then(|| String::from_utf8_lossy(written).into_owned())
}
