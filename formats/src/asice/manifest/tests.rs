//! Manifests read and refused, phrase by phrase.

use super::*;
use crate::digest::Digests;

const HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8"?><a:ASiCManifest xmlns:a="http://uri.etsi.org/02918/v1.2.1#" xmlns:d="http://www.w3.org/2000/09/xmldsig#">"#;
const SIG: &str = r#"<a:SigReference URI="META-INF/signature001.p7s"/>"#;
const REF: &str = r#"<a:DataObjectReference URI="x%20y" MimeType="text/plain"><d:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><d:DigestValue>47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=</d:DigestValue></a:DataObjectReference>"#;
const END: &str = "</a:ASiCManifest>";

fn read(xml: &str) -> Result<Manifest, ManifestError> {
    parse("META-INF/ASiCManifest001.xml", xml.as_bytes())
}

fn whole() -> String {
    [HEAD, SIG, REF, END].concat()
}

#[test]
fn written_and_read() {
    let files = ["submission.json", "画像/a b&c<\"%.dcm"].map(|path| FilePlan {
        path: path.into(),
        size: 0,
        crc32: 0,
        sha256: crate::digest::sha256(path.as_bytes()),
    });
    let xml = encode(7, &files);
    let manifest = parse("n", &xml).unwrap();
    assert_eq!(manifest.signature, "META-INF/signature007.p7s");
    assert_eq!(manifest.digests, Digests::of(&xml));
    for (file, reference) in files.iter().zip(&manifest.references) {
        assert_eq!((&file.path, &file.sha256[..]), (&reference.path, &reference.digest[..]));
    }
    assert_eq!(manifest.references.len(), 2);
}

#[test]
fn read_as_others_write_it() {
    let manifest = read(&whole()).unwrap();
    assert_eq!(manifest.references[0].path, "x y");
    assert_eq!(manifest.references[0].mime_type.as_deref(), Some("text/plain"));
    for (from, to) in [
        ("<a:SigReference", "\n<!-- note -->\n<a:SigReference"),
        ("47DEQpj8HBSa+", "\n 47DEQpj8&#x0A;HBSa<!-- -->+"),
        ("URI=\"x%20y\"", "URI='x&#32;y' Rootfile='true'"),
        (
            END,
            "<a:ASiCManifestExtensions><a:Extension Critical='false'><z/></a:Extension></a:ASiCManifestExtensions></a:ASiCManifest>",
        ),
        ("<?xml version=\"1.0\" encoding=\"UTF-8\"?>", "\u{feff}"),
    ] {
        let read = read(&whole().replacen(from, to, 1)).unwrap_or_else(|error| panic!("{to}: {error}"));
        assert_eq!(read.references, manifest.references, "{to}");
    }
}

