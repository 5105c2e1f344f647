//! What commands print: text for people or JSON for programs, and progress bars for people only.

use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::{format_description, offset};
use trust_store::role_policy::{RoleClass, classify};

use crate::error::{Failure, Language};

/// How this run speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Output {
    /// JSON instead of text.
    pub json: bool,
    /// Language of text and of messages inside JSON.
    pub language: Language,
}

impl Output {
    /// Prints a result: `value` as JSON, or `text` for people.
    pub fn print(&self, value: &Value, text: &str) {
        // A reader that has gone away (`| head`) is no error of the command.
        let mut out = std::io::stdout().lock();
        let _ = if self.json {
            serde_json::to_string_pretty(value)
                .map_err(std::io::Error::from)
                .and_then(|text| writeln!(out, "{}", harmless_json(&text)))
        } else if text.is_empty() {
            Ok(())
        } else {
            writeln!(out, "{}", harmless(text.trim_end()))
        };
    }

    /// Prints a result: `value` as JSON, or lines for people, in colour on a terminal unless `NO_COLOR` is set.
    pub fn print_lines(&self, value: &Value, lines: &[Line]) {
        if self.json {
            return self.print(value, "");
        }
        let mut out = std::io::stdout().lock();
        let coloured = out.is_terminal() && std::env::var_os("NO_COLOR").is_none();
        for line in lines {
            let text = harmless(line.text.trim_end());
            let written = match line.tone.code().filter(|_| coloured) {
                Some(code) => writeln!(out, "\x1b[{code}m{text}\x1b[0m"),
                None => writeln!(out, "{text}"),
            };
            if written.is_err() {
                // A reader that has gone away (`| head`) is no error of the command.
                return;
            }
        }
    }

    /// Prints a failure: JSON on standard output, text on standard error.
    pub fn print_failure(&self, failure: &Failure) {
        if self.json {
            self.print(&failure.to_json(self.language), "");
        } else {
            self.say(&failure.message(self.language));
            self.say(&format!("  → {}", failure.action(self.language)));
        }
    }

    /// Says something beside the result, to people only.
    pub fn say(&self, text: &str) {
        if !self.json {
            let _ = writeln!(std::io::stderr(), "{}", harmless(text));
        }
    }

    /// `japanese` or `english`.
    #[must_use]
    pub fn pick<'a>(&self, japanese: &'a str, english: &'a str) -> &'a str {
        match self.language {
            Language::Japanese => japanese,
            Language::English => english,
        }
    }

    /// A bar over `bytes`; hidden with `--json`, without a terminal, and for work too small to wait for.
    #[must_use]
    pub fn bar(&self, label: &str, bytes: u64) -> ProgressBar {
        const WORTH_A_BAR: u64 = 16 << 20;
        if self.json || bytes < WORTH_A_BAR || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new(bytes).with_message(label.to_owned());
        if let Ok(style) =
            ProgressStyle::with_template("{msg:12} {bar:30} {bytes}/{total_bytes}  {bytes_per_sec}  {eta}")
        {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }
}

/// One line for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// How it sounds.
    pub tone: Tone,
    /// What it says.
    pub text: String,
}

/// How a line sounds, which a terminal shows by colour. The words say it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Neutral
    Plain,
    /// Good news
    Good,
    /// Bad news
    Bad,
    /// Not known, or odd
    Doubt,
    /// Beside the point
    Faint,
}

impl Line {
    /// A line.
    #[must_use]
    pub fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self {
            tone,
            text: text.into(),
        }
    }
}

impl Tone {
    /// ECMA-48 SGR.
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Good => Some("32"),
            Self::Bad => Some("31"),
            Self::Doubt => Some("33"),
            Self::Faint => Some("2"),
        }
    }
}

/// What another machine says, as part of one line: where it has several, they are not taken for lines of ours.
#[must_use]
pub fn one_line(text: &str) -> Cow<'_, str> {
    if text.contains('\n') {
        Cow::Owned(text.replace('\n', "\\u{a}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Whether a character commands the terminal, or reorders or breaks the line.
fn commands(c: char) -> bool {
    let reorders = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    reorders || (c.is_control() && c != '\n')
}

/// JSON for a terminal: it means the same. JSON itself escapes none from U+007F on.
fn harmless_json(text: &str) -> Cow<'_, str> {
    if !text.contains(commands) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if commands(c) {
            shown.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// Text for a terminal. Names and reasons come from other machines: what would command the terminal or reorder the line is
/// written out instead.
fn harmless(text: &str) -> Cow<'_, str> {
    if !text.contains(commands) {
        return Cow::Borrowed(text);
    }
    let shown = text.chars().map(|c| {
        if commands(c) {
            c.escape_unicode().to_string()
        } else {
            c.to_string()
        }
    });
    Cow::Owned(shown.collect())
}

/// A profession (hcRole) in words: the standard's own in English. One that is in no table is shown as it is, and as such.
#[must_use]
pub fn profession(role: &str, output: Output) -> String {
    match (output.language, classify(role)) {
        (Language::Japanese, RoleClass::Qualification(known) | RoleClass::Manager(known)) => known.japanese.to_owned(),
        (Language::English, RoleClass::Qualification(_) | RoleClass::Manager(_)) => role.to_owned(),
        (_, RoleClass::Unknown) => {
            let unknown = output.pick("HPKI の資格名にない", "not a role of HPKI");
            format!("{role:?} ({unknown})")
        }
    }
}

/// A time of the data (RFC 3339) as people read it: Japan Standard Time.
#[must_use]
pub fn japan_time(rfc3339: &str) -> String {
    let Ok(time) = OffsetDateTime::parse(rfc3339, &Rfc3339) else {
        return one_line(rfc3339).into_owned();
    };
    time.to_offset(offset!(+9))
        .format(format_description!("[year]-[month]-[day] [hour]:[minute]:[second] JST"))
        .unwrap_or_else(|_| rfc3339.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_said_commands_the_terminal() {
        let said = "a\u{1b}[2J\u{9b}31m\u{202e}\u{7f}b\nc";
        assert!(!harmless(said).chars().any(commands));
        assert_eq!(harmless(said).lines().count(), 2);
        assert_eq!(one_line(said).lines().count(), 1);
        let value = serde_json::json!({ "name": said });
        let text = serde_json::to_string_pretty(&value).unwrap();
        assert!(text.chars().any(commands), "JSON alone does not escape them");
        let shown = harmless_json(&text);
        assert!(!shown.chars().any(commands));
        assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), value);
    }

    #[test]
    fn people_read_japan_time() {
        assert_eq!(japan_time("2026-11-22T15:30:00.000Z"), "2026-11-23 00:30:00 JST");
        assert_eq!(japan_time("soon"), "soon");
    }
}
