//! The receipt: a record's body and salt with a [C2SP tlog-proof](https://c2sp.org/tlog-proof) whose `extra` repeats both.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Checkpoint, CheckpointError, Event, InclusionProof, Record, commitment, tree};
use crate::wire::{Receipt, SubmissionId};

/// Which thing about a receipt is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// The proof is no `c2sp.org/tlog-proof@v1`.
    #[error("the receipt's proof is malformed")]
    Proof,
    /// The salt is not 32 bytes.
    #[error("the receipt's salt is malformed")]
    Salt,
    /// Key or checkpoint.
    #[error("the receipt is not signed: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The log does not contain this record: body, salt or position were changed.
    #[error("the log does not contain the receipt's record")]
    NotIncluded,
    /// The body is no record of an accepted submission.
    #[error("the receipt's record is not of an accepted submission")]
    NotAccepted,
    /// `id`, `position` or `extra` differ from the record.
    #[error("the receipt's {0} differs from its record")]
    Differs(&'static str),
}

impl Receipt {
    /// Puts a receipt together. `checkpoint` is signed, `proof` the inclusion path in the tree it speaks of.
    #[must_use]
    pub fn new(
        id: SubmissionId,
        position: u64,
        body: String,
        salt: &[u8; 32],
        proof: &[[u8; 32]],
        checkpoint: &str,
    ) -> Self {
        let proof = InclusionProof::of_record(position, salt, &body, proof.to_vec(), checkpoint.to_owned());
        Self {
            id,
            position,
            body,
            salt: STANDARD.encode(salt),
            proof: proof.encode(),
        }
    }

