//! Records at rest: position and commitment in the clear, salt and body under the key of their month and class.
//!
//! ```text
//! sealed record = position (u64 LE) ‖ commitment (32) ‖ key id (8: YYYY-MM, then S or A) ‖ nonce (12) ‖ ciphertext ‖ tag (16)
//! ciphertext    = AES-256-GCM(salt (32) ‖ body), associated data: position ‖ commitment ‖ key id as above
//! ```
//!
//! NIST SP 800-38D §8.2.2: nonces are random; a key seals far fewer than 2^32 records and rows, being one month's.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hmac, rand};
use formats::trail::commitment;

use crate::month_keys::KeyId;
use crate::store::{Content, StoredRecord};

/// Position, commitment, key id.
const CLEAR: usize = 8 + 32 + 8;
const TAG: usize = 16;
/// Bytes of a sealed record beyond its body.
pub(super) const OVERHEAD: usize = CLEAR + NONCE_LEN + 32 + TAG;
/// What the key of index rows is derived with.
const ROWS: &[u8] = b"hikyaku index rows";

/// No random bytes, or more than AES-GCM takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot be sealed")]
pub(crate) struct SealError;

/// The key of a month, opened: for its records, and derived from it for the rows of the index that tell of them.
pub(crate) struct OpenKey {
    records: LessSafeKey,
    rows: LessSafeKey,
}

impl OpenKey {
    /// `None` only if 32 bytes were no key.
    pub(crate) fn new(key: &[u8; 32]) -> Option<Self> {
        let aead = |key: &[u8]| UnboundKey::new(&AES_256_GCM, key).map(LessSafeKey::new).ok();
        // NIST SP 800-108 in its simplest form: HMAC of a label.
        let rows = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), ROWS);
        Some(Self {
            records: aead(key)?,
            rows: aead(rows.as_ref())?,
        })
    }

    /// Appends nonce, ciphertext and tag of an index row to `out`; bound to the row's key.
    pub(crate) fn seal_row(&self, row: &[u8], value: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        seal(&self.rows, row, &[value], out)
    }

    /// What was sealed by [`OpenKey::seal_row`]; `None` if it is not that.
    pub(crate) fn open_row(&self, row: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        open(&self.rows, row, sealed)
    }
}

fn seal(key: &LessSafeKey, bound: &[u8], parts: &[&[u8]], out: &mut Vec<u8>) -> Result<(), SealError> {
    let mut nonce = [0; NONCE_LEN];
    rand::fill(&mut nonce).map_err(|_| SealError)?;
    out.extend(nonce);
    let start = out.len();
    for part in parts {
        out.extend(*part);
    }
    let content = out.get_mut(start..).ok_or(SealError)?;
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = key.seal_in_place_separate_tag(nonce, Aad::from(bound), content);
    out.extend(tag.map_err(|_| SealError)?.as_ref());
    Ok(())
}

fn open(key: &LessSafeKey, bound: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
    let mut content = sealed.to_vec();
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let length = key.open_in_place(nonce, Aad::from(bound), &mut content).ok()?.len();
    content.truncate(length);
    Some(content)
}

/// A record as it lies on a disk or in a table.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SealedRecord {
    pub(crate) position: u64,
    pub(crate) commitment: [u8; 32],
    pub(crate) key: KeyId,
    /// Nonce, ciphertext, tag.
    sealed: Vec<u8>,
}

impl SealedRecord {
    /// Seals what a record says under the key `id`.
    pub(crate) fn seal(position: u64, content: &Content, id: KeyId, key: &OpenKey) -> Result<Self, SealError> {
        let mut record = Self {
            position,
            commitment: commitment(&content.salt, content.body.as_bytes()),
            key: id,
            sealed: Vec::with_capacity(OVERHEAD - CLEAR + content.body.len()),
        };
        let parts = [content.salt.as_slice(), content.body.as_bytes()];
        seal(&key.records, &record.clear(), &parts, &mut record.sealed)?;
        Ok(record)
    }

    /// What it says, in the memory it lay sealed in; `None` if it does not open, or is not what the log committed to.
    pub(crate) fn open(self, key: &OpenKey) -> Option<Content> {
        let bound = Aad::from(self.clear());
        let mut bytes = self.sealed;
        let (nonce, sealed) = bytes.split_first_chunk_mut::<NONCE_LEN>()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let content = key.records.open_in_place(nonce, bound, sealed).ok()?;
        let salt = *content.first_chunk::<32>()?;
        let end = NONCE_LEN + content.len();
        bytes.truncate(end);
        bytes.drain(..NONCE_LEN + salt.len());
        let body = String::from_utf8(bytes).ok()?;
        (commitment(&salt, body.as_bytes()) == self.commitment).then_some(Content { body, salt })
    }

