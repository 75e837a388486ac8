//! Connections of the admin listener, bounded in number and time, so that nobody holds it against others.
//!
//! Owns: accepting over TCP and the unix socket, the deadlines of a connection, and that a newcomer finds a place. The
//! numbers are in `places`. Knows nothing of HTTP but that a connection has a request under way or has become a stream.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::places::{Place, Places};

/// How long a connection may be quiet between requests.
const IDLE_MAX: Duration = Duration::from_secs(15);
/// How long one may last, unless it is a stream: a scraper simply connects again.
const PLAIN_MAX: Duration = Duration::from_secs(120);
/// How long a stream's reader may leave bytes in our hands.
const STALL_MAX: Duration = Duration::from_secs(5);
/// How long to wait after a failed accept (no file descriptors left, for example).
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// What the kernel may hold for a reader that is slow. Bytes.
const SEND_BUFFER_BYTES: usize = 256 << 10;

/// How long a connection may be what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) idle_max: Duration,
    pub(super) plain_max: Duration,
    pub(super) stall_max: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self { idle_max: IDLE_MAX, plain_max: PLAIN_MAX, stall_max: STALL_MAX }
    }
}

/// What is listened on.
pub(super) enum Source {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Accepts within the bounds.
pub(super) struct Bounded {
    source: Source,
    places: Arc<Places>,
    times: Times,
}

impl Bounded {
    pub(super) const fn new(source: Source, places: Arc<Places>, times: Times) -> Self {
        Self { source, places, times }
    }

    async fn next(&self) -> io::Result<Pipe> {
        match &self.source {
            Source::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                let _ = stream.set_nodelay(true);
                let _ = socket2::SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER_BYTES);
                Ok(Pipe::Tcp(stream))
            }
            Source::Unix(listener) => Ok(Pipe::Unix(listener.accept().await?.0)),
        }
    }
}

impl axum::serve::Listener for Bounded {
    type Io = Connection;
    type Addr = String;

    async fn accept(&mut self) -> (Connection, String) {
        loop {
            match self.next().await {
                Ok(pipe) => {
                    let is_local = matches!(pipe, Pipe::Unix(_));
                    let (place, evicted) = self.places.take(is_local).await;
                    return (Connection::new(pipe, place, evicted, self.times), String::new());
                }
                Err(_) => {
                    // The likeliest reason is that no file descriptor is left: who is quiet gives his back.
                    self.places.evict_the_quietest(Duration::ZERO, false);
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<String> {
        match &self.source {
            Source::Tcp(listener) => {
                listener.local_addr().map(|address: SocketAddr| address.to_string())
            }
            Source::Unix(listener) => listener.local_addr().map(|address| format!("{address:?}")),
        }
    }
}

/// Whose request it is.
#[derive(Clone)]
pub(super) struct Peer(pub(super) Arc<Place>);

impl Connected<IncomingStream<'_, Bounded>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Bounded>) -> Self {
        Self(Arc::clone(&stream.io().place))
    }
}

enum Pipe {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A connection that ends with an error at its deadline, or when its place is given to another.
pub(super) struct Connection {
    pipe: Pipe,
    place: Arc<Place>,
    evicted: oneshot::Receiver<()>,
    times: Times,
    opened: Instant,
    stalled_since: Option<Instant>,
    /// Never later than what is due; when it fires, what is due is looked up.
    alarm: Pin<Box<Sleep>>,
}

impl Connection {
    fn new(pipe: Pipe, place: Arc<Place>, evicted: oneshot::Receiver<()>, times: Times) -> Self {
        let opened = Instant::now();
        let alarm = Box::pin(sleep_until(opened + times.idle_max.min(times.stall_max)));
        Self { pipe, place, evicted, times, opened, stalled_since: None, alarm }
    }

    /// Ready when it is over; else wakes the task in time.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if Pin::new(&mut self.evicted).poll(cx).is_ready() {
            return Poll::Ready(());
        }
        loop {
            ready!(self.alarm.as_mut().poll(cx));
            let (now, due) = (Instant::now(), self.due());
            if due <= now {
                return Poll::Ready(());
            }
            // A deadline may come nearer while the alarm waits, by as much as the shortest of the times.
            self.alarm.as_mut().reset(due.min(now + self.times.stall_max.min(self.times.idle_max)));
        }
    }

    fn due(&self) -> Instant {
        let stalled = self.stalled_since.map(|since| since + self.times.stall_max);
        let far = Instant::now() + self.times.plain_max;
        let quiet = match (self.place.is_stream(), self.place.is_busy()) {
            (true, _) => far,
            (false, true) => self.opened + self.times.plain_max,
            (false, false) => {
                (self.place.used_at() + self.times.idle_max).min(self.opened + self.times.plain_max)
            }
        };
        stalled.map_or(quiet, |stalled| stalled.min(quiet))
    }
}

fn over() -> io::Error {
    io::Error::from(io::ErrorKind::TimedOut)
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.poll_over(cx).is_ready() {
            return Poll::Ready(Err(over()));
        }
        let done = match &mut self.pipe {
            Pipe::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Pipe::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        };
        self.place.read(done.is_pending());
        if done.is_ready() {
            self.place.touch();
        }
        done
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.poll_over(cx).is_ready() {
            return Poll::Ready(Err(over()));
        }
        let done = match &mut self.pipe {
            Pipe::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Pipe::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        };
        if done.is_ready() {
            self.place.touch();
            self.stalled_since = None;
        } else {
            self.stalled_since.get_or_insert_with(Instant::now);
        }
        done
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.pipe {
            Pipe::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Pipe::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.pipe {
            Pipe::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Pipe::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
