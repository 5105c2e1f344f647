//! `hikyaku fetch`: how a letter comes down. Resumed, compared with what the relay recorded, judged, unpacked: in that order.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use formats::asice::Unpacker;
use formats::asice::archive::Archive;
use formats::wire::{MemberId, Purpose, SubmissionId, SubmissionStatus};
use http::{StatusCode, header};
use serde_json::json;
use time::OffsetDateTime;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use trust_store::report::{Indication, ValidationReport};
use trust_store::{Evidence, Subject, TrustStore};

use crate::archive::{Made, derive_to};
use crate::config::Home;
use crate::context::Context;
use crate::enrol::connect;
use crate::error::{Code, Exit, Failure};
use crate::output::Output;
use crate::relay_api::{ApiError, Pace, RelayApi};
use crate::relay_trust::{known_policy, read_container, relay_trust};
use crate::{files, trust};

/// Pauses between tries over a broken line, in seconds.
const PAUSES: [u64; 4] = [1, 2, 4, 8];

/// A fetched submission.
#[derive(Debug)]
pub struct Fetched {
    /// The container on disk, as the sender signed it.
    pub container: PathBuf,
    /// The relay's evidence beside it.
    pub evidence: PathBuf,
    /// The verdict made here.
    pub report: ValidationReport,
    /// Folder of the unpacked files; `None` if the verdict does not allow it.
    pub folder: Option<PathBuf>,
    /// Number of unpacked files.
    pub files: usize,
    /// The archive, B-LTA, where it was asked for.
    pub archive: Option<PathBuf>,
}

/// Options of `fetch`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Submission, as `inbox` lists it
    #[arg(value_name = "ID")]
    pub id: SubmissionId,
    /// Who fetches: a member of this facility. It is recorded.
    #[arg(long, value_name = "MEMBER")]
    pub person: MemberId,
    /// Folder for container, evidence, report and unpacked files
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub out: PathBuf,
    /// Judge with these anchors and this policy [default: the relay's]
    #[arg(long, value_name = "DIR")]
    pub trust: Option<PathBuf>,
    /// Make the file that outlives its certificates too (B-LTA): ID.archive.asice
    #[arg(long)]
    pub archival: bool,
    /// Tell the sender that it has arrived and is readable
    #[arg(long)]
    pub acknowledge: bool,
}

/// Runs it.
///
/// # Errors
/// What the relay says.
pub fn run(context: &Context, options: &Options) -> Result<Exit, Failure> {
    let (home, output) = (context.home()?, &context.output);
    let given = options.trust.as_deref().map(trust::load).transpose()?;
    let (fetched, acknowledged, changed) = context.block_on(async {
        let api = connect(&home, output.language).await?;
        let (trust, changed) = match given {
            Some(trust) => (trust, false),
            None => current_trust(&home, &api).await?,
        };
        if changed {
            output.say(output.pick(
                "中継サーバーの信頼点または検証ポリシーが前回から変わりました。心当たりがなければ運用者に確かめ、--trust で自施設の信頼点を指定してください。",
                "The relay's trust anchors or policy have changed since last time. If you were not told, ask its operator, and judge by your own with --trust.",
            ));
        }
        let mut fetched = fetch(&api, &options.id, &options.person, &trust, &options.out, output).await?;
        if options.archival && fetched.report.passed() {
            archival(&api, &options.id, &trust, &mut fetched).await?;
        }
        let acknowledge = options.acknowledge && fetched.report.passed();
        if acknowledge {
            api.acknowledge(&options.id, &options.person).await?;
        }
        Ok((fetched, acknowledge, changed))
    })?;
    let value = json!({
        "id": options.id, "container": fetched.container, "evidence": fetched.evidence, "folder": fetched.folder,
        "files": fetched.files, "archive": fetched.archive, "acknowledged": acknowledged, "trust_changed": changed,
        "report": fetched.report,
    });
    output.print(&value, &describe(&fetched, output));
    Ok(match fetched.report.indication {
        Indication::TotalPassed => Exit::Done,
        Indication::TotalFailed => Exit::Refused,
        Indication::Indeterminate => Exit::Indeterminate,
    })
}

