//! SeaweedFS for tests: one server on loopback that speaks S3, killed and started again.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// It answers after a second or two; a test that waits longer has found a fault.
const PATIENCE: Duration = Duration::from_secs(60);
/// Its gRPC listeners are so far above the others.
const ABOVE: u16 = 10_000;
const ID: &str = "relay";
const SECRET: &str = "for tests only";

/// A server. Dropped, it is killed and its folder removed.
#[derive(Debug)]
pub struct Bucket {
    folder: TempDir,
    program: PathBuf,
    /// Of master, volume, filer, S3 and administration.
    ports: [u16; 5],
    pid: Mutex<Option<u32>>,
    buckets: AtomicU32,
}

impl Bucket {
    /// A server of its own; `None` where SeaweedFS is not installed.
    ///
    /// # Panics
    /// If it is installed and does not start.
    #[must_use]
    pub fn start() -> Option<Self> {
        let server = Self {
            program: program()?,
            folder: tempfile::tempdir().expect("a folder for the server"),
            ports: [(); 5].map(|()| free_port()),
            pid: Mutex::new(None),
            buckets: AtomicU32::new(0),
        };
        fs::create_dir(server.folder.path().join("data")).expect("a folder of one's own");
        let credentials = format!("access_key_id = \"{ID}\"\nsecret_access_key = \"{SECRET}\"\n");
        fs::write(server.credentials(), credentials).expect("a file of one's own");
        fs::set_permissions(server.credentials(), fs::Permissions::from_mode(0o600)).expect("a file of one's own");
        server.restart();
        Some(server)
    }

    /// The server that the tests of a process share.
    ///
    /// # Panics
    /// As [`Bucket::start`].
    #[must_use]
    pub fn shared() -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<Bucket>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return Some(server);
        }
        let server = Arc::new(Self::start()?);
        *shared = Arc::downgrade(&server);
        Some(server)
    }

    /// Name of a bucket nobody else uses; it is made with the first object.
    #[must_use]
    pub fn name(&self) -> String {
        format!("containers{}", self.buckets.fetch_add(1, Ordering::SeqCst))
    }

    /// Name of a new bucket with object lock, which keeps versions.
    ///
    /// # Panics
    /// If the server does not make it.
    #[must_use]
    pub fn locked(&self) -> String {
        use std::io::Write as _;
        let name = format!("locked{}", self.buckets.fetch_add(1, Ordering::SeqCst));
        let mut shell = Command::new(&self.program)
            .arg("shell")
            .arg(format!("-master=127.0.0.1:{}", self.ports[0]))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("weed can be run");
        let line = format!("s3.bucket.create -name {name} -withLock\n");
        let mut into = shell.stdin.take().expect("a pipe");
        into.write_all(line.as_bytes()).expect("the shell reads");
        drop(into);
        let said = shell.wait_with_output().expect("the shell ends");
        let told = String::from_utf8_lossy(&said.stdout);
        assert!(told.contains(&name), "{told}{}", String::from_utf8_lossy(&said.stderr));
        name
    }

    /// Python, told where this server is and how requests to it are signed.
    #[must_use]
    pub fn python(&self) -> Command {
        let mut command = Command::new("python3");
        command
            .env("AWS_ACCESS_KEY_ID", ID)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("ENDPOINT", self.endpoint());
        command
    }

    /// The endpoint of a relay's configuration.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.ports[3]
    }

    /// Removes what lies below a path of a bucket behind the back of who uses it, as a disk that is lost would.
    ///
    /// # Panics
    /// If the server does not answer, or refuses.
    pub fn lose(&self, bucket: &str, below: &str) {
        use std::io::{Read as _, Write as _};
        let mut stream = TcpStream::connect(("127.0.0.1", self.ports[2])).expect("the filer answers");
        let request = format!(
            "DELETE /buckets/{bucket}/{below}?recursive=true HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("the filer takes a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the filer answers");
        assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
    }

    /// The file with the credentials of a relay's configuration.
    #[must_use]
    pub fn credentials(&self) -> PathBuf {
        self.folder.path().join("s3.toml")
    }

    /// Kills it without warning.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill9(&self) {
        let pid = self.pid().take().expect("the server runs");
        let _ended = Command::new("kill").args(["-9", &pid.to_string()]).status();
        let deadline = Instant::now() + PATIENCE;
        while PathBuf::from(format!("/proc/{pid}")).exists() {
            assert!(Instant::now() < deadline, "the server does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts it on what is on disk.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&self) {
        let [master, volume, filer, s3, admin] = self.ports;
        let log = File::options().create(true).append(true).open(self.log_file());
        let log = log.expect("a file for the log");
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL"])
            .arg(&self.program)
            .arg("mini")
            .arg("-dir")
            .arg(self.folder.path().join("data"))
            .args(["-ip", "127.0.0.1", "-ip.bind", "127.0.0.1"])
            .args(["-webdav=false", "-admin.ui=false", "-master.telemetry=false"])
            .args(["-s3.port.iceberg=0", "-s3.port.lance=0"])
            .args([format!("-master.port={master}"), format!("-volume.port={volume}")])
            .args([format!("-filer.port={filer}"), format!("-s3.port={s3}")])
            .arg(format!("-admin.port={admin}"))
            .env("AWS_ACCESS_KEY_ID", ID)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the same file twice"))
            .stderr(log);
        let (started, starts) = std::sync::mpsc::channel();
        // The kernel ends the server with the thread that started it: a thread that lives as long as the server.
        std::thread::spawn(move || {
            let mut child = command.spawn().expect("weed can be run");
            let _gone = started.send(child.id());
            let _ended = child.wait();
        });
        let pid = starts.recv().expect("the thread starts the server");
        *self.pid() = Some(pid);
        let deadline = Instant::now() + PATIENCE;
        // The filer answers last.
        while ![s3, filer, volume]
            .iter()
            .all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok())
        {
            let there = PathBuf::from(format!("/proc/{pid}")).exists();
            assert!(
                there && Instant::now() < deadline,
                "the server does not start\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn pid(&self) -> std::sync::MutexGuard<'_, Option<u32>> {
        self.pid.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        if let Some(pid) = self.pid().take() {
            let _ended = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
    }
}

/// Where `tests/run` installs it, or where the system has it.
fn program() -> Option<PathBuf> {
    let ours = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/venv/bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(ours).chain(std::env::split_paths(&path));
    folders.map(|folder| folder.join("weed")).find(|path| path.is_file())
}

/// A port that is free together with the one above it.
fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let above = port
            .checked_add(ABOVE)
            .filter(|above| TcpListener::bind(("127.0.0.1", *above)).is_ok());
        if above.is_some() {
            return port;
        }
    }
}
