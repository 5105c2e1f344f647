//! The syslog feed into rsyslog over TLS: every record arrives, also those of while it was away; nothing waits for it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kit::{RelayOptions, Stage, skip};

/// An rsyslog that listens with TLS and writes each message as one line.
struct Receiver {
    child: Child,
}

impl Receiver {
    fn start(folder: &Path, keys: &Path, port: u16) -> Self {
        let (folder_name, keys) = (folder.display(), keys.display());
        let configuration = format!(
            r#"global(workDirectory="{folder_name}" maxMessageSize="64k"
  defaultNetstreamDriverCAFile="{keys}/ca.pem"
  defaultNetstreamDriverCertFile="{keys}/tls.pem"
  defaultNetstreamDriverKeyFile="{keys}/tls.key")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon"
  gnutlsPriorityString="NORMAL:-VERS-ALL:+VERS-TLS1.3")
template(name="whole" type="string" string="%pri% %hostname% %app-name% %msgid% %msg%\n")
input(type="imtcp" address="127.0.0.1" port="{port}")
action(type="omfile" file="{folder_name}/received" template="whole")
"#
        );
        let file = folder.join("rsyslog.conf");
        std::fs::write(&file, configuration).unwrap();
        let child = Command::new("rsyslogd")
            .arg("-n")
            .arg("-f")
            .arg(&file)
            .arg("-i")
            .arg(folder.join("pid"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

fn rsyslog_with_tls() -> bool {
    let module = ["/usr/lib", "/usr/lib64"].iter().any(|root| {
        let places = std::fs::read_dir(root).into_iter().flatten().flatten();
        places
            .into_iter()
            .any(|place| place.path().join("rsyslog/lmnsd_gtls.so").exists())
            || Path::new(root).join("rsyslog/lmnsd_gtls.so").exists()
    });
    module && super::there("rsyslogd")
}

/// Positions of the records whose messages arrived, each checked to be one.
fn arrived(folder: &Path) -> BTreeSet<u64> {
    let text = std::fs::read_to_string(folder.join("received")).unwrap_or_default();
    // The last line may still be being written.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(position).collect()
}

fn position(line: &str) -> u64 {
    assert!(
        line.starts_with("85 ") && line.contains(" hikyaku-relay DICOM+RFC3881 "),
        "{line}"
    );
    assert!(
        line.contains("<AuditMessage>") && line.ends_with("</AuditMessage>"),
        "{line}"
    );
    let (_, value) = line.split_once("type=\"position\" value=\"").unwrap();
    let bytes = STANDARD.decode(value.split('"').next().unwrap()).unwrap();
    String::from_utf8(bytes).unwrap().parse().unwrap()
}

fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !reached() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn every_record_reaches_the_log_server_and_nothing_waits_for_it() {
    if !rsyslog_with_tls() {
        return skip(
            "every_record_reaches_the_log_server_and_nothing_waits_for_it",
            "no rsyslog with its TLS driver",
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let address = format!("localhost:{port}");
    let options = RelayOptions {
        more: vec![
            ("syslog", "address", address.into()),
            ("syslog", "ca", "keys/ca.pem".into()),
            // rsyslog's driver ends a connection without it.
            ("syslog", "close_notify", "optional".into()),
        ],
        ..RelayOptions::default()
    };
    let stage = Stage::new(&options);
    let keys = stage.relay.folder().join("keys");
    // Nobody listens yet: the relay takes letters all the same.
    let pair = stage.pair();
    super::sent(&stage, &pair);
    let receiver = Receiver::start(folder.path(), &keys, port);
    let size = || {
        let checkpoint = pair.clinic.get(&stage.relay, "/v1/trail/checkpoint");
        let text = String::from_utf8(checkpoint.body).unwrap();
        text.lines().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let all_arrived = || {
        let size = size();
        until("all records arrive", || {
            arrived(folder.path()).range(..size).count() as u64 == size
        });
    };
    all_arrived();

    // The log server goes away and comes back; the relay is killed meanwhile.
    drop(receiver);
    super::sent(&stage, &pair);
    stage.relay.kill9();
    stage.relay.restart();
    super::sent(&stage, &pair);
    let _receiver = Receiver::start(folder.path(), &keys, port);
    all_arrived();
    let text = std::fs::read_to_string(folder.path().join("received")).unwrap();
    assert!(text.contains("csd-code=\"Accepted\""), "{text}");
    let lag = stage.relay.portal("/metrics");
    let lag = String::from_utf8(lag.body).unwrap();
    assert!(lag.contains("hikyaku_syslog_lag_records"), "{lag}");
}
