//! Evidence as one JSON file.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::Evidence;
use crate::path::CertificatePool;

/// Why a text is not an evidence file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// Not JSON of this shape.
    #[error("not an evidence file: {0}")]
    Malformed(String),
    /// Written by a version of this software that this one does not know.
    #[error("evidence file of version {0}; this software reads version 1")]
    Version(u32),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EvidenceFile {
    version: u32,
    #[serde(deserialize_with = "bounded")]
    certificates: Vec<String>,
    #[serde(deserialize_with = "bounded")]
    crls: Vec<String>,
    #[serde(deserialize_with = "bounded")]
    ocsp: Vec<String>,
    #[serde(deserialize_with = "bounded")]
    tokens: Vec<String>,
    #[serde(deserialize_with = "bounded")]
    unreadable: Vec<String>,
}

/// Parts of one kind in one file: one more than a validation reads, so that what is too much stays too much when it is read again.
const MAX_PARTS: usize = CertificatePool::MAX + 1;

/// A list that ends at [`MAX_PARTS`], before more of it is held.
fn bounded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Parts;
    impl<'de> Visitor<'de> for Parts {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {MAX_PARTS} texts")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut parts = Vec::new();
            while let Some(part) = list.next_element()? {
                if parts.len() == MAX_PARTS {
                    return Err(A::Error::invalid_length(MAX_PARTS + 1, &self));
                }
                parts.push(part);
            }
            Ok(parts)
        }
    }
    deserializer.deserialize_seq(Parts)
}

pub(super) fn write(evidence: &Evidence) -> String {
    // A struct of strings always serialises.
    serde_json::to_string(&encoded(evidence)).unwrap_or_default()
}

pub(super) fn read(text: &str) -> Result<Evidence, EvidenceError> {
    decoded(serde_json::from_str(text).map_err(|error| EvidenceError::Malformed(error.to_string()))?)
}

/// The same shape inside a report.
impl Serialize for Evidence {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        encoded(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Evidence {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        decoded(EvidenceFile::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

fn encoded(evidence: &Evidence) -> EvidenceFile {
    let encode = |parts: &[Vec<u8>]| {
        let kept = parts.iter().take(MAX_PARTS);
        kept.map(|part| STANDARD.encode(part)).collect()
    };
    // Every field by name: one that is new does not compile until it is kept too, or the verdict could not be replayed.
    let Evidence {
        certificates,
        crls,
        ocsp,
        tokens,
        unreadable,
    } = evidence;
    EvidenceFile {
        version: 1,
        certificates: encode(certificates),
        crls: encode(crls),
        ocsp: encode(ocsp),
        tokens: encode(tokens),
        unreadable: unreadable.iter().take(MAX_PARTS).cloned().collect(),
    }
}

fn decoded(file: EvidenceFile) -> Result<Evidence, EvidenceError> {
    if file.version != 1 {
        return Err(EvidenceError::Version(file.version));
    }
    let decode = |parts: Vec<String>| -> Result<Vec<Vec<u8>>, EvidenceError> {
        parts
            .iter()
            .map(|part| {
                STANDARD
                    .decode(part)
                    .map_err(|error| EvidenceError::Malformed(error.to_string()))
            })
            .collect()
    };
    Ok(Evidence {
        certificates: decode(file.certificates)?,
        crls: decode(file.crls)?,
        ocsp: decode(file.ocsp)?,
        tokens: decode(file.tokens)?,
        unreadable: file.unreadable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Evidence {
        Evidence {
            certificates: vec![vec![1, 2, 3], vec![]],
            crls: vec![vec![0; 70]],
            ocsp: vec![],
            tokens: vec![vec![255]],
            unreadable: vec!["読めない.bin".into()],
        }
    }

    #[test]
    fn a_round_keeps_everything_and_the_digest() {
        let text = sample().to_json();
        assert_eq!(Evidence::from_json(&text), Ok(sample()));
        assert_eq!(Evidence::from_json(&text).unwrap().digest(), sample().digest());
        let mut other = sample();
        other.crls.push(vec![9]);
        assert_ne!(other.digest(), sample().digest());
    }

    #[test]
    fn what_is_written_can_be_read_again_however_much_it_is() {
        let crowd = Evidence {
            certificates: vec![vec![1]; MAX_PARTS + 5],
            ..Evidence::default()
        };
        let read = Evidence::from_json(&crowd.to_json()).unwrap();
        assert_eq!(read.certificates.len(), MAX_PARTS);
        assert_eq!(read.digest(), crowd.digest());
    }

    #[test]
    fn other_texts_are_refused() {
        assert!(matches!(Evidence::from_json("{}"), Err(EvidenceError::Malformed(_))));
        let text = sample().to_json();
        assert_eq!(
            Evidence::from_json(&text.replace("\"version\":1", "\"version\":2")),
            Err(EvidenceError::Version(2))
        );
        assert!(matches!(
            Evidence::from_json(&text.replace("AQID", "A*ID")),
            Err(EvidenceError::Malformed(_))
        ));
        assert!(matches!(
            Evidence::from_json(&text.replace("\"ocsp\"", "\"ocps\"")),
            Err(EvidenceError::Malformed(_))
        ));
    }
}
