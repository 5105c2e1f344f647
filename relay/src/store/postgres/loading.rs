//! A trail put into an empty database: records and keys first, where nothing reads them yet; then, in one transaction, how many
//! there are and the index made of them.

use std::sync::Arc;
use std::time::Instant;

use tokio_postgres::types::ToSql;

use super::address::PostgresAddress;
use super::link::{Link, Session};
use super::reign::{self, SEQUENCER, WRITE_RECORDS, signed};
use super::shelf::DESTROY;
use super::trouble::Trouble;
use super::{PostgresError, PostgresReader, PostgresStore, lease, month_keys, schema};
use crate::keys::Keys;
use crate::log::LogSigner;
use crate::store::StoreError;
use crate::trail::{SealedRecord, TrailReader};

/// Records sent at once, and their bytes.
const RECORDS: usize = 500;
const BYTES: usize = 8 << 20;
/// What a load that was cut off has left.
const CLEAR: &str = "DELETE FROM hikyaku_records WHERE position >= $1";

/// Why a replay was ended.
enum End {
    Trail(crate::trail::TrailError),
    Database(Trouble),
}

impl From<crate::trail::TrailError> for End {
    fn from(error: crate::trail::TrailError) -> Self {
        Self::Trail(error)
    }
}

impl PostgresStore {
    /// Makes the tables where there are none, and looks whether there is no trail in them yet. Blocks.
    ///
    /// # Errors
    /// [`PostgresError::NotEmpty`]; else as [`PostgresStore::open`].
    pub(crate) fn empty(address: &PostgresAddress, keys: &Keys) -> Result<(), PostgresError> {
        schema::prepare(&Link::open(address)?)?;
        match PostgresReader::open(address, keys)?.size()? {
            0 => Ok(()),
            size => Err(PostgresError::NotEmpty(size)),
        }
    }

    /// Puts a trail into a database that has none: `wrapped` are the keys of its months, by name, empty where one was destroyed. The
    /// index is made anew. No relay may be at work there. Returns the number of rows of the index. Blocks.
    ///
    /// # Errors
    /// [`PostgresError::NotEmpty`]; else as [`PostgresStore::open`]. Cut off or failed, it leaves a database that counts as empty.
    pub(crate) fn load(
        address: &PostgresAddress,
        key: impl Into<LogSigner>,
        keys: &Keys,
        trail: &TrailReader,
        wrapped: &[(String, Vec<u8>)],
    ) -> Result<usize, PostgresError> {
        let link = Arc::new(Link::open(address)?);
        schema::prepare(&link)?;
        let taken = reign::take(&link)?;
        if taken.size > 0 {
            return Err(PostgresError::NotEmpty(taken.size));
        }
        let (session, none) = (&taken.session, 0i64);
        for (name, key) in wrapped {
            link.run(session.execute(DESTROY, &[name, key]))?;
        }
        link.wait(session.execute(CLEAR, &[&none]))?;
        let (mut page, mut bytes, mut kept) = (Vec::new(), 0, Instant::now());
        let mut put = |page: &mut Vec<SealedRecord>| -> Result<(), Trouble> {
            link.run(records(session, page))?;
            page.clear();
            if kept.elapsed() > reign::LENGTH / 4 {
                kept = Instant::now();
                let epoch = link.run(lease::take(session, SEQUENCER, taken.me, reign::LENGTH))?;
                if epoch != Some(taken.epoch) {
                    return Err(Trouble::Superseded);
                }
            }
            Ok(())
        };
        let mut size = 0;
        let read = trail.replay(0, |record, _| {
            size = record.position + 1;
            bytes += record.length();
            page.push(record);
            if page.len() >= RECORDS || bytes >= BYTES {
                bytes = 0;
                put(&mut page).map_err(End::Database)?;
            }
            Ok(())
        });
        match read.and_then(|()| put(&mut page).map_err(End::Database)) {
            Ok(()) => {}
            Err(End::Database(trouble)) => return Err(trouble.into()),
            Err(End::Trail(error)) => return Err(StoreError::Broken(error.to_string()).into()),
        }
        reign::reindex(&link, &taken, size, &key.into(), &month_keys(&link, keys))
    }
}

async fn records(session: &Session, page: &[SealedRecord]) -> Result<(), Trouble> {
    if page.is_empty() {
        return Ok(());
    }
    let positions = page.iter().map(|record| signed(record.position));
    let positions: Vec<i64> = positions.collect::<Result<_, _>>()?;
    let frames: Vec<Vec<u8>> = page.iter().map(SealedRecord::encode).collect();
    let values: [&(dyn ToSql + Sync); 2] = [&positions, &frames];
    session.execute(WRITE_RECORDS, &values).await.map(drop)
}
