//! The smallest balancer: a port whose connections go to relays that say they are ready, one after the other.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::https::Https;
use crate::relay::RelayProcess;

/// How often it asks who is ready.
const PROBE: Duration = Duration::from_millis(100);

/// A balancer. Dropped, it ends.
#[derive(Debug)]
pub struct Balancer {
    port: u16,
    stop: Option<oneshot::Sender<Infallible>>,
    ended: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Balancer {
    /// A balancer before these relays; returns when one of them is ready.
    ///
    /// # Panics
    /// If no port can be had.
    #[must_use]
    pub fn before(relays: &[RelayProcess]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port on loopback");
        listener.set_nonblocking(true).expect("a listener can be non-blocking");
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let ready = Arc::new(Mutex::new(Vec::new()));
        let ended = Arc::new(AtomicBool::new(false));
        let probes: Vec<(u16, Https)> = relays
            .iter()
            .map(|relay| (relay.api_port(), relay.portal_https()))
            .collect();
        let (known, over) = (Arc::clone(&ready), Arc::clone(&ended));
        let known_ready = Arc::clone(&ready);
        let probing = std::thread::spawn(move || {
            while !over.load(Ordering::SeqCst) {
                let good = probes
                    .iter()
                    .filter(|(_, portal)| portal.get("/readyz").is_ok_and(|reply| reply.status == 200));
                let good = good.map(|(port, _)| *port).collect();
                *known.lock().unwrap_or_else(PoisonError::into_inner) = good;
                std::thread::sleep(PROBE);
            }
        });
        let (stop, mut stopped) = oneshot::channel::<Infallible>();
        let passing = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime for the balancer").block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                let turn = AtomicUsize::new(0);
                loop {
                    let accepted = tokio::select! {
                        accepted = listener.accept() => accepted,
                        _ = &mut stopped => return,
                    };
                    let Ok((mut from, _)) = accepted else { continue };
                    let next = {
                        let ready: std::sync::MutexGuard<'_, Vec<u16>> =
                            ready.lock().unwrap_or_else(PoisonError::into_inner);
                        let turn = turn.fetch_add(1, Ordering::Relaxed);
                        turn.checked_rem(ready.len()).map(|at| ready[at])
                    };
                    // Where nobody is ready the connection is closed, as a balancer does.
                    let Some(port) = next else { continue };
                    tokio::spawn(async move {
                        if let Ok(mut to) = TcpStream::connect(("127.0.0.1", port)).await {
                            let _ended = tokio::io::copy_bidirectional(&mut from, &mut to).await;
                        }
                    });
                }
            });
        });
        while known_ready.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            std::thread::sleep(PROBE);
        }
        Self {
            port,
            stop: Some(stop),
            ended,
            threads: vec![probing, passing],
        }
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        drop(self.stop.take());
        for thread in self.threads.drain(..) {
            let _ended = thread.join();
        }
    }
}
