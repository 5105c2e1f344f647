//! Containers in a bucket that no record names: there an intake may leave its list of parts whenever a relay stops or the database
//! is away, and its upload may then become a container under another name, with the same parts and the same key.

use std::time::Duration;

use formats::wire::SubmissionId;
use time::OffsetDateTime;

use crate::containers::{ContainerError, Containers};
use crate::problem::Problem;
use crate::store::{NamedContainer, Store};

/// Nothing younger is touched: the relay that has put it there may be about to propose its record.
const YOUNG: Duration = Duration::from_secs(24 * 3600);

/// What is to become of a container.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Its record names it.
    Kept,
    /// So does the record of what waits, or waited.
    Waits,
    /// Its erasure is recorded.
    Erased,
    /// No record names it, and the erasure of its letter is recorded: it goes whole.
    ErasedElsewhere,
    /// Its parts are those of the container its letter's record names: its list goes.
    ListedTwice,
    /// No record names it.
    Unnamed,
}

/// By what the trail says of the letter's container.
pub(super) fn fate(name: &str, named: Option<NamedContainer>, shared: bool) -> Fate {
    match named {
        Some(named) if named.stored_as == name => match named {
            named if named.erased => Fate::Erased,
            named if !named.accepted => Fate::Waits,
            _ => Fate::Kept,
        },
        Some(named) if shared && named.erased => Fate::ErasedElsewhere,
        Some(named) if shared && upload_of(&named.stored_as) == upload_of(name) => Fate::ListedTwice,
        _ => Fate::Unnamed,
    }
}

/// Whether a container has lain where it is for so long that nobody is about to propose its record.
///
/// # Errors
/// What the bucket says.
pub(super) async fn is_old(containers: &Containers, name: &str, now: OffsetDateTime) -> Result<bool, Problem> {
    let touched = containers.folder(name).await?.touched;
    Ok(OffsetDateTime::from(touched) + YOUNG <= now)
}

/// Puts those of these aside, which nobody was promised, that no record can come to name any more. Their uploads are closed.
///
/// # Errors
/// What store or bucket say; nothing is moved on a guess.
pub(super) async fn put_aside(
    store: &dyn Store,
    containers: &Containers,
    closed: Vec<(SubmissionId, String)>,
) -> Result<(), Problem> {
    if closed.is_empty() {
        return Ok(());
    }
    // Asked before the rows: what is not undecided then is in its row.
    let undecided = store.undecided().await?;
    for (id, name) in closed {
        let row = store.submission(&id).await?;
        if undecided.contains(&id) || row.is_some_and(|row| row.submission.stored_as == name) {
            continue;
        }
        match containers.put_aside(&name).await {
            Ok(()) => tracing::warn!(name, "a container that no record names was put aside in the bucket"),
            Err(ContainerError::Absent) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The upload a container was.
pub(super) fn upload_of(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(_, upload)| upload)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use formats::trail::LogKey;

    use super::*;
    use crate::clock;
    use crate::config::Retention;
    use crate::containers::{Part, PartList, part_key, parts_of};
    use crate::intake::end_orphans;
    use crate::keys::{DataKey, for_tests};
    use crate::objects::{Key, Objects};
    use crate::store::MemoryStore;

    const ID: &str = "0193569a-7c00-7000-8000-000000000001";
    const UPLOAD: &str = "0193569a7c0070008000000000000009";

    #[test]
    fn what_is_listed_twice_or_erased_under_another_name_is_told() {
        let name = |epoch: u32| format!("{ID}.{epoch}.{UPLOAD}");
        let named = |accepted, erased| {
            Some(NamedContainer {
                stored_as: name(2),
                accepted,
                erased,
            })
        };
        assert_eq!(fate(&name(2), named(true, false), true), Fate::Kept);
        assert_eq!(fate(&name(2), named(false, false), true), Fate::Waits);
        assert_eq!(fate(&name(2), named(true, true), true), Fate::Erased);
        assert_eq!(fate(&name(1), named(true, false), true), Fate::ListedTwice);
        assert_eq!(fate(&name(1), named(true, true), true), Fate::ErasedElsewhere);
        let another = format!("{ID}.1.0193569a7c0070008000000000000008");
        assert_eq!(fate(&another, named(true, false), true), Fate::Unnamed);
        assert_eq!(fate(&another, named(true, true), true), Fate::ErasedElsewhere);
        assert_eq!(fate(&another, named(true, true), false), Fate::Unnamed);
        assert_eq!(fate(&name(1), None, true), Fate::Unnamed);
    }

    #[tokio::test]
    async fn what_no_record_can_name_any_more_is_put_aside_and_ends() {
        let (objects, keys) = (Objects::in_memory(), for_tests());
        let containers = Containers::shared(objects.clone(), keys.clone());
        let list = PartList {
            size: 10,
            wrapped: keys.wrap(&DataKey::generate().unwrap()).unwrap(),
            parts: vec![Part { name: 1, segments: 1 }],
        };
        let part = part_key(UPLOAD, 1);
        objects.put(&part, Bytes::from_static(b"sealed")).await.unwrap();
        let name = format!("{ID}.1.{UPLOAD}");
        containers.adopt_parts(&list, &name).await.unwrap();
        let store = MemoryStore::new(LogKey::from_seed("relay.example/trail", &[7; 32]).unwrap().0).unwrap();
        let (now, day) = (clock::now(), Duration::from_secs(86_400));
        assert_eq!(upload_of(&name), UPLOAD);
        assert!(!is_old(&containers, &name, now).await.unwrap());
        assert!(is_old(&containers, &name, now + 2 * day).await.unwrap());
        let closed = vec![(ID.parse().unwrap(), name.clone())];
        put_aside(&store, &containers, closed).await.unwrap();
        assert_eq!(containers.orphans().await.unwrap().len(), 1);
        assert!(containers.names().await.unwrap().is_empty());
        assert_eq!(objects.list(&parts_of(UPLOAD)).await.unwrap().len(), 1);
        let retention = Retention {
            account: 100 * 365 * day,
            containers: 90 * day,
            offer: 14 * day,
        };
        end_orphans(&containers, &retention, now + 80 * day).await.unwrap();
        assert_eq!(containers.orphans().await.unwrap().len(), 1);
        end_orphans(&containers, &retention, now + 93 * day).await.unwrap();
        assert!(objects.list(&Key::default()).await.unwrap().is_empty());
    }
}
