//! The ZIP records of an intake: how long each is, and what it must say.

use super::super::directory::shown;
use super::super::manifest::ManifestReader;
use super::super::zip::{self, Central, End, Header};
use super::super::{MAX_ALL_MANIFESTS, MAX_ALL_SIGNATURES, MIMETYPE, names};
use super::{Content, Failure, Intake, IntakeError, IntakeEvent, Kind, Passed, Stage};
use crate::digest::MultiHasher;

/// `mimetype=` and the media type.
const COMMENT_LEN: usize = 9 + MIMETYPE.len();

impl Intake {
    /// How long the pending record is, as far as its bytes tell. Wrong signatures and lengths end here, before they are read.
    pub(super) fn wanted(&self) -> Result<usize, IntakeError> {
        let Some(signature) = self.pending.get(..4) else {
            return Ok(4);
        };
        let signature = zip::Cursor(signature).u32().unwrap_or_default();
        let all_passed = self.expected.all_passed(self.passed.len());
        let fixed = match (&self.stage, signature) {
            (Stage::Local, zip::LOCAL) => zip::LOCAL_LEN,
            (Stage::Local, zip::CENTRAL) if all_passed => zip::CENTRAL_LEN,
            (Stage::Local, zip::CENTRAL) => {
                return Err(self.error(
                    "entry_missing",
                    "the central directory begins before every referenced file has come",
                ));
            }
            (Stage::Central { next }, zip::CENTRAL) if *next < self.passed.len() => zip::CENTRAL_LEN,
            (Stage::Central { next }, zip::END64) if *next == self.passed.len() => zip::END64_LEN,
            (Stage::Central { next }, zip::END) if *next == self.passed.len() => zip::END_LEN,
            (Stage::Locator { .. }, zip::LOCATOR) => zip::LOCATOR_LEN,
            (Stage::End { .. }, zip::END) => zip::END_LEN,
            _ => return Err(self.error("unexpected_record", "other bytes stand where a ZIP record must begin")),
        };
        if self.pending.len() < fixed {
            return Ok(fixed);
        }
        let malformed = || self.error("header_malformed", "a ZIP header is malformed");
        let variable = match signature {
            zip::LOCAL => {
                let (name, extra) = zip::local_lengths(&self.pending).ok_or_else(malformed)?;
                self.lengths_are_allowed(name, extra, 4 + 16, 0)?
            }
            zip::CENTRAL => {
                let (name, extra, comment) = zip::central_lengths(&self.pending).ok_or_else(malformed)?;
                self.lengths_are_allowed(name, extra, 4 + 24, comment)?
            }
            zip::END => {
                let length = self
                    .pending
                    .get(20..22)
                    .and_then(|bytes| zip::Cursor(bytes).u16())
                    .ok_or_else(malformed)?;
                match usize::from(length) {
                    length @ (0 | COMMENT_LEN) => length,
                    _ => return Err(self.error("comment", "the comment is neither empty nor the media type")),
                }
            }
            _ => 0,
        };
        Ok(fixed + variable)
    }

    fn lengths_are_allowed(
        &self,
        name: usize,
        extra: usize,
        zip64: usize,
        comment: usize,
    ) -> Result<usize, IntakeError> {
        if name > names::MAX_NAME {
            return Err(self.error("name_too_long", "a name is longer than allowed"));
        }
        if extra > zip64 {
            return Err(self.error("extra_field", "an entry has an extra field other than ZIP64"));
        }
        if comment != 0 {
            return Err(self.error("comment", "an entry has a comment"));
        }
        Ok(name + extra)
    }

