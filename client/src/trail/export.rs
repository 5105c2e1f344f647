//! `hikyaku trail export`: the facility's own account, in the form that was asked for, beside the records that prove it.

use std::fmt::Write as _;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use formats::trail::{Checkpoint, checkpoint_in};
use formats::wire::{MemberId, Receipt, SubmissionId};
use http_body_util::BodyExt as _;
use serde_json::json;
use time::format_description::well_known::Rfc3339;
use time::macros::{format_description, offset};
use time::{Date, OffsetDateTime};

use crate::context::Context;
use crate::enrol::connect;
use crate::error::{Code, Exit, Failure};
use crate::files::{self, Draft};
use crate::outbox::Outbox;
use crate::relay_api::{ApiError, RelayApi};
use crate::relay_trust::log_vkey;

/// Pauses between tries over a broken line, in seconds.
const PAUSES: [u64; 4] = [1, 2, 4, 8];
/// An export that brings nothing for so long has lost its line.
const SILENCE: Duration = Duration::from_secs(60);

/// Options of `trail export`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Folder for account, records, verification key and a note on how to check them
    #[arg(long, value_name = "DIR", default_value = "account")]
    out: PathBuf,
    /// Who reads: a member of this facility. It is recorded.
    #[arg(long, value_name = "MEMBER")]
    person: MemberId,
    /// From this day (Japan) or time (RFC 3339) on
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// To the end of this day (Japan), or before this time (RFC 3339)
    #[arg(long, value_name = "DAY")]
    to: Option<String>,
    /// Only what concerns this patient, by number: an extract, not complete
    #[arg(long, value_name = "NUMBER")]
    patient: Option<String>,
    /// Only what this person did, by member id or name: an extract, not complete
    #[arg(long, value_name = "PERSON")]
    by: Option<String>,
    /// Only what concerns this submission: an extract, not complete
    #[arg(long, value_name = "ID")]
    submission: Option<SubmissionId>,
    /// In which form
    #[arg(long, value_enum, default_value = "csv")]
    format: Form,
    /// Size of a checkpoint kept earlier, or a file with one, with which the records shall be comparable; may be repeated. Without
    /// it: those of the receipts in the outbox
    #[arg(long, value_name = "SIZE|FILE")]
    held: Vec<String>,
    /// Write the CSV for spreadsheets that read Shift_JIS alone
    #[arg(long)]
    shift_jis: bool,
}

/// The forms of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// A table
    Csv,
    /// Records as committed
    Jsonl,
    /// FHIR R4 AuditEvent
    Fhir,
    /// DICOM PS3.15 audit messages
    Dicom,
    /// A page of figures to print
    Pdf,
}

impl Form {
    fn asked(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
            Self::Fhir => "fhir",
            Self::Dicom => "dicom",
            Self::Pdf => "pdf",
        }
    }

    fn file(self) -> &'static str {
        match self {
            Self::Csv => "account.csv",
            Self::Jsonl => RECORDS,
            Self::Fhir => "account.fhir.ndjson",
            Self::Dicom => "account.dicom.txt",
            Self::Pdf => "account.pdf",
        }
    }

    /// Position of the record of a line, where an export in this form can go on.
    fn position(self, line: &[u8]) -> Option<u64> {
        let text = String::from_utf8_lossy(line);
        let behind = |mark: &str, end: char| {
            text.split_once(mark)
                .and_then(|(_, rest)| Some(rest.split_once(end)?.0.to_owned()))
        };
        match self {
            Self::Csv => text.trim_start_matches('\u{feff}').split_once(',')?.0.parse().ok(),
            Self::Fhir => behind("\"id\":\"trail-", '"')?.parse().ok(),
            Self::Dicom => {
                let bytes = STANDARD.decode(behind("type=\"position\" value=\"", '"')?).ok()?;
                String::from_utf8(bytes).ok()?.parse().ok()
            }
            Self::Jsonl => {
                let line: Proven = serde_json::from_slice(line).ok()?;
                line.position
                    .or_else(|| line.skipped.and_then(|[_, to]| to.checked_sub(1)))
            }
            // Begun anew: it is a whole.
            Self::Pdf => None,
        }
    }
}

