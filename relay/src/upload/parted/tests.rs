//! Uploads in a bucket: in pieces, at two relays, taken over, lost by the bucket, ended while another makes a container of them.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use formats::wire::{FacilityCode, SubmissionId};
use futures_util::TryStreamExt as _;

use super::super::body::Body;
use super::super::claim::{Claim, Shared, new_key};
use super::super::progress::Progress;
use super::super::shelf::for_tests;
use super::*;
use crate::containers::Containers;
use crate::keys::for_tests as keys;
use crate::objects::Objects;
use crate::problem::Code;
use crate::store::{StoreError, UploadRow, UploadRows};

const LENGTH: u64 = 70 * SEGMENT + 1000;

/// Rows as the database keeps them.
#[derive(Default)]
struct Rows(Mutex<HashMap<String, UploadRow>>);

impl Rows {
    fn change(&self, id: &str, if_so: impl Fn(&UploadRow) -> bool, change: impl Fn(&mut UploadRow)) -> bool {
        match self.0.lock().unwrap().get_mut(id).filter(|row| if_so(row)) {
            Some(row) => {
                change(row);
                true
            }
            None => false,
        }
    }
}

impl UploadRows for Rows {
    fn create(&self, row: &UploadRow) -> Result<(), StoreError> {
        self.0.lock().unwrap().insert(row.id.clone(), row.clone());
        Ok(())
    }
    fn find(&self, id: &str) -> Result<Option<UploadRow>, StoreError> {
        Ok(self.0.lock().unwrap().get(id).cloned())
    }
    fn take(&self, id: &str) -> Result<Option<UploadRow>, StoreError> {
        self.change(id, |_| true, |row| row.epoch += 1);
        self.find(id)
    }
    fn advance(&self, id: &str, epoch: i64, grown: &Grown) -> Result<bool, StoreError> {
        let may = |row: &UploadRow| row.epoch == epoch && !row.gone && row.grown.at <= grown.at;
        Ok(self.change(id, may, |row| row.grown = grown.clone()))
    }
    fn confirm(&self, id: &str, epoch: i64) -> Result<bool, StoreError> {
        Ok(self.change(id, |row| row.epoch == epoch && !row.gone, |_| ()))
    }
    fn note(&self, id: &str, submission: &SubmissionId) -> Result<(), StoreError> {
        self.change(id, |_| true, |row| row.submission = Some(submission.clone()));
        Ok(())
    }
    fn close(&self, id: &str, epoch: i64) -> Result<bool, StoreError> {
        Ok(self.change(id, |row| row.epoch == epoch, |row| row.gone = true))
    }
    fn under_way(&self, _facility: &FacilityCode) -> Result<(u64, u64), StoreError> {
        Ok((0, 0))
    }
    fn stale(&self, _age: Duration) -> Result<Vec<String>, StoreError> {
        Ok(self.0.lock().unwrap().keys().cloned().collect())
    }
    fn expire(&self, id: &str, _age: Duration) -> Result<bool, StoreError> {
        Ok(self.change(id, |_| true, |row| (row.gone, row.epoch) = (true, row.epoch + 1)))
    }
    fn wrapped(&self, after: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let rows = self.0.lock().unwrap();
        let rows = rows.values().filter(|row| row.id.as_str() > after);
        Ok(rows.map(|row| (row.id.clone(), row.wrapped.clone())).collect())
    }
    fn rewrap(&self, id: &str, old: &[u8], new: &[u8]) -> Result<bool, StoreError> {
        Ok(self.change(id, |row| row.wrapped == old, |row| row.wrapped = new.to_vec()))
    }
    fn remove(&self, id: &str) -> Result<(), StoreError> {
        self.0.lock().unwrap().remove(id);
        Ok(())
    }
}

/// A bucket with the rows beside it.
struct Bench {
    shared: Arc<Shared>,
    content: Vec<u8>,
}

impl Bench {
    fn new() -> Self {
        let objects = Objects::in_memory();
        let shared = Shared {
            rows: Arc::new(Rows::default()),
            containers: Containers::shared(objects.clone(), keys()),
            objects,
        };
        let row = UploadRow {
            id: "u".into(),
            facility: "1310000001".parse().unwrap(),
            length: LENGTH,
            sha256: None,
            wrapped: new_key(&keys()).unwrap(),
            submission: None,
            epoch: 0,
            grown: Grown::default(),
            gone: false,
            touched: 0,
        };
        shared.rows.create(&row).unwrap();
        Self {
            shared: Arc::new(shared),
            content: (0..LENGTH).map(|at| (at % 253) as u8).collect(),
        }
    }

    /// The upload as one more relay knows it.
    fn relay(&self) -> Arc<Upload> {
        let row = self.shared.rows.find("u").unwrap().unwrap();
        let claim = Claim::new(Arc::clone(&self.shared), &row);
        for_tests(claim, &row)
    }

    /// One request at a relay, from where the upload is to `to`.
    async fn grow(&self, upload: &Arc<Upload>, to: u64) -> Result<u64, io::Error> {
        let from = upload.take_over().await.unwrap().offset;
        let mut body = self.open(upload, from).await?;
        let bytes = self.content[from as usize..to as usize].to_vec();
        tokio::task::spawn_blocking(move || {
            for chunk in bytes.chunks(100_000) {
                body.write(&[chunk])?;
                body.settle()?;
            }
            body.sync()?;
            Ok(body.end())
        })
        .await
        .unwrap()
    }

