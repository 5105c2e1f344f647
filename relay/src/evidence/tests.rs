//! A responder of one's own on loopback, and what the fetcher asks of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::config::PrivateTarget;

/// A CRL, real enough to be kept.
fn list() -> Vec<u8> {
    let path = "../tests/fixtures/validation/ocsp_good_alone/evidence/sarl.crl";
    std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// What the responder answers from now on, and how often it was asked.
struct Responder {
    port: u16,
    answer: Arc<Mutex<Vec<u8>>>,
    asked: Arc<AtomicUsize>,
}

impl Responder {
    async fn start(answer: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (answer, asked) = (Arc::new(Mutex::new(answer)), Arc::new(AtomicUsize::new(0)));
        let (served, counted) = (Arc::clone(&answer), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let answer = served.lock().unwrap().clone();
                tokio::spawn(async move {
                    let mut request = [0; 4096];
                    let _ = stream.read(&mut request).await;
                    // A little slow, so that those who ask at the same time do.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    let _ = stream.write_all(&answer).await;
                });
            }
        });
        Self { port, answer, asked }
    }

    fn says(&self, answer: Vec<u8>) {
        *self.answer.lock().unwrap() = answer;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn ok(body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn fetcher(folder: &std::path::Path, private: &[&str], rest: Duration) -> Arc<Fetcher> {
    let trust = Trust {
        directory: folder.into(),
        fetch_hosts: vec!["localhost".into()],
        fetch_private: private.iter().map(|host| PrivateTarget::parse(host).unwrap()).collect(),
        refresh: Duration::from_secs(3600),
        fetch_age: Duration::from_millis(1),
        fetch_timeout: Duration::from_secs(2),
    };
    Arc::new(Fetcher::open(folder.join("kept"), trust, rest, Arc::default()).unwrap())
}

fn crl(port: u16) -> Question {
    Question::Crl {
        url: format!("http://localhost:{port}/a.crl"),
    }
}

#[tokio::test]
async fn one_fetch_serves_all_who_ask_and_rubbish_replaces_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let responder = Responder::start(ok(&list())).await;
    let question = crl(responder.port);
    let fetcher = fetcher(folder.path(), &["localhost"], Duration::ZERO);
    let all = (0..20).map(|_| fetcher.answers(&question, true));
    for answered in futures_util::future::join_all(all).await {
        assert_eq!(answered.unwrap().0[0].der, list());
    }
    assert_eq!(responder.asked(), 1);
    let truncated = list()[..100].to_vec();
    for bad in [
        ok(b"rubbish"),
        ok(&truncated),
        b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n".to_vec(),
    ] {
        responder.says(bad);
        assert!(fetcher.answers(&question, true).await.is_err());
        let (kept, _) = fetcher.answers(&question, false).await.unwrap();
        assert_eq!((kept.len(), &kept[0].der), (1, &list()));
    }
    // After a restart it is there still, though nobody answers.
    let again = self::fetcher(folder.path(), &["localhost"], Duration::ZERO);
    let (kept, fresh) = again.answers(&question, false).await.unwrap();
    assert_eq!((kept[0].der == list(), fresh), (true, false));
}

#[tokio::test]
async fn a_list_nobody_had_to_ask_for_is_asked_for_until_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let responder = Responder::start(b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n".to_vec()).await;
    let fetcher = fetcher(folder.path(), &["localhost"], Duration::from_millis(100));
    let fetcher = Arc::new(Fetcher {
        trust: Trust {
            refresh: Duration::from_millis(400),
            ..fetcher.trust.clone()
        },
        ..Arc::into_inner(fetcher).unwrap()
    });
    let url = crl(responder.port).url().to_owned();
    fetcher.follow([&url].into_iter());
    let watching = tokio::spawn(Arc::clone(&fetcher).watch());
    while responder.asked() < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(fetcher.every_kept()[&url].is_empty());
    responder.says(ok(&list()));
    while fetcher.every_kept()[&url].is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    watching.abort();
}

#[tokio::test]
async fn a_responder_is_asked_again_at_intervals_while_a_letter_rests_on_its_card_and_no_longer() {
    let folder = tempfile::tempdir().unwrap();
    let path = "../tests/fixtures/validation/ocsp_good_alone/evidence/answer.ors";
    let answer = std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let read = trust_store::revocation::ocsp::OcspResponse::parse(&answer).unwrap();
    let cert_id = read.basic.unwrap().singles[0].cert_id.clone();
    let responder = Responder::start(ok(&answer)).await;
    let question = Question::Ocsp {
        url: format!("http://localhost:{}/", responder.port),
        request: trust_store::revocation::OcspRequest { cert_id },
    };
    let key = question.key();
    let wanted = BTreeMap::from([(key.as_str(), &question)]);
    let open = || {
        let fetcher = fetcher(folder.path(), &["localhost"], Duration::from_millis(100));
        Arc::new(Fetcher {
            trust: Trust {
                refresh: Duration::from_millis(400),
                ..fetcher.trust.clone()
            },
            ..Arc::into_inner(fetcher).unwrap()
        })
    };
    let fetcher = open();
    let watching = tokio::spawn(Arc::clone(&fetcher).watch());
    while responder.asked() < 3 {
        fetcher.follow_answers(&wanted);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(fetcher.kept_under(&key)[0].der, answer);
    fetcher.follow_answers(&BTreeMap::new());
    // One may be under way.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let asked = responder.asked();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(responder.asked(), asked);
    watching.abort();
    // After a restart what was kept is there at once, and is asked for again once it is old.
    let fetcher = open();
    assert_eq!(fetcher.kept_under(&key)[0].der, answer);
    let watching = tokio::spawn(Arc::clone(&fetcher).watch());
    while responder.asked() == asked {
        fetcher.follow_answers(&wanted);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    watching.abort();
}

#[tokio::test]
async fn a_dead_host_costs_one_try_in_a_while_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let responder = Responder::start(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n".to_vec()).await;
    let fetcher = fetcher(folder.path(), &["localhost"], Duration::from_secs(60));
    for number in 0..50 {
        // Other lists of the same host are not asked for either.
        let url = format!("http://localhost:{}/{number}.crl", responder.port);
        assert!(fetcher.answers(&Question::Crl { url }, false).await.is_err());
    }
    assert_eq!(responder.asked(), 1);
    let health = fetcher.hosts().pop().unwrap();
    assert!(
        !health.good && health.reason.unwrap().contains("500"),
        "{:?}",
        health.host
    );
}

#[tokio::test]
async fn no_private_address_behind_a_public_name_no_other_host_and_no_redirect() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = Responder::start(ok(&list())).await;
    let to = format!("http://localhost:{}/a.crl", elsewhere.port);
    let redirect = format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
    let responder = Responder::start(redirect.into_bytes()).await;
    let strict = fetcher(folder.path(), &[], Duration::ZERO);
    let refused = strict.answers(&crl(responder.port), true).await;
    assert!(
        matches!(&refused, Err(FetchError::Unreachable(why)) if why.contains("no public address")),
        "a listed name may lead elsewhere later: {refused:?}"
    );
    let health = strict.hosts().pop().unwrap();
    assert!(
        !health.good && health.reason.unwrap().contains("trust.fetch_private"),
        "the operator is told"
    );
    let fetcher = fetcher(folder.path(), &["localhost"], Duration::ZERO);
    let url = format!("http://127.0.0.1:{}/a.crl", responder.port);
    let refused = fetcher.answers(&Question::Crl { url }, true).await;
    assert!(matches!(refused, Err(FetchError::Forbidden(_))), "not in the list");
    assert_eq!(responder.asked(), 0);
    let refused = fetcher.answers(&crl(responder.port), true).await;
    assert!(matches!(refused, Err(FetchError::Refused(_))), "a redirect");
    assert_eq!((responder.asked(), elsewhere.asked()), (1, 0));
}

#[tokio::test]
async fn what_is_sought_is_asked_for_until_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let responder = Responder::start(ok(b"rubbish")).await;
    let fetcher = fetcher(folder.path(), &["localhost"], Duration::from_millis(300));
    let question = crl(responder.port);
    assert!(fetcher.answers(&question, false).await.is_err());
    let before = fetcher.news.count();
    let names = vec![question.key()];
    fetcher.seek(&names.iter().cloned().collect(), Duration::from_millis(100));
    let watching = tokio::spawn(Arc::clone(&fetcher).watch());
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(responder.asked() > 1 && !fetcher.news.since(before, &names));
    responder.says(ok(&list()));
    while !fetcher.news.since(before, &names) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    watching.abort();
    assert_eq!(fetcher.answers(&question, false).await.unwrap().0[0].der, list());
}

#[tokio::test]
async fn a_certificate_that_leads_nowhere_yet_names_no_port_that_is_not_listed() {
    let folder = tempfile::tempdir().unwrap();
    let server = Responder::start(ok(b"")).await;
    let question = Question::Certificate {
        url: format!("http://localhost:{}/ca.der", server.port),
    };
    let of = |hosts: Vec<String>, name: &str| {
        let trust = Trust {
            directory: folder.path().into(),
            fetch_hosts: hosts,
            fetch_private: vec![PrivateTarget::parse("localhost").unwrap()],
            refresh: Duration::from_secs(3600),
            fetch_age: Duration::from_millis(1),
            fetch_timeout: Duration::from_secs(2),
        };
        let kept = folder.path().join(name);
        Arc::new(Fetcher::open(kept, trust, Duration::from_secs(1), Arc::default()).unwrap())
    };
    let host = of(vec!["localhost".into()], "host");
    let refused = host.answers(&question, false).await.unwrap_err();
    assert!(matches!(refused, FetchError::Forbidden(_)), "{refused}");
    assert!(refused.to_string().contains(&server.port.to_string()), "{refused}");
    assert_eq!(server.asked(), 0);
    // A list's address has a path behind it.
    let _ = host.answers(&crl(server.port), false).await;
    assert_eq!(server.asked(), 1);
    let authority = of(vec![format!("localhost:{}", server.port)], "authority");
    let _ = authority.answers(&question, false).await;
    assert_eq!(server.asked(), 2, "the operator lists host and port");
    assert!(host.trust.lists("localhost", 80, false), "the port of the scheme");
    assert!(!authority.trust.lists("localhost", 80, true), "that port alone");
}