const RECORDS: &str = "trail.jsonl";
/// The relay cuts an export at no more checkpoints.
const MOST_HELD: usize = 100;
/// Receipts looked at.
const MOST_RECEIPTS: usize = 10_000;

/// A line of the records: a record, or what stands for those left out.
#[derive(serde::Deserialize)]
struct Proven {
    position: Option<u64>,
    skipped: Option<[u64; 2]>,
}

/// Runs it.
///
/// # Errors
/// What the relay says; a day or time that is none.
pub(super) fn run(context: &Context, options: &Options) -> Result<Exit, Failure> {
    let (home, output) = (context.home()?, &context.output);
    let query = query(options)?;
    files::create_directory(&options.out)?;
    let mut written = Vec::new();
    context.block_on(async {
        let api = connect(&home, output.language).await?;
        let vkey = log_vkey(&home, &api).await?;
        let held = held(&options.held, &Outbox::of(&home), &vkey)?;
        let also = Some(options.format).filter(|form| *form != Form::Jsonl);
        // The records first, then the other form of the same reading.
        let records = Asked {
            form: Form::Jsonl,
            query: with_held(&query, &held, also),
        };
        let reading = download(&api, options, &records, None).await?;
        if let Some(form) = also {
            let asked = Asked {
                form,
                query: query.clone(),
            };
            download(&api, options, &asked, reading).await?;
            written.push(options.out.join(form.file()));
        }
        written.push(options.out.join(RECORDS));
        let key = options.out.join("log.vkey");
        files::write_atomically(&key, format!("{}\n", vkey.trim()).as_bytes())?;
        written.push(key);
        Ok(())
    })?;
    let note = options.out.join("README.txt");
    files::write_atomically(&note, NOTE.as_bytes())?;
    written.push(note);
    let extract = options.patient.is_some() || options.by.is_some() || options.submission.is_some();
    let names: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
    let mut text = names.join("\n");
    if extract {
        text.push_str(output.pick("\n抜粋であり、全記録ではありません。", "\nAn extract, not complete."));
    }
    output.print(&json!({ "files": names, "extract": extract }), &text);
    Ok(Exit::Done)
}

/// What stands beside every export.
const NOTE: &str = "\
監査証跡の出力 / an account from the audit trail

trail.jsonl は記録そのものです。変更・削除・挿入・並べ替え・欠落がないことは、次の命令で、中継所に接続せずに確かめられます。
trail.jsonl holds the records themselves. That none was changed, removed, inserted or reordered is checked offline by

    hikyaku trail verify trail.jsonl --log-key log.vkey

log.vkey が中継所のものであることは、中継所の運用者に確かめてください。account.* は同じ読み出しの同じ記録から作られ、最後の行
(account.pdf では「証跡との対応」) にその読み出しまでのルートハッシュがあります。上の命令が表示するものと同じはずです。
患者・操作者・送信で絞り込んだ出力は抜粋であり、全記録ではありません。
Ask the relay's operator whether log.vkey is the relay's. account.* is the same records of the same reading; its last row (of
account.pdf the section 証跡との対応) names the root over everything up to that reading, which the command above names too.
An export narrowed by patient, person or submission is an extract, not complete.
";

/// What is downloaded.
struct Asked {
    form: Form,
    query: String,
}

/// Downloads one form of a reading, which is a new one if none is named; over a broken line it goes on behind the last whole line,
/// or begins anew. The reading.
async fn download(
    api: &RelayApi,
    options: &Options,
    asked: &Asked,
    reading: Option<u64>,
) -> Result<Option<u64>, Failure> {
    let form = asked.form;
    let target = options.out.join(form.file());
    let mut draft = Draft::create(&target)?;
    let unwritable = |error: std::io::Error| files::unwritable(&target, &error);
    let mut query = format!("{}&format={}", asked.query, form.asked());
    if options.shift_jis {
        query.push_str("&encoding=shift_jis");
    }
    let mut pauses = PAUSES.iter();
    let mut at = At {
        reading,
        ..At::default()
    };
    loop {
        draft.file.set_len(at.good).map_err(unwritable)?;
        draft.file.seek(SeekFrom::Start(at.good)).map_err(unwritable)?;
        let mut path = format!("/v1/trail?{query}");
        for (name, value) in [("after", at.after), ("reading", at.reading)] {
            if let Some(position) = value {
                // Writing to memory does not fail.
                let _ = write!(path, "&{name}={position}");
            }
        }
        let broken = match receive(api, &path, &options.person, &mut draft, form, &mut at).await {
            Ok(()) => return draft.commit().map(|()| at.reading),
            // The reading is over: it goes on as another.
            Err(Stop::Failure(failure)) if failure.code() == "bad_request" && at.reading.take().is_some() => continue,
            Err(Stop::Failure(failure)) => return Err(failure),
            Err(Stop::Line(cause)) => cause,
        };
        if at.after.is_none() {
            at.good = 0;
        }
        match pauses.next() {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(*seconds)).await,
            None => return Err(Failure::new(Code::RelayUnreachable, broken)),
        }
    }
}

