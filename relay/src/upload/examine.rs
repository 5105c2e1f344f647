//! A complete upload is read as a container of the intake profile, and each file's content is looked at for what must not travel.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use formats::asice::{Container, FileEntry, Severity};
use formats::content::Sniffer;

use crate::problem::{Code, Problem};

const BUFFER: usize = 64 * 1024;

/// Reads the container at `path`. Blocking: hashing takes its time.
///
/// # Errors
/// `container_profile`, `envelope_invalid`, `forbidden_content` naming the place, or what the disk says.
pub(crate) fn examine(path: &Path) -> Result<Container, Problem> {
    let mut file = File::open(path)?;
    let container = Container::read(&mut file)?;
    if let Some(finding) = container
        .findings
        .iter()
        .find(|finding| finding.severity == Severity::Fatal)
    {
        let code = if finding.code.starts_with("envelope") {
            Code::EnvelopeInvalid
        } else {
            Code::ContainerProfile
        };
        return Err(Problem::new(code).finding(format!("{}: {}", finding.code, finding.detail)));
    }
    for entry in &container.files {
        content(&mut file, entry)?;
    }
    Ok(container)
}

fn content(file: &mut File, entry: &FileEntry) -> Result<(), Problem> {
    let Some(offset) = entry.offset else {
        return Err(Problem::new(Code::ContainerProfile).finding(format!("{} is compressed", entry.path)));
    };
    file.seek(SeekFrom::Start(offset))?;
    let mut left = entry.size;
    let mut sniffer = Sniffer::new(&entry.path);
    let mut buffer = vec![0; BUFFER];
    let mut hazard = None;
    while left > 0 && hazard.is_none() {
        let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = file.read(&mut buffer[..wanted])?;
        if read == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        hazard = sniffer.push(&buffer[..read]);
        left -= read as u64;
    }
    match hazard.or_else(|| sniffer.finish()) {
        None => Ok(()),
        Some(hazard) => Err(Problem::new(Code::ForbiddenContent).finding(format!("{}: {}", entry.path, hazard.code()))),
    }
}
