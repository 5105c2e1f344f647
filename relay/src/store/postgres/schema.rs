//! The tables, and the steps that bring them to this release: one relay at a time, held apart by the lock of a row.

use std::time::Duration;

use super::PostgresError;
use super::link::{Link, Session};
use super::trouble::Trouble;

/// Steps from one version to the next; the index is the version they start from. Each statement may be repeated: a step that
/// was cut short is done again from its beginning. Definitions and rows are never changed in one transaction.
const STEPS: &[&[&str]] = &[
    &[
        // Who may write, and how far the trail goes.
        "CREATE TABLE IF NOT EXISTS hikyaku_log (id int PRIMARY KEY, epoch bigint NOT NULL, size bigint NOT NULL)",
        "INSERT INTO hikyaku_log (id, epoch, size) VALUES (1, 0, 0) ON CONFLICT (id) DO NOTHING",
        // The trail: each record as in the segment files.
        "CREATE TABLE IF NOT EXISTS hikyaku_records (position bigint PRIMARY KEY, frame bytea NOT NULL)",
        // The index, made of the trail.
        "CREATE TABLE IF NOT EXISTS hikyaku_rows (key bytea PRIMARY KEY, value bytea NOT NULL)",
        // The keys of the months, wrapped.
        "CREATE TABLE IF NOT EXISTS hikyaku_keys (id text PRIMARY KEY, wrapped bytea NOT NULL)",
        // What relays want to happen, and what came of it.
        "CREATE TABLE IF NOT EXISTS hikyaku_proposals (id uuid PRIMARY KEY, batch bytea NOT NULL)",
        "CREATE TABLE IF NOT EXISTS hikyaku_answers (id uuid PRIMARY KEY, answer bytea NOT NULL, \
     made timestamptz NOT NULL DEFAULT now())",
        "CREATE INDEX IF NOT EXISTS hikyaku_answers_made ON hikyaku_answers (made)",
        // Who does what only one may do.
        "CREATE TABLE IF NOT EXISTS hikyaku_leases (name text PRIMARY KEY, holder uuid, epoch bigint NOT NULL, \
     expires timestamptz NOT NULL)",
    ],
    &[
        // Uploads under way, where containers lie in a bucket.
        "CREATE TABLE IF NOT EXISTS hikyaku_uploads (id text PRIMARY KEY, facility text NOT NULL, length bigint NOT NULL, \
     sha256 text, wrapped bytea NOT NULL, submission text, epoch bigint NOT NULL, at bigint NOT NULL, \
     parts bytea NOT NULL, tail bytea NOT NULL, gone int NOT NULL, touched timestamptz NOT NULL)",
        "CREATE INDEX IF NOT EXISTS hikyaku_uploads_facility ON hikyaku_uploads (facility)",
        "CREATE INDEX IF NOT EXISTS hikyaku_uploads_touched ON hikyaku_uploads (touched)",
    ],
    &[
        // How far work has come that one relay does for all.
        "CREATE TABLE IF NOT EXISTS hikyaku_notes (name text PRIMARY KEY, number bigint NOT NULL, content bytea NOT NULL)",
    ],
];
const VERSION: &str = "CREATE TABLE IF NOT EXISTS hikyaku_schema (id int PRIMARY KEY, version int NOT NULL)";
const BEGIN: &str = "INSERT INTO hikyaku_schema (id, version) VALUES (1, 0) ON CONFLICT (id) DO NOTHING";
const LOCK: &str = "SELECT version FROM hikyaku_schema WHERE id = 1 FOR UPDATE";
const FOUND: &str = "SELECT version FROM hikyaku_schema WHERE id = 1";
const RAISE: &str = "UPDATE hikyaku_schema SET version = $1 WHERE id = 1";
/// What must be on for a commit to last. `remote_write` is taken: a standby has what it was sent even if its program dies; only a power
/// cut of both machines at once loses it, and then the primary has it on its disk. Databases that do not know a setting are taken at their word.
const DURABLE: [&str; 2] = ["fsync", "synchronous_commit"];
/// So often a start tries while the database is away or another start is in the way.
const TRIES: u32 = 20;

/// Looks whether the database keeps its word, and brings its tables to this release.
pub(super) fn prepare(link: &Link) -> Result<(), PostgresError> {
    let mut tries = 0;
    loop {
        let found = link.wait(async {
            let locking = link.session(None).await?;
            for setting in DURABLE {
                match shown(&locking, setting).await?.as_deref() {
                    Some("off") => return Ok(Err(PostgresError::NotDurable(setting))),
                    Some("local") => return Ok(Err(PostgresError::WithoutStandby)),
                    _ => {}
                }
            }
            migrate(&locking, &link.session(None).await?).await
        });
        tries += 1;
        match found {
            Ok(done) => return done,
            // Two that make the same table at once: one is refused, and finds it when it comes again.
            Err(trouble) if tries >= TRIES || matches!(trouble, Trouble::Refused(_)) && tries >= 5 => {
                return Err(trouble.into());
            }
            Err(trouble) => {
                tracing::info!(?trouble, "the database is not ready; trying again");
                std::thread::sleep(Duration::from_millis(500));
            }
        }
    }
}

/// Looks whether its tables are of this release, and changes nothing.
pub(super) fn known(link: &Link) -> Result<(), PostgresError> {
    let rows = link.run(async { link.session(None).await?.query(FOUND, &[]).await })?;
    let found: i32 = rows
        .first()
        .map_or(Ok(0), |row| row.try_get(0))
        .map_err(Trouble::from)?;
    let known = i32::try_from(STEPS.len()).unwrap_or(i32::MAX);
    match found.cmp(&known) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(PostgresError::Newer { found, known }),
        std::cmp::Ordering::Less => Err(PostgresError::Unreachable(
            "its tables are those of an older release: start a relay of this one first".into(),
        )),
    }
}

/// What a setting is; `None` where the database does not know it.
async fn shown(session: &Session, setting: &'static str) -> Result<Option<String>, Trouble> {
    let sql = match setting {
        "fsync" => "SHOW fsync",
        _ => "SHOW synchronous_commit",
    };
    match session.query(sql, &[]).await {
        Ok(rows) => Ok(rows.first().and_then(|row| row.try_get(0).ok())),
        Err(Trouble::Refused(_)) => Ok(None),
        Err(trouble) => Err(trouble),
    }
}

async fn migrate(locking: &Session, making: &Session) -> Result<Result<(), PostgresError>, Trouble> {
    making.say(VERSION).await?;
    making.say(BEGIN).await?;
    let known = i32::try_from(STEPS.len()).unwrap_or(i32::MAX);
    locking.say("BEGIN").await?;
    let rows = locking.query(LOCK, &[]).await?;
    let found: i32 = match rows.first() {
        Some(row) => row.try_get(0)?,
        None => return Err(Trouble::Refused("hikyaku_schema has no row".into())),
    };
    if found > known {
        return Ok(Err(PostgresError::Newer { found, known }));
    }
    for step in STEPS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        for statement in *step {
            making.say(statement).await?;
        }
    }
    if found < known {
        locking.execute(RAISE, &[&known]).await?;
    }
    locking.say("COMMIT").await?;
    Ok(Ok(()))
}
