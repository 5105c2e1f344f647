//! The keys of the months as rows: each wrapped to the relays' recipients, so that the database alone opens nothing.

use std::sync::Arc;

use super::link::{Link, Session};
use crate::keys::{DataKey, Keys};
use crate::month_keys::{KeyId, MonthKeyError, Shelf};
use crate::store::StoreError;

const IDS: &str = "SELECT id FROM hikyaku_keys WHERE length(wrapped) > 0 ORDER BY id";
const DESTROYED: &str = "SELECT id FROM hikyaku_keys WHERE length(wrapped) = 0 ORDER BY id";
const KEY: &str = "SELECT wrapped FROM hikyaku_keys WHERE id = $1 AND length(wrapped) > 0";
const PUT: &str = "INSERT INTO hikyaku_keys (id, wrapped) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING";
/// Its row stays, without the key, so that it is not made again.
pub(super) const DESTROY: &str = "INSERT INTO hikyaku_keys (id, wrapped) VALUES ($1, $2) \
     ON CONFLICT (id) DO UPDATE SET wrapped = excluded.wrapped";
const REWRAP: &str = "UPDATE hikyaku_keys SET wrapped = $3 WHERE id = $1 AND wrapped = $2";

/// The keys of the months in the database.
pub(super) struct KeyTable {
    pub(super) link: Arc<Link>,
    pub(super) keys: Keys,
}

impl Shelf for KeyTable {
    fn ids(&self) -> Result<Vec<KeyId>, MonthKeyError> {
        self.listed(IDS)
    }

    fn destroyed(&self) -> Result<Vec<KeyId>, MonthKeyError> {
        self.listed(DESTROYED)
    }

    fn key(&self, id: KeyId) -> Result<Option<DataKey>, MonthKeyError> {
        let Some(wrapped) = self.wrapped(id)? else {
            return Ok(None);
        };
        let key = self.keys.unwrap(&wrapped);
        key.map(Some)
            .map_err(|error| MonthKeyError::Unusable(id, error.to_string()))
    }

    fn put(&self, id: KeyId, key: &DataKey) -> Result<(), MonthKeyError> {
        let wrapped = self
            .keys
            .wrap(key)
            .map_err(|error| MonthKeyError::Unusable(id, error.to_string()))?;
        let name = id.to_string();
        let put = self
            .link
            .read(async |session: &Session| session.execute(PUT, &[&name, &wrapped]).await);
        put.map(drop).map_err(|error| unusable(id, &error))
    }

    fn destroy(&self, id: KeyId) -> Result<(), MonthKeyError> {
        let (name, gone_key) = (id.to_string(), Vec::<u8>::new());
        let gone = self
            .link
            .read(async |session: &Session| session.execute(DESTROY, &[&name, &gone_key]).await);
        gone.map(drop).map_err(|error| unusable(id, &error))
    }

    fn rewrap_all(&self) -> Result<u64, MonthKeyError> {
        let mut rewrapped = 0;
        for id in self.ids()? {
            // Destroyed meanwhile, it is not put back: the row must be the one that was read.
            let Some(old) = self.wrapped(id)? else { continue };
            let new = self.keys.wrapped_anew(&old);
            let new = new.map_err(|error| MonthKeyError::Unusable(id, error.to_string()))?;
            let name = id.to_string();
            let put = self
                .link
                .read(async |session: &Session| session.execute(REWRAP, &[&name, &old, &new]).await);
            rewrapped += put.map_err(|error| unusable(id, &error))?;
        }
        Ok(rewrapped)
    }
}

impl KeyTable {
    fn wrapped(&self, id: KeyId) -> Result<Option<Vec<u8>>, MonthKeyError> {
        let name = id.to_string();
        let rows = self
            .link
            .read(async |session: &Session| session.query(KEY, &[&name]).await);
        let rows = rows.map_err(|error| unusable(id, &error))?;
        let wrapped = rows.first().map(|row| row.try_get(0)).transpose();
        wrapped.map_err(|error| MonthKeyError::Unusable(id, error.to_string()))
    }

    fn listed(&self, sql: &'static str) -> Result<Vec<KeyId>, MonthKeyError> {
        let rows = self.link.read(async |session: &Session| session.query(sql, &[]).await);
        let rows = rows.map_err(|error| MonthKeyError::Unlisted(error.to_string()))?;
        let id = |row: &tokio_postgres::Row| row.try_get::<_, String>(0).ok()?.parse().ok();
        Ok(rows.iter().filter_map(id).collect())
    }
}

fn unusable(id: KeyId, error: &StoreError) -> MonthKeyError {
    match error {
        StoreError::Full => MonthKeyError::Full,
        other => MonthKeyError::Unusable(id, other.to_string()),
    }
}