/// How far a download has come.
#[derive(Default)]
struct At {
    /// Position of the record that says it was read.
    reading: Option<u64>,
    /// Bytes up to the last whole line whose position is known.
    good: u64,
    /// That position.
    after: Option<u64>,
}

/// Why one try ended early.
enum Stop {
    Line(String),
    Failure(Failure),
}

/// Writes what comes.
async fn receive(
    api: &RelayApi,
    path: &str,
    person: &MemberId,
    draft: &mut Draft,
    form: Form,
    at: &mut At,
) -> Result<(), Stop> {
    let response = api.trail(path, person).await.map_err(|error| match error {
        ApiError::Unreachable(cause) => Stop::Line(cause),
        other => Stop::Failure(other.into()),
    })?;
    let reading = response.headers().get("hikyaku-reading");
    let reading = reading.and_then(|position| position.to_str().ok()?.parse().ok());
    at.reading = at.reading.or(reading);
    let (mut body, mut line, mut length) = (response.into_body(), Vec::new(), at.good);
    loop {
        let frame = tokio::time::timeout(SILENCE, body.frame()).await;
        let Some(frame) = frame.map_err(|_| Stop::Line("the line is silent".to_owned()))? else {
            return Ok(());
        };
        let frame = frame.map_err(|error| Stop::Line(error.to_string()))?;
        let Ok(bytes) = frame.into_data() else { continue };
        let written = draft.file.write_all(&bytes);
        written.map_err(|error| Stop::Failure(Failure::new(Code::FileUnwritable, error.to_string())))?;
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            line.extend_from_slice(part);
            length += part.len() as u64;
            if part.ends_with(b"\n") {
                if let Some(position) = form.position(&line) {
                    (at.good, at.after) = (length, Some(position));
                }
                line.clear();
            }
        }
    }
}

/// The query of the records: comparable with what is held, and to be written in another form besides.
fn with_held(query: &str, held: &[u64], also: Option<Form>) -> String {
    let sizes: Vec<String> = held.iter().map(u64::to_string).collect();
    let mut query = format!("{query}&held={}", sizes.join(","));
    if let Some(form) = also {
        // Writing to memory does not fail.
        let _ = write!(query, "&also={}", form.asked());
    }
    query
}

/// Sizes of the checkpoints that are named, else of those in the receipts that were kept: what the relay promised then, the
/// records are compared with.
fn held(named: &[String], outbox: &Outbox, vkey: &str) -> Result<Vec<u64>, Failure> {
    let mut sizes = Vec::new();
    for named in named {
        if let Ok(size) = named.parse() {
            sizes.push(size);
            continue;
        }
        let path = std::path::Path::new(named);
        let text = files::read_small(path)?;
        let note = String::from_utf8_lossy(&text);
        let checkpoint = Checkpoint::verify(checkpoint_in(&note), vkey);
        sizes.push(
            checkpoint
                .map_err(|error| Failure::new(Code::FileMalformed, format!("{named}: {error}")))?
                .size,
        );
    }
    if named.is_empty() {
        let receipts = outbox.receipts(MOST_RECEIPTS)?;
        let of_receipt = |receipt: Receipt| Checkpoint::verify(checkpoint_in(&receipt.proof), vkey).ok();
        sizes.extend(
            receipts
                .into_iter()
                .filter_map(of_receipt)
                .map(|checkpoint| checkpoint.size),
        );
    }
    sizes.sort_unstable();
    sizes.dedup();
    Ok(spread(&sizes))
}

