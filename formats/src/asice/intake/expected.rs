//! Which entry must come next, and what the manifests say of it.

use std::collections::HashMap;

use super::super::{MAX_SIGNATURES, Manifest, Reference, consistency, names};
use super::{Kind, Limits};
use crate::envelope::{ENVELOPE_PATH, Envelope};

/// The order `mimetype`, manifest and signature pairs, envelope, files in the first manifest's order.
#[derive(Clone, Default)]
pub(super) struct Expected {
    started: bool,
    /// Number of the newest manifest.
    number: u16,
    /// Its signature has not come yet.
    signature_due: bool,
    /// For each manifest, in container order (envelope first), the index of each file's reference.
    orders: Vec<Vec<usize>>,
    /// How many files have begun, the envelope included.
    files: usize,
    /// For each file the document it belongs to.
    documents: Vec<Option<usize>>,
}

impl Expected {
    /// What `name` is, if it may come now.
    pub(super) fn next(&mut self, name: &str, manifests: &[Manifest]) -> Option<Kind> {
        if !self.started {
            self.started = name == "mimetype";
            return self.started.then_some(Kind::Mimetype);
        }
        if self.signature_due {
            return (name == format!("META-INF/signature{:03}.p7s", self.number)).then_some(Kind::Signature);
        }
        if self.files == 0 {
            let number = name
                .strip_prefix("META-INF/ASiCManifest")
                .and_then(|rest| rest.strip_suffix(".xml"));
            if let Some(number) =
                number.filter(|digits| digits.len() == 3 && digits.bytes().all(|b| b.is_ascii_digit()))
            {
                let number = number.parse().ok().filter(|number| *number > self.number)?;
                if manifests.len() >= MAX_SIGNATURES {
                    return None;
                }
                (self.number, self.signature_due) = (number, true);
                return Some(Kind::Manifest);
            }
            if manifests.is_empty() || name != ENVELOPE_PATH {
                return None;
            }
            self.files = 1;
            return Some(Kind::Envelope);
        }
        let index = self.files;
        let path = &self.reference(0, index, manifests)?.path;
        (path == name).then(|| {
            self.files += 1;
            Kind::File(index)
        })
    }

    /// Whether mimetype, META-INF, envelope and all files have begun, `passed` entries in all.
    pub(super) fn all_passed(&self, passed: usize) -> bool {
        let files = self.orders.first().map_or(usize::MAX, Vec::len);
        self.files == files && passed == 1 + 2 * self.orders.len() + files
    }

    pub(super) fn signature_passed(&mut self) {
        self.signature_due = false;
    }

    /// Holds a complete manifest to the rules, so that nothing it promises can turn out impossible later.
    pub(super) fn manifest(
        &mut self,
        manifest: &Manifest,
        before: &[Manifest],
        limits: &Limits,
    ) -> Result<(), (&'static str, String)> {
        if manifest.signature != format!("META-INF/signature{:03}.p7s", self.number) {
            return Err((
                "manifest_without_signature",
                format!("{} names another signature", manifest.name),
            ));
        }
        if let Some(broken) = consistency::references(manifest) {
            return Err(broken);
        }
        let references = &manifest.references;
        let Some(envelope) = references.iter().position(|reference| reference.path == ENVELOPE_PATH) else {
            return Err((
                "file_without_reference",
                format!("{} does not refer to submission.json", manifest.name),
            ));
        };
        let order = match before.first() {
            None => {
                let (mut seen, mut length) = (names::NameSet::default(), 0);
                for reference in references {
                    let path = &reference.path;
                    length += path.len();
                    names::check(path).and_then(|()| seen.insert(path)).map_err(|error| {
                        (
                            error.code(),
                            format!("{}: {error}: {}", manifest.name, path.escape_debug()),
                        )
                    })?;
                }
                if references.len() > limits.files.saturating_add(1) || length > limits.names {
                    return Err((
                        "too_many_files",
                        "the container has more files or names than allowed".into(),
                    ));
                }
                let others = (0..references.len()).filter(|index| *index != envelope);
                std::iter::once(envelope).chain(others).collect()
            }
            Some(first) => {
                let places: HashMap<&str, usize> = references
                    .iter()
                    .enumerate()
                    .map(|(index, reference)| (reference.path.as_str(), index))
                    .collect();
                let order = self.orders.first().into_iter().flatten();
                let order: Option<Vec<usize>> = order
                    .map(|index| places.get(first.references.get(*index)?.path.as_str()).copied())
                    .collect();
                order.filter(|order| order.len() == references.len()).ok_or_else(|| {
                    (
                        "manifests_disagree",
                        format!("{} and {} are about different files", first.name, manifest.name),
                    )
                })?
            }
        };
        self.orders.push(order);
        Ok(())
    }

    /// Holds the envelope to the files that will come.
    pub(super) fn envelope(
        &mut self,
        envelope: &Envelope,
        manifests: &[Manifest],
    ) -> Result<(), (&'static str, String)> {
        let count = self.orders.first().map_or(0, Vec::len);
        let paths: Vec<&str> = (0..count)
            .filter_map(|index| Some(self.reference(0, index, manifests)?.path.as_str()))
            .collect();
        self.documents = envelope
            .assign(&paths)
            .map_err(|error| ("envelope_documents", error.to_string()))?;
        Ok(())
    }

    /// Index of the document a file belongs to.
    pub(super) fn document(&self, file: usize) -> usize {
        self.documents.get(file).copied().flatten().unwrap_or_default()
    }

    /// Every manifest's reference to a file.
    pub(super) fn references<'a>(
        &'a self,
        file: usize,
        manifests: &'a [Manifest],
    ) -> impl Iterator<Item = &'a Reference> + 'a {
        (0..manifests.len()).filter_map(move |manifest| self.reference(manifest, file, manifests))
    }

    fn reference<'a>(&self, manifest: usize, file: usize, manifests: &'a [Manifest]) -> Option<&'a Reference> {
        let index = self.orders.get(manifest)?.get(file)?;
        manifests.get(manifest)?.references.get(*index)
    }
}
