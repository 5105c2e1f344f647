//! The way to the database over TLS: only to a server whose certificate is of the CA named and for the host named.

use std::path::Path;
use std::process::Command;

use kit::{Postgres, skip};
use relay::store::{PostgresAddress, PostgresStore, Store as _};

use super::{key, keys, send};

/// A CA and, of it, a certificate for an address; PEM files of a folder.
fn certificates(folder: &Path, name: &str, address: &str) {
    let run = |arguments: &[&str]| {
        let mut command = Command::new("openssl");
        let done = command.args(arguments).current_dir(folder).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    let (ca, ca_key, server, request) = (
        format!("{name}.ca.pem"),
        format!("{name}.ca.key"),
        format!("{name}.key"),
        format!("{name}.csr"),
    );
    let new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    run(&[
        &new[..],
        &[
            "-x509",
            "-days",
            "2",
            "-subj",
            "/CN=TEST CA",
            "-keyout",
            &ca_key,
            "-out",
            &ca,
        ],
    ]
    .concat());
    run(&[
        &new[..],
        &["-subj", "/CN=TEST database", "-keyout", &server, "-out", &request],
    ]
    .concat());
    std::fs::write(folder.join("extensions"), format!("subjectAltName=IP:{address}\n")).unwrap();
    run(&[
        "x509",
        "-req",
        "-days",
        "2",
        "-in",
        &request,
        "-CA",
        &ca,
        "-CAkey",
        &ca_key,
        "-CAcreateserial",
        "-extfile",
        "extensions",
        "-out",
        &format!("{name}.pem"),
    ]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_server_with_the_right_certificate_is_spoken_to() {
    let name = "only_a_server_with_the_right_certificate_is_spoken_to";
    // Of loopback, and nobody else's.
    let pid = std::process::id();
    let here = format!("127.{}.{}.1", 1 + (pid >> 8) % 250, 1 + pid % 250);
    let Some(cluster) = Postgres::start(&[&format!("listen_addresses={here}")]) else {
        return skip(name, "PostgreSQL is not installed");
    };
    if Command::new("openssl").arg("version").output().is_err() {
        return skip(name, "no openssl");
    }
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path(), "right", &here);
    certificates(folder.path(), "elsewhere", "192.0.2.1");
    let serve = |name: &str| {
        let read = |file: String| std::fs::read(folder.path().join(file)).unwrap();
        let (certificate, key) = (read(format!("{name}.pem")), read(format!("{name}.key")));
        let [certificate, key] = &cluster.files(&[("server.pem", &certificate), ("server.key", &key)])[..] else {
            panic!()
        };
        for (setting, value) in [
            ("ssl_cert_file", certificate.to_str().unwrap()),
            ("ssl_key_file", key.to_str().unwrap()),
            ("ssl", "on"),
        ] {
            cluster.sql("postgres", &format!("ALTER SYSTEM SET {setting} = '{value}'"));
        }
        cluster.sql("postgres", "SELECT pg_reload_conf()");
        std::thread::sleep(std::time::Duration::from_millis(300));
    };
    let place = cluster.database();
    let database = place.rsplit_once('=').unwrap().1.to_owned();
    let opened = async |ca: &str| {
        let text = format!("host={here} user=relay dbname={database}");
        let address = PostgresAddress::parse(&text, None, Some(folder.path().join(ca)), false).unwrap();
        let opening = tokio::task::spawn_blocking(move || PostgresStore::open(&address, key(), keys()));
        opening.await.unwrap()
    };
    serve("right");
    let store = opened("right.ca.pem").await.unwrap();
    send(&store, 1).await.unwrap();
    assert_eq!(store.size().await.unwrap(), 1);
    let sessions = "SELECT DISTINCT s.ssl, s.version FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) \
                    WHERE a.application_name = 'hikyaku-relay'";
    assert_eq!(cluster.sql(&database, sessions), "t|TLSv1.3");
    drop(store);
    // Another authority; the right one, but a certificate for another host.
    assert!(opened("elsewhere.ca.pem").await.is_err());
    serve("elsewhere");
    assert!(opened("elsewhere.ca.pem").await.is_err());
    serve("right");
    assert_eq!(opened("right.ca.pem").await.unwrap().size().await.unwrap(), 1);
}
