//! Laborious PDFs: chains of revisions, tables, object streams that inflate, fields and signatures without end.

use std::fmt::Write as _;
use std::hint::black_box;

use formats::pdf::SignedPdf;
use kit::pdf::{LETTER, Look, appended, pdf, section, signed};
use trust_store::{Evidence, Subject};

use super::{Case, SIZE, texts};

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, make| Case { name, make, read };
    vec![
        case("a PDF of a hundred thousand revisions", revisions),
        case("a PDF with half a million objects", objects),
        case("a PDF whose trailers are large", trailers),
        case("a PDF of object streams that inflate", || {
            object_streams(&vec![b' '; 30_000_000], 1, 250)
        }),
        case("a PDF of object streams of millions of objects", || {
            object_streams(&b"1 0 ".repeat(499_000), 499_000, 16)
        }),
        case("a PDF whose table inflates", table_that_inflates),
        case("a PDF with a large value above many fields", || {
            fields("/FT /Sig", "/V [", "0 ", "]")
        }),
        case("a PDF with a large name above many fields", || {
            fields("/FT /Sig", "/T (", "a", ")")
        }),
        case("a PDF with a hundred thousand signature fields", || {
            form(90_000, |_| "/FT /Sig /V 9 0 R".to_owned())
        }),
        case("a PDF of thousands of byte ranges", || {
            form(20_000, |number| {
                format!("/FT /Sig /V << /Type /Sig /ByteRange [0 {number} {number} 1] /Contents <00> >>")
            })
        }),
        case("a PDF of one long byte range", long_range),
        case("a PDF of references", || long_object("1 0 R ")),
        case("a PDF of names", || long_object("/a")),
        case("a PDF of nested lists", || long_object("[[[[]]]]")),
        case("a PDF of one long text", || long_object("((((")),
        case("a PDF of comments", || {
            [
                b"%PDF-1.7\n".to_vec(),
                b"%\n".repeat(SIZE / 2 - 50),
                b"startxref\n9\n%%EOF\n".to_vec(),
            ]
            .concat()
        }),
        case("a PDF of sixteen signatures with much behind them", much_behind),
        case("a PDF with a store of one stream a thousand times", store),
    ]
}

fn read(bytes: &[u8]) {
    let read = SignedPdf::of(bytes);
    assert!(read.signatures.len() <= 16);
    let at = time::macros::datetime!(2026-11-20 03:00:00 UTC);
    let validated = texts::store().validate(Subject::Pdf(Box::new(read)), Evidence::default(), at);
    assert!(!validated.report().passed());
    black_box(validated);
}

fn revisions() -> Vec<u8> {
    let (mut text, mut previous) = (String::from("%PDF-1.7\n"), None::<usize>);
    while text.len() < SIZE - 200 {
        let here = text.len();
        let before = previous.map_or_else(String::new, |place| format!("/Prev {place}"));
        write!(
            text,
            "xref\n0 1\n0000000000 65535 f \ntrailer<</Size 1/Root 1 0 R{before}>>\n"
        )
        .unwrap();
        previous = Some(here);
    }
    write!(text, "startxref\n{}\n%%EOF\n", previous.unwrap()).unwrap();
    text.into_bytes()
}

fn objects() -> Vec<u8> {
    let mut text = String::from("%PDF-1.7\nxref\n0 480000\n");
    for number in 0..480_000_u32 {
        writeln!(text, "{:010} 00000 n ", number % 9).unwrap();
    }
    text.push_str("trailer<</Size 480000/Root 1 0 R>>\nstartxref\n9\n%%EOF\n");
    text.into_bytes()
}

fn trailers() -> Vec<u8> {
    let mut bytes = pdf(&LETTER);
    let mut large = String::new();
    for number in 0..120_000 {
        write!(large, "/{number:x} 0").unwrap();
    }
    while bytes.len() + large.len() + 1000 < SIZE {
        bytes = appended(&bytes, &[], &format!("/Root 1 0 R {large}"));
    }
    bytes
}

/// So many object streams, each of these bytes deflated and said to hold `count` objects; every one is asked for.
fn object_streams(content: &[u8], count: usize, most: u32) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut encoder, content).unwrap();
    let raw = encoder.finish().unwrap();
    let (mut bytes, mut rows) = (b"%PDF-1.7\n".to_vec(), Vec::new());
    for number in 1..=most {
        rows.push((1, u32::try_from(bytes.len()).unwrap()));
        let dictionary = format!(
            "{number} 0 obj\n<</Type/ObjStm/N {count}/First {}/Filter/FlateDecode/Length {}>>\nstream\n",
            content.len(),
            raw.len()
        );
        bytes.extend(dictionary.into_bytes());
        bytes.extend([&raw[..], b"\nendstream\nendobj\n"].concat());
    }
    rows.extend((1..=most).map(|stream| (2, stream)));
    let start = bytes.len();
    let rows: Vec<u8> = rows
        .iter()
        .flat_map(|(kind, place)| [&[*kind][..], &place.to_be_bytes(), &[0]].concat())
        .collect();
    let number = 2 * most + 1;
    let head = format!(
        "{number} 0 obj\n<</Type/XRef/Size {number}/W[1 4 1]/Index[1 {}]/Root 1 0 R/Length {}>>\nstream\n",
        2 * most,
        rows.len()
    );
    bytes.extend(head.into_bytes());
    bytes.extend([&rows[..], b"\nendstream\nendobj\n"].concat());
    bytes.extend(format!("startxref\n{start}\n%%EOF\n").into_bytes());
    bytes
}

