//! `[containers]`: the bucket that several relays share.

use std::path::{Path, PathBuf};

use super::file::{BackupFile, ContainersFile};
use super::{ConfigError, refused};

/// A bucket that speaks S3.
#[derive(Debug, Clone)]
pub struct S3Place {
    /// Its name.
    pub bucket: String,
    /// `https://HOST` or `http://HOST:PORT` of the service; the bucket follows in the path.
    pub endpoint: String,
    /// What requests are signed for; many servers take any.
    pub region: String,
    /// The file with `access_key_id` and `secret_access_key`; `None`: the environment.
    pub credentials: Option<PathBuf>,
    /// PEM: the authorities by which the endpoint is known; the system's bundle is one such file.
    pub ca: Option<PathBuf>,
}

pub(super) fn place(file: ContainersFile, base: &Path) -> Result<S3Place, ConfigError> {
    if !is_bucket(&file.s3) {
        let allowed = "must be the name of a bucket: 3 to 63 of a-z, 0-9, '-' and '.'";
        return Err(refused("containers.s3", &file.s3, allowed));
    }
    service("containers.endpoint", file, base)
}

/// Where backups go that go to a bucket; its name is said when one is made.
pub(super) fn backup(file: BackupFile, base: &Path) -> Result<S3Place, ConfigError> {
    let BackupFile {
        endpoint,
        region,
        credentials,
        ca,
        private_network,
    } = file;
    let file = ContainersFile {
        s3: String::new(),
        endpoint,
        region,
        credentials,
        ca,
        private_network,
    };
    service("backup.endpoint", file, base)
}

/// Whether a bucket can have this name.
pub(super) fn is_bucket(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    (3..=63).contains(&name.len()) && name.bytes().all(letter)
}

fn service(key: &'static str, file: ContainersFile, base: &Path) -> Result<S3Place, ConfigError> {
    let wrong = |allowed| refused(key, &file.endpoint, allowed);
    let uri: Option<http::Uri> = file.endpoint.parse().ok();
    let uri = uri.filter(|uri| uri.host().is_some() && uri.path() == "/" && uri.query().is_none());
    let uri = uri.filter(|uri| {
        uri.authority()
            .is_some_and(|authority| !authority.as_str().contains('@'))
    });
    let uri = uri.ok_or_else(|| wrong("must be https://HOST or http://HOST:PORT, without a path"))?;
    match uri.scheme_str() {
        Some("https") if file.ca.is_none() => {
            return Err(wrong(
                "needs ca beside it: the authorities of its certificate, such as the system's bundle",
            ));
        }
        Some("https") => {}
        Some("http") if file.private_network || here(&uri) => {}
        Some("http") => {
            return Err(wrong(
                "is another machine: use https:// with ca, or say private_network = true",
            ));
        }
        _ => return Err(wrong("must be https://HOST or http://HOST:PORT, without a path")),
    }
    Ok(S3Place {
        endpoint: file.endpoint.trim_end_matches('/').to_owned(),
        bucket: file.s3,
        region: file.region,
        credentials: file.credentials.map(|path| base.join(path)),
        ca: file.ca.map(|path| base.join(path)),
    })
}

impl S3Place {
    /// The same service's bucket of this name; `None` if none can be called so.
    #[must_use]
    pub fn named(&self, bucket: &str) -> Option<Self> {
        is_bucket(bucket).then(|| Self {
            bucket: bucket.to_owned(),
            ..self.clone()
        })
    }
}

/// Whether a host is this machine.
fn here(uri: &http::Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_machine_is_reached_by_tls_or_by_decision() {
        let read = |endpoint: &str, ca: bool, private_network: bool| {
            let file = ContainersFile {
                s3: "hikyaku".into(),
                endpoint: endpoint.into(),
                region: "us-east-1".into(),
                credentials: None,
                ca: ca.then(|| "ca.pem".into()),
                private_network,
            };
            place(file, Path::new("/etc/hikyaku"))
        };
        for near in ["http://127.0.0.1:8333", "http://[::1]:8333/", "http://localhost:9000"] {
            assert!(read(near, false, false).is_ok(), "{near}");
        }
        assert_eq!(
            read("http://[::1]:8333/", false, false).unwrap().endpoint,
            "http://[::1]:8333"
        );
        assert!(read("http://s3.example", false, false).is_err());
        assert!(read("http://s3.example", false, true).is_ok());
        assert!(
            read("https://s3.example", false, true).is_err(),
            "no authority is named"
        );
        let far = read("https://s3.example", true, false).unwrap();
        assert_eq!(far.ca, Some(PathBuf::from("/etc/hikyaku/ca.pem")));
        for none in [
            "s3.example",
            "ftp://s3.example",
            "https://s3.example/bucket",
            "https://a:b@s3.example",
        ] {
            assert!(read(none, true, true).is_err(), "{none}");
        }
    }
}
