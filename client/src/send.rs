//! `hikyaku send`: signs if need be, asks for the relay's own judgement at the desk, and hands the container to the outbox.

mod waiting;

use std::path::{Path, PathBuf};

use formats::wire::{Receipt, RelayPolicy, SubmissionId};
use serde_json::{Value, json};
use time::OffsetDateTime;
use trust_store::policy::SignerTimestamp;
use trust_store::report::Indication;
use trust_store::{Evidence, Policy};

use crate::context::Context;
use crate::enrol::connect;
use crate::error::{Code, Exit, Failure};
use crate::outbox::{Delivery, Entry, Outbox};
use crate::output::Output;
use crate::relay_api::RelayApi;
use crate::relay_trust::{Passage, foresee, known_policy, pass_through};
use crate::sign::key::KeyOptions;
use crate::sign::{self, Content};
use crate::{files, trust, tsa};

pub use waiting::pending;

/// Options of `send`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// What is sent: a letter with attachments, or one finished container (.asice). Nothing: what waits in the outbox.
    #[command(flatten)]
    pub content: Content,
    /// Who signs.
    #[command(flatten)]
    pub key: KeyOptions,
    /// RFC 3161 time-stamp authority [default: config.toml, else the relay's proxy]
    #[arg(long, value_name = "URL")]
    pub tsa: Option<String>,
    /// Evidence for the check before sending: a folder of certificates and CRLs
    #[arg(long, value_name = "DIR|FILE")]
    pub evidence: Option<PathBuf>,
    /// Put it into the outbox only
    #[arg(long)]
    pub later: bool,
}

/// Runs it.
///
/// # Errors
/// The codes of `sign`; [`Code::RelayUnreachable`] and [`Code::NothingSigned`] before anything is signed;
/// [`Code::WouldBeRefused`] before anything is sent; what the relay says.
pub fn run(context: &Context, options: &Options) -> Result<Exit, Failure> {
    let home = context.home()?;
    let outbox = Outbox::of(&home);
    let Some(letter) = &options.content.letter else {
        return send_waiting(context, &outbox);
    };
    let api = context.block_on(connect(&home, context.output.language))?;
    files::create_directory(home.path())?;
    // Before anybody signs: what could not be judged or stamped here is not worth a doctor's PIN.
    let known = context.block_on(known_policy(&home, &api))?;
    let made = Scratch::below(home.path(), "signed");
    let container = if is_container(letter)? {
        letter.clone()
    } else {
        let authority = options.tsa.clone().or(context.config()?.tsa);
        let relay_adds = adds_stamps(&known.policy);
        if let (Some(cause), None, false) = (&known.unreachable, &authority, relay_adds) {
            return Err(Failure::new(Code::NothingSigned, cause));
        }
        let source = match authority.as_deref() {
            Some(url) => Source::Authority(url),
            None if relay_adds => Source::Later,
            None => Source::Relay(&api),
        };
        sign_here(context, options, &source, &made.0)?;
        made.0.clone()
    };
    let id = post(context, options, &known.policy, &outbox, &container)?;
    if options.later || known.unreachable.is_some() {
        if let Some(cause) = &known.unreachable {
            let text = context
                .output
                .pick("中継サーバーに接続できません", "The relay cannot be reached");
            context.output.say(&format!("{text}: {cause}"));
        }
        let text = context.output.pick(
            "{} は送信箱に入りました。`hikyaku send` で送信します。",
            "{} is in the outbox; `hikyaku send` sends it later.",
        );
        context.output.print(
            &json!({ "id": id, "state": "outbox" }),
            &text.replace("{}", id.as_str()),
        );
        return Ok(if options.later { Exit::Done } else { Exit::Indeterminate });
    }
    let delivery = context.block_on(outbox.deliver(&api, &id, &context.output))?;
    let (value, text, exit) = report(&id, &delivery, &context.output);
    context.output.print(&value, &text);
    Ok(exit)
}

/// A file of this run, removed when it ends.
struct Scratch(PathBuf);

