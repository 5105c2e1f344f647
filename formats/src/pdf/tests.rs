//! Whole PDFs: signed, changed afterwards in every way published, and made to exhaust a reader.

use super::*;
use crate::pdf_by_hand::{
    LETTER, Look, additions, appended, attacks, hybrid, linearised, pdf, section, signed, start, stored,
};

fn letter() -> Vec<u8> {
    signed(&pdf(&LETTER), Look::PLAIN, |_| vec![0x30, 0x00])
}

fn only(bytes: &[u8]) -> PdfSignature {
    let read = read(bytes).unwrap();
    assert_eq!(read.signatures.len(), 1);
    read.signatures.into_iter().next().unwrap()
}

#[test]
fn a_signature_covers_its_revision() {
    let bytes = letter();
    let signature = only(&bytes);
    assert_eq!(signature.defects, Vec::<String>::new());
    assert_eq!(signature.afterwards, Afterwards::default());
    assert_eq!(
        (signature.field.as_str(), signature.kind),
        ("Signature20", SignatureKind::Cades)
    );
    assert_eq!(
        (signature.contents.as_slice(), signature.revision_end),
        (&[0x30, 0x00][..], bytes.len())
    );
    assert_eq!(signature.claimed_time.as_deref(), Some("D:20261122100000+09'00'"));
    assert_eq!(
        read(&pdf(&LETTER)).unwrap(),
        SignedPdf {
            sections: 1,
            ..SignedPdf::default()
        }
    );
}

#[test]
fn what_is_allowed_is_no_change() {
    for (name, bytes) in additions(&letter()) {
        let signature = only(&bytes);
        assert_eq!(
            (&signature.defects, &signature.afterwards.changes),
            (&Vec::new(), &Vec::new()),
            "{name}"
        );
    }
    let look = Look {
        number: 30,
        earlier: "20 0 R",
        ..Look::PLAIN
    };
    let twice = read(&signed(&letter(), look, |_| vec![0x30, 0x00])).unwrap();
    for signature in &twice.signatures {
        assert_eq!(
            (&signature.defects, &signature.afterwards.changes),
            (&Vec::new(), &Vec::new())
        );
    }
    assert_eq!(twice.signatures.len(), 2);
    assert!(twice.signatures[0].afterwards.additions[0].contains("signature"));
    assert_eq!(twice.signatures[0].afterwards.unused_objects, 2);
}

#[test]
fn linearised_and_hybrid_files_are_read_and_watched_like_any_other() {
    for (name, bytes) in [("linearised", linearised()), ("hybrid", hybrid())] {
        assert_eq!(read(&bytes).unwrap().signatures, [], "{name}");
        let bytes = signed(&bytes, Look::PLAIN, |_| vec![0x30, 0x00]);
        let signature = only(&bytes);
        assert_eq!(
            (&signature.defects, &signature.afterwards.changes),
            (&Vec::new(), &Vec::new()),
            "{name}"
        );
        for (addition, bytes) in additions(&bytes) {
            assert_eq!(
                only(&bytes).afterwards.changes,
                Vec::<String>::new(),
                "{name}: {addition}"
            );
        }
        // Object 5 is the font: in the hybrid file only the stream knows it.
        for object in [4, 5] {
            let changed = appended(&bytes, &[(object, "<< /Type /Font /Subtype /Type3 >>")], "/Root 1 0 R");
            assert_ne!(
                only(&changed).afterwards.changes,
                Vec::<String>::new(),
                "{name}: {object}"
            );
        }
    }
}

#[test]
fn it_is_told_where_what_is_stored_ends() {
    let bytes = letter();
    let (list, response) = (vec![0x30, 1, 1], vec![0x30, 1, 2]);
    let kept = stored(
        &bytes,
        "20 0 R",
        std::slice::from_ref(&list),
        std::slice::from_ref(&response),
    );
    let read = read(&kept).unwrap();
    assert_eq!(
        (&read.store.crls, &read.store.ocsp),
        (&vec![list.clone()], &vec![response])
    );
    let place = read.store.places[0];
    assert_eq!(
        (place.sha256, read.store.places.len()),
        (crate::digest::sha256(&list), 2)
    );
    let end = [list.as_slice(), b"\nendstream"].concat();
    assert!(kept[..place.end].ends_with(&end));
    let signature = &read.signatures[0];
    assert!(signature.contents_start < signature.revision_end && signature.revision_end < place.end);
    assert_eq!(kept.get(signature.contents_start), Some(&b'<'));
}

#[test]
fn every_published_attack_is_seen() {
    let bytes = letter();
    for (name, attacked) in attacks(&bytes) {
        let seen = match read(&attacked) {
            Err(error) => error.to_string(),
            Ok(read) => {
                let said = read
                    .signatures
                    .iter()
                    .flat_map(|one| one.defects.iter().chain(&one.afterwards.changes));
                said.cloned().collect::<Vec<_>>().join("; ")
            }
        };
        assert!(!seen.is_empty(), "{name} is not seen");
        eprintln!("{name}: {seen}");
    }
}

