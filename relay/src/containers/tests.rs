//! Containers and what lies beside them: stored sealed, read whole and in part, moved, erased.

use futures_util::TryStreamExt as _;

use super::*;
use crate::folder::create_private;
use crate::keys::for_tests;

const UPLOAD: &str = "0193569a7c0070008000000000000009";

fn id() -> SubmissionId {
    "0193569a-7c00-7000-8000-000000000001".parse().unwrap()
}

/// Leaves a finished upload in the data folder, as uploads do.
pub(crate) fn upload(data: &Path, keys: &Keys, content: &[u8]) -> PathBuf {
    let folder = data.join("uploads").join(UPLOAD);
    create_private(&folder).unwrap();
    let key = DataKey::generate().unwrap();
    keys.keep(&folder.join(CONTAINER_KEY), &key).unwrap();
    let sealed = Seal::new(&key, UPLOAD, CONTAINER).unwrap().whole(content).unwrap();
    std::fs::write(folder.join("container.asice.sealed"), sealed).unwrap();
    folder
}

/// The name such an upload is stored under.
pub(crate) fn name() -> String {
    Containers::name(&id(), UPLOAD)
}

async fn read(containers: &Containers, name: &str, range: Option<Range<u64>>) -> Result<Vec<u8>, ContainerError> {
    let opened = containers.open_range(name, range).await?;
    let parts: Vec<Bytes> = opened.stream.try_collect().await?;
    Ok(parts.concat())
}

#[tokio::test]
async fn an_upload_becomes_a_container_with_files_beside_it() {
    let data = tempfile::tempdir().unwrap();
    let keys = for_tests();
    let content: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
    let upload = upload(data.path(), &keys, &content);
    let containers = Containers::open(data.path(), keys).unwrap();
    let name = name();

    containers.adopt(upload.clone(), &name).await.unwrap();
    assert!(!upload.exists());
    assert_eq!(read(&containers, &name, None).await.unwrap(), content);
    for range in [3..5, 65_530..65_540, 0..300_000, 299_999..300_000, 7..7] {
        let found = read(&containers, &name, Some(range.clone())).await.unwrap();
        assert_eq!(found, content[range.start as usize..range.end as usize], "{range:?}");
    }
    assert_eq!(containers.open_range(&name, Some(3..5)).await.unwrap().size, 300_000);
    assert!(containers.open_range(&name, Some(299_999..300_001)).await.is_err());
    let mut reader = containers.reader(&name).await.unwrap();
    let mut found = Vec::new();
    io::Read::read_to_end(&mut reader, &mut found).unwrap();
    assert_eq!(found, content);

    for text in [&b"{}"[..], b"[]"] {
        let put = containers.put_beside(&name, "report.json", Bytes::from_static(text));
        put.await.unwrap();
    }
    assert_eq!(containers.beside(&name, "report.json").await.unwrap(), &b"[]"[..]);
    let absent = containers.beside(&name, "evidence.json").await;
    assert!(matches!(absent, Err(ContainerError::Absent)));

    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = data.path().join("containers").join(&name);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&data.path().join("containers")), mode(&folder)), (0o700, 0o700));
        for file in [CONTAINER_KEY, "beside.key", "report.json.sealed"] {
            assert_eq!(mode(&folder.join(file)), 0o600, "{file}");
        }
    }

    // Erased with its key; what lies beside it can be read on.
    containers.erase(&name).await.unwrap();
    assert!(matches!(containers.erase(&name).await, Err(ContainerError::Absent)));
    assert!(!data.path().join("containers").join(&name).join(CONTAINER_KEY).exists());
    assert_eq!(containers.beside(&name, "report.json").await.unwrap(), &b"[]"[..]);
    containers.delete(&name).await.unwrap();
    containers.delete(&name).await.unwrap();
    assert!(matches!(
        read(&containers, &name, None).await,
        Err(ContainerError::Absent)
    ));
    assert!(matches!(containers.reader(&name).await, Err(ContainerError::Absent)));
}

