//! Containers that no record names: a crash between storing and recording leaves them, and so does one after a late refusal.
//! They were never acknowledged, so they go when the relay starts.

use formats::wire::SubmissionId;

use super::refusal::REFUSED;
use crate::containers::Containers;
use crate::problem::Problem;
use crate::store::Store;

/// Removes them. Before the first request, when nothing is between its container and its record.
///
/// # Errors
/// What store or disk say; nothing is removed on a guess.
pub(crate) async fn sweep(store: &dyn Store, containers: &Containers) -> Result<(), Problem> {
    for name in containers.names().await? {
        let id = name.split('.').next().and_then(|id| id.parse::<SubmissionId>().ok());
        let Some(id) = id.filter(|_| name != REFUSED) else {
            continue;
        };
        let named = store
            .submission(&id)
            .await?
            .is_some_and(|row| row.submission.stored_as == name);
        if !named {
            tracing::warn!(name, "a container that no record names is removed");
            containers.delete(&name).await?;
        }
    }
    Ok(())
}