impl Scratch {
    fn below(folder: &Path, name: &str) -> Self {
        Self(folder.join(format!(".{name}-{}.asice", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Where the time stamp comes from.
enum Source<'a> {
    /// The clinic's own authority.
    Authority(&'a str),
    /// The relay's proxy.
    Relay(&'a RelayApi),
    /// The relay adds it when it takes the letter in.
    Later,
}

/// Whether the relay's policy lets it add the time stamp a signature came without.
fn adds_stamps(policy: &RelayPolicy) -> bool {
    Policy::from_toml(&policy.policy_toml).is_ok_and(|policy| policy.signer_timestamp == SignerTimestamp::RelayAdds)
}

/// Signs, with a time stamp if one is to be made here.
fn sign_here(context: &Context, options: &Options, source: &Source<'_>, out: &Path) -> Result<(), Failure> {
    let mut stamp = |signature: &[u8]| match source {
        Source::Authority(url) => context.block_on(tsa::stamp(url, signature)).map(Some),
        Source::Later => Ok(None),
        Source::Relay(api) => {
            let request = tsa::request(signature)?;
            let response = context.block_on(async { Ok(api.timestamp(request.encode()).await?) })?;
            tsa::token(&request, &response).map(Some)
        }
    };
    sign::container(context, &options.content, &options.key, &mut stamp, out).map(|_| ())
}

/// Checks a container as the relay will and puts it into the outbox.
fn post(
    context: &Context,
    options: &Options,
    policy: &RelayPolicy,
    outbox: &Outbox,
    container: &Path,
) -> Result<SubmissionId, Failure> {
    let home = context.home()?;
    let repacked = Scratch::below(home.path(), "repacked");
    let (container, read) = match pass_through(container)? {
        Passage::Conforms(read) => (container, read),
        Passage::Foreign(_) => {
            repack(container, &repacked.0)?;
            match pass_through(&repacked.0)? {
                Passage::Conforms(read) => (repacked.0.as_path(), read),
                Passage::Foreign(why) => return Err(Failure::new(Code::WouldBeRefused, why)),
            }
        }
    };
    let (sha256, length) = (hex::encode(read.sha256), read.size);
    let Some(id) = read.envelope.as_ref().map(|envelope| envelope.id.clone()) else {
        return Err(Failure::new(
            Code::WouldBeRefused,
            context.output.pick(
                "封筒 (submission.json) がありません",
                "it has no envelope (submission.json)",
            ),
        ));
    };
    let evidence = match &options.evidence {
        Some(folder) => trust::evidence(folder)?,
        None => Evidence::default(),
    };
    let facility = home.config()?.facility.unwrap_or_default();
    let report = foresee(
        policy,
        &facility,
        *read,
        evidence,
        OffsetDateTime::now_utc(),
        context.output,
    )?;
    // What is still open here (revocation, perhaps a stamp) is for the relay to ask; a refusal has ended the command above.
    let known = match report.indication {
        Indication::TotalPassed => report.sentence(context.output.language),
        _ => context
            .output
            .pick(
                "ここで確認できる範囲では問題ありません。失効の有無は中継サーバーが確認します。",
                "In order as far as can be checked here. Whether a certificate is revoked, the relay asks itself.",
            )
            .to_owned(),
    };
    context.output.say(&known);
    outbox.add(
        &Entry {
            id: id.clone(),
            sha256,
            length,
            upload: None,
            pending: None,
        },
        container,
    )?;
    Ok(id)
}

/// A container made by other software, rewritten into the profile the relay takes, without touching what is signed.
fn repack(container: &Path, out: &Path) -> Result<(), Failure> {
    let mut draft = files::Draft::create(out)?;
    let mut reader = std::io::BufReader::new(files::open(container)?);
    formats::asice::repack(&mut reader, &mut draft.file)
        .map_err(|error| Failure::new(Code::WouldBeRefused, error.to_string()))?;
    draft.commit()
}

/// Whether a file is a container already: by its first entry, or by its name where other software put another entry first.
fn is_container(file: &Path) -> Result<bool, Failure> {
    use std::io::Read;
    let mut head = Vec::new();
    files::open(file)?
        .take(4)
        .read_to_end(&mut head)
        .map_err(|error| files::unreadable(file, &error))?;
    let named = file
        .extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("asice") || ending.eq_ignore_ascii_case("sce"));
    Ok(named && head == *b"PK\x03\x04")
}

/// Sends everything that waits. Every letter is tried; the first failure's exit code is the answer, else 3 if one is pending.
/// JSON is one array with a value for each.
fn send_waiting(context: &Context, outbox: &Outbox) -> Result<Exit, Failure> {
    let output = &context.output;
    let waiting = outbox.entries()?;
    if waiting.is_empty() {
        output.print(
            &json!([]),
            output.pick("送信待ちはありません。", "Nothing waits in the outbox."),
        );
        return Ok(Exit::Done);
    }
    let api = context.block_on(connect(&context.home()?, output.language))?;
    let mut exit = Exit::Done;
    let mut failed = None;
    let mut values = Vec::new();
    let mut lines = Vec::new();
    for entry in waiting {
        match context.block_on(outbox.deliver(&api, &entry.id, output)) {
            Ok(delivery) => {
                let (value, text, ended) = report(&entry.id, &delivery, output);
                values.push(value);
                lines.push(text);
                if ended != Exit::Done {
                    exit = ended;
                }
            }
            Err(failure) => {
                let mut value = failure.to_json(output.language);
                value["id"] = json!(entry.id);
                values.push(value);
                if !output.json {
                    output.print_failure(&failure);
                }
                failed = failed.or(Some(failure.exit()));
            }
        }
    }
    output.print(&values.into(), &lines.join("\n"));
    Ok(failed.unwrap_or(exit))
}

/// What became of one letter: for programs, for people, and as exit code.
fn report(id: &SubmissionId, delivery: &Delivery, output: &Output) -> (Value, String, Exit) {
    match delivery {
        Delivery::Sent(receipt) => (
            json!({ "id": id, "state": "Accepted", "receipt": receipt }),
            sent(receipt, output),
            Exit::Done,
        ),
        Delivery::Pending(answer) => (
            serde_json::to_value(answer).unwrap_or(Value::Null),
            pending(answer, output),
            Exit::Indeterminate,
        ),
    }
}

fn sent(receipt: &Receipt, output: &Output) -> String {
    output
        .pick(
            "{id} は受け付けられました。受付証(記録番号 {position}、証明付き)を保存しました。",
            "{id} was accepted. Its receipt is kept here: record {position} of the relay's log, with proof.",
        )
        .replace("{id}", receipt.id.as_str())
        .replace("{position}", &receipt.position.to_string())
}