#[test]
fn what_a_certified_pdf_permits_is_told() {
    let look = Look {
        more: "/Reference [<< /TransformMethod /DocMDP /TransformParams << /P 3 >> >> << /TransformMethod /FieldMDP >>]",
        ..Look::PLAIN
    };
    let signature = only(&signed(&pdf(&LETTER), look, |_| vec![0x30, 0x00]));
    assert_eq!((signature.certification, signature.locks_fields), (Some(3), true));
}

#[test]
fn an_encrypted_pdf_says_so_and_a_cut_one_is_malformed() {
    let encrypted = appended(b"%PDF-1.7\n", &LETTER, "/Root 1 0 R /Encrypt << >>");
    assert_eq!(read(&encrypted), Err(PdfError::Encrypted));
    let bytes = letter();
    for cut in (0..bytes.len() - 1).step_by(509) {
        assert!(read(&bytes[..cut]).is_ok_and(|read| read.signatures.is_empty()) || read(&bytes[..cut]).is_err());
    }
    assert_eq!(read(b"GIF89a"), Err(PdfError::NotPdf));
}

#[test]
fn sections_in_a_loop_end() {
    let bytes = pdf(&LETTER);
    let start = start(&bytes).unwrap();
    let place = bytes.len();
    let looped = section(bytes.clone(), &[], &format!("/Root 1 0 R /Prev {place}"));
    assert!(matches!(read(&looped), Err(PdfError::Malformed(_))));
    let mut many = bytes;
    for _ in 0..600 {
        many = appended(&many, &[], "/Root 1 0 R");
    }
    assert!(matches!(read(&many), Err(PdfError::TooMuch(_))) && start > 0);
}

#[test]
fn hostile_files_end() {
    let ten = 10 * 1024 * 1024;
    let tail = format!("startxref\n{}\n%%EOF", 9);
    for body in ["1 0 obj\n", "<<", "[", "(", "xref\n", "%", " ", "/A", "trailer<<>>"] {
        let bytes = [b"%PDF-1.7\n", body.repeat(ten / body.len()).as_bytes(), tail.as_bytes()].concat();
        assert!(read(&bytes).is_err(), "{body}");
    }
    // A catalog that is an array of everything, a form that is its own child, a field list that lists itself.
    let form = "<< /Type /Catalog /AcroForm << /Fields [2 0 R] >> >>";
    for field in [
        "<< /FT /Sig /Kids [2 0 R] /T (a) >>",
        "<< /FT /Sig /V 2 0 R /T (a) >>",
        "[2 0 R]",
    ] {
        let read = read(&pdf(&[(1, form), (2, field)]));
        assert!(read.is_err() || read.is_ok_and(|read| read.signatures.iter().all(|one| !one.defects.is_empty())));
    }
    // Many entries that all name one long stretch of white space.
    let mut bytes = [b"%PDF-1.7\n".to_vec(), vec![b' '; 1024 * 1024]].concat();
    let kids: String = (10..10_000).map(|number| format!("{number} 0 R ")).collect();
    let places: Vec<(u32, usize)> = (10..10_000).map(|number| (number, 9)).collect();
    let catalog = bytes.len();
    bytes.extend(format!("1 0 obj\n<< /AcroForm << /Fields [{kids}] >> >>\nendobj\n").into_bytes());
    let bytes = section(bytes, &[places, vec![(1, catalog)]].concat(), "/Root 1 0 R");
    assert!(read(&bytes).is_err());
}

#[test]
fn an_object_stream_that_explodes_ends() {
    use flate2::{Compression, write::ZlibEncoder};
    use std::io::Write as _;
    let deflate = |bytes: &[u8]| {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let mut bytes = b"%PDF-1.7\n".to_vec();
    let bomb = deflate(&vec![b' '; 64 * 1024 * 1024]);
    let place = bytes.len();
    bytes.extend(
        format!(
            "5 0 obj\n<< /Type /ObjStm /N 1 /First 4 /Filter /FlateDecode /Length {} >>\nstream\n",
            bomb.len()
        )
        .into_bytes(),
    );
    bytes.extend([&bomb[..], b"\nendstream\nendobj\n"].concat());
    let start = bytes.len();
    let row = |kind: u8, place: usize| [&[kind][..], &u32::try_from(place).unwrap().to_be_bytes(), &[0]].concat();
    let rows = [row(0, 0), row(2, 5), row(0, 0), row(0, 0), row(0, 0), row(1, place)].concat();
    let rows = deflate(&rows);
    let dictionary = format!(
        "<< /Type /XRef /Size 6 /W [1 4 1] /Root 1 0 R /Filter /FlateDecode /Length {} >>",
        rows.len()
    );
    bytes.extend(format!("6 0 obj\n{dictionary}\nstream\n").into_bytes());
    bytes.extend(
        [
            &rows[..],
            format!("\nendstream\nendobj\nstartxref\n{start}\n%%EOF").as_bytes(),
        ]
        .concat(),
    );
    assert!(matches!(read(&bytes), Err(PdfError::TooMuch(_))));
}
