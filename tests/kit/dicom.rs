//! A small CT-like DICOM Part 10 file: explicit VR little endian, 64 × 64 pixels that show a disc.

const SIDE: u16 = 64;
const CT_IMAGE_STORAGE: &str = "1.2.840.10008.5.1.4.1.1.2";
const EXPLICIT_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2.1";

/// Image `instance` of series `series` of study `study`; equal numbers give equal bytes.
#[must_use]
pub fn dicom(study: u32, series: u32, instance: u32) -> Vec<u8> {
    let study_uid = format!("2.25.1000.{study}");
    let series_uid = format!("{study_uid}.{series}");
    let instance_uid = format!("{series_uid}.{instance}");
    let meta = [
        element(2, 1, b"OB", &[0, 1]),
        uid(2, 2, CT_IMAGE_STORAGE),
        uid(2, 3, &instance_uid),
        uid(2, 0x10, EXPLICIT_LITTLE_ENDIAN),
        uid(2, 0x12, "2.25.1000"),
    ]
    .concat();
    let length = u32::try_from(meta.len()).expect("a short header").to_le_bytes();
    let number = |group, item, value: u16| element(group, item, b"US", &value.to_le_bytes());
    let body = [
        text(8, 5, b"CS", "ISO_IR 192"),
        uid(8, 0x16, CT_IMAGE_STORAGE),
        uid(8, 0x18, &instance_uid),
        text(8, 0x20, b"DA", "20261124"),
        text(8, 0x30, b"TM", "120000"),
        text(8, 0x50, b"SH", ""),
        text(8, 0x60, b"CS", "CT"),
        text(8, 0x90, b"PN", ""),
        text(8, 0x1030, b"LO", "胸部CT"),
        text(0x10, 0x10, b"PN", "Yamada^Taro=山田^太郎"),
        text(0x10, 0x20, b"LO", "12345"),
        text(0x10, 0x30, b"DA", "19700101"),
        text(0x10, 0x40, b"CS", "M"),
        uid(0x20, 0x0d, &study_uid),
        uid(0x20, 0x0e, &series_uid),
        text(0x20, 0x10, b"SH", &study.to_string()),
        text(0x20, 0x11, b"IS", &series.to_string()),
        text(0x20, 0x13, b"IS", &instance.to_string()),
        number(0x28, 2, 1),
        text(0x28, 4, b"CS", "MONOCHROME2"),
        number(0x28, 0x10, SIDE),
        number(0x28, 0x11, SIDE),
        number(0x28, 0x100, 16),
        number(0x28, 0x101, 12),
        number(0x28, 0x102, 11),
        number(0x28, 0x103, 0),
        element(0x7fe0, 0x10, b"OW", &pixels(instance)),
    ]
    .concat();
    [&[0; 128][..], b"DICM", &element(2, 0, b"UL", &length), &meta, &body].concat()
}

/// A disc whose size follows the instance, on a slope of grey.
fn pixels(instance: u32) -> Vec<u8> {
    let radius = 8 + i32::try_from(instance % 20).unwrap_or(0);
    let middle = i32::from(SIDE / 2);
    (0..i32::from(SIDE))
        .flat_map(|y| (0..i32::from(SIDE)).map(move |x| (x, y)))
        .flat_map(|(x, y)| {
            let inside = (x - middle).pow(2) + (y - middle).pow(2) < radius.pow(2);
            let grey = if inside { 3000 } else { 8 * (x + y) };
            u16::try_from(grey).unwrap_or(0).to_le_bytes()
        })
        .collect()
}

fn uid(group: u16, item: u16, value: &str) -> Vec<u8> {
    padded(group, item, b"UI", value, 0)
}

fn text(group: u16, item: u16, vr: &[u8; 2], value: &str) -> Vec<u8> {
    padded(group, item, vr, value, b' ')
}

fn padded(group: u16, item: u16, vr: &[u8; 2], value: &str, padding: u8) -> Vec<u8> {
    let mut bytes = value.as_bytes().to_vec();
    if bytes.len() % 2 == 1 {
        bytes.push(padding);
    }
    element(group, item, vr, &bytes)
}

/// PS3.5 §7.1.2: OB and OW have a long length field.
fn element(group: u16, item: u16, vr: &[u8; 2], value: &[u8]) -> Vec<u8> {
    let mut bytes = [group.to_le_bytes(), item.to_le_bytes(), *vr].concat();
    if matches!(vr, b"OB" | b"OW") {
        bytes.extend([0, 0]);
        bytes.extend(u32::try_from(value.len()).expect("a short value").to_le_bytes());
    } else {
        bytes.extend(u16::try_from(value.len()).expect("a short value").to_le_bytes());
    }
    bytes.extend_from_slice(value);
    bytes
}
