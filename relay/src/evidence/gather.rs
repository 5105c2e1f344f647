//! Evidence for one submission: asks the validation what is missing, fetches it, asks again.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use time::OffsetDateTime;
use trust_store::{Evidence, EvidenceQuery, Subject, TrustStore};

use super::Fetcher;
use super::outbound::FetchError;
use super::question::Question;
use crate::timestamps::Stamps;

/// Asking and fetching alternate at most so often: leaf and each CA may bring new questions.
const ROUNDS: usize = 8;
/// Addresses asked for one submission in one round.
const A_ROUND: usize = 16;
/// All fetching for one submission.
const PATIENCE: Duration = Duration::from_secs(30);
/// What a submission waits for that lacks the relay's time stamp.
pub(crate) const TIMESTAMP: &str = "timestamp";

/// Evidence for one submission.
pub(crate) struct Gathered {
    /// What was supplied and what was fetched.
    pub(crate) evidence: Evidence,
    /// What could not be had, in words.
    pub(crate) unreachable: Vec<String>,
    /// Names of what is waited for, as [`super::news::News`] tells of them.
    pub(crate) awaited: Vec<String>,
    /// Nothing is awaited that may ever come: no certificate names where to ask, the relay's own rules forbid to ask there, or
    /// whoever was asked answered that he does not know the certificate.
    pub(crate) hopeless: bool,
}

/// How far a question has been asked for this submission.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// The newest that is kept was taken; a new one may help still.
    Kept,
    /// A new one was asked for; older ones that are kept may help still.
    Anew,
    /// There is no more to be had.
    Done,
}

impl Fetcher {
    /// Asks `trust` what is missing, fetches it, asks again, until nothing is missing or nothing more can be had. A time stamp
    /// is made last, when nothing else that can be had is missing.
    pub(crate) async fn gather(
        self: &Arc<Self>,
        trust: &Arc<TrustStore>,
        stamps: &Stamps,
        subject: &Arc<Subject>,
        mut evidence: Evidence,
        now: OffsetDateTime,
    ) -> Gathered {
        let began = Instant::now();
        let mut asked: BTreeMap<String, Asked> = BTreeMap::new();
        let mut failed: BTreeMap<String, String> = BTreeMap::new();
        let mut forbidden: HashSet<String> = HashSet::new();
        let mut missing = Vec::new();
        for round in 0..=ROUNDS {
            (missing, evidence) = ask(trust, subject, evidence, now).await;
            if round == ROUNDS || began.elapsed() > PATIENCE {
                break;
            }
            let wanted = next(&missing, &asked);
            if wanted.is_empty() {
                let mut stamped = false;
                for query in &missing {
                    let EvidenceQuery::Timestamp { algorithm, digest, .. } = query else {
                        continue;
                    };
                    if asked.insert(query_key(query), Asked::Done).is_some() {
                        continue;
                    }
                    match stamps.token(*algorithm, digest).await {
                        Ok(token) => {
                            stamped = true;
                            evidence.tokens.push(token);
                        }
                        Err(error) => {
                            failed.insert(query_key(query), error.to_string());
                        }
                    }
                }
                if stamped {
                    // Of the time it states other answers may be needed than of the time before.
                    let answered = asked.iter_mut().filter(|(key, _)| !failed.contains_key(*key));
                    answered
                        .filter(|(key, _)| !key.starts_with(TIMESTAMP))
                        .for_each(|(_, done)| *done = Asked::Kept);
                    continue;
                }
                break;
            }
            let fetches = wanted.into_iter().map(|question| {
                let before = asked.get(&question.key()).copied();
                async move {
                    let patience = PATIENCE.saturating_sub(began.elapsed());
                    let fetched = match before {
                        Some(Asked::Anew | Asked::Done) => Ok((self.versions(&question), true)),
                        None | Some(Asked::Kept) => {
                            let fetching = self.answers(&question, before.is_some());
                            let in_time = tokio::time::timeout(patience, fetching).await;
                            in_time.unwrap_or_else(|_| Err(FetchError::Unreachable("no answer in time".into())))
                        }
                    };
                    (question, before, fetched)
                }
            });
            for (question, before, fetched) in join_all(fetches).await {
                let key = question.key();
                let older = self.versions(&question).len() > 1;
                let done = match (before, &fetched) {
                    (Some(Asked::Anew | Asked::Done), _) => Asked::Done,
                    (None, Ok((_, false))) => Asked::Kept,
                    _ if older => Asked::Anew,
                    _ => Asked::Done,
                };
                asked.insert(key.clone(), done);
                match fetched {
                    // Older ones only if the newest does not help: they lie beside every letter.
                    Ok((kept, _)) => {
                        let most = if done == Asked::Done { kept.len() } else { 1 };
                        kept.iter().take(most).for_each(|kept| kept.add_to(&mut evidence));
                        if before != Some(Asked::Anew) {
                            failed.remove(&key);
                        }
                    }
                    Err(error) => {
                        if matches!(error, FetchError::Forbidden(_)) {
                            forbidden.insert(key.clone());
                        }
                        failed.insert(key, error.to_string());
                    }
                }
            }
        }
        // Those that gave an answer, helpful or not.
        let heard = |(key, asked): &(String, Asked)| *asked != Asked::Kept && !failed.contains_key(key);
        let answered: HashSet<String> = asked.into_iter().filter(heard).map(|(key, _)| key).collect();
        let (unreachable, awaited) = told(&missing, &failed);
        Gathered {
            evidence,
            unreachable,
            awaited,
            hopeless: !missing.iter().any(|query| may_come(query, &forbidden, &answered)),
        }
    }
}

