//! `hikyaku-relay`: the command line. What it does is in the library; here are arguments and exit codes, in `words` what is printed.

mod keeping;
mod words;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use formats::wire::{DeviceId, FacilityCode, MemberId, SubmissionId};
use relay::admin::{self, Command, TrustPurpose};
use relay::ca::RelayCa;
use relay::config::Config;
use relay::containers::Containers;
use relay::folder::Scratch;
use relay::keys::Keys;
use relay::log::LogSigner;
use relay::pace::Pace;
use relay::store::{self, ClockGuard, Embedded as _, FileStore, PostgresStore, Store};
use relay::trust::CurrentTrust;
use time::OffsetDateTime;

/// Takes signed letters in, keeps them for the recipient, records every sender and every view.
#[derive(Parser)]
#[command(name = "hikyaku-relay", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make a folder from which a relay can be served.
    Init {
        /// The folder; it must be empty or not yet there.
        folder: PathBuf,
        /// How clients reach the relay: a host name or an address.
        #[arg(long, default_value = "localhost")]
        host: String,
    },
    /// Run the relay until it is told to stop.
    Serve(Place),
    /// Say what is wrong with a configuration.
    CheckConfig(Place),
    /// Facilities and their enrolment codes.
    #[command(subcommand)]
    Facility(FacilityVerb),
    /// Devices of a facility.
    #[command(subcommand)]
    Device(DeviceVerb),
    /// Persons of a facility.
    #[command(subcommand)]
    Member(MemberVerb),
    /// The certificates the relay trusts.
    #[command(subcommand)]
    Trust(TrustVerb),
    /// The audit trail.
    #[command(subcommand)]
    Trail(TrailVerb),
    /// Wrap every data key to the recipients of now, also while the relay runs; what is sealed with them stays as it is.
    RotateKeys {
        /// Only read identities and recipients anew: on every relay that shares a bucket, before one of them wraps the keys.
        #[arg(long)]
        reload_only: bool,
        #[command(flatten)]
        place: Place,
    },
    /// What law or dispute needs is kept, whatever its time.
    #[command(subcommand)]
    Hold(HoldVerb),
    /// Make the index anew from the trail; the relay must not be running.
    Rebuild {
        /// Even though records that were acknowledged are lost for good.
        #[arg(long)]
        despite_losses: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Copy what the relay keeps to another place, while it runs; only what is new is copied.
    Backup(keeping::Backup),
    /// Put a backup in the place of the data folder, after everything in it was verified.
    Restore(keeping::Restore),
    /// Compare trail, index, containers and evidence; the relay may be running. Exit code 1 if something differs.
    Check {
        /// Read at most so much a second, such as 50MiB; `unlimited` reads as fast as it goes.
        #[arg(long, default_value = "64MiB")]
        rate: String,
        /// Where to put what is only needed meanwhile: about as much as the index takes.
        #[arg(long)]
        scratch: Option<PathBuf>,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Args)]
