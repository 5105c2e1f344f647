//! Tag, length, value: slices of BER exactly as they were sent, and small pieces of DER.
//!
//! Not a second ASN.1 library. `der` and `cms` decode into values and forget the bytes; a signature needs the bytes themselves,
//! and foreign signers send BER (indefinite and non-minimal lengths, chunked strings). Everything here is a view into the input.

use const_oid::ObjectIdentifier;

/// Deepest nesting accepted anywhere.
pub(crate) const MAX_DEPTH: usize = 32;

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(crate) const CHUNKED_OCTET_STRING: u8 = 0x24;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

const CONSTRUCTED: u8 = 0x20;
const MULTI_BYTE_TAG: u8 = 0x1f;
const INDEFINITE: u8 = 0x80;

/// Why bytes are not BER, or not the element expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct TlvError(pub(crate) &'static str);

const CUT: TlvError = TlvError("an element ends before its length says");

/// One element, as sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Element<'a> {
    /// First identifier octet. (A multi-byte tag is walked over, never expected.)
    pub(crate) tag: u8,
    /// The whole element with header and, if indefinite, its end mark.
    pub(crate) raw: &'a [u8],
    /// What is inside.
    pub(crate) content: &'a [u8],
}

impl<'a> Element<'a> {
    /// The one element that `bytes` is, nothing before or after.
    pub(crate) fn only(bytes: &'a [u8]) -> Result<Self, TlvError> {
        let mut reader = Reader::new(bytes);
        let element = reader.any()?;
        reader.finish()?;
        Ok(element)
    }

    /// A reader over the elements inside.
    pub(crate) fn children(&self) -> Reader<'a> {
        Reader::new(self.content)
    }

    /// The content, if the tag is `tag`.
    pub(crate) fn tagged(&self, tag: u8) -> Result<&'a [u8], TlvError> {
        if self.tag == tag {
            Ok(self.content)
        } else {
            Err(TlvError("an element has another tag than expected"))
        }
    }

    /// The one element inside an explicit tag.
    pub(crate) fn explicit(&self) -> Result<Element<'a>, TlvError> {
        Element::only(self.content)
    }

    /// An object identifier.
    pub(crate) fn oid(&self) -> Result<ObjectIdentifier, TlvError> {
        let content = self.tagged(OBJECT_IDENTIFIER)?;
        ObjectIdentifier::from_bytes(content).map_err(|_| TlvError("an object identifier is malformed"))
    }

    /// The octets of an OCTET STRING, chunks joined.
    pub(crate) fn octets(&self) -> Result<Vec<u8>, TlvError> {
        match self.tag {
            OCTET_STRING => Ok(self.content.to_vec()),
            CHUNKED_OCTET_STRING => self.joined(),
            _ => Err(TlvError("an OCTET STRING was expected")),
        }
    }

    /// The octets of the chunks inside, whatever this element's own tag is (implicit tagging).
    pub(crate) fn joined(&self) -> Result<Vec<u8>, TlvError> {
        let mut joined = Vec::new();
        join(self, &mut joined, 0)?;
        Ok(joined)
    }
}

fn join(element: &Element<'_>, joined: &mut Vec<u8>, depth: usize) -> Result<(), TlvError> {
    if depth > MAX_DEPTH {
        return Err(TlvError("chunks are nested too deeply"));
    }
    let mut chunks = element.children();
    while let Some(chunk) = chunks.next()? {
        match chunk.tag {
            OCTET_STRING => joined.extend_from_slice(chunk.content),
            CHUNKED_OCTET_STRING => join(&chunk, joined, depth + 1)?,
            _ => return Err(TlvError("a chunk is not an OCTET STRING")),
        }
    }
    Ok(())
}

