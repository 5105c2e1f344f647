//! Errors for people: a stable code, what happened to which thing, what to do next, in Japanese and English. Not for programs
//! inside: modules whose caller decides something have their own enums.

mod en;
mod ja;

use formats::wire::Problem;
use serde_json::{Value, json};
pub use trust_store::report::Language;

use crate::output::one_line;

/// The language of messages: from `--lang`, else `HIKYAKU_LANG`, else the locale, else English.
#[must_use]
pub fn choose_language(option: Option<&str>) -> Language {
    let variable = |name| std::env::var(name).ok();
    let candidates = [
        option.map(str::to_owned),
        variable("HIKYAKU_LANG"),
        variable("LC_ALL"),
        variable("LANG"),
    ];
    candidates
        .into_iter()
        .flatten()
        .find_map(|name| language_of(&name))
        .unwrap_or(Language::English)
}

/// The language a name such as `ja`, `ja_JP.UTF-8` or `en` stands for; `None` for others.
fn language_of(name: &str) -> Option<Language> {
    match name.get(..2)?.to_ascii_lowercase().as_str() {
        "ja" => Some(Language::Japanese),
        "en" => Some(Language::English),
        _ => None,
    }
}

/// How a command ended, as its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done, or passed.
    Done = 0,
    /// 1: refused, or failed; malformed input too.
    Refused = 1,
    /// 2: could not try: an argument, file, card, network or configuration.
    CouldNotTry = 2,
    /// 3: indeterminate, pending, or incomplete evidence.
    Indeterminate = 3,
}

/// Everything a command may say it failed with. The stable word for programs is [`Code::name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(
    missing_docs,
    reason = "each is explained, in both languages, by its row of error/en.rs and error/ja.rs"
)]
pub enum Code {
    Arguments,
    FileUnreadable,
    FileUnwritable,
    FileExists,
    FileMalformed,
    Configuration,
    NotEnrolled,
    PolicyMalformed,
    TrustDirectory,
    EnvelopeInvalid,
    InputChanged,
    Container,
    KeyUnreadable,
    KeyPassword,
    KeyMismatch,
    NoSigningCertificate,
    SeveralSigningCertificates,
    MechanismNotOffered,
    ModuleNotFound,
    ModuleFailed,
    NoToken,
    TokenRemoved,
    PinIncorrect,
    PinLocked,
    PinUnavailable,
    PinFdUnsupported,
    SignatureFailed,
    TimestampUnreachable,
    TimestampRefused,
    TimestampMismatch,
    RelayUnreachable,
    RelayAnswer,
    ReceiptInvalid,
    LogKeyChanged,
    OtherRelay,
    PortalNeeded,
    NothingSigned,
    OutboxBusy,
    WouldBeRefused,
    NoArchive,
}

impl Code {
    /// The stable word for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Arguments => "arguments",
            Self::FileUnreadable => "file_unreadable",
            Self::FileUnwritable => "file_unwritable",
            Self::FileExists => "file_exists",
            Self::FileMalformed => "file_malformed",
            Self::Configuration => "configuration",
            Self::NotEnrolled => "not_enrolled",
            Self::PolicyMalformed => "policy_malformed",
            Self::TrustDirectory => "trust_directory",
            Self::EnvelopeInvalid => "envelope_invalid",
            Self::InputChanged => "input_changed",
            Self::Container => "container",
            Self::KeyUnreadable => "key_unreadable",
            Self::KeyPassword => "key_password",
            Self::KeyMismatch => "key_mismatch",
            Self::NoSigningCertificate => "no_signing_certificate",
            Self::SeveralSigningCertificates => "several_signing_certificates",
            Self::MechanismNotOffered => "mechanism_not_offered",
            Self::ModuleNotFound => "module_not_found",
            Self::ModuleFailed => "module_failed",
            Self::NoToken => "no_token",
            Self::TokenRemoved => "token_removed",
            Self::PinIncorrect => "pin_incorrect",
            Self::PinLocked => "pin_locked",
            Self::PinUnavailable => "pin_unavailable",
            Self::PinFdUnsupported => "pin_fd_unsupported",
            Self::SignatureFailed => "signature_failed",
            Self::TimestampUnreachable => "timestamp_unreachable",
            Self::TimestampRefused => "timestamp_refused",
            Self::TimestampMismatch => "timestamp_mismatch",
            Self::RelayUnreachable => "relay_unreachable",
            Self::RelayAnswer => "relay_answer",
            Self::ReceiptInvalid => "receipt_invalid",
            Self::LogKeyChanged => "log_key_changed",
            Self::OtherRelay => "other_relay",
            Self::PortalNeeded => "portal_needed",
            Self::NothingSigned => "nothing_signed",
            Self::OutboxBusy => "outbox_busy",
            Self::WouldBeRefused => "would_be_refused",
            Self::NoArchive => "no_archive",
        }
    }

    /// How a command that fails with it ends.
    #[must_use]
    pub fn exit(self) -> Exit {
        match self {
            Self::FileMalformed
            | Self::EnvelopeInvalid
            | Self::Container
            | Self::SignatureFailed
            | Self::TimestampRefused
            | Self::TimestampMismatch
            | Self::WouldBeRefused => Exit::Refused,
            Self::NoArchive => Exit::Indeterminate,
            _ => Exit::CouldNotTry,
        }
    }

    fn text(self, language: Language) -> (&'static str, &'static str) {
        match language {
            Language::Japanese => ja::text(self),
            Language::English => en::text(self),
        }
    }
}

