//! The walker against honest, odd and hostile files.

use super::*;

fn explicit(group: u16, element: u16, vr: &[u8; 2], value: &[u8]) -> Vec<u8> {
    let mut bytes = [group.to_le_bytes(), element.to_le_bytes()].concat();
    bytes.extend_from_slice(vr);
    if matches!(vr, b"SQ" | b"OB" | b"OW" | b"UN" | b"UT") {
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(&u32::try_from(value.len()).unwrap().to_le_bytes());
    } else {
        bytes.extend_from_slice(&u16::try_from(value.len()).unwrap().to_le_bytes());
    }
    bytes.extend_from_slice(value);
    bytes
}

fn file(syntax: &str, attributes: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 128];
    bytes.extend_from_slice(b"DICM");
    bytes.extend(explicit(2, 0x10, b"UI", syntax.as_bytes()));
    bytes.extend_from_slice(attributes);
    bytes
}

const EXPLICIT: &str = "1.2.840.10008.1.2.1\0";

fn honest() -> Vec<u8> {
    [
        explicit(8, 5, b"CS", b"ISO 2022 IR 13\\ISO 2022 IR 87 "),
        explicit(8, 0x16, b"UI", b"1.2.840.10008.5.1.4.1.1.2\0"),
        explicit(8, 0x18, b"UI", b"1.2.3.4\0"),
        explicit(8, 0x60, b"CS", b"CT"),
        explicit(
            0x10,
            0x10,
            b"PN",
            b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J",
        ),
        explicit(0x10, 0x20, b"LO", b"12345 "),
        explicit(0x20, 0xd, b"UI", b"1.2.3"),
        explicit(0x20, 0xe, b"UI", b"1.2.3.1"),
    ]
    .concat()
}

#[test]
fn reads_an_image_with_a_japanese_name() {
    let header = Header::read(&file(EXPLICIT, &honest())[..]).unwrap();
    assert_eq!(header.patient_name.as_deref(), Some("ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"));
    assert_eq!(header.patient_id.as_deref(), Some("12345"));
    assert_eq!(header.series.as_deref(), Some("1.2.3.1"));
    assert_eq!(header.warnings, Vec::<String>::new());
    assert!(
        !format!("{header:?}").contains("12345"),
        "Debug must not show the patient"
    );
}

#[test]
fn groups_images_and_counts_patients() {
    let mut tree = StudyTree::default();
    let header = Header::read(&file(EXPLICIT, &honest())[..]).unwrap();
    tree.add(&header);
    tree.add(&header);
    tree.add(&Header {
        sop_instance: Some("1.2.3.5".into()),
        patient_id: Some("other".into()),
        ..header
    });
    assert_eq!(tree.patients(), 2);
    assert_eq!(tree.studies["1.2.3"].series["1.2.3.1"].instances, 2);
}

#[test]
fn steps_through_sequences_and_stops_before_the_pixels() {
    let mut attributes = explicit(8, 0x16, b"UI", b"1.2");
    attributes.extend_from_slice(b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff"); // undefined length
    attributes.extend_from_slice(b"\xfe\xff\0\xe0\xff\xff\xff\xff");
    attributes.extend(explicit(8, 0x1150, b"UI", b"1.2"));
    attributes.extend_from_slice(b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0");
    attributes.extend(explicit(0x20, 0xd, b"UI", b"1.2.9"));
    attributes.extend_from_slice(b"\xe0\x7f\x10\0OW\0\0\xf0\xff\xff\xff"); // claims 4 GB
    let header = Header::read(&file(EXPLICIT, &attributes)[..]).unwrap();
    assert_eq!(header.study.as_deref(), Some("1.2.9"));
}

#[test]
fn implicit_big_endian_and_deflated_syntaxes_are_read() {
    let implicit = [8_u16.to_le_bytes(), 0x60_u16.to_le_bytes()].concat();
    let implicit = [implicit, 2_u32.to_le_bytes().to_vec(), b"MR".to_vec()].concat();
    assert_eq!(
        Header::read(&file("1.2.840.10008.1.2\0", &implicit)[..])
            .unwrap()
            .modality
            .as_deref(),
        Some("MR")
    );

    let big = [&[0, 8, 0, 0x60][..], b"CS", &[0, 2], b"MR"].concat();
    assert_eq!(
        Header::read(&file("1.2.840.10008.1.2.2\0", &big)[..])
            .unwrap()
            .modality
            .as_deref(),
        Some("MR")
    );

    let mut deflated = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut deflated, &honest()).unwrap();
    let deflated = deflated.finish().unwrap();
    let header = Header::read(&file("1.2.840.10008.1.2.1.99", &deflated)[..]).unwrap();
    assert_eq!(header.study.as_deref(), Some("1.2.3"));
}

#[test]
fn hostile_headers_end_in_an_error_at_once() {
    let mut deep = Vec::new();
    for _ in 0..3_000 {
        deep.extend_from_slice(b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff");
    }
    assert!(matches!(
        Header::read(&file(EXPLICIT, &deep)[..]),
        Err(DicomError::Excessive("depth of sequences"))
    ));

    let claims_two_gigabytes = b"\x08\0\x40\x11UN\0\0\0\0\xff\x7f".to_vec();
    assert!(matches!(
        Header::read(&file(EXPLICIT, &claims_two_gigabytes)[..]),
        Err(DicomError::Truncated)
    ));

    let mut endless = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff".to_vec();
    endless.extend(b"\xfe\xff\0\xe0\0\0\0\0".repeat(300_000));
    assert!(matches!(
        Header::read(&file(EXPLICIT, &endless)[..]),
        Err(DicomError::Excessive("number of elements"))
    ));

    assert!(matches!(Header::read(&b"GIF89a"[..]), Err(DicomError::NotDicom)));
    assert!(matches!(
        Header::read(&file(EXPLICIT, b"\x08\0\x60\0\xff\xff\x02\0MR")[..]),
        Err(DicomError::Malformed(_))
    ));
}

#[test]
fn every_truncation_and_every_flipped_byte_is_survived() {
    let whole = file(EXPLICIT, &honest());
    for end in 0..whole.len() {
        let _ = Header::read(&whole[..end]);
        let mut flipped = whole.clone();
        flipped[end] ^= 0xff;
        let _ = Header::read(&flipped[..]);
    }
}
