//! Archive manifests and their tokens: read with what they refer to, bounded, and no reason to refuse the signatures.

use super::maker::{Item, Zip};
use super::*;
use crate::digest::Digests;

const FIRST: &str = "META-INF/ASiCArchiveManifest001.xml";
const NEWEST: &str = "META-INF/ASiCArchiveManifest.xml";

fn base() -> Zip {
    let content = content();
    let mut zip = Zip::default();
    let mut add = |name: &str, bytes: &[u8]| zip.items.push(Item::new(name, bytes));
    add("mimetype", MIMETYPE);
    add("META-INF/ASiCManifest001.xml", &manifest_for(&plans(&content)));
    add("META-INF/signature001.p7s", b"signature");
    for (name, bytes) in &content {
        add(name, bytes);
    }
    zip
}

/// An archive manifest in the words of the schema; `covered` are names with what their digests are of.
fn archive(token: &str, algorithm: DigestAlgorithm, covered: &[(&str, &[u8])], root: &[&str]) -> Vec<u8> {
    use base64::Engine as _;
    let mut xml = format!(
        "<a:ASiCManifest xmlns:a='http://uri.etsi.org/02918/v1.2.1#' xmlns:d='http://www.w3.org/2000/09/xmldsig#'>\
         <a:SigReference URI='{token}' MimeType='application/vnd.etsi.timestamp-token'/>"
    );
    for (name, bytes) in covered {
        let value = base64::engine::general_purpose::STANDARD.encode(algorithm.digest(bytes));
        let mark = if root.contains(name) { " Rootfile='true'" } else { "" };
        xml += &format!(
            "<a:DataObjectReference URI='{}'{mark}><d:DigestMethod Algorithm='{}'/><d:DigestValue>{value}</d:DigestValue></a:DataObjectReference>",
            uri::encode(name),
            algorithm.xml_uri()
        );
    }
    (xml + "</a:ASiCManifest>").into_bytes()
}

#[test]
fn read_with_all_they_refer_to() {
    let mut zip = base();
    let first = archive(
        "META-INF/timestamp001.tst",
        DigestAlgorithm::Sha256,
        &[("letter/letter.pdf", LETTER)],
        &[],
    );
    let covered: [(&str, &[u8]); 4] = [
        ("letter/letter.pdf", LETTER),
        ("META-INF/signature001.p7s", b"signature"),
        (FIRST, &first),
        ("META-INF/timestamp001.tst", b"token 1"),
    ];
    let newest = archive("META-INF/timestamp002.tst", DigestAlgorithm::Sha512, &covered, &[FIRST]);
    for (name, bytes) in [
        (FIRST, &first[..]),
        (NEWEST, &newest),
        ("META-INF/timestamp001.tst", b"token 1"),
        ("META-INF/timestamp002.tst", b"token 2"),
    ] {
        zip.items.push(Item::new(name, bytes));
    }
    let container = read(&zip.bytes());
    assert_eq!(container.findings, []);
    let names: Vec<&str> = container.archives.iter().map(|archive| archive.name.as_str()).collect();
    assert_eq!(names, [NEWEST, FIRST]);
    let tokens: Vec<&[u8]> = container.tokens.iter().map(|token| &*token.bytes).collect();
    assert_eq!(tokens, [&b"token 1"[..], b"token 2"]);
    let read = &container.archives[0];
    assert_eq!(
        (read.token.as_str(), read.previous.as_deref()),
        ("META-INF/timestamp002.tst", Some(FIRST))
    );
    assert_eq!(read.digests, Digests::of(&newest));
    let entries = container.entries();
    for reference in container.archives.iter().flat_map(|archive| &archive.references) {
        let found = entries[reference.path.as_str()].digests.get(reference.algorithm);
        assert_eq!(found, Some(&reference.digest[..]), "{}", reference.path);
    }
    assert!(
        !entries.contains_key("META-INF/timestamp002.tst"),
        "nothing refers to it"
    );
}

#[test]
fn those_that_cannot_be_read_prove_nothing_and_refuse_nothing() {
    let twice = archive("t", DigestAlgorithm::Sha256, &[("a", b""), ("b", b"")], &["a", "b"]);
    for bytes in [&b"<!DOCTYPE a>"[..], b"", &twice] {
        let mut zip = base();
        zip.items.push(Item::new(NEWEST, bytes));
        let container = read(&zip.bytes());
        assert_eq!(
            (codes(&container), container.archives.len()),
            (vec!["archive_unreadable"], 0)
        );
    }
}

#[test]
fn their_number_is_bounded() {
    let one = archive(
        "META-INF/timestamp.tst",
        DigestAlgorithm::Sha256,
        &[("letter/letter.pdf", LETTER)],
        &[],
    );
    for (name, ending, bytes) in [("ASiCArchiveManifest", "xml", &one[..]), ("timestamp", "tst", b"t")] {
        let mut zip = base();
        for number in 0..MAX_ARCHIVES {
            zip.items
                .push(Item::new(&format!("META-INF/{name}{number}.{ending}"), bytes));
        }
        assert_eq!(codes(&read(&zip.bytes())), Vec::<&str>::new());
        zip.items.push(Item::new(&format!("META-INF/{name}.{ending}"), bytes));
        assert_eq!(codes(&read(&zip.bytes())).first(), Some(&"too_many_archives"));
    }
}
