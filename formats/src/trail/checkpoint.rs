//! The log's key and the signed tree head: [C2SP tlog-checkpoint](https://c2sp.org/tlog-checkpoint) in a
//! [signed note](https://c2sp.org/signed-note).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use signed_note::{Note, Signer as _, StandardSigner, StandardVerifier, Verifier as _, VerifierList};
use tlog_tiles::Hash;

/// Why a key or checkpoint is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not a signed-note key with Ed25519.
    #[error("not a log key (C2SP signed note, Ed25519)")]
    Key,
    /// Not a checkpoint.
    #[error("not a checkpoint (C2SP tlog-checkpoint)")]
    Malformed,
    /// The key did not sign this checkpoint.
    #[error("the checkpoint is not signed by this log key")]
    Signature,
    /// Signed, but by a log of another name.
    #[error("the checkpoint is of another log")]
    Origin,
}

/// The key that signs checkpoints, and so every receipt. `Debug` shows its name only.
#[derive(Clone)]
pub struct LogKey {
    signer: StandardSigner,
    vkey: String,
}

/// Algorithm byte of Ed25519 in signed-note keys.
const ED25519: u8 = 1;

impl LogKey {
    /// Makes the key of the log `name` from 32 random bytes; the second value is the text to keep secret in a file.
    ///
    /// # Errors
    /// [`CheckpointError::Key`] if the name is empty or has spaces or `+`.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<(Self, String), CheckpointError> {
        let key = ed25519_dalek::SigningKey::from_bytes(seed);
        let public = [&[ED25519], key.verifying_key().as_bytes().as_slice()].concat();
        let secret = STANDARD.encode([&[ED25519], seed.as_slice()].concat());
        let text = format!("PRIVATE+KEY+{name}+{:08x}+{secret}", signed_note::key_id(name, &public));
        Ok((Self::parse(&text)?, text))
    }

    /// Reads a signing key, `PRIVATE+KEY+<name>+<id>+<base64>`.
    ///
    /// # Errors
    /// [`CheckpointError::Key`].
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let text = text.trim();
        let signer = StandardSigner::new(text).map_err(|_| CheckpointError::Key)?;
        // The fifth field; as base64 it may have a `+` of its own.
        let seed = text
            .splitn(5, '+')
            .nth(4)
            .and_then(|key| STANDARD.decode(key).ok())
            .ok_or(CheckpointError::Key)?;
        let (_, seed) = seed.split_first().ok_or(CheckpointError::Key)?;
        let key = ed25519_dalek::SigningKey::try_from(seed).map_err(|_| CheckpointError::Key)?;
        let vkey = signed_note::new_ed25519_verifier_key(signer.name(), &key.verifying_key());
        Ok(Self { signer, vkey })
    }

    /// The log's name: the checkpoint's origin.
    #[must_use]
    pub fn name(&self) -> &str {
        self.signer.name()
    }

    /// The verification key, `<name>+<id>+<base64>`.
    #[must_use]
    pub fn vkey(&self) -> &str {
        &self.vkey
    }

    /// Signs the head of a tree.
    ///
    /// # Errors
    /// [`CheckpointError::Malformed`] if the name makes no checkpoint; a key that was read or made does not.
    pub fn sign(&self, size: u64, root: &[u8; 32]) -> Result<String, CheckpointError> {
        sign(self.name(), size, root, &self.signer)
    }
}

/// The signed checkpoint in a text: all of it, or what follows the first empty line of a `.tlog-proof`.
#[must_use]
pub fn checkpoint_in(text: &str) -> &str {
    match text.split_once("\n\n") {
        Some((head, rest)) if head.starts_with("c2sp.org/tlog-proof@") => rest,
        _ => text,
    }
}

