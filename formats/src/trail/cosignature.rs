//! What witnesses say: [C2SP tlog-cosignature](https://c2sp.org/tlog-cosignature), Ed25519 (`cosignature/v1`), on a checkpoint.
//!
//! ```text
//! signature line = — <name> base64(key ID (4) ‖ timestamp (8, big-endian) ‖ Ed25519 signature (64))
//! signed message = "cosignature/v1\ntime <timestamp>\n" ‖ note text
//! ```

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::VerifyingKey;
use signed_note::{Note, Verifier, VerifierList};

use super::CheckpointError;

/// Algorithm byte of a witness's key.
const COSIGNATURE: u8 = 4;
/// A checkpoint with its signatures is no larger.
const MAX_NOTE: usize = 64 << 10;

/// A witness's verification key, `<name>+<id>+<base64>` of type 0x04.
#[derive(Clone, PartialEq, Eq)]
pub struct WitnessKey {
    name: String,
    id: u32,
    key: VerifyingKey,
}

/// A cosignature that was found good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosignature {
    /// Name of the witness.
    pub witness: String,
    /// When it cosigned, in seconds since 1970-01-01 UTC.
    pub time: u64,
}

impl WitnessKey {
    /// Reads a key.
    ///
    /// # Errors
    /// [`CheckpointError::Key`]; the key of a log (type 0x01) is none of a witness.
    pub fn parse(vkey: &str) -> Result<Self, CheckpointError> {
        Self::read(vkey.trim()).ok_or(CheckpointError::Key)
    }

    fn read(vkey: &str) -> Option<Self> {
        let (name, rest) = vkey.split_once('+')?;
        let (id, encoded) = rest.split_once('+')?;
        let key = STANDARD.decode(encoded).ok()?;
        let (algorithm, public) = key.split_first()?;
        let stated = u32::from_str_radix(id, 16).ok().filter(|_| id.len() == 8)?;
        let good = *algorithm == COSIGNATURE
            && signed_note::is_key_name_valid(name)
            && stated == signed_note::key_id(name, &key);
        good.then_some(())?;
        Some(Self {
            name: name.to_owned(),
            id: stated,
            key: VerifyingKey::try_from(public).ok()?,
        })
    }

    /// The witness's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WitnessKey({})", self.name)
    }
}

impl Verifier for WitnessKey {
    fn name(&self) -> &str {
        &self.name
    }
    fn key_id(&self) -> u32 {
        self.id
    }
    fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        let Some((time, signature)) = signature.split_first_chunk::<8>() else {
            return false;
        };
        let (time, Ok(signature)) = (u64::from_be_bytes(*time), signature.try_into()) else {
            return false;
        };
        let message = [format!("cosignature/v1\ntime {time}\n").as_bytes(), text].concat();
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        // A witness that tells no time, or one no clock shows, makes no statement.
        (1..1 << 63).contains(&time) && self.key.verify_strict(&message, &signature).is_ok()
    }
}

/// The cosignatures of known witnesses on a signed checkpoint, in the order of its lines; those of others are let be. The log's own
/// signature is not looked at.
///
/// # Errors
/// [`CheckpointError::Malformed`], [`CheckpointError::Key`] if one key is named twice, [`CheckpointError::Signature`] if a line that
/// bears a known witness's name and key ID is not signed by it.
pub fn cosignatures(note: &str, witnesses: &[WitnessKey]) -> Result<Vec<Cosignature>, CheckpointError> {
    let (note, known) = (read(note)?, list(witnesses));
    let found = match note.verify(&known) {
        Ok((found, _)) => found,
        Err(signed_note::NoteError::UnverifiedNote) => Vec::new(),
        Err(signed_note::NoteError::VerificationError(_)) => return Err(CheckpointError::Key),
        Err(_) => return Err(CheckpointError::Signature),
    };
    let told = found.iter().map(|signature| {
        let time = signature
            .signature()
            .first_chunk()
            .map(|time| u64::from_be_bytes(*time));
        Cosignature {
            witness: signature.name().to_owned(),
            time: time.unwrap_or_default(),
        }
    });
    Ok(told.collect())
}

/// The signed checkpoint `note` with the lines of a witness's `answer` that are good signatures by it. Lines of others are dropped.
///
/// # Errors
/// [`CheckpointError::Malformed`] if the answer is no signature lines, [`CheckpointError::Signature`] if none is by this witness or
/// one is wrong.
pub fn with_cosignatures(note: &str, answer: &str, witness: &WitnessKey) -> Result<String, CheckpointError> {
    let known = list(std::slice::from_ref(witness));
    let before = read(note)?;
    let text = std::str::from_utf8(before.text()).map_err(|_| CheckpointError::Malformed)?;
    let answered = read(&format!("{text}\n{answer}"))?;
    // An empty line in the answer would move the end of the text.
    if answered.text() != before.text() {
        return Err(CheckpointError::Malformed);
    }
    let (good, _) = answered.verify(&known).map_err(|_| CheckpointError::Signature)?;
    let mut whole = note.to_owned();
    for signature in good {
        let line = String::from_utf8(signature.to_bytes()).map_err(|_| CheckpointError::Malformed)?;
        if !whole.contains(&line) {
            whole.push_str(&line);
        }
    }
    read(&whole).map(|_| whole)
}

