//! Whether the clock is to be believed. Nothing is announced or erased while it is not: a clock that runs away must destroy nothing
//! that has weeks or years to go.

use std::path::PathBuf;
use std::time::Duration;

use time::OffsetDateTime;

use crate::clock;
use crate::context::Context;
use crate::folder::replace;

/// Without time-stamp authorities: longer than this a relay is not down. A clock that leaps further is looked at by the operator.
const LEAP: Duration = Duration::from_secs(31 * 86_400);
/// The time is written down so often.
const NOTED: Duration = Duration::from_secs(3600);

/// What is known of the clock, and whether a doubt was told.
pub(super) struct Doubt {
    /// When it was last believed, RFC 3339.
    file: PathBuf,
    told: bool,
}

impl Doubt {
    pub(super) fn of(context: &Context) -> Self {
        Self {
            file: context.config.data.join("clock"),
            told: false,
        }
    }

    /// Whether there is none. A new doubt is told in the log, once.
    pub(super) async fn resolved(&mut self, context: &Context, now: OffsetDateTime) -> bool {
        let doubt = match context.clock_in_doubt().await {
            Some(reason) => Some(reason),
            None if context.config.timestamps.is_empty() => self.leap(now),
            None if context.stamps.has_told() => None,
            None => Some("no time-stamp authority has told the time since the relay was started".to_owned()),
        };
        match &doubt {
            Some(reason) if !self.told => {
                tracing::warn!(reason, "nothing is erased while the clock is in doubt");
            }
            _ => {}
        }
        self.told = doubt.is_some();
        doubt.is_none()
    }

    /// Compares with the time that was last believed, which is then this one.
    fn leap(&self, now: OffsetDateTime) -> Option<String> {
        let read = std::fs::read_to_string(&self.file).ok();
        let last = read.and_then(|text| clock::parse_rfc3339(text.trim()));
        if let Some(last) = last.filter(|last| now - *last > LEAP) {
            return Some(format!(
                "the clock says {}, and when it was last believed it said {}. If it is right, remove {}",
                clock::rfc3339(now),
                clock::rfc3339(last),
                self.file.display()
            ));
        }
        if last.is_none_or(|last| now - last > NOTED)
            && let Err(error) = replace(&self.file, clock::rfc3339(now).as_bytes())
        {
            return Some(format!("{}: {error}", self.file.display()));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_leap_waits_for_the_operator() {
        let folder = tempfile::tempdir().unwrap();
        let doubt = Doubt {
            file: folder.path().join("clock"),
            told: false,
        };
        let begun = datetime!(2026-11-25 12:00 UTC);
        for day in [0, 1, 30, 60] {
            assert_eq!(doubt.leap(begun + Duration::from_secs(day * 86_400)), None, "{day}");
        }
        let leapt = datetime!(2036-11-25 12:00 UTC);
        for _ in 0..2 {
            let said = doubt.leap(leapt).unwrap();
            assert!(
                said.contains("2036-11-25T12:00:00Z") && said.contains("clock"),
                "{said}"
            );
        }
        // Set right, it goes on; or the operator has looked.
        assert_eq!(doubt.leap(begun + Duration::from_secs(61 * 86_400)), None);
        std::fs::remove_file(&doubt.file).unwrap();
        assert_eq!(doubt.leap(leapt), None);
    }
}