/// As many as the relay cuts an export at: the first, the last, and others evenly between.
fn spread(sizes: &[u64]) -> Vec<u64> {
    let Some(last) = sizes.len().checked_sub(1).filter(|last| *last >= MOST_HELD) else {
        return sizes.to_vec();
    };
    let places = (0..MOST_HELD).map(|place| place * last / (MOST_HELD - 1));
    places.filter_map(|place| sizes.get(place).copied()).collect()
}

/// The part of the query that all forms share.
fn query(options: &Options) -> Result<String, Failure> {
    let mut parts = Vec::new();
    for (name, value) in [
        ("from", moment("--from", options.from.as_deref(), false)?),
        ("to", moment("--to", options.to.as_deref(), true)?),
        ("patient", options.patient.clone()),
        ("person", options.by.clone()),
        ("submission", options.submission.as_ref().map(ToString::to_string)),
    ] {
        parts.extend(value.map(|value| format!("{name}={}", encoded(&value))));
    }
    Ok(parts.join("&"))
}

/// [RFC 3986](https://www.rfc-editor.org/rfc/rfc3986) §2: everything but unreserved characters as octets.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to memory does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// A time, or a day of Japan: its begin, or with `last` its end.
fn moment(argument: &str, text: Option<&str>, last: bool) -> Result<Option<String>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let refused = || {
        let expected = "a day such as 2026-11-22 or a time such as 2026-11-22T00:00:00+09:00";
        Failure::new(Code::Arguments, format!("{argument} must be {expected}"))
    };
    let time = match Date::parse(text, format_description!("[year]-[month]-[day]")) {
        Ok(day) => {
            let day = if last { day.next_day() } else { Some(day) };
            day.unwrap_or(Date::MAX).midnight().assume_offset(offset!(+9))
        }
        Err(_) => OffsetDateTime::parse(text, &Rfc3339).map_err(|_| refused())?,
    };
    time.format(&Rfc3339).map(Some).map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_its_position() {
        assert_eq!(Form::Csv.position(b"17,2026-11-22T01:00:00.000Z,\r\n"), Some(17));
        assert_eq!(Form::Csv.position("\u{feff}position,time_utc\r\n".as_bytes()), None);
        assert_eq!(
            Form::Fhir.position(br#"{"action":"R","id":"trail-17","resourceType":"AuditEvent"}"#),
            Some(17)
        );
        let line = br#"<ParticipantObjectDetail type="position" value="MTc="/>"#;
        assert_eq!(Form::Dicom.position(line), Some(17));
        assert_eq!(Form::Jsonl.position(br#"{"position":17,"body":"{}"}"#), Some(17));
        assert_eq!(Form::Jsonl.position(br#"{"skipped":[3,18],"nodes":[]}"#), Some(17));
        assert_eq!(Form::Jsonl.position(br#"{"trail":"hikyaku-trail/1"}"#), None);
        assert_eq!(Form::Pdf.position(b"%PDF-1.7\n"), None);
    }

    #[test]
    fn what_is_held_is_spread_over_what_the_relay_cuts_at() {
        let sizes: Vec<u64> = (1..=1000).collect();
        let few = spread(&sizes);
        assert_eq!((few.len(), few.first(), few.last()), (MOST_HELD, Some(&1), Some(&1000)));
        assert!(few.is_sorted());
        assert_eq!(spread(&[3, 7]), [3, 7]);
        assert!(spread(&[]).is_empty());
        assert_eq!(
            with_held("from=x", &[3, 7], Some(Form::Pdf)),
            "from=x&held=3,7&also=pdf"
        );
        assert_eq!(with_held("", &[], None), "&held=");
    }

    #[test]
    fn days_are_japans_and_texts_are_encoded() {
        let day = |last| moment("--to", Some("2026-03-31"), last).unwrap().unwrap();
        assert_eq!(day(false), "2026-03-31T00:00:00+09:00");
        assert_eq!(day(true), "2026-04-01T00:00:00+09:00");
        assert!(moment("--to", Some("April"), true).is_err());
        assert_eq!(encoded("看護+1&x"), "%E7%9C%8B%E8%AD%B7%2B1%26x");
    }
}
