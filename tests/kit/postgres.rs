//! PostgreSQL for tests: a cluster in a folder of its own, on a socket alone; killed, started again, copied to a replica.

use std::fmt::Write as _;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::relay::said;

/// Starting takes a second, starting again after a kill some more; a test that waits longer has found a fault.
const PATIENCE: Duration = Duration::from_secs(60);
/// Owns a cluster where the test runs as root, for whom PostgreSQL does not work. The Debian package makes it.
const OWNER: &str = "postgres";

/// A cluster. Dropped, it is killed and its folder removed.
#[derive(Debug)]
pub struct Postgres {
    folder: TempDir,
    programs: PathBuf,
    options: Vec<String>,
    pid: Mutex<Option<u32>>,
    databases: AtomicU32,
}

impl Postgres {
    /// A cluster of its own, with these settings beside the usual ones; `None` where PostgreSQL is not installed.
    ///
    /// # Panics
    /// If it is installed and does not start.
    #[must_use]
    pub fn start(settings: &[&str]) -> Option<Self> {
        let cluster = Self::new(settings)?;
        let data = cluster.data();
        let made = cluster
            .program("initdb")
            .arg("-D")
            .arg(&data)
            .args([
                "-U",
                "relay",
                "--auth=trust",
                "--no-sync",
                "-E",
                "UTF8",
                "--locale=C.UTF-8",
            ])
            .output();
        let made = made.expect("initdb can be run");
        assert!(made.status.success(), "initdb: {}", said(&made));
        cluster.run();
        Some(cluster)
    }

