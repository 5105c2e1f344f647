//! Laborious archives: a hundred thousand entries, long names, bombs.

use std::hint::black_box;
use std::io::Cursor;

use formats::asice::{Container, Intake, IntakeError, Limits, Unpacker};
use kit::zip::{Entry, archive};
use trust_store::{Evidence, Subject};

use super::{Case, SIZE, texts};

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, make, read| Case { name, make, read };
    vec![
        case(
            "a container of a hundred thousand entries",
            || many(70_000, |number| format!("{number}")),
            container,
        ),
        case(
            "a container of long names",
            || many(4_700, |number| format!("{number:01020}")),
            container,
        ),
        case(
            "a container of deep names",
            || many(9_000, |number| format!("{}{number}", "a/".repeat(15))),
            container,
        ),
        case(
            "a container of names that fold alike",
            || many(30_000, |number| format!("ß{number:x}İ/が")),
            container,
        ),
        case("a container that inflates", || bomb(1), container),
        case("a container that inflates in many entries", || bomb(200), container),
        case(
            "a container that inflates as far as is read",
            bomb_within_the_bounds,
            inflating,
        ),
        case(
            "a container of nothing but ends",
            || b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".repeat(SIZE / 22),
            container,
        ),
        case(
            "a container of nothing but beginnings",
            || b"PK\x03\x04".repeat(SIZE / 4),
            container,
        ),
        case("a container with a directory that lies", lying, container),
        case("a container with sixteen manifests", manifests, container),
        case("a container with sixteen laborious signatures", signatures, container),
    ]
}

fn container(bytes: &[u8]) {
    let container = Container::read(&mut Cursor::new(bytes)).unwrap();
    let store = texts::store();
    let at = time::macros::datetime!(2026-11-20 03:00:00 UTC);
    let validated = store.validate(Subject::Container(Box::new(container)), Evidence::default(), at);
    assert!(!validated.report().passed());
    drop(validated);
    let _ = black_box(Unpacker::open(&mut Cursor::new(bytes)));
    let mut intake = Intake::new(Limits::default());
    for piece in bytes.chunks(65_536) {
        if intake.push::<IntakeError>(piece, &mut |_| Ok(())).is_err() {
            break;
        }
    }
    let _ = black_box(intake.finish());
}

/// One whose files are all inflated and hashed.
fn inflating(bytes: &[u8]) {
    let read = Container::read(&mut Cursor::new(bytes)).unwrap();
    assert_eq!(read.files.len(), 4, "{:?}", read.findings.first());
    container(bytes);
}

/// As many entries as the end record can count, or as fit.
fn many(count: usize, name: impl Fn(usize) -> String) -> Vec<u8> {
    let mut entries = vec![Entry::new("mimetype", formats::asice::MIMETYPE)];
    let mut size = 0;
    for number in 0..count.min(65_000) {
        let name = name(number);
        size += 2 * name.len() + 76;
        if size > SIZE - 1000 {
            break;
        }
        entries.push(Entry::new(&name, b""));
    }
    archive(&entries)
}

/// The raw DEFLATE stream of `bytes`.
pub(crate) fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

/// Zeros, deflated a thousandfold, in some entries; the whole fills the size.
fn bomb(count: usize) -> Vec<u8> {
    let one = deflate(&vec![0; 64 << 20]);
    let times = (SIZE - 100_000) / one.len();
    // Stored blocks of nothing between: one stream cannot be repeated, entries can.
    let entries: Vec<Entry> = (0..times.min(count * 10).max(1))
        .map(|number| Entry {
            method: 8,
            claimed: Some(u32::try_from(one.len()).unwrap()),
            ..Entry::new(&format!("{number}"), &one)
        })
        .collect();
    inflated(&entries, 64 << 20)
}

/// Four times 64 MiB of zeros beside so much else that the whole is in proportion.
fn bomb_within_the_bounds() -> Vec<u8> {
    let one = deflate(&vec![0; 64 << 20]);
    let mut state = 1_u32;
    let filler: Vec<u8> = (0..SIZE - 400_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .collect();
    let mut entries: Vec<Entry> = (0..3)
        .map(|number| Entry {
            method: 8,
            claimed: Some(u32::try_from(one.len()).unwrap()),
            ..Entry::new(&format!("{number}"), &one)
        })
        .collect();
    entries.push(Entry::new("filler", &filler));
    inflated(&entries, 64 << 20)
}

/// The archive of deflated entries whose headers say how large they become.
fn inflated(entries: &[Entry], size: u32) -> Vec<u8> {
    let mut bytes = archive(entries);
    let sum = crc32fast::hash(&vec![0; size as usize]);
    let mut at = 0;
    while let Some(found) = bytes[at..]
        .windows(4)
        .position(|word| word == b"PK\x03\x04" || word == b"PK\x01\x02")
    {
        let header = at + found;
        at = header + 4;
        // The filler may look like a header; the true ones are deflated.
        if bytes[header + 8..header + 10] != [8, 0] && bytes[header + 10..header + 12] != [8, 0] {
            continue;
        }
        let fields = if bytes[header + 2] == 3 {
            header + 14
        } else {
            header + 16
        };
        bytes[fields..fields + 4].copy_from_slice(&sum.to_le_bytes());
        bytes[fields + 8..fields + 12].copy_from_slice(&size.to_le_bytes());
    }
    bytes
}

fn lying() -> Vec<u8> {
    let mut bytes = vec![0; SIZE - 22];
    bytes.extend(b"PK\x05\x06\0\0\0\0\xfe\xff\xfe\xff");
    bytes.extend(u32::try_from(SIZE - 22).unwrap().to_le_bytes());
    bytes.extend([0; 6]);
    bytes
}

fn manifests() -> Vec<u8> {
    let one = "<a b='c'/>".repeat(SIZE / 16 / 11);
    let xml = format!(
        "<asic:ASiCManifest xmlns:asic='http://uri.etsi.org/02918/v1.2.1#'><asic:SigReference URI='META-INF/signature.p7s'/>\
         <asic:ASiCManifestExtensions>{one}</asic:ASiCManifestExtensions></asic:ASiCManifest>"
    );
    let mut entries = vec![Entry::new("mimetype", formats::asice::MIMETYPE)];
    entries.extend((1..=16).map(|number| Entry::new(&format!("META-INF/ASiCManifest{number:03}.xml"), xml.as_bytes())));
    archive(&entries)
}

fn signatures() -> Vec<u8> {
    let one = [0x30, 0x80].repeat(SIZE / 34);
    let mut entries = vec![Entry::new("mimetype", formats::asice::MIMETYPE)];
    entries.extend((1..=16).map(|number| Entry::new(&format!("META-INF/signature{number:03}.p7s"), &one)));
    archive(&entries)
}
