//! Where a file lies inside a stored container. Intake has checked that central and local headers agree, that entries are
//! stored and contiguous, so that the central directory alone answers (APPNOTE 6.3.10 §4.3.12, §4.3.14–16).

use std::ops::Range;

use futures_util::TryStreamExt;

use crate::containers::Containers;
use crate::problem::{Code, Problem};

/// End record, its ZIP64 locator and record, and the longest comment of the intake profile.
const TAIL: u64 = 22 + 20 + 56 + 64;
/// A central directory of 100,000 files with 16 MiB of names has at most this many bytes.
const DIRECTORY: u64 = 32 << 20;
const LOCAL_HEADER: u64 = 30;
/// The signatures of a container, and the bytes of the largest.
const MAX_SMALL: usize = formats::asice::MAX_SIGNATURES;
const SMALL: u64 = 10 << 20;

/// The bytes of one entry.
///
/// # Errors
/// `not_found` for a path the container does not have; META-INF and `mimetype` are no files of the submission.
pub(super) async fn entry(containers: &Containers, name: &str, size: u64, path: &str) -> Result<Range<u64>, Problem> {
    if path == "mimetype" || path.starts_with("META-INF/") {
        return Err(Code::NotFound.into());
    }
    let directory = central_directory(containers, name, size).await?;
    let (local, length) = find(&directory, path.as_bytes()).ok_or(Code::NotFound)?;
    content(containers, name, size, local, length).await
}

/// The bytes of the entries below a folder whose names `wanted` accepts: signatures and manifests, few and small.
///
/// # Errors
/// `internal` for a container that is not as intake left it.
pub(crate) async fn entries_below(
    containers: &Containers,
    name: &str,
    size: u64,
    folder: &str,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<Vec<u8>>, Problem> {
    let directory = central_directory(containers, name, size).await?;
    let mut found = Vec::new();
    let mut rest = directory.as_slice();
    while let Some((entry, local, length, after)) = next_entry(rest) {
        rest = after;
        let path = str::from_utf8(entry).unwrap_or_default();
        if path.starts_with(folder) && wanted(path) && found.len() < MAX_SMALL && length <= SMALL {
            let range = content(containers, name, size, local, length).await?;
            found.push(bytes(containers, name, range).await?);
        }
    }
    Ok(found)
}

async fn bytes(containers: &Containers, name: &str, range: Range<u64>) -> Result<Vec<u8>, Problem> {
    let opened = containers.open_range(name, Some(range)).await?;
    let parts: Vec<bytes::Bytes> = opened.stream.try_collect().await?;
    Ok(parts.concat())
}

async fn central_directory(containers: &Containers, name: &str, size: u64) -> Result<Vec<u8>, Problem> {
    let tail = bytes(containers, name, size.saturating_sub(TAIL)..size).await?;
    let directory = directory(&tail).filter(|range| range.end <= size && range.end - range.start <= DIRECTORY);
    bytes(containers, name, directory.ok_or_else(damaged)?).await
}

/// Where the content lies whose local header begins at `local`.
async fn content(
    containers: &Containers,
    name: &str,
    size: u64,
    local: u64,
    length: u64,
) -> Result<Range<u64>, Problem> {
    if local.checked_add(LOCAL_HEADER).is_none_or(|end| end > size) {
        return Err(damaged());
    }
    let header = bytes(containers, name, local..local + LOCAL_HEADER).await?;
    let (names, extra) = (u16_at(&header, 26), u16_at(&header, 28));
    let (Some(names), Some(extra)) = (names, extra) else {
        return Err(damaged());
    };
    let start = local + LOCAL_HEADER + u64::from(names) + u64::from(extra);
    match start.checked_add(length) {
        Some(end) if end <= size => Ok(start..end),
        _ => Err(damaged()),
    }
}

/// Where the central directory lies, from the end of the file.
fn directory(tail: &[u8]) -> Option<Range<u64>> {
    // The record whose comment ends with the file: a comment may hold what looks like another.
    let end = (0..tail.len()).rev().find(|at| {
        let record = tail.get(*at..).unwrap_or_default();
        let whole = u16_at(record, 20).is_some_and(|comment| record.len() == 22 + usize::from(comment));
        whole && record.starts_with(b"PK\x05\x06")
    })?;
    let record = tail.get(end..)?;
    let (mut size, mut start) = (u64::from(u32_at(record, 12)?), u64::from(u32_at(record, 16)?));
    let count = u16_at(record, 10)?;
    let locator = end
        .checked_sub(20)
        .and_then(|at| tail.get(at..end))
        .filter(|bytes| bytes.starts_with(b"PK\x06\x07"));
    if locator.is_some() && (size == u64::from(u32::MAX) || start == u64::from(u32::MAX) || count == u16::MAX) {
        let zip64 = tail
            .get(..end)?
            .windows(4)
            .rposition(|window| window == b"PK\x06\x06")?;
        let record = tail.get(zip64..)?;
        size = u64_at(record, 40)?;
        start = u64_at(record, 48)?;
    }
    Some(start..start.checked_add(size)?)
}

/// Offset of the local header, and the size, of the entry of this name.
fn find(mut directory: &[u8], name: &[u8]) -> Option<(u64, u64)> {
    while let Some((entry, local, length, rest)) = next_entry(directory) {
        if entry == name {
            return Some((local, length));
        }
        directory = rest;
    }
    None
}

/// Name, offset of the local header and size of the first entry, and what follows it.
fn next_entry(directory: &[u8]) -> Option<(&[u8], u64, u64, &[u8])> {
    if !directory.starts_with(b"PK\x01\x02") {
        return None;
    }
    let names = usize::from(u16_at(directory, 28)?);
    let extras = usize::from(u16_at(directory, 30)?);
    let comment = usize::from(u16_at(directory, 32)?);
    let name = directory.get(46..46 + names)?;
    let extra = directory.get(46 + names..46 + names + extras)?;
    let (local, length) = sizes(directory, extra)?;
    Some((name, local, length, directory.get(46 + names + extras + comment..)?))
}

/// APPNOTE §4.5.3: the ZIP64 field carries, in this order, those of size, compressed size and offset that do not fit.
fn sizes(header: &[u8], mut extra: &[u8]) -> Option<(u64, u64)> {
    let (compressed, size, offset) = (u32_at(header, 20)?, u32_at(header, 24)?, u32_at(header, 42)?);
    let mut wide: &[u8] = &[];
    while extra.len() >= 4 {
        let (id, length) = (u16_at(extra, 0)?, usize::from(u16_at(extra, 2)?));
        if id == 1 {
            wide = extra.get(4..4 + length)?;
        }
        extra = extra.get(4 + length..)?;
    }
    let mut next = |narrow: u32| {
        if narrow == u32::MAX {
            let value = u64_at(wide, 0)?;
            wide = wide.get(8..)?;
            Some(value)
        } else {
            Some(u64::from(narrow))
        }
    };
    let size = next(size)?;
    next(compressed)?;
    Some((next(offset)?, size))
}

fn damaged() -> Problem {
    Problem::internal(&"a stored container has lost its directory")
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