/// Whether what is missing may be had one day, by somebody's fault passing.
fn may_come(query: &EvidenceQuery, forbidden: &HashSet<String>, answered: &HashSet<String>) -> bool {
    let not_known = matches!(query, EvidenceQuery::Ocsp { answered: true, .. });
    let may_be_asked = |question: &Question| {
        let key = question.key();
        let has_answered = not_known && answered.contains(&key);
        !has_answered && !forbidden.contains(&key)
    };
    matches!(query, EvidenceQuery::Timestamp { .. }) || Question::all_of(query).iter().any(may_be_asked)
}

/// What to fetch next: of each query the first address that may still help. OCSP only where no CRL about the same certificate
/// is still to be had: a CRL serves many letters, a response one card.
fn next(missing: &[EvidenceQuery], asked: &BTreeMap<String, Asked>) -> Vec<Question> {
    let open = |query: &EvidenceQuery| {
        Question::all_of(query)
            .into_iter()
            .find(|question| asked.get(&question.key()) != Some(&Asked::Done))
    };
    let by_crl: HashSet<&str> = missing
        .iter()
        .filter(|query| open(query).is_some())
        .filter_map(|query| match query {
            EvidenceQuery::Crl { subject, .. } => Some(subject.as_str()),
            _ => None,
        })
        .collect();
    let mut wanted: Vec<Question> = Vec::new();
    for query in missing {
        if matches!(query, EvidenceQuery::Ocsp { subject, .. } if by_crl.contains(subject.as_str())) {
            continue;
        }
        if let Some(question) = open(query)
            && !wanted.contains(&question)
            && wanted.len() < A_ROUND
        {
            wanted.push(question);
        }
    }
    wanted
}

