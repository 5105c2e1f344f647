//! Containers taken apart and put together again, well or badly: for what our own writer would never write.

/// One stored entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name in both headers.
    pub name: String,
    /// Bytes as they lie in the archive.
    pub bytes: Vec<u8>,
    /// Compression method; 0: stored.
    pub method: u16,
    /// General purpose flags; bit 11: the name is UTF-8.
    pub flags: u16,
    /// Size that the headers claim, where it is not the length of `bytes`.
    pub claimed: Option<u32>,
    /// Name in the central directory, where it is another.
    pub central_name: Option<String>,
}

impl Entry {
    /// A stored entry whose headers tell the truth.
    #[must_use]
    pub fn new(name: &str, bytes: &[u8]) -> Self {
        Self {
            name: name.to_owned(),
            bytes: bytes.to_vec(),
            method: 0,
            flags: 0x0800,
            claimed: None,
            central_name: None,
        }
    }
}

/// The entries of a container of the writing profile, smaller than 4 GiB.
///
/// # Panics
/// If it is not of that profile.
#[must_use]
pub fn entries(container: &[u8]) -> Vec<Entry> {
    let mut found = Vec::new();
    let mut rest = container;
    while let Some(header) = rest.strip_prefix(b"PK\x03\x04") {
        let number = |at: usize| usize::from(header[at]) | usize::from(header[at + 1]) << 8;
        let (size, name, extra) = (number(14) | number(16) << 16, number(22), number(24));
        let (name, data) = (&header[26..26 + name], &header[26 + name + extra..]);
        let name = std::str::from_utf8(name).expect("names are UTF-8");
        found.push(Entry::new(name, &data[..size]));
        rest = &data[size..];
    }
    found
}

/// An archive of these entries, in this order, with local headers, central directory and end record.
#[must_use]
pub fn archive(entries: &[Entry]) -> Vec<u8> {
    let (mut out, mut central) = (Vec::new(), Vec::new());
    for entry in entries {
        let offset = short(out.len());
        let size = entry.claimed.unwrap_or_else(|| short(entry.bytes.len()));
        let common = |name: &str| {
            let mut header = Vec::new();
            for field in [20, entry.flags, entry.method, 0, 0x21] {
                header.extend(field.to_le_bytes());
            }
            for field in [crc32fast::hash(&entry.bytes), size, size] {
                header.extend(field.to_le_bytes());
            }
            header.extend(u16::try_from(name.len()).expect("a name is short").to_le_bytes());
            header.extend([0, 0]);
            header
        };
        out.extend(b"PK\x03\x04");
        out.extend(common(&entry.name));
        out.extend(entry.name.as_bytes());
        out.extend(&entry.bytes);
        let name = entry.central_name.as_ref().unwrap_or(&entry.name);
        central.extend(b"PK\x01\x02\x14\x00");
        central.extend(common(name));
        central.extend([0; 10]);
        central.extend(offset.to_le_bytes());
        central.extend(name.as_bytes());
    }
    let (start, size, count) = (short(out.len()), short(central.len()), entries.len());
    let count = u16::try_from(count).expect("few entries").to_le_bytes();
    out.extend(central);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend(count.into_iter().chain(count));
    out.extend(size.to_le_bytes().into_iter().chain(start.to_le_bytes()));
    out.extend([0, 0]);
    out
}

fn short(length: usize) -> u32 {
    u32::try_from(length).expect("smaller than 4 GiB")
}
