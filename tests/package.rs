//! The Debian packages of relay and client: built with `cargo deb`, installed on this machine, started as the package's user
//! from the unit's own command line, and a letter sent through them; then purged, and what was kept is still there.
//!
//! The programs packaged here are those of this build, not a release's: it is the packaging that is tested. systemd does not
//! run where tests run, so the unit is judged by `systemd-analyze` alone and its sandbox is not entered.

#![cfg(target_os = "linux")]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use kit::stage::PERSON;
use kit::{ContainerOptions, Services, bin, referral, skip};
use serde_json::Value;
use time::OffsetDateTime;
use toml::{Table, Value as Toml};

const NAME: &str = "the_packages_install_start_and_carry_a_letter";
const CONFIG: &str = "/etc/hikyaku/relay.toml";

/// What the test puts on this machine, taken away again at its end.
struct Installed {
    relay: Option<Child>,
}

impl Drop for Installed {
    fn drop(&mut self) {
        if let Some(mut relay) = self.relay.take() {
            let _ended = relay.kill();
            let _ended = relay.wait();
        }
        let _removed = Command::new("dpkg")
            .args(["--purge", "hikyaku-relay", "hikyaku"])
            .output();
        for folder in ["/etc/hikyaku", "/var/lib/hikyaku"] {
            let _removed = fs::remove_dir_all(folder);
        }
        let _removed = Command::new("deluser").args(["--system", "hikyaku"]).output();
    }
}

#[test]
fn the_packages_install_start_and_carry_a_letter() {
    let Some(cargo_deb) = possible() else { return };
    let work = tempfile::tempdir().unwrap();
    // `cargo deb` packs what was built for the tests.
    assert!(bin("hikyaku-relay").is_file() && bin("hikyaku").is_file());
    for package in ["relay", "client"] {
        let mut packing = Command::new(&cargo_deb);
        packing.args([
            "-p",
            package,
            "--no-build",
            "--strip",
            "--fast",
            "--profile",
            "dev",
            "--offline",
            "-o",
        ]);
        run(packing
            .arg(work.path())
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")));
    }
    let packages: Vec<PathBuf> = fs::read_dir(work.path())
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    assert_eq!(packages.len(), 2, "{packages:?}");

    let mut installed = Installed { relay: None };
    run(Command::new("dpkg").arg("-i").args(&packages));
    for folder in ["/etc/hikyaku", "/var/lib/hikyaku"] {
        let found = fs::metadata(folder).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, 0o700, "{folder}");
        assert_ne!(found.uid(), 0, "{folder} is the relay's own");
    }
    let unit = ["/lib/systemd/system", "/usr/lib/systemd/system"]
        .map(|folder| Path::new(folder).join("hikyaku-relay.service"))
        .into_iter()
        .find(|path| path.is_file())
        .expect("the package brings a unit");
    run(Command::new("systemd-analyze").arg("verify").arg(&unit));
    let mut exposure = Command::new("systemd-analyze");
    run(exposure
        .args(["security", "--offline=true", "--threshold=20"])
        .arg(&unit));

    // As the package's README says it.
    run(&mut as_user(&[
        "hikyaku-relay",
        "init",
        "/etc/hikyaku",
        "--host",
        "127.0.0.1",
    ]));
    let services = Services::start_blocking(0);
    let portal = configure(&services);
    run(&mut as_user(&["hikyaku-relay", "check-config", "--config", CONFIG]));
    let text = fs::read_to_string(&unit).unwrap();
    let start = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let words: Vec<&str> = start.split_whitespace().collect();
    installed.relay = Some(as_user(&words).spawn().unwrap());
    let deadline = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(("127.0.0.1", portal)).is_err() || !Path::new("/var/lib/hikyaku/admin.sock").exists() {
        assert!(Instant::now() < deadline, "the installed relay does not answer");
        std::thread::sleep(Duration::from_millis(50));
    }

    let clinic = join("1310000001", work.path(), portal);
    let hospital = join("1320000002", work.path(), portal);
    let (mut envelope, files) = referral();
    envelope.sender.facility = "1310000001".parse().unwrap();
    for recipient in &mut envelope.recipients {
        recipient.facility = "1320000002".parse().unwrap();
    }
    let options = ContainerOptions::at(OffsetDateTime::now_utc());
    let doctor = services.hpki().doctor();
    let letter = work.path().join("letter.asice");
    fs::write(&letter, services.hpki().container(&doctor, &envelope, &files, options)).unwrap();
    run(client(&clinic).arg("send").arg(&letter));
    let inbox = run(client(&hospital).args(["--json", "inbox"]));
    assert!(inbox.contains(&envelope.id.to_string()), "{inbox}");
    let out = work.path().join("received");
    let id = envelope.id.to_string();
    run(client(&hospital)
        .args(["fetch", &id, "--person", "staff", "--out"])
        .arg(&out));
    run(&mut as_user(&["hikyaku-relay", "check", "--config", CONFIG]));

    // Purged, the programs are gone; keys and letters are not.
    let mut relay = installed.relay.take().unwrap();
    run(Command::new("kill").arg(relay.id().to_string()));
    assert!(relay.wait().unwrap().success());
    run(Command::new("dpkg").args(["--purge", "hikyaku-relay", "hikyaku"]));
    assert!(!Path::new("/usr/bin/hikyaku-relay").exists() && !unit.exists());
    assert!(Path::new("/etc/hikyaku/keys/log.key").exists() && Path::new("/var/lib/hikyaku/trail").exists());
}