#[test]
fn refused() {
    use ManifestError::{DigestAlgorithm as Algorithm, Doctype, NotXml, TooLarge, Uri};
    let schema = ManifestError::Schema("");
    let deep = format!("<a:ASiCManifestExtensions>{}", "<z>".repeat(40));
    let many: String = (0..20).map(|n| format!(" xsi:x{n}=''")).collect();
    let many = format!("<a:ASiCManifest xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance'{many} ");
    let table: &[(&str, &str, &ManifestError)] = &[
        ("?><a:", "?><!DOCTYPE a><a:", &Doctype),
        ("?><a:", "?><!DOCTYPE a [<!ENTITY e \"x\">]><a:", &Doctype),
        ("x%20y", "&e;", &NotXml),
        ("47DEQ", "&e;47DEQ", &NotXml),
        ("encoding=\"UTF-8\"", "encoding=\"ISO-8859-1\"", &NotXml),
        ("version=\"1.0\"", "version=\"1.1\"", &NotXml),
        ("</a:DataObjectReference>", "", &NotXml),
        (END, "", &NotXml),
        (END, "</a:ASiCManifest>x", &NotXml),
        (END, "</a:ASiCManifest><a:ASiCManifest/>", &NotXml),
        ("x%20y", "x%2", &Uri),
        ("x%20y", "x%ff", &Uri),
        ("x%20y", "x&#0;", &NotXml),
        ("x%20y", "x\u{1}", &NotXml),
        ("x%20y\"", "x\" URI=\"y\"", &NotXml),
        ("xmlenc#sha256", "xmlenc#ripemd160", &Algorithm),
        ("2001/04/xmlenc#sha256", "2000/09/xmldsig#sha1", &Algorithm),
        ("02918/v1.2.1#", "02918/v1.1.1#", &schema),
        ("2000/09/xmldsig#\"", "other\"", &schema),
        ("d:DigestValue", "q:DigestValue", &NotXml),
        (SIG, "", &schema),
        (REF, "", &schema),
        ("<a:SigReference", "<a:SigReference URI='x'/><a:SigReference", &schema),
        (" URI=\"META-INF/signature001.p7s\"", "", &schema),
        (" URI=\"x%20y\"", "", &schema),
        ("Algorithm", "xml:base='x' Algorithm", &schema),
        ("Algorithm", "algorithm", &schema),
        ("47DEQ", "!7DEQ", &schema),
        ("47DEQpj8HBSa", "", &schema),
        ("47DEQ", &"A".repeat(100), &schema),
        ("<d:DigestValue>", "text<d:DigestValue>", &schema),
        ("<d:DigestValue>", "<d:DigestMethod/><d:DigestValue>", &schema),
        (
            END,
            "<a:ASiCManifestExtensions><a:Extension Critical='true'/></a:ASiCManifestExtensions></a:ASiCManifest>",
            &schema,
        ),
        (END, &deep, &TooLarge),
        ("<a:ASiCManifest ", &many, &TooLarge),
    ];
    for (from, to, expected) in table {
        let changed = whole().replacen(from, to, 1);
        assert_ne!(changed, whole(), "{from}");
        let error = read(&changed).expect_err(to);
        assert_eq!(error.code(), expected.code(), "{to}");
    }
    assert_eq!(parse("n", &[0xff]), Err(NotXml));
    let utf16: Vec<u8> = whole().encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(parse("n", &utf16), Err(NotXml));
}

#[test]
fn reference_count_is_bounded() {
    let xml = [HEAD, SIG, &REF.repeat(MAX_REFERENCES + 1), END].concat();
    assert_eq!(read(&xml), Err(ManifestError::TooLarge));
}

#[test]
fn cut_anywhere_the_answer_is_the_same() {
    let odd = whole()
        .replacen("47DEQ", "<!-- > --><![CDATA[47]]>&#68;EQ", 1)
        .replacen(END, "<?x ?>\n</a:ASiCManifest>\n", 1);
    let cut = |xml: &str, piece: usize| {
        let mut reader = ManifestReader::new("META-INF/ASiCManifest001.xml");
        let pushed = xml.as_bytes().chunks(piece).try_for_each(|piece| reader.push(piece));
        let taken = reader.taken();
        pushed.and_then(|()| reader.finish()).map_err(|error| (error, taken))
    };
    let broken = [
        odd.replacen("x%20y", "x%2", 1),
        odd.replacen("?><a:", "?><!DOCTYPE a><a:", 1),
        odd.replacen("<a:SigReference", "x<a:SigReference", 1),
        odd.replacen(
            "<a:SigReference",
            &format!("<!-- {} --><a:SigReference", "x".repeat(MAX_TOKEN)),
            1,
        ),
        odd.replacen(END, "", 1),
    ];
    assert_eq!(
        cut(&odd, usize::MAX).unwrap().references,
        read(&whole()).unwrap().references
    );
    for xml in broken.iter().chain([&odd]) {
        let answer = cut(xml, usize::MAX);
        for piece in [1, 2, 3, 7, 64, 1000] {
            assert_eq!(cut(xml, piece), answer, "{piece}");
        }
    }
}

#[test]
fn names_and_media_types_are_bounded() {
    for (from, length, error) in [
        ("x%20y", 1025, ManifestError::NameTooLong),
        ("META-INF/signature001.p7s", 1025, ManifestError::NameTooLong),
        ("text/plain", 256, ManifestError::TooLarge),
    ] {
        assert_eq!(
            read(&whole().replacen(from, &"x".repeat(length), 1)),
            Err(error),
            "{from}"
        );
        read(&whole().replacen(from, &"x".repeat(length - 1), 1)).unwrap();
    }
    let names: String = (0..17 * 1024)
        .map(|n| REF.replacen("x%20y", &format!("{n:01024}"), 1))
        .collect();
    assert_eq!(read(&[HEAD, SIG, &names, END].concat()), Err(ManifestError::TooLarge));
}
