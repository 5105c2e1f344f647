//! The structures of a ZIP file (ISO/IEC 21320-1, PKWARE APPNOTE 6.3): as bytes, and back. No rules of ours here.

mod write;

pub(super) use self::write::{StoredEntry, end_records};

/// Local file header signature.
pub(super) const LOCAL: u32 = 0x0403_4b50;
/// Central directory header signature.
pub(super) const CENTRAL: u32 = 0x0201_4b50;
/// End of central directory signature.
pub(super) const END: u32 = 0x0605_4b50;
/// ZIP64 end of central directory signature.
pub(super) const END64: u32 = 0x0606_4b50;
/// ZIP64 locator signature.
pub(super) const LOCATOR: u32 = 0x0706_4b50;
/// Data descriptor signature (optional in the file).
pub(super) const DESCRIPTOR: u32 = 0x0807_4b50;

/// Fixed length of a local header.
pub(super) const LOCAL_LEN: usize = 30;
/// Fixed length of a central header.
pub(super) const CENTRAL_LEN: usize = 46;
/// Fixed length of the end record.
pub(super) const END_LEN: usize = 22;
/// Length of the ZIP64 end record without extensible data.
pub(super) const END64_LEN: usize = 56;
/// Length of the ZIP64 locator.
pub(super) const LOCATOR_LEN: usize = 20;

/// Stored, not compressed.
pub(super) const STORED: u16 = 0;
/// Deflate.
pub(super) const DEFLATED: u16 = 8;
/// Flag: sizes and CRC follow the data.
pub(super) const FLAG_DESCRIPTOR: u16 = 1 << 3;
/// Flag: the name is UTF-8.
pub(super) const FLAG_UTF8: u16 = 1 << 11;

const ZIP64_EXTRA: u16 = 0x0001;

/// What local and central header both say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) version_needed: u16,
    pub(super) flags: u16,
    pub(super) method: u16,
    pub(super) time: u16,
    pub(super) date: u16,
    pub(super) crc32: u32,
    pub(super) compressed: u64,
    pub(super) size: u64,
    pub(super) name: Vec<u8>,
    /// Whether sizes came from a ZIP64 field.
    pub(super) zip64: bool,
    /// Extra fields other than ZIP64.
    pub(super) other_extras: Vec<(u16, Vec<u8>)>,
}

/// A central directory header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Central {
    pub(super) header: Header,
    pub(super) made_by: u16,
    pub(super) comment_len: usize,
    pub(super) disk: u16,
    pub(super) external: u32,
    pub(super) offset: u64,
}

impl Central {
    /// The file type of a Unix mode, where the maker recorded one.
    pub(super) fn unix_type(&self) -> u32 {
        // 3: Unix, 19: macOS. Other makers leave the upper half to their own meaning.
        if matches!(self.made_by >> 8, 3 | 19) {
            (self.external >> 16) & 0o170_000
        } else {
            0
        }
    }
}

/// The end record, or the ZIP64 end record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    pub(super) disk: u32,
    pub(super) central_disk: u32,
    pub(super) entries_here: u64,
    pub(super) entries: u64,
    pub(super) central_size: u64,
    pub(super) central_offset: u64,
}

/// Reads little-endian numbers off the front of a slice.
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.bytes(2)?.try_into().ok()?))
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.bytes(4)?.try_into().ok()?))
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.bytes(8)?.try_into().ok()?))
    }
}

/// Lengths of name and extra field in the fixed part of a local header.
pub(super) fn local_lengths(fixed: &[u8]) -> Option<(usize, usize)> {
    let mut cursor = Cursor(fixed.get(26..LOCAL_LEN)?);
    Some((cursor.u16()?.into(), cursor.u16()?.into()))
}

/// Lengths of name, extra field and comment in the fixed part of a central header.
pub(super) fn central_lengths(fixed: &[u8]) -> Option<(usize, usize, usize)> {
    let mut cursor = Cursor(fixed.get(28..34)?);
    Some((cursor.u16()?.into(), cursor.u16()?.into(), cursor.u16()?.into()))
}

