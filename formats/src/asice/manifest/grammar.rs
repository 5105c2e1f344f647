//! The schema of an ASiCManifest, held to event by event: what may stand where, how often, and how long it may be.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quick_xml::XmlVersion;
use quick_xml::events::BytesStart;
use quick_xml::name::{NamespaceResolver, ResolveResult};

use super::super::names::MAX_NAME;
use super::super::{MAX_NAMES, Manifest, Reference, uri};
use super::{ASIC, ManifestError, XMLDSIG};
use crate::digest::{DigestAlgorithm, Digests};

const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";
const MAX_DEPTH: usize = 32;
const MAX_ATTRIBUTES: usize = 16;
/// RFC 6838 §4.2: two names of at most 127 characters and a slash.
const MAX_MIME_TYPE: usize = 255;

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

/// What has been read so far, and which elements are open.
#[derive(Clone)]
pub(super) struct Grammar {
    /// Most references.
    most: usize,
    open: Vec<Place>,
    done: bool,
    signature: Option<String>,
    references: Vec<Reference>,
    /// Length of all names together.
    names: usize,
    path: Option<(String, Option<String>)>,
    /// References marked `Rootfile="true"`.
    roots: Vec<String>,
    algorithm: Option<DigestAlgorithm>,
    digest: Option<String>,
}

impl Grammar {
    /// A grammar that has seen nothing and takes up to `most` references.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            open: Vec::new(),
            done: false,
            signature: None,
            references: Vec::new(),
            names: 0,
            path: None,
            roots: Vec::new(),
            algorithm: None,
            digest: None,
        }
    }

    pub(super) fn open(&mut self, element: &BytesStart<'_>, names: &NamespaceResolver) -> Result<(), ManifestError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(ManifestError::TooLarge);
        }
        let (namespace, local) = names.resolve_element(element.name());
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
        self.attributes(place, element, names)?;
        self.open.push(place);
        Ok(())
    }

    fn attributes(
        &mut self,
        place: Place,
        element: &BytesStart<'_>,
        names: &NamespaceResolver,
    ) -> Result<(), ManifestError> {
        let (mut uri, mut mime_type, mut root, mut algorithm) = (None, None, false, None);
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
            let (namespace, local) = names.resolve_attribute(attribute.key);
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
                    let name = uri::decode(&value).ok_or(ManifestError::Uri)?;
                    if name.len() > MAX_NAME {
                        return Err(ManifestError::NameTooLong);
                    }
                    uri = Some(name);
                }
                (Place::SigReference | Place::DataObjectReference, ResolveResult::Unbound, "MimeType") => {
                    if value.len() > MAX_MIME_TYPE {
                        return Err(ManifestError::TooLarge);
                    }
                    mime_type = Some(value.into_owned());
                }
                (Place::DataObjectReference, ResolveResult::Unbound, "Rootfile") => {
                    root = matches!(value.trim(), "true" | "1");
                }
                (Place::DigestMethod, ResolveResult::Unbound, "Algorithm") => {
                    algorithm = Some(DigestAlgorithm::from_xml_uri(&value).ok_or(ManifestError::DigestAlgorithm)?);
                }
                _ => return Err(ManifestError::Schema("an attribute is unknown")),
            }
        }
        let missing = ManifestError::Schema("an attribute is missing");
        match place {
            Place::SigReference => self.signature = Some(uri.ok_or(missing)?),
            Place::DataObjectReference => {
                let path = uri.ok_or(missing)?;
                // Two are one too many already; their number is an attacker's.
                if root && self.roots.len() < 2 {
                    self.roots.push(path.clone());
                }
                self.path = Some((path, mime_type));
            }
            Place::DigestMethod => self.algorithm = Some(algorithm.ok_or(missing)?),
            Place::DigestValue => self.digest = Some(String::new()),
            Place::Manifest | Place::Extension => {}
        }
        Ok(())
    }

    pub(super) fn text(&mut self, text: &str) -> Result<(), ManifestError> {
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

    pub(super) fn close(&mut self) -> Result<(), ManifestError> {
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
                self.names += path.len();
                if self.references.len() >= self.most || self.names > MAX_NAMES {
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

    /// The manifest, and what it marks `Rootfile="true"`.
    pub(super) fn finish(self, name: String, digests: Digests) -> Result<(Manifest, Vec<String>), ManifestError> {
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
        let manifest = Manifest {
            name,
            digests,
            signature,
            references,
        };
        Ok((manifest, self.roots))
    }
}