fn read(note: &str) -> Result<Note, CheckpointError> {
    if note.len() > MAX_NOTE {
        return Err(CheckpointError::Malformed);
    }
    Note::from_bytes(note.as_bytes()).map_err(|_| CheckpointError::Malformed)
}

fn list(witnesses: &[WitnessKey]) -> VerifierList {
    let all = witnesses.iter().cloned();
    VerifierList::new(all.map(|key| Box::new(key) as Box<dyn Verifier>).collect())
}

#[cfg(test)]
pub(super) mod tests {
    use ed25519_dalek::{Signer as _, SigningKey};

    use super::*;
    use crate::trail::LogKey;

    pub(in crate::trail) fn witness(name: &str, seed: u8) -> (SigningKey, WitnessKey) {
        let secret = SigningKey::from_bytes(&[seed; 32]);
        let public = [&[COSIGNATURE], secret.verifying_key().as_bytes().as_slice()].concat();
        let id = signed_note::key_id(name, &public);
        let key = WitnessKey::parse(&format!("{name}+{id:08x}+{}\n", STANDARD.encode(public))).unwrap();
        (secret, key)
    }

    pub(in crate::trail) fn line(secret: &SigningKey, key: &WitnessKey, note: &str, time: u64) -> String {
        let (text, _) = note.split_once("\n\n").unwrap();
        let message = format!("cosignature/v1\ntime {time}\n{text}\n");
        let bytes = [
            &key.id.to_be_bytes()[..],
            &time.to_be_bytes(),
            &secret.sign(message.as_bytes()).to_bytes(),
        ];
        format!("— {} {}\n", key.name, STANDARD.encode(bytes.concat()))
    }

    #[test]
    fn good_cosignatures_are_kept_and_read_back() {
        let (log, _) = LogKey::from_seed("relay.example/trail", &[5; 32]).unwrap();
        let note = log.sign(7, &[9; 32]).unwrap();
        let ((one, one_key), (two, two_key)) = (witness("w1.example", 1), witness("w2.example", 2));
        let answer = line(&one, &one_key, &note, 1_679_315_147) + &line(&two, &two_key, &note, 5);
        let once = with_cosignatures(&note, &answer, &one_key).unwrap();
        assert_eq!(
            once.lines().count(),
            note.lines().count() + 1,
            "only the line of that witness"
        );
        assert_eq!(
            with_cosignatures(&once, &answer, &one_key).unwrap(),
            once,
            "a line once"
        );
        let both = with_cosignatures(&once, &answer, &two_key).unwrap();
        let told = cosignatures(&both, &[two_key.clone(), one_key.clone()]).unwrap();
        let told: Vec<_> = told.iter().map(|one| (one.witness.as_str(), one.time)).collect();
        assert_eq!(told, [("w1.example", 1_679_315_147), ("w2.example", 5)]);
        assert_eq!(cosignatures(&note, &[one_key]), Ok(Vec::new()));
        assert!(
            crate::trail::Checkpoint::verify(&both, log.vkey()).is_ok(),
            "the log's signature stands"
        );
    }

    #[test]
    fn a_wrong_cosignature_spoils_the_note() {
        let (log, _) = LogKey::from_seed("relay.example/trail", &[5; 32]).unwrap();
        let (note, other) = (log.sign(7, &[9; 32]).unwrap(), log.sign(8, &[9; 32]).unwrap());
        let ((one, one_key), (two, two_key)) = (witness("w1.example", 1), witness("w2.example", 2));
        for answer in [
            line(&one, &one_key, &other, 5),
            line(&two, &one_key, &note, 5),
            line(&one, &one_key, &note, 0),
            line(&one, &one_key, &note, 1 << 63),
            line(&two, &two_key, &note, 5),
        ] {
            let added = with_cosignatures(&note, &answer, &one_key);
            assert_eq!(added, Err(CheckpointError::Signature));
        }
        let spoilt = format!("{note}{}", line(&two, &one_key, &note, 5));
        assert_eq!(
            cosignatures(&spoilt, std::slice::from_ref(&one_key)),
            Err(CheckpointError::Signature)
        );
        assert_eq!(with_cosignatures(&note, "", &one_key), Err(CheckpointError::Malformed));
        assert_eq!(
            with_cosignatures(&note, "no\n\nlines", &one_key),
            Err(CheckpointError::Malformed)
        );
    }

    #[test]
    fn only_the_key_of_a_witness_is_one() {
        let (log, _) = LogKey::from_seed("relay.example/trail", &[5; 32]).unwrap();
        for vkey in ["", "a+b", "a+b+c", log.vkey(), "w1.example+00000000+BAAA"] {
            assert_eq!(WitnessKey::parse(vkey), Err(CheckpointError::Key), "{vkey}");
        }
    }
}