/// What is still missing, in words, and the names it is waited for by.
fn told(missing: &[EvidenceQuery], failed: &BTreeMap<String, String>) -> (Vec<String>, Vec<String>) {
    let (mut words, mut names) = (Vec::new(), Vec::new());
    for query in missing {
        let questions = Question::all_of(query);
        let reason = questions
            .iter()
            .filter_map(|question| failed.get(&question.key()))
            .next_back();
        let said = match query {
            EvidenceQuery::Crl { issuer, .. } => {
                format!(
                    "CRL of {issuer}: {}",
                    reason.map_or("no CRL that helps could be had", String::as_str)
                )
            }
            EvidenceQuery::Ocsp { issuer, answered, .. } => {
                let none = match answered {
                    true => "the responder answers that it does not know the certificate",
                    false => "no response that helps could be had",
                };
                format!("OCSP of {issuer}: {}", reason.map_or(none, String::as_str))
            }
            EvidenceQuery::Certificate { issuer, .. } => {
                format!(
                    "certificate of {issuer}: {}",
                    reason.map_or("none that helps could be had", String::as_str)
                )
            }
            EvidenceQuery::Timestamp { .. } => {
                let reason = failed
                    .get(&query_key(query))
                    .map_or("none was asked for yet", String::as_str);
                format!("time stamp of the relay: {reason}")
            }
        };
        if !words.contains(&said) {
            words.push(said);
        }
        match query {
            EvidenceQuery::Timestamp { .. } => names.push(TIMESTAMP.to_owned()),
            _ => names.extend(questions.iter().map(Question::key)),
        }
    }
    names.sort();
    names.dedup();
    (words, names)
}

/// The name of a query that has no address.
fn query_key(query: &EvidenceQuery) -> String {
    match query {
        EvidenceQuery::Timestamp { digest, .. } => format!("{TIMESTAMP} {}", hex::encode(digest)),
        _ => String::new(),
    }
}

async fn ask(
    trust: &Arc<TrustStore>,
    subject: &Arc<Subject>,
    evidence: Evidence,
    now: OffsetDateTime,
) -> (Vec<EvidenceQuery>, Evidence) {
    let (trust, subject) = (Arc::clone(trust), Arc::clone(subject));
    let asked = tokio::task::spawn_blocking(move || (trust.missing(&subject, &evidence, now), evidence)).await;
    asked.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_awaited_from_where_nobody_may_ask() {
        let list = |urls: &[&str]| EvidenceQuery::Crl {
            issuer: String::new(),
            subject: String::new(),
            urls: urls.iter().map(|url| (*url).to_owned()).collect(),
        };
        let forbidden = HashSet::from(["crl https://a/1".to_owned(), "crl http://b/2".to_owned()]);
        let none = HashSet::new();
        assert!(!may_come(&list(&[]), &forbidden, &none), "no address");
        assert!(!may_come(&list(&["https://a/1", "http://b/2"]), &forbidden, &none));
        assert!(may_come(&list(&["https://a/1", "http://c/3"]), &forbidden, &none));
        let stamp = EvidenceQuery::Timestamp {
            subject: String::new(),
            algorithm: formats::digest::DigestAlgorithm::Sha256,
            digest: Vec::new(),
        };
        assert!(may_come(&stamp, &forbidden, &none), "an authority may answer again");
    }

    #[test]
    fn who_answered_that_he_does_not_know_is_awaited_no_more_and_who_did_not_answer_is() {
        let request = trust_store::revocation::ocsp::OcspRequest {
            cert_id: trust_store::revocation::ocsp::CertId {
                hash_algorithm: const_oid::db::rfc5912::ID_SHA_256,
                issuer_name_hash: vec![1],
                issuer_key_hash: vec![2],
                serial: vec![3],
            },
        };
        let query = |answered, urls: &[&str]| EvidenceQuery::Ocsp {
            issuer: String::new(),
            subject: String::new(),
            urls: urls.iter().map(|url| (*url).to_owned()).collect(),
            request: request.clone(),
            answered,
        };
        let (one, two) = (query(true, &["http://a/"]), query(true, &["http://a/", "http://b/"]));
        let (none, forbidden) = (HashSet::new(), HashSet::new());
        let said: HashSet<String> = Question::all_of(&one).iter().map(Question::key).collect();
        assert!(!may_come(&one, &forbidden, &said));
        assert!(may_come(&two, &forbidden, &said), "the other was not heard");
        assert!(
            may_come(&one, &forbidden, &none),
            "it said so before, and was not heard today"
        );
        assert!(
            may_come(&query(false, &["http://a/"]), &forbidden, &said),
            "its answer was no answer"
        );
    }
}
