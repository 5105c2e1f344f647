//! ASiCManifest and ASiCArchiveManifest, ETSI EN 319 162-1 annexes A.4 and A.7: read as a stream of XML events with bounds on everything, and written.

mod grammar;
mod token;

use std::io::{BufRead as _, Cursor};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quick_xml::escape::escape;
use quick_xml::events::{BytesRef, Event};
use quick_xml::reader::NsReader;

use self::grammar::Grammar;
use self::token::Tokens;
use super::uri;
use super::{ArchiveManifest, FilePlan, MAX_ARCHIVES, MAX_SIGNATURES, Manifest, Reference};
use crate::digest::{DigestAlgorithm, MultiHasher};

/// Greatest size of a manifest in bytes.
pub const MAX_MANIFEST_SIZE: u64 = 48 * 1024 * 1024;
/// Greatest number of references: 100,000 files and the envelope.
pub const MAX_REFERENCES: usize = 100_001;

/// Greatest number of references of an archive manifest: the files, and what META-INF has.
pub const MAX_ARCHIVE_REFERENCES: usize = MAX_REFERENCES + 2 * MAX_ARCHIVES + 4 * MAX_SIGNATURES;

const ASIC: &str = "http://uri.etsi.org/02918/v1.2.1#";
const XMLDSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
/// Text and the markup after it. A reference is below 5 KiB even when all of its longest name is escaped.
const MAX_TOKEN: usize = 1024 * 1024;
const MAX_BINDINGS: usize = 32;

/// Why bytes are not an ASiCManifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// More than [`MAX_MANIFEST_SIZE`] or [`MAX_REFERENCES`], nested too deeply, or one part of it out of proportion.
    #[error("the manifest is larger or deeper than allowed")]
    TooLarge,
    /// A URI longer than a name may be.
    #[error("a name is longer than allowed")]
    NameTooLong,
    /// A document type declaration, whatever it says.
    #[error("the manifest has a DOCTYPE")]
    Doctype,
    /// Not well-formed XML 1.0 in UTF-8 with namespaces.
    #[error("the manifest is not well-formed XML in UTF-8")]
    NotXml,
    /// Well-formed, but not what the schema says.
    #[error("the manifest does not follow its schema: {0}")]
    Schema(&'static str),
    /// A digest algorithm other than SHA-256, SHA-384, SHA-512.
    #[error("the manifest uses a digest algorithm that is not accepted")]
    DigestAlgorithm,
    /// A URI with an invalid escape or invalid UTF-8.
    #[error("the manifest has a URI with an invalid escape")]
    Uri,
}

impl ManifestError {
    /// Stable word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge => "manifest_too_large",
            Self::NameTooLong => "name_too_long",
            Self::Doctype => "manifest_doctype",
            Self::NotXml => "manifest_not_xml",
            Self::Schema(_) => "manifest_schema",
            Self::DigestAlgorithm => "manifest_digest_algorithm",
            Self::Uri => "manifest_uri",
        }
    }
}

/// Writes the manifest of signature `number` over `files`, SHA-256 throughout.
#[must_use]
pub fn encode(number: u16, files: &[FilePlan]) -> Vec<u8> {
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\"?>\n<asic:ASiCManifest xmlns:asic=\"{ASIC}\" xmlns:ds=\"{XMLDSIG}\">\
         \n<asic:SigReference MimeType=\"application/x-pkcs7-signature\" URI=\"META-INF/signature{number:03}.p7s\"/>"
    );
    for file in files {
        xml.push_str("\n<asic:DataObjectReference URI=\"");
        xml.push_str(&escape(uri::encode(&file.path)));
        xml.push_str("\"><ds:DigestMethod Algorithm=\"");
        xml.push_str(DigestAlgorithm::Sha256.xml_uri());
        xml.push_str("\"/><ds:DigestValue>");
        xml.push_str(&STANDARD.encode(file.sha256));
        xml.push_str("</ds:DigestValue></asic:DataObjectReference>");
    }
    xml.push_str("\n</asic:ASiCManifest>\n");
    xml.into_bytes()
}

