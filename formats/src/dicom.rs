//! DICOM headers read by a bounded, iterative walker; the tree of study, series and instance.
//!
//! Reads what a relay and a clerk need to know of an image (DICOM PS3.10 file meta information and some twenty attributes of
//! PS3.3) and stops before the pixels. It never recurses, never allocates on a length field's word, and never looks at
//! more than [`MAX_HEADER_BYTES`]. Pixel data is none of its business.

mod element;
mod text;
mod tree;

use std::io::{self, Read};

use element::{Element, Walker};
pub use tree::{Series, Study, StudyTree};

/// Bytes of header looked at before the walker gives up.
pub const MAX_HEADER_BYTES: u64 = 16 * 1024 * 1024;

/// The attributes of one instance. `Debug` shows UIDs and modality only: the rest is the patient's.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Header {
    /// (0002,0010) Transfer Syntax UID
    pub transfer_syntax: String,
    /// (0008,0016) SOP Class UID
    pub sop_class: Option<String>,
    /// (0008,0018) SOP Instance UID
    pub sop_instance: Option<String>,
    /// (0008,0020) Study Date, `YYYYMMDD`
    pub study_date: Option<String>,
    /// (0008,0060) Modality
    pub modality: Option<String>,
    /// (0008,1030) Study Description
    pub study_description: Option<String>,
    /// (0008,103E) Series Description
    pub series_description: Option<String>,
    /// (0010,0010) Patient's Name: alphabetic, ideographic and phonetic group, separated by `=`
    pub patient_name: Option<String>,
    /// (0010,0020) Patient ID
    pub patient_id: Option<String>,
    /// (0010,0021) Issuer of Patient ID
    pub patient_id_issuer: Option<String>,
    /// (0010,0030) Patient's Birth Date, `YYYYMMDD`
    pub birth_date: Option<String>,
    /// (0010,0040) Patient's Sex
    pub sex: Option<String>,
    /// (0020,000D) Study Instance UID
    pub study: Option<String>,
    /// (0020,000E) Series Instance UID
    pub series: Option<String>,
    /// (0020,0013) Instance Number
    pub instance_number: Option<String>,
    /// What a reader should know: invalid UIDs, missing attributes, file meta that disagrees.
    pub warnings: Vec<String>,
}

impl std::fmt::Debug for Header {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Header")
            .field("transfer_syntax", &self.transfer_syntax)
            .field("modality", &self.modality)
            .field("study", &self.study)
            .field("series", &self.series)
            .field("sop_instance", &self.sop_instance)
            .finish_non_exhaustive()
    }
}

