//! An upload in pieces, cut off, torn and taken up again.

use super::*;
use crate::keys::for_tests;

const LENGTH: u64 = 3 * SEGMENT + 1000;

struct Bench {
    place: tempfile::TempDir,
    seals: Seals,
    content: Vec<u8>,
}

impl Bench {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let seals = Seals::create(&place.path().join("u"), "u", &for_tests()).unwrap();
        let content = (0..LENGTH).map(|at| (at % 253) as u8).collect();
        Self { place, seals, content }
    }

    fn folder(&self) -> PathBuf {
        self.place.path().join("u")
    }

    fn at(&self, at: u64) -> Growing {
        Growing::open(&self.folder(), &self.seals, LENGTH, at).unwrap()
    }

    /// Writes from `from` to `to` in one request.
    fn grow(&self, from: u64, to: u64) {
        let mut growing = self.at(from);
        for part in self.content[from as usize..to as usize].chunks(50_000) {
            growing.write(&[part]).unwrap();
        }
        growing.sync().unwrap();
        assert_eq!(growing.end(), to);
    }

    fn found(&self) -> u64 {
        on_disk(&self.folder(), LENGTH).unwrap()
    }

    fn holds(&self, to: u64) {
        for from in [0, to / 2, to.saturating_sub(1), to] {
            let mut read = Vec::new();
            let each = &mut |part: &[u8]| {
                read.extend_from_slice(part);
                true
            };
            self.at(to).pass(from, each).unwrap();
            assert!(read == self.content[from as usize..to as usize], "{from} to {to}");
        }
    }
}

#[test]
fn an_upload_in_any_pieces_is_one_sealed_file() {
    for cuts in [
        &[0, LENGTH][..],
        &[0, 1, 2, SEGMENT, SEGMENT + 1, LENGTH],
        &[0, SEGMENT - 1, 2 * SEGMENT + 1, 3 * SEGMENT, 3 * SEGMENT + 999, LENGTH],
    ] {
        let bench = Bench::new();
        for pair in cuts.windows(2) {
            bench.grow(pair[0], pair[1]);
            assert_eq!(bench.found(), pair[1]);
            bench.holds(pair[1]);
        }
        let sealed = fs::read(body(&bench.folder())).unwrap();
        assert_eq!(sealed.len() as u64, sealed_size(LENGTH));
        let mut reader = SealedReader::new(io::Cursor::new(sealed), bench.seals.body.clone(), LENGTH);
        let mut read = Vec::new();
        io::Read::read_to_end(&mut reader, &mut read).unwrap();
        assert_eq!(read, bench.content);
    }
}

#[test]
fn what_was_acknowledged_outlives_a_request_that_stops_anywhere() {
    let acknowledged = SEGMENT + 5;
    for reached in [acknowledged + 1, 2 * SEGMENT - 1, 2 * SEGMENT, 3 * SEGMENT + 7, LENGTH] {
        let bench = Bench::new();
        bench.grow(0, acknowledged);
        let mut growing = bench.at(acknowledged);
        growing
            .write(&[&bench.content[acknowledged as usize..reached as usize]])
            .unwrap();
        // Never synced, never answered: the process ends here, or the request goes on from what was acknowledged.
        drop(growing);
        assert!((acknowledged..=reached).contains(&bench.found()));
        bench.holds(bench.found());
        bench.holds(acknowledged);
        bench.grow(acknowledged, LENGTH);
        bench.holds(LENGTH);
    }
}

#[test]
fn what_was_kept_beyond_a_tail_can_be_cut_back_to_it_and_the_tail_is_on_disk_first() {
    let bench = Bench::new();
    bench.grow(0, 2 * SEGMENT + 9);
    // Back into a whole segment: its beginning becomes the tail.
    let back = SEGMENT + 77;
    drop(bench.at(back));
    assert_eq!(bench.found(), back);
    bench.holds(back);
    drop(bench.at(SEGMENT));
    assert_eq!(bench.found(), SEGMENT);
    bench.holds(SEGMENT);
    drop(bench.at(0));
    assert_eq!(bench.found(), 0);
}

#[test]
fn a_torn_segment_nobody_was_told_of_is_found_and_what_was_acknowledged_stays() {
    let bench = Bench::new();
    let acknowledged = SEGMENT + 5;
    bench.grow(0, acknowledged);
    let mut growing = bench.at(acknowledged);
    growing.write(&[&bench.content[acknowledged as usize..]]).unwrap();
    drop(growing);
    // A power cut: sizes are as written, some content is not.
    let path = body(&bench.folder());
    let mut torn = fs::read(&path).unwrap();
    let place = places(1..2, LENGTH);
    torn[place.start as usize..place.end as usize].fill(0);
    fs::write(&path, torn).unwrap();
    let mut read = 0;
    let each = &mut |part: &[u8]| {
        read += part.len() as u64;
        true
    };
    let failed = bench.at(bench.found()).pass(0, each).unwrap_err();
    assert_eq!((failed.kind(), read), (io::ErrorKind::InvalidData, SEGMENT));
    let kept = before(&bench.folder(), &bench.seals, read).unwrap();
    assert_eq!(kept, acknowledged);
    bench.holds(kept);
    bench.grow(kept, LENGTH);
    bench.holds(LENGTH);
}

#[test]
fn nothing_is_readable_on_the_disk() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("u");
    let seals = Seals::create(&folder, "u", &for_tests()).unwrap();
    let text = "a name to look for ".repeat(5000);
    let mut growing = Growing::open(&folder, &seals, text.len() as u64, 0).unwrap();
    growing.write(&[&text.as_bytes()[..text.len() - 9]]).unwrap();
    growing.sync().unwrap();
    assert!(growing.write(&[[0; 10]]).is_err(), "longer than announced");
    let mut files = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(9).any(|window| window == b"a name to"));
        files += 1;
    }
    assert_eq!(files, 3, "key, body and tail");
}
