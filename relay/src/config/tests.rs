//! A configuration as written, with defaults, and every manner of a wrong one.

use super::*;

const SMALLEST: &str = r#"
    name = "Test relay"
    data = "data"
    api = { listen = "127.0.0.1:8443", url = "https://relay.example:8443/" }
    portal = { listen = "127.0.0.1:8444", url = "https://relay.example:8444" }
    tls = { certificate = "keys/tls.pem", key = "keys/tls.key" }
    ca = { certificate = "keys/ca.pem", key = "/elsewhere/ca.key" }
    log = { name = "relay.example/trail", key = "keys/log.key" }
    keys = { identities = ["keys/identity.txt"], recipients = "keys/recipients.txt" }
    trust = { directory = "trust" }
"#;

fn read(text: &str) -> Result<Config, ConfigError> {
    let file = toml::from_str(text).map_err(|error| ConfigError::Syntax {
        path: "relay.toml".into(),
        what: error.to_string(),
    })?;
    Config::from_file(file, Path::new("/srv/hikyaku"))
}

#[test]
fn the_smallest_file_has_every_default() {
    let config = read(SMALLEST).unwrap();
    assert_eq!(config.data, Path::new("/srv/hikyaku/data"));
    assert_eq!(config.ca.key, Path::new("/elsewhere/ca.key"));
    assert_eq!(config.api.url, "https://relay.example:8443");
    assert_eq!(config.keys.identities, [Path::new("/srv/hikyaku/keys/identity.txt")]);
    assert_eq!(
        config.trust.fetch_hosts,
        ["cert.medis.or.jp", "crl.pki.med.or.jp", "hpki.mhlw.go.jp"]
    );
    assert_eq!(config.trust.refresh, Duration::from_secs(6 * 3600));
    assert_eq!(config.limits.max_container, 8 << 30);
    assert_eq!(config.limits.pending_deadline, Duration::from_secs(72 * 3600));
    assert!(config.timestamps.is_empty());
    assert_eq!(config.log.stamp_every, Duration::from_secs(86_400));
    assert!(config.log.witnesses.is_empty() && config.log.token.is_none());
    assert_eq!(config.archive.renew_before, Duration::from_secs(90 * 86_400));
    assert_eq!(config.retention.account, Duration::from_secs(5 * 365 * 86_400));
    assert_eq!(config.retention.containers, Duration::from_secs(90 * 86_400));
    assert_eq!(
        (config.limits.reserve, config.limits.quota_per_facility),
        (256 << 20, None)
    );
}

#[test]
fn a_wrong_value_names_its_key_and_what_it_may_be() {
    for (line, key) in [
        ("limits = { max_container = \"8 apples\" }", "limits.max_container"),
        ("limits = { upload_expiry = \"soon\" }", "limits.upload_expiry"),
        ("limits = { connections = 0 }", "limits.connections"),
        (
            "syslog = { address = \"log.example\", ca = \"ca.pem\" }",
            "syslog.address",
        ),
        ("timestamps = { urls = [\"ftp://tsa.example\"] }", "timestamps.urls"),
        ("timestamps = { urls = [\"https://tsa.example\"] }", "timestamps.urls"),
        ("limits = { pending_retry = \"0\" }", "limits.pending_retry"),
        ("archive = { renew_before = \"never\" }", "archive.renew_before"),
        ("retention = { containers = \"long\" }", "retention.containers"),
        ("retention = { containers = \"7d\" }", "retention.offer"),
        ("retention = { account = \"364d\" }", "retention.account"),
        ("retention = { containers = \"6y\" }", "retention.containers"),
        (
            "limits = { quota_per_facility = \"much\" }",
            "limits.quota_per_facility",
        ),
        ("limits = { reserve = \"0\" }", "limits.reserve"),
    ] {
        let message = read(&format!("{SMALLEST}\n{line}")).unwrap_err().to_string();
        assert!(
            message.starts_with(key) && message.contains("must be"),
            "{line}: {message}"
        );
    }
    for (from, to, key) in [
        ("127.0.0.1:8443", "localhost", "api.listen"),
        ("https://relay.example:8444", "http://relay.example:8444", "portal.url"),
        ("relay.example/trail", "two words", "log.name"),
        ("[\"keys/identity.txt\"]", "[]", "keys.identities"),
        (", key = \"keys/log.key\"", "", "log.key"),
        (
            "keys/log.key\"",
            "keys/log.key\", stamp_every = \"25h\"",
            "log.stamp_every",
        ),
        (
            "keys/log.key\"",
            "keys/log.key\", witness = [{ url = \"http://w.example\", vkey = \"w+1+A\" }]",
            "log.witness.vkey",
        ),
        (
            "keys/log.key\"",
            "keys/log.key\", witness = [{ url = \"https://w.example\", vkey = \"w+1+A\" }]",
            "log.witness.url",
        ),
        (
            "directory = \"trust\"",
            "directory = \"trust\", fetch_hosts = [\"http://a.example/\"]",
            "trust.fetch_hosts",
        ),
        (
            "directory = \"trust\"",
            "directory = \"trust\", fetch_private = [\"10.0.0.0/33\"]",
            "trust.fetch_private",
        ),
    ] {
        let message = read(&SMALLEST.replace(from, to)).unwrap_err().to_string();
        assert!(
            message.starts_with(key) && message.contains("must be"),
            "{from} -> {to}: {message}"
        );
    }
}

#[test]
fn unknown_and_missing_keys_are_refused() {
    let unknown = read(&format!("{SMALLEST}\nlimits = {{ max_containers = \"1GiB\" }}"))
        .unwrap_err()
        .to_string();
    assert!(unknown.contains("max_containers"), "{unknown}");
    let missing = read(&SMALLEST.replace("name = \"Test relay\"", ""))
        .unwrap_err()
        .to_string();
    assert!(missing.contains("name"), "{missing}");
    let keyless: String = SMALLEST
        .lines()
        .filter(|line| !line.trim_start().starts_with("keys"))
        .map(|line| format!("{line}\n"))
        .collect();
    let told = read(&keyless).unwrap_err().to_string();
    assert!(told.starts_with("[keys] is missing") && told.contains("init"), "{told}");
}
