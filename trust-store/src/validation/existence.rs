//! Proofs of existence (存在証明), EN 319 102-1 §5.6: since when what lies in the file is proven to have existed.
//!
//! A map, and nothing that judges: `archive` enters what passing archive time stamps prove.

use std::collections::HashMap;

use formats::cades::{Covered, Profile, SignedData, ValidationValues};
use formats::digest::sha256;
use time::OffsetDateTime;

/// Since when things are known to have existed. What nothing is proven of exists since now.
#[derive(Debug, Clone)]
pub(super) struct Existence {
    /// By SHA-256 of the bytes: signature files, tokens, and what they carry.
    objects: HashMap<[u8; 32], OffsetDateTime>,
    /// By name in the container.
    entries: HashMap<String, OffsetDateTime>,
    otherwise: OffsetDateTime,
}

/// Name under which the content of a bare signature stands. No entry of a container has an empty one.
pub(super) const CONTENT: &str = "";

/// How deep tokens inside tokens are followed.
const MAX_DEPTH: usize = 3;

impl Existence {
    /// Nothing is proven: all is known since `now` only.
    pub(super) fn unproven(now: OffsetDateTime) -> Self {
        Self {
            objects: HashMap::new(),
            entries: HashMap::new(),
            otherwise: now,
        }
    }

    /// Everything is taken to have been there from the beginning: for what a file carries, of which B-LT and B-LTA ask whether it
    /// would have been enough when its stamp was made.
    pub(super) fn supposed() -> Self {
        Self::unproven(OffsetDateTime::UNIX_EPOCH)
    }

    /// Since when these bytes are known.
    pub(super) fn of(&self, bytes: &[u8]) -> OffsetDateTime {
        if self.objects.is_empty() {
            return self.otherwise;
        }
        let found = self.objects.get(&sha256(bytes)).copied();
        found.unwrap_or(self.otherwise)
    }

    /// Since when an entry of the container is known.
    pub(super) fn of_entry(&self, name: &str) -> OffsetDateTime {
        self.entries.get(name).copied().unwrap_or(self.otherwise)
    }

    /// Whether anything is proven at all.
    pub(super) fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.entries.is_empty()
    }

    /// These existed at `time`. An earlier proof stays.
    pub(super) fn prove<'o>(&mut self, objects: impl IntoIterator<Item = &'o [u8; 32]>, time: OffsetDateTime) {
        for object in objects {
            let known = self.objects.entry(*object).or_insert(time);
            *known = time.min(*known);
        }
    }

    /// This entry of the container existed at `time`.
    pub(super) fn prove_entry(&mut self, name: &str, time: OffsetDateTime) {
        match self.entries.get_mut(name) {
            Some(known) => *known = time.min(*known),
            None => {
                self.entries.insert(name.to_owned(), time);
            }
        }
    }
}

/// A signature or a token and all that it carries: whoever covers the one covers the other.
pub(super) fn carried(bytes: &[u8], profile: Profile) -> Vec<[u8; 32]> {
    let mut found = Vec::new();
    carry(bytes, profile, MAX_DEPTH, &mut found);
    found
}

/// What lies in a part of a signature that an archive stamp inside it covers.
pub(super) fn carried_by_part(part: &Covered) -> Vec<[u8; 32]> {
    let mut found = Vec::new();
    match part {
        Covered::Certificate(bytes) | Covered::Revocation(bytes) => found.push(sha256(bytes)),
        Covered::Attribute(attribute_type, bytes) => {
            let values = ValidationValues::of(*attribute_type, bytes);
            carry_values(&values, &mut found);
            carry(bytes, Profile::Token, MAX_DEPTH, &mut found);
        }
    }
    found
}

fn carry(bytes: &[u8], profile: Profile, depth: usize, found: &mut Vec<[u8; 32]>) {
    found.push(sha256(bytes));
    let Ok(parsed) = SignedData::parse(bytes, profile) else {
        return;
    };
    found.push(sha256(&parsed.signer.signature));
    let lists = parsed.certificates.iter().chain(&parsed.crls).chain(&parsed.ocsp);
    found.extend(lists.map(|object| sha256(object)));
    carry_values(&parsed.signer.values, found);
    if depth == 0 {
        return;
    }
    let archived = parsed.signer.archive_stamps.iter().map(|stamp| &stamp.token);
    for token in parsed.signer.timestamps.iter().chain(archived) {
        carry(token, Profile::Token, depth - 1, found);
    }
}

fn carry_values(values: &ValidationValues, found: &mut Vec<[u8; 32]>) {
    let objects = values.certificates.iter().chain(&values.crls).chain(&values.ocsp);
    found.extend(objects.map(|object| sha256(object)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn the_earliest_proof_counts_and_without_one_it_is_now() {
        let (now, early, late) = (
            datetime!(2040-01-01 00:00 UTC),
            datetime!(2027-01-01 00:00 UTC),
            datetime!(2033-01-01 00:00 UTC),
        );
        let mut existence = Existence::unproven(now);
        assert_eq!((existence.of(b"list"), existence.of_entry("a")), (now, now));
        assert!(existence.is_empty());
        for time in [late, early, late] {
            existence.prove(&[sha256(b"list")], time);
            existence.prove_entry("a", time);
        }
        assert_eq!((existence.of(b"list"), existence.of_entry("a")), (early, early));
        assert_eq!((existence.of(b"other"), existence.of_entry("b")), (now, now));
    }
}
