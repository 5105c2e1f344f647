//! Archives as they are made: what is judged before the file is written is what is read from it, and nothing signed changes.

use super::archive::{Archive, ArchiveError, NEWEST, derive};
use super::maker::{Item, Zip};
use super::*;

const NUMBERED: &str = "META-INF/ASiCArchiveManifest001.xml";

fn derived(original: &[u8], archive: &Archive) -> Vec<u8> {
    let mut out = Vec::new();
    let size = derive(&mut Cursor::new(original), archive, &mut out).unwrap();
    assert_eq!(size, out.len() as u64);
    out
}

/// Evidence added and stamped once; the token is no token, which nothing here looks at.
fn stamped(container: &Container, token: &[u8]) -> Archive {
    let mut archive = Archive::new(container.sha256);
    archive
        .put("META-INF/signature001.p7s", b"signature with evidence".to_vec())
        .unwrap();
    let next = archive.next_manifest(container).unwrap();
    archive.stamp(next, token.to_vec());
    archive
}

fn covers_everything(container: &Container) {
    let newest = container
        .archives
        .iter()
        .find(|archive| archive.name == NEWEST)
        .unwrap();
    let entries = container.entries();
    let mut expected: Vec<&str> = container.files.iter().map(|file| file.path.as_str()).collect();
    expected.extend(container.manifests.iter().map(|manifest| manifest.name.as_str()));
    expected.extend(container.signatures.iter().map(|signature| signature.name.as_str()));
    let others = container.archives.iter().filter(|archive| archive.name != NEWEST);
    expected.extend(others.map(|archive| archive.name.as_str()));
    let others = container.tokens.iter().filter(|token| token.name != newest.token);
    expected.extend(others.map(|token| token.name.as_str()));
    expected.sort_unstable();
    let mut covered: Vec<&str> = newest.references.iter().map(|one| one.path.as_str()).collect();
    covered.sort_unstable();
    assert_eq!(covered, expected);
    for reference in &newest.references {
        let found = entries[reference.path.as_str()].digests.get(reference.algorithm);
        assert_eq!(found, Some(&reference.digest[..]), "{}", reference.path);
    }
}

