//! Containers that no record names: a crash between storing and recording leaves them, and so does one after a late refusal.
//! They were never acknowledged, unless the trail is older than they are; so after its start the relay puts them aside and
//! removes nothing.
//!
//! It looks beside its work, some names at a time: a start does not wait for as many containers as there are, and nothing sealed is
//! opened for one that has its record.

use std::time::Duration;

use formats::wire::SubmissionId;
use time::OffsetDateTime;

use crate::config::Retention;
use crate::containers::{ContainerError, Containers, GOING};
use crate::context::Context;
use crate::problem::Problem;
use crate::retention::outlived;
use crate::store::{NamedContainer, Store};

/// Between the first look and the second: what this relay is about to name or to remove when it looks first is done by then.
const PAUSE: Duration = Duration::from_secs(60);

/// Puts aside what is there when the relay starts.
pub(crate) async fn sweep_once(context: Context) {
    if let Err(problem) = sweep(&*context.store, &context.containers, PAUSE).await {
        tracing::warn!(
            code = problem.code().as_str(),
            "containers without a record stay until the next start"
        );
    }
    context.containers.settle();
}

/// Puts them aside.
///
/// # Errors
/// What store or disk say; nothing is moved on a guess.
async fn sweep(store: &dyn Store, containers: &Containers, pause: Duration) -> Result<(), Problem> {
    if containers.is_shared() {
        // Another relay may be between container and record at any time. What it leaves goes or stays with its upload.
        return Ok(());
    }
    let (begun, mut looked, mut doubtful) = (std::time::Instant::now(), 0, Vec::new());
    let mut pages = containers.pages();
    while let Some(names) = pages.recv().await {
        for (id, name, named) in named(store, names?).await? {
            looked += 1;
            // What waited may have been refused since: its row says.
            let sure = named.is_some_and(|named| named.accepted && named.stored_as == name);
            if !sure {
                doubtful.push((id, name));
            }
        }
    }
    tracing::info!(
        looked,
        seconds = begun.elapsed().as_secs_f64(),
        "containers were compared with the trail"
    );
    if doubtful.is_empty() {
        return Ok(());
    }
    tokio::time::sleep(pause).await;
    let mut moved = 0_u64;
    // Asked before the rows: what is not undecided then is in its row.
    let undecided = store.undecided().await?;
    // What fails for one is no reason to leave the others; the first that did is told.
    let mut failed = None;
    for (id, name) in doubtful {
        let row = store.submission(&id).await?;
        if containers.is_new(&name) || row.is_some_and(|row| row.submission.stored_as == name) {
            continue;
        }
        if undecided.contains(&id) {
            tracing::info!(
                name,
                "the record of a container may still be written: it stays until the next start"
            );
            continue;
        }
        match containers.put_aside(&name).await {
            Ok(()) => {
                tracing::warn!(name, "a container that no record names was put aside");
                moved += 1;
            }
            // Removed in the meantime.
            Err(ContainerError::Absent) => {}
            Err(error) => {
                tracing::warn!(name, %error, "a container that no record names could not be put aside");
                failed.get_or_insert(error);
            }
        }
    }
    if moved > 0 {
        tracing::warn!(
            moved,
            "containers without a record lie in containers/orphans. If the trail was restored from an older backup, stop the \
             relay, put the newer trail back, and move them back into containers; otherwise nobody was promised them, and \
             they go when a container's time is over"
        );
    }
    failed.map_or(Ok(()), |error| Err(error.into()))
}

/// Removes what was put aside and whose time is over: nothing is kept in secret for longer than what is named is.
///
/// # Errors
/// What the disk says of the first that could not be removed; the others are.
pub(crate) async fn end(containers: &Containers, retention: &Retention, now: OffsetDateTime) -> Result<(), Problem> {
    let mut failed = None;
    for (name, since) in containers.orphans().await? {
        let over = OffsetDateTime::from(since) + retention.containers <= now;
        if !over && !outlived(&name, retention.account, now) && !name.starts_with(GOING) {
            continue;
        }
        match containers.drop_aside(&name).await {
            Ok(()) if name.starts_with(GOING) => {}
            Ok(()) => tracing::info!(name, "a container that no record names was removed: its time was over"),
            Err(error) => drop(failed.get_or_insert(error)),
        }
    }
    failed.map_or(Ok(()), |error| Err(error.into()))
}

/// Those of these names that are containers of submissions, and what the trail says of each submission's container.
pub(crate) async fn named(
    store: &dyn Store,
    names: Vec<String>,
) -> Result<Vec<(SubmissionId, String, Option<NamedContainer>)>, Problem> {
    let id = |name: &str| name.split('.').next().and_then(|id| id.parse::<SubmissionId>().ok());
    let (ids, names): (Vec<_>, Vec<_>) = names.into_iter().filter_map(|name| Some((id(&name)?, name))).unzip();
    let found = store.containers(ids.clone()).await?;
    Ok(ids
        .into_iter()
        .zip(names)
        .zip(found)
        .map(|((id, name), named)| (id, name, named))
        .collect())
}

#[cfg(test)]
mod tests {
    use formats::trail::LogKey;

    use super::*;
    use crate::clock;
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
        // What was adopted since the start may still get its record.
        sweep(&store, &containers, Duration::ZERO).await.unwrap();
        assert!(containers.reader(&name).await.is_ok());
        containers.settle();
        for _ in 0..2 {
            sweep(&store, &containers, Duration::ZERO).await.unwrap();
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
        sweep(&store, &containers, Duration::ZERO).await.unwrap();
        // The same name once more, and one that cannot be moved before it: neither stops the other.
        let again = upload(data.path(), &keys, b"a letter");
        containers.adopt(again, &name).await.unwrap();
        sweep(&store, &containers, Duration::ZERO).await.unwrap();
        let aside = data.path().join("containers/orphans");
        assert!(aside.join(&name).exists() && aside.join(format!("1.{name}")).exists());
        // They end when a container's time is over.
        let retention = Retention {
            account: Duration::from_secs(100 * 365 * 86_400),
            containers: Duration::from_secs(90 * 86_400),
            offer: Duration::from_secs(14 * 86_400),
        };
        end(&containers, &retention, clock::now()).await.unwrap();
        assert!(aside.join(&name).exists());
        let later = clock::now() + Duration::from_secs(91 * 86_400);
        end(&containers, &retention, later).await.unwrap();
        assert_eq!(std::fs::read_dir(&aside).unwrap().count(), 0);
        assert!(!data.path().join("containers").join(&old).exists());
        assert!(!data.path().join("containers/orphans").join(&old).exists());
        // Of what a crash left half removed the rest goes, however young it is.
        std::fs::create_dir(aside.join("going.refused.ab")).unwrap();
        end(&containers, &retention, clock::now()).await.unwrap();
        assert_eq!(std::fs::read_dir(&aside).unwrap().count(), 0);
    }
}
