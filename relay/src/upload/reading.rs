//! What the passing bytes say: the container is read, and each file looked at for what must not travel, in the same pass that
//! writes them.
//!
//! Nothing but the bytes decides, so that after a restart the stored ones are pushed again and the reading stands where it was.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use formats::asice::{Container, Intake, IntakeError, IntakeEvent, Limits};
use formats::content::{Hazard, Sniffer};

use crate::problem::{Code, Problem};

const BUFFER: usize = 256 * 1024;

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

    /// Reads all of a stored container. Blocking.
    ///
    /// # Errors
    /// What is wrong with it, or what the disk says.
    pub(crate) fn whole(path: &Path) -> Result<Container, Problem> {
        let size = std::fs::metadata(path)?.len();
        let mut reading = Self::new(size);
        reading.catch_up(path, size)?;
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

    /// Takes from the file at `path` what it has not seen yet, up to `end`. Blocking.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn catch_up(&mut self, path: &Path, end: u64) -> io::Result<()> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(self.intake.position()))?;
        let mut buffer = vec![0; BUFFER];
        let mut rest = file.take(end.saturating_sub(self.intake.position()));
        while self.refused.is_none() {
            let read = rest.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            self.push(&buffer[..read]);
        }
        Ok(())
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