/// Signs the head of a tree with a key that lies elsewhere. `public` is its Ed25519 public key; `signature` is asked once for a
/// signature (RFC 8032) over the bytes it is given.
///
/// # Errors
/// [`CheckpointError::Malformed`] if the name makes no checkpoint, [`CheckpointError::Signature`] if no signature came, or one
/// that does not verify: a token that signs wrongly must not spoil the log.
pub fn sign_elsewhere(
    name: &str,
    public: &[u8; 32],
    size: u64,
    root: &[u8; 32],
    signature: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> Result<String, CheckpointError> {
    let vkey = vkey_of(name, public)?;
    let elsewhere = Elsewhere {
        name,
        id: signed_note::key_id(name, &[&[ED25519], public.as_slice()].concat()),
        signature,
    };
    let note = sign(name, size, root, &elsewhere)?;
    Checkpoint::verify(&note, &vkey)?;
    Ok(note)
}

/// The verification key of the log `name` with an Ed25519 public key.
///
/// # Errors
/// [`CheckpointError::Key`].
pub fn vkey_of(name: &str, public: &[u8; 32]) -> Result<String, CheckpointError> {
    let key = ed25519_dalek::VerifyingKey::from_bytes(public).map_err(|_| CheckpointError::Key)?;
    if !signed_note::is_key_name_valid(name) {
        return Err(CheckpointError::Key);
    }
    Ok(signed_note::new_ed25519_verifier_key(name, &key))
}

fn sign(name: &str, size: u64, root: &[u8; 32], signer: &dyn signed_note::Signer) -> Result<String, CheckpointError> {
    let text = tlog_tiles::Checkpoint::new(name, size, Hash(*root), "").map_err(|_| CheckpointError::Malformed)?;
    let mut note = Note::new(&text.to_bytes(), &[]).map_err(|_| CheckpointError::Malformed)?;
    note.add_sigs(&[signer]).map_err(|_| CheckpointError::Signature)?;
    String::from_utf8(note.to_bytes()).map_err(|_| CheckpointError::Malformed)
}

struct Elsewhere<'a, F> {
    name: &'a str,
    id: u32,
    signature: F,
}

impl<F: Fn(&[u8]) -> Option<Vec<u8>>> signed_note::Signer for Elsewhere<'_, F> {
    fn name(&self) -> &str {
        self.name
    }
    fn key_id(&self) -> u32 {
        self.id
    }
    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, ed25519_dalek::SignatureError> {
        (self.signature)(text).ok_or_else(ed25519_dalek::SignatureError::new)
    }
}

impl fmt::Debug for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogKey({})", self.name())
    }
}

/// A tree head: one whose signature was found good, or one that a printed page names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Name of the log.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// Root of the tree of that size.
    pub root: [u8; 32],
}

impl Checkpoint {
    /// Reads what a printed page says of the log, `SIZE:ROOT`, the root in hex, spaces between as they like. It is of no name and
    /// not signed: who holds the page vouches for it.
    #[must_use]
    pub fn printed(text: &str) -> Option<Self> {
        let (size, root) = text.trim().split_once(':')?;
        let root: String = root.chars().filter(|c| !c.is_whitespace()).collect();
        Some(Self {
            origin: String::new(),
            size: size.parse().ok()?,
            root: hex::decode(root).ok()?.try_into().ok()?,
        })
    }

    /// The root as people compare it: hex, in groups.
    #[must_use]
    pub fn in_groups(root: &[u8; 32]) -> String {
        let groups: Vec<String> = root.chunks(4).map(hex::encode).collect();
        groups.join(" ")
    }

