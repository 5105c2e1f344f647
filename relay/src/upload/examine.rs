//! A complete upload is taken in as a container of the intake profile: one pass, in which each file's content is also looked at
//! for what must not travel.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use formats::asice::{Container, Intake, IntakeError, IntakeEvent, Limits};
use formats::content::{Hazard, Sniffer};

use crate::problem::{Code, Problem};

const BUFFER: usize = 256 * 1024;

/// Reads the container at `path`. Blocking: hashing takes its time.
///
/// # Errors
/// `container_profile`, `envelope_invalid`, `forbidden_content` naming the place, or what the disk says.
pub(crate) fn examine(path: &Path) -> Result<Container, Problem> {
    let mut file = File::open(path)?;
    let mut intake = Intake::new(Limits::default());
    let mut file_now: Option<(String, Sniffer)> = None;
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(intake.finish()?);
        }
        intake.push(&buffer[..read], &mut |event| look(event, &mut file_now))?;
    }
}

/// What passes is looked at while it passes.
fn look(event: IntakeEvent<'_>, file_now: &mut Option<(String, Sniffer)>) -> Result<(), Problem> {
    match event {
        IntakeEvent::FileStart { path, .. } => *file_now = Some((path.to_owned(), Sniffer::new(path))),
        IntakeEvent::FileBytes(bytes) => {
            if let Some((path, sniffer)) = file_now
                && let Some(hazard) = sniffer.push(bytes)
            {
                return Err(forbidden(path, hazard));
            }
        }
        IntakeEvent::FileEnd(_) => {
            if let Some((path, sniffer)) = file_now.take()
                && let Some(hazard) = sniffer.finish()
            {
                return Err(forbidden(&path, hazard));
            }
        }
        IntakeEvent::Manifest(_) | IntakeEvent::Signature(_) | IntakeEvent::Envelope(..) => {}
    }
    Ok(())
}

fn forbidden(path: &str, hazard: Hazard) -> Problem {
    Problem::new(Code::ForbiddenContent).finding(format!("{path}: {}", hazard.code()))
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
