//! Records that lie elsewhere as segment files, cut at the same places whenever they are made: so that a backup of a database's trail
//! is one of a folder's, and what it has of it already is the same bytes.

use super::SEGMENT_BYTES;
use super::group::Group;
use super::sealed::SealedRecord;
use super::segment::HEADER;

/// Records of a group, and bytes of its frames.
const RECORDS: u64 = 256;
const BYTES: usize = 1 << 20;

/// A segment in the making.
pub(crate) struct Remade {
    length: u64,
    group: Group,
}

impl Remade {
    /// Begins the segment whose first record is `first`; its header goes to `out`.
    pub(crate) fn begin(first: u64, out: &mut Vec<u8>) -> Self {
        out.extend_from_slice(HEADER);
        Self {
            length: HEADER.len() as u64,
            group: Group::without_place(first),
        }
    }

    /// Adds the next record. Whether the segment is full: then it ends here.
    pub(crate) fn add(&mut self, record: &SealedRecord, out: &mut Vec<u8>) -> bool {
        self.group.add(record);
        if self.group.count() >= RECORDS || self.group.length() >= BYTES {
            self.flush(out);
        }
        self.length >= SEGMENT_BYTES
    }

    /// Ends the group under way.
    pub(crate) fn flush(&mut self, out: &mut Vec<u8>) {
        if self.group.count() == 0 {
            return;
        }
        let next = Group::without_place(self.group.next());
        let bytes = std::mem::replace(&mut self.group, next).finish();
        self.length += bytes.len() as u64;
        out.extend(bytes);
    }
}

/// The name of a segment's file.
pub(crate) fn name(first: u64) -> String {
    format!("{first:020}.seg")
}

/// The position a segment's file begins with, by its name.
pub(crate) fn first(name: &str) -> Option<u64> {
    name.strip_suffix(".seg")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::TrailReader;
    use super::super::sealed::OpenKey;
    use super::*;
    use crate::store::Content;
    use crate::trail::TrailError;

    #[test]
    fn what_is_made_is_a_trail_and_the_same_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let key = OpenKey::new(&[7; 32]).unwrap();
        let record = |position: u64| {
            let content = Content {
                body: format!("body {position} {}", "TEST".repeat(100)),
                salt: [7; 32],
            };
            SealedRecord::seal(position, &content, "2026-11.account".parse().unwrap(), &key).unwrap()
        };
        let records: Vec<_> = (0..1000).map(record).collect();
        let make = |count: usize| {
            let mut out = Vec::new();
            let mut made = Remade::begin(0, &mut out);
            for record in &records[..count] {
                assert!(!made.add(record, &mut out));
            }
            made.flush(&mut out);
            out
        };
        let whole = make(1000);
        std::fs::write(folder.path().join(name(0)), &whole).unwrap();
        let mut found = Vec::new();
        TrailReader::new(folder.path())
            .replay(0, |record, _| {
                found.push(record);
                Ok::<_, TrailError>(())
            })
            .unwrap();
        assert!(found == records);
        // What was there before stays as it was, but for the group that was not full.
        let before = make(700);
        let full = make(512).len();
        assert_eq!(whole[..full], before[..full]);
        assert_eq!(first(&name(17)), Some(17));
    }
}