/// A whole local header. `None` if it is none, or its extra field is malformed.
pub(super) fn parse_local(bytes: &[u8]) -> Option<Header> {
    let mut cursor = Cursor(bytes);
    if cursor.u32()? != LOCAL {
        return None;
    }
    let (mut header, name_len, extra_len) = common(&mut cursor)?;
    header.name = cursor.bytes(name_len)?.to_vec();
    let zip64 = extras(cursor.bytes(extra_len)?, &mut header)?;
    if let Some(field) = zip64 {
        // APPNOTE 4.5.3: in a local header both sizes must be there, whether the short fields are saturated or not.
        let mut field = Cursor(field);
        let (size, compressed) = (field.u64()?, field.u64()?);
        let agrees = |short: u64, long: u64| short == long || short == u64::from(u32::MAX);
        if !field.0.is_empty() || !agrees(header.size, size) || !agrees(header.compressed, compressed) {
            return None;
        }
        (header.size, header.compressed, header.zip64) = (size, compressed, true);
    } else if header.size == u64::from(u32::MAX) || header.compressed == u64::from(u32::MAX) {
        return None;
    }
    cursor.0.is_empty().then_some(header)
}

/// A whole central header with its comment. `None` if it is none, or its extra field is malformed.
pub(super) fn parse_central(bytes: &[u8]) -> Option<Central> {
    let mut cursor = Cursor(bytes);
    if cursor.u32()? != CENTRAL {
        return None;
    }
    let made_by = cursor.u16()?;
    let (mut header, name_len, extra_len) = common(&mut cursor)?;
    let comment_len = usize::from(cursor.u16()?);
    let mut disk = cursor.u16()?;
    let _internal = cursor.u16()?;
    let external = cursor.u32()?;
    let mut offset = u64::from(cursor.u32()?);
    header.name = cursor.bytes(name_len)?.to_vec();
    let zip64 = extras(cursor.bytes(extra_len)?, &mut header)?;
    // APPNOTE 4.5.3: only the saturated fields are there, in this order.
    let mut field = Cursor(zip64.unwrap_or_default());
    for value in [&mut header.size, &mut header.compressed, &mut offset] {
        if *value == u64::from(u32::MAX) {
            *value = field.u64()?;
            header.zip64 = true;
        }
    }
    if disk == u16::MAX {
        disk = u16::try_from(field.u32()?).ok()?;
    }
    let rest = cursor.bytes(comment_len)?;
    (field.0.is_empty() && rest.len() == comment_len && cursor.0.is_empty()).then_some(Central {
        header,
        made_by,
        comment_len,
        disk,
        external,
        offset,
    })
}

fn common(cursor: &mut Cursor<'_>) -> Option<(Header, usize, usize)> {
    let header = Header {
        version_needed: cursor.u16()?,
        flags: cursor.u16()?,
        method: cursor.u16()?,
        time: cursor.u16()?,
        date: cursor.u16()?,
        crc32: cursor.u32()?,
        compressed: cursor.u32()?.into(),
        size: cursor.u32()?.into(),
        name: Vec::new(),
        zip64: false,
        other_extras: Vec::new(),
    };
    Some((header, cursor.u16()?.into(), cursor.u16()?.into()))
}

/// Splits the extra field; returns the ZIP64 one. `None` if it is malformed or a field is there twice.
#[allow(clippy::option_option, reason = "malformed and absent are different answers")]
fn extras<'a>(bytes: &'a [u8], header: &mut Header) -> Option<Option<&'a [u8]>> {
    let mut cursor = Cursor(bytes);
    let mut zip64 = None;
    while !cursor.0.is_empty() {
        let (id, len) = (cursor.u16()?, cursor.u16()?);
        let field = cursor.bytes(len.into())?;
        if id == ZIP64_EXTRA {
            if zip64.replace(field).is_some() {
                return None;
            }
        } else {
            if header.other_extras.iter().any(|(known, _)| *known == id) {
                return None;
            }
            header.other_extras.push((id, field.to_vec()));
        }
    }
    Some(zip64)
}

