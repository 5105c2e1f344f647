//! One record's proof as a file, [C2SP tlog-proof](https://c2sp.org/tlog-proof): position, inclusion path and signed checkpoint.
//! Its `extra` is salt ‖ body of the record, so that the file proves and shows it. `CONTRACTS.md` §9.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Checkpoint, CheckpointError, MAX_BODY, commitment, tree};

const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// Base64 makes 4 of 3; the rest is a path of 64 nodes and a checkpoint with its witnesses.
const MAX_TEXT: usize = MAX_BODY / 3 * 4 + (64 << 10);
/// A tree of 2^64 entries is so deep.
const MAX_PATH: usize = 64;

/// A `.tlog-proof` file.
#[derive(Clone, PartialEq, Eq)]
pub struct InclusionProof {
    /// salt ‖ body; `None` if the file does not show the record.
    pub extra: Option<Vec<u8>>,
    /// Position of the record.
    pub index: u64,
    /// Nodes from the leaf's sibling to the root's child.
    pub path: Vec<[u8; 32]>,
    /// The signed checkpoint, with the cosignatures it has.
    pub checkpoint: String,
}

/// Which thing about a proof is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// No `c2sp.org/tlog-proof@v1`.
    #[error("not a proof (C2SP tlog-proof)")]
    Malformed,
    /// Key or checkpoint.
    #[error("the proof is not signed: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The tree of the checkpoint has another entry at that position.
    #[error("the log does not contain this record at this position")]
    NotIncluded,
}

/// A record that a checkpoint's tree was shown to contain.
#[derive(Clone, PartialEq, Eq)]
pub struct Proven {
    /// Its body.
    pub body: String,
    /// Its salt.
    pub salt: [u8; 32],
    /// The checkpoint.
    pub checkpoint: Checkpoint,
}

impl InclusionProof {
    /// The proof of the record with this salt and body.
    #[must_use]
    pub fn of_record(index: u64, salt: &[u8; 32], body: &str, path: Vec<[u8; 32]>, checkpoint: String) -> Self {
        Self {
            extra: Some([salt.as_slice(), body.as_bytes()].concat()),
            index,
            path,
            checkpoint,
        }
    }

    /// Reads a file. The checkpoint's signatures are not looked at.
    ///
    /// # Errors
    /// [`ProofError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, ProofError> {
        Self::read(text).ok_or(ProofError::Malformed)
    }

    fn read(text: &str) -> Option<Self> {
        if text.len() > MAX_TEXT {
            return None;
        }
        let (head, checkpoint) = text.split_once("\n\n")?;
        let mut lines = head.split('\n').peekable();
        if lines.next()? != HEADER {
            return None;
        }
        let extra = match lines.next_if(|line| line.starts_with("extra ")) {
            Some(line) => Some(STANDARD.decode(line.strip_prefix("extra ")?).ok()?),
            None => None,
        };
        let digits = lines.next()?.strip_prefix("index ")?;
        let index: u64 = digits.parse().ok().filter(|index: &u64| index.to_string() == digits)?;
        let path: Vec<[u8; 32]> = lines
            .take(MAX_PATH + 1)
            .map(|line| STANDARD.decode(line).ok()?.try_into().ok())
            .collect::<Option<_>>()?;
        (path.len() <= MAX_PATH).then(|| Self {
            extra,
            index,
            path,
            checkpoint: checkpoint.to_owned(),
        })
    }

    /// The file's text.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = format!("{HEADER}\n");
        if let Some(extra) = &self.extra {
            text.push_str(&format!("extra {}\n", STANDARD.encode(extra)));
        }
        text.push_str(&format!("index {}\n", self.index));
        for node in &self.path {
            text.push_str(&STANDARD.encode(node));
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&self.checkpoint);
        text
    }

    /// Checks signature and path for `entry`, offline.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn verify(&self, entry: &[u8; 32], vkey: &str) -> Result<Checkpoint, ProofError> {
        let checkpoint = Checkpoint::verify(&self.checkpoint, vkey)?;
        if tree::includes(&checkpoint.root, checkpoint.size, self.index, entry, &self.path) {
            Ok(checkpoint)
        } else {
            Err(ProofError::NotIncluded)
        }
    }

    /// Checks the proof of the record the file shows, offline.
    ///
    /// # Errors
    /// [`ProofError`]; a file that shows no record is malformed.
    pub fn verify_record(&self, vkey: &str) -> Result<Proven, ProofError> {
        let extra = self.extra.as_deref().ok_or(ProofError::Malformed)?;
        let (salt, body) = extra.split_first_chunk::<32>().ok_or(ProofError::Malformed)?;
        let body = std::str::from_utf8(body).map_err(|_| ProofError::Malformed)?;
        let checkpoint = self.verify(&commitment(salt, body.as_bytes()), vkey)?;
        Ok(Proven {
            body: body.to_owned(),
            salt: *salt,
            checkpoint,
        })
    }
}

