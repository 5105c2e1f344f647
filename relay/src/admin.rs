//! The operator's commands: facilities, devices, persons, exports; through the running relay or on its files.

mod check;
mod code;
mod export;
mod hold;
mod init;
mod rotate;
mod shortcomings;
mod socket;
mod trust;

use std::sync::Arc;

use formats::digest::sha256;
use formats::trail::{Actor, Checkpoint, Event};
use formats::wire::{DeviceId, FacilityCode, MemberId, SubmissionId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

pub use check::{Finding, Level, check};
pub use code::OneTimeCode;
pub use export::Export;
pub use init::{InitError, init};
pub use rotate::{SharedKeys, rotate_keys};
pub use shortcomings::shortcomings;
pub(crate) use socket::question;
#[cfg(unix)]
pub use socket::{Served, ask, serve};
pub use trust::{AddError, Listed, TrustPurpose, add, list};

use crate::config::KeyPaths;
use crate::store::{Batch, Condition, Store, StoreError};
use crate::trust::CurrentTrust;

/// An enrolment code is good for so long.
pub const CODE_LIFE: Duration = Duration::hours(24);

/// Rows of the index in one answer.
const MAX_ROWS: usize = 1000;

/// A command, also a line on the relay's socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is the argument of that name")]
pub enum Command {
    /// A facility joins; answers with its first code.
    FacilityAdd { code: FacilityCode, name: String },
    /// All facilities.
    FacilityList {},
    /// A further one-time code for a facility.
    FacilityCode { code: FacilityCode },
    /// A facility's devices.
    DeviceList { facility: FacilityCode },
    /// Ends a device at once.
    DeviceRevoke { facility: FacilityCode, device: DeviceId },
    /// Names a person.
    MemberAdd {
        facility: FacilityCode,
        member: MemberId,
        name: String,
    },
    /// A facility's persons.
    MemberList { facility: FacilityCode },
    /// Reads the trust directory anew; a change is recorded.
    TrustReload {},
    /// Reads the key files anew and, unless that is all, wraps every data key to the recipients of now.
    RotateKeys { paths: KeyPaths, reload_only: bool },
    /// Part of the trail.
    TrailExport(Export),
    /// Holds a submission.
    HoldSet { submission: SubmissionId, reason: String },
    /// Ends a hold.
    HoldLift { submission: SubmissionId, reason: String },
    /// What is held.
    HoldList {},
    /// The newest signed checkpoint.
    Checkpoint {},
    /// Rows of the index from this key (hex) on, for `check`: their keys and the SHA-256 of their values. What they say is not handed
    /// out: that would be a reading of the trail.
    IndexDigests { from: String, limit: u64 },
    /// The proof of one record, as a `.tlog-proof` file.
    TrailProve { position: u64 },
    /// All of the trail against its checkpoint, and against earlier ones, each with a name.
    TrailVerify {
        log_key: String,
        checkpoints: Vec<(String, String)>,
        witnessed: Vec<String>,
    },
}

/// Reads the trust directory anew and records what has changed.
///
/// # Errors
/// [`AdminError`]; a directory that cannot be used leaves what was read before in use.
pub async fn reload(store: &Arc<dyn Store>, trust: &CurrentTrust) -> Result<Value, AdminError> {
    let read = trust
        .reload()
        .map_err(|error| AdminError::Argument(format!("nothing was changed: {error}")))?;
    let recorded = crate::trust::record(&**store, &read).await?;
    Ok(json!({ "digest": crate::trust::summary(&read).digest, "recorded": recorded }))
}

/// Why a command was not done, in one sentence.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The store refused or failed.
    #[error("{}", in_words(.0))]
    Store(#[from] StoreError),
    /// An argument is wrong.
    #[error("{0}")]
    Argument(String),
    /// An account does not go out.
    #[error(transparent)]
    Export(#[from] crate::account::ExportError),
    /// The caller went away, or the relay cannot be reached.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// Does a command. Exported bytes go to `export` as they come; the answer is for people (`text`) and for programs.
///
/// # Errors
/// [`AdminError`].
pub async fn execute(
    store: &Arc<dyn Store>,
    pin: &str,
    command: Command,
    export: &mut (dyn FnMut(&[u8]) -> std::io::Result<()> + Send),
) -> Result<Value, AdminError> {
    match command {
        Command::FacilityAdd { code, name } => {
            if name.trim().is_empty() || name.chars().any(char::is_control) || name.chars().count() > 200 {
                return Err(AdminError::Argument(
                    "the name must be one line of 1 to 200 characters".into(),
                ));
            }
            let added = Event::FacilityAdded {
                facility: code.clone(),
                name,
            };
            issue(
                store,
                pin,
                code.clone(),
                vec![added],
                vec![Condition::FacilityAbsent(code)],
            )
            .await
        }
        Command::FacilityCode { code } => {
            known(store, &code).await?;
            issue(store, pin, code, Vec::new(), Vec::new()).await
        }
        Command::FacilityList {} => Ok(json!(store.facilities().await?)),
        Command::DeviceList { facility } => {
            known(store, &facility).await?;
            Ok(json!(store.devices(&facility).await?))
        }
        Command::DeviceRevoke { facility, device } => {
            let active = Condition::DeviceActive(facility.clone(), device.clone());
            commit(
                store,
                vec![Event::DeviceRevoked {
                    facility,
                    device: device.clone(),
                }],
                vec![active],
            )
            .await?;
            Ok(json!({ "revoked": device }))
        }
        Command::MemberAdd { facility, member, name } => {
            known(store, &facility).await?;
            if name.trim().is_empty() || name.chars().any(char::is_control) || name.chars().count() > 200 {
                return Err(AdminError::Argument(
                    "the name must be one line of 1 to 200 characters".into(),
                ));
            }
            let absent = Condition::MemberAbsent(facility.clone(), member.clone());
            let added = Event::MemberAdded {
                facility,
                member: member.clone(),
                name,
            };
            commit(store, vec![added], vec![absent]).await?;
            Ok(json!({ "added": member }))
        }
        Command::MemberList { facility } => {
            known(store, &facility).await?;
            Ok(json!(store.members(&facility).await?))
        }
        Command::RotateKeys { .. } => Err(AdminError::Argument(
            "keys are rotated by the relay or in its data folder, not in its store".into(),
        )),
        Command::TrustReload {} => Err(AdminError::Argument(
            "trust is read anew by the relay or from its directory, not from its store".into(),
        )),
        Command::TrailExport(asked) => export::export(store, asked, export).await,
        Command::HoldSet { submission, reason } => hold::set(store, submission, reason).await,
        Command::HoldLift { submission, reason } => hold::lift(store, submission, reason).await,
        Command::HoldList {} => hold::list(store).await,
        Command::Checkpoint {} => Ok(json!({ "checkpoint": store.checkpoint().await? })),
        Command::IndexDigests { from, limit } => {
            let from = hex::decode(&from).map_err(|_| AdminError::Argument("from must be hex".into()))?;
            let limit = usize::try_from(limit).unwrap_or(MAX_ROWS).min(MAX_ROWS);
            let rows = store.rows(&from, limit).await?;
            let rows = rows
                .iter()
                .map(|row| [hex::encode(&row.key), hex::encode(sha256(&row.value))]);
            Ok(json!(rows.collect::<Vec<_>>()))
        }
        Command::TrailProve { position } => export::prove(store, position).await,
        Command::TrailVerify {
            log_key,
            checkpoints,
            witnessed,
        } => {
            let mut earlier = Vec::new();
            for (name, note) in checkpoints {
                let checkpoint = Checkpoint::verify(&note, &log_key)
                    .map_err(|error| AdminError::Argument(format!("{name}: {error}")))?;
                earlier.push((name, checkpoint));
            }
            Ok(
                match crate::log::verify(&**store, &log_key, earlier, witnessed).await? {
                    Ok(verdict) => {
                        let mut answer = verdict.to_json();
                        answer["sentences"] = json!(verdict.sentences());
                        answer
                    }
                    Err(finding) => {
                        let mut answer = finding.to_json();
                        answer["sentences"] = json!([finding.sentences()]);
                        answer
                    }
                },
            )
        }
    }
}

async fn issue(
    store: &Arc<dyn Store>,
    pin: &str,
    facility: FacilityCode,
    mut events: Vec<Event>,
    conditions: Vec<Condition>,
) -> Result<Value, AdminError> {
    let code = OneTimeCode::generate().map_err(|_| AdminError::Argument("the system has no random bytes".into()))?;
    let expires = OffsetDateTime::now_utc()
        .replace_nanosecond(0)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
        + CODE_LIFE;
    let expires = expires
        .format(&Rfc3339)
        .map_err(|error| AdminError::Argument(error.to_string()))?;
    events.push(Event::CodeIssued {
        facility: facility.clone(),
        code_sha256: code.sha256(),
        expires: expires.clone(),
    });
    commit(store, events, conditions).await?;
    Ok(json!({ "facility": facility, "code": code.with_pin(pin), "expires": expires }))
}

async fn commit(store: &Arc<dyn Store>, events: Vec<Event>, conditions: Vec<Condition>) -> Result<(), StoreError> {
    let batch = Batch {
        actor: Actor::default(),
        time: OffsetDateTime::now_utc(),
        events,
        conditions,
    };
    store.commit(batch).committed().await.map(drop)
}

async fn known(store: &Arc<dyn Store>, facility: &FacilityCode) -> Result<(), AdminError> {
    match store.facility(facility).await? {
        Some(_) => Ok(()),
        None => Err(AdminError::Argument(format!("there is no facility {facility}"))),
    }
}

fn in_words(error: &StoreError) -> String {
    match error {
        StoreError::Conflict(Condition::FacilityAbsent(code)) => format!("the facility {code} is already there"),
        StoreError::Conflict(Condition::MemberAbsent(_, member)) => format!("the person {member} is already there"),
        StoreError::Conflict(Condition::NotHeld(id)) => format!("{id} is held already"),
        StoreError::Conflict(Condition::Held(id)) => format!("{id} is not held"),
        StoreError::Conflict(Condition::DeviceActive(_, device)) => format!("there is no active device {device}"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