/// Reads elements one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next element, `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Element<'a>>, TlvError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let header = Header::of(self.rest)?;
        let after = self.rest.get(header.size..).ok_or(CUT)?;
        let (length, end_mark) = match header.length {
            Some(length) => (length, 0),
            None => (length_until_end_mark(after)?, 2),
        };
        let content = after.get(..length).ok_or(CUT)?;
        let size = header
            .size
            .checked_add(length)
            .and_then(|size| size.checked_add(end_mark))
            .ok_or(CUT)?;
        let (raw, rest) = self.rest.split_at_checked(size).ok_or(CUT)?;
        self.rest = rest;
        Ok(Some(Element {
            tag: header.tag,
            raw,
            content,
        }))
    }

    /// The next element, whatever it is.
    pub(crate) fn any(&mut self) -> Result<Element<'a>, TlvError> {
        self.next()?.ok_or(TlvError("an element is missing"))
    }

    /// The next element, which must have this tag.
    pub(crate) fn expect(&mut self, tag: u8) -> Result<Element<'a>, TlvError> {
        let element = self.any()?;
        element.tagged(tag)?;
        Ok(element)
    }

    /// The next element, if it has this tag.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>, TlvError> {
        if self.rest.first() == Some(&tag) {
            self.next()
        } else {
            Ok(None)
        }
    }

    /// Nothing may be left.
    pub(crate) fn finish(&self) -> Result<(), TlvError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(TlvError("bytes follow the last element"))
        }
    }
}

/// Identifier and length octets.
struct Header {
    tag: u8,
    size: usize,
    /// `None`: indefinite.
    length: Option<usize>,
}

impl Header {
    fn of(bytes: &[u8]) -> Result<Self, TlvError> {
        let mut octets = bytes.iter().copied();
        let tag = octets.next().ok_or(CUT)?;
        let mut size = 2;
        if tag & MULTI_BYTE_TAG == MULTI_BYTE_TAG {
            let mut more = true;
            while more {
                more = octets.next().ok_or(CUT)? & 0x80 != 0;
                size += 1;
                if size > 8 {
                    return Err(TlvError("a tag is too long"));
                }
            }
        }
        let first = octets.next().ok_or(CUT)?;
        let length = match first {
            INDEFINITE if tag & CONSTRUCTED == 0 => return Err(TlvError("a primitive element has no length")),
            INDEFINITE => None,
            0xff => return Err(TlvError("a length is reserved")),
            short if short & 0x80 == 0 => Some(usize::from(short)),
            long => {
                let mut length = 0_usize;
                for _ in 0..(long & 0x7f) {
                    let octet = octets.next().ok_or(CUT)?;
                    length = length
                        .checked_mul(256)
                        .and_then(|length| length.checked_add(usize::from(octet)))
                        .ok_or(CUT)?;
                    size += 1;
                }
                Some(length)
            }
        };
        Ok(Self { tag, size, length })
    }

    fn is_end_mark(&self) -> bool {
        self.tag == 0 && self.length == Some(0)
    }
}

/// Length of the content before the end mark (00 00) that closes an indefinite element. Linear: definite elements are skipped.
fn length_until_end_mark(bytes: &[u8]) -> Result<usize, TlvError> {
    let mut open = 1_usize;
    let mut position = 0_usize;
    loop {
        let header = Header::of(bytes.get(position..).ok_or(CUT)?)?;
        if header.is_end_mark() {
            open -= 1;
            if open == 0 {
                return Ok(position);
            }
        } else if header.length.is_none() {
            open += 1;
            if open > MAX_DEPTH {
                return Err(TlvError("nested too deeply"));
            }
        }
        position = position
            .checked_add(header.size)
            .and_then(|position| position.checked_add(header.length.unwrap_or(0)))
            .ok_or(CUT)?;
    }
}

/// Walks everything once: every length holds inside its parent, and nothing is nested deeper than [`MAX_DEPTH`].
pub(crate) fn check_nesting(bytes: &[u8]) -> Result<(), TlvError> {
    // Where each open element ends; `None`: at its end mark.
    let mut open: Vec<Option<usize>> = Vec::with_capacity(MAX_DEPTH);
    let mut position = 0_usize;
    loop {
        while open.last() == Some(&Some(position)) {
            open.pop();
        }
        // An indefinite element may not run past the definite one around it.
        let limit = open.iter().rev().find_map(|end| *end).unwrap_or(bytes.len());
        if open.is_empty() && position == bytes.len() {
            return Ok(());
        }
        let header = Header::of(bytes.get(position..limit).ok_or(CUT)?)?;
        position = position.checked_add(header.size).ok_or(CUT)?;
        if header.is_end_mark() {
            if open.pop() != Some(None) {
                return Err(TlvError("an end mark closes nothing"));
            }
            continue;
        }
        let end = match header.length {
            Some(length) => Some(position.checked_add(length).filter(|end| *end <= limit).ok_or(CUT)?),
            None => None,
        };
        match end {
            Some(end) if header.tag & CONSTRUCTED == 0 => position = end,
            _ if open.len() >= MAX_DEPTH => return Err(TlvError("nested too deeply")),
            end => open.push(end),
        }
    }
}

