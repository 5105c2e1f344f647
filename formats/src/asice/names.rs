//! Entry names: what a name inside a container may be, and when two names are the same.

use std::collections::BTreeSet;
use std::ops::Bound;

use caseless::Caseless as _;
use unicode_normalization::UnicodeNormalization as _;

/// Greatest length of a name in bytes.
pub const MAX_NAME: usize = 1024;
/// Greatest length of one component in bytes.
pub const MAX_COMPONENT: usize = 255;
/// Greatest number of components.
pub const MAX_DEPTH: usize = 16;

/// Why a name is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Longer than [`MAX_NAME`], a component longer than [`MAX_COMPONENT`], or deeper than [`MAX_DEPTH`].
    #[error("a name is longer or deeper than allowed")]
    TooLong,
    /// Absolute, doubled slash, or nothing at all.
    #[error("a name has an empty component")]
    EmptyComponent,
    /// A component `.` or `..`.
    #[error("a name leads out of its place")]
    Escaping,
    /// A control character (general category Cc), or one that reorders text (Bidi_Control overrides and isolates).
    #[error("a name has a control character")]
    ControlCharacter,
    /// `C:` and the like.
    #[error("a name has a drive letter")]
    DriveLetter,
    /// A backslash, which some systems take for a separator.
    #[error("a name has a backslash")]
    Backslash,
    /// Not in Unicode normal form C.
    #[error("a name is not in normal form C")]
    NotNormal,
    /// The same as an earlier one, after case folding and normalisation.
    #[error("two names are the same but for case or normal form")]
    Duplicate,
    /// One name is both a file and the folder of another file.
    #[error("a name is both file and folder")]
    FileAndFolder,
}

impl NameError {
    /// Stable word for programs.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::TooLong => "name_too_long",
            Self::EmptyComponent => "name_empty_component",
            Self::Escaping => "name_escapes",
            Self::ControlCharacter => "name_control_character",
            Self::DriveLetter => "name_drive_letter",
            Self::Backslash => "name_backslash",
            Self::NotNormal => "name_not_nfc",
            Self::Duplicate => "name_duplicate",
            Self::FileAndFolder => "name_file_and_folder",
        }
    }
}

/// The rules of the writing and intake profile for one name.
///
/// # Errors
/// The first rule broken.
pub fn check(name: &str) -> Result<(), NameError> {
    check_read(name)?;
    if unicode_normalization::is_nfc(name) {
        Ok(())
    } else {
        Err(NameError::NotNormal)
    }
}

/// The rules of the reading profile for one name: those of [`check`] without the normal form.
///
/// # Errors
/// The first rule broken.
pub fn check_read(name: &str) -> Result<(), NameError> {
    if name.len() > MAX_NAME {
        return Err(NameError::TooLong);
    }
    if name.contains(is_control) {
        return Err(NameError::ControlCharacter);
    }
    if name.contains('\\') {
        return Err(NameError::Backslash);
    }
    let mut depth = 0usize;
    for component in name.split('/') {
        depth += 1;
        if component.is_empty() {
            return Err(NameError::EmptyComponent);
        }
        if component == "." || component == ".." {
            return Err(NameError::Escaping);
        }
        if component.len() > MAX_COMPONENT || depth > MAX_DEPTH {
            return Err(NameError::TooLong);
        }
        let mut bytes = component.bytes();
        if bytes.next().is_some_and(|first| first.is_ascii_alphabetic()) && bytes.next() == Some(b':') {
            return Err(NameError::DriveLetter);
        }
    }
    Ok(())
}

/// A control character (general category Cc), or one that reorders text (Bidi_Control overrides and isolates).
pub(crate) fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether a name belongs to the container itself: `mimetype`, or anything in META-INF, in any spelling of case.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    let folded = fold(name);
    let first = folded.split('/').next().unwrap_or_default();
    folded == "mimetype" || first == "meta-inf"
}

/// What two names that count as the same have in common: canonical caseless form (Unicode §3.13, D145).
#[must_use]
pub fn fold(name: &str) -> String {
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    name.nfd().default_case_fold().nfc().collect()
}

/// Names seen so far. Refuses a second of the same, and a file that is also a folder.
#[derive(Debug, Clone, Default)]
pub struct NameSet {
    folded: BTreeSet<String>,
}

impl NameSet {
    /// Takes a file's name.
    ///
    /// # Errors
    /// [`NameError::Duplicate`], [`NameError::FileAndFolder`].
    pub fn insert(&mut self, name: &str) -> Result<(), NameError> {
        let folded = fold(name);
        let folders = folded.match_indices('/').filter_map(|(at, _)| folded.get(..at));
        if folders.into_iter().any(|folder| self.folded.contains(folder)) {
            return Err(NameError::FileAndFolder);
        }
        self.no_file_below(&folded)?;
        if self.folded.insert(folded) {
            Ok(())
        } else {
            Err(NameError::Duplicate)
        }
    }

