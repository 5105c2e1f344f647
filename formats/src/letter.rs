//! Letters recognised and described: FHIR document Bundle, CDA R2, PDF.
//!
//! A description serves people: which form the letter has, for whom it is, from where to where, and what looks odd. It never
//! decides trust, and a letter is never changed or re-serialised: what was signed are its exact bytes.

mod cda;
mod fhir;
mod pdf;

/// Largest letter described, in bytes. Larger ones travel all the same, undescribed.
pub const MAX_LETTER_BYTES: usize = 32 * 1024 * 1024;

/// The form of a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LetterForm {
    /// HL7 FHIR R4 document Bundle: HS038 診療情報提供書, HS039 退院時サマリー and their kin.
    Fhir,
    /// HL7 CDA R2: HS008, HS032.
    Cda,
    /// PDF, ISO 32000.
    Pdf,
}

impl LetterForm {
    /// Media type to declare for it.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Fhir => "application/fhir+json",
            Self::Cda => "application/hl7-cda+xml",
            Self::Pdf => "application/pdf",
        }
    }
}

/// What a letter says of itself. `Debug` shows the form only: the rest is the patient's.
#[derive(Clone, PartialEq, Eq)]
pub struct Letter {
    /// Its form.
    pub form: LetterForm,
    /// Its title.
    pub title: Option<String>,
    /// LOINC or J-MIX code of its type.
    pub type_code: Option<String>,
    /// Its date, as written.
    pub date: Option<String>,
    /// Whom it is about.
    pub patient: LetterPatient,
    /// Institutions it names, as written.
    pub institutions: Vec<String>,
    /// A signature inside the letter itself, recognised and not checked.
    pub inner_signature: Option<&'static str>,
    /// What looks odd. No patient data.
    pub warnings: Vec<String>,
}

/// Whom a letter is about, as it says.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct LetterPatient {
    /// Patient number.
    pub id: Option<String>,
    /// Name.
    pub name: Option<String>,
    /// Name in kana.
    pub kana: Option<String>,
    /// `YYYY-MM-DD`.
    pub birth_date: Option<String>,
    /// As written: `male`, `F`, …
    pub sex: Option<String>,
}

impl Letter {
    fn of(form: LetterForm) -> Self {
        Self {
            form,
            title: None,
            type_code: None,
            date: None,
            patient: LetterPatient::default(),
            institutions: Vec::new(),
            inner_signature: None,
            warnings: Vec::new(),
        }
    }
}

impl std::fmt::Debug for Letter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Letter")
            .field("form", &self.form)
            .finish_non_exhaustive()
    }
}

/// Why bytes that begin like a letter are none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LetterError {
    /// More than [`MAX_LETTER_BYTES`].
    #[error("longer than {MAX_LETTER_BYTES} bytes")]
    TooLong,
    /// The form's own grammar is broken.
    #[error("malformed {form:?} letter: {problem}")]
    Malformed {
        /// Which form it begins like.
        form: LetterForm,
        /// What is wrong, without the letter's words.
        problem: String,
    },
}

/// Describes a letter; `None` if the bytes are none of the three forms.
///
/// # Errors
/// [`LetterError`] if they begin like one and break its grammar or a bound.
pub fn describe(bytes: &[u8]) -> Result<Option<Letter>, LetterError> {
    let Some(form) = recognise(bytes) else { return Ok(None) };
    if bytes.len() > MAX_LETTER_BYTES {
        return Err(LetterError::TooLong);
    }
    match form {
        LetterForm::Fhir => fhir::describe(bytes),
        LetterForm::Cda => cda::describe(bytes),
        LetterForm::Pdf => Ok(Some(pdf::describe(bytes))),
    }
}

/// A signature inside a letter, recognised and not checked; also where the letter's grammar is broken, so that none is passed over.
#[must_use]
pub fn inner_signature(bytes: &[u8]) -> Option<&'static str> {
    match (describe(bytes), recognise(bytes)) {
        (Ok(Some(letter)), _) => letter.inner_signature,
        (_, Some(LetterForm::Cda)) => cda::signature_named_in(bytes),
        _ if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") => cda::signature_named_in(bytes),
        _ => None,
    }
}

/// The form these first bytes promise.
#[must_use]
pub fn recognise(head: &[u8]) -> Option<LetterForm> {
    let near = head.get(..head.len().min(1024)).unwrap_or_default();
    if near.windows(5).any(|window| window == b"%PDF-") {
        return Some(LetterForm::Pdf);
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    match text.first() {
        Some(b'{') => Some(LetterForm::Fhir),
        Some(b'<') => Some(LetterForm::Cda),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
