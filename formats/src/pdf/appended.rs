//! The bytes appended to a signed revision, looked at one after the other: nothing may stand there that its cross-reference
//! sections do not name. A reader that repairs files would find it all the same.

use std::collections::HashSet;

use super::PdfError;
use super::document::Document;
use super::object::Parser;
use super::xref::{self, Entry};

/// Whether everything from `start` to the end of the file belongs to the sections before `section`.
pub(super) fn is_accounted_for(document: &Document<'_>, start: usize, section: u16) -> Result<bool, PdfError> {
    let objects: HashSet<(u32, u32)> = document
        .rows_before(section)
        .filter_map(|row| match row.entry {
            Entry::Offset { offset, .. } => Some((offset, row.number)),
            _ => None,
        })
        .collect();
    let newer = document.sections.iter().take(usize::from(section));
    let sections: HashSet<usize> = newer.map(|section| section.offset).collect();
    let newest = document.newest();
    let mut parser = Parser::at(document.bytes, start);
    loop {
        parser.skip_space();
        let here = parser.position;
        if parser.rest().is_empty() {
            return Ok(true);
        }
        if parser.rest().starts_with(b"%%EOF") {
            parser.position += 5;
        } else if parser.keyword(b"xref") {
            xref::read_table(&mut parser, usize::MAX)?;
            parser.value()?;
            document.spend(parser.position.saturating_sub(here))?;
            if !sections.contains(&here) {
                return Ok(false);
            }
        } else if parser.keyword(b"startxref") {
            if parser.unsigned().is_none() {
                return Ok(false);
            }
        } else {
            let header = parser.object_header()?;
            let value = parser.value()?;
            // For each signature anew: there may be several.
            document.spend(parser.position.saturating_sub(here))?;
            let is_section = sections.contains(&here);
            let named = u32::try_from(here).is_ok_and(|here| objects.contains(&(here, header.number)));
            if !is_section && !named {
                return Ok(false);
            }
            parser.skip_space();
            if let Some(dictionary) = value.dictionary()
                && parser.rest().starts_with(b"stream")
            {
                xref::raw_stream(&mut parser, newest.stream_length(dictionary)?)?;
            }
            if !parser.keyword(b"endobj") {
                return Ok(false);
            }
        }
    }
}