    /// The cluster that the tests of a process share.
    ///
    /// # Panics
    /// As [`Postgres::start`].
    #[must_use]
    pub fn shared() -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cluster) = shared.upgrade() {
            return Some(cluster);
        }
        let cluster = Arc::new(Self::start(&[])?);
        *shared = Arc::downgrade(&cluster);
        Some(cluster)
    }

    fn new(settings: &[&str]) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder for the cluster");
        let cluster = Self {
            programs: programs()?,
            options: settings.iter().map(ToString::to_string).collect(),
            pid: Mutex::new(None),
            databases: AtomicU32::new(0),
            folder,
        };
        fs::set_permissions(cluster.folder.path(), Permissions::from_mode(0o755)).expect("a folder of one's own");
        fs::create_dir(cluster.folder.path().join("c")).expect("a folder of one's own");
        if root() {
            let owned = Command::new("chown")
                .arg(OWNER)
                .arg(cluster.folder.path().join("c"))
                .status();
            assert!(owned.is_ok_and(|status| status.success()), "chown {OWNER}");
        }
        Some(cluster)
    }

    /// A new database: its connection string.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn database(&self) -> String {
        let name = format!("trail{}", self.databases.fetch_add(1, Ordering::SeqCst));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        self.address(&name)
    }

    /// The connection string of a database.
    #[must_use]
    pub fn address(&self, database: &str) -> String {
        format!("host={} user=relay dbname={database}", self.socket().display())
    }

    /// The folder of its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("c")
    }

    /// Runs a statement; what it returns, unaligned.
    ///
    /// # Panics
    /// If the database refuses.
    pub fn sql(&self, database: &str, statement: &str) -> String {
        let done = self.psql(database, statement).output().expect("psql can be run");
        assert!(done.status.success(), "{statement}: {}", said(&done));
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }

    /// Kills server and sessions without warning, as a crash of the machine would end them.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill9(&self) {
        let pid = self.pid().take().expect("the server runs");
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let all = std::iter::once(pid.to_string()).chain(children.split_whitespace().map(str::to_owned));
        for process in all.collect::<Vec<_>>() {
            // One that ended by itself meanwhile need not be killed.
            let _ended = Command::new("kill")
                .args(["-9", &process])
                .stderr(Stdio::null())
                .status();
        }
        wait(
            || !Path::new(&format!("/proc/{pid}")).exists(),
            "the server does not end",
        );
    }

    /// Stops every process of the server where it is, as a machine that hangs; `thaw` lets them go on.
    ///
    /// # Panics
    /// If it does not run.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// If it does not run.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.pid().expect("the server runs");
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        for process in std::iter::once(pid.to_string()).chain(children.split_whitespace().map(str::to_owned)) {
            // One that ended by itself meanwhile cannot be told.
            let _told = Command::new("kill")
                .args([signal, &process])
                .stderr(Stdio::null())
                .status();
        }
    }

    /// Files that the server reads, such as its certificate: written for its owner alone. Answers the path of each.
    ///
    /// # Panics
    /// If they cannot be written.
    #[must_use]
    pub fn files(&self, files: &[(&str, &[u8])]) -> Vec<PathBuf> {
        let write = |(name, bytes): &(&str, &[u8])| {
            let path = self.socket().join(name);
            fs::write(&path, bytes).expect("a file for the server");
            fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("a file for the server");
            if root() {
                let owned = Command::new("chown").arg(OWNER).arg(&path).status();
                assert!(owned.is_ok_and(|status| status.success()), "chown {OWNER}");
            }
            path
        };
        files.iter().map(write).collect()
    }

    /// Starts it again on what is on disk.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&self) {
        self.run();
    }

    /// A replica that follows this cluster.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn replica(&self, name: &str) -> Self {
        let replica = Self::new(&[]).expect("PostgreSQL is here");
        let source = format!("host={} user=relay application_name={name}", self.socket().display());
        let copied = replica
            .program("pg_basebackup")
            .arg("-D")
            .arg(replica.data())
            .args(["-R", "-X", "stream", "-c", "fast"])
            .arg("-d")
            .arg(source)
            .output()
            .expect("pg_basebackup can be run");
        assert!(copied.status.success(), "pg_basebackup: {}", said(&copied));
        replica.run();
        replica
    }

    /// Makes a replica the one that takes writes.
    ///
    /// # Panics
    /// If it refuses.
    pub fn promote(&self) {
        self.sql("postgres", "SELECT pg_promote(true, 60)");
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("c/data")
    }

    fn run(&self) {
        let mut command = self.program("postgres");
        command.arg("-D").arg(self.data());
        let socket = format!("unix_socket_directories={}", self.socket().display());
        let usual = [
            "listen_addresses=",
            &socket,
            "shared_buffers=32MB",
            "max_connections=200",
            "fsync=on",
        ];
        for setting in usual.into_iter().chain(self.options.iter().map(String::as_str)) {
            command.arg("-c").arg(setting);
        }
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .expect("a log file");
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the same file twice"))
            .stderr(log);
        let (started, starts) = std::sync::mpsc::channel();
        // The kernel ends the server with the thread that started it: a thread that lives as long as the server.
        std::thread::spawn(move || {
            let mut child = command.spawn().expect("postgres can be run");
            let _gone = started.send(child.id());
            let _ended = child.wait();
        });
        let pid = starts.recv().expect("the thread starts the server");
        *self.pid() = Some(pid);
        wait(
            || {
                assert!(
                    Path::new(&format!("/proc/{pid}")).exists(),
                    "the server ended at once\n{}",
                    self.log()
                );
                self.psql("postgres", "SELECT 1")
                    .output()
                    .is_ok_and(|done| done.status.success())
            },
            "the server does not answer",
        );
    }

    fn psql(&self, database: &str, statement: &str) -> Command {
        let mut command = Command::new(self.programs.join("psql"));
        command
            .args(["-X", "-q", "-At", "-U", "relay", "-d", database, "-c", statement])
            .arg("-h")
            .arg(self.socket());
        command
    }

    /// A program that runs as the owner of the cluster, and ends when this program does.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new("setpriv");
        if root() {
            command.args(["--reuid", OWNER, "--regid", OWNER, "--init-groups"]);
        }
        command
            .args(["--pdeathsig", "INT"])
            .arg(self.programs.join(name))
            .current_dir(self.socket());
        command
    }

    fn pid(&self) -> std::sync::MutexGuard<'_, Option<u32>> {
        self.pid.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (log, mut tail) = (self.log(), String::new());
            for line in log.lines().rev().take(40).collect::<Vec<_>>().into_iter().rev() {
                let _written = writeln!(tail, "{line}");
            }
            eprintln!("--- the database's log ---\n{tail}");
        }
        if self.pid().is_some() && !std::thread::panicking() {
            self.kill9();
        } else if let Some(pid) = *self.pid() {
            let _ended = Command::new("kill").args(["-INT", &pid.to_string()]).status();
        }
    }
}

/// Where the newest PostgreSQL on this machine has its programs.
fn programs() -> Option<PathBuf> {
    let known = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = known
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, programs)| programs.join("initdb").exists())
        .collect();
    found.sort();
    found.pop().map(|(_, programs)| programs)
}

fn root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

fn wait(mut done: impl FnMut() -> bool, late: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "{late}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
