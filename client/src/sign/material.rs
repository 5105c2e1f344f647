//! What is sent: a letter and attachments, found on disk and given their places in the container.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use formats::asice::{MAX_FILES, names};
use formats::{dicom, letter};
use serde_json::{Value, json};
use unicode_normalization::UnicodeNormalization;

use crate::error::{Code, Failure};
use crate::files;

/// The first argument: the letter itself.
pub const LETTER_FOLDER: &str = "letter";

/// One file on disk and its place in the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where it is.
    pub file: PathBuf,
    /// Entry name.
    pub path: String,
    /// Size in bytes when it was found.
    pub size: u64,
}

/// Everything to send, with the documents it makes up as `submission.json` lists them.
#[derive(Debug, Clone, Default)]
pub struct Material {
    /// Files in container order.
    pub sources: Vec<Source>,
    /// Documents for the envelope.
    pub documents: Vec<Value>,
}

/// Files that systems leave behind and nobody means to send.
const LITTER: &[&str] = &[".DS_Store", "Thumbs.db", "desktop.ini"];

impl Material {
    /// Finds the files of `letter` (kind and title as given) and `attachments`: DICOM under `images/`, others under
    /// `attachments/`.
    ///
    /// # Errors
    /// [`Code::FileUnreadable`]; [`Code::Container`] for names or numbers the container cannot hold.
    pub fn gather(letter: &Path, kind: &str, title: &str, attachments: &[PathBuf]) -> Result<Self, Failure> {
        let mut material = Self::default();
        let head = head(letter)?;
        let path = material.file(letter, LETTER_FOLDER)?;
        let form = letter::recognise(&head).map_or_else(|| media_type(letter), letter::LetterForm::media_type);
        let category = if kind == "DischargeSummary" {
            "summary"
        } else {
            "letter"
        };
        material.documents.push(json!({
            "path": path, "kind": kind, "category": category, "media_type": form, "title": title,
        }));
        let mut images = false;
        for attachment in attachments {
            let folder = fs::metadata(attachment)
                .map_err(|error| files::unreadable(attachment, &error))?
                .is_dir();
            let before = material.sources.len();
            let found = if folder {
                walk(attachment)?
            } else {
                vec![attachment.clone()]
            };
            let is_image = any_dicom(&found)?;
            let place = if is_image { "images" } else { "attachments" };
            let mut own_path = String::new();
            for file in &found {
                let below = if folder {
                    relative(attachment, file)?
                } else {
                    name(file)?
                };
                own_path = format!("{place}/{below}");
                material.add(file, own_path.clone())?;
            }
            if material.sources.len() == before {
                return Err(Failure::new(
                    Code::FileUnreadable,
                    format!("{}: empty", attachment.display()),
                ));
            }
            images |= is_image;
            if !is_image {
                if folder {
                    own_path = format!("{place}/{}/", name(attachment)?);
                }
                material.documents.push(json!({
                    "path": own_path, "kind": "Other", "category": "other", "title": name(attachment)?,
                    "media_type": if folder { "application/octet-stream" } else { media_type(attachment) },
                }));
            }
        }
        if images {
            material.documents.push(json!({
                "path": "images/", "kind": "ImageStudy", "category": "image", "media_type": "application/dicom",
                "title": "画像",
            }));
        }
        Ok(material)
    }

    /// Bytes of all files.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.sources.iter().map(|source| source.size).sum()
    }

    /// The file behind an entry name.
    #[must_use]
    pub fn file_of(&self, path: &str) -> Option<&Path> {
        self.sources
            .iter()
            .find(|source| source.path == path)
            .map(|source| source.file.as_path())
    }

    fn file(&mut self, file: &Path, folder: &str) -> Result<String, Failure> {
        let path = format!("{folder}/{}", name(file)?);
        self.add(file, path.clone())?;
        Ok(path)
    }

    fn add(&mut self, file: &Path, path: String) -> Result<(), Failure> {
        if self.sources.len() >= MAX_FILES {
            return Err(Failure::new(Code::Container, format!("more than {MAX_FILES} files")));
        }
        names::check(&path).map_err(|error| Failure::new(Code::Container, format!("{}: {error}", file.display())))?;
        let metadata = fs::metadata(file).map_err(|error| files::unreadable(file, &error))?;
        self.sources.push(Source {
            file: file.to_owned(),
            path,
            size: metadata.len(),
        });
        Ok(())
    }
}

/// All files below a folder, sorted, without links: a link may lead to what nobody meant to send.
fn walk(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(current) = waiting.pop() {
        for entry in fs::read_dir(&current).map_err(|error| files::unreadable(&current, &error))? {
            let entry = entry.map_err(|error| files::unreadable(&current, &error))?;
            let kind = entry
                .file_type()
                .map_err(|error| files::unreadable(&entry.path(), &error))?;
            if kind.is_dir() {
                waiting.push(entry.path());
            } else if kind.is_symlink() {
                return Err(Failure::new(
                    Code::FileUnreadable,
                    format!("{}: a link", entry.path().display()),
                ));
            } else if !LITTER.iter().any(|litter| entry.file_name() == *litter) {
                found.push(entry.path());
            }
            if found.len() + waiting.len() > MAX_FILES {
                return Err(Failure::new(Code::Container, format!("more than {MAX_FILES} files")));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// `FOLDER/sub/file`, with `/` on every system.
fn relative(folder: &Path, file: &Path) -> Result<String, Failure> {
    let mut path = name(folder)?;
    let below = file.strip_prefix(folder).unwrap_or(file);
    for component in below.components() {
        path.push('/');
        path.push_str(&text(component.as_os_str().to_str(), file)?);
    }
    Ok(path)
}

fn name(path: &Path) -> Result<String, Failure> {
    // `images/.` and `images/..` have no name of their own until they are resolved.
    let resolved = match path.file_name() {
        Some(_) => path.to_owned(),
        None => path.canonicalize().map_err(|error| files::unreadable(path, &error))?,
    };
    text(resolved.file_name().and_then(|name| name.to_str()), path)
}

fn text(name: Option<&str>, file: &Path) -> Result<String, Failure> {
    name.map(|name| name.nfc().collect()).ok_or_else(|| {
        Failure::new(
            Code::Container,
            format!("{}: a name that is not Unicode", file.display()),
        )
    })
}

fn any_dicom(found: &[PathBuf]) -> Result<bool, Failure> {
    for file in found {
        if dicom::is_dicom(&head(file)?) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn head(file: &Path) -> Result<Vec<u8>, Failure> {
    let mut head = Vec::new();
    files::open(file)?
        .take(4096)
        .read_to_end(&mut head)
        .map_err(|error| files::unreadable(file, &error))?;
    Ok(head)
}

fn media_type(file: &Path) -> &'static str {
    let extension = file
        .extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "pdf" => "application/pdf",
        "json" => "application/json",
        "xml" => "application/xml",
        "txt" => "text/plain",
        "csv" => "text/csv",
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "dcm" => "application/dicom",
        _ => "application/octet-stream",
    }
}
