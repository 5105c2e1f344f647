//! The stage: test HPKI, relay, and a home folder for each machine, all below one temporary folder.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Context, ensure};
use client::config::Home;
use client::error::Exit;
use formats::trail::LogKey;
use formats::wire::SubmissionId;
use kit::Services;
use relay::admin::{self, Command};
use relay::config::{Config, File};
use relay::{Relay, Running};
use time::OffsetDateTime;
use tokio::runtime::Runtime;

use crate::tell::quote;

pub(crate) const CLINIC: &str = "1310000001";
pub(crate) const HOSPITAL: &str = "1320000002";

pub(crate) struct Stage {
    pub(crate) services: Services,
    folder: tempfile::TempDir,
    runtime: Runtime,
    relay: Running,
    pin: String,
}

/// A letter on the doctor's disk.
pub(crate) struct Letter {
    folder: PathBuf,
    key: PathBuf,
}

impl Stage {
    pub(crate) fn build() -> anyhow::Result<Self> {
        let services = Services::start_blocking(0);
        let folder = tempfile::tempdir()?;
        let place = folder.path().join("relay");
        admin::init(&place, "localhost", OffsetDateTime::now_utc())?;
        services.hpki().write_trust(&place.join("trust"));
        let mut file: toml::Table = toml::from_str(&std::fs::read_to_string(place.join("relay.toml"))?)?;
        adapt(&mut file, &services);
        let config = Config::from_file(file.try_into::<File>()?, &place)?;
        let runtime = Runtime::new()?;
        let pin = relay::ca::RelayCa::load(&config.ca.certificate, &config.ca.key)?.pin()?;
        let relay = runtime.block_on(Relay::start(config))?;
        Ok(Self {
            services,
            folder,
            runtime,
            relay,
            pin,
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn trust(&self) -> PathBuf {
        self.folder().join("relay/trust")
    }

    pub(crate) fn api(&self) -> String {
        format!("https://{}", self.relay.api)
    }

    pub(crate) fn home(&self, machine: &str) -> anyhow::Result<Home> {
        Home::locate(Some(self.folder().join(machine))).map_err(|failure| anyhow::anyhow!("{}", failure.code()))
    }

    pub(crate) fn log_vkey(&self) -> anyhow::Result<String> {
        let key = std::fs::read_to_string(self.folder().join("relay/keys/log.key"))?;
        Ok(LogKey::parse(key.trim())?.vkey().to_owned())
    }

    /// One of the operator's commands, as `hikyaku-relay` gives it to a running relay.
    pub(crate) fn admin(&self, command: Command) -> anyhow::Result<serde_json::Value> {
        self.export(command).map(|(answer, _)| answer)
    }

    /// The same, with what it exports.
    pub(crate) fn export(&self, command: Command) -> anyhow::Result<(serde_json::Value, Vec<u8>)> {
        let exported = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&exported);
        let mut write = move |bytes: &[u8]| {
            sink.lock()
                .map_err(|_| std::io::ErrorKind::Other)?
                .extend_from_slice(bytes);
            Ok(())
        };
        let store = self.relay.store();
        let answer = self
            .runtime
            .block_on(admin::execute(&store, &self.pin, command, &mut write))?;
        let bytes = exported.lock().map(|bytes| bytes.clone()).unwrap_or_default();
        Ok((answer, bytes))
    }

    /// A facility joins and its machine enrols with the one-time code.
    pub(crate) fn join(&self, facility: &str, name: &str, machine: &str) -> anyhow::Result<()> {
        let answer = self.admin(Command::FacilityAdd {
            code: facility.parse()?,
            name: name.to_owned(),
        })?;
        let code = answer["code"].as_str().context("a one-time code")?;
        let portal = format!("https://{}", self.relay.portal);
        self.hikyaku(
            machine,
            &["enroll", "--relay", &portal, "--code", code].map(PathBuf::from),
        )
    }

    /// A `hikyaku` command on one machine; its output is shown, and it must succeed.
    pub(crate) fn hikyaku(&self, machine: &str, arguments: &[PathBuf]) -> anyhow::Result<()> {
        let exit = self.run(machine, arguments);
        ensure!(exit == Exit::Done, "hikyaku ended with {exit:?}");
        Ok(())
    }

    pub(crate) fn run(&self, machine: &str, arguments: &[PathBuf]) -> Exit {
        let words: Vec<String> = arguments.iter().map(|word| shown(word, self.folder())).collect();
        quote(&format!("{machine} $ hikyaku {}", words.join(" ")));
        let home = self.folder().join(machine);
        let leading = [OsString::from("hikyaku"), "--home".into(), home.into_os_string()];
        client::cli::run(
            leading
                .into_iter()
                .chain(arguments.iter().map(|word| word.clone().into_os_string())),
        )
    }

    /// The submission whose receipt a machine keeps.
    pub(crate) fn sent(&self, machine: &str) -> Option<SubmissionId> {
        let entry = std::fs::read_dir(self.folder().join(machine).join("sent"))
            .ok()?
            .flatten()
            .next()?;
        entry.file_name().to_str()?.parse().ok()
    }

    /// What the officer reads, one line a record: when, what, who, about which letter.
    pub(crate) fn account(&self, facility: &str) -> anyhow::Result<Vec<String>> {
        let format = relay::account::Format::Csv;
        let (_, csv) = self.export(Command::TrailExport {
            facility: Some(facility.parse()?),
            from: None,
            to: None,
            format,
        })?;
        let text = String::from_utf8(csv)?;
        let mut rows = text
            .trim_start_matches('\u{feff}')
            .lines()
            .map(|line| line.split(',').collect::<Vec<_>>());
        let head = rows.next().context("a head")?;
        let column = |name: &str| head.iter().position(|column| *column == name).context("a column");
        let (time, kind, person, partner) = (
            column("time_jst")?,
            column("kind")?,
            column("person_name")?,
            column("partner")?,
        );
        let (scope, category) = (column("scope")?, column("category")?);
        Ok(rows
            .map(|row| {
                let cell = |at: usize| row.get(at).copied().unwrap_or_default();
                let clock = cell(time).get(..19).unwrap_or_default().replace('T', " ");
                let from = Some(cell(partner)).filter(|code| !code.is_empty());
                let about = if from.is_some() { cell(category) } else { cell(scope) };
                let line = [
                    format!("{clock}  {:<14}", cell(kind)),
                    cell(person).to_owned(),
                    about.trim_end_matches([' ', '/']).replace(';', ", "),
                    from.map(|code| format!("from {code}")).unwrap_or_default(),
                ];
                line.iter()
                    .filter(|part| !part.is_empty())
                    .cloned()
                    .collect::<Vec<_>>()
                    .join("  ")
                    .trim_end()
                    .to_owned()
            })
            .collect())
    }

    /// A PDF letter, a CT of three slices and the doctor's key.
    pub(crate) fn write_letter(&self) -> anyhow::Result<Letter> {
        let folder = self.folder().join("letter");
        std::fs::create_dir_all(folder.join("ct"))?;
        std::fs::write(folder.join("letter.pdf"), kit::letter_pdf())?;
        for instance in 1..=3 {
            std::fs::write(folder.join(format!("ct/IM{instance:05}")), kit::dicom(1, 1, instance))?;
        }
        let card = self.services.hpki().doctor();
        let key = folder.join("doctor.pem");
        std::fs::write(&key, card.key_pem() + &card.certificates_pem())?;
        Ok(Letter { folder, key })
    }

    pub(crate) fn serve(self) {
        println!(
            "\nrelay API     {}\nrelay portal  https://{}",
            self.api(),
            self.relay.portal
        );
        println!(
            "HPKI, TSA     {}\nfolder        {}",
            self.services.url(),
            self.folder().display()
        );
        println!("Ctrl-C ends it.");
        let _ = self.runtime.block_on(tokio::signal::ctrl_c());
        self.runtime.block_on(self.relay.stop());
    }
}

impl Letter {
    pub(crate) fn send_arguments(&self) -> Vec<PathBuf> {
        let options = [
            "--to",
            HOSPITAL,
            "--to-name",
            "中央病院",
            "--to-department",
            "循環器内科",
            "--patient-id",
            "12345",
            "--patient-name",
            "山田　太郎",
            "--patient-kana",
            "ヤマダ　タロウ",
            "--birth-date",
            "1970-01-01",
            "--sex",
            "M",
        ];
        let mut arguments = vec!["send".into(), self.folder.join("letter.pdf"), self.folder.join("ct")];
        arguments.extend(["--key".into(), self.key.clone()]);
        arguments.extend(options.map(PathBuf::from));
        arguments
    }

    /// Every file of the letter lies below `received` with the same bytes.
    pub(crate) fn compare(&self, received: &Path) -> anyhow::Result<()> {
        let arrived = files_below(received)?;
        for sent in [
            vec![self.folder.join("letter.pdf")],
            files_below(&self.folder.join("ct"))?,
        ]
        .concat()
        {
            let bytes = std::fs::read(&sent)?;
            let same = arrived
                .iter()
                .any(|file| file.file_name() == sent.file_name() && std::fs::read(file).is_ok_and(|b| b == bytes));
            ensure!(same, "{} did not arrive as it was sent", sent.display());
        }
        quote(&format!("{} files", arrived.len()));
        Ok(())
    }
}

fn files_below(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_below(&path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}

/// Free ports on loopback, CRLs and stamps from the test HPKI, which lives on a private address.
fn adapt(file: &mut toml::Table, services: &Services) {
    let mut set = |table: &str, key: &str, value: toml::Value| {
        let table = file.entry(table).or_insert_with(|| toml::Table::new().into());
        if let Some(table) = table.as_table_mut() {
            table.insert(key.to_owned(), value);
        }
    };
    for listener in ["api", "portal"] {
        set(listener, "listen", "127.0.0.1:0".into());
        set(listener, "url", "https://127.0.0.1:0".into());
    }
    set("trust", "fetch_hosts", vec!["127.0.0.1"].into());
    set("trust", "fetch_private", vec!["127.0.0.1"].into());
    set("timestamps", "urls", vec![services.tsa_url()].into());
}

/// An argument as people would type it.
fn shown(word: &Path, folder: &Path) -> String {
    let text = word.strip_prefix(folder).unwrap_or(word).display().to_string();
    if text.len() > 60 {
        format!("{}…", text.chars().take(24).collect::<String>())
    } else {
        text
    }
}
