//! The commands `backup` and `restore`: arguments, what is done, what is printed.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use relay::admin::AdminError;
use relay::backup::{self, BackupError, Destination, Generation, How, Own, Target, Which};
use relay::check;
use relay::config::Config;
use relay::containers::Containers;
use relay::folder::Scratch;
use relay::keys::Keys;
use relay::log::LogSigner;
use relay::objects::Objects;
use relay::pace::Pace;
use relay::store::PostgresReader;
use time::OffsetDateTime;

use crate::words::{self, Watch};

/// `backup`.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Backup {
    #[command(subcommand)]
    verb: Option<BackupVerb>,
    #[command(flatten)]
    make: Make,
}

#[derive(Args)]
struct Make {
    /// Where to: a folder, such as a disk that is taken away afterwards, or s3://BUCKET/PREFIX of the service in `[backup]`.
    #[arg(long, value_name = "PLACE")]
    to: Option<String>,
    /// Where the keys of months and containers are kept, if elsewhere: they must be where what is removed is gone.
    #[arg(long, value_name = "PLACE")]
    keys_to: Option<String>,
    /// Lock it for so many days (S3 object lock, compliance mode): nobody can change or remove any of it before, but the keys.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..))]
    lock_days: Option<u16>,
    /// Read every file anew, and what the backup has of it too: write anew what is damaged there, name what is damaged here.
    #[arg(long)]
    full: bool,
    /// Even if the trail is shorter than that of the newest generation: after an older one was restored, once.
    #[arg(long)]
    shorter_trail: bool,
    /// Read at most so much a second, such as 50MiB; `unlimited` reads as fast as it goes.
    #[arg(long, default_value = "64MiB")]
    rate: String,
    /// Where to put what is only needed meanwhile: about as much as the index takes.
    #[arg(long)]
    scratch: Option<PathBuf>,
    #[command(flatten)]
    place: super::Place,
}

#[derive(Subcommand)]
enum BackupVerb {
    /// List the generations.
    List {
        #[command(flatten)]
        of: Of,
    },
    /// Read every object of a generation and hold it against its digest; of the newest, also whether its keys are there.
    Verify {
        #[command(flatten)]
        of: Of,
        /// Which one; the newest if not given.
        #[arg(long)]
        generation: Option<String>,
        /// All of them, each object once; and open every key with the identities of the configuration.
        #[arg(long, conflicts_with = "generation")]
        all: bool,
        /// Where the keys are, if elsewhere.
        #[arg(long, value_name = "PLACE")]
        keys_from: Option<String>,
    },
    /// Remove all generations but the newest, and what no other needs.
    Prune {
        #[command(flatten)]
        of: Of,
        /// So many generations stay.
        #[arg(long)]
        keep: usize,
    },
}

#[derive(Args)]
struct Of {
    /// Where the backup is.
    #[arg(long, value_name = "PLACE")]
    from: String,
    /// The relay's configuration, read where the backup is in a bucket.
    #[arg(long, default_value = "relay.toml")]
    config: PathBuf,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
}

impl Of {
    fn open(&self) -> anyhow::Result<Target> {
        self.place(&self.from)
    }

    fn place(&self, place: &str) -> anyhow::Result<Target> {
        let s3 = match Target::in_bucket(place) {
            true => Config::load(&self.config)?.backup,
            false => None,
        };
        Ok(Target::open(place, false, s3.as_ref())?)
    }
}

/// `restore`.
#[derive(Args)]
pub(crate) struct Restore {
    /// Where the backup is.
    #[arg(long, value_name = "PLACE")]
    from: String,
    /// Where the keys of months are, if elsewhere.
    #[arg(long, value_name = "PLACE")]
    keys_from: Option<String>,
    /// Which generation; the newest if not given.
    #[arg(long)]
    generation: Option<String>,
    /// The data folder to make; that of the configuration if not given. It must be empty or not there.
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
    /// Put it in place although trail and files differ; what differs is listed.
    #[arg(long)]
    despite_differences: bool,
    #[command(flatten)]
    place: super::Place,
}

