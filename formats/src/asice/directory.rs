//! The central directory of a file in the reading profile, and one entry's bytes read through it.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use flate2::{Decompress, FlushDecompress, Status};

use super::zip::{self, Central, Cursor, End, Header};
use super::{Finding, MAX_FILES, MAX_NAMES, Severity, names};

const BUFFER: usize = 64 * 1024;
/// Files, folders, META-INF.
const MAX_ENTRIES: u64 = 2 * MAX_FILES as u64;
/// All content together may be this many times the size of the container, and [`SLACK`] more.
const MAX_RATIO: u64 = 200;
const SLACK: u64 = 64 * 1024 * 1024;
const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;
/// Deflate's two option bits, descriptor, UTF-8.
const KNOWN_FLAGS: u16 = 0b110 | zip::FLAG_DESCRIPTOR | zip::FLAG_UTF8;
const UNICODE_PATH: u16 = 0x7075;
const AES: u16 = 0x9901;
const STRONG_ENCRYPTION: u16 = 0x0017;

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
        code,
        detail: detail.into(),
    }
}

pub(super) fn warning(code: &'static str, detail: impl Into<String>) -> Finding {
    Finding {
        severity: Severity::Warning,
        code,
        detail: detail.into(),
    }
}

fn stop(code: &'static str, detail: impl Into<String>) -> Stop {
    Stop::Found(fatal(code, detail))
}

/// One entry as the central directory has it.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) folder: bool,
    /// Its extra fields have been looked at and dropped.
    pub(super) header: Header,
    pub(super) offset: u64,
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

