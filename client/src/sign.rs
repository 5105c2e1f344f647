//! The first half of the send walk: letter and images → envelope, container, signature, time stamp. Also a detached signature
//! over any one file.

pub mod envelope;
pub mod key;
pub mod material;

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use formats::asice::{self, FilePlan, SignedManifest, WriteError};
use formats::cades::{self, DetachedContent, DetachedHasher, Profile, SignedData, SigningIdentity};
use formats::digest::{DigestAlgorithm, MultiHasher};
use formats::envelope::{ENVELOPE_PATH, Envelope};
use serde_json::json;
use time::OffsetDateTime;

use self::envelope::EnvelopeOptions;
use self::key::KeyOptions;
use self::material::Material;
use crate::context::Context;
use crate::error::{Code, Exit, Failure};
use crate::output::{Output, profession};
use crate::signer::{self, Signer};
use crate::{files, tsa};

/// Options of `sign`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// What is signed.
    #[command(flatten)]
    pub content: Content,
    /// Who signs.
    #[command(flatten)]
    pub key: KeyOptions,
    /// RFC 3161 time-stamp authority [default: config.toml; none: no time stamp, level B-B]
    #[arg(long, value_name = "URL")]
    pub tsa: Option<String>,
    /// The container to write [default: the letter's name with .asice], or the signature
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Sign this one file instead, into a detached .p7s
    #[arg(long, value_name = "FILE", conflicts_with_all = ["letter", "attachments"])]
    pub detached: Option<PathBuf>,
}

/// What is signed and sent.
#[derive(Debug, Clone, clap::Args)]
pub struct Content {
    /// The letter: FHIR, CDA, PDF or any other file
    #[arg(value_name = "LETTER")]
    pub letter: Option<PathBuf>,
    /// Images, folders of DICOM, and other files
    #[arg(value_name = "ATTACHMENT")]
    pub attachments: Vec<PathBuf>,
    /// Kind of the letter: Referral, DischargeSummary, VisitingNurseInstruction, MedicationReport, VisitingNurseReport, Reply or Other
    #[arg(long, value_name = "KIND", default_value = "Referral")]
    pub kind: String,
    /// Title of the letter
    #[arg(long, value_name = "TEXT", default_value = "診療情報提供書")]
    pub title: String,
    /// Who, about whom, to whom.
    #[command(flatten)]
    pub envelope: EnvelopeOptions,
}

/// A container just written.
#[derive(Debug, Clone)]
pub struct SignedContainer {
    /// Where it is.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Its envelope.
    pub envelope: Envelope,
    /// Whether it carries a time stamp.
    pub timestamped: bool,
}

/// Makes a time stamp over a SignatureValue; `None` leaves the signature at level B-B.
pub type Stamp<'a> = &'a mut dyn FnMut(&[u8]) -> Result<Option<Vec<u8>>, Failure>;

/// Runs it.
///
/// # Errors
/// Everything between disk and card: the codes of `error.rs`.
pub fn run(context: &Context, options: &Options) -> Result<Exit, Failure> {
    let config = context.config()?;
    let authority = options.tsa.clone().or(config.tsa);
    let mut stamp = |signature: &[u8]| {
        let Some(url) = &authority else { return Ok(None) };
        context.block_on(tsa::stamp(url, signature)).map(Some)
    };
    if let Some(file) = &options.detached {
        let out = options.out.clone().unwrap_or_else(|| with_ending(file, ".p7s"));
        refuse_existing(&out)?;
        let mut signer = options.key.signer(context)?;
        announce(context.output, signer.as_ref(), &[(file.display().to_string(), None)]);
        let signature = detached(signer.as_mut(), file, context.output, &mut stamp)?;
        files::write_atomically(&out, &signature)?;
        let text = format!("{} {}", context.output.pick("署名しました:", "Signed:"), out.display());
        context
            .output
            .print(&json!({ "signature": out, "timestamped": authority.is_some() }), &text);
        return Ok(Exit::Done);
    }
    let letter = options
        .content
        .letter
        .as_ref()
        .ok_or_else(|| Failure::new(Code::Arguments, "LETTER or --detached FILE"))?;
    let out = options.out.clone().unwrap_or_else(|| letter.with_extension("asice"));
    refuse_existing(&out)?;
    let signed = container(context, &options.content, &options.key, &mut stamp, &out)?;
    let text = format!(
        "{} {} ({} bytes, {})",
        context.output.pick("署名しました:", "Signed:"),
        out.display(),
        signed.size,
        if signed.timestamped { "B-T" } else { "B-B" }
    );
    context.output.print(
        &json!({
            "container": out, "id": signed.envelope.id, "size": signed.size, "timestamped": signed.timestamped,
        }),
        &text,
    );
    Ok(Exit::Done)
}