    /// Checks everything the receipt says under the log's verification key, offline.
    ///
    /// # Errors
    /// [`ReceiptError`]: which thing is wrong.
    pub fn verify(&self, vkey: &str) -> Result<Record, ReceiptError> {
        let proof = InclusionProof::parse(&self.proof).map_err(|_| ReceiptError::Proof)?;
        let salt: [u8; 32] = STANDARD
            .decode(&self.salt)
            .ok()
            .and_then(|salt| salt.try_into().ok())
            .ok_or(ReceiptError::Salt)?;
        let checkpoint = Checkpoint::verify(&proof.checkpoint, vkey)?;
        if proof.index != self.position {
            return Err(ReceiptError::Differs("position"));
        }
        if proof.extra != Some([salt.as_slice(), self.body.as_bytes()].concat()) {
            return Err(ReceiptError::Differs("extra"));
        }
        let entry = commitment(&salt, self.body.as_bytes());
        if !tree::includes(&checkpoint.root, checkpoint.size, self.position, &entry, &proof.path) {
            return Err(ReceiptError::NotIncluded);
        }
        let record = Record::parse(&self.body).map_err(|_| ReceiptError::NotAccepted)?;
        let Event::Accepted(submission) = &record.event else {
            return Err(ReceiptError::NotAccepted);
        };
        if submission.submission != self.id {
            return Err(ReceiptError::Differs("id"));
        }
        Ok(record)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::envelope::{Category, DocumentKind, Party};
    use crate::trail::{Actor, LogKey, Submission};
    use crate::wire::DocumentSummary;

    pub(in crate::trail) fn accepted() -> Submission {
        let party = |facility: &str| Party {
            facility: facility.parse().unwrap(),
            name: "TEST".into(),
            department: None,
            person: None,
        };
        Submission {
            submission: "0193569a-7c00-7000-8000-000000000001".parse().unwrap(),
            sender: party("1310000001"),
            recipients: vec![party("1320000002")],
            patient: "12345".into(),
            documents: vec![DocumentSummary {
                path: "letter/letter.pdf".into(),
                kind: DocumentKind::Referral,
                category: Category::Letter,
                media_type: "application/pdf".into(),
                files: 1,
                bytes: 1000,
            }],
            in_reply_to: None,
            size: 2000,
            container_sha256: "aa".repeat(32),
            manifest_sha256: "bb".repeat(32),
            signature_value_sha256: "cc".repeat(32),
            evidence_sha256: "dd".repeat(32),
            policy_sha256: "ee".repeat(32),
            report_sha256: "ff".repeat(32),
            signed_at: None,
            signer: None,
            hc_roles: vec!["Medical Doctor".into()],
            stored_as: "aa".into(),
        }
    }

    /// A log of five records, and the receipt of the third.
    fn receipt() -> (Receipt, LogKey) {
        let (key, _) = LogKey::from_seed("relay.example/trail", &[5; 32]).unwrap();
        let event = Event::Accepted(Box::new(accepted()));
        let facility_seq = event.facilities().into_iter().map(|facility| (facility, 1)).collect();
        let record = Record {
            v: 1,
            time: "2026-11-22T01:00:00.000Z".into(),
            facility_seq,
            actor: Actor::default(),
            event,
        };
        let (body, salt) = (record.encode().unwrap(), [3; 32]);
        let mut nodes = std::collections::BTreeMap::new();
        for position in 0..5 {
            let entry = if position == 2 {
                commitment(&salt, body.as_bytes())
            } else {
                [position as u8; 32]
            };
            nodes.extend(tree::append(position, &entry, |number| nodes.get(&number).copied()).unwrap());
        }
        let read = |number| nodes.get(&number).copied();
        let checkpoint = key.sign(5, &tree::root(5, read).unwrap()).unwrap();
        let proof = tree::prove(5, 2, read).unwrap();
        (
            Receipt::new(accepted().submission, 2, body, &salt, &proof, &checkpoint),
            key,
        )
    }

    #[test]
    fn verifies_under_the_logs_key_only() {
        let (receipt, key) = receipt();
        let record = receipt.verify(key.vkey()).unwrap();
        assert_eq!(record.event.kind(), "Accepted");
        let (other, _) = LogKey::from_seed("relay.example/trail", &[6; 32]).unwrap();
        assert_eq!(
            receipt.verify(other.vkey()),
            Err(ReceiptError::Checkpoint(CheckpointError::Signature))
        );
    }

    #[test]
    fn every_change_is_found_and_named() {
        let (good, key) = receipt();
        let changed = |change: &dyn Fn(&mut Receipt)| {
            let mut receipt = good.clone();
            change(&mut receipt);
            receipt.verify(key.vkey()).unwrap_err()
        };
        assert_eq!(
            changed(&|r| r.body = r.body.replace("12345", "12346")),
            ReceiptError::Differs("extra")
        );
        assert_eq!(
            changed(&|r| r.salt = STANDARD.encode([4; 32])),
            ReceiptError::Differs("extra")
        );
        assert_eq!(changed(&|r| r.salt = "AAAA".into()), ReceiptError::Salt);
        assert_eq!(changed(&|r| r.position = 3), ReceiptError::Differs("position"));
        assert_eq!(
            changed(&|r| r.id = "0193569a-7c00-7000-8000-000000000002".parse().unwrap()),
            ReceiptError::Differs("id")
        );
        assert_eq!(
            changed(&|r| r.proof = r.proof.replace("tlog-proof@v1", "tlog-proof@v2")),
            ReceiptError::Proof
        );
        assert_eq!(
            changed(&|r| {
                r.position = 3;
                r.proof = r.proof.replace("\nindex 2\n", "\nindex 3\n");
            }),
            ReceiptError::NotIncluded
        );
        let forged = changed(&|r| {
            let body = r.body.replace("12345", "12346");
            let (head, checkpoint) = good.proof.split_once("\n\n").unwrap();
            let path: Vec<[u8; 32]> = head
                .lines()
                .skip(3)
                .map(|line| STANDARD.decode(line).unwrap().try_into().unwrap())
                .collect();
            *r = Receipt::new(r.id.clone(), 2, body, &[3; 32], &path, checkpoint);
        });
        assert_eq!(forged, ReceiptError::NotIncluded);
    }

    #[test]
    fn every_truncation_is_refused() {
        let (good, key) = receipt();
        for length in (0..good.proof.len()).filter(|length| good.proof.is_char_boundary(*length)) {
            let mut receipt = good.clone();
            receipt.proof.truncate(length);
            assert!(receipt.verify(key.vkey()).is_err(), "{length}");
        }
    }
}
