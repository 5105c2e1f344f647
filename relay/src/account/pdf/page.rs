//! Pages of text: titles, facts, tables, with page numbers. [ISO 32000-1](https://www.iso.org/standard/51502.html) §9.7.
//!
//! The font is not in the file: HeiseiKakuGo-W5 with the CMap UniJIS-UTF16-H, both named by the standard (§9.7.5.2, table 118),
//! stands for the Gothic face of whoever reads. So the file is small, and no font is handed on.

use std::mem;

use pdf_writer::types::{CidFontType, FontFlags, SystemInfo};
use pdf_writer::{Content, Finish as _, Name, Pdf, Rect, Ref, Str, TextStr};

/// A4, in points.
const WIDTH: f32 = 595.0;
const HEIGHT: f32 = 842.0;
const MARGIN: f32 = 56.0;
const TITLE: f32 = 18.0;
const HEADING: f32 = 11.0;
const TEXT: f32 = 9.0;
/// Where the values of facts begin.
const VALUES: f32 = MARGIN + 90.0;
/// Width of a column of figures.
const FIGURES: f32 = 70.0;

const FONT: Name<'static> = Name(b"F1");
const FACE: Name<'static> = Name(b"HeiseiKakuGo-W5");

/// On which side of its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Pages in the making.
pub(super) struct Pages {
    name: String,
    done: Vec<Content>,
    page: Content,
    /// Base line of what was written last.
    y: f32,
    columns: Vec<(String, Align)>,
}

