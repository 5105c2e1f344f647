//! Arbitrary containers there and back, and arbitrary changes to one: nothing but what was signed passes as signed.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::maker::{Item, Zip};
use super::*;

const IMAGE: &str = "images/画像 1.dcm";

/// Files below `letter/` and `images/`, the envelope before them. Names keep the profile and differ after case folding.
fn files() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let name = proptest::string::string_regex(
        "[a-z0-9ぁ-ん山田 %&<>\"'+#-][a-z0-9ぁ-ん山田 %&<>\"'+#.-]{0,20}(/x[a-z]{0,8}){0,3}",
    )
    .unwrap();
    let bytes = proptest::collection::vec(any::<u8>(), 0..600);
    proptest::collection::btree_map(name, bytes, 1..12).prop_map(|images: BTreeMap<String, Vec<u8>>| {
        let mut names = names::NameSet::default();
        let mut files = vec![
            ("submission.json".to_owned(), envelope()),
            ("letter/letter.pdf".to_owned(), LETTER.to_vec()),
        ];
        for (name, bytes) in images {
            let path = format!("images/{name}");
            if names::check(&path).is_ok() && names.insert(&path).is_ok() {
                files.push((path, bytes));
            }
        }
        files
    })
}

fn write_all(files: &[(String, Vec<u8>)], signatures: &[Vec<u8>]) -> Vec<u8> {
    let plans: Vec<_> = files
        .iter()
        .map(|(path, bytes)| FilePlan::measure(path, &mut &bytes[..]).unwrap())
        .collect();
    let manifests: Vec<_> = (1..)
        .take(signatures.len())
        .map(|number| manifest::encode(number, &plans))
        .collect();
    let parts = manifests.iter().zip(signatures);
    let signed: Vec<_> = parts
        .map(|(manifest, signature)| SignedManifest { manifest, signature })
        .collect();
    let mut out = Vec::new();
    let bytes_of = |path: &str| files.iter().find(|(name, _)| name == path).unwrap().1.clone();
    write(&mut out, &signed, &plans, |path| Ok(Cursor::new(bytes_of(path)))).unwrap();
    out
}

fn take_in_cut(bytes: &[u8], cuts: &[usize]) -> Result<Container, IntakeError> {
    let (mut intake, mut rest, mut cuts) = (Intake::new(Limits::default()), bytes, cuts.iter().cycle());
    while !rest.is_empty() {
        let (now, later) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
        intake.push(now, &mut |_| Ok::<(), IntakeError>(()))?;
        rest = later;
    }
    intake.finish()
}

/// A change to a container: to a part, with sizes and CRC made to fit, or to its bytes.
#[derive(Debug, Clone)]
enum Change {
    Content { item: usize, at: usize, byte: u8 },
    Truncated { item: usize, to: usize },
    Replaced { item: usize, by: usize },
    Renamed { item: usize, by: usize },
    Duplicated { item: usize, at: usize },
    Removed { item: usize },
    Deflated { item: usize },
    Flipped { at: usize, bits: u8 },
    Cut { at: usize, count: usize },
    Copied { from: usize, count: usize, to: usize },
}

fn change() -> impl Strategy<Value = Change> {
    let (n, byte) = (any::<usize>, any::<u8>);
    prop_oneof![
        (n(), n(), byte()).prop_map(|(item, at, byte)| Change::Content { item, at, byte }),
        (n(), n()).prop_map(|(item, to)| Change::Truncated { item, to }),
        (n(), n()).prop_map(|(item, by)| Change::Replaced { item, by }),
        (n(), n()).prop_map(|(item, by)| Change::Renamed { item, by }),
        (n(), n()).prop_map(|(item, at)| Change::Duplicated { item, at }),
        n().prop_map(|item| Change::Removed { item }),
        n().prop_map(|item| Change::Deflated { item }),
        (n(), 1u8..).prop_map(|(at, bits)| Change::Flipped { at, bits }),
        (n(), 1usize..80).prop_map(|(at, count)| Change::Cut { at, count }),
        (n(), 1usize..80, n()).prop_map(|(from, count, to)| Change::Copied { from, count, to }),
    ]
}