/// Makes a backup, or looks after those there are.
pub(crate) fn backup(asked: Backup) -> anyhow::Result<()> {
    match asked.verb {
        Some(BackupVerb::List { of }) => list(&of),
        Some(BackupVerb::Verify {
            of,
            generation,
            all,
            keys_from,
        }) => {
            let which = match generation.as_deref() {
                _ if all => Which::All,
                None => Which::Newest,
                Some(name) => Which::Named(name),
            };
            verify(&of, which, keys_from.as_deref())
        }
        Some(BackupVerb::Prune { of, keep }) => prune(&of, keep),
        None => make(&asked.make),
    }
}

fn make(asked: &Make) -> anyhow::Result<()> {
    let Some(to) = &asked.to else {
        return Err(AdminError::Argument("--to PLACE says where the backup goes".into()).into());
    };
    let (config, json) = (Config::load(&asked.place.config)?, asked.place.json);
    let (log, kept) = (LogSigner::open(&config)?, Keys::open(&config.keys)?);
    let scratch = Scratch::new(asked.scratch.as_deref())?;
    let (s3, now) = (config.backup.as_ref(), OffsetDateTime::now_utc());
    let mut target = Target::open(to, true, s3)?;
    let keys = match &asked.keys_to {
        Some(place) => Target::open(place, true, s3)?,
        None => target.clone(),
    };
    if let Some(days) = asked.lock_days {
        target = target.locked(s3, now + time::Duration::days(days.into()))?;
    }
    let shared = shared(&config, &kept)?;
    let bucket = bucket(&config, &kept)?;
    let place = check::Place {
        data: &config.data,
        vkey: log.vkey(),
        shared: shared.as_ref(),
        keys: &kept,
        scratch: scratch.path(),
        note: None,
        live: true,
    };
    // For reference: what a relay is restored with comes from where its keys are kept.
    let also = [
        ("restored-config/relay.toml".to_owned(), asked.place.config.clone()),
        ("restored-config/trust".to_owned(), config.trust.directory.clone()),
    ];
    let rate = words::rate(&asked.rate)?;
    let made = watched(json, rate, async |pace| {
        let how = How {
            now,
            full: asked.full,
            shorter: asked.shorter_trail,
        };
        backup::make(place, bucket.as_ref(), &also, &target, &keys, how, pace).await
    })?;
    if json {
        println!("{}", serde_json::to_string_pretty(&made)?);
        return Ok(());
    }
    println!("{}: {}", made.name, told(&made.generation));
    println!("{} bytes were new", made.new_bytes);
    if let Some(held) = &made.locked {
        println!(
            "its {} objects are locked until {} ({} were locked for less before); the keys are not",
            held.objects, held.until, held.extended
        );
    }
    if made.keys_removed > 0 {
        println!(
            "{} keys that the relay has destroyed were removed from the backup",
            made.keys_removed
        );
    }
    Ok(())
}

fn list(of: &Of) -> anyhow::Result<()> {
    let target = of.open()?;
    let runtime = super::runtime()?;
    let (mut answer, mut damaged) = (Vec::new(), 0);
    for name in runtime.block_on(target.generations())? {
        match runtime.block_on(target.generation(&name)) {
            Ok(found) if of.json => {
                let mut row = serde_json::to_value(&found)?;
                if let Some(row) = row.as_object_mut() {
                    row.insert("name".into(), name.into());
                }
                answer.push(row);
            }
            Ok(found) => println!("{name}  {}", told(&found)),
            Err(error) => {
                damaged += 1;
                eprintln!("{error}");
            }
        }
    }
    if of.json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
    }
    match damaged {
        0 => Ok(()),
        _ => Err(AdminError::Argument("a generation is damaged".into()).into()),
    }
}

fn verify(of: &Of, which: Which<'_>, keys_from: Option<&str>) -> anyhow::Result<()> {
    let (target, scratch) = (of.open()?, Scratch::new(None)?);
    let keys = keys_from.map_or_else(|| of.open(), |place| of.place(place))?;
    let identities = match which {
        Which::All => Some(Keys::open(&Config::load(&of.config)?.keys)?),
        Which::Newest | Which::Named(_) => None,
    };
    let whole = watched(of.json, None, async |pace| {
        backup::verify(&target, &keys, which, identities.as_ref(), scratch.path(), pace).await
    })?;
    let row = |(name, found): &(String, Generation)| serde_json::json!({ "name": name, "generation": found });
    match (of.json, whole.generations.as_slice(), whole.keys) {
        (true, [only], None) => println!("{}", row(only)),
        (true, all, keys) => {
            let all: Vec<_> = all.iter().map(row).collect();
            println!("{}", serde_json::json!({ "generations": all, "keys_opened": keys }));
        }
        (false, all, keys) => {
            all.iter()
                .for_each(|(name, found)| println!("{name} is whole: {}", told(found)));
            if let Some(keys) = keys {
                println!("{keys} keys were opened");
            }
        }
    }
    Ok(())
}