struct Place {
    /// The relay's configuration.
    #[arg(long, default_value = "relay.toml")]
    config: PathBuf,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum FacilityVerb {
    /// Add a facility; prints its first one-time code.
    Add {
        /// Its code: ten digits (都道府県番号, 点数表番号, 医療機関コード), or x- and up to 32 of a-z, 0-9 and -.
        code: FacilityCode,
        /// Its name as its partners know it.
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// List the facilities.
    List(Place),
    /// Print a further one-time code.
    Code {
        /// The facility's code.
        code: FacilityCode,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Subcommand)]
enum DeviceVerb {
    /// List the devices of a facility.
    List {
        /// The facility's code.
        facility: FacilityCode,
        #[command(flatten)]
        place: Place,
    },
    /// End a device at once, for all its certificates.
    Revoke {
        /// The facility's code.
        facility: FacilityCode,
        /// The device's name, as `device list` shows it.
        device: DeviceId,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Subcommand)]
enum MemberVerb {
    /// Name a person.
    Add {
        /// The facility's code.
        facility: FacilityCode,
        /// A short name for `fetch --person`: 1 to 32 of a-z, 0-9 and -.
        member: MemberId,
        /// The person's name as the trail shall show it.
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// List the persons of a facility.
    List {
        /// The facility's code.
        facility: FacilityCode,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Subcommand)]
enum TrustVerb {
    /// List the certificates with purpose, fingerprint and end.
    List(Place),
    /// Add one certificate and have a running relay use it at once; the change is recorded in the trail.
    Add {
        /// The certificate, DER or PEM.
        file: PathBuf,
        /// What to trust it for: hpki (signers), tsa (time stamps), or intermediate (nothing, it serves path building).
        #[arg(long = "for", value_name = "PURPOSE")]
        purpose: TrustPurpose,
        /// The SHA-256 it must have, from a source you trust other than the file's.
        #[arg(long, value_name = "FINGERPRINT")]
        sha256: String,
        #[command(flatten)]
        place: Place,
    },
    /// Have a running relay read the trust directory anew, after a change by hand.
    Reload(Place),
    /// Check directory, dates, CRLs (fetched now) and time-stamp authorities (asked now).
    Check(Place),
}

#[derive(Subcommand)]
enum HoldVerb {
    /// Hold a submission: neither its container nor its records are erased.
    Set {
        /// The submission's id.
        submission: SubmissionId,
        /// Why; kept for ever, so without names.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        place: Place,
    },
    /// End a hold: its time counts again.
    Lift {
        /// The submission's id.
        submission: SubmissionId,
        /// Why; kept for ever, so without names.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        place: Place,
    },
    /// List what is held, since when and why.
    List(Place),
}

#[derive(Subcommand)]
enum TrailVerb {
    /// Write the proof of one record (C2SP tlog-proof), to standard output or into a file.
    Prove {
        /// Its position.
        position: u64,
        /// The file, such as record.tlog-proof.
        #[arg(short, long)]
        output: Option<PathBuf>,
        #[command(flatten)]
        place: Place,
    },
    /// Verify every record of the trail against the signed checkpoint, and against checkpoints kept earlier.
    Verify {
        /// A checkpoint, or a file with one at its end such as a .tlog-proof.
        #[arg(long)]
        checkpoint: Vec<PathBuf>,
        #[command(flatten)]
        place: Place,
    },
    /// Write what the trail says, to standard output. The reading itself is recorded.
    Export {
        #[command(flatten)]
        export: admin::Export,
        #[command(flatten)]
        place: Place,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            match error.downcast_ref::<admin::AdminError>() {
                Some(refused) => eprintln!("hikyaku-relay: {refused}"),
                None => eprintln!("hikyaku-relay: {error:#}"),
            }
            // 1: the relay said no; 2: it could not be tried.
            ExitCode::from(if error.is::<admin::AdminError>() { 1 } else { 2 })
        }
    }
}

fn run(verb: Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Init { folder, host } => init(&folder, &host),
        Verb::Serve(place) => serve(&place),
        Verb::CheckConfig(place) => check(&place),
        Verb::Rebuild { despite_losses, place } => rebuild(&place, despite_losses),
        Verb::Backup(asked) => keeping::backup(asked),
        Verb::Restore(asked) => keeping::restore(&asked),
        Verb::Check { rate, scratch, place } => compare(&place, &rate, scratch.as_deref()),
        Verb::RotateKeys { reload_only, place } => rotate(&place, reload_only),
        Verb::Facility(FacilityVerb::Add { code, name, place }) => tell(&place, Command::FacilityAdd { code, name }),
        Verb::Facility(FacilityVerb::List(place)) => tell(&place, Command::FacilityList {}),
        Verb::Facility(FacilityVerb::Code { code, place }) => tell(&place, Command::FacilityCode { code }),
        Verb::Device(DeviceVerb::List { facility, place }) => tell(&place, Command::DeviceList { facility }),
        Verb::Device(DeviceVerb::Revoke {
            facility,
            device,
            place,
        }) => tell(&place, Command::DeviceRevoke { facility, device }),
        Verb::Member(MemberVerb::Add {
            facility,
            member,
            name,
            place,
        }) => tell(&place, Command::MemberAdd { facility, member, name }),
        Verb::Member(MemberVerb::List { facility, place }) => tell(&place, Command::MemberList { facility }),
        Verb::Hold(HoldVerb::Set {
            submission,
            reason,
            place,
        }) => tell(&place, Command::HoldSet { submission, reason }),
        Verb::Hold(HoldVerb::Lift {
            submission,
            reason,
            place,
        }) => tell(&place, Command::HoldLift { submission, reason }),
        Verb::Hold(HoldVerb::List(place)) => tell(&place, Command::HoldList {}),
        Verb::Trust(TrustVerb::List(place)) => {
            let config = Config::load(&place.config)?;
            let listed = admin::list(&config.trust.directory, OffsetDateTime::now_utc())?;
            words::trust::listed(&listed, place.json)
        }
        Verb::Trust(TrustVerb::Add {
            file,
            purpose,
            sha256,
            place,
        }) => add(&place, &file, purpose, &sha256),
        Verb::Trust(TrustVerb::Reload(place)) => {
            words::trust::reload(&reload(&Config::load(&place.config)?)?, place.json)
        }
        Verb::Trust(TrustVerb::Check(place)) => look(&place),
        Verb::Trail(TrailVerb::Prove {
            position,
            output,
            place,
        }) => prove(&place, position, output.as_deref()),
        Verb::Trail(TrailVerb::Verify { checkpoint, place }) => verify(&place, &checkpoint),
        Verb::Trail(TrailVerb::Export { mut export, place }) => {
            let config = Config::load(&place.config)?;
            export.witnessed = witnessed(&config, LogSigner::open(&config)?.vkey())?;
            tell(&place, Command::TrailExport(export))
        }
    }
}

fn init(folder: &Path, host: &str) -> anyhow::Result<()> {
    admin::init(folder, host, OffsetDateTime::now_utc())?;
    words::next_steps(folder);
    Ok(())
}

fn check(place: &Place) -> anyhow::Result<()> {
    let config = Config::load(&place.config)?;
    let ca = RelayCa::load(&config.ca.certificate, &config.ca.key)?;
    let key = LogSigner::open(&config)?;
    relay::folder::owners_alone(&config.tls.key).with_context(|| config.tls.key.display().to_string())?;
    for path in [&config.tls.certificate, &config.tls.key, &config.trust.directory] {
        path.metadata().with_context(|| path.display().to_string())?;
    }
    Keys::open(&config.keys)?;
    let missing = admin::shortcomings(&config)?;
    words::checked(&place.config, &ca.pin()?, key.vkey(), &missing, place.json)
}

fn prove(place: &Place, position: u64, output: Option<&Path>) -> anyhow::Result<()> {
    let config = Config::load(&place.config)?;
    let answer = ask(&config, Command::TrailProve { position }, &mut |_| Ok(()))?;
    let proof = answer["proof"].as_str().unwrap_or_default();
    match output {
        Some(path) => std::fs::write(path, proof).with_context(|| path.display().to_string()),
        None => Ok(io::stdout().lock().write_all(proof.as_bytes())?),
    }
}

fn verify(place: &Place, files: &[PathBuf]) -> anyhow::Result<()> {
    let config = Config::load(&place.config)?;
    let log_key = LogSigner::open(&config)?.vkey().to_owned();
    let mut checkpoints = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        checkpoints.push((
            path.display().to_string(),
            formats::trail::checkpoint_in(&text).to_owned(),
        ));
    }
    let command = Command::TrailVerify {
        witnessed: witnessed(&config, &log_key)?,
        log_key,
        checkpoints,
    };
    let answer = ask(&config, command, &mut |_| Ok(()))?;
    words::verified(&answer, place.json)
}

