//! A container in the bucket: sealed segments in parts, and a small file that lists them. An upload's parts become the
//! container's by being listed: no byte of them is moved.

use std::io;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use object_store::ObjectStoreExt as _;
use object_store::path::Path as Key;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use crate::objects::{Objects, to_io};
use crate::seal::{Source, damaged, last_segment, places};

/// Segments of a whole part, 64 KiB each.
pub(crate) const PART: u32 = 64;
/// The key of what parts and containers lie under.
pub(super) const PARTS: &str = "parts";
/// Bytes of a part in a row.
const ENCODED: usize = 12;

/// One part: so many sealed segments, in an object of this name. A name is used once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) name: u64,
    pub(crate) segments: u32,
}

impl Part {
    /// Parts as they stand in a row, twelve bytes each.
    pub(crate) fn encode(parts: &[Self]) -> Vec<u8> {
        let each = parts.iter().flat_map(|part| {
            let mut bytes = [0; ENCODED];
            bytes[..8].copy_from_slice(&part.name.to_be_bytes());
            bytes[8..].copy_from_slice(&part.segments.to_be_bytes());
            bytes
        });
        each.collect()
    }

    /// # Errors
    /// `InvalidData`.
    pub(crate) fn decode(bytes: &[u8]) -> io::Result<Vec<Self>> {
        let (parts, rest) = bytes.as_chunks::<ENCODED>();
        if !rest.is_empty() {
            return Err(damaged("a list of parts is cut"));
        }
        let part = |bytes: &[u8; ENCODED]| {
            let (name, segments) = bytes.split_first_chunk::<8>()?;
            Some(Self {
                name: u64::from_be_bytes(*name),
                segments: u32::from_be_bytes(*segments.first_chunk()?),
            })
        };
        parts
            .iter()
            .map(|bytes| part(bytes).ok_or_else(|| damaged("a list of parts is cut")))
            .collect()
    }
}

/// Where the parts of an upload lie.
pub(crate) fn parts_of(upload: &str) -> Key {
    Key::from_iter([PARTS, upload])
}

/// The object of a part.
pub(crate) fn part_key(upload: &str, name: u64) -> Key {
    Key::from_iter([PARTS, upload, &format!("{name:016x}")])
}

/// The list of a container's parts, with its key and size: `container.parts`, JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartList {
    /// Bytes of the container.
    pub(crate) size: u64,
    /// Its key, wrapped.
    pub(crate) wrapped: Vec<u8>,
    pub(crate) parts: Vec<Part>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    size: u64,
    key: String,
    parts: Vec<(String, u32)>,
}

impl PartList {
    pub(crate) fn to_json(&self) -> io::Result<Vec<u8>> {
        let written = Written {
            version: 1,
            size: self.size,
            key: STANDARD.encode(&self.wrapped),
            parts: (self.parts.iter())
                .map(|part| (format!("{:016x}", part.name), part.segments))
                .collect(),
        };
        serde_json::to_vec(&written).map_err(io::Error::other)
    }

    /// # Errors
    /// `InvalidData` for what is no such list, or one whose parts are not as many segments as its size says.
    pub(crate) fn from_json(text: &[u8]) -> io::Result<Self> {
        let malformed = || damaged("a list of parts cannot be read");
        let written: Written = serde_json::from_slice(text).map_err(|_| malformed())?;
        let part = |(name, segments): &(String, u32)| {
            Some(Part {
                name: u64::from_str_radix(name, 16).ok()?,
                segments: *segments,
            })
        };
        let parts = written.parts.iter().map(part).collect::<Option<Vec<_>>>();
        let list = Self {
            size: written.size,
            wrapped: STANDARD.decode(&written.key).map_err(|_| malformed())?,
            parts: parts.ok_or_else(malformed)?,
        };
        let segments: u64 = list.parts.iter().map(|part| u64::from(part.segments)).sum();
        if written.version != 1 || segments != last_segment(list.size) + 1 {
            return Err(malformed());
        }
        Ok(list)
    }
}

/// The parts as the file they are of. Blocking; not to be used on a thread that answers.
pub(crate) struct PartsSource {
    objects: Objects,
    handle: Handle,
    upload: String,
    /// Where in the file each begins.
    parts: Vec<(Range<u64>, u64)>,
}

impl PartsSource {
    /// The parts of the upload `upload` of `length` bytes, from its beginning on.
    pub(crate) fn new(objects: Objects, handle: Handle, upload: &str, parts: &[Part], length: u64) -> Self {
        let mut first = 0;
        let parts = parts.iter().map(|part| {
            let after = first + u64::from(part.segments);
            let range = places(first..after, length);
            first = after;
            (range, part.name)
        });
        Self {
            parts: parts.collect(),
            objects,
            handle,
            upload: upload.to_owned(),
        }
    }
}

impl Source for PartsSource {
    fn bytes(&mut self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let wanted = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
        let mut bytes = Vec::with_capacity(wanted);
        let begin = self.parts.partition_point(|(of, _)| of.end <= range.start);
        for (of, name) in self.parts.get(begin..).unwrap_or_default() {
            let within = range.start.max(of.start)..range.end.min(of.end);
            if within.is_empty() {
                break;
            }
            let key = part_key(&self.upload, *name);
            let found = self
                .objects
                .store()
                .get_range(&key, within.start - of.start..within.end - of.start);
            bytes.extend_from_slice(&self.handle.block_on(found).map_err(to_io)?);
        }
        if bytes.len() == wanted {
            Ok(bytes)
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_go_both_ways_and_a_cut_one_is_refused() {
        let parts = vec![
            Part { name: 7, segments: 64 },
            Part {
                name: u64::MAX,
                segments: 2,
            },
        ];
        let row = Part::encode(&parts);
        assert_eq!(Part::decode(&row).unwrap(), parts);
        assert!(Part::decode(&row[1..]).is_err());
        let list = PartList {
            size: 65 * 65_536 + 1,
            wrapped: b"age".to_vec(),
            parts,
        };
        let text = list.to_json().unwrap();
        assert_eq!(PartList::from_json(&text).unwrap(), list);
        let cut = PartList { size: 1, ..list };
        assert!(PartList::from_json(&cut.to_json().unwrap()).is_err());
        assert!(PartList::from_json(b"{}").is_err());
    }
}
