//! Signature fields of a form, ISO 32000-1 §12.7: every field of type `Sig`, wherever the tree hides it.

use std::collections::HashSet;

use super::PdfError;
use super::document::View;
use super::object::{Dictionary, Object};

/// Deepest tree of fields.
const MAX_DEPTH: usize = 32;
/// Most fields of a form.
const MAX_FIELDS: usize = 100_000;
/// Longest name shown.
const MAX_NAME: usize = 64;

/// A signature field.
pub(super) struct SignatureField {
    /// Its name; only plain ASCII is shown, because names are free text.
    pub(super) name: String,
    /// `/V`: what signs, where somebody signed. Null if it is no reference.
    pub(super) value: Option<Object>,
}

/// A node of the tree still to be looked at.
struct Node {
    object: Object,
    depth: usize,
    /// `/FT` of the fields above.
    is_signature: bool,
    /// `/V` of the fields above: a reference, or Null for what is none.
    value: Option<Object>,
    name: String,
}

/// All signature fields, in the order of the tree.
pub(super) fn signature_fields(view: &View<'_, '_>) -> Result<Vec<SignatureField>, PdfError> {
    let form = view.get(&view.catalog()?, "AcroForm")?;
    let Some(form) = form.dictionary() else {
        return Ok(Vec::new());
    };
    let roots = view.get(form, "Fields")?;
    let node = |object: &Object| Node {
        object: object.clone(),
        depth: 0,
        is_signature: false,
        value: None,
        name: String::new(),
    };
    let mut waiting: Vec<Node> = roots.array().unwrap_or_default().iter().rev().map(node).collect();
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    let mut count = 0_usize;
    while let Some(node) = waiting.pop() {
        count += 1;
        if count > MAX_FIELDS || node.depth > MAX_DEPTH {
            return Err(PdfError::TooMuch("its form has more fields than are read"));
        }
        let reference = node.object.reference();
        if reference.is_some_and(|reference| !seen.insert(reference)) {
            return Err(PdfError::Malformed("a form field occurs twice"));
        }
        let object = view.follow(&node.object)?;
        let Some(field) = object.dictionary() else { continue };
        let kind = view.get(field, "FT")?;
        let is_signature = kind.name().map_or(node.is_signature, |kind| kind == b"Sig");
        // A value that is no object of its own is no signature. It may be large, and is not copied to all fields below.
        let own = field
            .get("V")
            .map(|value| value.reference().map_or(Object::Null, Object::Reference));
        let value = own.or(node.value);
        let name = full_name(&node.name, &view.get(field, "T")?);
        let kids = view.get(field, "Kids")?;
        let children = fields_among(view, kids.array().unwrap_or_default())?;
        if children.is_empty() {
            if is_signature {
                let number = found.len() + 1;
                let name = Some(name)
                    .filter(|name| is_plain(name))
                    .unwrap_or_else(|| format!("field {number}"));
                found.push(SignatureField { name, value });
            }
            continue;
        }
        let children = children.into_iter().rev().map(|object| Node {
            object,
            depth: node.depth + 1,
            is_signature,
            value: value.clone(),
            name: name.clone(),
        });
        waiting.extend(children);
    }
    Ok(found)
}

/// The kids that are fields: those with a name of their own. The others are the field's widgets.
fn fields_among(view: &View<'_, '_>, kids: &[Object]) -> Result<Vec<Object>, PdfError> {
    let mut fields = Vec::new();
    for kid in kids {
        let object = view.follow(kid)?;
        let is_field = |kid: &Dictionary| ["T", "V", "FT", "Kids"].iter().any(|key| kid.get(key).is_some());
        if object.dictionary().is_some_and(is_field) {
            fields.push(kid.clone());
        }
    }
    Ok(fields)
}

fn full_name(above: &str, own: &Object) -> String {
    let own = String::from_utf8_lossy(own.string().unwrap_or_default());
    let own: String = own.chars().take(MAX_NAME + 1).collect();
    match (above.is_empty(), own.is_empty()) {
        (true, _) => own,
        (false, true) => above.to_owned(),
        // A name too long is never shown, however long it would become.
        (false, false) if above.len() > MAX_NAME => above.to_owned(),
        (false, false) => format!("{above}.{own}"),
    }
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
}
