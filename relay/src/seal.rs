//! Files at rest: a head, then segments of AES-256-GCM (NIST SP 800-38D), each bound to its file, its place and the end.
//! `CONTRACTS.md` §10 has the format to the byte; `examples/open_sealed.py` opens it without any of this.
//!
//! Segments stand alone, so that a range opens what it needs and no more, and an upload is sealed as it grows.

mod reader;

use std::fmt;
use std::io;
use std::ops::Range;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;

use crate::keys::DataKey;
pub(crate) use reader::{SealedReader, Source};

/// Bytes of content in every segment but the last.
pub(crate) const SEGMENT: u64 = 64 << 10;
/// What a file begins with: magic, version 1 and the segment size, big-endian.
pub(crate) const HEAD: [u8; 16] = *b"hikyaku\n\0\x01\0\0\0\x01\0\0";
/// Nonce and tag of a segment.
const OVERHEAD: u64 = NONCE_LEN as u64 + TAG;
const TAG: u64 = 16;
/// A whole segment in the file.
const SEALED: u64 = SEGMENT + OVERHEAD;

/// The seal of one file: a container's key, and the name each segment is bound to.
#[derive(Clone)]
pub(crate) struct Seal {
    key: std::sync::Arc<LessSafeKey>,
    /// Head and name, as every segment's associated data begin.
    bound: Vec<u8>,
}

impl Seal {
    /// The seal of the file `file` of the container `container`.
    ///
    /// # Errors
    /// Never for keys of 32 bytes and names as short as ours; an error all the same, rather than an assumption.
    pub(crate) fn new(key: &DataKey, container: &str, file: &str) -> io::Result<Self> {
        let unbound = UnboundKey::new(&AES_256_GCM, key.as_slice()).map_err(|_| damaged("a key that does not fit"))?;
        let name = format!("{container}/{file}");
        let length = u16::try_from(name.len()).map_err(|_| damaged("a name that is too long"))?;
        let mut bound = HEAD.to_vec();
        bound.extend(length.to_be_bytes());
        bound.extend(name.as_bytes());
        Ok(Self {
            key: std::sync::Arc::new(LessSafeKey::new(unbound)),
            bound,
        })
    }

