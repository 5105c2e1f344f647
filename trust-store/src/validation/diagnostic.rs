//! Everything a verdict is made from, kept in its report, and the same verdict from it again, years later.
//!
//! A replay computes once more; it proves nothing about where the report came from. Whoever wants that brings the container and
//! anchors of their own: [`ValidationReport::speaks_of`], [`TrustStore::replay`]. A replay never makes a `Verified`.

mod facts;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Extent, Subject, TrustStore, verdict};
use crate::anchors::{AnchorSet, Anchors, TrustAnchor};
use crate::evidence::Evidence;
use crate::policy::Policy;
use crate::report::{EmbeddedSignature, ValidationReport};
use facts::{Bytes, SubjectFacts};

/// Greatest size of a report in bytes that is read for a replay: a container's signatures, names and digests at their bounds, and evidence.
pub const MAX_REPORT: usize = 256 * 1024 * 1024;

/// The form written here.
const VERSION: u32 = 1;

/// Everything a verdict was made from beside the clock. Paths are those of the report's `files`, in its order; of the envelope
/// there are the documents' paths and kinds and when it was made.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    version: u32,
    /// Version of the software that judged.
    software: String,
    extent: Extent,
    subject: SubjectFacts,
    evidence: Evidence,
    trust: TrustFacts,
}

/// A trust store's anchors, DER, and its policy.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrustFacts {
    hpki: Vec<Bytes>,
    accredited: Vec<Bytes>,
    jpki: Vec<Bytes>,
    tsa: Vec<Bytes>,
    intermediates: Vec<Bytes>,
    policy: String,
}

/// Why a report cannot be replayed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// Not a report.
    #[error("not a validation report: {0}")]
    Malformed(String),
    /// More than [`MAX_REPORT`].
    #[error("the report is larger than {MAX_REPORT} bytes")]
    TooLarge,
    /// A brief report, or one of an earlier version.
    #[error("the report does not hold what it was made from (`diagnostic.replay`)")]
    Absent,
    /// Written by software this one does not know.
    #[error("what the report was made from is of version {0}; this software reads version {VERSION}")]
    Version(u32),
    /// Its parts do not fit each other or break a bound.
    #[error("what the report was made from does not fit together: {0}")]
    Inconsistent(&'static str),
}

/// In what a report does not speak of the subject at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// One is of a container, the other of a bare signature.
    #[error("the report is of another kind of file")]
    Kind,
    /// Another container, or another signature.
    #[error("the report is of another file")]
    Bytes,
    /// The container named, but its files, manifests or signatures are not as the report says.
    #[error("the report names this file, but says other things about its contents than are true")]
    Facts,
    /// The detached content.
    #[error("the report is of other signed content")]
    Content,
    /// Made before all of the container was there.
    #[error("the report was made while the container was still arriving and is not about the whole of it")]
    Arriving,
    /// Nothing to compare.
    #[error("the report does not hold what it was made from")]
    Absent,
}

impl ValidationReport {
    /// Reads a report, bounded.
    ///
    /// # Errors
    /// [`ReplayError::TooLarge`], [`ReplayError::Malformed`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, ReplayError> {
        if bytes.len() > MAX_REPORT {
            return Err(ReplayError::TooLarge);
        }
        serde_json::from_slice(bytes).map_err(|error| ReplayError::Malformed(error.to_string()))
    }

    /// Judges again what this report says it was made from. The same report, if nobody changed it and the software judges alike.
    ///
    /// # Errors
    /// [`ReplayError`] if it does not hold what it was made from.
    pub fn replay(&self) -> Result<Self, ReplayError> {
        self.snapshot()?.trust.store()?.replay(self)
    }

    /// Whether the report is about `subject`: its digests and everything read from it.
    ///
    /// # Errors
    /// In what not.
    pub fn speaks_of(&self, subject: &Subject) -> Result<(), Mismatch> {
        let snapshot = self.snapshot().map_err(|_| Mismatch::Absent)?;
        if snapshot.extent != Extent::Whole {
            return Err(Mismatch::Arriving);
        }
        if let Subject::Container(container) = subject
            && matches!(snapshot.subject, SubjectFacts::Container(_))
        {
            if self.container_sha256 != Some(hex::encode(container.sha256)) {
                return Err(Mismatch::Bytes);
            }
            let same = container.files.len() == self.files.len()
                && container
                    .files
                    .iter()
                    .zip(&self.files)
                    .all(|(file, told)| file.path == told.path);
            if !same {
                return Err(Mismatch::Facts);
            }
        }
        snapshot.subject.compare(&SubjectFacts::of(subject))
    }

    /// Version of the software that judged, where the report tells.
    #[must_use]
    pub fn software(&self) -> Option<&str> {
        self.diagnostic
            .replay
            .as_ref()
            .map(|snapshot| snapshot.software.as_str())
    }

    fn snapshot(&self) -> Result<&Snapshot, ReplayError> {
        let snapshot = self.diagnostic.replay.as_deref().ok_or(ReplayError::Absent)?;
        if snapshot.version != VERSION {
            return Err(ReplayError::Version(snapshot.version));
        }
        Ok(snapshot)
    }
}