fn table_that_inflates() -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut encoder, &vec![0; 512 << 20]).unwrap();
    let raw = encoder.finish().unwrap();
    let head = format!(
        "%PDF-1.7\n1 0 obj\n<</Type/XRef/Size 499000/W[1 4 1]/Filter/FlateDecode/Root 1 0 R/Length {}>>\nstream\n",
        raw.len()
    );
    [head.as_bytes(), &raw, b"\nendstream\nendobj\nstartxref\n9\n%%EOF\n"].concat()
}

/// A form of so many fields, as far as they fit.
fn form(count: usize, field: impl Fn(usize) -> String) -> Vec<u8> {
    let mut list = String::new();
    let mut objects: Vec<(u32, String)> = Vec::new();
    let mut size = 0;
    for number in 0..count {
        let (id, text) = (u32::try_from(number).unwrap() + 20, format!("<< {} >>", field(number)));
        size += text.len() + 70;
        if size > SIZE - 1000 {
            break;
        }
        write!(list, "{id} 0 R ").unwrap();
        objects.push((id, text));
    }
    objects.push((1, format!("<< /Type /Catalog /AcroForm << /Fields [{list}] >> >>")));
    objects.push((9, "<< /Type /Sig /ByteRange [0 1 2 3] /Contents <00> >>".to_owned()));
    let objects: Vec<(u32, &str)> = objects.iter().map(|(id, text)| (*id, text.as_str())).collect();
    pdf(&objects)
}

/// One field with something large, which tens of thousands of fields below it inherit.
fn fields(kind: &str, before: &str, large: &str, after: &str) -> Vec<u8> {
    let kids = 50_000_u32;
    let mut list = String::new();
    let mut objects = Vec::new();
    for number in 30..30 + kids {
        write!(list, "{number} 0 R ").unwrap();
        objects.push((number, "<</T(a)>>".to_owned()));
    }
    let large = large.repeat(100_000);
    objects.push((20, format!("<< {kind} {before}{large}{after} /Kids [{list}] >>")));
    objects.push((1, "<< /Type /Catalog /AcroForm << /Fields [20 0 R] >> >>".to_owned()));
    let objects: Vec<(u32, &str)> = objects.iter().map(|(id, text)| (*id, text.as_str())).collect();
    pdf(&objects)
}

fn long_range() -> Vec<u8> {
    let range = "0 1 ".repeat((SIZE - 2000) / 4);
    let value = format!("<< /Type /Sig /SubFilter /ETSI.CAdES.detached /ByteRange [{range}] /Contents <00> >>");
    pdf(&[
        (1, "<< /Type /Catalog /AcroForm << /Fields [20 0 R] >> >>"),
        (20, "<< /FT /Sig /T (a) /V 21 0 R >>"),
        (21, &value),
    ])
}

/// A catalog that holds this as often as fits into what one object may hold, in many objects.
fn long_object(what: &str) -> Vec<u8> {
    let large = format!("[{}]", what.repeat((240_000 / what.len()).max(20_000)));
    let mut objects = vec![(1, "<< /Type /Catalog /Pages 2 0 R /AcroForm 2 0 R >>".to_owned())];
    let mut size = 0;
    for number in 2.. {
        size += large.len() + 100;
        if size > SIZE {
            break;
        }
        objects.push((number, format!("<< /Fields {large} /Kids [{} 0 R] >>", number + 1)));
    }
    let objects: Vec<(u32, &str)> = objects.iter().map(|(id, text)| (*id, text.as_str())).collect();
    pdf(&objects)
}

/// Sixteen signatures, and then as many objects as fit, all of them listed.
fn much_behind() -> Vec<u8> {
    let now = time::macros::datetime!(2026-11-20 03:00:00 UTC);
    let hpki = kit::TestHpki::new("http://127.0.0.1:1", now);
    let card = hpki.doctor();
    let mut bytes = pdf(&LETTER);
    let mut earlier = String::new();
    for number in 0..16 {
        let look = Look {
            number: 20 + 2 * number,
            earlier: &earlier,
            ..Look::PLAIN
        };
        bytes = signed(&bytes, look, |ranges| {
            hpki.signature(&card, ranges, kit::ContainerOptions::at(now))
        });
        write!(earlier, " {} 0 R", 20 + 2 * number).unwrap();
    }
    let mut places = Vec::new();
    let previous = kit::pdf::start(&bytes).unwrap();
    for number in 1000..200_000_u32 {
        if bytes.len() + places.len() * 30 > SIZE - 1000 {
            break;
        }
        places.push((number, bytes.len()));
        bytes.extend(format!("{number} 0 obj\n[{}]\nendobj\n", "/a 0 ".repeat(20)).into_bytes());
    }
    section(bytes, &places, &format!("/Root 1 0 R /Prev {previous}"))
}

fn store() -> Vec<u8> {
    let large = format!(
        "<< /Length {} >>\nstream\n{}\nendstream",
        9_000_000,
        "0".repeat(9_000_000)
    );
    let list: String = (0..1_000).map(|generation| format!("30 {generation} R ")).collect();
    let same: String = "30 0 R ".repeat(60_000);
    let catalog = format!("<< /Type /Catalog /DSS << /Certs [{same}] /CRLs [{list}] /OCSPs [{same}] >> >>");
    pdf(&[(1, &catalog), (30, &large)])
}