    async fn open(&self, upload: &Arc<Upload>, at: u64) -> io::Result<Body> {
        let (upload, handle) = (Arc::clone(upload), Handle::current());
        tokio::task::spawn_blocking(move || Body::open(&upload, handle, at))
            .await
            .unwrap()
    }

    async fn holds(&self, upload: &Arc<Upload>, to: u64) {
        let body = self.open(upload, to).await.unwrap();
        let read = tokio::task::spawn_blocking(move || {
            let mut read = Vec::new();
            body.pass(7, &mut |part| {
                read.extend_from_slice(part);
                true
            })
            .map(|()| read)
        });
        assert!(read.await.unwrap().unwrap() == self.content[7..to as usize], "{to}");
    }

    async fn parts(&self) -> usize {
        self.shared
            .objects
            .list(&crate::containers::parts_of("u"))
            .await
            .unwrap()
            .len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_relays_take_turns_and_the_whole_is_a_container() {
    let bench = Bench::new();
    let (one, two) = (bench.relay(), bench.relay());
    let mut end = 0;
    for (number, upload) in (0..40).zip([&one, &two].into_iter().cycle()) {
        // Pieces of every kind: within a segment, to its end, of many.
        end = (end + [1000, SEGMENT - 1000, 3 * SEGMENT + 5, 17][number % 4]).min(LENGTH);
        assert_eq!(bench.grow(upload, end).await.unwrap(), end);
        if number % 7 == 0 {
            bench.holds(upload, end).await;
        }
    }
    assert!(
        bench.parts().await < 12,
        "small parts are put together: {}",
        bench.parts().await
    );
    assert_eq!(bench.grow(&two, LENGTH).await.unwrap(), LENGTH);
    bench.holds(&two, LENGTH).await;
    let id: SubmissionId = "0193569a-7c00-7000-8000-000000000001".parse().unwrap();
    let (containers, stored_as) = (&bench.shared.containers, two.stored_as(&id));
    two.keep_as(containers, &stored_as).await.unwrap();
    let opened = containers.open_range(&stored_as, None).await.unwrap();
    let whole: Vec<bytes::Bytes> = opened.stream.try_collect().await.unwrap();
    assert!(whole.concat() == bench.content);
    // Nor does its end as an upload take anything from the container.
    bench.shared.rows.expire("u", Duration::ZERO).unwrap();
    bench.shared.drop_parts("u").await.unwrap();
    assert!(containers.open_range(&stored_as, Some(0..10)).await.is_ok());
    assert!(bench.parts().await > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_taken_over_writes_nothing_and_loses_nothing_of_the_others() {
    let bench = Bench::new();
    let (one, two) = (bench.relay(), bench.relay());
    bench.grow(&one, 5 * SEGMENT + 9).await.unwrap();
    let offset = one.take_over().await.unwrap().offset;
    let mut late = bench.open(&one, offset).await.unwrap();
    bench.grow(&two, 9 * SEGMENT).await.unwrap();
    let wrong = vec![0xff; 4 * SEGMENT as usize];
    let refused = tokio::task::spawn_blocking(move || late.write(&[wrong]).and_then(|()| late.sync()))
        .await
        .unwrap();
    let problem = crate::problem::Problem::from(refused.unwrap_err());
    assert_eq!(problem.code(), Code::StateConflict);
    assert_eq!(one.take_over().await.unwrap().offset, 9 * SEGMENT);
    bench.holds(&one, 9 * SEGMENT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_end_and_a_container_made_at_the_same_time_one_sees_the_other() {
    let id: SubmissionId = "0193569a-7c00-7000-8000-000000000001".parse().unwrap();
    // Ended first: no container is made of it, and nothing is left.
    let bench = Bench::new();
    let (one, two) = (bench.relay(), bench.relay());
    bench.grow(&one, LENGTH).await.unwrap();
    let containers = &bench.shared.containers;
    let stored_as = one.stored_as(&id);
    drop(two.take_over().await.unwrap());
    two.drop_bytes().await;
    let refused = one.keep_as(containers, &stored_as).await.unwrap_err();
    assert_eq!(refused.code(), Code::StateConflict);
    assert!(containers.names().await.unwrap().is_empty());
    assert_eq!(bench.parts().await, 0);
    assert_eq!(one.take_over().await.err().unwrap().code(), Code::UploadUnknown);
    // Made first: its end takes nothing.
    let bench = Bench::new();
    let (one, two) = (bench.relay(), bench.relay());
    bench.grow(&one, LENGTH).await.unwrap();
    one.keep_as(&bench.shared.containers, &one.stored_as(&id))
        .await
        .unwrap();
    drop(two.take_over().await.unwrap());
    two.drop_bytes().await;
    assert!(bench.parts().await > 0);
    assert!(bench.shared.containers.reader(&one.stored_as(&id)).await.is_ok());
    let mut progress = Progress::at(LENGTH);
    assert!(progress.read_up(&one).await.is_ok());
}
