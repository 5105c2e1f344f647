//! What reader and intake both refuse: what is wrong, the reader's word, the intake's word.

use super::*;

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
        (
            "signatures too large together",
            signed_by(3, 8 << 20),
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
fn manifests_are_bounded_together() {
    let mut zip = signed_by(3, 9);
    // So that what is declared below is in proportion to the whole.
    zip.items.push(Item::new("images/noise", &vec![1; 1 << 19]));
    for item in zip.items.iter_mut().filter(|item| item.name.ends_with(b".xml")) {
        // The directory's word is enough; the content need not be there.
        (item.method, item.size_more) = (8, 40 << 20);
    }
    assert_eq!(fatal_codes(&read(&zip.bytes())), ["entry_too_large"]);
}

/// A container with several signatures of `size` bytes.
fn signed_by(signatures: u16, size: usize) -> Zip {
    let plans = plans(&content());
    let mut zip = good();
    let own = (1..=signatures).flat_map(|number| {
        let manifest = manifest::encode(number, &plans);
        [
            Item::new(&format!("META-INF/ASiCManifest{number:03}.xml"), &manifest),
            Item::new(&format!("META-INF/signature{number:03}.p7s"), &vec![0; size]),
        ]
    });
    zip.items.splice(1..3, own);
    zip
}