/// A DER element from its content, given in parts.
pub(crate) fn encode(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut encoded = Vec::with_capacity(length.saturating_add(10));
    encoded.push(tag);
    if length < 0x80 {
        encoded.push(u8::try_from(length).unwrap_or(0));
    } else {
        let octets = length.to_be_bytes();
        let significant = octets.iter().skip_while(|octet| **octet == 0);
        encoded.push(0x80 | u8::try_from(significant.clone().count()).unwrap_or(0));
        encoded.extend(significant);
    }
    for part in parts {
        encoded.extend_from_slice(part);
    }
    encoded
}

/// DER of a SET OF with these elements, each an encoding.
pub(crate) fn encode_set_of(tag: u8, mut elements: Vec<Vec<u8>>) -> Vec<u8> {
    elements.sort();
    let parts: Vec<&[u8]> = elements.iter().map(Vec::as_slice).collect();
    encode(tag, &parts)
}

/// DER of an object identifier.
pub(crate) fn encode_oid(oid: &ObjectIdentifier) -> Vec<u8> {
    encode(OBJECT_IDENTIFIER, &[oid.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_every_form_are_read() {
        for (bytes, content) in [
            (&[0x04, 0x01, 0xaa][..], &[0xaa][..]),
            (&[0x04, 0x81, 0x01, 0xaa], &[0xaa]),
            (&[0x04, 0x84, 0, 0, 0, 1, 0xaa], &[0xaa]),
            (&[0x30, 0x80, 0x05, 0x00, 0x00, 0x00], &[0x05, 0x00]),
            (
                &[0x30, 0x80, 0x30, 0x80, 0x00, 0x00, 0x00, 0x00],
                &[0x30, 0x80, 0x00, 0x00],
            ),
            (&[0x3f, 0x81, 0x01, 0x00], &[]),
        ] {
            let element = Element::only(bytes).unwrap();
            assert_eq!(element.content, content);
            assert_eq!(element.raw, bytes);
            check_nesting(bytes).unwrap();
        }
    }

    #[test]
    fn what_is_not_ber_is_refused() {
        for bytes in [
            &[][..],
            &[0x30],
            &[0x30, 0x02, 0x05],
            &[0x30, 0x80, 0x05, 0x00],
            &[0x04, 0x80, 0x00, 0x00],
            &[0x04, 0xff, 0x00],
            &[0x04, 0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0x04, 0x89, 0x01, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0x3f, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x01, 0x00],
            &[0x04, 0x00, 0x00],
        ] {
            assert!(Element::only(bytes).is_err(), "{bytes:02x?}");
        }
        assert!(
            check_nesting(&[0x30, 0x02, 0x04, 0x05, 1, 2, 3, 4, 5]).is_err(),
            "a child longer than its parent"
        );
        assert!(
            check_nesting(&[0x30, 0x02, 0x30, 0x80, 0x00, 0x00]).is_err(),
            "an end mark outside the parent"
        );
    }

    #[test]
    fn depth_ends_at_the_cap() {
        let nested = |depth: usize| (0..depth).fold(Vec::new(), |inner, _| encode(SEQUENCE, &[&inner]));
        check_nesting(&nested(MAX_DEPTH)).unwrap();
        assert!(check_nesting(&nested(MAX_DEPTH + 1)).is_err());
        let bomb = [0x30, 0x80].repeat(1_000_000);
        assert!(check_nesting(&bomb).is_err());
        assert!(Element::only(&bomb).is_err());
    }

    #[test]
    fn chunks_are_joined_at_any_level() {
        let bytes = [0x24, 0x80, 0x04, 1, 1, 0x24, 0x06, 0x04, 1, 2, 0x04, 1, 3, 0x00, 0x00];
        assert_eq!(Element::only(&bytes).unwrap().octets().unwrap(), [1, 2, 3]);
    }

    #[test]
    fn encoding_uses_the_shortest_length() {
        assert_eq!(encode(0x04, &[&[1], &[2]]), [0x04, 2, 1, 2]);
        assert_eq!(encode(0x04, &[&[0; 128]]).get(..3).unwrap(), [0x04, 0x81, 0x80]);
        assert_eq!(encode(0x04, &[&[0; 256]]).get(..4).unwrap(), [0x04, 0x82, 1, 0]);
    }
}
