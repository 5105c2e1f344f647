//! Archives: archive manifests, the file they are kept in, and a container derived with one more of them.

use std::io::Cursor;

use formats::asice::archive::{Archive, NEWEST, derive};
use formats::asice::manifest::ManifestReader;
use formats::asice::{Container, Severity};

use super::sums::prepared;

pub(crate) fn run(input: &[u8]) {
    let Some((lead, bytes)) = input.split_first() else {
        return;
    };
    match lead % 4 {
        0 => manifest(usize::from(lead / 4).max(1), bytes),
        1 => file(bytes),
        _ => derived(input),
    }
}

fn manifest(step: usize, xml: &[u8]) {
    let read = |step: usize| {
        let mut reader = ManifestReader::archive(NEWEST);
        for piece in xml.chunks(step.max(1)) {
            reader.push(piece)?;
        }
        reader.finish_archive()
    };
    let (whole, cut) = (read(xml.len()), read(step));
    assert_eq!(whole, cut, "the cuts change what is read");
    if let Ok(manifest) = whole {
        assert!(manifest.references.len() <= xml.len() / 30);
    }
}

fn file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(archive) = Archive::from_json(text) else { return };
    let written = archive.to_json();
    let again = Archive::from_json(&written).expect("what is written can be read");
    assert!(again == archive);
    assert!(archive.entries().all(|(name, _)| name.starts_with("META-INF/")));
}

/// One more archive manifest over a sound container: what was there is there still, and the manifest is true of it.
fn derived(input: &[u8]) {
    let Some((_, bytes)) = prepared(input) else { return };
    let before = Container::read(&mut Cursor::new(&bytes)).expect("memory does not fail");
    let content: u64 = before.files.iter().map(|file| file.size).sum();
    if content > 8 << 20
        || before
            .findings
            .iter()
            .any(|finding| finding.severity == Severity::Fatal)
    {
        return;
    }
    let mut source = Cursor::new(&bytes);
    let mut archive = Archive::of(&before, &mut source).expect("a sound container can be read");
    let Ok(next) = archive.next_manifest(&before) else {
        return;
    };
    archive.stamp(next, b"a token, read by nobody here".to_vec());
    let mut out = Vec::new();
    derive(&mut source, &archive, &mut out).expect("a sound container can be derived from");
    let after = Container::read(&mut Cursor::new(&out)).expect("memory does not fail");
    let fatal = after
        .findings
        .iter()
        .find(|finding| finding.severity == Severity::Fatal);
    assert_eq!(fatal, None, "a derived container is no longer sound");
    assert_eq!(after.archives.len(), before.archives.len() + 1);
    assert!(after.signatures == before.signatures);
    assert_eq!(after.manifests, before.manifests);
    assert_eq!(after.files.len(), before.files.len());
    let entries = after.entries();
    for file in &before.files {
        let twin = entries.get(file.path.as_str()).expect("no file is lost");
        let same = formats::digest::DigestAlgorithm::ALL.into_iter().all(|algorithm| {
            let digests = (file.digests.get(algorithm), twin.digests.get(algorithm));
            !matches!(digests, (Some(one), Some(other)) if one != other)
        });
        assert!(same && twin.size == file.size);
    }
    let newest = after.archives.iter().find(|archive| archive.name == NEWEST);
    for reference in &newest.expect("it was put there").references {
        let entry = entries
            .get(reference.path.as_str())
            .expect("it refers to what is there");
        assert_eq!(entry.digests.get(reference.algorithm), Some(&reference.digest[..]));
    }
}