/// Writes the archive manifest that `token` stamps, annex A.7. `rootfile` is the archive manifest before it, one of the references.
pub(super) fn encode_archive(token: &str, references: &[Reference], rootfile: Option<&str>) -> Vec<u8> {
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\"?>\n<asic:ASiCManifest xmlns:asic=\"{ASIC}\" xmlns:ds=\"{XMLDSIG}\">\
         \n<asic:SigReference MimeType=\"application/vnd.etsi.timestamp-token\" URI=\"{}\"/>",
        escape(uri::encode(token))
    );
    for reference in references {
        xml.push_str("\n<asic:DataObjectReference URI=\"");
        xml.push_str(&escape(uri::encode(&reference.path)));
        if rootfile == Some(reference.path.as_str()) {
            xml.push_str("\" Rootfile=\"true");
        }
        xml.push_str("\"><ds:DigestMethod Algorithm=\"");
        xml.push_str(reference.algorithm.xml_uri());
        xml.push_str("\"/><ds:DigestValue>");
        xml.push_str(&STANDARD.encode(&reference.digest));
        xml.push_str("</ds:DigestValue></asic:DataObjectReference>");
    }
    xml.push_str("\n</asic:ASiCManifest>\n");
    xml.into_bytes()
}

/// Reads a manifest that is in memory already. `name` is its entry name.
///
/// # Errors
/// The first rule broken.
pub fn parse(name: &str, bytes: &[u8]) -> Result<Manifest, ManifestError> {
    let mut reader = ManifestReader::new(name);
    reader.push(bytes)?;
    reader.finish()
}

/// A manifest that is pushed in pieces of any size. Beside what it has understood it keeps one token, never the document.
#[derive(Clone)]
pub struct ManifestReader {
    name: String,
    digests: MultiHasher,
    /// Bytes taken, up to the token in which an error was noticed.
    taken: u64,
    tokens: Tokens,
    /// The token being collected: text, and the markup after it.
    token: Vec<u8>,
    /// Never asked for an event unless a whole token lies in it.
    xml: NsReader<Cursor<Vec<u8>>>,
    event: Vec<u8>,
    first: bool,
    grammar: Grammar,
}

