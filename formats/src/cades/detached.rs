//! Content outside a signature, read once: its digests, and the hashes of archive time stamps that are over the content itself with
//! other parts of the signature around it (archive-time-stamp-v2, TS 101 733 §6.4.1).

use super::archive::frames;
use crate::digest::{DigestAlgorithm, Digests, MultiHasher, sha256};

/// What is known of content that lies outside a signature.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DetachedContent {
    /// Digests of the content.
    pub digests: Digests,
    /// Hashes over the content inside a frame.
    pub framed: Vec<FramedDigest>,
}

/// A hash over bytes before, the content, and bytes after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FramedDigest {
    /// Which bytes those are: SHA-256 over the SHA-256 of each.
    pub frame: [u8; 32],
    /// The hash.
    pub algorithm: DigestAlgorithm,
    /// Its value.
    pub digest: Vec<u8>,
}

/// Hashes content for one signature as it passes.
pub struct DetachedHasher<'s> {
    p7s: &'s [u8],
    plain: MultiHasher,
    /// Begun with what stands before the content.
    framed: MultiHasher,
}

impl<'s> DetachedHasher<'s> {
    /// A hasher for the content of the signature `p7s`. What is no signature frames nothing.
    #[must_use]
    pub fn new(p7s: &'s [u8]) -> Self {
        let frames = frames(p7s);
        let mut framed = MultiHasher::new(frames.iter().map(|one| one.algorithm));
        if let Some(one) = frames.first() {
            framed.update(one.before);
        }
        Self {
            p7s,
            plain: MultiHasher::all(),
            framed,
        }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.plain.update(bytes);
        self.framed.update(bytes);
    }

    /// What is known of all bytes taken.
    #[must_use]
    pub fn finish(self) -> DetachedContent {
        let mut framed = Vec::new();
        for one in frames(self.p7s) {
            for after in one.after() {
                let mut hasher = self.framed.clone();
                hasher.update(&after);
                let digests = hasher.finish();
                framed.extend(digests.get(one.algorithm).map(|digest| FramedDigest {
                    frame: frame(one.before, &after),
                    algorithm: one.algorithm,
                    digest: digest.to_vec(),
                }));
            }
        }
        DetachedContent {
            digests: self.plain.finish(),
            framed,
        }
    }
}

impl DetachedContent {
    /// What is known of `content`, which the signature `p7s` is over.
    #[must_use]
    pub fn of(p7s: &[u8], content: &[u8]) -> Self {
        let mut hasher = DetachedHasher::new(p7s);
        hasher.update(content);
        hasher.finish()
    }
}

impl From<Digests> for DetachedContent {
    /// Digests alone: archive time stamps over the content itself cannot be judged by them.
    fn from(digests: Digests) -> Self {
        Self {
            digests,
            framed: Vec::new(),
        }
    }
}

/// The name of a frame.
pub(super) fn frame(before: &[u8], after: &[u8]) -> [u8; 32] {
    sha256(&[sha256(before), sha256(after)].concat())
}
