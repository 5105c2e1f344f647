//! Listeners: accept, TLS 1.3 handshake, HTTP/1.1 and HTTP/2, limits, and a stop that lets work under way end.

pub mod tls;

mod connection;
mod linger;
mod running;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::context::Context;

pub use running::{Relay, Running, StartError, run};

/// How long a stop waits for requests under way.
const DRAIN: Duration = Duration::from_secs(20);

/// Which of the two listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Face {
    /// Devices; a client certificate is required.
    Api,
    /// Enrolment; no client certificate.
    Portal,
}

/// One listener with what it serves.
pub(crate) struct Listening {
    pub(crate) face: Face,
    pub(crate) listener: TcpListener,
    pub(crate) tls: TlsAcceptor,
    pub(crate) router: Router,
    pub(crate) context: Context,
    pub(crate) seats: Arc<Seats>,
}

/// Bounds the open connections, all together and of one address.
pub(crate) struct Seats {
    all: Arc<Semaphore>,
    per_address: usize,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

impl Seats {
    pub(crate) fn new(connections: usize, per_address: usize) -> Arc<Self> {
        Arc::new(Self {
            all: Arc::new(Semaphore::new(connections)),
            per_address,
            taken: Mutex::new(HashMap::new()),
        })
    }

    /// A seat for a connection; `None` if there is none left: the connection is closed at once.
    fn take(self: &Arc<Self>, address: IpAddr) -> Option<Seat> {
        let address = neighbourhood(address);
        let permit = Arc::clone(&self.all).try_acquire_owned().ok()?;
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(address).or_insert(0);
        if *count >= self.per_address {
            return None;
        }
        *count += 1;
        Some(Seat {
            seats: Arc::clone(self),
            address,
            _permit: permit,
        })
    }
}

/// What counts as one address: of IPv6 the network of 64 bits, all of which one subscriber holds.
pub(crate) fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address => address,
    }
}

struct Seat {
    seats: Arc<Seats>,
    address: IpAddr,
    _permit: tokio::sync::OwnedSemaphorePermit,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

impl Listening {
    /// Serves until `stop` becomes true, then waits for connections to end, [`DRAIN`] at most.
    pub(crate) async fn serve(self, mut stop: watch::Receiver<bool>) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = connection::stopped(&mut stop) => break,
                accepted = self.listener.accept() => accepted,
                Some(_) = connections.join_next() => continue,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, or a connection that ended in the queue: pause, so that the loop does not spin.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Some(seat) = self.seats.take(address.ip()) else {
                metrics::counter!(crate::observe::CONNECTIONS_REFUSED).increment(1);
                continue;
            };
            let serving = connection::Serving {
                face: self.face,
                tls: self.tls.clone(),
                router: self.router.clone(),
                context: self.context.clone(),
                address,
                stop: stop.clone(),
            };
            connections.spawn(async move {
                let _seat = seat;
                serving.run(stream).await;
            });
        }
        drop(self.listener);
        let drained = tokio::time::timeout(DRAIN, async { while connections.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            tracing::warn!(open = connections.len(), "connections were cut at the end of the stop");
        }
    }
}

/// Binds a listener.
///
/// # Errors
/// What the system says, with the address.
pub(crate) async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .map_err(|error| std::io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))
}

#[cfg(test)]
mod tests;
