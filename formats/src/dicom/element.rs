//! One attribute after the other, PS3.5 §7: a flat walk over top-level elements that steps through sequences without keeping them.

use std::io::{self, Read};

use super::DicomError;

/// Nested sequences stepped through before the file is called hostile.
const MAX_DEPTH: u32 = 64;
/// Elements and items stepped over before the file is called hostile.
const MAX_ELEMENTS: usize = 200_000;
/// Longest value kept; longer ones are skipped, since no attribute read here comes near it.
const MAX_VALUE: u32 = 64 * 1024;
/// Last group looked at; what follows describes pixels, and then come the pixels.
const LAST_GROUP: u16 = 0x0020;
/// The length that means "until the delimiter".
const UNDEFINED: u32 = u32::MAX;

/// A top-level element with its value, empty for sequences and for values too long to keep.
pub(super) struct Element {
    pub(super) tag: (u16, u16),
    pub(super) value: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    ImplicitLittle,
    ExplicitLittle,
    ExplicitBig,
}

/// Walks the elements of one data set.
pub(super) struct Walker<R> {
    reader: R,
    encoding: Encoding,
    only_meta: bool,
    last_group: u16,
    pushed_back: Option<[u8; 4]>,
    steps: usize,
}

struct Start {
    tag: (u16, u16),
    length: u32,
    /// Whether the content, if its length is undefined, is written in implicit VR (PS3.5 §6.2.2 note on UN).
    unknown: bool,
}

impl<R: Read> Walker<R> {
    pub(super) fn file_meta(reader: R) -> Self {
        Self {
            only_meta: true,
            last_group: 0x0002,
            ..Self::explicit(reader)
        }
    }

    pub(super) fn explicit(reader: R) -> Self {
        Self {
            reader,
            encoding: Encoding::ExplicitLittle,
            only_meta: false,
            last_group: LAST_GROUP,
            pushed_back: None,
            steps: 0,
        }
    }

    pub(super) fn implicit(reader: R) -> Self {
        Self {
            encoding: Encoding::ImplicitLittle,
            ..Self::explicit(reader)
        }
    }

    pub(super) fn big_endian(reader: R) -> Self {
        Self {
            encoding: Encoding::ExplicitBig,
            ..Self::explicit(reader)
        }
    }

    /// The tag bytes read one too far at the end of the file meta information.
    pub(super) fn pushed_back(self) -> Option<[u8; 4]> {
        self.pushed_back
    }

    /// The next top-level element, `None` at the end of the data or behind the last group of interest.
    pub(super) fn next_element(&mut self) -> Result<Option<Element>, DicomError> {
        let Some(start) = self.start(self.encoding)? else {
            return Ok(None);
        };
        if start.tag.0 == 0xfffe {
            return Err(DicomError::Malformed("a delimiter outside a sequence"));
        }
        if start.tag.0 > self.last_group {
            return Ok(None);
        }
        if start.length == UNDEFINED {
            self.step_through(start.unknown)?;
            return Ok(Some(Element {
                tag: start.tag,
                value: Vec::new(),
            }));
        }
        let value = if start.length <= MAX_VALUE {
            let mut value = Vec::new();
            let got = (&mut self.reader)
                .take(u64::from(start.length))
                .read_to_end(&mut value)?;
            if got < usize::try_from(start.length).unwrap_or(usize::MAX) {
                return Err(DicomError::Truncated);
            }
            value
        } else {
            self.skip(start.length)?;
            Vec::new()
        };
        Ok(Some(Element { tag: start.tag, value }))
    }

