//! Makes ZIP files field by field, right or wrong.

use std::io::Write as _;

/// One entry; every field is written as it is here.
#[derive(Clone)]
pub(super) struct Item {
    pub(super) name: Vec<u8>,
    pub(super) local_name: Option<Vec<u8>>,
    pub(super) content: Vec<u8>,
    pub(super) method: u16,
    pub(super) flags: u16,
    pub(super) local_flags: Option<u16>,
    pub(super) crc_flip: u32,
    pub(super) local_crc_flip: u32,
    pub(super) size_more: u32,
    pub(super) local_extra: Vec<u8>,
    pub(super) central_extra: Vec<u8>,
    pub(super) made_by: u16,
    pub(super) external: u32,
    pub(super) comment: Vec<u8>,
    pub(super) gap: Vec<u8>,
    /// 0: none; else length of the data descriptor.
    pub(super) descriptor: usize,
    pub(super) in_directory: bool,
    pub(super) after_data: Vec<u8>,
    pub(super) time: u16,
    pub(super) zip64: bool,
}

impl Item {
    pub(super) fn new(name: &str, content: &[u8]) -> Self {
        Self {
            name: name.as_bytes().to_vec(),
            local_name: None,
            content: content.to_vec(),
            method: 0,
            flags: 0x800,
            local_flags: None,
            crc_flip: 0,
            local_crc_flip: 0,
            size_more: 0,
            local_extra: Vec::new(),
            central_extra: Vec::new(),
            made_by: 20,
            external: 0,
            comment: Vec::new(),
            gap: Vec::new(),
            descriptor: 0,
            in_directory: true,
            after_data: Vec::new(),
            time: 0,
            zip64: false,
        }
    }

    fn data(&self) -> Vec<u8> {
        if self.method != 8 {
            return self.content.clone();
        }
        let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        deflate.write_all(&self.content).unwrap();
        deflate.finish().unwrap()
    }
}

/// A file of entries.
#[derive(Clone, Default)]
pub(super) struct Zip {
    pub(super) items: Vec<Item>,
    pub(super) prefix: Vec<u8>,
    pub(super) before_directory: Vec<u8>,
    pub(super) before_end: Vec<u8>,
    pub(super) comment: Vec<u8>,
    pub(super) suffix: Vec<u8>,
    pub(super) count_more: u16,
    pub(super) offset_more: u32,
    pub(super) zip64: bool,
    pub(super) zip64_count_more: u64,
    pub(super) reversed_directory: bool,
}

impl Zip {
    pub(super) fn item(&mut self, name: &str) -> &mut Item {
        self.items.iter_mut().find(|item| item.name == name.as_bytes()).unwrap()
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = self.prefix.clone();
        let mut directory = Vec::new();
        for item in &self.items {
            out.extend(&item.gap);
            let data = item.data();
            let crc = crc32fast::hash(&item.content) ^ item.crc_flip;
            let flags = item.flags | if item.descriptor > 0 { 8 } else { 0 };
            let (compressed, size) = (
                data.len() as u32,
                (item.content.len() as u32).wrapping_add(item.size_more),
            );
            let offset = out.len() as u32;
            let header = |crc: u32, compressed: u32, size: u32, flags: u16, name: &[u8], extra: usize| {
                let mut bytes = Vec::new();
                for half in [20, flags, item.method, item.time, 0x21] {
                    bytes.extend(half.to_le_bytes());
                }
                for word in [crc, compressed, size] {
                    bytes.extend(word.to_le_bytes());
                }
                bytes.extend((name.len() as u16).to_le_bytes());
                bytes.extend((extra as u16).to_le_bytes());
                bytes
            };
            let name = item.local_name.as_ref().unwrap_or(&item.name);
            let local_flags = item.local_flags.unwrap_or(flags);
            let mut extra = item.local_extra.clone();
            if item.zip64 {
                extra.extend([1, 0, 16, 0]);
                extra.extend(u64::from(size).to_le_bytes());
                extra.extend(u64::from(compressed).to_le_bytes());
            }
            out.extend(*b"PK\x03\x04");
            out.extend(if item.descriptor > 0 {
                header(0, 0, 0, local_flags, name, extra.len())
            } else if item.zip64 {
                header(crc, u32::MAX, u32::MAX, local_flags, name, extra.len())
            } else {
                header(
                    crc ^ item.local_crc_flip,
                    compressed,
                    size,
                    local_flags,
                    name,
                    extra.len(),
                )
            });
            out.extend(name);
            out.extend(&extra);
            out.extend(&data);
            if item.descriptor > 0 {
                if matches!(item.descriptor, 16 | 24) {
                    out.extend(*b"PK\x07\x08");
                }
                out.extend(crc.to_le_bytes());
                for word in [compressed, size] {
                    out.extend(word.to_le_bytes());
                    if item.descriptor >= 20 {
                        out.extend([0; 4]);
                    }
                }
            }
            out.extend(&item.after_data);
            if item.in_directory {
                let mut central = b"PK\x01\x02".to_vec();
                central.extend(item.made_by.to_le_bytes());
                central.extend(header(
                    crc,
                    compressed,
                    size,
                    flags,
                    &item.name,
                    item.central_extra.len(),
                ));
                central.extend((item.comment.len() as u16).to_le_bytes());
                central.extend([0; 4]);
                central.extend(item.external.to_le_bytes());
                central.extend(offset.to_le_bytes());
                central.extend(&item.name);
                central.extend(&item.central_extra);
                central.extend(&item.comment);
                directory.push(central);
            }
        }
        out.extend(&self.before_directory);
        if self.reversed_directory {
            directory.reverse();
        }
        let (count, offset) = (directory.len(), out.len());
        let directory = directory.concat();
        out.extend(&directory);
        if self.zip64 {
            let at = out.len() as u64;
            out.extend(*b"PK\x06\x06");
            out.extend(44u64.to_le_bytes());
            out.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            for word in [
                count as u64 + self.zip64_count_more,
                count as u64,
                directory.len() as u64,
                offset as u64,
            ] {
                out.extend(word.to_le_bytes());
            }
            out.extend(*b"PK\x06\x07");
            out.extend([0; 4]);
            out.extend(at.to_le_bytes());
            out.extend(1u32.to_le_bytes());
        }
        out.extend(&self.before_end);
        out.extend(*b"PK\x05\x06\0\0\0\0");
        for _ in 0..2 {
            out.extend((count as u16 + self.count_more).to_le_bytes());
        }
        out.extend((directory.len() as u32).to_le_bytes());
        out.extend((offset as u32 + self.offset_more).to_le_bytes());
        out.extend((self.comment.len() as u16).to_le_bytes());
        out.extend(&self.comment);
        out.extend(&self.suffix);
        out
    }
}
