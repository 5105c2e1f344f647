//! What was appended after a signature, and whether the signature still covers what is displayed.
//!
//! Allowed without remark: material for validation (`/DSS`), document time stamps, and further signatures with their fields, all of
//! which draw nothing. Everything else is a change, also what cannot be told: what is displayed now is not what was signed, or may
//! not be. That is stricter than DocMDP ever is, so its permissions allow nothing here.
//!
//! Why this suffices: the objects the signed revision reaches are walked. Each must stand where it stood, or be one of a few (catalog,
//! form, page, list of annotations, empty signature field) that differ by the allowed additions only. So everything that was
//! reachable is as it was, and what is new is reachable through those additions alone. Shadow attacks live on what the signed revision
//! defines but does not use, or uses but does not define; both are no additions.

use std::collections::{HashMap, HashSet};

use super::appended;
use super::document::{Document, View};
use super::object::{Dictionary, Object, Reference};
use super::xref::Entry;
use super::{Afterwards, PdfError};

const UNTRACEABLE: &str = "what was appended cannot be followed";
const UNLISTED: &str = "bytes were appended that no cross-reference section names";
const OTHER_CHAIN: &str = "the cross-reference chain does not lead through the signed revision";
const REPLACED: &str = "an object of the signed revision was replaced or removed";
const SHADOW: &str =
    "an object that the signed revision does not use, or uses and does not define, was given a new meaning";
const CATALOG: &str = "the document catalog was changed";
const FORM: &str = "the form was changed";
const PAGE: &str = "a page was changed";
const DRAWN: &str = "a field was added that is no invisible signature field";

/// Keys of a signature field that is its own widget. None runs anything.
const FIELD_KEYS: [&str; 19] = [
    "Type", "Subtype", "FT", "T", "TU", "V", "F", "Ff", "Rect", "P", "Lock", "SV", "AP", "M", "NM", "Border", "BS",
    "MK", "DA",
];
/// Annotation flag Hidden: neither shown nor printed. (NoView is printed, and ToggleNoView shows it.) ISO 32000-1 table 165.
const HIDDEN: i64 = 2;

/// What happened after the revision that ends at `end`.
pub(super) fn after(document: &Document<'_>, end: usize) -> Afterwards {
    let mut found = Afterwards::default();
    let appended = document.bytes.get(end..).unwrap_or_default();
    if appended.trim_ascii().is_empty() {
        return found;
    }
    let Some(signed) = document.revision(end) else {
        found.changes.push(OTHER_CHAIN.to_owned());
        return found;
    };
    let newer = document.sections.iter().take(usize::from(signed.from));
    let older = document.sections.iter().skip(usize::from(signed.from));
    if newer.clone().any(|section| section.offset < end) || older.clone().any(|section| section.offset >= end) {
        found.changes.push(OTHER_CHAIN.to_owned());
        return found;
    }
    match appended::is_accounted_for(document, end, signed.from) {
        Ok(true) => {}
        Ok(false) => found.changes.push(UNLISTED.to_owned()),
        Err(_) => found.changes.push(UNTRACEABLE.to_owned()),
    }
    let mut comparison = Comparison {
        signed,
        newest: document.newest(),
        end,
        found,
    };
    if comparison.compare().is_err() {
        comparison.found.changes.push(UNTRACEABLE.to_owned());
    }
    let mut found = comparison.found;
    found.changes.sort_unstable();
    found.changes.dedup();
    found.additions.sort_unstable();
    found.additions.dedup();
    found
}

struct Comparison<'d, 'b> {
    signed: View<'d, 'b>,
    newest: View<'d, 'b>,
    end: usize,
    found: Afterwards,
}

/// What the signed revision reaches from its catalog, its security store left out.
#[derive(Default)]
struct Reach {
    /// How often each object is referred to.
    counts: HashMap<u32, u32>,
    /// What is reached through `/DSS`.
    store: HashSet<u32>,
    /// Lists of annotations that are objects of their own.
    annotations: HashSet<u32>,
}

impl Comparison<'_, '_> {
    fn change(&mut self, what: &'static str) {
        self.found.changes.push(what.to_owned());
    }

    fn compare(&mut self) -> Result<(), PdfError> {
        let (Some(before), Some(now)) = (self.signed.trailer(), self.newest.trailer()) else {
            return Err(PdfError::Malformed("no trailer"));
        };
        let same = |key: &str| before.get(key) == now.get(key);
        let root = now.get("Root").and_then(Object::reference);
        let information = now.get("Info").and_then(Object::reference);
        if !same("Root") {
            self.change(CATALOG);
        }
        let catalog = self.signed.catalog()?;
        let reach = self.reach(&catalog)?;
        for number in self.changed_numbers() {
            let (old, new) = (self.signed.entry(number), self.newest.entry(number));
            // Whether an addition sits in the appended bytes.
            if let Some(Entry::Offset { offset, .. }) = new
                && usize::try_from(offset).is_ok_and(|offset| offset < self.end)
            {
                self.change(SHADOW);
                continue;
            }
            let used = reach.counts.get(&number).copied().unwrap_or(0);
            match (old, used) {
                (None, 0) => {}
                (None, _) => self.change(SHADOW),
                _ if information.is_some_and(|one| one.number == number) && used == 0 => {
                    self.found
                        .additions
                        .push("the document information was changed, which no page shows".to_owned());
                }
                (Some(_), 0) if reach.store.contains(&number) => {}
                (Some(_), 0) if root.is_some_and(|root| root.number == number) => self.catalog(&catalog)?,
                (Some(_), 0) => self.change(SHADOW),
                (Some(_), _) if root.is_some_and(|root| root.number == number) => self.catalog(&catalog)?,
                (Some(old), used) => self.object(number, old, used, &catalog, &reach)?,
            }
        }
        self.unused(&reach)
    }