/// Gathers, signs, stamps and writes one container. What `sign` and `send` share.
///
/// # Errors
/// As [`run`]. The container is written whole or not at all.
pub fn container(
    context: &Context,
    content: &Content,
    key: &KeyOptions,
    stamp: Stamp<'_>,
    out: &Path,
) -> Result<SignedContainer, Failure> {
    let letter = content
        .letter
        .as_ref()
        .ok_or_else(|| Failure::new(Code::Arguments, "LETTER"))?;
    let material = Material::gather(letter, &content.kind, &content.title, &content.attachments)?;
    let now = OffsetDateTime::now_utc();
    let envelope = envelope::build(&content.envelope, &context.config()?, &material, now)?;
    let mut signer = key.signer(context)?;
    let listed: Vec<(String, Option<u64>)> = material
        .sources
        .iter()
        .map(|source| (source.path.clone(), Some(source.size)))
        .collect();
    announce(context.output, signer.as_ref(), &listed);
    seal(signer.as_mut(), &material, envelope, context.output, stamp, out)
}

/// Signs and writes: measure every file, sign the manifest, stamp, write while measuring again.
///
/// # Errors
/// As [`container`].
pub fn seal(
    signer: &mut dyn Signer,
    material: &Material,
    envelope: Envelope,
    output: Output,
    stamp: Stamp<'_>,
    out: &Path,
) -> Result<SignedContainer, Failure> {
    let envelope_bytes = envelope
        .to_json()
        .map_err(|error| Failure::new(Code::EnvelopeInvalid, error.to_string()))?;
    let mut plans = vec![
        FilePlan::measure(ENVELOPE_PATH, &mut envelope_bytes.as_slice())
            .map_err(|error| Failure::new(Code::Container, error.to_string()))?,
    ];
    let bar = output.bar(output.pick("計算中", "hashing"), material.size());
    for source in &material.sources {
        let mut reader = bar.wrap_read(files::open(&source.file)?);
        plans.push(
            FilePlan::measure(&source.path, &mut reader).map_err(|error| files::unreadable(&source.file, &error))?,
        );
    }
    bar.finish_and_clear();
    let manifest = asice::manifest_for(&plans);
    let digest = signer.digest();
    let signature = signature(signer, digest, &digest.digest(&manifest))?;
    let (signature, timestamped) = stamped(signature, stamp)?;

    let draft = files::Draft::create(out)?;
    let bar = output.bar(output.pick("書き込み中", "writing"), material.size());
    let mut writer = BufWriter::with_capacity(1 << 20, &draft.file);
    let signed = [SignedManifest {
        manifest: &manifest,
        signature: &signature,
    }];
    let size = asice::write(
        &mut writer,
        &signed,
        &plans,
        |path| -> std::io::Result<Box<dyn std::io::Read>> {
            if path == ENVELOPE_PATH {
                return Ok(Box::new(std::io::Cursor::new(envelope_bytes.clone())));
            }
            let file = material.file_of(path).ok_or(std::io::ErrorKind::NotFound)?;
            Ok(Box::new(bar.wrap_read(std::fs::File::open(file)?)))
        },
    )
    .map_err(|error| match error {
        WriteError::Io(error) => files::unwritable(out, &error),
        WriteError::Profile(why) => Failure::new(Code::Container, why),
        WriteError::Changed(path) => Failure::new(Code::InputChanged, path),
    })?;
    writer.flush().map_err(|error| files::unwritable(out, &error))?;
    drop(writer);
    bar.finish_and_clear();
    draft.commit()?;
    Ok(SignedContainer {
        path: out.to_owned(),
        size,
        envelope,
        timestamped,
    })
}

/// A detached signature over one file.
///
/// # Errors
/// As [`run`].
pub fn detached(signer: &mut dyn Signer, file: &Path, output: Output, stamp: Stamp<'_>) -> Result<Vec<u8>, Failure> {
    let digest = signer.digest();
    let content = digest_of(file, &[digest], output)?;
    let content = content.get(digest).unwrap_or_default().to_vec();
    let signature = signature(signer, digest, &content)?;
    stamped(signature, stamp).map(|(signature, _)| signature)
}

