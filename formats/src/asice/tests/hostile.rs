//! One row per phrase of `CONTRACTS.md` §1: what is wrong, and what reader and intake say to it.

use super::maker::{Item, Zip};
use super::*;

/// A good container by the maker, in the intake profile.
pub(super) fn good() -> Zip {
    with_manifest(&manifest_for(&plans(&content())))
}

fn with_manifest(manifest: &[u8]) -> Zip {
    let mut items = vec![
        Item::new("mimetype", MIMETYPE),
        Item::new("META-INF/ASiCManifest001.xml", manifest),
        Item::new("META-INF/signature001.p7s", b"signature"),
    ];
    items.extend(content().iter().map(|(path, bytes)| Item::new(path, bytes)));
    Zip {
        items,
        ..Zip::default()
    }
}

/// A container whose letter has another name, in manifest, envelope and ZIP alike.
fn letter_named(name: &str) -> Zip {
    let mut content = content();
    content[0].1 = String::from_utf8(content[0].1.clone())
        .unwrap()
        .replace("letter/letter.pdf", "letter/")
        .into_bytes();
    let mut plans = plans(&content);
    plans[1].path = name.into();
    let mut zip = with_manifest(&manifest_for(&plans));
    zip.items[3] = Item::new("submission.json", &content[0].1);
    zip.items[4].name = name.into();
    zip
}

fn text_manifest(from: &str, to: &str) -> Zip {
    let xml = String::from_utf8(manifest_for(&plans(&content()))).unwrap();
    assert!(xml.contains(from), "{from}");
    with_manifest(xml.replacen(from, to, 1).as_bytes())
}

fn changed(change: impl FnOnce(&mut Zip)) -> Zip {
    let mut zip = good();
    change(&mut zip);
    zip
}

fn on_letter(change: impl FnOnce(&mut Item)) -> Zip {
    changed(|zip| change(zip.item("letter/letter.pdf")))
}

fn added(item: Item) -> Zip {
    changed(|zip| zip.items.push(item))
}

fn two_forms() -> Zip {
    let mut zip = letter_named("letter/é");
    zip.items.push(Item::new("letter/e\u{301}", b"x"));
    zip
}

fn unicode_path(name: &str) -> Vec<u8> {
    let mut field = vec![0x75, 0x70, 5 + name.len() as u8, 0, 1, 0, 0, 0, 0];
    field.extend(name.as_bytes());
    field
}

#[test]
fn the_maker_makes_good_containers() {
    let bytes = good().bytes();
    assert_eq!(codes(&read(&bytes)), Vec::<&str>::new());
    take_in(&bytes, usize::MAX).unwrap();
}