fn witnessed(config: &Config, log_vkey: &str) -> anyhow::Result<Vec<String>> {
    let notes = match (&config.containers, &config.store) {
        (None, Some(address)) => Some(store::notes(address)?),
        _ => None,
    };
    let kept = relay::log::Kept::open(config, notes)?;
    Ok(runtime()?.block_on(kept.witnessed(log_vkey))?)
}

fn open(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    let (key, keys) = (LogSigner::open(config)?, Keys::open(&config.keys)?);
    let store = store::open(&config.data, config.index, config.store.as_ref(), key, &keys)?;
    // What is recorded here is read by every relay.
    store.guard(Arc::new(ClockGuard::new(config.limits.clock_drift)));
    Ok(store)
}

fn rebuild(place: &Place, despite_losses: bool) -> anyhow::Result<()> {
    let config = Config::load(&place.config)?;
    let (key, keys) = (LogSigner::open(&config)?, Keys::open(&config.keys)?);
    let rows = match &config.store {
        Some(_) if despite_losses => {
            let why = "--despite-losses is for a trail in files: a database is restored from a backup";
            return Err(admin::AdminError::Argument(why.into()).into());
        }
        Some(shared) => PostgresStore::rebuild(shared, key, &keys)?,
        None => {
            let (kind, data) = (config.index, &config.data);
            let store = match despite_losses {
                true => FileStore::rebuild_despite_losses(kind, data, key, &keys)?,
                false => FileStore::rebuild_in(kind, data, key, &keys)?,
            };
            store.dump()?.len()
        }
    };
    words::rebuilt(rows, place.json);
    Ok(())
}

/// Compares what the relay keeps with what it has recorded.
fn compare(place: &Place, rate: &str, scratch: Option<&Path>) -> anyhow::Result<()> {
    let config = Config::load(&place.config)?;
    let rate = words::rate(rate)?;
    let key = LogSigner::open(&config)?;
    let keys = Keys::open(&config.keys)?;
    let scratch = Scratch::new(scratch)?;
    let shared = keeping::shared(&config, &keys)?;
    let containers = match keeping::bucket(&config, &keys)? {
        Some(bucket) => bucket,
        None => Containers::open(&config.data, keys.clone())?,
    };
    let watch = words::Watch::new(place.json);
    let told = |step: &str, bytes| watch.tell(step, bytes);
    let mut pace = Pace::new(rate, &told);
    let looked = relay::check::Place {
        data: &config.data,
        vkey: key.vkey(),
        shared: shared.as_ref(),
        keys: &keys,
        scratch: scratch.path(),
        note: None,
        live: true,
    };
    let report = runtime()?.block_on(relay::check::check(looked, &containers, &mut pace))?;
    watch.end();
    words::check::report(&report, place.json)?;
    match report.differences.len() {
        0 => Ok(()),
        1 => Err(admin::AdminError::Argument("one thing differs".into()).into()),
        many => Err(admin::AdminError::Argument(format!("{many} things differ")).into()),
    }
}