/// The relay's own trust as it is now, and whether that is another than when this machine last heard it.
async fn current_trust(home: &Home, api: &RelayApi) -> Result<(TrustStore, bool), Failure> {
    let known = known_policy(home, api).await?;
    match known.unreachable {
        Some(cause) => Err(Failure::new(Code::RelayUnreachable, cause)),
        None => Ok((relay_trust(&known.policy)?, known.changed)),
    }
}

/// Fetches one submission into `out` as `person`, judges it with `trust` and the relay's evidence, and unpacks it if it passes.
///
/// # Errors
/// What the relay says; [`Code::RelayAnswer`] if the bytes are not those the relay has recorded.
pub async fn fetch(
    api: &RelayApi,
    id: &SubmissionId,
    person: &MemberId,
    trust: &TrustStore,
    out: &Path,
    output: &Output,
) -> Result<Fetched, Failure> {
    let status = api.status(id).await?;
    files::create_directory(out)?;
    let container = out.join(format!("{id}.asice"));
    download(api, &status, person, &container, output).await?;
    let evidence_file = out.join(format!("{id}.evidence.json"));
    let evidence = kept_evidence(&evidence_file, &api.evidence(id).await?)?;

    let read = read_container(&container)?;
    if read.envelope.as_ref().is_some_and(|envelope| envelope.id != *id) {
        return Err(Failure::new(
            Code::RelayAnswer,
            format!("{id}: the relay sent another submission"),
        ));
    }
    let paths: Vec<String> = read.files.iter().map(|file| file.path.clone()).collect();
    let subject = Subject::Container(Box::new(read));
    let mut validated = trust.validate(subject.clone(), evidence, OffsetDateTime::now_utc());
    // What the stamp's authority said at intake may have run out since: the relay asks it again. Where it does not answer now, the
    // verdict that there is says what is missing.
    if !validated.report().passed()
        && validated.may_pass_later()
        && let Ok(current) = api.current_evidence(id).await
    {
        let evidence = kept_evidence(&evidence_file, &current)?;
        validated = trust.validate(subject, evidence, OffsetDateTime::now_utc());
    }
    let report = validated.report().clone();
    let text =
        serde_json::to_vec_pretty(&report).map_err(|error| Failure::new(Code::FileUnwritable, error.to_string()))?;
    files::write_atomically(&out.join(format!("{id}.report.json")), &text)?;
    let folder = if report.passed() {
        Some(unpack(&container, &paths, &out.join(id.as_str()))?)
    } else {
        None
    };
    Ok(Fetched {
        container,
        evidence: evidence_file,
        report,
        folder,
        files: paths.len(),
        archive: None,
    })
}

/// Writes what the relay says down, once it can be read.
fn kept_evidence(file: &Path, text: &str) -> Result<Evidence, Failure> {
    let evidence = Evidence::from_json(text)
        .map_err(|error| Failure::new(Code::RelayAnswer, format!("the relay's evidence: {error}")))?;
    files::write_atomically(file, text.as_bytes())?;
    Ok(evidence)
}

/// Turns the fetched container into its archive with the entries the relay keeps. Done only when the file passes at B-LTA by its
/// own evidence, read back from the disk; the report is then the archive's.
async fn archival(api: &RelayApi, id: &SubmissionId, trust: &TrustStore, fetched: &mut Fetched) -> Result<(), Failure> {
    let text = match api.archive(id).await {
        // It is still being made.
        Err(ApiError::Problem(problem)) if problem.code == "archive_absent" => {
            let exit = Exit::Indeterminate;
            return Err(Failure::Relay { problem, exit });
        }
        other => other?,
    };
    let entries = Archive::from_json(&text).map_err(|error| Failure::new(Code::RelayAnswer, error.to_string()))?;
    let mut source = BufReader::new(files::open(&fetched.container)?);
    let target = fetched.container.with_extension("archive.asice");
    let sha256 = sha256_of(&fetched.container);
    if sha256 != Some(hex::encode(entries.container_sha256)) {
        return Err(Failure::new(
            Code::RelayAnswer,
            format!("{id}: the relay sent the archive of another container"),
        ));
    }
    match derive_to(trust, &mut source, &entries, &target, &Evidence::default())? {
        Made::Archive { report, .. } => {
            fetched.report = *report;
            fetched.archive = Some(target);
            Ok(())
        }
        Made::Fails { report } => {
            let reason = report.reason().map_or_else(String::new, |check| check.detail.clone());
            Err(Failure::new(Code::NoArchive, format!("{id}: {reason}")))
        }
        _ => Err(Failure::new(Code::NoArchive, id.to_string())),
    }
}