#[test]
fn always_refused() {
    let shift = "letter/letter.pdf";
    let table: Vec<(&str, Zip, &str, &str)> = vec![
        (
            "local name",
            on_letter(|i| i.local_name = Some(b"letter/Letter.pdf".to_vec())),
            "headers_disagree",
            "unexpected_entry",
        ),
        (
            "local flags",
            on_letter(|i| i.local_flags = Some(0)),
            "headers_disagree",
            "headers_disagree",
        ),
        (
            "local crc",
            on_letter(|i| i.local_crc_flip = 1),
            "headers_disagree",
            "crc_mismatch",
        ),
        ("crc", on_letter(|i| i.crc_flip = 1), "crc_mismatch", "crc_mismatch"),
        ("size", on_letter(|i| i.size_more = 1), "sizes_disagree", "compressed"),
        (
            "bytes before",
            changed(|z| z.prefix = b"MZ".to_vec()),
            "unclaimed_bytes",
            "unexpected_record",
        ),
        (
            "bytes between",
            on_letter(|i| i.gap = vec![0]),
            "unclaimed_bytes",
            "unexpected_record",
        ),
        (
            "bytes after the data",
            on_letter(|i| i.after_data = vec![0; 16]),
            "unclaimed_bytes",
            "unexpected_record",
        ),
        (
            "an entry not in the directory",
            on_letter(|i| i.in_directory = false),
            "unclaimed_bytes",
            "headers_disagree",
        ),
        (
            "bytes before the directory",
            changed(|z| z.before_directory = vec![0; 4]),
            "unclaimed_bytes",
            "unexpected_record",
        ),
        (
            "bytes before the end",
            changed(|z| z.before_end = vec![0; 20]),
            "unclaimed_bytes",
            "unexpected_record",
        ),
        (
            "bytes after",
            changed(|z| z.suffix = vec![0]),
            "no_end_record",
            "trailing_bytes",
        ),
        (
            "two ends",
            changed(|z| z.comment = good().bytes()),
            "two_end_records",
            "comment",
        ),
        (
            "count",
            changed(|z| z.count_more = 1),
            "truncated",
            "end_records_disagree",
        ),
        (
            "offset",
            changed(|z| z.offset_more = 1),
            "unclaimed_bytes",
            "end_records_disagree",
        ),
        (
            "zip64 count",
            changed(|z| (z.zip64, z.zip64_count_more) = (true, 1)),
            "end_records_disagree",
            "end_records_disagree",
        ),
        (
            "duplicate",
            added(Item::new(shift, b"x")),
            "name_duplicate",
            "unexpected_entry",
        ),
        (
            "duplicate by case",
            added(Item::new("Letter/LETTER.pdf", b"x")),
            "name_duplicate",
            "unexpected_entry",
        ),
        ("duplicate by form", two_forms(), "name_duplicate", "name_not_nfc"),
        (
            "file and folder",
            added(Item::new("letter/letter.pdf/x", b"x")),
            "name_file_and_folder",
            "unexpected_entry",
        ),
        (
            "escaping",
            letter_named("letter/../../x"),
            "name_escapes",
            "name_escapes",
        ),
        ("dot", letter_named("letter/./x"), "name_escapes", "name_escapes"),
        (
            "absolute",
            letter_named("/letter/x"),
            "name_empty_component",
            "name_empty_component",
        ),
        (
            "empty component",
            letter_named("letter//x"),
            "name_empty_component",
            "name_empty_component",
        ),
        (
            "control character",
            letter_named("letter/a\u{7f}"),
            "name_control_character",
            "name_control_character",
        ),
        (
            "drive letter",
            letter_named("C:letter/x"),
            "name_drive_letter",
            "name_drive_letter",
        ),
        (
            "backslash",
            letter_named("letter\\x"),
            "name_backslash",
            "name_backslash",
        ),
        (
            "long component",
            letter_named(&format!("letter/{}", "a".repeat(256))),
            "name_too_long",
            "name_too_long",
        ),
        (
            "deep",
            letter_named(&["letter"; 17].join("/")),
            "name_too_long",
            "name_too_long",
        ),
        (
            "long",
            letter_named(&["a"; 5].map(|a| a.repeat(250)).join("/")),
            "name_too_long",
            "name_too_long",
        ),
        (
            "link",
            on_letter(|i| (i.made_by, i.external) = (3 << 8, 0o120_777 << 16)),
            "link_or_special_file",
            "link_or_special_file",
        ),
        (
            "device",
            on_letter(|i| (i.made_by, i.external) = (3 << 8, 0o020_777 << 16)),
            "link_or_special_file",
            "link_or_special_file",
        ),
        ("encrypted", on_letter(|i| i.flags |= 1), "encrypted", "flags"),
        (
            "strongly encrypted",
            on_letter(|i| i.flags |= 1 << 6),
            "encrypted",
            "flags",
        ),
        ("masked", on_letter(|i| i.flags |= 1 << 13), "encrypted", "flags"),
        (
            "AES",
            on_letter(|i| i.central_extra = vec![1, 0x99, 0, 0]),
            "encrypted",
            "headers_disagree",
        ),
        (
            "another method",
            on_letter(|i| i.method = 12),
            "unsupported_compression",
            "compressed",
        ),
        (
            "second name",
            on_letter(|i| i.central_extra = unicode_path("other")),
            "two_names",
            "headers_disagree",
        ),
        (
            "broken extra field",
            on_letter(|i| i.central_extra = vec![1, 2, 3]),
            "central_header_malformed",
            "header_malformed",
        ),
        (
            "wrong mimetype",
            changed(|z| z.item("mimetype").content = b"application/vnd.etsi.asic-e+zip\n".to_vec()),
            "mimetype_wrong",
            "entry_too_large",
        ),
        (
            "other mimetype",
            changed(|z| z.item("mimetype").content = b"application/vnd.etsi.asic-s+zip".to_vec()),
            "mimetype_wrong",
            "mimetype_wrong",
        ),
        (
            "case of META-INF",
            added(Item::new("meta-inf/x", b"")),
            "name_reserved",
            "unexpected_entry",
        ),
        (
            "DOCTYPE",
            text_manifest("<asic:ASiCManifest", "<!DOCTYPE x><asic:ASiCManifest"),
            "manifest_doctype",
            "manifest_doctype",
        ),
        (
            "escape in a URI",
            text_manifest("letter/letter.pdf", "letter/letter.pdf%"),
            "manifest_uri",
            "manifest_uri",
        ),
        (
            "digest algorithm",
            text_manifest("xmlenc#sha256", "xmlenc#md5"),
            "manifest_digest_algorithm",
            "manifest_digest_algorithm",
        ),
        (
            "reference without file",
            text_manifest("letter/letter.pdf", "letter/other"),
            "file_without_reference",
            "envelope_documents",
        ),
        (
            "reference to mimetype",
            text_manifest("letter/letter.pdf", "mimetype"),
            "file_without_reference",
            "reference_reserved",
        ),
        (
            "reference to META-INF",
            text_manifest("letter/letter.pdf", "META-INF/x"),
            "file_without_reference",
            "reference_reserved",
        ),
        (
            "reference twice",
            text_manifest("letter/letter.pdf", "images/empty"),
            "reference_duplicate",
            "reference_duplicate",
        ),
        (
            "decoded twice",
            text_manifest("letter/letter.pdf", "letter/letter%252epdf"),
            "file_without_reference",
            "envelope_documents",
        ),
        (
            "signature of another name",
            text_manifest("signature001", "signature002"),
            "manifest_without_signature",
            "manifest_without_signature",
        ),
        (
            "file without reference",
            added(Item::new("images/more", b"x")),
            "file_without_reference",
            "unexpected_entry",
        ),
        (
            "file missing",
            changed(|z| z.items.retain(|i| i.name != b"images/empty")),
            "reference_without_file",
            "entry_missing",
        ),
        (
            "no signature",
            changed(|z| drop(z.items.remove(2))),
            "manifest_without_signature",
            "unexpected_entry",
        ),
        (
            "no manifest",
            changed(|z| drop(z.items.remove(1))),
            "no_manifest",
            "unexpected_entry",
        ),
        (
            "no envelope",
            changed(|z| drop(z.items.remove(3))),
            "envelope_missing",
            "unexpected_entry",
        ),
        (
            "second signature unnamed",
            added(Item::new("META-INF/signature002.p7s", b"")),
            "signature_without_manifest",
            "unexpected_entry",
        ),
        ("nothing", Zip::default(), "envelope_missing", "unexpected_record"),
        (
            "signature too large",
            changed(|z| z.items[2].content = vec![0; MAX_SIGNATURE_SIZE + 1]),
            "entry_too_large",
            "entry_too_large",
        ),
        (
            "envelope too large",
            changed(|z| z.items[3].content = vec![b' '; (1 << 20) + 1]),
            "entry_too_large",
            "entry_too_large",
        ),
        (
            "manifest too large",
            changed(|z| z.items[1].content = vec![b' '; (48 << 20) + 1]),
            "entry_too_large",
            "entry_too_large",
        ),
    ];
    let mut wrong = Vec::new();
    for (what, zip, by_reader, by_intake) in table {
        let bytes = zip.bytes();
        let found = fatal_codes(&read(&bytes));
        if !found.contains(&by_reader) {
            wrong.push(format!("{what}: reader {found:?}"));
        }
        let error = take_in(&bytes, usize::MAX).map(|_| ()).expect_err(what);
        if error.code != by_intake {
            wrong.push(format!("{what}: intake {}: {error}", error.code));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn read_but_not_taken_in() {
    let table: Vec<(&str, Zip, &[&str], &str)> = vec![
        ("deflate", on_letter(|i| i.method = 8), &[], "compressed"),
        (
            "data descriptor 12",
            on_letter(|i| i.descriptor = 12),
            &[],
            "data_descriptor",
        ),
        (
            "data descriptor 16",
            on_letter(|i| i.descriptor = 16),
            &[],
            "data_descriptor",
        ),
        (
            "data descriptor 20",
            on_letter(|i| i.descriptor = 20),
            &[],
            "data_descriptor",
        ),
        (
            "data descriptor 24",
            on_letter(|i| i.descriptor = 24),
            &[],
            "data_descriptor",
        ),
        (
            "deflate and descriptor",
            on_letter(|i| (i.method, i.descriptor) = (8, 16)),
            &[],
            "data_descriptor",
        ),
        (
            "order of files",
            changed(|z| z.items.swap(4, 5)),
            &[],
            "unexpected_entry",
        ),
        (
            "order of META-INF",
            changed(|z| z.items.swap(1, 2)),
            &[],
            "unexpected_entry",
        ),
        (
            "files first",
            changed(|z| z.items[1..].rotate_left(2)),
            &[],
            "unexpected_entry",
        ),
        (
            "order of the directory",
            changed(|z| z.reversed_directory = true),
            &[],
            "headers_disagree",
        ),
        (
            "folder",
            changed(|z| z.items.insert(4, Item::new("letter/", b""))),
            &[],
            "folder_entry",
        ),
        (
            "META-INF folder",
            changed(|z| z.items.insert(1, Item::new("META-INF/", b""))),
            &[],
            "folder_entry",
        ),
        ("comment", changed(|z| z.comment = b"hello".to_vec()), &[], "comment"),
        (
            "entry comment",
            on_letter(|i| i.comment = b"hello".to_vec()),
            &[],
            "comment",
        ),
        (
            "time stamps of files",
            on_letter(|i| i.local_extra = vec![0x55, 0x54, 1, 0, 0]),
            &[],
            "extra_field",
        ),
        (
            "same second name",
            on_letter(|i| i.central_extra = unicode_path("letter/letter.pdf")),
            &[],
            "headers_disagree",
        ),
        (
            "mimetype missing",
            changed(|z| drop(z.items.remove(0))),
            &["mimetype_missing"],
            "unexpected_entry",
        ),
        (
            "mimetype late",
            changed(|z| z.items.swap(0, 1)),
            &["mimetype_late"],
            "unexpected_entry",
        ),
        (
            "mimetype compressed",
            changed(|z| z.items[0].method = 8),
            &["mimetype_compressed"],
            "compressed",
        ),
        (
            "mimetype extra",
            changed(|z| z.items[0].local_extra = vec![0x55, 0x54, 0, 0]),
            &["mimetype_extra_field"],
            "extra_field",
        ),
        (
            "other in META-INF",
            added(Item::new("META-INF/manifest.xml", b"")),
            &["meta_inf_ignored"],
            "unexpected_entry",
        ),
        (
            "archive",
            added(Item::new("META-INF/ASiCArchiveManifest001.xml", b"")),
            &[],
            "unexpected_entry",
        ),
        (
            "time stamp",
            added(Item::new("META-INF/timestamp001.tst", b"")),
            &[],
            "unexpected_entry",
        ),
        (
            "no UTF-8 flag",
            changed(|z| z.items[5].flags = 0),
            &["name_without_utf8_flag"],
            "name_without_utf8_flag",
        ),
        ("normal form", letter_named("letter/e\u{301}"), &[], "name_not_nfc"),
    ];
    let mut wrong = Vec::new();
    for (what, zip, warnings, by_intake) in table {
        let bytes = zip.bytes();
        let found = codes(&read(&bytes));
        if found != warnings {
            wrong.push(format!("{what}: reader {found:?}"));
        }
        let error = take_in(&bytes, usize::MAX).map(|_| ()).expect_err(what);
        if error.code != by_intake {
            wrong.push(format!("{what}: intake {}: {error}", error.code));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn taken_in_and_read_alike() {
    let table: Vec<(&str, Zip)> = vec![
        ("comment", changed(|z| z.comment = [b"mimetype=", MIMETYPE].concat())),
        ("zip64 end", changed(|z| z.zip64 = true)),
        ("zip64 entry", on_letter(|i| i.zip64 = true)),
        ("ASCII names need no flag", on_letter(|i| i.flags = 0)),
        (
            "Unix modes",
            on_letter(|i| (i.made_by, i.external) = (3 << 8, 0o100_644 << 16)),
        ),
        ("times", on_letter(|i| i.time = 77)),
        (
            "raw UTF-8 in URIs",
            text_manifest("images/%E7%94%BB%E5%83%8F%201.dcm", "images/画像 1.dcm"),
        ),
        ("component of 255", letter_named(&format!("letter/{}", "a".repeat(255)))),
        ("16 deep", letter_named(&["letter"; 16].join("/"))),
    ];
    for (what, zip) in table {
        let bytes = zip.bytes();
        let container = read(&bytes);
        assert_eq!(codes(&container), Vec::<&str>::new(), "{what}");
        let (taken, _) = take_in(&bytes, 13).expect(what);
        assert_eq!(substance(&taken), substance(&container), "{what}");
    }
}

#[test]
fn a_changed_file_is_the_verdicts_business_and_refused_at_intake() {
    let bytes = on_letter(|i| i.content = b"%PDF-1.7 LETTER".to_vec()).bytes();
    let container = read(&bytes);
    assert_eq!(container.findings, []);
    assert_ne!(
        container.files[1].digests.get(DigestAlgorithm::Sha256),
        Some(&container.manifests[0].references[1].digest[..])
    );
    assert_eq!(take_in(&bytes, 5).map(|_| ()).unwrap_err().code, "digest_mismatch");
}

#[test]
fn deflate_bombs_end_early() {
    let bomb = |size_more: u32| {
        let zip = changed(|z| {
            let item = z.item("images/empty");
            (item.content, item.method, item.size_more) = (vec![0; 1 << 20], 8, size_more);
        });
        fatal_codes(&read(&zip.bytes()))
    };
    assert_eq!(bomb(0), Vec::<&str>::new());
    assert_eq!(bomb(0u32.wrapping_sub(1000)), ["sizes_disagree"], "more than declared");
    assert_eq!(bomb(1), ["sizes_disagree"]);
    assert_eq!(bomb(200 << 20), ["inflates_too_much"]);
}

#[test]
fn foreign_containers_are_repacked() {
    let zip = changed(|z| {
        z.items[1].name = b"META-INF/ASiCManifest.xml".to_vec();
        z.items[1].method = 8;
        z.items.swap(4, 5);
        z.items.swap(0, 3);
        z.items[6].descriptor = 16;
        z.items.iter_mut().for_each(|item| {
            if item.name == IMAGE_NAME.as_bytes() {
                item.method = 8
            }
        });
    });
    let bytes = zip.bytes();
    let foreign = read(&bytes);
    assert_eq!(fatal_codes(&foreign), Vec::<&str>::new());
    let mut out = Vec::new();
    let size = repack(&mut Cursor::new(&bytes), &mut out).unwrap();
    assert_eq!(size, out.len() as u64);
    let (taken, _) = take_in(&out, usize::MAX).unwrap();
    assert_eq!(taken.manifests[0].digests, foreign.manifests[0].digests);
    assert_eq!(out, written(1), "the same content gives the same bytes");
    let renamed = text_manifest("signature001", "signatureA");
    let mut renamed = renamed;
    renamed.items[2].name = b"META-INF/signatureA.p7s".to_vec();
    let refused = repack(&mut Cursor::new(renamed.bytes()), &mut Vec::new());
    assert!(
        matches!(refused, Err(UnpackError::Write(WriteError::Profile(_)))),
        "{refused:?}"
    );
    let broken = on_letter(|i| i.crc_flip = 1).bytes();
    assert!(matches!(
        repack(&mut Cursor::new(broken), &mut Vec::new()),
        Err(UnpackError::Container(_))
    ));
}

#[test]
fn any_byte_flipped_or_cut_is_noticed() {
    let original = good().bytes();
    let truth = read(&original);
    for at in 0..original.len() {
        // The image's own bytes are all alike: every 50th is enough.
        let mut bytes = original.clone();
        let inside = truth.files[2]
            .offset
            .is_some_and(|start| (start..start + 3000).contains(&(at as u64)));
        if inside && at % 50 != 0 {
            continue;
        }
        for flip in [1, 0x80] {
            bytes[at] ^= flip;
            let container = read(&bytes);
            let clean = fatal_codes(&container).is_empty();
            assert!(!clean || container.files == truth.files, "byte {at}");
            if let Ok((taken, _)) = take_in(&bytes, usize::MAX) {
                assert!(clean && taken.files == truth.files, "byte {at}");
            }
            bytes[at] ^= flip;
        }
        assert!(!fatal_codes(&read(&original[..at])).is_empty(), "cut at {at}");
    }
    for at in [0, 1, 100, original.len() - 1] {
        assert_eq!(take_in(&original[..at], 64).map(|_| ()).unwrap_err().code, "truncated");
    }
}

const IMAGE_NAME: &str = "images/画像 1.dcm";