    /// Appends a segment to `out`: nonce, ciphertext, tag.
    ///
    /// # Errors
    /// If the system gives no random bytes.
    pub(crate) fn seal(&self, index: u64, last: bool, content: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| io::Error::other("no random bytes"))?;
        out.extend(nonce);
        let start = out.len();
        out.extend(content);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let aad = Aad::from(self.aad(index, last));
        let sealed = self.key.seal_in_place_separate_tag(nonce, aad, &mut out[start..]);
        out.extend(sealed.map_err(|_| damaged("a segment cannot be sealed"))?.as_ref());
        Ok(())
    }

    /// Opens a segment in place.
    ///
    /// # Errors
    /// `InvalidData` for one that is damaged, or another's, or of another place.
    pub(crate) fn open<'a>(&self, index: u64, last: bool, segment: &'a mut [u8]) -> io::Result<&'a [u8]> {
        let (nonce, sealed) = segment
            .split_first_chunk_mut::<NONCE_LEN>()
            .ok_or_else(|| damaged("it is cut"))?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.key.open_in_place(nonce, Aad::from(self.aad(index, last)), sealed);
        opened
            .map(|content| &*content)
            .map_err(|_| damaged("a segment does not open"))
    }

    /// A whole file at once.
    ///
    /// # Errors
    /// As [`Seal::seal`].
    pub(crate) fn whole(&self, content: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::with_capacity(usize::try_from(sealed_size(content.len() as u64)).unwrap_or_default());
        out.extend(HEAD);
        let end = last_segment(content.len() as u64);
        for index in 0..=end {
            let range = content_of(index, content.len() as u64);
            // Both ends lie within `content`, whose length is a usize.
            let part = content
                .get(range.start as usize..range.end as usize)
                .unwrap_or_default();
            self.seal(index, index == end, part, &mut out)?;
        }
        Ok(out)
    }

    fn aad(&self, index: u64, last: bool) -> Vec<u8> {
        let mut aad = Vec::with_capacity(self.bound.len() + 9);
        aad.extend(&self.bound);
        aad.extend(index.to_be_bytes());
        aad.push(u8::from(last));
        aad
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

/// Bytes of a file with so much content.
pub(crate) fn sealed_size(content: u64) -> u64 {
    HEAD.len() as u64 + content + (last_segment(content) + 1) * OVERHEAD
}

/// Bytes of content in a whole file of this size; `None` for a size no sealed file has.
pub(crate) fn content_size(sealed: u64) -> Option<u64> {
    let segments = sealed.checked_sub(HEAD.len() as u64)?;
    let rest = segments % SEALED;
    let last = if rest == 0 {
        SEALED.min(segments).checked_sub(OVERHEAD)?
    } else {
        rest.checked_sub(OVERHEAD)?
    };
    let before = segments - last - OVERHEAD;
    // Only an empty file has an empty segment.
    (last > 0 || before == 0).then_some(before / SEALED * SEGMENT + last)
}

/// The index of the last segment of so much content; an empty file has one segment too.
pub(crate) fn last_segment(content: u64) -> u64 {
    content.saturating_sub(1) / SEGMENT
}

/// How many whole segments a file of this size holds that is not finished.
pub(crate) fn whole_segments(sealed: u64) -> u64 {
    sealed.saturating_sub(HEAD.len() as u64) / SEALED
}

/// Which bytes of the content a segment holds.
pub(crate) fn content_of(index: u64, content: u64) -> Range<u64> {
    let start = index.saturating_mul(SEGMENT).min(content);
    start..start.saturating_add(SEGMENT).min(content)
}

/// Where segments lie in the file: from the first byte of `first` on; each takes [`SEALED`] bytes, but the last of the file.
pub(crate) fn place_of(first: u64) -> u64 {
    HEAD.len() as u64 + first.saturating_mul(SEALED)
}

/// Where the segments `range` lie in the file.
pub(crate) fn places(range: Range<u64>, content: u64) -> Range<u64> {
    place_of(range.start)..place_of(range.end).min(sealed_size(content))
}

/// What is said of a file that is not as it was written.
pub(crate) fn damaged(what: &str) -> io::Error {
    let reason = format!("a sealed file is damaged, cut or exchanged: {what}");
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(key: &DataKey, file: &str) -> Seal {
        Seal::new(key, "019", file).unwrap()
    }

    #[test]
    fn the_head_is_what_the_contract_says() {
        assert_eq!(&HEAD[..8], b"hikyaku\n");
        assert_eq!(HEAD[8..12], [0, 1, 0, 0]);
        assert_eq!(u64::from(u32::from_be_bytes(HEAD[12..].try_into().unwrap())), SEGMENT);
    }

    #[test]
    fn sizes_go_both_ways() {
        for content in [0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 7 * SEGMENT, 7 * SEGMENT + 9] {
            assert_eq!(content_size(sealed_size(content)), Some(content), "{content}");
        }
        let whole = sealed_size(3 * SEGMENT);
        for none in [0, 15, 16, 16 + OVERHEAD - 1, whole + 1, whole + OVERHEAD] {
            assert_eq!(content_size(none), None, "{none}");
        }
    }

    #[test]
    fn nothing_opens_but_what_was_sealed_in_this_place_of_this_file() {
        let key = DataKey::generate().unwrap();
        let ours = seal(&key, "a");
        let mut sealed = Vec::new();
        ours.seal(3, false, b"a letter", &mut sealed).unwrap();
        let open = |seal: &Seal, index, last, bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            seal.open(index, last, &mut bytes).map(<[u8]>::to_vec)
        };
        assert_eq!(open(&ours, 3, false, &sealed).unwrap(), b"a letter");
        assert!(open(&ours, 2, false, &sealed).is_err(), "another place");
        assert!(open(&ours, 3, true, &sealed).is_err(), "said to be the end");
        assert!(open(&seal(&key, "b"), 3, false, &sealed).is_err(), "another file");
        assert!(open(&Seal::new(&key, "020", "a").unwrap(), 3, false, &sealed).is_err());
        assert!(open(&seal(&DataKey::generate().unwrap(), "a"), 3, false, &sealed).is_err());
        for at in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[at] ^= 0x80;
            assert!(open(&ours, 3, false, &bad).is_err(), "byte {at}");
            assert!(open(&ours, 3, false, &sealed[..at]).is_err(), "cut at {at}");
        }
        let mut again = Vec::new();
        ours.seal(3, false, b"a letter", &mut again).unwrap();
        assert_ne!(sealed, again, "nonces are random");
    }
}
