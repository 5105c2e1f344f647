//! Containers that no record names: a crash between storing and recording leaves them, and so does one after a late refusal.
//! They were never acknowledged, unless the trail is older than they are; so the start of the relay puts them aside and
//! removes nothing.

use std::time::Duration;

use formats::wire::SubmissionId;

use crate::clock;
use crate::containers::Containers;
use crate::problem::Problem;
use crate::retention::outlived;
use crate::store::Store;

/// Puts them aside. Before the first request, when nothing is between its container and its record. What is older than the
/// records kept for `account` is what an erasure left when it was cut off, and goes.
///
/// # Errors
/// What store or disk say; nothing is moved on a guess.
pub(crate) async fn sweep(store: &dyn Store, containers: &Containers, account: Duration) -> Result<(), Problem> {
    if containers.is_shared() {
        // Another relay may be between container and record at any time. What it leaves goes or stays with its upload.
        return Ok(());
    }
    let mut moved = 0_u64;
    for name in containers.names().await? {
        let id = name.split('.').next().and_then(|id| id.parse::<SubmissionId>().ok());
        let Some(id) = id else { continue };
        let named = store
            .submission(&id)
            .await?
            .is_some_and(|row| row.submission.stored_as == name);
        if !named && outlived(&name, account, clock::now()) {
            containers.delete(&name).await?;
            tracing::info!(
                name,
                "what was left of a submission whose records are erased was removed"
            );
        } else if !named {
            containers.put_aside(&name).await?;
            tracing::warn!(name, "a container that no record names was put aside");
            moved += 1;
        }
    }
    if moved > 0 {
        tracing::warn!(
            moved,
            "containers without a record lie in containers/orphans. If the trail was restored from an older backup, stop the \
             relay, put the newer trail back, and move them back into containers; otherwise nobody was promised them, and \
             they can be removed"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use formats::trail::LogKey;

    use super::*;
    use crate::containers::ContainerError;
    use crate::containers::tests::{name as stored, upload};
    use crate::store::MemoryStore;

    #[tokio::test]
    async fn what_an_older_trail_does_not_name_is_kept() {
        let data = tempfile::tempdir().unwrap();
        let keys = crate::keys::for_tests();
        let containers = Containers::open(data.path(), keys.clone()).unwrap();
        let name = stored();
        containers
            .adopt(upload(data.path(), &keys, b"a letter"), &name)
            .await
            .unwrap();
        let report = containers.put_beside("refused.ab", "report.json", bytes::Bytes::from_static(b"{}"));
        report.await.unwrap();
        let store = MemoryStore::new(LogKey::from_seed("relay.example/trail", &[7; 32]).unwrap().0).unwrap();
        for _ in 0..2 {
            sweep(&store, &containers, Duration::from_secs(100 * 365 * 86_400))
                .await
                .unwrap();
            assert!(matches!(containers.reader(&name).await, Err(ContainerError::Absent)));
            let aside = data.path().join("containers/orphans").join(&name);
            assert!(aside.join("container.asice.sealed").exists() && aside.join("container.key").exists());
            assert_eq!(
                containers.beside("refused.ab", "report.json").await.unwrap(),
                &b"{}"[..]
            );
        }
        let old = name.replace("0009", "0002");
        assert_ne!(old, name);
        let finished = upload(data.path(), &keys, b"a letter");
        containers.adopt(finished, &old).await.unwrap();
        sweep(&store, &containers, Duration::from_secs(365 * 86_400))
            .await
            .unwrap();
        assert!(!data.path().join("containers").join(&old).exists());
        assert!(!data.path().join("containers/orphans").join(&old).exists());
    }
}
