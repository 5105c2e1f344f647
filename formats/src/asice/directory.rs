//! The central directory of a file in the reading profile, from its end record to the last of its headers.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use super::entry::{Entry, extras_are_harmless, read_more};
use super::zip::{self, Central, End};
use super::{Finding, MAX_FILES, MAX_NAMES, Severity, names};

const BUFFER: usize = 64 * 1024;
/// Files, folders, META-INF.
const MAX_ENTRIES: u64 = 2 * MAX_FILES as u64;
/// All content together may be this many times the size of the container, and [`SLACK`] more. Texts and images compress less;
/// what ten megabytes may become is inflated and hashed in less than a second.
const MAX_RATIO: u64 = 20;
const SLACK: u64 = 128 * 1024 * 1024;
const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;
/// Deflate's two option bits, descriptor, UTF-8.
const KNOWN_FLAGS: u16 = 0b110 | zip::FLAG_DESCRIPTOR | zip::FLAG_UTF8;

/// Why reading stopped: the world, or the bytes.
#[derive(Debug)]
pub(super) enum Stop {
    Io(io::Error),
    Found(Finding),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        // Every read stays within the size the file had at first, so an early end means that a structure points beyond it.
        if error.kind() == io::ErrorKind::UnexpectedEof {
            Self::Found(fatal("truncated", "a structure ends beyond the end of the file"))
        } else {
            Self::Io(error)
        }
    }
}

pub(super) fn fatal(code: &'static str, detail: impl Into<String>) -> Finding {
    Finding {
        severity: Severity::Fatal,
        code: code.into(),
        detail: detail.into(),
    }
}

pub(super) fn warning(code: &'static str, detail: impl Into<String>) -> Finding {
    Finding {
        severity: Severity::Warning,
        code: code.into(),
        detail: detail.into(),
    }
}

pub(super) fn stop(code: &'static str, detail: impl Into<String>) -> Stop {
    Stop::Found(fatal(code, detail))
}

/// The central directory, in the order the entries lie in the file.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    pub(super) entries: Vec<Entry>,
    /// Where it begins: what lies before must belong to an entry.
    pub(super) offset: u64,
}

impl Directory {
    pub(super) fn read(reader: &mut (impl Read + Seek), size: u64, findings: &mut Vec<Finding>) -> Result<Self, Stop> {
        let end = end(reader, size)?;
        if end.entries > MAX_ENTRIES {
            return Err(stop("too_many_entries", "it has more entries than allowed"));
        }
        reader.seek(SeekFrom::Start(end.central_offset))?;
        let mut central = BufReader::with_capacity(BUFFER, reader.take(end.central_size));
        let mut seen = names::NameSet::default();
        let (mut entries, mut name_bytes, mut content) = (Vec::new(), 0, 0u64);
        for _ in 0..end.entries {
            let entry = entry(&next_central(&mut central)?, findings)?;
            let bare = entry.name.strip_suffix('/').unwrap_or(&entry.name);
            let inserted = if entry.folder {
                seen.insert_folder(bare)
            } else {
                seen.insert(bare)
            };
            inserted.map_err(|error| stop(error.code(), format!("{error}: {}", shown(&entry.name))))?;
            name_bytes += entry.name.len();
            content = content.saturating_add(entry.header.size);
            if name_bytes > MAX_NAMES {
                return Err(stop("too_many_names", "its names are longer than allowed"));
            }
            entries.push(entry);
        }
        if central.read(&mut [0])? != 0 {
            return Err(stop(
                "unclaimed_bytes",
                "the central directory is longer than its entries",
            ));
        }
        if content > size.saturating_mul(MAX_RATIO).saturating_add(SLACK) {
            return Err(stop(
                "inflates_too_much",
                "its content is out of proportion to its size",
            ));
        }
        entries.sort_by_key(|entry| entry.offset);
        Ok(Self {
            entries,
            offset: end.central_offset,
        })
    }
}

/// The true end record. There must be exactly one place for it.
fn end(reader: &mut (impl Read + Seek), size: u64) -> Result<End, Stop> {
    let tail_len = size.min((zip::END_LEN + usize::from(u16::MAX)) as u64);
    let tail_at = size - tail_len;
    reader.seek(SeekFrom::Start(tail_at))?;
    let mut tail = Vec::new();
    reader.take(tail_len).read_to_end(&mut tail)?;
    let signature = zip::END.to_le_bytes();
    let mut ends = (0..tail.len().saturating_sub(zip::END_LEN - 1)).filter_map(|at| {
        let bytes = tail.get(at..)?;
        let (end, _) = if bytes.starts_with(&signature) {
            zip::parse_end(bytes)?
        } else {
            return None;
        };
        Some((tail_at + at as u64, end))
    });
    let Some((at, short)) = ends.next() else {
        return Err(stop(
            "no_end_record",
            "it is not a ZIP file, or bytes follow its end record",
        ));
    };
    if ends.next().is_some() {
        return Err(stop("two_end_records", "two end records are possible"));
    }
    let (truth, end_at) = match end64(reader, at)? {
        Some((end_at, truth)) => {
            if !zip::end_agrees(&short, &truth, true) {
                return Err(stop("end_records_disagree", "end record and ZIP64 end record disagree"));
            }
            (truth, end_at)
        }
        None => (short, at),
    };
    if truth.disk != 0 || truth.central_disk != 0 || truth.entries_here != truth.entries {
        return Err(stop("several_disks", "it is one part of several"));
    }
    if truth.central_offset.checked_add(truth.central_size) != Some(end_at) {
        return Err(stop(
            "unclaimed_bytes",
            "the central directory does not end where the end record begins",
        ));
    }
    Ok(truth)
}

