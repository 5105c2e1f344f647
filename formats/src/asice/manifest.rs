//! ASiCManifest, ETSI EN 319 162-1 annex A.4: read as a stream of XML events with bounds on everything, and written.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quick_xml::XmlVersion;
use quick_xml::escape::escape;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;

use super::uri;
use super::{FilePlan, Manifest, Reference};
use crate::digest::{DigestAlgorithm, Digests};

/// Greatest size of a manifest in bytes.
pub const MAX_MANIFEST_SIZE: u64 = 48 * 1024 * 1024;
/// Greatest number of references: 100,000 files and the envelope.
pub const MAX_REFERENCES: usize = 100_001;

const ASIC: &str = "http://uri.etsi.org/02918/v1.2.1#";
const XMLDSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";
const MAX_DEPTH: usize = 32;
const MAX_ATTRIBUTES: usize = 16;
const MAX_BINDINGS: usize = 32;

/// Why bytes are not an ASiCManifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// More than [`MAX_MANIFEST_SIZE`] or [`MAX_REFERENCES`], or nested too deeply.
    #[error("the manifest is larger or deeper than allowed")]
    TooLarge,
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

/// Reads a manifest. `name` is its entry name.
///
/// # Errors
/// The first rule broken.
pub fn parse(name: &str, bytes: &[u8]) -> Result<Manifest, ManifestError> {
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_MANIFEST_SIZE {
        return Err(ManifestError::TooLarge);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| ManifestError::NotXml)?;
    // XML 1.0 §2.2: what may stand in a document at all.
    let forbidden =
        |c: char| matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}');
    if text.contains(forbidden) {
        return Err(ManifestError::NotXml);
    }
    let mut reader = NsReader::from_str(text);
    reader.config_mut().check_comments = true;
    reader.resolver_mut().set_max_namespace_bindings(MAX_BINDINGS);

    let mut grammar = Grammar::default();
    let mut first = true;
    loop {
        let event = reader.read_event().map_err(|_| ManifestError::NotXml)?;
        match event {
            Event::Decl(declaration) => {
                let utf8 = match declaration.encoding() {
                    None => true,
                    Some(encoding) => encoding.is_ok_and(|encoding| encoding.eq_ignore_ascii_case("utf-8")),
                };
                if !first || !utf8 || !declaration.version().is_ok_and(|version| version == "1.0") {
                    return Err(ManifestError::NotXml);
                }
            }
            Event::DocType(_) => return Err(ManifestError::Doctype),
            Event::Comment(_) | Event::PI(_) => {}
            Event::Start(element) => grammar.open(&element, &reader)?,
            Event::Empty(element) => {
                grammar.open(&element, &reader)?;
                grammar.close()?;
            }
            Event::End(_) => grammar.close()?,
            Event::Text(text) => {
                if text.contains("]]>") {
                    return Err(ManifestError::NotXml);
                }
                grammar.text(&text)?;
            }
            Event::CData(text) => grammar.text(&text)?,
            Event::GeneralRef(reference) => {
                let character = match reference.resolve_char_ref().map_err(|_| ManifestError::NotXml)? {
                    Some(character) => character.to_string(),
                    None => quick_xml::escape::resolve_predefined_entity(&reference)
                        .ok_or(ManifestError::NotXml)?
                        .to_owned(),
                };
                if character.contains(forbidden) {
                    return Err(ManifestError::NotXml);
                }
                grammar.text(&character)?;
            }
            Event::Eof => break,
        }
        first = false;
    }
    grammar.finish(name, bytes)
}

/// Where in the schema the reader stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Manifest,
    SigReference,
    DataObjectReference,
    DigestMethod,
    DigestValue,
    /// Below something this house has no use for; open elements are counted.
    Extension,
}

#[derive(Default)]
struct Grammar {
    open: Vec<Place>,
    done: bool,
    signature: Option<String>,
    references: Vec<Reference>,
    path: Option<(String, Option<String>)>,
    algorithm: Option<DigestAlgorithm>,
    digest: Option<String>,
}

