//! What the passing bytes say: the container is read, and each file looked at for what must not travel, in the same pass that
//! writes them.
//!
//! Nothing but the bytes decides, so that after a restart the stored ones are pushed again and the reading stands where it was.

use std::io::{self, Read};

use formats::asice::{Container, Intake, IntakeError, IntakeEvent, Limits};
use formats::content::{Hazard, Sniffer};

use super::body::Body;
use crate::problem::{Code, Problem};

const BUFFER: usize = 64 * 1024;

/// A container that is read while it arrives. Memory: META-INF, envelope and a line per file.
pub(crate) struct Reading {
    intake: Intake,
    /// The file that passes, and its name.
    passing: Option<(String, Sniffer)>,
    /// META-INF and envelope have been judged.
    pub(crate) judged: bool,
    refused: Option<Problem>,
}

impl Reading {
    /// A reading that has seen nothing of a container of `most` bytes at most.
    pub(crate) fn new(most: u64) -> Self {
        Self {
            intake: Intake::new(Limits {
                container: most,
                ..Limits::default()
            }),
            passing: None,
            judged: false,
            refused: None,
        }
    }

    /// Reads all of a stored container of `size` bytes. Blocking.
    ///
    /// # Errors
    /// What is wrong with it, or what the disk says.
    pub(crate) fn whole(mut from: impl Read, size: u64) -> Result<Container, Problem> {
        let mut reading = Self::new(size);
        let mut buffer = vec![0; BUFFER];
        while reading.refused.is_none() {
            let read = from.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            reading.push(buffer.get(..read).unwrap_or_default());
        }
        reading.finish()
    }

    /// Takes the next bytes. What they are refused for is kept for [`Reading::refused`].
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.refused.is_some() {
            return;
        }
        let passing = &mut self.passing;
        let pushed = self.intake.push::<Problem>(bytes, &mut |event| match event {
            IntakeEvent::FileStart { path, .. } => {
                *passing = Some((path.to_owned(), Sniffer::new(path)));
                Ok(())
            }
            IntakeEvent::FileBytes(bytes) => match passing {
                Some((path, sniffer)) => harmless(path, sniffer.push(bytes)),
                None => Ok(()),
            },
            IntakeEvent::FileEnd(_) => match passing.take() {
                Some((path, sniffer)) => harmless(&path, sniffer.finish()),
                None => Ok(()),
            },
            IntakeEvent::Manifest(_) | IntakeEvent::Signature(_) | IntakeEvent::Envelope(..) => Ok(()),
        });
        self.refused = pushed.err();
    }

    /// Takes from its upload what it has not seen yet. Blocking.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn catch_up(&mut self, body: &Body) -> io::Result<()> {
        if self.refused.is_some() {
            return Ok(());
        }
        body.pass(self.position(), &mut |part| {
            self.push(part);
            self.refused.is_none()
        })
    }

    /// How many bytes it has seen.
    pub(crate) fn position(&self) -> u64 {
        self.intake.position()
    }

    /// Why nothing more is taken.
    pub(crate) fn refused(&self) -> Option<&Problem> {
        self.refused.as_ref()
    }

    /// What has arrived, once META-INF and envelope have.
    pub(crate) fn arrived(&self) -> Option<&Container> {
        self.intake.has_head().then(|| self.intake.container())
    }

    /// The container, after its last byte.
    ///
    /// # Errors
    /// Why it is refused; a container that ends too early is refused too.
    pub(crate) fn finish(self) -> Result<Container, Problem> {
        match self.refused {
            Some(problem) => Err(problem),
            None => Ok(self.intake.finish()?),
        }
    }
}

fn harmless(path: &str, found: Option<Hazard>) -> Result<(), Problem> {
    match found {
        None => Ok(()),
        Some(hazard) => Err(Problem::new(Code::ForbiddenContent).finding(format!("{path}: {}", hazard.code()))),
    }
}

