//! Where the database is, and how it may be reached: by TLS, on this machine, or in a network the operator answers for.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use super::PostgresError;
use super::tls::Tls;

/// Where the database is. The password is a file, never a part of it.
#[derive(Clone)]
pub struct PostgresAddress {
    config: tokio_postgres::Config,
    password: Option<PathBuf>,
    ca: Option<PathBuf>,
}

impl fmt::Debug for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresAddress({:?})", self.config.get_hosts())
    }
}

impl PostgresAddress {
    /// Reads a connection string of libpq (`host=/run/postgresql dbname=hikyaku user=hikyaku`, or `postgresql://…`). Several
    /// hosts may be named; the one that takes writes is used. `password` is a file. With `ca` (PEM) the way there is TLS 1.3;
    /// without, only a socket or a loopback address will do, or a network of which `private_network` says that nobody
    /// else is on it.
    ///
    /// # Errors
    /// What it must be instead, in words.
    pub fn parse(
        text: &str,
        password: Option<PathBuf>,
        ca: Option<PathBuf>,
        private_network: bool,
    ) -> Result<Self, &'static str> {
        let mut config: tokio_postgres::Config = text
            .parse()
            .map_err(|_| "must be a connection string such as host=/run/postgresql dbname=hikyaku user=hikyaku")?;
        if config.get_password().is_some() {
            return Err("must not hold the password: name a file with it in store.password");
        }
        if config.get_hosts().is_empty() || config.get_user().is_none() || config.get_dbname().is_none() {
            return Err("must name host, user and dbname");
        }
        if ca.is_none() && !private_network && !config.get_hosts().iter().all(here) {
            return Err("is another machine: name its CA in store.ca (TLS), or say store.private_network = true");
        }
        config
            .ssl_mode(if ca.is_some() {
                SslMode::Require
            } else {
                SslMode::Disable
            })
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .application_name("hikyaku-relay")
            .connect_timeout(Duration::from_secs(5))
            .tcp_user_timeout(Duration::from_secs(20))
            .keepalives_idle(Duration::from_secs(10))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(2);
        Ok(Self { config, password, ca })
    }

    /// With password and CA read from their files.
    pub(super) fn resolve(&self) -> Result<(tokio_postgres::Config, Tls), PostgresError> {
        let mut config = self.config.clone();
        if let Some(path) = &self.password {
            let password = std::fs::read_to_string(path).map_err(|error| unreadable(path, error))?;
            config.password(password.trim_end_matches(['\r', '\n']));
        }
        let tls = match &self.ca {
            Some(path) => Tls::trusting(path).map_err(|reason| unreadable(path, reason))?,
            None => Tls::default(),
        };
        Ok((config, tls))
    }
}

fn unreadable(path: &Path, reason: impl fmt::Display) -> PostgresError {
    PostgresError::Address(format!("{}: {reason}", path.display()))
}

/// Whether a host is this machine.
fn here(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost"
                || name
                    .parse::<std::net::IpAddr>()
                    .is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_machine_is_reached_by_tls_or_by_decision() {
        let parse = |text: &str, ca: bool, private: bool| {
            PostgresAddress::parse(text, None, ca.then(|| PathBuf::from("ca.pem")), private)
        };
        for near in [
            "/run/postgresql",
            "127.0.0.1",
            "::1",
            "localhost",
            "127.0.0.1,127.0.0.2",
        ] {
            assert!(
                parse(&format!("host={near} user=u dbname=d"), false, false).is_ok(),
                "{near}"
            );
        }
        for far in ["db.example", "10.0.0.5", "127.0.0.1,10.0.0.5"] {
            let text = format!("host={far} user=u dbname=d");
            assert!(parse(&text, false, false).is_err(), "{far}");
            assert!(parse(&text, true, false).is_ok() && parse(&text, false, true).is_ok());
        }
        assert!(parse("host=127.0.0.1 user=u dbname=d password=x", false, false).is_err());
        assert!(parse("host=127.0.0.1 user=u", false, false).is_err());
        assert!(parse("nonsense", false, false).is_err());
    }
}
