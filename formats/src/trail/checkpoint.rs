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
        let text =
            tlog_tiles::Checkpoint::new(self.name(), size, Hash(*root), "").map_err(|_| CheckpointError::Malformed)?;
        let mut note = Note::new(&text.to_bytes(), &[]).map_err(|_| CheckpointError::Malformed)?;
        note.add_sigs(&[&self.signer]).map_err(|_| CheckpointError::Malformed)?;
        String::from_utf8(note.to_bytes()).map_err(|_| CheckpointError::Malformed)
    }
}

impl fmt::Debug for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogKey({})", self.name())
    }
}

/// A signed tree head whose signature was found good.
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