    /// Takes the name of an empty folder, without its slash.
    ///
    /// # Errors
    /// [`NameError::Duplicate`], [`NameError::FileAndFolder`].
    pub fn insert_folder(&mut self, name: &str) -> Result<(), NameError> {
        let folded = fold(name);
        let above = folded.match_indices('/').filter_map(|(at, _)| folded.get(..at));
        if std::iter::once(folded.as_str())
            .chain(above)
            .any(|folder| self.folded.contains(folder))
        {
            return Err(NameError::FileAndFolder);
        }
        // The slash keeps it apart from files; a file named like it finds it through `no_file_below`.
        if self.folded.insert(folded + "/") {
            Ok(())
        } else {
            Err(NameError::Duplicate)
        }
    }

    fn no_file_below(&self, folded: &str) -> Result<(), NameError> {
        let folder = format!("{folded}/");
        let range = (Bound::Included(folder.as_str()), Bound::Unbounded);
        match self.folded.range::<str, _>(range).next() {
            Some(next) if next.starts_with(&folder) => Err(NameError::FileAndFolder),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name() {
        let deep = vec!["a"; MAX_DEPTH].join("/");
        let long = format!(
            "{}/{}/{}/{}",
            "a".repeat(255),
            "b".repeat(255),
            "c".repeat(255),
            "d".repeat(255)
        );
        for good in [
            "a",
            "letter/letter.pdf",
            "画像/CT 1.dcm",
            "a..b",
            "..a",
            ".hidden",
            "ab:c",
            "é",
            &deep,
            &long,
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        let table = [
            ("", NameError::EmptyComponent),
            ("/a", NameError::EmptyComponent),
            ("a/", NameError::EmptyComponent),
            ("a//b", NameError::EmptyComponent),
            ("..", NameError::Escaping),
            ("a/../b", NameError::Escaping),
            ("./a", NameError::Escaping),
            ("a\\b", NameError::Backslash),
            ("C:a", NameError::DriveLetter),
            ("a/c:/b", NameError::DriveLetter),
            ("a\nb", NameError::ControlCharacter),
            ("a\u{0}", NameError::ControlCharacter),
            ("a\u{7f}", NameError::ControlCharacter),
            ("a\u{85}", NameError::ControlCharacter),
            ("a\u{202e}fdp.exe", NameError::ControlCharacter),
            ("e\u{301}", NameError::NotNormal),
            ("が".nfd().collect::<String>().leak(), NameError::NotNormal),
        ];
        for (bad, error) in table {
            assert_eq!(check(bad), Err(error), "{bad:?}");
        }
        assert_eq!(check(&"a".repeat(256)), Err(NameError::TooLong));
        assert_eq!(check(&format!("{deep}/a")), Err(NameError::TooLong));
        assert_eq!(check(&format!("{long}/a")), Err(NameError::TooLong));
        assert_eq!(check_read("e\u{301}"), Ok(()));
    }

    #[test]
    fn reserved() {
        for name in ["mimetype", "MIMETYPE", "META-INF/x", "meta-inf/x", "META-INF"] {
            assert!(is_reserved(name), "{name}");
        }
        for name in ["mimetype/x", "a/META-INF/x", "META-INFO/x"] {
            assert!(!is_reserved(name), "{name}");
        }
    }

    #[test]
    fn two_names() {
        let pairs = [
            ("a", "a", NameError::Duplicate),
            ("a/B", "A/b", NameError::Duplicate),
            ("straße", "STRASSE", NameError::Duplicate),
            ("é", "E\u{301}", NameError::Duplicate),
            ("Ａ", "ａ", NameError::Duplicate),
            ("a", "A/b", NameError::FileAndFolder),
            ("a/b/c", "A/B", NameError::FileAndFolder),
        ];
        for (first, second, error) in pairs {
            let mut names = NameSet::default();
            assert_eq!(names.insert(first), Ok(()));
            assert_eq!(names.insert(second), Err(error), "{first} {second}");
        }
        let mut names = NameSet::default();
        for name in ["a/b", "a.b", "a-b", "a/c", "a0"] {
            assert_eq!(names.insert(name), Ok(()), "{name}");
        }
        assert_eq!(names.insert_folder("a"), Ok(()));
        assert_eq!(names.insert_folder("A"), Err(NameError::Duplicate));
        assert_eq!(names.insert_folder("a0"), Err(NameError::FileAndFolder));
        assert_eq!(names.insert_folder("new"), Ok(()));
        assert_eq!(names.insert("new"), Err(NameError::FileAndFolder));
        assert_eq!(names.insert("new/file"), Ok(()));
    }
}
