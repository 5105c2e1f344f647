//! One server on loopback: CRLs, ARLs, CA certificates, OCSP responders and the time stamp authority, with faults on demand.

mod admin;
mod answer;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use time::OffsetDateTime;
use tokio::sync::oneshot;

use crate::CrlReason;
use crate::card::Card;
use crate::hpki::{Ca, TestHpki};
use crate::keys::Key;
use crate::ocsp::Responder;
use crate::revocation_lists::Revoked;
use crate::tsa::Ess;

/// What goes wrong at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The connection is closed without an answer.
    Down,
    /// The right answer, late.
    Slow(Duration),
    /// This status, with a short text.
    Status(u16),
    /// 200 with bytes that are not DER.
    Garbage,
    /// 200 with only the first bytes of the right answer.
    Truncated(usize),
    /// A list or an OCSP answer whose nextUpdate is six days past; a token whose genTime is ten days past.
    Stale,
    /// Signed by a key that is not the CA's (or the authority's).
    WrongSigner,
    /// A token or an OCSP answer with another nonce.
    WrongNonce,
    /// A token over another imprint; an OCSP answer about another certificate.
    WrongImprint,
    /// The authority answers, with status rejection; an OCSP responder, with status unauthorized.
    Rejected,
    /// An OCSP responder answers by POST alone, with fractions of seconds, and `unauthorized` for what it does not know.
    Sloppy,
    /// 302 to this address.
    Redirect(String),
    /// 200 with 64 MiB of zeros.
    Huge,
}

/// The running services. They live on a thread of their own, so that a test that blocks does not stop them, and end when
/// this is dropped.
#[derive(Debug)]
pub struct Services {
    state: Arc<State>,
    url: String,
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Debug)]
struct State {
    hpki: TestHpki,
    changing: Mutex<Changing>,
}

/// What tests change while the services run.
#[derive(Debug, Default)]
struct Changing {
    now: Option<OffsetDateTime>,
    ess: Option<Ess>,
    tsa: Option<(Vec<u8>, Key)>,
    revoked: Vec<(Ca, Revoked)>,
    unknown: Vec<(Ca, u64)>,
    responder: Responder,
    faults: BTreeMap<String, Fault>,
    requests: BTreeMap<String, u64>,
    tokens: u64,
}

impl Services {
    /// Starts on a free port of 127.0.0.1, with everything arranged around the present.
    pub async fn start() -> Self {
        Self::start_blocking(0)
    }

    /// The same without an async runtime; `port` 0 takes a free one.
    ///
    /// # Panics
    /// If the port cannot be had.
    #[must_use]
    pub fn start_blocking(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a port on loopback");
        listener.set_nonblocking(true).expect("a listener can be non-blocking");
        let address = listener.local_addr().expect("a bound listener has an address");
        let url = format!("http://{address}");
        let state = Arc::new(State {
            hpki: TestHpki::new(&url, OffsetDateTime::now_utc()),
            changing: Mutex::default(),
        });
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&state);
        let thread = std::thread::spawn(move || serve(listener, served, stopped));
        Self {
            state,
            url,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Where they are: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where time stamps are to be had.
    #[must_use]
    pub fn tsa_url(&self) -> String {
        format!("{}{}", self.url, answer::TSA_PATH)
    }

    /// The HPKI they serve; its cards name these services in their distribution points.
    #[must_use]
    pub fn hpki(&self) -> &TestHpki {
        &self.state.hpki
    }

    /// Puts a card on its CA's CRL from the next request on.
    pub fn revoke(&self, card: &Card, at: OffsetDateTime, reason: CrlReason) {
        self.revoke_serial(card.ca, Revoked::new(card.serial, at, reason));
    }

    /// Puts any serial on the CRL of `ca` (for [`Ca::Root`]: on the SARL).
    pub fn revoke_serial(&self, ca: Ca, revoked: Revoked) {
        self.state.changing().revoked.push((ca, revoked));
    }

    /// Takes a card off its CA's CRL again, as after a hold.
    pub fn release(&self, card: &Card) {
        let of_card = |ca: Ca, revoked: &Revoked| ca == card.ca && revoked.serial == card.serial;
        self.state
            .changing()
            .revoked
            .retain(|(ca, revoked)| !of_card(*ca, revoked));
    }

    /// Makes the OCSP responder say that it does not know a card.
    pub fn forget(&self, card: &Card) {
        self.state.changing().unknown.push((card.ca, card.serial));
    }

    /// The OCSP responder has heard of the card again.
    pub fn remember(&self, card: &Card) {
        let known = (card.ca, card.serial);
        self.state.changing().unknown.retain(|unknown| *unknown != known);
    }

    /// Who signs OCSP answers from now on; delegated responders at first.
    pub fn set_responder(&self, responder: Responder) {
        self.state.changing().responder = responder;
    }

    /// Sets or clears what goes wrong at paths that begin with `path_prefix`; the longest prefix counts.
    pub fn fault(&self, path_prefix: &str, fault: Option<Fault>) {
        let mut changing = self.state.changing();
        match fault {
            Some(fault) => changing.faults.insert(path_prefix.to_owned(), fault),
            None => changing.faults.remove(path_prefix),
        };
    }

    /// How many requests came for paths that begin with `path_prefix`.
    #[must_use]
    pub fn requests(&self, path_prefix: &str) -> u64 {
        let changing = self.state.changing();
        let matching = changing
            .requests
            .iter()
            .filter(|(path, _)| path.starts_with(path_prefix));
        matching.map(|(_, count)| count).sum()
    }

    /// Stops the services' clock at `now`, or lets it run again.
    pub fn set_now(&self, now: Option<OffsetDateTime>) {
        self.state.changing().now = now;
    }

    /// The authority's certificate and key from now on; [`TestHpki::tsa`] at first.
    pub fn set_tsa(&self, certificate: Vec<u8>, key: Key) {
        self.state.changing().tsa = Some((certificate, key));
    }

    /// Which ESS attribute the authority's tokens carry from now on; v2 at first.
    pub fn set_ess(&self, ess: Ess) {
        self.state.changing().ess = Some(ess);
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed; a second one here would hide the test's own.
            let _ = thread.join();
        }
    }
}

impl State {
    fn changing(&self) -> MutexGuard<'_, Changing> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Changing {
    fn now(&self) -> OffsetDateTime {
        self.now.unwrap_or_else(OffsetDateTime::now_utc)
    }

    fn fault_at(&self, path: &str) -> Option<Fault> {
        let matching = self
            .faults
            .iter()
            .filter(|(prefix, _)| path.starts_with(prefix.as_str()));
        matching
            .max_by_key(|(prefix, _)| prefix.len())
            .map(|(_, fault)| fault.clone())
    }
}

fn serve(listener: TcpListener, state: Arc<State>, mut stopped: oneshot::Receiver<Infallible>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime for the services");
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener for the runtime");
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = &mut stopped => return,
            };
            let Ok((stream, _)) = accepted else { continue };
            let state = Arc::clone(&state);
            let service = service_fn(move |request| answer::answer(Arc::clone(&state), request));
            tokio::spawn(async move {
                // What a client breaks off, and what `Fault::Down` breaks off, is an error here and no concern of ours.
                let _ = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
}
