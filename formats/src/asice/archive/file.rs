//! An archive as one JSON file: what lies beside a container, and what is served.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{Archive, ArchiveError};

/// Why a text is no archive file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveFileError {
    /// Not JSON of this shape.
    #[error("not an archive file: {0}")]
    Malformed(String),
    /// Written by a version of this software that this one does not know.
    #[error("archive file of version {0}; this software reads version 1")]
    Version(u32),
    /// An entry that no archive has, or has twice.
    #[error("archive file: {0}")]
    Entry(#[from] ArchiveError),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ArchiveFile {
    version: u32,
    container_sha256: String,
    entries: Vec<EntryFile>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryFile {
    name: String,
    content: String,
}

impl Archive {
    /// `{"version": 1, "container_sha256": hex, "entries": [{"name", "content": base64}]}`, in the order of names.
    #[must_use]
    pub fn to_json(&self) -> String {
        let entry = |(name, bytes): (&str, &[u8])| EntryFile {
            name: name.to_owned(),
            content: STANDARD.encode(bytes),
        };
        let file = ArchiveFile {
            version: 1,
            container_sha256: hex::encode(self.container_sha256),
            entries: self.entries().map(entry).collect(),
        };
        // A struct of strings always serialises.
        serde_json::to_string(&file).unwrap_or_default()
    }

    /// Reads what [`Archive::to_json`] wrote.
    ///
    /// # Errors
    /// [`ArchiveFileError`].
    pub fn from_json(text: &str) -> Result<Self, ArchiveFileError> {
        let malformed = |error: &dyn std::fmt::Display| ArchiveFileError::Malformed(error.to_string());
        let file: ArchiveFile = serde_json::from_str(text).map_err(|error| malformed(&error))?;
        if file.version != 1 {
            return Err(ArchiveFileError::Version(file.version));
        }
        let mut digest = [0; 32];
        hex::decode_to_slice(&file.container_sha256, &mut digest).map_err(|error| malformed(&error))?;
        let mut archive = Self::new(digest);
        for entry in file.entries {
            if archive.entry(&entry.name).is_some() {
                return Err(ArchiveError::Name(entry.name).into());
            }
            let bytes = STANDARD.decode(&entry.content).map_err(|error| malformed(&error))?;
            archive.put(&entry.name, bytes)?;
        }
        Ok(archive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let mut archive = Archive::new([7; 32]);
        archive.put("META-INF/timestamp001.tst", vec![1, 2]).unwrap();
        archive.put("META-INF/ASiCArchiveManifest.xml", Vec::new()).unwrap();
        let text = archive.to_json();
        assert!(Archive::from_json(&text).unwrap() == archive);
        assert_eq!(Archive::from_json(&text).unwrap().to_json(), text);
        for (from, to) in [
            ("\"version\":1", "\"version\":2"),
            ("META-INF/timestamp001.tst", "letter/letter.pdf"),
            ("META-INF/timestamp001.tst", "META-INF/ASiCManifest001.xml"),
            ("META-INF/timestamp001.tst", "META-INF/a/timestamp001.tst"),
            ("META-INF/timestamp001.tst", "META-INF/../timestamp001.tst"),
            ("META-INF/timestamp001.tst", "META-INF/ASiCArchiveManifest.xml"),
            ("AQI=", "A*I="),
            ("0707", "07"),
            ("\"content\"", "\"contents\""),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from}");
            assert!(Archive::from_json(&changed).is_err(), "{from} -> {to}");
        }
    }
}