impl Pages {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            done: Vec::new(),
            page: Content::new(),
            y: HEIGHT - MARGIN,
            columns: Vec::new(),
        }
    }

    pub(super) fn title(&mut self, text: &str) {
        self.down(TITLE);
        self.show(MARGIN, TITLE, text);
        self.down(8.0);
    }

    pub(super) fn heading(&mut self, text: &str) {
        self.columns.clear();
        // Not at the foot of a page, away from what it heads.
        self.room(60.0);
        self.down(24.0);
        self.show(MARGIN, HEADING, text);
        self.y -= 4.0;
        let y = self.y;
        self.page
            .set_line_width(0.6)
            .move_to(MARGIN, y)
            .line_to(WIDTH - MARGIN, y)
            .stroke();
    }

    /// A name and what it is, over several lines where it is long.
    pub(super) fn fact(&mut self, name: &str, value: &str) {
        for (number, line) in wrapped(value, WIDTH - MARGIN - VALUES, TEXT).into_iter().enumerate() {
            self.down(15.0);
            if number == 0 {
                self.show(MARGIN, TEXT, name);
            }
            self.show(VALUES, TEXT, &line);
        }
    }

    /// Small print.
    pub(super) fn note(&mut self, text: &str) {
        self.down(8.0);
        for line in wrapped(text, WIDTH - 2.0 * MARGIN, TEXT) {
            self.down(13.0);
            self.show(MARGIN, TEXT, &line);
        }
    }

    /// Begins a table: the first column takes what the others leave.
    pub(super) fn columns(&mut self, columns: &[(&str, Align)]) {
        self.columns = columns
            .iter()
            .map(|(name, align)| ((*name).to_owned(), *align))
            .collect();
        self.head();
    }

    fn head(&mut self) {
        let names: Vec<String> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        self.down(15.0);
        self.cells(&names);
    }

    pub(super) fn row(&mut self, cells: &[String]) {
        if self.room(15.0) {
            self.head();
        }
        self.down(14.0);
        self.cells(cells);
    }

    fn cells(&mut self, cells: &[String]) {
        let last = self.columns.len().saturating_sub(1);
        for (number, cell) in cells.iter().enumerate() {
            let right = self
                .columns
                .get(number)
                .is_some_and(|(_, align)| *align == Align::Right);
            // Columns of figures stand at the right edge, one after the other.
            let behind = last.saturating_sub(number);
            let end = WIDTH - MARGIN - FIGURES * f32::from(u16::try_from(behind).unwrap_or(u16::MAX));
            let (x, room) = if right {
                (end - width(cell, TEXT), FIGURES)
            } else {
                (MARGIN, end - MARGIN - FIGURES * 0.2)
            };
            let shown = wrapped(cell, room, TEXT).into_iter().next().unwrap_or_default();
            self.show(x, TEXT, &shown);
        }
    }

    /// Begins a new page if less than `height` is left; says whether it did.
    fn room(&mut self, height: f32) -> bool {
        let full = self.y - height < MARGIN + 10.0;
        if full {
            self.done.push(mem::replace(&mut self.page, Content::new()));
            self.y = HEIGHT - MARGIN;
        }
        full
    }

    fn down(&mut self, height: f32) {
        self.room(height);
        self.y -= height;
    }

    fn show(&mut self, x: f32, size: f32, text: &str) {
        let y = self.y;
        show(&mut self.page, (x, y), size, text);
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.done.push(mem::replace(&mut self.page, Content::new()));
        let mut pdf = Pdf::new();
        let mut next = 0;
        let mut new = || {
            next += 1;
            Ref::new(next)
        };
        let (catalog, tree, info, font) = (new(), new(), new(), new());
        let (face, descriptor) = (new(), new());
        let pages: Vec<(Ref, Ref)> = self.done.iter().map(|_| (new(), new())).collect();
        pdf.catalog(catalog).pages(tree).lang(TextStr("ja"));
        let count = i32::try_from(pages.len()).unwrap_or(i32::MAX);
        pdf.pages(tree).kids(pages.iter().map(|(page, _)| *page)).count(count);
        pdf.document_info(info)
            .title(TextStr(&self.name))
            .producer(TextStr("Hikyaku"));
        for (number, ((page, content), mut written)) in pages.into_iter().zip(self.done).enumerate() {
            let foot = format!("{} / {count}", number + 1);
            show(
                &mut written,
                (WIDTH - MARGIN - width(&foot, TEXT), MARGIN - 24.0),
                TEXT,
                &foot,
            );
            show(&mut written, (MARGIN, MARGIN - 24.0), TEXT, &self.name);
            let mut dictionary = pdf.page(page);
            dictionary
                .media_box(Rect::new(0.0, 0.0, WIDTH, HEIGHT))
                .parent(tree)
                .contents(content);
            dictionary.resources().fonts().pair(FONT, font);
            dictionary.finish();
            pdf.stream(content, &written.finish());
        }
        pdf.type0_font(font)
            .base_font(Name(b"HeiseiKakuGo-W5-UniJIS-UTF16-H"))
            .encoding_predefined(Name(b"UniJIS-UTF16-H"))
            .descendant_font(face);
        let japan = SystemInfo {
            registry: Str(b"Adobe"),
            ordering: Str(b"Japan1"),
            supplement: 4,
        };
        let mut cid = pdf.cid_font(face);
        cid.subtype(CidFontType::Type0)
            .base_font(FACE)
            .system_info(japan)
            .font_descriptor(descriptor);
        // Latin letters and katakana of half width: every Gothic face that stands in has them so.
        cid.default_width(1000.0)
            .widths()
            .same(1, 230, 500.0)
            .same(231, 632, 500.0);
        cid.finish();
        pdf.font_descriptor(descriptor)
            .name(FACE)
            .flags(FontFlags::SYMBOLIC)
            .bbox(Rect::new(-92.0, -250.0, 1010.0, 922.0))
            .italic_angle(0.0)
            .ascent(752.0)
            .descent(-221.0)
            .cap_height(737.0)
            .stem_v(114.0);
        pdf.finish()
    }
}

fn show(page: &mut Content, (x, y): (f32, f32), size: f32, text: &str) {
    let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    page.begin_text()
        .set_font(FONT, size)
        .next_line(x, y)
        .show(Str(&units))
        .end_text();
}

/// How wide a text is shown: half-width characters are half an em.
fn width(text: &str, size: f32) -> f32 {
    text.chars().map(|c| if half(c) { 0.5 } else { 1.0 }).sum::<f32>() * size
}

fn half(c: char) -> bool {
    matches!(c, ' '..='~' | '\u{ff61}'..='\u{ff9f}')
}

/// Lines no wider than `room`.
fn wrapped(text: &str, room: f32, size: f32) -> Vec<String> {
    let (mut lines, mut line, mut used) = (Vec::new(), String::new(), 0.0);
    for c in text.chars() {
        let wide = if half(c) { 0.5 } else { 1.0 } * size;
        if used + wide > room && !line.is_empty() {
            lines.push(mem::take(&mut line));
            used = 0.0;
        }
        line.push(c);
        used += wide;
    }
    lines.push(line);
    lines
}
