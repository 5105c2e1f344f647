//! Many letters at once, sent as the client sends them, and what must be true of each afterwards.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use client::relay_api::{Answer, ApiError, Identity, RelayApi};
use formats::digest::sha256;
use formats::wire::{Purpose, Receipt, RecipientState, SubmissionId, SubmissionState};
use futures_util::stream::{self, StreamExt as _};
use http_body_util::BodyExt as _;
use kit::stage::{Pair, Stage};
use kit::{Card, Desk, RelayProcess};

/// A letter ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Letter {
    pub(crate) id: SubmissionId,
    file: PathBuf,
    length: u64,
    pub(crate) sha256: String,
    /// Its upload at the relay, once begun: what the client's outbox remembers.
    upload: Arc<Mutex<Option<String>>>,
}

/// Signs `count` letters with ids of their own into files of the clinic.
pub(crate) fn prepare(stage: &Stage, pair: &Pair, card: &Card, count: usize) -> Vec<Letter> {
    let write = |_| {
        let mut id = None;
        let bytes = stage.container(pair, card, |envelope, _| id = Some(envelope.id.clone()));
        written(pair, id.unwrap(), &bytes)
    };
    (0..count).map(write).collect()
}

/// A signed letter, in a file of the clinic.
pub(crate) fn written(pair: &Pair, id: SubmissionId, bytes: &[u8]) -> Letter {
    Letter {
        file: pair.clinic.file(&format!("letters/{id}.asice"), bytes),
        length: bytes.len() as u64,
        sha256: hex::encode(sha256(bytes)),
        id,
        upload: Arc::default(),
    }
}

/// The API as a desk's own client speaks it.
pub(crate) fn api(desk: &Desk, relay: &RelayProcess) -> RelayApi {
    let read = |name: &str| std::fs::read(desk.home().join(name)).unwrap();
    let identity = Identity {
        chain: read("device.pem"),
        key: read("device.key"),
        relay_ca: read("relay-ca.pem"),
    };
    RelayApi::enrolled(&relay.api_url(), &identity, "en").unwrap()
}

/// Sends one letter to its receipt, going on where an earlier attempt ended.
pub(crate) async fn send(api: RelayApi, letter: Letter) -> Result<Receipt, ApiError> {
    let begun = letter.upload.lock().unwrap().clone();
    let resumed = match begun {
        None => None,
        Some(place) => match api.resume_upload(&place).await {
            Ok(upload) => Some(upload),
            Err(ApiError::Problem(problem)) if matches!(problem.status, 404 | 410) => None,
            Err(error) => return Err(error),
        },
    };
    let mut upload = match resumed {
        Some(upload) => upload,
        None => api.create_upload(letter.length, &letter.sha256).await?,
    };
    *letter.upload.lock().unwrap() = Some(upload.path.clone());
    api.send_upload(&mut upload, &letter.file, letter.length, |_| {})
        .await?;
    match api.submit(&upload.path).await? {
        Answer::Receipt(receipt) => Ok(*receipt),
        Answer::Pending(pending) => panic!("{} waits for {}", pending.id, pending.waiting_for),
    }
}

/// Begins the upload of a letter; [`send`] goes on with it. Returns its place.
pub(crate) async fn begin(api: &RelayApi, letter: &Letter) -> Result<String, ApiError> {
    let upload = api.create_upload(letter.length, &letter.sha256).await?;
    *letter.upload.lock().unwrap() = Some(upload.path.clone());
    Ok(upload.path)
}

/// Holds the relay to its word about letters it has acknowledged.
pub(crate) async fn are_there(clinic: &RelayApi, hospital: &RelayApi, acknowledged: &[(Letter, Receipt)]) {
    let vkey = Arc::new(clinic.policy().await.unwrap().log_vkey);
    let inbox = inbox(hospital).await;
    for (letter, _) in acknowledged {
        assert_eq!(inbox.get(&letter.id), Some(&1), "in the inbox: {}", letter.id);
    }
    assert!(
        inbox.values().all(|times| *times == 1),
        "a letter is twice in the inbox"
    );
    let check = |(at, (letter, receipt)): (usize, &(Letter, Receipt))| {
        let (clinic, hospital, vkey) = (clinic.clone(), hospital.clone(), Arc::clone(&vkey));
        let (letter, receipt) = (letter.clone(), receipt.clone());
        tokio::spawn(async move {
            let record = receipt.verify(&vkey).unwrap();
            assert_eq!(record.encode().unwrap(), receipt.body);
            let again = clinic.receipt(&letter.id).await.unwrap();
            assert_eq!((again.position, &again.body), (receipt.position, &receipt.body));
            // Every fourth is fetched: what is on disk is there or not for all of them alike.
            if at % 4 != 0 {
                return;
            }
            let status = clinic.status(&letter.id).await.unwrap();
            assert_eq!(status.state, SubmissionState::Accepted);
            assert_eq!(status.container_sha256, letter.sha256);
            let person = "staff".parse().unwrap();
            let response = hospital
                .container(&letter.id, &person, Purpose::Import, 0)
                .await
                .unwrap();
            let bytes = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(hex::encode(sha256(&bytes)), letter.sha256);
            let status = hospital.status(&letter.id).await.unwrap();
            assert!(status.recipients[0].state >= RecipientState::Delivered);
        })
    };
    let mut checks = stream::iter(acknowledged.iter().enumerate().map(check)).buffer_unordered(16);
    while let Some(checked) = checks.next().await {
        checked.unwrap();
    }
}

/// Letters without acknowledgement: each is absent or whole, and sending it again ends with a receipt.
pub(crate) async fn can_be_sent_again(clinic: &RelayApi, letters: Vec<Letter>) -> Vec<(Letter, Receipt)> {
    let again = |letter: Letter| {
        let clinic = clinic.clone();
        async move {
            let there = match clinic.status(&letter.id).await {
                Ok(status) => {
                    assert_eq!(status.state, SubmissionState::Accepted);
                    assert_eq!(status.container_sha256, letter.sha256);
                    Some(clinic.receipt(&letter.id).await.unwrap())
                }
                Err(ApiError::Problem(problem)) if problem.status == 404 => None,
                Err(error) => panic!("{}: {error}", letter.id),
            };
            let receipt = send(clinic, letter.clone())
                .await
                .unwrap_or_else(|error| panic!("{}: {error}", letter.id));
            if let Some(there) = there {
                assert_eq!((there.position, &there.body), (receipt.position, &receipt.body));
            }
            (letter, receipt)
        }
    };
    let tasks = letters.into_iter().map(|letter| tokio::spawn(again(letter)));
    stream::iter(tasks.collect::<Vec<_>>())
        .buffer_unordered(16)
        .map(Result::unwrap)
        .collect()
        .await
}

/// How often each letter is in the inbox.
pub(crate) async fn inbox(hospital: &RelayApi) -> BTreeMap<SubmissionId, usize> {
    let (mut found, mut after) = (BTreeMap::new(), Some(0));
    while let Some(position) = after {
        let page = hospital.inbox(position).await.unwrap();
        for item in page.items {
            *found.entry(item.id).or_default() += 1;
        }
        after = page.next;
    }
    found
}
