//! The operator's day: a folder is made, facilities join, codes are given, persons named, the trail exported.

use formats::trail::LogKey;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::account::Format;
use crate::ca::RelayCa;
use crate::config::Config;
use crate::store::MemoryStore;

fn store() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new(LogKey::from_seed("relay.example", &[5; 32]).unwrap().0).unwrap())
}

fn facility() -> FacilityCode {
    "1310000001".parse().unwrap()
}

#[test]
fn init_makes_what_serve_needs_and_keeps_its_secrets() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("relay");
    init(&folder, "relay.example", OffsetDateTime::now_utc()).unwrap();
    let config = Config::load(&folder.join("relay.toml")).unwrap();
    RelayCa::load(&config.ca.certificate, &config.ca.key).unwrap();
    let log = LogKey::parse(&std::fs::read_to_string(&config.log.key).unwrap()).unwrap();
    assert_eq!(log.name(), config.log.name);
    let policy = std::fs::read_to_string(config.trust.directory.join("policy.toml")).unwrap();
    policy.parse::<toml::Table>().unwrap();
    #[cfg(unix)]
    for key in ["ca.key", "tls.key", "log.key"] {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(folder.join("keys").join(key))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
    assert!(matches!(
        init(&folder, "relay.example", OffsetDateTime::now_utc()),
        Err(InitError::NotEmpty(_))
    ));
}

#[tokio::test]
async fn a_facility_gets_codes_of_which_the_trail_keeps_the_hash() {
    let store = store();
    let mut none = |_: &[u8]| Ok(());
    let add = Command::FacilityAdd {
        code: facility(),
        name: "TEST医院".into(),
    };
    let answer = execute(&store, "PIN", add.clone(), &mut none).await.unwrap();
    let (code, pin) = answer["code"].as_str().unwrap().split_once('.').unwrap();
    assert_eq!((pin, code.len()), ("PIN", 32));
    let kept = store
        .code(&hex::encode(Sha256::digest(code.as_bytes())))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(kept.facility, facility());
    let trail = store.records(None, 0, 10).await.unwrap();
    assert!(
        trail
            .iter()
            .all(|record| !record.content.as_ref().unwrap().body.contains(code))
    );

    let again = execute(&store, "PIN", add, &mut none).await.unwrap_err();
    assert_eq!(again.to_string(), "the facility 1310000001 is already there");
    let more = execute(&store, "PIN", Command::FacilityCode { code: facility() }, &mut none)
        .await
        .unwrap();
    assert_ne!(more["code"], answer["code"]);
    let unknown = Command::DeviceList {
        facility: "x-unknown".parse().unwrap(),
    };
    assert!(
        execute(&store, "PIN", unknown, &mut none)
            .await
            .unwrap_err()
            .to_string()
            .contains("x-unknown")
    );
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_relay_is_asked_through_its_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let nobody = ask(&path, &Command::FacilityList {}, &mut |_| Ok(())).unwrap();
    assert_eq!(nobody, None);
    let serving = {
        let (store, path) = (store(), path.clone());
        let trust = Arc::new(crate::trust::CurrentTrust::open(folder.path()).unwrap());
        let served = Served {
            store,
            pin: "PIN".into(),
            trust,
            keys: crate::keys::for_tests(),
            containers: crate::containers::Containers::open(folder.path(), crate::keys::for_tests()).unwrap(),
            data: folder.path().into(),
        };
        tokio::spawn(async move { serve(&path, served).await })
    };
    while std::os::unix::net::UnixStream::connect(&path).is_err() {
        tokio::task::yield_now().await;
    }
    tokio::task::spawn_blocking(move || {
        let mut none = |_: &[u8]| Ok(());
        for recorded in [true, false] {
            let reloaded = ask(&path, &Command::TrustReload {}, &mut none).unwrap().unwrap();
            assert_eq!(reloaded["recorded"], recorded);
        }
        let add = Command::FacilityAdd {
            code: facility(),
            name: "TEST医院".into(),
        };
        assert!(
            ask(&path, &add, &mut none).unwrap().unwrap()["code"]
                .as_str()
                .unwrap()
                .ends_with(".PIN")
        );
        assert!(
            ask(&path, &add, &mut none)
                .unwrap_err()
                .to_string()
                .contains("already there")
        );
        let mut exported = Vec::new();
        let export = Command::TrailExport(Export {
            format: Format::Jsonl,
            ..Export::default()
        });
        ask(&path, &export, &mut |part| {
            exported.extend_from_slice(part);
            Ok(())
        })
        .unwrap()
        .unwrap();
        assert_eq!(String::from_utf8(exported).unwrap().lines().count(), 5);
    })
    .await
    .unwrap();
    serving.abort();
}

#[tokio::test]
async fn a_proof_that_shows_a_record_is_a_reading_of_it() {
    let store = store();
    let mut none = |_: &[u8]| Ok(());
    let add = Command::FacilityAdd {
        code: facility(),
        name: "TEST医院".into(),
    };
    execute(&store, "PIN", add, &mut none).await.unwrap();
    let size = store.size().await.unwrap();
    let proof = execute(&store, "PIN", Command::TrailProve { position: 0 }, &mut none)
        .await
        .unwrap();
    assert!(proof["proof"].as_str().unwrap().starts_with("c2sp.org/tlog-proof@v1"));
    let read = store.records(Some(&facility()), size, 10).await.unwrap();
    let read = read[0].record().unwrap().unwrap();
    let Event::TrailRead {
        format,
        filter,
        concerned,
        ..
    } = read.event
    else {
        panic!("{:?}", read.event)
    };
    assert_eq!((format.as_str(), concerned), ("tlog-proof", vec![facility()]));
    assert_eq!(filter.unwrap().position, Some(0));
    let absent = execute(&store, "PIN", Command::TrailProve { position: 99 }, &mut none).await;
    assert!(absent.is_err());
    assert_eq!(store.size().await.unwrap(), size + 1, "nothing was shown, nothing read");
}

#[tokio::test]
async fn what_check_is_told_of_the_index_shows_no_content() {
    let store = store();
    let mut none = |_: &[u8]| Ok(());
    let sent = crate::store::conformance::submission(1, "x-a", &["x-b"]);
    let batch = crate::store::conformance::acceptance(&sent);
    store.commit(batch).committed().await.unwrap();
    let (from, limit) = (String::new(), 1000);
    let size = store.size().await.unwrap();
    let answer = execute(&store, "PIN", Command::IndexDigests { from, limit }, &mut none);
    let rows: Vec<[String; 2]> = serde_json::from_value(answer.await.unwrap()).unwrap();
    let stored = store.rows(&[], 1000).await.unwrap();
    assert!(rows.len() == stored.len() && rows.len() > 5);
    let mut with_patient = 0;
    for ([key, value], row) in rows.iter().zip(&stored) {
        assert_eq!((key, value), (&hex::encode(&row.key), &hex::encode(sha256(&row.value))));
        let patient = sent.patient.as_bytes();
        assert!(
            !row.key.windows(patient.len()).any(|part| part == patient),
            "no key names a patient"
        );
        with_patient += usize::from(row.value.windows(patient.len()).any(|part| part == patient));
    }
    assert!(with_patient > 0, "rows do");
    assert_eq!(
        store.size().await.unwrap(),
        size,
        "and nothing was recorded, for nothing was read"
    );
}
