//! The content of entries as it passes: handed on, hashed, held where it is needed whole, compared at its end.

use super::super::{FileEntry, MIMETYPE, SignatureFile};
use super::{Content, Failure, Intake, IntakeError, IntakeEvent, Kind, Stage};
use crate::digest::MultiHasher;
use crate::envelope::Envelope;

impl Intake {
    pub(super) fn content<E>(
        &mut self,
        bytes: &[u8],
        on: &mut impl FnMut(IntakeEvent<'_>) -> Result<(), E>,
    ) -> Result<(), Failure<E>> {
        let Stage::Content(content) = &mut self.stage else {
            return Ok(());
        };
        content.crc32.update(bytes);
        content.remaining = content.remaining.saturating_sub(bytes.len() as u64);
        if matches!(content.kind, Kind::File(_) | Kind::Envelope) {
            content.hasher.update(bytes);
        }
        if matches!(content.kind, Kind::File(_)) {
            if !bytes.is_empty() {
                on(IntakeEvent::FileBytes(bytes)).map_err(Failure::Theirs)?;
            }
        } else if let Some(manifest) = &mut content.manifest {
            if let Err(error) = manifest.push(bytes) {
                let size = self.passed.last().map_or(0, |passed| passed.header.size);
                let begin = self.position + content.remaining - size;
                // The token that is wrong, not the end of the piece it came with.
                self.position = begin + manifest.taken();
                return Err(self.error(error.code(), error.to_string()).into());
            }
        } else {
            content.whole.extend_from_slice(bytes);
        }
        if content.remaining == 0 {
            self.content_end(on)
        } else {
            Ok(())
        }
    }

    fn content_end<E>(&mut self, on: &mut impl FnMut(IntakeEvent<'_>) -> Result<(), E>) -> Result<(), Failure<E>> {
        let Stage::Content(content) = std::mem::replace(&mut self.stage, Stage::Local) else {
            return Ok(());
        };
        let Some(passed) = self.passed.last() else {
            return Ok(());
        };
        let name = String::from_utf8_lossy(&passed.header.name).into_owned();
        let (crc32, size) = (passed.header.crc32, passed.header.size);
        let Content {
            kind, whole, manifest, ..
        } = *content;
        if content.crc32.finalize() != crc32 {
            return Err(self.error("crc_mismatch", format!("the CRC is wrong: {name}")).into());
        }
        match kind {
            Kind::Mimetype => {
                if whole != MIMETYPE {
                    return Err(self.error("mimetype_wrong", "mimetype does not say ASiC-E").into());
                }
            }
            Kind::Manifest => {
                let Some(manifest) = manifest else { return Ok(()) };
                let manifest = manifest
                    .finish()
                    .map_err(|error| self.error(error.code(), error.to_string()))?;
                let taken = self
                    .expected
                    .manifest(&manifest, &self.container.manifests, &self.limits);
                taken.map_err(|(code, detail)| self.error(code, detail))?;
                on(IntakeEvent::Manifest(&manifest)).map_err(Failure::Theirs)?;
                self.container.manifests.push(manifest);
            }
            Kind::Signature => {
                on(IntakeEvent::Signature(&whole)).map_err(Failure::Theirs)?;
                self.container.signatures.push(SignatureFile {
                    name,
                    bytes: whole.into(),
                });
                self.expected.signature_passed();
            }
            Kind::Envelope => {
                let envelope =
                    Envelope::parse(&whole).map_err(|error| self.error("envelope_malformed", error.to_string()))?;
                let taken = self.expected.envelope(&envelope, &self.container.manifests);
                taken.map_err(|(code, detail)| self.error(code, detail))?;
                self.file_end(0, name, size, content.hasher)?;
                on(IntakeEvent::Envelope(&envelope, &whole)).map_err(Failure::Theirs)?;
                self.container.envelope = Some(envelope);
            }
            Kind::File(index) => {
                self.file_end(index, name, size, content.hasher)?;
                if let Some(file) = self.container.files.last() {
                    on(IntakeEvent::FileEnd(file)).map_err(Failure::Theirs)?;
                }
            }
        }
        Ok(())
    }

    /// Compares a file's digests with every manifest's.
    fn file_end(&mut self, index: usize, path: String, size: u64, hasher: MultiHasher) -> Result<(), IntakeError> {
        let digests = hasher.finish();
        let offset = Some(self.position.saturating_sub(size));
        let wrong = self
            .expected
            .references(index, &self.container.manifests)
            .any(|reference| digests.get(reference.algorithm) != Some(&reference.digest));
        let named = wrong.then(|| path.clone());
        // Entered even if it is wrong, so that a report on what has arrived can say which file it was.
        self.container.files.push(FileEntry {
            path,
            size,
            offset,
            digests,
        });
        if let Some(path) = named {
            return Err(self.error(
                "digest_mismatch",
                format!("the file is not the one that was signed: {path}"),
            ));
        }
        Ok(())
    }
}