    /// A complete record.
    pub(super) fn record<E>(
        &mut self,
        on: &mut impl FnMut(IntakeEvent<'_>) -> Result<(), E>,
    ) -> Result<(), Failure<E>> {
        let bytes = std::mem::take(&mut self.pending);
        let start = self.position.saturating_sub(bytes.len() as u64);
        let malformed = self.error("header_malformed", "a ZIP header is malformed");
        match &self.stage {
            Stage::Local if bytes.starts_with(&zip::LOCAL.to_le_bytes()) => {
                let header = zip::parse_local(&bytes).ok_or(malformed)?;
                self.local(header, start, on)
            }
            Stage::Local => {
                self.central_offset = start;
                let central = zip::parse_central(&bytes).ok_or(malformed)?;
                Ok(self.central(&central, 0)?)
            }
            Stage::Central { next } if bytes.starts_with(&zip::CENTRAL.to_le_bytes()) => {
                let central = zip::parse_central(&bytes).ok_or(malformed)?;
                Ok(self.central(&central, *next)?)
            }
            Stage::Central { .. } if bytes.starts_with(&zip::END64.to_le_bytes()) => {
                let end = zip::parse_end64(&bytes).ok_or(malformed)?;
                self.central_end = start;
                if end != self.true_end() {
                    return Err(self
                        .error("end_records_disagree", "the ZIP64 end record is wrong")
                        .into());
                }
                self.stage = Stage::Locator { end64: start };
                Ok(())
            }
            Stage::Locator { end64 } => {
                if zip::parse_locator(&bytes) != Some(*end64) {
                    return Err(self.error("end_records_disagree", "the ZIP64 locator is wrong").into());
                }
                self.stage = Stage::End { zip64: true };
                Ok(())
            }
            stage => {
                let zip64 = matches!(stage, Stage::End { zip64: true });
                if !zip64 {
                    self.central_end = start;
                }
                let (end, comment) = zip::parse_end(&bytes).ok_or(malformed)?;
                if !zip::end_agrees(&end, &self.true_end(), zip64) {
                    return Err(self.error("end_records_disagree", "the end record is wrong").into());
                }
                if !comment.is_empty() && comment.strip_prefix(b"mimetype=") != Some(MIMETYPE) {
                    return Err(self
                        .error("comment", "the comment is neither empty nor the media type")
                        .into());
                }
                self.stage = Stage::Done;
                Ok(())
            }
        }
    }

    fn true_end(&self) -> End {
        End {
            disk: 0,
            central_disk: 0,
            entries_here: self.passed.len() as u64,
            entries: self.passed.len() as u64,
            central_size: self.central_end.saturating_sub(self.central_offset),
            central_offset: self.central_offset,
        }
    }

    fn local<E>(
        &mut self,
        header: Header,
        offset: u64,
        on: &mut impl FnMut(IntakeEvent<'_>) -> Result<(), E>,
    ) -> Result<(), Failure<E>> {
        let Ok(name) = std::str::from_utf8(&header.name) else {
            return Err(self.error("name_not_utf8", "a name is not UTF-8").into());
        };
        let at = shown(name);
        let position = self.position;
        let refuse = |code, why: &str| {
            Err(IntakeError {
                code,
                detail: format!("{why}: {at}"),
                position,
            }
            .into())
        };
        if header.flags & zip::FLAG_DESCRIPTOR != 0 {
            return refuse("data_descriptor", "sizes do not precede the data");
        }
        if header.flags & !zip::FLAG_UTF8 != 0 {
            return refuse("flags", "the entry is encrypted or needs another feature");
        }
        if header.flags & zip::FLAG_UTF8 == 0 && !name.is_ascii() {
            return refuse("name_without_utf8_flag", "the name is not marked as UTF-8");
        }
        if header.method != zip::STORED || header.compressed != header.size {
            return refuse("compressed", "the entry is not stored as it is");
        }
        if header.version_needed & 0xff > 45 {
            return refuse("flags", "the entry needs another feature");
        }
        if !header.other_extras.is_empty() || (header.zip64 && name == "mimetype") {
            return refuse("extra_field", "the entry has an extra field other than ZIP64");
        }
        if let Err(error) = names::check(name) {
            let code = if name.ends_with('/') {
                "folder_entry"
            } else {
                error.code()
            };
            return refuse(code, &error.to_string());
        }
        let Some(kind) = self.expected.next(name, &self.container.manifests) else {
            return refuse("unexpected_entry", "the entry is not the one that comes next");
        };
        if header.size > self.limit_of(kind) || (kind == Kind::Mimetype && header.size != MIMETYPE.len() as u64) {
            return refuse("entry_too_large", "the entry is not of allowed size");
        }
        let all = match kind {
            Kind::Manifest => Some((&mut self.manifests_size, MAX_ALL_MANIFESTS)),
            Kind::Signature => Some((&mut self.signatures_size, MAX_ALL_SIGNATURES)),
            _ => None,
        };
        if let Some((all, limit)) = all {
            *all = all.saturating_add(header.size);
            if *all > limit {
                return refuse(
                    "entry_too_large",
                    "with those before it the entry is not of allowed size",
                );
            }
        }
        if self.position.saturating_add(header.size) > self.limits.container {
            return refuse("container_too_large", "the container is larger than allowed");
        }
        let index = if let Kind::File(index) = kind { index } else { 0 };
        let references = self.expected.references(index, &self.container.manifests);
        let hasher = MultiHasher::new(references.map(|reference| reference.algorithm));
        if let Kind::File(index) = kind {
            let document = self.expected.document(index);
            on(IntakeEvent::FileStart {
                path: name,
                size: header.size,
                offset: self.position,
                document,
            })
            .map_err(Failure::Theirs)?;
        }
        let remaining = header.size;
        let content = Content {
            kind,
            remaining,
            crc32: crc32fast::Hasher::new(),
            hasher,
            whole: Vec::new(),
            manifest: (kind == Kind::Manifest).then(|| Box::new(ManifestReader::new(name))),
        };
        self.passed.push(Passed { header, offset });
        self.stage = Stage::Content(Box::new(content));
        if remaining == 0 { self.content(&[], on) } else { Ok(()) }
    }

    fn central(&mut self, central: &Central, next: usize) -> Result<(), IntakeError> {
        let Some(passed) = self.passed.get(next) else {
            return Err(self.error("headers_disagree", "the central directory has an entry that never came"));
        };
        let (now, then) = (&central.header, &passed.header);
        let agrees = central.offset == passed.offset
            && now.name == then.name
            && (now.flags, now.method, now.time, now.date) == (then.flags, then.method, then.time, then.date)
            && (now.crc32, now.compressed, now.size) == (then.crc32, then.compressed, then.size)
            && now.version_needed & 0xff <= 45
            && now.other_extras.is_empty()
            && central.disk == 0;
        if !agrees {
            let detail = format!(
                "the central directory disagrees: {}",
                shown(&String::from_utf8_lossy(&then.name))
            );
            return Err(self.error("headers_disagree", detail));
        }
        if !matches!(central.unix_type(), 0 | 0o100_000) {
            return Err(self.error("link_or_special_file", "an entry is a link or no ordinary file"));
        }
        self.stage = Stage::Central { next: next + 1 };
        Ok(())
    }
}