    /// Numbers whose place is not the one of the signed revision.
    fn changed_numbers(&self) -> Vec<u32> {
        let document = self.newest.document;
        let mut numbers: Vec<u32> = document.rows_before(self.signed.from).map(|row| row.number).collect();
        numbers.dedup();
        numbers.retain(|number| self.signed.entry(*number) != self.newest.entry(*number));
        numbers
    }

    /// Walks the signed revision.
    fn reach(&self, catalog: &Dictionary) -> Result<Reach, PdfError> {
        let mut reach = Reach::default();
        let mut waiting = Vec::new();
        for (_, value) in catalog.iter().filter(|(key, _)| *key != b"DSS") {
            waiting.extend(value.references());
        }
        while let Some(reference) = waiting.pop() {
            let count = reach.counts.entry(reference.number).or_default();
            *count = count.saturating_add(1);
            if *count > 1 {
                continue;
            }
            let object = self.signed.resolve(reference)?;
            if let Some(page) = object.dictionary().filter(|one| one.name("Type") == Some(b"Page")) {
                let list = page.get("Annots").and_then(Object::reference);
                reach.annotations.extend(list.map(|list| list.number));
            }
            waiting.extend(object.references());
        }
        waiting.extend(catalog.get("DSS").map(Object::references).unwrap_or_default());
        while let Some(reference) = waiting.pop() {
            let ours = !reach.counts.contains_key(&reference.number);
            if ours && reach.store.insert(reference.number) {
                waiting.extend(self.signed.resolve(reference)?.references());
            }
        }
        Ok(reach)
    }

    /// An object the signed revision uses.
    fn object(
        &mut self,
        number: u32,
        old: Entry,
        used: u32,
        catalog: &Dictionary,
        reach: &Reach,
    ) -> Result<(), PdfError> {
        let generation = match old {
            Entry::Offset { generation, .. } => generation,
            _ => 0,
        };
        let reference = Reference { number, generation };
        let (old, new) = (self.signed.resolve(reference)?, self.newest.resolve(reference)?);
        let is = |holder: &Dictionary, key: &str| holder.get(key).and_then(Object::reference) == Some(reference);
        let form = self.signed.get(catalog, "AcroForm")?;
        let in_form = form.dictionary().is_some_and(|form| is(form, "Fields"));
        match (&old, &new) {
            (Object::Dictionary(old), Object::Dictionary(new)) if is(catalog, "AcroForm") && used == 1 => {
                self.form(old, new)
            }
            (Object::Dictionary(old), Object::Dictionary(new)) if old.name("Type") == Some(b"Page") => {
                self.page(old, new)
            }
            (Object::Dictionary(old), Object::Dictionary(new)) if old.name("FT") == Some(b"Sig") => {
                self.signed_field(old, new);
                Ok(())
            }
            (Object::Array(_), Object::Array(_)) if in_form && used == 1 => self.list(&old, &new, FORM),
            (Object::Array(_), Object::Array(_)) if reach.annotations.contains(&number) && used == 1 => {
                self.list(&old, &new, PAGE)
            }
            _ => {
                self.change(REPLACED);
                Ok(())
            }
        }
    }

    fn catalog(&mut self, old: &Dictionary) -> Result<(), PdfError> {
        let new = self.newest.catalog()?;
        if !equal_but(old, &new, &["AcroForm", "DSS", "Extensions", "Version"]) {
            self.change(CATALOG);
        }
        if old.get("DSS") != new.get("DSS") {
            self.found
                .additions
                .push("material for validation was added".to_owned());
        }
        if old.get("AcroForm") == new.get("AcroForm") {
            return Ok(());
        }
        let (before, now) = (self.signed.get(old, "AcroForm")?, self.newest.get(&new, "AcroForm")?);
        match (before.dictionary(), now.dictionary()) {
            (Some(before), Some(now)) => self.form(before, now),
            (None, Some(now)) => self.form(&Dictionary::default(), now),
            _ => {
                self.change(FORM);
                Ok(())
            }
        }
    }

    fn form(&mut self, old: &Dictionary, new: &Dictionary) -> Result<(), PdfError> {
        if !equal_but(old, new, &["Fields", "SigFlags"]) {
            self.change(FORM);
        }
        self.lists(old, new, "Fields", FORM)
    }

