//! An upload in the bucket as this relay holds it: its row says who may write, and how far it is.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::sealing::{Seals, from_keys};
use crate::containers::{Containers, Part, PartList};
use crate::keys::{DataKey, Keys};
use crate::objects::Objects;
use crate::problem::{Code, Problem};
use crate::store::{Grown, StoreError, UploadRow, UploadRows};

/// Another relay has taken the upload over, or it is gone.
#[derive(Debug, thiserror::Error)]
#[error("the upload was taken over by another request")]
pub(super) struct TakenOver;

/// What every relay shares of uploads.
pub(super) struct Shared {
    pub(super) rows: Arc<dyn UploadRows>,
    pub(super) objects: Objects,
    pub(super) containers: Containers,
}

/// One upload's row, as this relay last took it.
pub(super) struct Claim {
    pub(super) shared: Arc<Shared>,
    wrapped: Vec<u8>,
    held: Mutex<(i64, Grown)>,
}

impl Shared {
    /// Asks the rows, off the threads that answer.
    ///
    /// # Errors
    /// What the database says.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&dyn UploadRows) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Problem> {
        let rows = Arc::clone(&self.rows);
        let asked = tokio::task::spawn_blocking(move || ask(&*rows)).await;
        Ok(asked.map_err(|error| Problem::internal(&error))??)
    }

    /// Removes the parts of an upload that is gone, if no container is made of them.
    pub(super) async fn drop_parts(&self, id: &str) -> Result<(), Problem> {
        if !self.containers.drop_parts(id).await? {
            tracing::debug!(id, "the parts of an upload are a container's");
        }
        Ok(())
    }
}

impl Claim {
    pub(super) fn new(shared: Arc<Shared>, row: &UploadRow) -> Self {
        Self {
            shared,
            wrapped: row.wrapped.clone(),
            held: Mutex::new((row.epoch, row.grown.clone())),
        }
    }

    /// Its epoch and how far it is, as this relay last knew.
    pub(super) fn held(&self) -> (i64, Grown) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hold(&self, epoch: i64, grown: Grown) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = (epoch, grown);
    }

    /// Takes it over from whichever relay works on it. `None` if there is none any more.
    ///
    /// # Errors
    /// What the database says.
    pub(super) async fn take(&self, id: &str) -> Result<Option<UploadRow>, Problem> {
        let id = id.to_owned();
        let taken = self.shared.ask(move |rows| rows.take(&id)).await?;
        if let Some(row) = &taken {
            self.hold(row.epoch, row.grown.clone());
        }
        Ok(taken)
    }

    /// Notes how far it is; what it says may be acknowledged. Blocking.
    ///
    /// # Errors
    /// [`TakenOver`], or what the database says.
    pub(super) fn advance(&self, id: &str, epoch: i64, grown: Grown) -> io::Result<()> {
        if !self.shared.rows.advance(id, epoch, &grown).map_err(io::Error::other)? {
            return Err(io::Error::other(TakenOver));
        }
        self.hold(epoch, grown);
        Ok(())
    }

    /// Blocking.
    pub(super) fn seals(&self, id: &str, keys: &Keys) -> io::Result<Seals> {
        Seals::new(&keys.unwrap(&self.wrapped).map_err(from_keys)?, id)
    }

    /// Makes a container of its parts, whose list is there before it is asked whether it may be: who ends the upload looks for
    /// lists after that is written down, so that one of both sees the other.
    ///
    /// # Errors
    /// `state_conflict` if another relay has taken it over; it is then an upload as before.
    pub(super) async fn keep_as(&self, id: &str, size: u64, stored_as: &str) -> Result<(), Problem> {
        let (epoch, grown) = self.held();
        let mut list = PartList {
            size,
            wrapped: self.wrapped.clone(),
            parts: Part::decode(&grown.parts)?,
        };
        let Shared { containers, .. } = &*self.shared;
        let kept = async {
            containers.adopt_parts(&list, stored_as).await?;
            let row = id.to_owned();
            let mine = self.shared.ask(move |rows| rows.confirm(&row, epoch)).await?;
            // Its key may have been wrapped anew: in its row before in lists, so that a list which was not there then is known here.
            let row = id.to_owned();
            let found = self.shared.ask(move |rows| rows.find(&row)).await?;
            if let Some(row) = found.filter(|row| mine && row.wrapped != list.wrapped) {
                list.wrapped = row.wrapped;
                containers.adopt_parts(&list, stored_as).await?;
            }
            Ok(mine)
        };
        let problem = match kept.await {
            Ok(true) => return Ok(()),
            Ok(false) => Code::StateConflict.into(),
            Err(problem) => problem,
        };
        containers.give_back_parts(stored_as).await?;
        Err(problem)
    }

    /// Ends it, and removes its parts if no container is made of them.
    ///
    /// # Errors
    /// What database and bucket say.
    pub(super) async fn close(&self, id: &str) -> Result<bool, Problem> {
        let ((epoch, _), row) = (self.held(), id.to_owned());
        let closed = self.shared.ask(move |rows| rows.close(&row, epoch)).await?;
        if closed {
            self.shared.drop_parts(id).await?;
        }
        Ok(closed)
    }
}

/// A new key, and wrapped. Blocking.
pub(super) fn new_key(keys: &Keys) -> io::Result<Vec<u8>> {
    keys.wrap(&*DataKey::generate()?).map_err(from_keys)
}