    /// The record without what it says.
    pub(crate) fn erased(&self) -> StoredRecord {
        StoredRecord {
            position: self.position,
            commitment: self.commitment,
            content: None,
        }
    }

    /// Number of its bytes.
    pub(crate) fn length(&self) -> usize {
        CLEAR + self.sealed.len()
    }

    /// Its bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.length());
        self.push(&mut bytes);
        bytes
    }

    /// Appends its bytes.
    pub(super) fn push(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.clear());
        out.extend_from_slice(&self.sealed);
    }

    /// From its bytes; `None` if they are too short or name no key.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < OVERHEAD {
            return None;
        }
        let (position, rest) = bytes.split_first_chunk::<8>()?;
        let (commitment, rest) = rest.split_first_chunk::<32>()?;
        let (key, sealed) = rest.split_first_chunk::<8>()?;
        Some(Self {
            position: u64::from_le_bytes(*position),
            commitment: *commitment,
            key: KeyId::parse(*key)?,
            sealed: sealed.to_vec(),
        })
    }

    fn clear(&self) -> [u8; CLEAR] {
        let mut clear = [0; CLEAR];
        let (position, rest) = clear.split_at_mut(8);
        let (commitment, key) = rest.split_at_mut(32);
        position.copy_from_slice(&self.position.to_le_bytes());
        commitment.copy_from_slice(&self.commitment);
        key.copy_from_slice(self.key.as_bytes());
        clear
    }
}

impl fmt::Debug for SealedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedRecord({}, {})", self.position, self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_opens_only_as_it_was_sealed() {
        let (id, other) = ("2026-11.account".parse().unwrap(), "2026-11.standing".parse().unwrap());
        let key = OpenKey::new(&[7; 32]).unwrap();
        let content = Content {
            body: "{\"patient\":\"12345\"}".into(),
            salt: [9; 32],
        };
        let sealed = SealedRecord::seal(3, &content, id, &key).unwrap();
        let bytes = sealed.encode();
        assert_eq!(bytes.len(), OVERHEAD + content.body.len());
        assert!(!bytes.windows(5).any(|part| part == b"12345"));
        assert_eq!(bytes[..8], 3_u64.to_le_bytes());
        assert_eq!(bytes[8..40], commitment(&[9; 32], content.body.as_bytes()));
        assert_eq!(&bytes[40..48], b"2026-11A");
        let parsed = SealedRecord::parse(&bytes).unwrap();
        assert!(parsed == sealed && parsed.open(&key) == Some(content.clone()));
        assert_ne!(
            SealedRecord::seal(3, &content, id, &key).unwrap().encode(),
            bytes,
            "a nonce is never used twice"
        );
        assert_eq!(sealed.clone().open(&OpenKey::new(&[8; 32]).unwrap()), None);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let opened = SealedRecord::parse(&changed).and_then(|record| record.open(&key));
            assert_eq!(opened, None, "byte {at}");
        }
        let renamed = SealedRecord {
            key: other,
            ..sealed.clone()
        };
        assert_eq!(format!("{sealed:?}"), "SealedRecord(3, 2026-11.account)");
        assert_eq!(renamed.open(&key), None);
        assert!(SealedRecord::parse(&bytes[..OVERHEAD - 1]).is_none());
    }

    #[test]
    fn a_body_that_is_not_what_was_committed_to_does_not_open() {
        let id = "2026-11.account".parse().unwrap();
        let key = OpenKey::new(&[7; 32]).unwrap();
        let content = Content {
            body: "{}".into(),
            salt: [9; 32],
        };
        let mut forged = SealedRecord::seal(3, &content, id, &key).unwrap();
        forged.commitment[0] ^= 1;
        forged.sealed.clear();
        let parts = [content.salt.as_slice(), content.body.as_bytes()];
        seal(&key.records, &forged.clear(), &parts, &mut forged.sealed).unwrap();
        assert_eq!(forged.open(&key), None);
    }

    #[test]
    fn a_row_is_bound_to_its_key_and_not_sealed_as_records_are() {
        let key = OpenKey::new(&[7; 32]).unwrap();
        let mut sealed = Vec::new();
        key.seal_row(b"s1", b"value", &mut sealed).unwrap();
        assert_eq!(key.open_row(b"s1", &sealed).unwrap(), b"value");
        assert_eq!(key.open_row(b"s2", &sealed), None);
        assert_eq!(open(&key.records, b"s1", &sealed), None);
        assert_eq!(key.open_row(b"s1", &sealed[..11]), None);
    }
}