    /// Steps through a sequence of undefined length to its delimiter, with a bit set for a stack: every level of undefined
    /// length ends with its own delimiter, and levels of known length are skipped whole. A set bit marks a level inside UN.
    fn step_through(&mut self, unknown: bool) -> Result<(), DicomError> {
        let mut levels = u64::from(unknown);
        let mut depth = 1;
        while depth > 0 {
            let encoding = if levels & 1 == 1 {
                Encoding::ImplicitLittle
            } else {
                self.encoding
            };
            let start = self.start(encoding)?.ok_or(DicomError::Truncated)?;
            match start.tag {
                (0xfffe, 0xe00d | 0xe0dd) => {
                    levels >>= 1;
                    depth -= 1;
                }
                _ if start.length == UNDEFINED => {
                    levels = levels << 1 | u64::from(start.unknown) | levels & 1;
                    depth += 1;
                    if depth > MAX_DEPTH {
                        return Err(DicomError::Excessive("depth of sequences"));
                    }
                }
                _ => self.skip(start.length)?,
            }
        }
        Ok(())
    }

    fn start(&mut self, encoding: Encoding) -> Result<Option<Start>, DicomError> {
        self.steps += 1;
        if self.steps > MAX_ELEMENTS {
            return Err(DicomError::Excessive("number of elements"));
        }
        let mut bytes = [0; 4];
        if !self.read_or_end(&mut bytes)? {
            return Ok(None);
        }
        let [a, b, c, d] = bytes;
        let tag = match encoding {
            Encoding::ExplicitBig => (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])),
            _ => (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])),
        };
        if self.only_meta && tag.0 != 0x0002 {
            self.pushed_back = Some(bytes);
            return Ok(None);
        }
        // Items and delimiters have no VR in any encoding (PS3.5 §7.5).
        if encoding == Encoding::ImplicitLittle || tag.0 == 0xfffe {
            let length = self.u32(encoding)?;
            return Ok(Some(Start {
                tag,
                length,
                unknown: false,
            }));
        }
        let mut vr = [0; 2];
        self.exact(&mut vr)?;
        if !vr.iter().all(u8::is_ascii_uppercase) {
            return Err(DicomError::Malformed("a value representation that is none"));
        }
        let length = match &vr {
            b"OB" | b"OD" | b"OF" | b"OL" | b"OV" | b"OW" | b"SQ" | b"SV" | b"UC" | b"UN" | b"UR" | b"UT" | b"UV" => {
                self.exact(&mut [0; 2])?;
                self.u32(encoding)?
            }
            _ => u32::from(self.u16(encoding)?),
        };
        Ok(Some(Start {
            tag,
            length,
            unknown: &vr == b"UN",
        }))
    }

    fn skip(&mut self, length: u32) -> Result<(), DicomError> {
        let skipped = io::copy(&mut (&mut self.reader).take(u64::from(length)), &mut io::sink())?;
        if skipped < u64::from(length) {
            Err(DicomError::Truncated)
        } else {
            Ok(())
        }
    }

    fn u16(&mut self, encoding: Encoding) -> Result<u16, DicomError> {
        let mut bytes = [0; 2];
        self.exact(&mut bytes)?;
        Ok(if encoding == Encoding::ExplicitBig {
            u16::from_be_bytes(bytes)
        } else {
            u16::from_le_bytes(bytes)
        })
    }

    fn u32(&mut self, encoding: Encoding) -> Result<u32, DicomError> {
        let mut bytes = [0; 4];
        self.exact(&mut bytes)?;
        Ok(if encoding == Encoding::ExplicitBig {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        })
    }

    fn exact(&mut self, bytes: &mut [u8]) -> Result<(), DicomError> {
        if self.read_or_end(bytes)? {
            Ok(())
        } else {
            Err(DicomError::Truncated)
        }
    }

    /// Fills `bytes`, or says `false` at a clean end.
    fn read_or_end(&mut self, bytes: &mut [u8]) -> Result<bool, DicomError> {
        let wanted = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let mut out = &mut *bytes;
        let got = io::copy(&mut (&mut self.reader).take(wanted), &mut out)?;
        match got {
            0 => Ok(false),
            got if got == wanted => Ok(true),
            _ => Err(DicomError::Truncated),
        }
    }
}