/// Brings the container down, going on where an earlier try ended, and compares it with what the relay has recorded.
async fn download(
    api: &RelayApi,
    status: &SubmissionStatus,
    person: &MemberId,
    target: &Path,
    output: &Output,
) -> Result<(), Failure> {
    if sha256_of(target).is_some_and(|have| have == status.container_sha256) {
        return Ok(());
    }
    // The relay says how large it is: it does not get to fill the disk with what turns out to be something else.
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
    let space = fs4::available_space(folder.unwrap_or(Path::new("."))).unwrap_or(u64::MAX);
    if status.size > space {
        let sizes = format!("{} > {space} bytes", status.size);
        return Err(Failure::new(
            Code::FileUnwritable,
            format!("{}: {sizes}", target.display()),
        ));
    }
    let part = target.with_extension("asice.part");
    let bar = output.bar(output.pick("受信", "fetching"), status.size);
    let mut pauses = PAUSES.into_iter();
    loop {
        match download_rest(api, status, person, &part, |at| bar.set_position(at)).await {
            Ok(()) => break,
            Err(Stop::Line(cause)) => match pauses.next() {
                Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
                None => return Err(Failure::new(Code::RelayUnreachable, cause)),
            },
            Err(Stop::Failure(failure)) => return Err(failure),
        }
    }
    bar.finish_and_clear();
    if sha256_of(&part).is_none_or(|have| have != status.container_sha256) {
        let _ = std::fs::remove_file(&part);
        return Err(Failure::new(
            Code::RelayAnswer,
            format!("{}: not the bytes the relay has recorded", status.id),
        ));
    }
    std::fs::rename(&part, target).map_err(|error| files::unwritable(target, &error))?;
    files::sync_directory_of(target);
    Ok(())
}

/// Why one try ended early.
enum Stop {
    Line(String),
    Failure(Failure),
}

impl From<ApiError> for Stop {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Unreachable(cause) => Self::Line(cause),
            other => Self::Failure(other.into()),
        }
    }
}

async fn download_rest(
    api: &RelayApi,
    status: &SubmissionStatus,
    person: &MemberId,
    part: &Path,
    progress: impl Fn(u64),
) -> Result<(), Stop> {
    let unwritable = |error: std::io::Error| Stop::Failure(files::unwritable(part, &error));
    let mut options = tokio::fs::File::options();
    options.create(true).write(true).truncate(false);
    #[cfg(unix)]
    options.mode(0o600);
    let mut file = options.open(part).await.map_err(unwritable)?;
    let have = file.metadata().await.map_err(unwritable)?.len();
    if have == status.size && have > 0 {
        return Ok(());
    }
    let from = if have < status.size { have } else { 0 };
    let response = api.container(&status.id, person, Purpose::Import, from).await?;
    // A relay that ignores the range sends everything: begin again.
    let begins = response
        .headers()
        .get(header::CONTENT_RANGE)
        .and_then(|value| value.to_str().ok());
    let resumes = response.status() == StatusCode::PARTIAL_CONTENT
        && begins.is_some_and(|value| value.starts_with(&format!("bytes {from}-")));
    let mut at = if resumes { from } else { 0 };
    file.set_len(at).await.map_err(unwritable)?;
    file.seek(SeekFrom::Start(at)).await.map_err(unwritable)?;
    let (mut body, mut pace) = (response.into_body(), Pace::new());
    while let Some(bytes) = pace.next(&mut body).await? {
        at += bytes.len() as u64;
        if at > status.size {
            // What came so far is no beginning of the letter.
            let _ = file.set_len(0).await;
            return Err(Stop::Failure(Failure::new(
                Code::RelayAnswer,
                format!("{}: more bytes than recorded", status.id),
            )));
        }
        file.write_all(&bytes).await.map_err(unwritable)?;
        progress(at);
    }
    file.sync_all().await.map_err(unwritable)?;
    if at < status.size {
        Err(Stop::Line("the line broke".to_owned()))
    } else {
        Ok(())
    }
}

