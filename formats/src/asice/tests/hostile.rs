//! Hostile containers: one row per phrase of `CONTRACTS.md` §1 in the tables below, bombs, and every byte flipped.

mod foreign;
mod refused;

use super::maker::{Item, Zip};
use super::*;

/// A good container by the maker, in the intake profile.
pub(super) fn good() -> Zip {
    with_manifest(&manifest_for(&plans(&content())))
}

fn with_manifest(manifest: &[u8]) -> Zip {
    let mut items = vec![
        Item::new("mimetype", MIMETYPE),
        Item::new("META-INF/ASiCManifest001.xml", manifest),
        Item::new("META-INF/signature001.p7s", b"signature"),
    ];
    items.extend(content().iter().map(|(path, bytes)| Item::new(path, bytes)));
    Zip {
        items,
        ..Zip::default()
    }
}

/// A container whose letter has another name, in manifest, envelope and ZIP alike.
fn letter_named(name: &str) -> Zip {
    let mut content = content();
    content[0].1 = String::from_utf8(content[0].1.clone())
        .unwrap()
        .replace("letter/letter.pdf", "letter/")
        .into_bytes();
    let mut plans = plans(&content);
    plans[1].path = name.into();
    let mut zip = with_manifest(&manifest_for(&plans));
    zip.items[3] = Item::new("submission.json", &content[0].1);
    zip.items[4].name = name.into();
    zip
}

fn text_manifest(from: &str, to: &str) -> Zip {
    let xml = String::from_utf8(manifest_for(&plans(&content()))).unwrap();
    assert!(xml.contains(from), "{from}");
    with_manifest(xml.replacen(from, to, 1).as_bytes())
}

fn changed(change: impl FnOnce(&mut Zip)) -> Zip {
    let mut zip = good();
    change(&mut zip);
    zip
}

fn on_letter(change: impl FnOnce(&mut Item)) -> Zip {
    changed(|zip| change(zip.item("letter/letter.pdf")))
}

fn added(item: Item) -> Zip {
    changed(|zip| zip.items.push(item))
}

fn two_forms() -> Zip {
    let mut zip = letter_named("letter/é");
    zip.items.push(Item::new("letter/e\u{301}", b"x"));
    zip
}

fn unicode_path(name: &str) -> Vec<u8> {
    let mut field = vec![0x75, 0x70, 5 + name.len() as u8, 0, 1, 0, 0, 0, 0];
    field.extend(name.as_bytes());
    field
}

#[test]
fn the_maker_makes_good_containers() {
    let bytes = good().bytes();
    assert_eq!(codes(&read(&bytes)), Vec::<&str>::new());
    take_in(&bytes, usize::MAX).unwrap();
}

#[test]
fn a_changed_file_is_the_verdicts_business_and_refused_at_intake() {
    let bytes = on_letter(|i| i.content = b"%PDF-1.7 LETTER".to_vec()).bytes();
    let container = read(&bytes);
    assert_eq!(container.findings, []);
    assert_ne!(
        container.files[1].digests.get(DigestAlgorithm::Sha256),
        Some(&container.manifests[0].references[1].digest[..])
    );
    assert_eq!(take_in(&bytes, 5).map(|_| ()).unwrap_err().code, "digest_mismatch");
}

#[test]
fn deflate_bombs_end_early() {
    let bomb = |size_more: u32| {
        let zip = changed(|z| {
            let item = z.item("images/empty");
            (item.content, item.method, item.size_more) = (vec![0; 1 << 20], 8, size_more);
        });
        fatal_codes(&read(&zip.bytes()))
    };
    assert_eq!(bomb(0), Vec::<&str>::new());
    assert_eq!(bomb(0u32.wrapping_sub(1000)), ["sizes_disagree"], "more than declared");
    assert_eq!(bomb(1), ["sizes_disagree"]);
    assert_eq!(bomb(200 << 20), ["inflates_too_much"]);
}

#[test]
fn any_byte_flipped_or_cut_is_noticed() {
    let original = good().bytes();
    let truth = read(&original);
    for at in 0..original.len() {
        // The image's own bytes are all alike: every 50th is enough.
        let mut bytes = original.clone();
        let inside = truth.files[2]
            .offset
            .is_some_and(|start| (start..start + 3000).contains(&(at as u64)));
        if inside && at % 50 != 0 {
            continue;
        }
        for flip in [1, 0x80] {
            bytes[at] ^= flip;
            let container = read(&bytes);
            let clean = fatal_codes(&container).is_empty();
            assert!(!clean || container.files == truth.files, "byte {at}");
            if let Ok((taken, _)) = take_in(&bytes, usize::MAX) {
                assert!(clean && taken.files == truth.files, "byte {at}");
            }
            bytes[at] ^= flip;
        }
        assert!(!fatal_codes(&read(&original[..at])).is_empty(), "cut at {at}");
    }
    for at in [0, 1, 100, original.len() - 1] {
        assert_eq!(take_in(&original[..at], 64).map(|_| ()).unwrap_err().code, "truncated");
    }
}
