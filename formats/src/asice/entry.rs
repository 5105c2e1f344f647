//! One entry of a file in the reading profile: its local header compared, its bytes streamed, inflated and checked.

use std::io::{self, Read};

use flate2::{Decompress, FlushDecompress, Status};

use super::directory::{Stop, shown, stop};
use super::zip::{self, Cursor, Header};

const BUFFER: usize = 64 * 1024;
const UNICODE_PATH: u16 = 0x7075;
const AES: u16 = 0x9901;
const STRONG_ENCRYPTION: u16 = 0x0017;

/// One entry as the central directory has it.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) folder: bool,
    /// Its extra fields have been looked at and dropped; its name is [`Entry::name`].
    pub(super) header: Header,
    pub(super) offset: u64,
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
        let agrees = local.name == self.name.as_bytes()
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
    // A small file gets a small buffer: a hundred thousand of them shall not cost gigabytes of zeros.
    let mut buffer = vec![0; usize::try_from(count).unwrap_or(BUFFER).min(BUFFER)];
    while count > 0 {
        let want = usize::try_from(count).unwrap_or(BUFFER).min(BUFFER);
        let chunk = buffer.get_mut(..want).unwrap_or_default();
        source.read_exact(chunk)?;
        sink(chunk)?;
        count -= want as u64;
    }
    Ok(())
}

/// At most three times 65,535 bytes: the lengths are 16-bit.
pub(super) fn read_more(reader: &mut impl Read, bytes: &mut Vec<u8>, count: usize) -> Result<(), Stop> {
    if reader.take(count as u64).read_to_end(bytes)? != count {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(())
}

pub(super) fn extras_are_harmless(header: &Header, at: &str) -> Result<(), Stop> {
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
