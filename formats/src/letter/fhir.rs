//! FHIR letters: a document Bundle whose first entry is a Composition, HS038 and JP-CLINS in both namespaces of the field.

use serde_json::Value;

use super::{Letter, LetterError, LetterForm};

/// Objects in one letter, each some 700 bytes in memory.
const MAX_OBJECTS: usize = 32_768;
/// Further values in one letter.
const MAX_VALUES: usize = 262_144;
/// Institution code, year and local number, the rule of JP-CLINS for the identifier of a document.
const IDENTIFIER_RULE: &str = "institution code ^ year ^ local number";

pub(super) fn describe(bytes: &[u8]) -> Result<Option<Letter>, LetterError> {
    let malformed = |problem: &str| LetterError::Malformed {
        form: LetterForm::Fhir,
        problem: problem.to_owned(),
    };
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if !is_bounded(bytes) {
        return Err(malformed("more objects or values than a letter has"));
    }
    // serde_json stops at 128 levels by itself.
    let bundle: Value = serde_json::from_slice(bytes)
        .map_err(|error| malformed(&format!("not JSON, line {} column {}", error.line(), error.column())))?;
    if text(&bundle, "/resourceType") != Some("Bundle") {
        return Ok(None); // some other JSON: not a letter
    }
    if text(&bundle, "/type") != Some("document") {
        return Err(malformed("the Bundle is not a document"));
    }
    let composition = bundle
        .pointer("/entry/0/resource")
        .filter(|first| text(first, "/resourceType") == Some("Composition"));
    let composition = composition.ok_or_else(|| malformed("the first entry is not a Composition"))?;

    let mut letter = Letter::of(LetterForm::Fhir);
    letter.title = owned(composition, "/title");
    letter.type_code = owned(composition, "/type/coding/0/code");
    letter.date = owned(composition, "/date");
    for resource in bundle
        .get("entry")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|e| e.get("resource"))
    {
        match text(resource, "/resourceType") {
            Some("Patient") => describe_patient(resource, &mut letter),
            Some("Organization") => letter.institutions.extend(owned(resource, "/name")),
            _ => {}
        }
    }
    letter.inner_signature = bundle.get("signature").map(|_| "FHIR Bundle.signature");
    examine(&bundle, composition, &mut letter);
    Ok(Some(letter))
}

/// Whether a document of these bytes has no more values than are held at once: a value takes many times the room of the one or
/// two characters that ask for it.
fn is_bounded(json: &[u8]) -> bool {
    let (mut objects, mut values) = (0_usize, 0_usize);
    let (mut quoted, mut escaped) = (false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' if !quoted => objects += 1,
            b',' | b'[' if !quoted => values += 1,
            _ => {}
        }
    }
    objects <= MAX_OBJECTS && values <= MAX_VALUES
}

fn describe_patient(patient: &Value, letter: &mut Letter) {
    letter.patient.id = owned(patient, "/identifier/0/value");
    letter.patient.birth_date = owned(patient, "/birthDate");
    letter.patient.sex = owned(patient, "/gender");
    for name in patient.get("name").and_then(Value::as_array).into_iter().flatten() {
        let written = owned(name, "/text").or_else(|| {
            let given = name.pointer("/given/0").and_then(Value::as_str);
            let parts: Vec<&str> = text(name, "/family").into_iter().chain(given).collect();
            (!parts.is_empty()).then(|| parts.join(" "))
        });
        // iso21090-EN-representation: IDE for the written name, SYL for its reading.
        match text(name, "/extension/0/valueCode") {
            Some("SYL") => letter.patient.kana = written,
            _ => letter.patient.name = letter.patient.name.take().or(written),
        }
    }
}

fn examine(bundle: &Value, composition: &Value, letter: &mut Letter) {
    let identifier = text(composition, "/identifier/value");
    if !identifier.is_some_and(is_document_identifier) {
        letter.warnings.push(format!(
            "Composition.identifier.value does not follow the rule {IDENTIFIER_RULE}"
        ));
    }
    if text(bundle, "/timestamp").is_none() {
        letter.warnings.push("Bundle.timestamp is missing".to_owned());
    }
    if text(composition, "/status") != Some("final") {
        letter.warnings.push("Composition.status is not final".to_owned());
    }
    let sections: Vec<&str> = composition
        .get("section")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|section| text(section, "/code/coding/0/code"))
        .collect();
    if letter.type_code.as_deref() == Some("57133-1") {
        for (code, name) in [("920", "紹介元情報"), ("910", "紹介先情報")] {
            if !sections.contains(&code) {
                letter.warnings.push(format!("section {code} {name} is missing"));
            }
        }
    }
}

/// Ten digits, a year and a local number, separated by `^`; older letters wrote `-`.
fn is_document_identifier(value: &str) -> bool {
    let separator = if value.contains('^') { '^' } else { '-' };
    let mut parts = value.splitn(3, separator);
    let digits = |part: Option<&str>, length| {
        part.is_some_and(|part| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    digits(parts.next(), 10)
        && digits(parts.next(), 4)
        && parts.next().is_some_and(|local| !local.is_empty() && local.len() <= 36)
}

fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}

fn owned(value: &Value, pointer: &str) -> Option<String> {
    text(value, pointer).map(str::to_owned)
}