impl TrustStore {
    /// Judges what `report` was made from, with these anchors and this policy instead of those the report names.
    ///
    /// # Errors
    /// [`ReplayError`] if it does not hold what it was made from.
    pub fn replay(&self, report: &ValidationReport) -> Result<ValidationReport, ReplayError> {
        let snapshot = report.snapshot()?;
        let now = OffsetDateTime::parse(&report.diagnostic.at, &Rfc3339)
            .map_err(|_| ReplayError::Inconsistent("`at` is no time"))?;
        let subject = snapshot.subject.subject(report)?;
        let evidence = snapshot.evidence.clone();
        let judged = match (&subject, snapshot.extent) {
            (Subject::Container(container), extent) => self.judge_container(container, extent, &evidence, now, false),
            (_, Extent::Whole) => self.judge(&subject, &evidence, now, false),
            (_, Extent::Arriving) => return Err(ReplayError::Inconsistent("only a container arrives in pieces")),
        };
        let mut again = verdict::sum_up(self, &subject, snapshot.extent, evidence, now, judged).into_report();
        if let Some(replay) = &mut again.diagnostic.replay {
            // Who judged first is a fact about the report, not part of the verdict.
            replay.software.clone_from(&snapshot.software);
        }
        for embedded in &report.embedded_signatures {
            again.embed(self.replay_embedded(embedded)?);
        }
        Ok(again)
    }

    /// A signature inside a file holds no further files: one level, however the report is nested.
    fn replay_embedded(&self, embedded: &EmbeddedSignature) -> Result<EmbeddedSignature, ReplayError> {
        let report = match &embedded.report {
            Some(report) if report.embedded_signatures.is_empty() => Some(Box::new(self.replay(report)?)),
            Some(_) => return Err(ReplayError::Inconsistent("a signature inside a file holds files")),
            None => None,
        };
        Ok(EmbeddedSignature {
            report,
            ..embedded.clone()
        })
    }
}

impl Snapshot {
    /// `policy`: the store's, as written.
    pub(super) fn of(
        store: &TrustStore,
        policy: String,
        subject: &Subject,
        extent: Extent,
        evidence: &Evidence,
    ) -> Self {
        Self {
            version: VERSION,
            software: env!("CARGO_PKG_VERSION").to_owned(),
            extent,
            subject: SubjectFacts::of(subject),
            evidence: evidence.clone(),
            trust: TrustFacts::of(store, policy),
        }
    }
}

impl TrustFacts {
    fn of(store: &TrustStore, written: String) -> Self {
        // Every field by name: a new one does not compile until it is kept here too.
        let TrustStore {
            anchors:
                Anchors {
                    hpki,
                    accredited,
                    jpki,
                    tsa,
                    intermediates,
                },
            policy: _, // `written`
        } = store;
        let ders = |set: &AnchorSet| set.0.iter().map(|anchor| Bytes(anchor.der.as_slice().into())).collect();
        Self {
            hpki: ders(hpki),
            accredited: ders(accredited),
            jpki: ders(jpki),
            tsa: ders(tsa),
            intermediates: intermediates.iter().map(|der| Bytes(der.as_slice().into())).collect(),
            policy: written,
        }
    }

    fn store(&self) -> Result<TrustStore, ReplayError> {
        let set = |ders: &[Bytes]| -> Result<AnchorSet, ReplayError> {
            let mut anchors = Vec::new();
            for der in ders {
                let parsed =
                    TrustAnchor::parse(&der.0).map_err(|_| ReplayError::Inconsistent("an anchor is no certificate"))?;
                anchors.extend(parsed);
            }
            Ok(AnchorSet(anchors))
        };
        Ok(TrustStore {
            anchors: Anchors {
                hpki: set(&self.hpki)?,
                accredited: set(&self.accredited)?,
                jpki: set(&self.jpki)?,
                tsa: set(&self.tsa)?,
                intermediates: self.intermediates.iter().map(|der| der.0.to_vec()).collect(),
            },
            policy: Policy::from_toml(&self.policy)
                .map_err(|_| ReplayError::Inconsistent("the policy cannot be read"))?,
        })
    }
}

/// Holds certificates and signatures: too long for a log, and nobody's business there.
impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot")
            .field("version", &self.version)
            .field("software", &self.software)
            .finish_non_exhaustive()
    }
}
