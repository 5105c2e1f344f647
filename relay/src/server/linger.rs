//! An answer that is given while a body still arrives, and reaches a client that reads only after it has written all.
//!
//! A socket that is closed with bytes unread is reset, and the reset overtakes the answer. So the end of an HTTP/1 connection waits for
//! the rest of such a body, and throws it away: not for ever, and not for any number of bytes. HTTP/2 ends the stream alone.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Bytes thrown away at most.
const MOST: u64 = 64 << 20;
/// How long in all.
const LONGEST: Duration = Duration::from_secs(15);
/// How long after the last byte: who has written all has an answer to read, and then closes.
const SILENCE: Duration = Duration::from_secs(3);
/// What is left of a body that HTTP itself reads to its end.
const LITTLE: u64 = 16 << 10;
const PIECE: usize = 16 << 10;

/// How much of a request's body has not been read.
#[derive(Clone, Default)]
pub(super) struct Left(Arc<AtomicU64>);

impl Left {
    /// Whether the connection cannot go on with another request after the answer.
    pub(super) fn is_much(&self) -> bool {
        self.0.load(Ordering::Relaxed) > LITTLE
    }
}

/// A request's body that tells what is left of it, whoever drops it.
pub(super) struct Counted {
    inner: Incoming,
    left: Left,
}

impl Counted {
    pub(super) fn new(inner: Incoming) -> (Self, Left) {
        let left = Left::default();
        let counted = Self {
            inner,
            left: left.clone(),
        };
        counted.count();
        (counted, left)
    }

    fn count(&self) {
        let left = match self.inner.is_end_stream() {
            true => 0,
            false => self.inner.size_hint().upper().unwrap_or(u64::MAX),
        };
        self.left.0.store(left, Ordering::Relaxed);
    }
}

impl Body for Counted {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let polled = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        match &polled {
            // Nothing comes any more: at its end, or because the line broke.
            None | Some(Err(_)) => self.left.0.store(0, Ordering::Relaxed),
            Some(Ok(_)) => self.count(),
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Set once an answer has been given while a body still arrives.
#[derive(Clone, Default)]
pub(super) struct Wanted(Arc<AtomicBool>);

impl Wanted {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The end of a connection: what still arrives is read and thrown away.
#[derive(Default)]
pub(super) struct Linger {
    pub(super) wanted: Wanted,
    under_way: Option<UnderWay>,
}

struct UnderWay {
    until: Instant,
    timer: Pin<Box<Sleep>>,
    thrown_away: u64,
}

impl Linger {
    /// Ready when the other side has closed, or enough was waited. Asked only after the own side has been shut.
    pub(super) fn poll(&mut self, stream: &mut (impl AsyncRead + Unpin), cx: &mut Context<'_>) -> Poll<()> {
        if !self.wanted.0.load(Ordering::Relaxed) {
            return Poll::Ready(());
        }
        let now = Instant::now();
        let under_way = self.under_way.get_or_insert_with(|| UnderWay {
            until: now + LONGEST,
            timer: Box::pin(tokio::time::sleep_until(now + SILENCE)),
            thrown_away: 0,
        });
        let mut piece = [0; PIECE];
        loop {
            if under_way.timer.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let mut piece = ReadBuf::new(&mut piece);
            match ready!(Pin::new(&mut *stream).poll_read(cx, &mut piece)) {
                Ok(()) if !piece.filled().is_empty() => {}
                Ok(()) | Err(_) => return Poll::Ready(()),
            }
            under_way.thrown_away += piece.filled().len() as u64;
            if under_way.thrown_away > MOST {
                return Poll::Ready(());
            }
            let silent = Instant::now() + SILENCE;
            under_way.timer.as_mut().reset(silent.min(under_way.until));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncWriteExt as _;

    use super::*;

    /// How long the end of a connection waits for one who writes so.
    async fn waits(wanted: bool, piece: &'static [u8], pause: Duration) -> Duration {
        let (mut ours, mut theirs) = tokio::io::duplex(1 << 16);
        let writing = tokio::spawn(async move {
            while theirs.write_all(piece).await.is_ok() {
                tokio::time::sleep(pause).await;
            }
        });
        let mut linger = Linger::default();
        if wanted {
            linger.wanted.set();
        }
        let began = Instant::now();
        poll_fn(|cx| linger.poll(&mut ours, cx)).await;
        writing.abort();
        began.elapsed()
    }

    #[tokio::test]
    async fn who_never_stops_writing_is_let_go() {
        let (second, slack) = (Duration::from_secs(1), Duration::from_secs(10));
        let (unasked, much, little, silent) = tokio::join!(
            waits(false, b"a", second),
            waits(true, &[0; 1 << 16], Duration::ZERO),
            waits(true, b"a", second),
            waits(true, b"a", Duration::from_secs(600)),
        );
        assert!(unasked < second, "{unasked:?}");
        assert!(much < LONGEST - second, "by its bytes: {much:?}");
        assert!(
            little >= LONGEST - second && little < LONGEST + slack,
            "by the time in all: {little:?}"
        );
        assert!(
            silent >= SILENCE && silent < SILENCE + slack,
            "by its silence: {silent:?}"
        );
    }
}
