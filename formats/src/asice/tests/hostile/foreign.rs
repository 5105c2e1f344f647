//! What other software may do: read but not taken in, taken in and read alike, repacked into the writing profile.

use super::*;

const IMAGE_NAME: &str = "images/画像 1.dcm";

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
            &["archive_unreadable"],
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