/// The end record and its comment. `None` if it is none or the comment does not end with the bytes.
pub(super) fn parse_end(bytes: &[u8]) -> Option<(End, &[u8])> {
    let mut cursor = Cursor(bytes);
    if cursor.u32()? != END {
        return None;
    }
    let end = End {
        disk: cursor.u16()?.into(),
        central_disk: cursor.u16()?.into(),
        entries_here: cursor.u16()?.into(),
        entries: cursor.u16()?.into(),
        central_size: cursor.u32()?.into(),
        central_offset: cursor.u32()?.into(),
    };
    let comment_len = usize::from(cursor.u16()?);
    (cursor.0.len() == comment_len).then_some((end, cursor.0))
}

/// The ZIP64 end record, without extensible data.
pub(super) fn parse_end64(bytes: &[u8]) -> Option<End> {
    let mut cursor = Cursor(bytes);
    if cursor.u32()? != END64 || cursor.u64()? != 44 {
        return None;
    }
    let _versions = cursor.u32()?;
    let end = End {
        disk: cursor.u32()?,
        central_disk: cursor.u32()?,
        entries_here: cursor.u64()?,
        entries: cursor.u64()?,
        central_size: cursor.u64()?,
        central_offset: cursor.u64()?,
    };
    cursor.0.is_empty().then_some(end)
}

/// The locator: where the ZIP64 end record begins. `None` unless there is one disk.
pub(super) fn parse_locator(bytes: &[u8]) -> Option<u64> {
    let mut cursor = Cursor(bytes);
    let (signature, disk, offset, disks) = (cursor.u32()?, cursor.u32()?, cursor.u64()?, cursor.u32()?);
    (signature == LOCATOR && disk == 0 && disks == 1 && cursor.0.is_empty()).then_some(offset)
}

/// Whether the short end record's fields say the same as the true values, as far as they can.
pub(super) fn end_agrees(short: &End, truth: &End, zip64: bool) -> bool {
    let agrees = |short: u64, limit: u64, truth: u64| short == truth || (zip64 && short == limit);
    agrees(short.disk.into(), u16::MAX.into(), truth.disk.into())
        && agrees(short.central_disk.into(), u16::MAX.into(), truth.central_disk.into())
        && agrees(short.entries_here, u16::MAX.into(), truth.entries_here)
        && agrees(short.entries, u16::MAX.into(), truth.entries)
        && agrees(short.central_size, u32::MAX.into(), truth.central_size)
        && agrees(short.central_offset, u32::MAX.into(), truth.central_offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zip64_where_needed() {
        let limit = u64::from(u32::MAX);
        for (size, offset) in [
            (0, 0),
            (limit - 1, limit - 1),
            (limit, 0),
            (5, limit),
            (limit + 7, limit + 9),
        ] {
            let entry = StoredEntry {
                name: "a",
                size,
                crc32: 3,
                offset,
            };
            let local = parse_local(&entry.local()).unwrap();
            let central = parse_central(&entry.central()).unwrap();
            assert_eq!((local.size, local.compressed, local.crc32), (size, size, 3));
            assert_eq!(
                (central.header.size, central.header.compressed, central.offset),
                (size, size, offset)
            );
            assert_eq!(local.zip64, size >= limit);
            assert_eq!(central.header.zip64, size >= limit || offset >= limit);
        }
        for (entries, at) in [
            (3, 7),
            (65_534, 7),
            (65_535, 7),
            (100_000, 7),
            (3, limit),
            (3, limit + 1),
        ] {
            let bytes = end_records(entries, at, 46);
            let truth = End {
                disk: 0,
                central_disk: 0,
                entries_here: entries,
                entries,
                central_size: 46,
                central_offset: at,
            };
            let zip64 = entries >= 65_535 || at >= limit;
            let (end64, end) = bytes.split_at(if zip64 { END64_LEN + LOCATOR_LEN } else { 0 });
            assert!(end_agrees(&parse_end(end).unwrap().0, &truth, zip64));
            if zip64 {
                assert_eq!(parse_end64(&end64[..END64_LEN]), Some(truth));
                assert_eq!(parse_locator(&end64[END64_LEN..]), Some(at + 46));
            }
        }
    }
}
