//! The records of a stored entry and of the end, as this house writes them.

use super::{CENTRAL, END, END64, FLAG_UTF8, LOCAL, LOCATOR, STORED, ZIP64_EXTRA};

/// 1980-01-01 00:00:00, the earliest DOS time: what this house writes, so that the same content gives the same bytes.
const EPOCH: (u16, u16) = (0, 0x0021);

/// A stored entry as this house writes it.
pub(in super::super) struct StoredEntry<'a> {
    pub(in super::super) name: &'a str,
    pub(in super::super) size: u64,
    pub(in super::super) crc32: u32,
    pub(in super::super) offset: u64,
}

impl StoredEntry<'_> {
    /// Its local header.
    pub(in super::super) fn local(&self) -> Vec<u8> {
        let mut extra = Vec::new();
        let size = short(self.size);
        if size == u32::MAX {
            extra.extend([self.size; 2].into_iter().flat_map(u64::to_le_bytes));
        }
        let mut bytes = LOCAL.to_le_bytes().to_vec();
        self.common(&mut bytes, size, &extra);
        bytes.extend(self.name.as_bytes());
        push_zip64(&mut bytes, &extra);
        bytes
    }

    /// Its central header.
    pub(in super::super) fn central(&self) -> Vec<u8> {
        let mut extra = Vec::new();
        let (size, offset) = (short(self.size), short(self.offset));
        if size == u32::MAX {
            extra.extend([self.size; 2].into_iter().flat_map(u64::to_le_bytes));
        }
        if offset == u32::MAX {
            extra.extend(self.offset.to_le_bytes());
        }
        let mut bytes = CENTRAL.to_le_bytes().to_vec();
        bytes.extend(version(&extra).to_le_bytes());
        self.common(&mut bytes, size, &extra);
        // comment length, disk, internal attributes, external attributes
        bytes.extend([0; 10]);
        bytes.extend(offset.to_le_bytes());
        bytes.extend(self.name.as_bytes());
        push_zip64(&mut bytes, &extra);
        bytes
    }

    fn common(&self, bytes: &mut Vec<u8>, size: u32, extra: &[u8]) {
        let name_len = u16::try_from(self.name.len()).unwrap_or(u16::MAX);
        let extra_len = if extra.is_empty() {
            0
        } else {
            u16::try_from(extra.len() + 4).unwrap_or(u16::MAX)
        };
        for half in [version(extra), FLAG_UTF8, STORED, EPOCH.0, EPOCH.1] {
            bytes.extend(half.to_le_bytes());
        }
        for word in [self.crc32, size, size] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(name_len.to_le_bytes());
        bytes.extend(extra_len.to_le_bytes());
    }
}

/// ZIP64 end record and locator where needed, and the end record.
pub(in super::super) fn end_records(entries: u64, central_offset: u64, central_size: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let short_entries = u16::try_from(entries).unwrap_or(u16::MAX);
    let (size, offset) = (short(central_size), short(central_offset));
    if short_entries == u16::MAX || size == u32::MAX || offset == u32::MAX {
        bytes.extend(END64.to_le_bytes());
        bytes.extend(44u64.to_le_bytes());
        bytes.extend([45u16.to_le_bytes(); 2].concat());
        bytes.extend([0; 8]);
        for word in [entries, entries, central_size, central_offset] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(LOCATOR.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend((central_offset + central_size).to_le_bytes());
        bytes.extend(1u32.to_le_bytes());
    }
    bytes.extend(END.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend([short_entries.to_le_bytes(); 2].concat());
    bytes.extend(size.to_le_bytes());
    bytes.extend(offset.to_le_bytes());
    bytes.extend([0; 2]);
    bytes
}

fn short(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn version(zip64: &[u8]) -> u16 {
    if zip64.is_empty() { 20 } else { 45 }
}

fn push_zip64(bytes: &mut Vec<u8>, field: &[u8]) {
    if !field.is_empty() {
        bytes.extend(ZIP64_EXTRA.to_le_bytes());
        bytes.extend(u16::try_from(field.len()).unwrap_or(u16::MAX).to_le_bytes());
        bytes.extend(field);
    }
}