impl Grammar {
    fn open(&mut self, element: &BytesStart<'_>, reader: &NsReader<&[u8]>) -> Result<(), ManifestError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(ManifestError::TooLarge);
        }
        let (namespace, local) = reader.resolver().resolve_element(element.name());
        let namespace = match namespace {
            ResolveResult::Bound(namespace) => namespace.into_inner(),
            ResolveResult::Unbound => "",
            ResolveResult::Unknown(_) => return Err(ManifestError::NotXml),
        };
        let place = match (self.open.last(), namespace, local.into_inner()) {
            (None, ASIC, "ASiCManifest") if !self.done => Place::Manifest,
            (Some(Place::Manifest), ASIC, "SigReference") if self.signature.is_none() => Place::SigReference,
            (Some(Place::Manifest), ASIC, "DataObjectReference") if self.signature.is_some() => {
                Place::DataObjectReference
            }
            (Some(Place::DataObjectReference), XMLDSIG, "DigestMethod") if self.algorithm.is_none() => {
                Place::DigestMethod
            }
            (Some(Place::DataObjectReference), XMLDSIG, "DigestValue")
                if self.algorithm.is_some() && self.digest.is_none() =>
            {
                Place::DigestValue
            }
            (Some(Place::Manifest), ASIC, "ASiCManifestExtensions") if !self.references.is_empty() => Place::Extension,
            (Some(Place::DataObjectReference), ASIC, "DataObjectReferenceExtensions") if self.digest.is_some() => {
                Place::Extension
            }
            (Some(Place::Extension), _, _) => Place::Extension,
            _ => return Err(ManifestError::Schema("an element is missing, unknown or out of place")),
        };
        self.attributes(place, element, reader)?;
        self.open.push(place);
        Ok(())
    }

    fn attributes(
        &mut self,
        place: Place,
        element: &BytesStart<'_>,
        reader: &NsReader<&[u8]>,
    ) -> Result<(), ManifestError> {
        let (mut uri, mut mime_type, mut algorithm) = (None, None, None);
        for (index, attribute) in element.attributes().enumerate() {
            let attribute = attribute.map_err(|_| ManifestError::NotXml)?;
            if index >= MAX_ATTRIBUTES {
                return Err(ManifestError::TooLarge);
            }
            let value = attribute
                .normalized_value(XmlVersion::Explicit1_0)
                .map_err(|_| ManifestError::NotXml)?;
            if attribute.value.contains('<') {
                return Err(ManifestError::NotXml);
            }
            if attribute.key.as_namespace_binding().is_some() {
                continue;
            }
            let (namespace, local) = reader.resolver().resolve_attribute(attribute.key);
            match (place, namespace, local.into_inner()) {
                (_, ResolveResult::Unknown(_), _) => return Err(ManifestError::NotXml),
                (_, ResolveResult::Bound(namespace), _) if namespace.into_inner() == XSI => {}
                (Place::Extension, ResolveResult::Unbound, "Critical")
                    if value.trim() != "false" && value.trim() != "0" =>
                {
                    return Err(ManifestError::Schema("an extension is critical"));
                }
                (Place::Extension, _, _) => {}
                (Place::SigReference | Place::DataObjectReference, ResolveResult::Unbound, "URI") => {
                    uri = Some(uri::decode(&value).ok_or(ManifestError::Uri)?);
                }
                (Place::SigReference | Place::DataObjectReference, ResolveResult::Unbound, "MimeType") => {
                    mime_type = Some(value.into_owned());
                }
                (Place::DataObjectReference, ResolveResult::Unbound, "Rootfile") => {}
                (Place::DigestMethod, ResolveResult::Unbound, "Algorithm") => {
                    algorithm = Some(DigestAlgorithm::from_xml_uri(&value).ok_or(ManifestError::DigestAlgorithm)?);
                }
                _ => return Err(ManifestError::Schema("an attribute is unknown")),
            }
        }
        let missing = ManifestError::Schema("an attribute is missing");
        match place {
            Place::SigReference => self.signature = Some(uri.ok_or(missing)?),
            Place::DataObjectReference => self.path = Some((uri.ok_or(missing)?, mime_type)),
            Place::DigestMethod => self.algorithm = Some(algorithm.ok_or(missing)?),
            Place::DigestValue => self.digest = Some(String::new()),
            Place::Manifest | Place::Extension => {}
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), ManifestError> {
        let white = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
        match (self.open.last(), &mut self.digest) {
            (Some(Place::DigestValue), Some(digest)) => {
                digest.extend(text.chars().filter(|c| !white(*c)));
                // 64 bytes are 88 characters of base64.
                if digest.len() > 88 {
                    Err(ManifestError::Schema("a digest value is too long"))
                } else {
                    Ok(())
                }
            }
            (Some(Place::Extension), _) => Ok(()),
            _ if text.chars().all(white) => Ok(()),
            (None, _) => Err(ManifestError::NotXml),
            _ => Err(ManifestError::Schema("text stands where none may")),
        }
    }

    fn close(&mut self) -> Result<(), ManifestError> {
        match self.open.pop() {
            Some(Place::Manifest) => self.done = true,
            Some(Place::DataObjectReference) => {
                let incomplete = ManifestError::Schema("a reference is incomplete");
                let (Some((path, mime_type)), Some(algorithm), Some(digest)) =
                    (self.path.take(), self.algorithm.take(), self.digest.take())
                else {
                    return Err(incomplete);
                };
                let digest = STANDARD
                    .decode(digest)
                    .map_err(|_| ManifestError::Schema("a digest value is not base64"))?;
                if digest.len() != algorithm.output_len() {
                    return Err(ManifestError::Schema("a digest value has the wrong length"));
                }
                if self.references.len() >= MAX_REFERENCES {
                    return Err(ManifestError::TooLarge);
                }
                self.references.push(Reference {
                    path,
                    mime_type,
                    algorithm,
                    digest,
                });
            }
            Some(_) => {}
            None => return Err(ManifestError::NotXml),
        }
        Ok(())
    }

    fn finish(self, name: &str, bytes: &[u8]) -> Result<Manifest, ManifestError> {
        if !self.done || !self.open.is_empty() {
            return Err(ManifestError::NotXml);
        }
        let Some(signature) = self.signature else {
            return Err(ManifestError::Schema("SigReference is missing"));
        };
        if self.references.is_empty() {
            return Err(ManifestError::Schema("it has no reference"));
        }
        let references = self.references;
        Ok(Manifest {
            name: name.to_owned(),
            digests: Digests::of(bytes),
            signature,
            references,
        })
    }
}

#[cfg(test)]
#[path = "manifest/tests.rs"]
mod tests;