impl Change {
    fn on_parts(&self, items: &mut Vec<Item>) {
        let count = items.len().max(1);
        match *self {
            _ if items.is_empty() => {}
            Self::Content { item, at, byte } => {
                let content = &mut items[item % count].content;
                let at = at % content.len().max(1);
                if let Some(place) = content.get_mut(at) {
                    *place = byte;
                }
            }
            Self::Truncated { item, to } => {
                let content = &mut items[item % count].content;
                content.truncate(to % (content.len() + 1));
            }
            Self::Replaced { item, by } => items[item % count].content = items[by % count].content.clone(),
            Self::Renamed { item, by } => items[item % count].name = items[by % count].name.clone(),
            Self::Duplicated { item, at } => {
                let copy = items[item % count].clone();
                items.insert(at % count, copy);
            }
            Self::Removed { item } => drop(items.remove(item % count)),
            Self::Deflated { item } => items[item % count].method = 8,
            Self::Flipped { .. } | Self::Cut { .. } | Self::Copied { .. } => {}
        }
    }

    fn on_bytes(&self, bytes: &mut Vec<u8>) {
        let size = bytes.len().max(1);
        match *self {
            _ if bytes.is_empty() => {}
            Self::Flipped { at, bits } => bytes[at % size] ^= bits,
            Self::Cut { at, count } => drop(bytes.drain(at % size..(at % size + count).min(bytes.len()))),
            Self::Copied { from, count, to } => {
                let piece = bytes[from % size..(from % size + count).min(size)].to_vec();
                bytes.splice(to % size..to % size, piece);
            }
            _ => {}
        }
    }
}

/// What a person would get to see: each file taken out.
fn taken_out(bytes: &[u8], container: &Container) -> Vec<Vec<u8>> {
    let unpacker = Unpacker::open(&mut Cursor::new(bytes)).unwrap();
    let take = |file: &FileEntry| {
        let mut out = Vec::new();
        unpacker.extract(&mut Cursor::new(bytes), &file.path, &mut out).unwrap();
        out
    };
    container.files.iter().map(take).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn there_and_back(
        files in files(),
        signatures in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 1..4),
        cuts in proptest::collection::vec(1usize..200, 1..8),
    ) {
        let bytes = write_all(&files, &signatures);
        let container = read(&bytes);
        prop_assert_eq!(codes(&container), Vec::<&str>::new());
        let paths: Vec<_> = container.files.iter().map(|file| file.path.as_str()).collect();
        prop_assert_eq!(paths, files.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>());
        prop_assert_eq!(taken_out(&bytes, &container), files.iter().map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>());
        prop_assert!(container.signatures.iter().map(|signature| &*signature.bytes).eq(signatures.iter().map(Vec::as_slice)));
        prop_assert_eq!(substance(&take_in_cut(&bytes, &cuts).unwrap()), substance(&container));
    }

    #[test]
    fn no_change_passes_as_signed(changes in proptest::collection::vec(change(), 1..4), cut in 1usize..5000) {
        let mut zip: Zip = hostile::good();
        changes.iter().for_each(|change| change.on_parts(&mut zip.items));
        let mut bytes = zip.bytes();
        changes.iter().for_each(|change| change.on_bytes(&mut bytes));
        let container = read(&bytes);
        let sound = fatal_codes(&container).is_empty();
        if sound {
            // Whoever compares the digests compares what is really there.
            for (file, bytes) in container.files.iter().zip(taken_out(&bytes, &container)) {
                prop_assert_eq!(file.size, bytes.len() as u64);
                for manifest in &container.manifests {
                    let reference = manifest.references.iter().find(|reference| reference.path == file.path).unwrap();
                    let algorithm = reference.algorithm;
                    prop_assert_eq!(file.digests.get(algorithm), Some(&algorithm.digest(&bytes)[..]));
                }
            }
        }
        if let Ok(taken) = take_in_cut(&bytes, &[cut]) {
            prop_assert!(sound);
            prop_assert_eq!(substance(&taken), substance(&container));
            // The manifest is what the signature covers: as long as it is the same, so is every byte.
            let original = read(&hostile::good().bytes());
            if taken.manifests[0].digests == original.manifests[0].digests {
                let out = taken_out(&bytes, &taken);
                prop_assert_eq!(&out[1], LETTER);
                prop_assert_eq!(taken.files[2].path.as_str(), IMAGE);
                prop_assert_eq!(&out[2], super::IMAGE);
            }
        }
    }
}
