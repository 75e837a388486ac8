//! The event stream: one JSON snapshot a second, made once, the same bytes for all who listen.
//!
//! Owns: who listens, and that a slow one is cut: it holds [`QUEUE_MAX`] snapshots, and misses [`MISSED_MAX`] at most. With
//! many listeners and large snapshots there are fewer of them, so that no more than [`BYTES_PER_SECOND_MAX`] go out.
//! The form is that of Server-Sent Events (WHATWG HTML 9.2).

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Bytes, HttpBody};
use http_body::Frame;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Snapshots that wait for a listener.
const QUEUE_MAX: usize = 2;
/// Snapshots in a row that a listener may miss until it is cut.
const MISSED_MAX: u8 = 4;
/// What all listeners together get. Bytes.
const BYTES_PER_SECOND_MAX: usize = 32 << 20;
/// Listeners that are served at once; then the thread pauses, so that shards on the same core are not held up.
const BURST: usize = 16;
/// That pause.
const BURST_PAUSE: Duration = Duration::from_millis(5);

#[expect(
    clippy::disallowed_types,
    reason = "the admin thread alone takes it, for a push or a swap"
)]
type Lock<T> = std::sync::Mutex<T>;

/// Who listens.
#[derive(Default)]
pub(super) struct Listeners {
    all: Lock<Vec<Listener>>,
    latest: Lock<Option<Bytes>>,
}

struct Listener {
    sender: Sender<Bytes>,
    missed: u8,
}

/// What a listener is sent.
pub(super) struct Stream {
    receiver: Receiver<Bytes>,
}

impl Listeners {
    /// A new listener; it gets the latest snapshot at once.
    pub(super) fn join(&self) -> Stream {
        let (sender, receiver) = channel(QUEUE_MAX);
        if let Some(latest) =
            self.latest.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
        {
            // There is room: it is the first one.
            let _ = sender.try_send(latest);
        }
        self.lock().push(Listener { sender, missed: 0 });
        Stream { receiver }
    }

    /// Gives `event` to all.
    pub(super) async fn publish(&self, event: Bytes) {
        *self.latest.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
            Some(event.clone());
        let mut all = std::mem::take(&mut *self.lock());
        let mut kept = Vec::with_capacity(all.len());
        for (index, mut listener) in all.drain(..).enumerate() {
            if index % BURST == BURST - 1 {
                tokio::time::sleep(BURST_PAUSE).await;
            }
            match listener.sender.try_send(event.clone()) {
                Ok(()) => listener.missed = 0,
                Err(TrySendError::Full(_)) => listener.missed += 1,
                Err(TrySendError::Closed(_)) => continue,
            }
            if listener.missed <= MISSED_MAX {
                kept.push(listener);
            }
        }
        // Who joined meanwhile is there already.
        self.lock().append(&mut kept);
    }

    /// Seconds from one snapshot of this size to the next.
    pub(super) fn pause_seconds(&self, bytes: usize) -> u32 {
        let count = self.lock().len();
        u32::try_from((bytes * count).div_ceil(BYTES_PER_SECOND_MAX)).unwrap_or(u32::MAX).max(1)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Listener>> {
        self.all.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// One event of the stream. JSON as serde writes it has no line end.
pub(super) fn event(json: &[u8]) -> Bytes {
    [b"event: snapshot\ndata: ", json, b"\n\n"].concat().into()
}

impl HttpBody for Stream {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.receiver.poll_recv(cx).map(|event| event.map(|event| Ok(Frame::data(event))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    #[test]
    fn all_get_the_same_bytes_and_a_newcomer_the_latest() {
        wait(async {
            let listeners = Listeners::default();
            let mut first = listeners.join();
            listeners.publish(event(b"{}")).await;
            let mut late = listeners.join();
            let (a, b) =
                (first.receiver.recv().await.unwrap(), late.receiver.recv().await.unwrap());
            assert_eq!(a, "event: snapshot\ndata: {}\n\n");
            // Not copies: the very same.
            assert_eq!(a.as_ptr(), b.as_ptr());
        });
    }

    #[test]
    fn who_does_not_read_is_cut_and_who_left_is_forgotten() {
        wait(async {
            let listeners = Listeners::default();
            let (mut slow, gone) = (listeners.join(), listeners.join());
            drop(gone);
            for _ in 0..QUEUE_MAX + usize::from(MISSED_MAX) {
                listeners.publish(event(b"1")).await;
                assert_eq!(listeners.lock().len(), 1);
            }
            listeners.publish(event(b"2")).await;
            assert!(listeners.lock().is_empty());
            for _ in 0..QUEUE_MAX {
                assert!(slow.receiver.recv().await.is_some());
            }
            assert!(slow.receiver.recv().await.is_none(), "the stream ends");
        });
    }

    #[test]
    fn large_snapshots_for_many_come_less_often() {
        let listeners = Listeners::default();
        let streams: Vec<Stream> = (0..1_000).map(|_| listeners.join()).collect();
        assert_eq!(listeners.pause_seconds(10_000), 1);
        assert_eq!(listeners.pause_seconds(1_000_000), 30);
        drop(streams);
    }
}
