//! The relay as its operator has it: the built program in a folder of its own, started, stopped, killed and started again.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use toml::{Table, Value};

use crate::desk::Desk;
use crate::house::bin;
use crate::https::{Https, Reply};
use crate::services::Services;

/// Starting and stopping take far less; a test that waits longer has found a fault.
const PATIENCE: Duration = Duration::from_secs(40);

/// How the relay is set up.
#[derive(Debug, Clone)]
pub struct RelayOptions {
    /// Keys of `[limits]`.
    pub limits: Vec<(&'static str, Value)>,
    /// Keys of `policy.toml`.
    pub policy: Vec<(&'static str, Value)>,
    /// Time stamp authorities in place of the services' own.
    pub authorities: Vec<String>,
    /// Whether it is given the trust anchors of the test HPKI.
    pub anchors: bool,
    /// Where `data` lies; below the relay's folder if `None`.
    pub data: Option<PathBuf>,
    /// Keys of other tables: table, key, value.
    pub more: Vec<(&'static str, &'static str, Value)>,
    /// Variables of its environment, beside this program's own.
    pub environment: Vec<(&'static str, &'static str)>,
}

impl Default for RelayOptions {
    fn default() -> Self {
        Self {
            limits: Vec::new(),
            policy: Vec::new(),
            authorities: Vec::new(),
            anchors: true,
            data: None,
            more: Vec::new(),
            environment: Vec::new(),
        }
    }
}

/// A running relay. Dropped, it is killed and its folder removed.
#[derive(Debug)]
pub struct RelayProcess {
    folder: TempDir,
    api: u16,
    portal: u16,
    data: Mutex<Option<PathBuf>>,
    environment: Vec<(&'static str, &'static str)>,
    child: Mutex<Option<Child>>,
}

/// What `facility add` gives the clinic.
#[derive(Debug, Clone)]
pub struct Joined {
    /// Facility code.
    pub facility: String,
    /// `CODE.PIN`, for `hikyaku enroll`.
    pub code: String,
}

impl RelayProcess {
    /// `init`, trust and time stamps of `services`, `serve`; returns when both listeners answer.
    ///
    /// # Panics
    /// If the relay does not start; its log is printed.
    #[must_use]
    pub fn start(services: &Services, options: &RelayOptions) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the relay");
        let root = folder.path().join("relay");
        let output = Command::new(bin("hikyaku-relay"))
            .arg("init")
            .arg(&root)
            .output()
            .expect("hikyaku-relay can be run");
        assert!(output.status.success(), "init: {}", said(&output));
        let (api, portal) = (free_port(), free_port());
        if options.anchors {
            services.hpki().write_trust(&root.join("trust"));
        }
        write_policy(&root.join("trust/policy.toml"), options);
        configure(&root.join("relay.toml"), services, options, api, portal);
        let relay = Self {
            folder,
            api,
            portal,
            data: Mutex::new(options.data.clone()),
            environment: options.environment.clone(),
            child: Mutex::new(None),
        };
        relay.serve();
        relay
    }

    /// Base URL of the API listener.
    #[must_use]
    pub fn api_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.api)
    }

    /// Base URL of the portal listener.
    #[must_use]
    pub fn portal_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.portal)
    }

    /// Port of the API listener.
    #[must_use]
    pub fn api_port(&self) -> u16 {
        self.api
    }

    /// Its folder: `relay.toml`, keys, trust and, if not put elsewhere, data.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.folder.path().join("relay")
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.folder().join("relay.toml")
    }

    /// Everything it has written to standard output and error since its first start.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(self.log_file()).map_or_else(|_| String::new(), |log| String::from_utf8_lossy(&log).into_owned())
    }

    /// Its process id.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child().as_ref().expect("the relay runs").id()
    }

    /// The most memory it has had resident so far, bytes (Linux).
    #[must_use]
    pub fn peak_memory(&self) -> Option<u64> {
        crate::measure::peak_memory(self.pid())
    }

    /// Asks it to stop and waits until it has.
    ///
    /// # Panics
    /// If it does not stop, or not with success.
    pub fn stop(&self) {
        let mut child = self.child().take().expect("the relay runs");
        signal("-TERM", child.id());
        let deadline = Instant::now() + PATIENCE;
        loop {
            match child.try_wait().expect("a child can be waited for") {
                Some(status) => break assert!(status.success(), "the relay ended with {status}\n{}", self.log()),
                None if Instant::now() > deadline => panic!("the relay does not stop\n{}", self.log()),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Kills it without warning.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill9(&self) {
        let mut child = self.child().take().expect("the relay runs");
        child.kill().expect("a child can be killed");
        child.wait().expect("a child can be waited for");
    }

    /// Starts it again on the same ports, after [`stop`](Self::stop) or [`kill9`](Self::kill9).
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&self) {
        self.serve();
    }

    /// Runs `hikyaku-relay ARGUMENTS… --config FILE` and returns what it printed.
    ///
    /// # Panics
    /// If it fails.
    pub fn admin(&self, arguments: &[&str]) -> String {
        let output = self.try_admin(arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}\n{}",
            said(&output),
            self.log()
        );
        String::from_utf8(output.stdout).expect("the relay prints UTF-8")
    }

    /// The same, failure included.
    ///
    /// # Panics
    /// If there is no such program.
    pub fn try_admin(&self, arguments: &[&str]) -> Output {
        Command::new(bin("hikyaku-relay"))
            .args(arguments)
            .arg("--config")
            .arg(self.config())
            .env("LANG", "C")
            .output()
            .expect("hikyaku-relay can be run")
    }

    /// `facility add`.
    ///
    /// # Panics
    /// If it fails or prints no code.
    #[must_use]
    pub fn add_facility(&self, facility: &str, name: &str) -> Joined {
        let printed = self.admin(&["facility", "add", facility, name, "--json"]);
        let answer: serde_json::Value = serde_json::from_str(&printed).expect("--json prints JSON");
        Joined {
            facility: facility.to_owned(),
            code: answer["code"]
                .as_str()
                .unwrap_or_else(|| panic!("no code in {printed}"))
                .to_owned(),
        }
    }

    /// A facility with one enrolled desk and one named person, `staff`.
    ///
    /// # Panics
    /// If the relay or the desk refuses.
    #[must_use]
    pub fn join(&self, facility: &str, name: &str, person: &str) -> Desk {
        let joined = self.add_facility(facility, name);
        self.admin(&["member", "add", facility, "staff", person]);
        let desk = Desk::new();
        desk.enrol(self, &joined);
        desk
    }

    /// The portal, as seen by who knows the relay's CA (`relay_ca`, PEM).
    ///
    /// # Panics
    /// If it does not answer.
    #[must_use]
    pub fn portal(&self, path: &str) -> Reply {
        self.portal_https()
            .get(path)
            .unwrap_or_else(|error| panic!("{path}: {error:#}\n{}", self.log()))
    }

    /// The portal, to be asked again and again.
    ///
    /// # Panics
    /// If the relay has no CA.
    #[must_use]
    pub fn portal_https(&self) -> Https {
        let ca = self.folder().join("keys/ca.pem");
        let file = toml_path(&self.config(), "ca", "certificate").unwrap_or(ca);
        let ca = fs::read(file).expect("the relay's CA certificate");
        Https::new(self.portal, &ca, None).expect("the relay's CA")
    }

    /// Holds its log to two promises: no panic, and none of `secrets`.
    ///
    /// # Panics
    /// If the log breaks one.
    pub fn assert_log_keeps_quiet(&self, secrets: &[&str]) {
        let log = self.log();
        assert!(!log.is_empty(), "the relay logs nothing at all");
        for forbidden in ["panicked", "RUST_BACKTRACE"].iter().chain(secrets) {
            let line = log.lines().find(|line| line.contains(forbidden));
            assert_eq!(line, None, "the relay's log says {forbidden}");
        }
    }

    fn serve(&self) {
        let mut child = self.child();
        assert!(child.is_none(), "the relay runs already");
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_file())
            .expect("a file for the log");
        let started = Command::new(bin("hikyaku-relay"))
            .arg("serve")
            .arg("--config")
            .arg(self.config())
            .envs(self.environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the same file twice"))
            .stderr(log)
            .spawn()
            .expect("hikyaku-relay can be run");
        let running = child.insert(started);
        let deadline = Instant::now() + PATIENCE;
        while ![self.api, self.portal].iter().all(|port| listens(*port)) || !self.answers() {
            let ended = running.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "the relay ended at once\n{}", self.log());
            assert!(Instant::now() < deadline, "the relay does not answer\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether the operator's commands reach it. Asked without them: they open the files themselves where no relay answers.
    fn answers(&self) -> bool {
        std::os::unix::net::UnixStream::connect(self.data().join("admin.sock")).is_ok()
    }

    /// The folder of trail, index, containers and uploads.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        let data = self.data.lock().unwrap_or_else(PoisonError::into_inner);
        data.clone().unwrap_or_else(|| self.folder().join("data"))
    }

    /// Its configuration names another data folder now; `None`: that below its own folder.
    pub fn moved(&self, data: Option<PathBuf>) {
        *self.data.lock().unwrap_or_else(PoisonError::into_inner) = data;
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("relay.log")
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RelayProcess {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the relay's log ---\n{}", self.log());
        }
        if let Some(mut child) = self.child().take() {
            // It may have ended by itself; then there is nothing to kill.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What `init` wrote, with this test's ports, services and limits.
fn configure(file: &Path, services: &Services, options: &RelayOptions, api: u16, portal: u16) {
    let text = fs::read_to_string(file).expect("init writes relay.toml");
    let mut config: Table = text.parse().expect("relay.toml is TOML");
    let mut set = |table: &str, key: &str, value: Value| {
        let table = config.entry(table).or_insert_with(|| Value::Table(Table::new()));
        table
            .as_table_mut()
            .expect("a table of relay.toml")
            .insert(key.to_owned(), value);
    };
    for (listener, port) in [("api", api), ("portal", portal)] {
        set(listener, "listen", format!("127.0.0.1:{port}").into());
        set(listener, "url", format!("https://127.0.0.1:{port}").into());
    }
    // Where no path vouches for the address yet, the port counts too.
    let authority = services.url().trim_start_matches("http://").to_owned();
    set("trust", "fetch_hosts", vec!["127.0.0.1".to_owned(), authority].into());
    set("trust", "fetch_private", vec!["127.0.0.1/32"].into());
    let authorities = match options.authorities.as_slice() {
        [] => vec![services.tsa_url()],
        named => named.to_vec(),
    };
    set("timestamps", "urls", authorities.into());
    // What waits is tried again while a test still looks.
    set("limits", "pending_retry", "1s".into());
    for (key, value) in &options.limits {
        set("limits", key, value.clone());
    }
    for (table, key, value) in &options.more {
        set(table, key, value.clone());
    }
    if let Some(data) = &options.data {
        let data = data.to_str().expect("a path of UTF-8").to_owned();
        config.insert("data".to_owned(), data.into());
    }
    fs::write(file, config.to_string()).expect("relay.toml can be written");
}

/// `policy.toml` with the keys of `options`.
fn write_policy(file: &Path, options: &RelayOptions) {
    if options.policy.is_empty() {
        return;
    }
    let text = fs::read_to_string(file).expect("a policy.toml");
    let mut policy: Table = text.parse().expect("policy.toml is TOML");
    for (key, value) in &options.policy {
        policy.insert((*key).to_owned(), value.clone());
    }
    fs::write(file, policy.to_string()).expect("policy.toml can be written");
}

/// An absolute path that a configuration names.
fn toml_path(file: &Path, table: &str, key: &str) -> Option<PathBuf> {
    let config: Table = fs::read_to_string(file).ok()?.parse().ok()?;
    let path = PathBuf::from(config.get(table)?.get(key)?.as_str()?);
    path.is_absolute().then_some(path)
}

/// Sends a signal to a process this program started.
fn signal(name: &str, pid: u32) {
    let status = Command::new("kill").arg(name).arg(pid.to_string()).status();
    assert!(status.is_ok_and(|status| status.success()), "kill {name} {pid}");
}

/// A free port below those that outgoing connections are given: none of them takes it before the relay does, or while it restarts.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    const PORTS: std::ops::Range<u16> = 10_000..32_000;
    let count = u32::from(PORTS.end - PORTS.start);
    loop {
        let next = std::process::id().wrapping_mul(97) % count + NEXT.fetch_add(1, Ordering::Relaxed) % count;
        let port = PORTS.start + u16::try_from(next % count).expect("below the count");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

pub(crate) fn said(output: &Output) -> String {
    format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
