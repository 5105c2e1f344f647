//! CDA R2 letters: `{urn:hl7-org:v3}ClinicalDocument`, HS008 and HS032. No DTD, no entities, bounded depth, no style sheets.

use quick_xml::NsReader;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;

use super::{Letter, LetterError, LetterForm};

const NAMESPACE: &str = "urn:hl7-org:v3";
const SIGNATURES: &str = "http://www.w3.org/2000/09/xmldsig#";
/// XAdES, all versions.
const ADVANCED: &str = "http://uri.etsi.org/01903";
const XML_SIGNATURE: &str = "XML signature";
const ADVANCED_SIGNATURE: &str = "XML signature (XAdES)";
const MAX_DEPTH: usize = 128;
/// Longest text kept of one element.
const MAX_TEXT: usize = 4096;

pub(super) fn describe(bytes: &[u8]) -> Result<Option<Letter>, LetterError> {
    let malformed = |problem: &str| LetterError::Malformed {
        form: LetterForm::Cda,
        problem: problem.to_owned(),
    };
    let text = std::str::from_utf8(bytes).map_err(|_| malformed("not UTF-8"))?;
    let mut reader = NsReader::from_str(text);
    let mut letter = Letter::of(LetterForm::Cda);
    let mut path: Vec<String> = Vec::new();
    let mut words = String::new();
    // Elements of a signature around the letter (HL7J-CDA-002 allows an enveloping one) that are still open.
    let mut around = 0_usize;
    let mut described = false;
    loop {
        let (namespace, event) = reader
            .read_resolved_event()
            .map_err(|_| malformed("not well-formed XML"))?;
        let ours = namespace == ResolveResult::Bound(quick_xml::name::Namespace(NAMESPACE));
        let signature = namespace == ResolveResult::Bound(quick_xml::name::Namespace(SIGNATURES));
        match event {
            Event::DocType(_) => return Err(malformed("a document type declaration is not allowed")),
            Event::Start(start) => {
                let name = start.local_name().as_ref().to_owned();
                let begins = ours && name == "ClinicalDocument";
                if path.is_empty() && !begins && (around > 0 || signature && name == "Signature") {
                    around += 1;
                    letter.inner_signature = Some(XML_SIGNATURE);
                    if around > MAX_DEPTH {
                        return Err(malformed("nested too deep"));
                    }
                    continue;
                }
                if path.is_empty() && !begins {
                    return Ok(None); // some other XML: not a letter
                }
                if path.len() >= MAX_DEPTH {
                    return Err(malformed("nested too deep"));
                }
                note(&path, &name, &start, signature, &mut letter);
                path.push(name);
                words.clear();
            }
            Event::Empty(start) => {
                let name = start.local_name().as_ref().to_owned();
                if path.is_empty() && around > 0 {
                    continue;
                }
                if path.is_empty() {
                    return Ok(None);
                }
                note(&path, &name, &start, signature, &mut letter);
            }
            Event::Text(text) if words.len() < MAX_TEXT => {
                words.push_str(&text);
            }
            Event::End(_) if path.is_empty() => around = around.saturating_sub(1),
            Event::End(_) => {
                described = true;
                take_text(&path, words.trim(), &mut letter);
                path.pop();
                words.clear();
            }
            Event::Eof if path.is_empty() && around == 0 => break,
            Event::Eof => return Err(malformed("it ends in the middle")),
            _ => {}
        }
    }
    if !described {
        return Ok(None); // a signature around something else
    }
    if letter.inner_signature.is_some() && text.contains(ADVANCED) {
        letter.inner_signature = Some(ADVANCED_SIGNATURE);
    }
    if letter.type_code.is_none() {
        letter.warnings.push("ClinicalDocument/code is missing".to_owned());
    }
    if letter.date.is_none() {
        letter
            .warnings
            .push("ClinicalDocument/effectiveTime is missing".to_owned());
    }
    Ok(Some(letter))
}

/// A signature's namespace anywhere in the text, for XML that is not described: in UTF-16 too, whose ASCII is ASCII between zeros.
pub(super) fn signature_named_in(bytes: &[u8]) -> Option<&'static str> {
    let text: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != 0).collect();
    let names = |namespace: &str| {
        text.windows(namespace.len())
            .any(|window| window == namespace.as_bytes())
    };
    if names(ADVANCED) {
        Some(ADVANCED_SIGNATURE)
    } else {
        names(SIGNATURES).then_some(XML_SIGNATURE)
    }
}

/// What an element's attributes say.
fn note(path: &[String], name: &str, start: &BytesStart<'_>, signature: bool, letter: &mut Letter) {
    if signature && name == "Signature" {
        letter.inner_signature = Some(XML_SIGNATURE);
    }
    match (ends_with(path, &["ClinicalDocument"]) && path.len() == 1, name) {
        (true, "code") => letter.type_code = attribute(start, "code"),
        (true, "effectiveTime") => letter.date = attribute(start, "value"),
        _ => {}
    }
    if ends_with(path, &["recordTarget", "patientRole"]) && name == "id" && letter.patient.id.is_none() {
        letter.patient.id = attribute(start, "extension");
    }
    if ends_with(path, &["patientRole", "patient"]) {
        match name {
            "birthTime" => letter.patient.birth_date = attribute(start, "value"),
            "administrativeGenderCode" => letter.patient.sex = attribute(start, "code"),
            _ => {}
        }
    }
}

/// What an element's text says.
fn take_text(path: &[String], words: &str, letter: &mut Letter) {
    if words.is_empty() {
        return;
    }
    if path.len() == 2 && ends_with(path, &["title"]) {
        letter.title = Some(words.to_owned());
    } else if ends_with(path, &["patient", "name"])
        || ends_with(path, &["patient", "name", "family"])
        || ends_with(path, &["patient", "name", "given"])
    {
        let name = letter.patient.name.get_or_insert_default();
        if !name.is_empty() {
            name.push(' ');
        }
        name.push_str(words);
    } else if ends_with(path, &["representedCustodianOrganization", "name"])
        || ends_with(path, &["representedOrganization", "name"])
        || ends_with(path, &["receivedOrganization", "name"])
    {
        letter.institutions.push(words.to_owned());
    }
}

fn ends_with(path: &[String], names: &[&str]) -> bool {
    path.len() >= names.len()
        && path
            .iter()
            .rev()
            .zip(names.iter().rev())
            .all(|(have, want)| have == want)
}

fn attribute(start: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = start.try_get_attribute(name).ok()?;
    attribute.map(|attribute| attribute.value.into_owned())
}
