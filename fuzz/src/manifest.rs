//! An ASiCManifest: the same in one piece and in many, and what is read can be written and read again.

use formats::asice::manifest::{ManifestReader, encode, parse};
use formats::asice::{FilePlan, Manifest, names};
use formats::digest::DigestAlgorithm;

const NAME: &str = "META-INF/ASiCManifest001.xml";

pub(crate) fn run(input: &[u8]) {
    let Some((step, xml)) = input.split_first() else { return };
    let whole = parse(NAME, xml);
    let mut pieces = ManifestReader::new(NAME);
    let mut failed = None;
    for piece in xml.chunks(usize::from(*step).max(1)) {
        if let Err(error) = pieces.push(piece) {
            failed = Some(error);
            break;
        }
    }
    let cut = match failed {
        Some(error) => Err(error),
        None => pieces.finish(),
    };
    assert_eq!(whole, cut, "the cuts change what is read");
    let Ok(manifest) = whole else { return };
    assert!(manifest.references.len() <= xml.len() / 30);
    again(&manifest);
}

fn again(manifest: &Manifest) {
    let plans: Option<Vec<FilePlan>> = manifest
        .references
        .iter()
        .map(|reference| {
            let ours = reference.algorithm == DigestAlgorithm::Sha256 && names::check(&reference.path).is_ok();
            Some(FilePlan {
                path: reference.path.clone(),
                size: 0,
                crc32: 0,
                sha256: reference.digest.as_slice().try_into().ok().filter(|_| ours)?,
            })
        })
        .collect();
    let Some(plans) = plans else { return };
    let written = encode(1, &plans);
    let second = parse(NAME, &written).expect("what is written can be read");
    assert_eq!(second.signature, "META-INF/signature001.p7s");
    let pairs = |manifest: &Manifest| -> Vec<_> {
        let all = manifest.references.iter();
        all.map(|reference| (reference.path.clone(), reference.digest.clone()))
            .collect()
    };
    assert_eq!(pairs(&second), pairs(manifest));
}