/// At most three times 65,535 bytes: the lengths are 16-bit.
fn read_more(reader: &mut impl Read, bytes: &mut Vec<u8>, count: usize) -> Result<(), Stop> {
    if reader.take(count as u64).read_to_end(bytes)? != count {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(())
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
    header.other_extras.clear();
    Ok(Entry {
        name,
        folder,
        header,
        offset: central.offset,
    })
}

fn extras_are_harmless(header: &Header, at: &str) -> Result<(), Stop> {
    for (id, field) in &header.other_extras {
        match *id {
            AES | STRONG_ENCRYPTION => return Err(stop("encrypted", format!("the entry is encrypted: {at}"))),
            // A second name must not differ from the first.
            UNICODE_PATH if field.get(5..) != Some(&header.name) => {
                return Err(stop("two_names", format!("the entry has a second name: {at}")));
            }
            _ => {}
        }
    }
    Ok(())
}

impl Entry {
    /// Reads the entry from its local header to the end of its data; `source` stands at the local header.
    /// Returns the position of the data relative to the local header. Sizes and CRC have been compared on success.
    pub(super) fn stream(
        &self,
        source: &mut impl Read,
        mut sink: impl FnMut(&[u8]) -> Result<(), Stop>,
    ) -> Result<u64, Stop> {
        let at = shown(&self.name);
        let mut local = vec![0; zip::LOCAL_LEN];
        source.read_exact(&mut local)?;
        let malformed = || {
            stop(
                "local_header_malformed",
                format!("the local header is malformed: {}", shown(&self.name)),
            )
        };
        if !local.starts_with(&zip::LOCAL.to_le_bytes()) {
            return Err(malformed());
        }
        let (name, extra) = zip::local_lengths(&local).ok_or_else(malformed)?;
        read_more(source, &mut local, name + extra)?;
        let header = zip::parse_local(&local).ok_or_else(malformed)?;
        self.agrees_with(&header)?;

        let mut crc32 = crc32fast::Hasher::new();
        let mut size = 0u64;
        let mut counted = |bytes: &[u8]| {
            size += bytes.len() as u64;
            if size > self.header.size {
                return Err(stop(
                    "sizes_disagree",
                    format!("there is more content than declared: {at}"),
                ));
            }
            crc32.update(bytes);
            sink(bytes)
        };
        if self.header.method == zip::STORED {
            copy(source, self.header.compressed, &mut counted)?;
        } else {
            self.inflate(source, &mut counted)?;
        }
        if size != self.header.size {
            return Err(stop(
                "sizes_disagree",
                format!("there is less content than declared: {at}"),
            ));
        }
        if crc32.finalize() != self.header.crc32 {
            return Err(stop("crc_mismatch", format!("the CRC is wrong: {at}")));
        }
        Ok(local.len() as u64)
    }

    fn agrees_with(&self, local: &Header) -> Result<(), Stop> {
        let (central, at) = (&self.header, shown(&self.name));
        extras_are_harmless(local, &at)?;
        let sums = |header: &Header| (header.crc32, header.compressed, header.size);
        let later = central.flags & zip::FLAG_DESCRIPTOR != 0;
        let agrees = local.name == central.name
            && (local.flags, local.method, local.time, local.date)
                == (central.flags, central.method, central.time, central.date)
            && (sums(local) == sums(central) || (later && sums(local) == (0, 0, 0)));
        if agrees {
            Ok(())
        } else {
            Err(stop(
                "headers_disagree",
                format!("local and central header disagree: {at}"),
            ))
        }
    }

    fn inflate(&self, source: &mut impl Read, sink: &mut impl FnMut(&[u8]) -> Result<(), Stop>) -> Result<(), Stop> {
        let broken = || {
            stop(
                "deflate_broken",
                format!("the compressed content is broken: {}", shown(&self.name)),
            )
        };
        let mut inflate = Decompress::new(false);
        let mut output = vec![0; BUFFER];
        let mut ended = false;
        copy(source, self.header.compressed, &mut |mut input: &[u8]| {
            while !input.is_empty() || !ended {
                if ended {
                    // Bytes after the end of the deflate stream belong to nothing.
                    return Err(broken());
                }
                let (read, written) = (inflate.total_in(), inflate.total_out());
                let status = inflate
                    .decompress(input, &mut output, FlushDecompress::None)
                    .map_err(|_| broken())?;
                let read = usize::try_from(inflate.total_in() - read).map_err(|_| broken())?;
                let written = usize::try_from(inflate.total_out() - written).map_err(|_| broken())?;
                input = input.get(read..).unwrap_or_default();
                sink(output.get(..written).unwrap_or_default())?;
                ended = status == Status::StreamEnd;
                if read == 0 && written == 0 && !ended {
                    if input.is_empty() { break } else { return Err(broken()) }
                }
            }
            Ok(())
        })?;
        if ended { Ok(()) } else { Err(broken()) }
    }

    /// Reads what lies between the data and the next structure: a data descriptor where the entry has one, else nothing.
    pub(super) fn descriptor(&self, source: &mut impl Read, gap: u64) -> Result<(), Stop> {
        let unclaimed = || {
            stop(
                "unclaimed_bytes",
                format!("bytes follow the entry and belong to nothing: {}", shown(&self.name)),
            )
        };
        if self.header.flags & zip::FLAG_DESCRIPTOR == 0 {
            return if gap == 0 { Ok(()) } else { Err(unclaimed()) };
        }
        if !matches!(gap, 12 | 16 | 20 | 24) {
            return Err(unclaimed());
        }
        let mut bytes = Vec::new();
        source.take(gap).read_to_end(&mut bytes)?;
        let mut cursor = Cursor(&bytes);
        let header = &self.header;
        let wide = gap >= 20;
        let signed = matches!(gap, 16 | 24);
        let mut read = || {
            let signature = !signed || cursor.u32()? == zip::DESCRIPTOR;
            let crc32 = cursor.u32()?;
            let mut size = || {
                if wide {
                    cursor.u64()
                } else {
                    cursor.u32().map(u64::from)
                }
            };
            Some(signature && (crc32, size()?, size()?) == (header.crc32, header.compressed, header.size))
        };
        if read() == Some(true) {
            Ok(())
        } else {
            Err(stop(
                "headers_disagree",
                format!("the data descriptor disagrees: {}", shown(&self.name)),
            ))
        }
    }
}

fn copy(source: &mut impl Read, mut count: u64, sink: &mut impl FnMut(&[u8]) -> Result<(), Stop>) -> Result<(), Stop> {
    let mut buffer = vec![0; BUFFER];
    while count > 0 {
        let want = usize::try_from(count).unwrap_or(BUFFER).min(BUFFER);
        let chunk = buffer.get_mut(..want).unwrap_or_default();
        source.read_exact(chunk)?;
        sink(chunk)?;
        count -= want as u64;
    }
    Ok(())
}

/// A name fit for a message.
pub(super) fn shown(name: &str) -> String {
    name.escape_debug().to_string()
}