#[tokio::test]
async fn a_container_given_back_is_an_upload_again() {
    let data = tempfile::tempdir().unwrap();
    let keys = for_tests();
    let upload = upload(data.path(), &keys, b"a letter");
    let containers = Containers::open(data.path(), keys).unwrap();
    let name = name();
    for _ in 0..2 {
        containers.adopt(upload.clone(), &name).await.unwrap();
        let report = containers.put_beside(&name, "report.json", Bytes::from_static(b"{}"));
        report.await.unwrap();
        assert_eq!(read(&containers, &name, None).await.unwrap(), b"a letter");
        containers.give_back(&name, upload.clone()).await.unwrap();
        let kept = std::fs::read_dir(&upload).unwrap().count();
        assert_eq!(kept, 2, "body and key");
        assert!(containers.names().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_container_that_waits_for_its_record_is_taken_up_by_the_same_upload() {
    let data = tempfile::tempdir().unwrap();
    let keys = for_tests();
    let folder = upload(data.path(), &keys, b"a letter");
    let containers = Containers::open(data.path(), keys.clone()).unwrap();
    let name = name();
    containers.adopt(folder.clone(), &name).await.unwrap();
    let report = containers.put_beside(&name, "report.json", Bytes::from_static(b"{}"));
    report.await.unwrap();
    // Nobody learnt whether its record was written, and the client asks again; also after a crash between copy and removal.
    for _ in 0..2 {
        containers.adopt(folder.clone(), &name).await.unwrap();
        assert_eq!(read(&containers, &name, None).await.unwrap(), b"a letter");
        let report = containers.put_beside(&name, "report.json", Bytes::from_static(b"[]"));
        report.await.unwrap();
        assert!(!folder.exists());
        assert_eq!(upload(data.path(), &keys, b"a copy"), folder);
    }
    containers.adopt(folder.clone(), &name).await.unwrap();
    containers.give_back(&name, folder.clone()).await.unwrap();
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2, "body and key");
}

#[tokio::test]
async fn what_was_changed_or_exchanged_on_the_disk_is_not_served() {
    let data = tempfile::tempdir().unwrap();
    let keys = for_tests();
    let containers = Containers::open(data.path(), keys.clone()).unwrap();
    let content = vec![7; 200_000];
    containers
        .adopt(upload(data.path(), &keys, &content), &name())
        .await
        .unwrap();
    let folder = data.path().join("containers").join(name());
    let body = folder.join("container.asice.sealed");
    let whole = std::fs::read(&body).unwrap();
    // Another container under this one's name, key and all.
    let other = data.path().join("containers/other.0193569a7c0070008000000000000008");
    std::fs::create_dir(&other).unwrap();
    for file in ["container.asice.sealed", CONTAINER_KEY] {
        std::fs::copy(folder.join(file), other.join(file)).unwrap();
    }
    let other = "other.0193569a7c0070008000000000000008";
    assert!(matches!(
        read(&containers, other, None).await,
        Err(ContainerError::Store(_))
    ));

    // Before another copy of a letter goes, its two ends are opened.
    containers.sound(&name()).await.unwrap();
    for at in [100, whole.len() - 1] {
        let mut bad = whole.clone();
        bad[at] ^= 1;
        std::fs::write(&body, bad).unwrap();
        assert!(containers.sound(&name()).await.is_err(), "{at}");
    }
    let mut bad = whole.clone();
    bad[70_000] ^= 1;
    std::fs::write(&body, bad).unwrap();
    assert!(read(&containers, &name(), None).await.is_err());
    assert_eq!(read(&containers, &name(), Some(0..10)).await.unwrap(), [7; 10]);
    std::fs::write(&body, &whole[..16 + 65_564]).unwrap();
    assert!(read(&containers, &name(), None).await.is_err(), "cut behind a segment");

    for (file, text) in [("report.json", &b"{}"[..]), ("evidence.json", b"[]")] {
        containers
            .put_beside(&name(), file, Bytes::from_static(text))
            .await
            .unwrap();
    }
    std::fs::copy(folder.join("evidence.json.sealed"), folder.join("report.json.sealed")).unwrap();
    assert!(containers.beside(&name(), "report.json").await.is_err());
}

#[tokio::test]
async fn no_name_leads_out_of_the_folder() {
    let data = tempfile::tempdir().unwrap();
    let containers = Containers::open(data.path(), for_tests()).unwrap();
    for name in ["", ".", "..", "../x", "a/b", "a\\b", ".hidden", "名前"] {
        let absent = read(&containers, name, None).await;
        assert!(matches!(absent, Err(ContainerError::Absent)), "{name}");
        let put = containers.put_beside(name, "report.json", Bytes::new()).await;
        assert!(put.is_err(), "{name}");
        assert!(containers.delete(name).await.is_err(), "{name}");
    }
}

#[tokio::test]
async fn a_missing_upload_leaves_nothing() {
    let data = tempfile::tempdir().unwrap();
    let containers = Containers::open(data.path(), for_tests()).unwrap();
    assert!(containers.adopt(data.path().join("nothing"), "x").await.is_err());
    assert!(containers.reader("x").await.is_err());
}