/// Why a file could not be read as DICOM.
#[derive(Debug, thiserror::Error)]
pub enum DicomError {
    /// No `DICM` after 128 bytes: not a DICOM file at all.
    #[error("not a DICOM file")]
    NotDicom,
    /// The file ends inside its header.
    #[error("the header is cut off")]
    Truncated,
    /// The header contradicts PS3.5 or PS3.10.
    #[error("malformed header: {0}")]
    Malformed(&'static str),
    /// Beyond a bound: depth, number of elements, or bytes.
    #[error("header beyond the bound on {0}")]
    Excessive(&'static str),
    /// The bytes could not be read.
    #[error("reading failed")]
    Io(#[from] io::Error),
}

/// What the file meta information says of the instance, and the bytes read one tag beyond it.
#[derive(Default)]
struct FileMeta {
    sop_class: Option<String>,
    sop_instance: Option<String>,
    first_tag: Option<[u8; 4]>,
}

/// Whether these first bytes (at least 132) are those of a DICOM file.
#[must_use]
pub fn is_dicom(head: &[u8]) -> bool {
    head.get(128..132) == Some(b"DICM")
}

impl Header {
    /// Reads the header from the start of a file.
    ///
    /// # Errors
    /// See [`DicomError`]. A DICOMDIR reads as a header without study and series.
    pub fn read(reader: impl Read) -> Result<Self, DicomError> {
        let mut reader = reader.take(MAX_HEADER_BYTES);
        let mut preamble = [0; 132];
        reader.read_exact(&mut preamble).map_err(|_| DicomError::NotDicom)?;
        if !is_dicom(&preamble) {
            return Err(DicomError::NotDicom);
        }
        let mut header = Self::default();
        let meta = header.read_meta(&mut reader)?;
        header.read_attributes(reader, meta.first_tag)?;
        header.examine(&meta);
        Ok(header)
    }

    /// File meta information, PS3.10 §7.1: group 0002, always explicit VR little endian.
    fn read_meta(&mut self, reader: &mut impl Read) -> Result<FileMeta, DicomError> {
        let mut meta = FileMeta::default();
        let mut walker = Walker::file_meta(reader);
        while let Some(element) = walker.next_element()? {
            match element.tag {
                (0x0002, 0x0002) => meta.sop_class = Some(text::plain(&element.value)),
                (0x0002, 0x0003) => meta.sop_instance = Some(text::plain(&element.value)),
                (0x0002, 0x0010) => self.transfer_syntax = text::plain(&element.value),
                _ => {}
            }
        }
        meta.first_tag = walker.pushed_back();
        if self.transfer_syntax.is_empty() {
            return Err(DicomError::Malformed("no transfer syntax"));
        }
        Ok(meta)
    }

    fn read_attributes(&mut self, reader: impl Read, first: Option<[u8; 4]>) -> Result<(), DicomError> {
        let Some(first) = first else {
            // A file that ends with its meta information describes nothing.
            return Err(DicomError::Truncated);
        };
        let rest = first.chain(reader);
        match self.transfer_syntax.as_str() {
            "1.2.840.10008.1.2" => self.walk(Walker::implicit(rest)),
            "1.2.840.10008.1.2.2" => self.walk(Walker::big_endian(rest)),
            "1.2.840.10008.1.2.1.99" => {
                let inflated = flate2::read::DeflateDecoder::new(Steady(rest)).take(MAX_HEADER_BYTES);
                self.walk(Walker::explicit(inflated)).map_err(|error| match error {
                    // What the inflater says is about the bytes, not about the disk.
                    DicomError::Io(error) if error.kind() == io::ErrorKind::InvalidInput => {
                        DicomError::Malformed("a deflated part that does not inflate")
                    }
                    DicomError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => DicomError::Truncated,
                    other => other,
                })
            }
            // Every other syntax, known or to come, encodes its attributes in explicit VR little endian (PS3.5 §10).
            _ => self.walk(Walker::explicit(rest)),
        }
    }

    fn walk<R: Read>(&mut self, mut walker: Walker<R>) -> Result<(), DicomError> {
        let mut charset = text::Charset::default();
        while let Some(element) = walker.next_element()? {
            if element.tag == (0x0008, 0x0005) {
                charset = text::Charset::parse(&text::plain(&element.value));
            } else {
                self.take(&element, &charset);
            }
        }
        Ok(())
    }

    fn take(&mut self, element: &Element, charset: &text::Charset) {
        let slot = match element.tag {
            (0x0008, 0x0016) => &mut self.sop_class,
            (0x0008, 0x0018) => &mut self.sop_instance,
            (0x0008, 0x0020) => &mut self.study_date,
            (0x0008, 0x0060) => &mut self.modality,
            (0x0008, 0x1030) => &mut self.study_description,
            (0x0008, 0x103e) => &mut self.series_description,
            (0x0010, 0x0010) => &mut self.patient_name,
            (0x0010, 0x0020) => &mut self.patient_id,
            (0x0010, 0x0021) => &mut self.patient_id_issuer,
            (0x0010, 0x0030) => &mut self.birth_date,
            (0x0010, 0x0040) => &mut self.sex,
            (0x0020, 0x000d) => &mut self.study,
            (0x0020, 0x000e) => &mut self.series,
            (0x0020, 0x0013) => &mut self.instance_number,
            _ => return,
        };
        // Absent groups of a person's name may leave their separators behind (PS3.5 §6.2.1.1).
        let name = element.tag == (0x0010, 0x0010);
        let value = charset.decode(&element.value);
        let value = if name {
            value.trim_end_matches('=').to_owned()
        } else {
            value
        };
        if !value.is_empty() {
            *slot = Some(value);
        }
    }

    fn examine(&mut self, meta: &FileMeta) {
        let mut warnings = Vec::new();
        for (name, value) in [
            ("SOP Class UID", &self.sop_class),
            ("SOP Instance UID", &self.sop_instance),
            ("Study Instance UID", &self.study),
            ("Series Instance UID", &self.series),
        ] {
            match value {
                None => warnings.push(format!("{name} is missing")),
                Some(uid) if !is_uid(uid) => warnings.push(format!("{name} is not a valid UID")),
                Some(_) => {}
            }
        }
        for (name, value) in [("Patient ID", &self.patient_id), ("Patient's Name", &self.patient_name)] {
            if value.is_none() {
                warnings.push(format!("{name} is missing"));
            }
        }
        let differs = |meta: &Option<String>, attribute: &Option<String>| matches!((meta, attribute), (Some(meta), Some(attribute)) if meta != attribute);
        if differs(&meta.sop_class, &self.sop_class) || differs(&meta.sop_instance, &self.sop_instance) {
            warnings.push("file meta information names another instance than the attributes".to_owned());
        }
        self.warnings = warnings;
    }
}

/// Gives few bytes at a time, always the same: where a deflate stream breaks off, what came before is lost as far as it was given
/// at once, and the answer must not depend on how a disk or a network cuts its reads.
struct Steady<R>(R);

impl<R: Read> Read for Steady<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(64) as u64;
        let mut rest = buffer;
        let given = io::copy(&mut (&mut self.0).take(wanted), &mut rest)?;
        Ok(usize::try_from(given).unwrap_or_default())
    }
}

/// PS3.5 §9.1: at most 64 characters, components of digits without leading zeros.
fn is_uid(text: &str) -> bool {
    text.len() <= 64
        && text.split('.').all(|component| {
            !component.is_empty()
                && component.bytes().all(|byte| byte.is_ascii_digit())
                && (component.len() == 1 || !component.starts_with('0'))
        })
}

#[cfg(test)]
mod tests;