/// Digests of a file, in one pass.
///
/// # Errors
/// [`Code::FileUnreadable`].
pub fn digest_of(
    file: &Path,
    algorithms: &[DigestAlgorithm],
    output: Output,
) -> Result<formats::digest::Digests, Failure> {
    let mut hasher = MultiHasher::new(algorithms.iter().copied());
    read_through(file, output, |bytes| hasher.update(bytes))?;
    Ok(hasher.finish())
}

/// What is known of the file that the detached signature `p7s` is over, in one pass.
///
/// # Errors
/// [`Code::FileUnreadable`].
pub fn detached_content(file: &Path, p7s: &[u8], output: Output) -> Result<DetachedContent, Failure> {
    let mut hasher = DetachedHasher::new(p7s);
    read_through(file, output, |bytes| hasher.update(bytes))?;
    Ok(hasher.finish())
}

fn read_through(file: &Path, output: Output, mut take: impl FnMut(&[u8])) -> Result<(), Failure> {
    let opened = files::open(file)?;
    let size = opened.metadata().map_or(0, |metadata| metadata.len());
    let bar = output.bar(output.pick("計算中", "hashing"), size);
    let mut reader = bar.wrap_read(opened);
    let mut buffer = vec![0; 1 << 20];
    loop {
        match std::io::Read::read(&mut reader, &mut buffer) {
            Ok(0) => break,
            Ok(count) => take(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(files::unreadable(file, &error)),
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// A B-B signature over content of that digest, verified under the signer's own certificate before it is given out.
pub(crate) fn signature(signer: &mut dyn Signer, digest: DigestAlgorithm, content: &[u8]) -> Result<Vec<u8>, Failure> {
    let failed = |error: cades::CadesError| Failure::new(Code::SignatureFailed, error.to_string());
    let identity = SigningIdentity {
        certificate: signer.certificate().der().to_vec(),
        chain: signer.chain().to_vec(),
        scheme: signer.scheme(),
    };
    let prepared = cades::prepare(&identity, digest, content, Some(OffsetDateTime::now_utc())).map_err(failed)?;
    let to_be_signed = prepared.to_be_signed().to_vec();
    let value = signer.sign(&to_be_signed, digest)?;
    let file = prepared.finish(&value).map_err(failed)?;
    let parsed = SignedData::parse(&file, Profile::Document).map_err(failed)?;
    signer::verify_own(
        signer,
        &parsed.signer.signature_algorithm,
        digest,
        &to_be_signed,
        &value,
    )?;
    Ok(file)
}

fn stamped(signature: Vec<u8>, stamp: Stamp<'_>) -> Result<(Vec<u8>, bool), Failure> {
    let failed = |error: cades::CadesError| Failure::new(Code::SignatureFailed, error.to_string());
    let value = SignedData::parse(&signature, Profile::Document)
        .map_err(failed)?
        .signer
        .signature;
    match stamp(&value)? {
        Some(token) => cades::with_timestamp(&signature, &token)
            .map(|signature| (signature, true))
            .map_err(|error| Failure::new(Code::TimestampMismatch, error.to_string())),
        None => Ok((signature, false)),
    }
}

/// Says what is about to be signed, and by whom.
fn announce(output: Output, signer: &dyn Signer, files: &[(String, Option<u64>)]) {
    let roles = signer::pkcs11::token::roles(signer.certificate());
    output.say(&format!(
        "{} {}{}",
        output.pick("署名者:", "Signer:"),
        signer.certificate().subject,
        if roles.is_empty() {
            String::new()
        } else {
            let roles: Vec<String> = roles.iter().map(|role| profession(role, output)).collect();
            format!(" — {}", roles.join(output.pick("・", ", ")))
        }
    ));
    const SHOWN: usize = 20;
    for (path, size) in files.iter().take(SHOWN) {
        match size {
            Some(size) => output.say(&format!("  {path}  {size} bytes")),
            None => output.say(&format!("  {path}")),
        }
    }
    if files.len() > SHOWN {
        let rest = files.len() - SHOWN;
        output.say(&match output.language {
            crate::error::Language::Japanese => format!("  ほか {rest} 件"),
            crate::error::Language::English => format!("  and {rest} more"),
        });
    }
}

fn refuse_existing(out: &Path) -> Result<(), Failure> {
    if out.exists() {
        return Err(Failure::new(Code::FileExists, out.display().to_string()));
    }
    Ok(())
}

fn with_ending(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    name.into()
}
