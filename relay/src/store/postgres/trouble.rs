//! What an answer of the database that is none means for what was asked.

use tokio_postgres::error::SqlState;

use super::PostgresError;
use crate::store::StoreError;

/// Why the database did not do it.
#[derive(Debug, Clone)]
pub(super) enum Trouble {
    /// The connection is gone, or of no use any more: what was under way may have happened.
    Lost(String),
    /// It collided with another transaction and did not happen; it may be tried again.
    Again(String),
    /// The lease does not count any more: it did not happen.
    Superseded,
    /// The database has no space: it did not happen.
    Full,
    /// It did not happen, nor will it if it is tried again.
    Refused(String),
}

impl Trouble {
    /// Whether it is worth trying again.
    pub(super) fn passes(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::Again(_))
    }
}

impl From<tokio_postgres::Error> for Trouble {
    fn from(error: tokio_postgres::Error) -> Self {
        // Values may be in what the database adds as detail; its message alone names the rule that was broken.
        let Some(told) = error.as_db_error() else {
            let lost = std::error::Error::source(&error).map(ToString::to_string);
            return match lost {
                Some(why) => Self::Lost(format!("{error}: {why}")),
                None => Self::Lost(error.to_string()),
            };
        };
        let code = told.code();
        let text = || format!("{} ({})", told.message(), code.code());
        let lost = [
            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
            SqlState::READ_ONLY_SQL_TRANSACTION,
            SqlState::TOO_MANY_CONNECTIONS,
        ];
        if lost.contains(code) || ["08", "57"].iter().any(|class| code.code().starts_with(class)) {
            Self::Lost(text())
        } else if *code == SqlState::T_R_SERIALIZATION_FAILURE || *code == SqlState::T_R_DEADLOCK_DETECTED {
            Self::Again(text())
        } else if *code == SqlState::DIVISION_BY_ZERO {
            Self::Superseded
        } else if *code == SqlState::DISK_FULL {
            Self::Full
        } else {
            Self::Refused(text())
        }
    }
}

impl From<Trouble> for StoreError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Full => Self::Full,
            Trouble::Lost(why) | Trouble::Again(why) | Trouble::Refused(why) => {
                Self::Broken(format!("database: {why}"))
            }
            Trouble::Superseded => Self::Broken("database: another relay writes the trail".into()),
        }
    }
}

impl From<Trouble> for PostgresError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Lost(why) | Trouble::Again(why) | Trouble::Refused(why) => Self::Unreachable(why),
            other => Self::Store(other.into()),
        }
    }
}