impl From<IntakeError> for Problem {
    fn from(error: IntakeError) -> Self {
        let code = if error.code.starts_with("envelope") {
            Code::EnvelopeInvalid
        } else {
            Code::ContainerProfile
        };
        Self::new(code).finding(format!("{}: {error}", error.code))
    }
}

#[cfg(test)]
mod tests {
    use formats::asice::{FilePlan, SignedManifest, manifest_for, write};

    use super::*;

    /// A container whose signature is only bytes: who signed is not asked here.
    fn container(letter: &[u8]) -> Vec<u8> {
        let envelope = serde_json::json!({
            "version": 1, "id": "0193569a-7c00-7000-8000-000000000001", "created": "2026-11-22T10:00:00+09:00",
            "sender": { "facility": "1310000001", "name": "TEST Clinic", "department": null, "person": null },
            "recipients": [{ "facility": "1320000002", "name": "TEST Hospital", "department": null, "person": null }],
            "patient": { "id": "1", "name": "T", "kana": null, "birth_date": "1970-01-01", "sex": "U" },
            "documents": [{ "path": "letter.pdf", "kind": "Referral", "category": "letter",
                "media_type": "application/pdf", "title": "T" }],
            "in_reply_to": null
        });
        let envelope = serde_json::to_vec(&envelope).unwrap();
        let files = [("submission.json", envelope.as_slice()), ("letter.pdf", letter)];
        let plans: Vec<_> = files
            .iter()
            .map(|&(path, mut bytes)| FilePlan::measure(path, &mut bytes).unwrap())
            .collect();
        let signed = SignedManifest {
            manifest: &manifest_for(&plans),
            signature: b"signature",
        };
        let mut container = Vec::new();
        write(&mut container, &[signed], &plans, |path| {
            Ok(files.iter().find(|(known, _)| *known == path).unwrap().1)
        })
        .unwrap();
        container
    }

    fn place(container: &[u8], of: &[u8]) -> usize {
        container.windows(of.len()).position(|window| window == of).unwrap()
    }

    #[test]
    fn a_reading_in_pieces_ends_where_one_at_once_does() {
        let bytes = container(b"%PDF-1.7 a letter");
        let whole = Reading::whole(bytes.as_slice(), bytes.len() as u64).unwrap();
        for cut in [0, 1, 40, bytes.len() / 2, bytes.len() - 1, bytes.len()] {
            let mut reading = Reading::new(bytes.len() as u64);
            reading.push(&bytes[..cut]);
            assert_eq!(reading.position(), cut as u64);
            reading.push(&bytes[cut..]);
            let container = reading.finish().unwrap();
            assert_eq!((container.sha256, container.files), (whole.sha256, whole.files.clone()));
        }
    }

    #[test]
    fn what_must_not_travel_is_refused_before_the_end() {
        let bytes = container(b"#!/bin/sh\nrm -rf /\n");
        let end = place(&bytes, b"rm -rf /\n") + 9;
        let mut reading = Reading::new(bytes.len() as u64);
        reading.push(&bytes[..end]);
        assert_eq!(reading.refused().unwrap().code(), Code::ForbiddenContent);
        assert!(reading.arrived().is_some(), "the envelope came before it");
        reading.push(&bytes[end..]);
        assert!(reading.finish().is_err());
    }

    #[test]
    fn a_changed_file_and_a_short_container_are_refused() {
        let mut bytes = container(b"%PDF-1.7 a letter");
        let short = bytes.len() - 5;
        let mut reading = Reading::new(bytes.len() as u64);
        reading.push(&bytes[..short]);
        assert!(reading.refused().is_none());
        assert_eq!(reading.finish().err().unwrap().code(), Code::ContainerProfile);
        let at = place(&bytes, b"a letter");
        bytes[at] = b'A';
        let mut reading = Reading::new(bytes.len() as u64);
        reading.push(&bytes[..at + 20]);
        assert_eq!(reading.refused().unwrap().code(), Code::ContainerProfile);
    }
}