fn add(place: &Place, file: &Path, purpose: TrustPurpose, sha256: &str) -> anyhow::Result<()> {
    let config = Config::load(&place.config)?;
    let added = admin::add(
        &config.trust.directory,
        file,
        purpose,
        sha256,
        OffsetDateTime::now_utc(),
    );
    let added = added.map_err(|error| match error {
        admin::AddError::Io(..) | admin::AddError::Trust(_) => anyhow::Error::new(error),
        refused => admin::AdminError::Argument(words::trust::refused(&refused)).into(),
    })?;
    words::trust::added(&added, &reload(&config)?, place.json)
}

/// Tells the running relay, else the trail itself.
fn reload(config: &Config) -> anyhow::Result<serde_json::Value> {
    #[cfg(unix)]
    {
        let asked = admin::ask(&config.data.join("admin.sock"), &Command::TrustReload {}, &mut |_| {
            Ok(())
        })?;
        if let Some(answer) = asked {
            return Ok(answer);
        }
    }
    let trust = CurrentTrust::open(&config.trust.directory)?;
    relay::folder::create_or_close(&config.data).with_context(|| config.data.display().to_string())?;
    let store = open(config)?;
    Ok(runtime()?.block_on(admin::reload(&store, &trust))?)
}

/// Tells the running relay, which seals to the new recipients at once; else works on what it keeps.
fn rotate(place: &Place, reload_only: bool) -> anyhow::Result<()> {
    let config = Config::load(&place.config)?;
    #[cfg(unix)]
    {
        let command = Command::RotateKeys {
            paths: config.keys.clone(),
            reload_only,
        };
        if let Some(answer) = admin::ask(&config.data.join("admin.sock"), &command, &mut |_| Ok(()))? {
            return words::answer(&answer, &config.portal.url, place.json);
        }
    }
    if reload_only {
        let why = "no relay runs here: it reads identities and recipients when it starts";
        return Err(admin::AdminError::Argument(why.into()).into());
    }
    let keys = Keys::open(&config.keys)?;
    // Its lock keeps a relay from starting meanwhile.
    let store = open(&config)?;
    let shared = match keeping::bucket(&config, &keys)? {
        None if config.store.is_some() => Some(Containers::open(&config.data, keys.clone())?),
        bucket => bucket,
    };
    let shared = shared.map(|containers| admin::SharedKeys {
        store: Arc::clone(&store),
        containers,
    });
    let rotated = runtime()?.block_on(admin::rotate_keys(&config.data, &keys, shared))?;
    words::answer(&rotated, &config.portal.url, place.json)
}

fn look(place: &Place) -> anyhow::Result<()> {
    let config = Config::load(&place.config)?;
    let findings = runtime()?.block_on(admin::check(&config, OffsetDateTime::now_utc()));
    match words::trust::findings(&findings, place.json)? {
        0 => Ok(()),
        failed => Err(admin::AdminError::Argument(format!("{failed} of {} fail", findings.len())).into()),
    }
}

fn serve(place: &Place) -> anyhow::Result<()> {
    let config = Config::load(&place.config)?;
    let filter = tracing_subscriber::EnvFilter::try_from_env("HIKYAKU_LOG").unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt()
        .json()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .init();
    runtime()?.block_on(relay::server::run(config))?;
    Ok(())
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// Asks the running relay, else opens its files.
fn tell(place: &Place, command: Command) -> anyhow::Result<()> {
    let config = Config::load(&place.config)?;
    let exports = matches!(command, Command::TrailExport { .. });
    let mut out = |bytes: &[u8]| io::stdout().lock().write_all(bytes);
    let answer = ask(&config, command, &mut out)?;
    if exports {
        return Ok(io::stdout().flush()?);
    }
    words::answer(&answer, &config.portal.url, place.json)
}

fn ask(
    config: &Config,
    command: Command,
    out: &mut (dyn FnMut(&[u8]) -> io::Result<()> + Send),
) -> anyhow::Result<serde_json::Value> {
    #[cfg(unix)]
    if let Some(answer) = admin::ask(&config.data.join("admin.sock"), &command, out)? {
        return Ok(answer);
    }
    let pin = RelayCa::load(&config.ca.certificate, &config.ca.key)?.pin()?;
    relay::folder::create_or_close(&config.data).with_context(|| config.data.display().to_string())?;
    let store = open(config)?;
    Ok(runtime()?.block_on(admin::execute(&store, &pin, command, out))?)
}