fn end64(reader: &mut (impl Read + Seek), end_at: u64) -> Result<Option<(u64, End)>, Stop> {
    let Some(locator_at) = end_at.checked_sub(zip::LOCATOR_LEN as u64) else {
        return Ok(None);
    };
    let mut locator = [0; zip::LOCATOR_LEN];
    reader.seek(SeekFrom::Start(locator_at))?;
    reader.read_exact(&mut locator)?;
    if !locator.starts_with(&zip::LOCATOR.to_le_bytes()) {
        return Ok(None);
    }
    let wrong = || {
        stop(
            "end_records_disagree",
            "the ZIP64 locator does not point at a ZIP64 end record before it",
        )
    };
    let at = zip::parse_locator(&locator).ok_or_else(wrong)?;
    if at.checked_add(zip::END64_LEN as u64) != Some(locator_at) {
        return Err(wrong());
    }
    let mut bytes = [0; zip::END64_LEN];
    reader.seek(SeekFrom::Start(at))?;
    reader.read_exact(&mut bytes)?;
    Ok(Some((at, zip::parse_end64(&bytes).ok_or_else(wrong)?)))
}

fn next_central(reader: &mut impl Read) -> Result<Central, Stop> {
    let malformed = || stop("central_header_malformed", "a central directory header is malformed");
    let mut bytes = vec![0; zip::CENTRAL_LEN];
    reader.read_exact(&mut bytes)?;
    let (name, extra, comment) = zip::central_lengths(&bytes).ok_or_else(malformed)?;
    read_more(reader, &mut bytes, name + extra + comment)?;
    zip::parse_central(&bytes).ok_or_else(malformed)
}

fn entry(central: &Central, findings: &mut Vec<Finding>) -> Result<Entry, Stop> {
    let mut header = central.header.clone();
    let Ok(name) = String::from_utf8(header.name.clone()) else {
        return Err(stop("name_not_utf8", "a name is not UTF-8"));
    };
    let at = shown(&name);
    let folder = name.ends_with('/');
    let bare = name.strip_suffix('/').unwrap_or(&name);
    names::check_read(bare).map_err(|error| stop(error.code(), format!("{error}: {at}")))?;
    let own_place = bare == "META-INF" || bare.starts_with("META-INF/");
    if names::is_reserved(bare) && !(own_place && (folder || bare != "META-INF")) && name != "mimetype" {
        return Err(stop("name_reserved", format!("the name is reserved: {at}")));
    }
    if header.flags & ENCRYPTED != 0 {
        return Err(stop("encrypted", format!("the entry is encrypted: {at}")));
    }
    if header.flags & !KNOWN_FLAGS != 0 || header.version_needed & 0xff > 45 {
        return Err(stop(
            "unsupported_feature",
            format!("the entry needs a feature that is not read: {at}"),
        ));
    }
    if !name.is_ascii() && header.flags & zip::FLAG_UTF8 == 0 {
        findings.push(warning(
            "name_without_utf8_flag",
            format!("the name is UTF-8 but not marked so: {at}"),
        ));
    }
    extras_are_harmless(&header, &at)?;
    let kind = central.unix_type();
    if kind != 0 && kind != if folder { 0o040_000 } else { 0o100_000 } {
        return Err(stop(
            "link_or_special_file",
            format!("the entry is a link or no ordinary file: {at}"),
        ));
    }
    if central.disk != 0 {
        return Err(stop("several_disks", "it is one part of several"));
    }
    match header.method {
        zip::STORED if header.compressed != header.size => {
            return Err(stop("sizes_disagree", format!("a stored entry has two sizes: {at}")));
        }
        zip::STORED | zip::DEFLATED => {}
        _ => {
            return Err(stop(
                "unsupported_compression",
                format!("neither stored nor deflated: {at}"),
            ));
        }
    }
    if folder && header.size != 0 {
        return Err(stop("folder_with_content", format!("a folder has content: {at}")));
    }
    // Kept as `name`, and looked at: of a hundred thousand entries nothing is held twice.
    header.name = Vec::new();
    header.other_extras = Vec::new();
    Ok(Entry {
        name,
        folder,
        header,
        offset: central.offset,
    })
}

/// A name fit for a message.
pub(super) fn shown(name: &str) -> String {
    name.escape_debug().to_string()
}