fn prune(of: &Of, keep: usize) -> anyhow::Result<()> {
    let (target, scratch) = (of.open()?, Scratch::new(None)?);
    let pruning = backup::prune(&target, keep, scratch.path(), OffsetDateTime::now_utc());
    let pruned = super::runtime()?.block_on(pruning)?;
    if of.json {
        println!("{}", serde_json::to_string_pretty(&pruned)?);
    } else {
        pruned.generations.iter().for_each(|name| println!("removed {name}"));
        println!("{} objects that no other generation needs were removed", pruned.objects);
    }
    Ok(())
}

/// Puts a generation in the place of the data folder.
pub(crate) fn restore(asked: &Restore) -> anyhow::Result<()> {
    let (config, json) = (Config::load(&asked.place.config)?, asked.place.json);
    let own = Own {
        log: LogSigner::open(&config)?,
        keys: Keys::open(&config.keys)?,
    };
    let s3 = config.backup.as_ref();
    let target = Target::open(&asked.from, false, s3)?;
    let keys = match &asked.keys_from {
        Some(place) => Target::open(place, false, s3)?,
        None => target.clone(),
    };
    let to = match (&asked.to, &config.store) {
        (Some(folder), _) => Destination::Folder(folder.clone()),
        (None, None) => Destination::Folder(config.data.clone()),
        (None, Some(database)) => Destination::Shared {
            database: Box::new(database.clone()),
            bucket: bucket(&config, &own.keys)?,
            data: config.data.clone(),
        },
    };
    let (generation, despite) = (asked.generation.as_deref(), asked.despite_differences);
    let restored = watched(json, None, async |pace| {
        backup::restore(&target, &keys, generation, &to, own, despite, pace).await
    })?;
    if json {
        println!("{}", serde_json::to_string_pretty(&restored)?);
        return Ok(());
    }
    words::check::report(&restored.compared, false)?;
    let place = match &to {
        Destination::Folder(folder) => folder.display().to_string(),
        Destination::Shared { .. } => "the database and where containers are kept".into(),
    };
    println!(
        "{} is restored in {place}: {}",
        restored.name,
        told(&restored.generation)
    );
    println!("The index was made anew. Letters that came after this backup are not in it: see docs/recovery.md.");
    Ok(())
}

/// The database of a configuration that names one, for reading.
pub(crate) fn shared(config: &Config, keys: &Keys) -> anyhow::Result<Option<Arc<PostgresReader>>> {
    let Some(address) = &config.store else { return Ok(None) };
    Ok(Some(Arc::new(PostgresReader::open(address, keys)?)))
}

/// The bucket of a configuration that names one.
pub(crate) fn bucket(config: &Config, keys: &Keys) -> anyhow::Result<Option<Containers>> {
    let Some(place) = &config.containers else {
        return Ok(None);
    };
    Ok(Some(Containers::shared(Objects::open(place)?, keys.clone())))
}

fn told(generation: &Generation) -> String {
    format!(
        "{}, {} records, {} files, {} bytes",
        generation.made, generation.records, generation.files, generation.bytes
    )
}

/// Does it while somebody sees how far it is. What the backup itself says no to is exit code 1.
fn watched<T>(
    json: bool,
    rate: Option<u64>,
    work: impl AsyncFnOnce(&mut Pace<'_>) -> Result<T, BackupError>,
) -> anyhow::Result<T> {
    let watch = Watch::new(json);
    let tell = |step: &str, bytes| watch.tell(step, bytes);
    let mut pace = Pace::new(rate, &tell);
    let done = super::runtime()?.block_on(work(&mut pace));
    watch.end();
    done.map_err(|error| {
        if let BackupError::Differs(report) = &error {
            let _unprinted = words::check::report(report, json);
        }
        match error {
            BackupError::Io(..) | BackupError::Target { .. } | BackupError::Check(_) => anyhow::Error::new(error),
            refused => AdminError::Argument(refused.to_string()).into(),
        }
    })
}