/// Why a command ended without doing what was asked.
#[derive(Debug)]
pub enum Failure {
    /// Found out on this machine.
    Local {
        /// What.
        code: Code,
        /// To which thing: a file's or a token's name, a URL, a cause. Never patient data, never a PIN.
        subject: String,
    },
    /// Said by the relay, in the language asked for.
    Relay {
        /// Its problem document.
        problem: Box<Problem>,
        /// How the command ends.
        exit: Exit,
    },
}

impl Failure {
    /// `code`, about `subject`.
    #[must_use]
    pub fn new(code: Code, subject: impl Into<String>) -> Self {
        Self::Local {
            code,
            subject: subject.into(),
        }
    }

    /// A problem the relay answered with: 4xx other than "not now" refuses, everything else could not be tried.
    #[must_use]
    pub fn relay(problem: Problem) -> Self {
        let exit = match problem.status {
            408 | 425 | 429 => Exit::CouldNotTry,
            400..=499 => Exit::Refused,
            _ => Exit::CouldNotTry,
        };
        Self::Relay {
            problem: Box::new(problem),
            exit,
        }
    }

    /// The stable word for programs.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Local { code, .. } => code.name(),
            Self::Relay { problem, .. } => &problem.code,
        }
    }

    /// How the command ends.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Local { code, .. } => code.exit(),
            Self::Relay { exit, .. } => *exit,
        }
    }

    /// What happened, to which thing.
    #[must_use]
    pub fn message(&self, language: Language) -> String {
        match self {
            Self::Local { code, subject } => code.text(language).0.replace("{}", subject),
            Self::Relay { problem, .. } if problem.title == problem.detail => one_line(&problem.title).into_owned(),
            Self::Relay { problem, .. } => format!("{}: {}", one_line(&problem.title), one_line(&problem.detail)),
        }
    }

    /// What to do next.
    #[must_use]
    pub fn action(&self, language: Language) -> String {
        match self {
            Self::Local { code, .. } => code.text(language).1.to_owned(),
            Self::Relay { problem, .. } => one_line(&problem.action).into_owned(),
        }
    }

    /// `{"code", "message", "action"}`, with the relay's report where there is one.
    #[must_use]
    pub fn to_json(&self, language: Language) -> Value {
        let mut value = json!({
            "code": self.code(),
            "message": self.message(language),
            "action": self.action(language),
        });
        if let Self::Relay { problem, .. } = self
            && let Some(report) = &problem.report
        {
            value["report"] = report.clone();
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_languages_as_locales_write_them() {
        assert_eq!(language_of("ja_JP.UTF-8"), Some(Language::Japanese));
        assert_eq!(language_of("en"), Some(Language::English));
        assert_eq!(language_of("C"), None);
        assert_eq!(language_of("日"), None);
    }

    #[test]
    fn a_failure_names_the_thing_and_the_next_step_in_both_languages() {
        let failure = Failure::new(Code::FileUnreadable, "letter.pdf: no such file");
        for language in [Language::Japanese, Language::English] {
            assert!(failure.message(language).contains("letter.pdf"));
            assert!(!failure.action(language).is_empty());
        }
        assert_eq!(failure.to_json(Language::English)["code"], "file_unreadable");
        assert_eq!(failure.exit(), Exit::CouldNotTry);
    }
}