/// `cargo-deb`, where all this can be tried without touching what belongs to somebody.
fn possible() -> Option<PathBuf> {
    let tool = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/tools/bin/cargo-deb"));
    let root = fs::metadata("/proc/self").is_ok_and(|found| found.uid() == 0);
    let has = |name: &str| Command::new(name).arg("--version").output().is_ok();
    let reason = if !tool.is_file() {
        "no cargo-deb in target/tools"
    } else if !root {
        "not root: packages cannot be installed"
    } else if ["dpkg", "setpriv", "systemd-analyze", "adduser"]
        .iter()
        .any(|name| !has(name))
    {
        "no dpkg, setpriv, systemd-analyze or adduser"
    } else if ["/etc/hikyaku", "/var/lib/hikyaku", "/usr/bin/hikyaku-relay"]
        .iter()
        .any(|path| Path::new(path).exists())
    {
        "a relay is installed on this machine"
    } else if Command::new("getent")
        .args(["passwd", "hikyaku"])
        .status()
        .is_ok_and(|found| found.success())
    {
        "this machine has a user hikyaku"
    } else {
        return Some(tool);
    };
    skip(NAME, reason);
    None
}

fn as_user(words: &[&str]) -> Command {
    // Becomes the program, so that its process is the relay's.
    let mut command = Command::new("setpriv");
    command.args(["--reuid=hikyaku", "--regid=hikyaku", "--init-groups"]);
    command.args(words).current_dir("/");
    command
}

fn client(home: &Path) -> Command {
    let mut command = Command::new("/usr/bin/hikyaku");
    command.env("HIKYAKU_HOME", home).env("HIKYAKU_LANG", "en");
    command
}

/// A facility with a person and an enrolled machine; answers its home.
fn join(facility: &str, work: &Path, portal: u16) -> PathBuf {
    let added =
        run(Command::new("hikyaku-relay").args(["facility", "add", facility, "TEST", "--json", "--config", CONFIG]));
    let added: Value = serde_json::from_str(&added).unwrap();
    run(Command::new("hikyaku-relay").args(["member", "add", facility, "staff", PERSON, "--config", CONFIG]));
    let (home, url) = (work.join(facility), format!("https://127.0.0.1:{portal}"));
    run(client(&home).args(["enroll", "--relay", &url, "--code", added["code"].as_str().unwrap()]));
    home
}

/// What the README says to adapt: data folder, addresses, trust. Answers the portal's port.
fn configure(services: &Services) -> u16 {
    services.hpki().write_trust(Path::new("/etc/hikyaku/trust"));
    let mut config: Table = fs::read_to_string(CONFIG).unwrap().parse().unwrap();
    config.insert("data".into(), "/var/lib/hikyaku".into());
    let ports = [free_port(), free_port()];
    for (listener, port) in ["api", "portal"].into_iter().zip(ports) {
        let table = config.get_mut(listener).and_then(Toml::as_table_mut).unwrap();
        table.insert("listen".into(), format!("127.0.0.1:{port}").into());
        table.insert("url".into(), format!("https://127.0.0.1:{port}").into());
    }
    let mut set = |table: &str, key: &str, value: &str| {
        let table = config.entry(table).or_insert_with(|| Toml::Table(Table::new()));
        table.as_table_mut().unwrap().insert(key.into(), vec![value].into());
    };
    set("trust", "fetch_hosts", "127.0.0.1");
    set("trust", "fetch_private", "127.0.0.1/32");
    set("timestamps", "urls", &services.tsa_url());
    fs::write(CONFIG, config.to_string()).unwrap();
    run(Command::new("chown").args(["-R", "hikyaku:hikyaku", "/etc/hikyaku"]));
    ports[1]
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Runs it to its successful end; answers what it printed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn said(output: &Output) -> String {
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    format!("{}\n{out}{err}", output.status)
}