/// Takes every file out, byte for byte, below `folder`. Names were checked when the container was read; what only this
/// system would misunderstand is refused here.
fn unpack(container: &Path, paths: &[String], folder: &Path) -> Result<PathBuf, Failure> {
    let mut reader = BufReader::new(files::open(container)?);
    let malformed = |error: formats::asice::UnpackError| Failure::new(Code::Container, error.to_string());
    let unpacker = Unpacker::open(&mut reader).map_err(malformed)?;
    for path in paths {
        let target = folder.join(safe_here(path)?);
        if let Some(parent) = target.parent() {
            files::create_directory(parent)?;
        }
        let mut draft = files::Draft::create(&target)?;
        unpacker
            .extract(&mut reader, path, &mut draft.file)
            .map_err(malformed)?;
        draft.commit()?;
    }
    Ok(folder.to_owned())
}

fn describe(fetched: &Fetched, output: &Output) -> String {
    let unpacked = match &fetched.folder {
        Some(folder) => output
            .pick(
                "{files} 個のファイルを {folder} に取り出しました。",
                "{files} files unpacked to {folder}.",
            )
            .replace("{files}", &fetched.files.to_string())
            .replace("{folder}", &folder.display().to_string()),
        None => output
            .pick(
                "検証に合格しなかったため、ファイルは取り出していません。",
                "Nothing was unpacked, because the verification did not pass.",
            )
            .to_owned(),
    };
    let mut lines = vec![
        fetched.report.sentence(output.language),
        fetched.container.display().to_string(),
    ];
    lines.extend(fetched.archive.as_ref().map(|archive| archive.display().to_string()));
    lines.push(unpacked);
    lines.join("\n")
}

/// A container's name as a relative path of this system. Windows gives meaning to characters and names that others do not.
fn safe_here(path: &str) -> Result<PathBuf, Failure> {
    const DEVICES: [&str; 4] = ["CON", "PRN", "AUX", "NUL"];
    let special = |component: &str| {
        let stem = component
            .split('.')
            .next()
            .unwrap_or_default()
            .trim_end()
            .to_ascii_uppercase();
        let numbered = stem.len() == 4 && (stem.starts_with("COM") || stem.starts_with("LPT"));
        component.contains([':', '*', '?', '"', '<', '>', '|'])
            || component.ends_with(['.', ' '])
            || DEVICES.contains(&stem.as_str())
            || numbered
    };
    let refused = path
        .split('/')
        .any(|component| component.is_empty() || component == "." || component == "..")
        || (cfg!(windows) && path.split('/').any(special));
    if refused {
        return Err(Failure::new(
            Code::Container,
            format!("{path}: a name this system cannot hold"),
        ));
    }
    Ok(path.split('/').collect())
}

fn sha256_of(path: &Path) -> Option<String> {
    use sha2::Digest;
    let mut file = File::open(path).ok()?;
    file.seek(SeekFrom::Start(0)).ok()?;
    let mut hasher = sha2::Sha256::new();
    let mut block = vec![0; 1 << 20];
    loop {
        match file.read(&mut block).ok()? {
            0 => return Some(hex::encode(hasher.finalize())),
            read => hasher.update(block.get(..read)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_below_the_folder() {
        assert_eq!(safe_here("images/IM1").unwrap(), Path::new("images").join("IM1"));
        for wrong in ["", "..", "a/../b", "a//b", "/a", "a/."] {
            assert!(safe_here(wrong).is_err(), "{wrong}");
        }
    }
}