    /// Reads a signed checkpoint and checks that `vkey` signed it. Signatures of others (witnesses) are let be.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn verify(note: &str, vkey: &str) -> Result<Self, CheckpointError> {
        let verifier = StandardVerifier::new(vkey.trim()).map_err(|_| CheckpointError::Key)?;
        let name = verifier.name().to_owned();
        let note = Note::from_bytes(note.as_bytes()).map_err(|_| CheckpointError::Malformed)?;
        note.verify(&VerifierList::new(vec![Box::new(verifier)]))
            .map_err(|_| CheckpointError::Signature)?;
        let checkpoint = tlog_tiles::Checkpoint::from_bytes(note.text()).map_err(|_| CheckpointError::Malformed)?;
        if checkpoint.origin() != name {
            return Err(CheckpointError::Origin);
        }
        Ok(Self {
            origin: name,
            size: checkpoint.size(),
            root: checkpoint.hash().0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_and_its_checkpoint_verifies() {
        let (key, text) = LogKey::from_seed("relay.example/trail", &[5; 32]).unwrap();
        let again = LogKey::parse(&format!("{text}\n")).unwrap();
        assert_eq!(again.vkey(), key.vkey());
        let note = again.sign(7, &[9; 32]).unwrap();
        let checkpoint = Checkpoint::verify(&note, key.vkey()).unwrap();
        assert_eq!(
            (checkpoint.origin.as_str(), checkpoint.size, checkpoint.root),
            (key.name(), 7, [9; 32])
        );
        assert_eq!(
            Checkpoint::verify(&note.replacen("\n7\n", "\n8\n", 1), key.vkey()),
            Err(CheckpointError::Signature)
        );
        let (other, _) = LogKey::from_seed("relay.example/trail", &[6; 32]).unwrap();
        assert_eq!(Checkpoint::verify(&note, other.vkey()), Err(CheckpointError::Signature));
        assert_eq!(Checkpoint::verify("", key.vkey()), Err(CheckpointError::Malformed));
        assert_eq!(Checkpoint::verify(&note, "no key"), Err(CheckpointError::Key));
    }

    #[test]
    fn what_a_page_prints_is_read() {
        let printed = Checkpoint::printed(&format!("4711:{}\n", Checkpoint::in_groups(&[0xab; 32]))).unwrap();
        assert_eq!((printed.size, printed.root), (4711, [0xab; 32]));
        for wrong in ["", "4711", "4711:", "4711:abab", "-1:00", "old.checkpoint"] {
            assert_eq!(Checkpoint::printed(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_key_elsewhere_signs_the_same_and_a_wrong_signature_is_found() {
        let (key, _) = LogKey::from_seed("relay.example/trail", &[5; 32]).unwrap();
        let secret = ed25519_dalek::SigningKey::from_bytes(&[5; 32]);
        let public = *secret.verifying_key().as_bytes();
        let ask = |text: &[u8]| Some(ed25519_dalek::Signer::sign(&secret, text).to_vec());
        let note = sign_elsewhere(key.name(), &public, 7, &[9; 32], ask).unwrap();
        assert_eq!(note, key.sign(7, &[9; 32]).unwrap());
        assert_eq!(vkey_of(key.name(), &public).as_deref(), Ok(key.vkey()));
        for wrong in [None, Some(vec![0; 64]), Some(Vec::new())] {
            let signed = sign_elsewhere(key.name(), &public, 7, &[9; 32], |_| wrong.clone());
            assert!(signed.is_err());
        }
    }

    #[test]
    fn a_checkpoint_of_another_origin_is_refused() {
        let (key, _) = LogKey::from_seed("relay.example/trail", &[5; 32]).unwrap();
        let text = tlog_tiles::Checkpoint::new("other.example", 7, Hash([9; 32]), "").unwrap();
        let mut note = Note::new(&text.to_bytes(), &[]).unwrap();
        note.add_sigs(&[&key.signer]).unwrap();
        let note = String::from_utf8(note.to_bytes()).unwrap();
        assert_eq!(Checkpoint::verify(&note, key.vkey()), Err(CheckpointError::Origin));
    }

    #[test]
    fn names_a_note_cannot_carry_are_refused() {
        for name in ["", "two words", "a+b"] {
            assert!(LogKey::from_seed(name, &[1; 32]).is_err(), "{name}");
        }
    }

    /// The key of the signed-note specification's own example.
    #[test]
    fn reads_the_published_example_key() {
        let key =
            LogKey::parse("PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz").unwrap();
        assert_eq!(
            key.vkey(),
            "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
        );
    }
}