/// What [`Archive::applied`] foresaw is what was read.
fn foreseen(archive: &Archive, before: &Container, after: &Container) {
    let applied = archive.applied(before).unwrap();
    assert_eq!(applied.manifests, after.manifests);
    assert_eq!(applied.archives, after.archives);
    assert!(applied.signatures == after.signatures && applied.tokens == after.tokens);
    let all = |container: &Container| {
        let files = container.files.iter().chain(&container.own);
        files
            .map(|file| file.path.clone())
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(all(&applied), all(after));
    for reference in after.archives.iter().flat_map(|archive| &archive.references) {
        let digest = |container: &Container| {
            let entries = container.entries();
            entries[reference.path.as_str()]
                .digests
                .get(reference.algorithm)
                .map(<[u8]>::to_vec)
        };
        assert_eq!(digest(&applied), digest(after), "{}", reference.path);
    }
}

#[test]
fn a_container_becomes_its_archive_and_is_stamped_again() {
    let original = written(2);
    let container = read(&original);
    let archive = stamped(&container, b"token 1");
    let first = derived(&original, &archive);
    let once = read(&first);
    assert_eq!(once.findings, []);
    assert_eq!(once.manifests, container.manifests, "what was signed, byte for byte");
    let files = |container: &Container| {
        let files = container.files.iter();
        files
            .map(|file| (file.path.clone(), file.size, file.digests.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(files(&once), files(&container));
    assert_eq!(once.signatures[0].bytes[..], *b"signature with evidence");
    assert_eq!(once.signatures[1].bytes, container.signatures[1].bytes);
    covers_everything(&once);
    foreseen(&archive, &container, &once);
    assert_eq!(derived(&original, &archive), first, "deterministic");
    assert_eq!(derived(&first, &archive), first, "twice is once");

    // A renewal of the file alone: the token gets its own evidence, then everything is stamped again.
    let mut renewal = Archive::of(&once, &mut Cursor::new(&first)).unwrap();
    let (name, token) = renewal.newest_token(&once).unwrap().unwrap();
    assert_eq!(
        (name.as_str(), &token[..]),
        ("META-INF/timestamp001.tst", &b"token 1"[..])
    );
    renewal.put(&name, b"token 1 with evidence".to_vec()).unwrap();
    let next = renewal.next_manifest(&once).unwrap();
    renewal.stamp(next, b"token 2".to_vec());
    let second = derived(&first, &renewal);
    let twice = read(&second);
    assert_eq!(twice.findings, []);
    let newest = &twice.archives[0];
    assert_eq!(
        (newest.name.as_str(), newest.previous.as_deref()),
        (NEWEST, Some(NUMBERED))
    );
    assert_eq!(newest.token, "META-INF/timestamp002.tst");
    assert_eq!(
        twice.archives[1].digests, once.archives[0].digests,
        "renamed, not changed"
    );
    covers_everything(&twice);
    foreseen(&renewal, &once, &twice);

    // The same renewal kept beside the original.
    let mut beside = archive.clone();
    beside.put(&name, b"token 1 with evidence".to_vec()).unwrap();
    let next = beside.next_manifest(&container).unwrap();
    beside.stamp(next, b"token 2".to_vec());
    let from_original = read(&derived(&original, &beside));
    assert_eq!(from_original.archives, twice.archives);
    foreseen(&beside, &container, &from_original);
    let text = beside.to_json();
    assert!(Archive::from_json(&text).unwrap() == beside);
}

#[test]
fn a_foreign_container_is_written_stored_with_all_it_has() {
    let content = content();
    let mut zip = Zip::default();
    let mut add = |name: &str, bytes: &[u8], method: u16| {
        let mut item = Item::new(name, bytes);
        item.method = method;
        zip.items.push(item);
    };
    for (name, bytes) in &content {
        add(name, bytes, 8);
    }
    add("META-INF/other.txt", b"kept", 8);
    add("META-INF/signature001.p7s", b"signature", 8);
    add("META-INF/ASiCManifest001.xml", &manifest_for(&plans(&content)), 8);
    let original = zip.bytes();
    let container = read(&original);
    let archive = stamped(&container, b"token");
    let after = derived(&original, &archive);
    assert!(after.starts_with(b"PK") && after[30..].starts_with(b"mimetype"));
    let again = read(&after);
    covers_everything(&again);
    assert_eq!(codes(&again), ["meta_inf_ignored"]);
    let mut kept = Vec::new();
    let unpacker = Unpacker::open(&mut Cursor::new(&after)).unwrap();
    unpacker
        .extract(&mut Cursor::new(&after), "META-INF/other.txt", &mut kept)
        .unwrap();
    assert_eq!(kept, b"kept");
}

#[test]
fn bytes_that_changed_are_noticed_while_they_are_copied() {
    let mut original = written(1);
    let container = read(&original);
    let archive = stamped(&container, b"token");
    let at = original
        .windows(LETTER.len())
        .position(|window| window == LETTER)
        .unwrap();
    original[at] ^= 1;
    assert!(derive(&mut Cursor::new(&original), &archive, &mut Vec::new()).is_err());
}

#[test]
fn an_archive_has_its_bounds() {
    let original = written(1);
    let container = read(&original);
    let mut archive = Archive::new(container.sha256);
    for number in 0..MAX_ARCHIVES {
        let next = archive.next_manifest(&container).unwrap();
        archive.stamp(next, number.to_be_bytes().to_vec());
    }
    assert!(
        archive
            .next_manifest(&container)
            .is_err_and(|error| error == ArchiveError::TooMany)
    );
    assert_eq!(read(&derived(&original, &archive)).archives.len(), MAX_ARCHIVES);
    let mut broken = Archive::new(container.sha256);
    broken.put(NEWEST, b"<a/>".to_vec()).unwrap();
    assert!(matches!(broken.applied(&container), Err(ArchiveError::Manifest(..))));
    let archived = read(&derived(&original, &stamped(&container, b"token")));
    let unread = Archive::new(archived.sha256).next_manifest(&archived);
    assert!(unread.is_err_and(|error| error == ArchiveError::NotRead));
}
