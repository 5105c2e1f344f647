//! What an erasure leaves when a crash or the disk stops it between the record and the file. It is taken up again at each look, and
//! searched for at the start and once a day.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use formats::trail::Event;
use time::OffsetDateTime;

use super::months::{long_over, outlived};
use super::strays::{self, Fate, fate, upload_of};
use crate::containers::{ContainerError, Containers};
use crate::context::Context;
use crate::intake::{self, REFUSED, REPORT};
use crate::problem::Problem;

/// It is searched for so often.
const SEARCH: Duration = Duration::from_secs(24 * 3600);
/// Records read at once.
const PAGE: usize = 500;

/// Names of what is recorded as erased and still there.
#[derive(Default)]
pub(super) struct Leftovers {
    /// Of these the container goes, what lies beside it stays.
    containers: BTreeSet<String>,
    /// These go whole.
    whole: BTreeSet<String>,
    searched: Option<Instant>,
}

impl Leftovers {
    /// The erasure of a container is recorded.
    pub(super) fn container(&mut self, stored_as: String) {
        self.containers.insert(stored_as);
    }

    /// The records of a submission are erased.
    pub(super) fn submission(&mut self, stored_as: String) {
        self.whole.insert(stored_as);
    }

    /// The record of a refusal with this report is erased.
    pub(super) fn report(&mut self, digest: &str) {
        self.whole.insert(format!("{REFUSED}{digest}"));
    }

    /// Removes what is known to be recorded as erased, whatever the clock says, and searches if it is time to: not while the clock
    /// is in doubt (`None`), for what no record names is told by its time alone. What fails stays known; nothing stops the rest.
    pub(super) async fn clear(&mut self, context: &Context, sure: Option<OffsetDateTime>) {
        if let Some(now) = sure
            && self.searched.is_none_or(|at| at.elapsed() >= SEARCH)
        {
            match self.search(context, now).await {
                Ok(()) => self.searched = Some(Instant::now()),
                Err(problem) => tracing::warn!(
                    code = problem.code().as_str(),
                    "what erasures have left could not be searched for; it is tried again"
                ),
            }
        }
        let (mut containers, mut whole) = (BTreeSet::new(), BTreeSet::new());
        for name in std::mem::take(&mut self.containers) {
            if let Err(error) = gone(context.containers.erase(&name).await) {
                tracing::error!(name, %error, "a container whose erasure is recorded is still there; it is tried again");
                containers.insert(name);
            }
        }
        for name in std::mem::take(&mut self.whole) {
            if let Err(error) = gone(context.containers.delete(&name).await) {
                tracing::error!(name, %error, "what lies beside erased records is still there; it is tried again");
                whole.insert(name);
            }
        }
        (self.containers, self.whole) = (containers, whole);
    }

    async fn search(&mut self, context: &Context, now: OffsetDateTime) -> Result<(), Problem> {
        let account = context.config.retention.account;
        let shared = context.containers.is_shared();
        let (mut pages, mut reports, mut closed) = (context.containers.pages(), BTreeSet::new(), Vec::new());
        while let Some(names) = pages.recv().await {
            let names = names?;
            reports.extend(old_reports(&context.containers, &names, account, now).await);
            for (id, name, named) in intake::named(&*context.store, names).await? {
                match fate(&name, named, shared) {
                    Fate::Erased => self.container(name),
                    // It waited and was refused: a hold that kept it is lifted, or a crash came between.
                    Fate::Waits if context.store.submission(&id).await?.is_none() => self.submission(name),
                    Fate::Waits | Fate::Kept => {}
                    Fate::ErasedElsewhere => self.submission(name),
                    Fate::ListedTwice => context.containers.give_back_parts(&name).await?,
                    Fate::Unnamed if outlived(&name, account, now) => self.submission(name),
                    // It may wait for its record.
                    Fate::Unnamed if !shared || context.uploads.is_open(upload_of(&name)).await? => {}
                    Fate::Unnamed if strays::is_old(&context.containers, &name, now).await? => closed.push((id, name)),
                    Fate::Unnamed => {}
                }
            }
        }
        strays::put_aside(&*context.store, &context.containers, closed).await?;
        for digest in unnamed(context, reports).await? {
            self.report(&digest);
        }
        intake::end_orphans(&context.containers, &context.config.retention, now).await
    }
}

/// Digests of the reports of refusals among these names whose records are erased, or may be.
async fn old_reports(
    containers: &Containers,
    names: &[String],
    account: Duration,
    now: OffsetDateTime,
) -> BTreeSet<String> {
    let mut old = BTreeSet::new();
    for name in names {
        let Some(digest) = name.strip_prefix(REFUSED) else {
            continue;
        };
        // Younger than records are kept: its record is there, or will be.
        let written = containers.written(name, REPORT).await;
        if written.is_some_and(|written| long_over(written.into(), account, now)) {
            old.insert(digest.to_owned());
        }
    }
    old
}

/// Those of these reports that no record names that can be read.
async fn unnamed(context: &Context, mut reports: BTreeSet<String>) -> Result<BTreeSet<String>, Problem> {
    let mut next = 0;
    while !reports.is_empty() {
        let page = context.store.records(None, next, PAGE).await?;
        let Some(last) = page.last() else { break };
        next = last.position + 1;
        for stored in &page {
            if let Some(Event::Refused {
                report_sha256: Some(digest),
                ..
            }) = stored.record()?.map(|record| record.event)
            {
                reports.remove(&digest);
            }
        }
    }
    Ok(reports)
}

fn gone(done: Result<(), ContainerError>) -> Result<(), ContainerError> {
    match done {
        Err(ContainerError::Absent) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::clock;
    use crate::keys::for_tests;
    use crate::objects::Objects;

    const FIVE_YEARS: Duration = Duration::from_secs(5 * 366 * 86_400);

    #[tokio::test]
    async fn a_report_whose_record_is_long_over_is_found_on_a_disk_and_in_a_bucket() {
        let data = tempfile::tempdir().unwrap();
        let places = [
            Containers::open(data.path(), for_tests()).unwrap(),
            Containers::shared(Objects::in_memory(), for_tests()),
        ];
        for containers in places {
            let put = containers.put_beside("refused.ab", REPORT, Bytes::from_static(b"{}"));
            put.await.unwrap();
            let names = containers.names().await.unwrap();
            let now = clock::now();
            let old = old_reports(&containers, &names, FIVE_YEARS, now).await;
            assert!(old.is_empty(), "its record may be read");
            let later = now + FIVE_YEARS + Duration::from_secs(32 * 86_400);
            let old = old_reports(&containers, &names, FIVE_YEARS, later).await;
            assert_eq!(old.into_iter().collect::<Vec<_>>(), ["ab"]);
        }
    }
}