    fn page(&mut self, old: &Dictionary, new: &Dictionary) -> Result<(), PdfError> {
        if !equal_but(old, new, &["Annots"]) {
            self.change(PAGE);
        }
        self.lists(old, new, "Annots", PAGE)
    }

    /// A list under `key` in both; the same reference is compared as an object of its own, where it changed.
    fn lists(
        &mut self,
        old: &Dictionary,
        new: &Dictionary,
        key: &str,
        otherwise: &'static str,
    ) -> Result<(), PdfError> {
        if old.get(key) == new.get(key) {
            return Ok(());
        }
        let (before, now) = (self.signed.get(old, key)?, self.newest.get(new, key)?);
        self.list(&before, &now, otherwise)
    }

    /// The old list, perhaps with new signature fields behind it.
    fn list(&mut self, old: &Object, new: &Object, otherwise: &'static str) -> Result<(), PdfError> {
        let (before, now) = (old.array().unwrap_or_default(), new.array().unwrap_or_default());
        let Some(added) = now.strip_prefix(before) else {
            self.change(otherwise);
            return Ok(());
        };
        for item in added {
            match item.reference() {
                Some(reference) if self.signed.entry(reference.number).is_none() => self.new_field(reference)?,
                _ => self.change(DRAWN),
            }
        }
        Ok(())
    }

    /// An added field is a signature field, runs nothing and draws nothing: a later signature that is seen may hide what was signed.
    fn new_field(&mut self, reference: Reference) -> Result<(), PdfError> {
        let object = self.newest.resolve(reference)?;
        let fits = object.dictionary().is_some_and(|field| {
            let keys = field
                .iter()
                .all(|(key, _)| FIELD_KEYS.iter().any(|known| known.as_bytes() == key));
            let is_widget = field.get("Subtype").is_none() || field.name("Subtype") == Some(b"Widget");
            keys && is_widget && field.name("FT") == Some(b"Sig") && is_invisible(field)
        });
        if fits {
            self.found
                .additions
                .push("a signature or document time stamp was added".to_owned());
        } else {
            self.change(DRAWN);
        }
        Ok(())
    }

    /// An empty signature field that was signed; what it looks like must stay.
    fn signed_field(&mut self, old: &Dictionary, new: &Dictionary) {
        if old.get("V").is_none() && equal_but(old, new, &["V"]) && old.name("FT") == Some(b"Sig") {
            self.found
                .additions
                .push("a signature or document time stamp was added".to_owned());
        } else {
            self.change(REPLACED);
        }
    }

    /// Counts what the signed revision defines and nothing uses, apart from what a file needs to be read at all.
    fn unused(&mut self, reach: &Reach) -> Result<(), PdfError> {
        let trailer = self.signed.trailer();
        let named = |key: &str| trailer.and_then(|trailer| trailer.get(key)).and_then(Object::reference);
        let kept = [named("Root"), named("Info")];
        let mut last = None;
        for row in self.newest.document.rows() {
            let number = row.number;
            if last.replace(number) == Some(number)
                || reach.counts.contains_key(&number)
                || reach.store.contains(&number)
                || kept.iter().flatten().any(|one| one.number == number)
            {
                continue;
            }
            let generation = match self.signed.entry(number) {
                None | Some(Entry::Free) => continue,
                Some(Entry::Offset { generation, .. }) => generation,
                Some(Entry::Compressed { .. }) => 0,
            };
            let object = self.signed.resolve(Reference { number, generation })?;
            let structure = object.dictionary().is_some_and(|one| {
                matches!(one.name("Type"), Some(b"ObjStm" | b"XRef")) || one.get("Linearized").is_some()
            });
            if !structure {
                self.found.unused_objects += 1;
            }
        }
        Ok(())
    }
}

/// No area, or never shown.
fn is_invisible(field: &Dictionary) -> bool {
    let hidden = field.integer("F").is_some_and(|flags| flags & HIDDEN != 0);
    let number = |object: &Object| match object {
        Object::Integer(value) => Some(value.to_string().into_bytes()),
        Object::Real(written) => Some(written.to_vec()),
        _ => None,
    };
    let corners: Option<Vec<Vec<u8>>> = field
        .get("Rect")
        .and_then(Object::array)
        .and_then(|corners| corners.iter().map(number).collect());
    match corners.as_deref() {
        Some([left, bottom, right, top]) => hidden || left == right || bottom == top,
        // A field without a rectangle is no widget.
        None => hidden || field.get("Rect").is_none() && field.get("Subtype").is_none(),
        Some(_) => hidden,
    }
}

/// The same but for these keys.
fn equal_but(old: &Dictionary, new: &Dictionary, keys: &[&str]) -> bool {
    let rest = |(key, _): &(&[u8], &Object)| !keys.iter().any(|one| one.as_bytes() == *key);
    old.iter().filter(rest).eq(new.iter().filter(rest))
}