impl std::fmt::Debug for InclusionProof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "InclusionProof({})", self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trail::LogKey;

    fn proof() -> (InclusionProof, LogKey) {
        let (key, _) = LogKey::from_seed("relay.example/trail", &[5; 32]).unwrap();
        let (salt, body) = ([3; 32], "{\"v\":1}");
        let leaves = [tree::leaf(&[0; 32]), tree::leaf(&commitment(&salt, body.as_bytes()))];
        let mut frontier = crate::trail::Frontier::default();
        leaves.iter().for_each(|leaf| frontier.push(leaf));
        let checkpoint = key.sign(2, &frontier.root()).unwrap();
        (
            InclusionProof::of_record(1, &salt, body, vec![leaves[0]], checkpoint),
            key,
        )
    }

    #[test]
    fn reads_back_and_verifies_under_its_key_only() {
        let (proof, key) = proof();
        let again = InclusionProof::parse(&proof.encode()).unwrap();
        assert!(again == proof);
        let proven = again.verify_record(key.vkey()).unwrap();
        assert_eq!((proven.body.as_str(), proven.checkpoint.size), ("{\"v\":1}", 2));
        let (other, _) = LogKey::from_seed("relay.example/trail", &[6; 32]).unwrap();
        let refused = again.verify_record(other.vkey()).err();
        assert_eq!(refused, Some(ProofError::Checkpoint(CheckpointError::Signature)));
    }

    #[test]
    fn without_extra_it_proves_what_is_known_otherwise() {
        let (mut proof, key) = proof();
        proof.extra = None;
        let again = InclusionProof::parse(&proof.encode()).unwrap();
        assert!(again == proof && !again.encode().contains("extra"));
        assert!(again.verify(&commitment(&[3; 32], b"{\"v\":1}"), key.vkey()).is_ok());
        assert_eq!(again.verify(&[0; 32], key.vkey()), Err(ProofError::NotIncluded));
        assert_eq!(again.verify_record(key.vkey()).err(), Some(ProofError::Malformed));
    }

    #[test]
    fn what_is_no_proof_is_refused() {
        let (proof, _) = proof();
        let good = proof.encode();
        for (from, to) in [
            ("c2sp.org/tlog-proof@v1", "c2sp.org/tlog-proof@v2"),
            ("index 1", "index 01"),
            ("index 1", "index +1"),
            ("index 1", "index"),
            ("extra ", "extra  "),
            ("\n\n", "\nAAAA\n\n"),
            (
                "\n\n",
                &format!("{}\n\n", format!("\n{}", STANDARD.encode([0; 32])).repeat(64)),
            ),
        ] {
            assert!(good.contains(from));
            assert_eq!(
                InclusionProof::parse(&good.replacen(from, to, 1)),
                Err(ProofError::Malformed),
                "{to}"
            );
        }
    }
}