impl ManifestReader {
    /// A reader that has seen nothing. `name` is the manifest's entry name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self::reading(name, MAX_REFERENCES)
    }

    /// As [`ManifestReader::new`], for an archive manifest. Its end is [`ManifestReader::finish_archive`].
    #[must_use]
    pub fn archive(name: &str) -> Self {
        Self::reading(name, MAX_ARCHIVE_REFERENCES)
    }

    fn reading(name: &str, most: usize) -> Self {
        let mut xml = NsReader::from_reader(Cursor::new(Vec::new()));
        xml.config_mut().check_comments = true;
        xml.resolver_mut().set_max_namespace_bindings(MAX_BINDINGS);
        Self {
            name: name.to_owned(),
            digests: MultiHasher::all(),
            taken: 0,
            tokens: Tokens::default(),
            token: Vec::new(),
            xml,
            event: Vec::new(),
            first: true,
            grammar: Grammar::new(most),
        }
    }

    /// Takes the next bytes. After an error it is of no further use.
    ///
    /// # Errors
    /// The first rule broken, the same however the bytes are cut.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), ManifestError> {
        while !bytes.is_empty() {
            let end = self.tokens.end(bytes);
            let (now, later) = bytes.split_at(end.unwrap_or(bytes.len()));
            bytes = later;
            let room = MAX_TOKEN.saturating_sub(self.token.len());
            self.taken += now.len().min(room) as u64;
            if now.len() > room || self.taken > MAX_MANIFEST_SIZE {
                return Err(ManifestError::TooLarge);
            }
            self.digests.update(now);
            self.token.extend_from_slice(now);
            if end.is_some() {
                self.read_token(false)?;
            }
        }
        Ok(())
    }

    /// How many bytes have been taken; after an error, up to the end of the token that is wrong.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// The manifest, after its last byte.
    ///
    /// # Errors
    /// The first rule broken.
    pub fn finish(mut self) -> Result<Manifest, ManifestError> {
        self.read_token(true)?;
        let (manifest, _) = self.grammar.finish(self.name, self.digests.finish())?;
        Ok(manifest)
    }

    /// The archive manifest, after its last byte. It has the schema of an ASiCManifest (annex A.7).
    ///
    /// # Errors
    /// The first rule broken.
    pub fn finish_archive(mut self) -> Result<ArchiveManifest, ManifestError> {
        self.read_token(true)?;
        let (manifest, mut roots) = self.grammar.finish(self.name, self.digests.finish())?;
        let previous = roots.pop();
        if !roots.is_empty() {
            return Err(ManifestError::Schema("two references are marked as Rootfile"));
        }
        Ok(ArchiveManifest {
            name: manifest.name,
            digests: manifest.digests,
            token: manifest.signature,
            references: manifest.references,
            previous,
        })
    }

    /// How many bytes are held back at the moment.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.token.len()
    }

    fn read_token(&mut self, last: bool) -> Result<(), ManifestError> {
        let text = std::str::from_utf8(&self.token).map_err(|_| ManifestError::NotXml)?;
        if text.contains(is_forbidden) {
            return Err(ManifestError::NotXml);
        }
        // `tokens` ends a declaration there; its own end does not matter any more.
        let broken = match text.get(text.len().saturating_sub(3)..) {
            Some("<!D") => ManifestError::Doctype,
            _ => ManifestError::NotXml,
        };
        let source = self.xml.get_mut();
        std::mem::swap(source.get_mut(), &mut self.token);
        source.set_position(0);
        self.token.clear();
        while last || !self.xml.get_mut().fill_buf().is_ok_and(<[u8]>::is_empty) {
            self.event.clear();
            let event = self.xml.read_event_into(&mut self.event);
            let names = self.xml.resolver();
            match event.map_err(|_| broken.clone())? {
                Event::Decl(declaration) => {
                    let utf8 = match declaration.encoding() {
                        None => true,
                        Some(encoding) => encoding.is_ok_and(|encoding| encoding.eq_ignore_ascii_case("utf-8")),
                    };
                    if !self.first || !utf8 || !declaration.version().is_ok_and(|version| version == "1.0") {
                        return Err(ManifestError::NotXml);
                    }
                }
                Event::DocType(_) => return Err(ManifestError::Doctype),
                Event::Comment(_) | Event::PI(_) => {}
                Event::Start(element) => self.grammar.open(&element, names)?,
                Event::Empty(element) => {
                    self.grammar.open(&element, names)?;
                    self.grammar.close()?;
                }
                Event::End(_) => self.grammar.close()?,
                Event::Text(text) => {
                    if text.contains("]]>") {
                        return Err(ManifestError::NotXml);
                    }
                    self.grammar.text(&text)?;
                }
                Event::CData(text) => self.grammar.text(&text)?,
                Event::GeneralRef(reference) => self.grammar.text(&resolved(&reference)?)?,
                // Where `tokens` and the XML reader disagree about an end, the reader wants more than there is.
                Event::Eof if last => return Ok(()),
                Event::Eof => return Err(ManifestError::NotXml),
            }
            self.first = false;
        }
        Ok(())
    }
}

/// A character reference, or one of the five entities every document has. There are no others without a DOCTYPE.
fn resolved(reference: &BytesRef<'_>) -> Result<String, ManifestError> {
    let character = match reference.resolve_char_ref().map_err(|_| ManifestError::NotXml)? {
        Some(character) => character.to_string(),
        None => quick_xml::escape::resolve_predefined_entity(reference)
            .ok_or(ManifestError::NotXml)?
            .to_owned(),
    };
    if character.contains(is_forbidden) {
        return Err(ManifestError::NotXml);
    }
    Ok(character)
}

/// Not a Char of XML 1.0 §2.2: may not stand in a document at all.
fn is_forbidden(c: char) -> bool {
    matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
#[path = "manifest/tests.rs"]
mod tests;
