//! `sipedge-onlookers`: those who watch a node while it is measured. Event streams that stay open, looks at `/metrics` and
//! the pools many times a second, and a HEP sink that takes nothing.
//!
//! Owns: being there, all the time that a run takes. It says `ready` when every stream has had its first event, and ends
//! with an error when a stream was lost or stood still, a look failed or did not happen, or nobody traced into the sink: a
//! run beside it would claim what was not so. It may be paused with the node (SIGSTOP): what was due then, nobody misses.

use std::collections::HashMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use signal_hook::consts::{SIGCONT, SIGTERM};

/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Events that one wait may report.
const EVENTS_AT_ONCE: usize = 256;
/// What begins each event of a stream.
const EVENT: &[u8] = b"event: snapshot";
/// What is looked at, in turn.
const PLACES: [&str; 2] = [METRICS, "/api/v1/pools"];
const METRICS: &str = "/metrics";
/// Less than this share of the looks that were due: somebody kept this program from its work.
const LOOKS_SHARE_MIN: f64 = 0.9;
/// Numbers of what is waited for, above those of the streams.
const TIMER: u64 = u64::MAX;
const END: u64 = u64::MAX - 1;

/// Watches a node over its admin listener until SIGTERM.
#[derive(Debug, Parser)]
#[command(name = "sipedge-onlookers")]
struct Arguments {
    /// The admin listener.
    #[arg(long)]
    admin: SocketAddr,
    /// Event streams that stay open.
    #[arg(long, default_value_t = 1_000)]
    streams: usize,
    /// Looks a second at each of `/metrics` and `/api/v1/pools`, each over a connection of its own.
    #[arg(long, default_value_t = 10)]
    looks_per_second: u32,
    /// Where a HEP sink is bound that takes nothing.
    #[arg(long)]
    sink: SocketAddr,
}

/// What was seen.
#[derive(Debug, Default)]
struct Seen {
    looks: u64,
    /// Looks that were due.
    due: u64,
    bytes: u64,
    /// The last answer of `/metrics`.
    metrics: String,
    failures: Vec<String>,
}

/// An event stream that is read.
#[derive(Debug)]
struct Stream {
    socket: TcpStream,
    /// The last bytes, as an event may begin in one piece and go on in the next.
    tail: Vec<u8>,
    events: u64,
}

fn main() -> ExitCode {
    match watch(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sipedge-onlookers: {error}");
            ExitCode::FAILURE
        }
    }
}

fn watch(arguments: &Arguments) -> Result<(), String> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).map_err(|e| e.to_string())?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).map_err(|e| e.to_string())?;
    let sink = UdpSocket::bind(arguments.sink).map_err(|e| format!("{}: {e}", arguments.sink))?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(|e| e.to_string())?;
    let mut streams = HashMap::new();
    for number in 0..arguments.streams as u64 {
        let socket = ask(arguments.admin, "/api/v1/events")?;
        socket.set_nonblocking(true).map_err(|e| e.to_string())?;
        add(&epoll, &socket, number)?;
        streams.insert(number, Stream { socket, tail: vec![], events: 0 });
    }
    let (told, tells) = std::os::unix::net::UnixStream::pair().map_err(|e| e.to_string())?;
    signal_hook::low_level::pipe::register(SIGTERM, tells).map_err(|e| e.to_string())?;
    add(&epoll, &told, END)?;
    let (mut woken, wakes) = std::os::unix::net::UnixStream::pair().map_err(|e| e.to_string())?;
    signal_hook::low_level::pipe::register(SIGCONT, wakes).map_err(|e| e.to_string())?;
    woken.set_nonblocking(true).map_err(|error| error.to_string())?;
    let timer = timer(arguments.looks_per_second)?;
    add(&epoll, &timer, TIMER)?;

    let mut seen = Seen::default();
    let mut waiting = streams.len();
    let mut stood_still = false;
    let mut ready_events = vec![EpollEvent::empty(); EVENTS_AT_ONCE];
    'watching: loop {
        let count = match epoll.wait(&mut ready_events, EpollTimeout::NONE) {
            Ok(count) => count,
            Err(nix::errno::Errno::EINTR) => continue,
            Err(error) => return Err(error.to_string()),
        };
        for event in &ready_events[..count] {
            match event.data() {
                END => break 'watching,
                TIMER => {
                    let due = fired(&timer)?;
                    // When it stood still, what was due meanwhile nobody wanted to see.
                    stood_still |= woken.read(&mut [0; 64]).is_ok();
                    seen.due += PLACES.len() as u64 * if stood_still { 1 } else { due };
                    stood_still = false;
                    for place in PLACES {
                        let failure = seen.look(arguments.admin, place).err();
                        // One in the midst of which both stood still is none: the node may have run out of time.
                        if failure.is_some() && woken.read(&mut [0; 64]).is_ok() {
                            seen.due -= 1;
                            stood_still = true;
                        } else {
                            seen.failures.extend(failure);
                        }
                    }
                }
                number => {
                    let is_first = seen.read(&mut streams, number);
                    waiting -= usize::from(is_first);
                    if is_first && waiting == 0 {
                        println!("ready");
                    }
                }
            }
        }
    }
    seen.judge(&streams, &sink)
}

/// A timer that fires so many times a second.
fn timer(per_second: u32) -> Result<TimerFd, String> {
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::empty());
    let timer = timer.map_err(|error| error.to_string())?;
    let every = Duration::from_secs(1) / per_second.max(1);
    let expiration = Expiration::Interval(TimeSpec::from_duration(every));
    timer.set(expiration, TimerSetTimeFlags::empty()).map_err(|error| error.to_string())?;
    Ok(timer)
}

/// How often it has fired since it was asked last.
fn fired(timer: &TimerFd) -> Result<u64, String> {
    let mut count = [0; 8];
    nix::unistd::read(timer, &mut count).map_err(|error| error.to_string())?;
    Ok(u64::from_ne_bytes(count))
}

fn add(epoll: &Epoll, what: &impl std::os::fd::AsFd, number: u64) -> Result<(), String> {
    let event = EpollEvent::new(EpollFlags::EPOLLIN, number);
    epoll.add(what.as_fd(), event).map_err(|error| error.to_string())
}

/// A connection on which this place was asked for.
fn ask(admin: SocketAddr, place: &str) -> Result<TcpStream, String> {
    let asked = || {
        let mut socket = TcpStream::connect_timeout(&admin, ANSWER_TIMEOUT)?;
        socket.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        let request = format!("GET {place} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes())?;
        Ok::<_, std::io::Error>(socket)
    };
    asked().map_err(|error| format!("{place}: {error}"))
}

impl Seen {
    /// One look at one place: the whole answer is read.
    fn look(&mut self, admin: SocketAddr, place: &str) -> Result<(), String> {
        let mut answer = vec![];
        let mut socket = ask(admin, place)?;
        socket.read_to_end(&mut answer).map_err(|error| format!("{place}: {error}"))?;
        self.bytes += answer.len() as u64;
        if !answer.starts_with(b"HTTP/1.1 200") {
            let start = String::from_utf8_lossy(&answer[..answer.len().min(100)]);
            return Err(format!("{place}: {start}"));
        }
        self.looks += 1;
        if place == METRICS {
            self.metrics = String::from_utf8_lossy(&answer).into_owned();
        }
        Ok(())
    }

    /// Reads what came on a stream, and forgets one that has ended. Whether its first event was there.
    fn read(&mut self, streams: &mut HashMap<u64, Stream>, number: u64) -> bool {
        let Some(stream) = streams.get_mut(&number) else { return false };
        let before = stream.events;
        let mut piece = [0; 65_536];
        loop {
            match stream.socket.read(&mut piece) {
                Ok(0) => break,
                Ok(size) => {
                    self.bytes += size as u64;
                    stream.take(&piece[..size]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return before == 0 && stream.events > 0;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.failures.push(format!("stream {number} ended after {} events", stream.events));
        streams.remove(&number);
        false
    }

    /// What was seen, in a line; an error when it was not what this program is for.
    fn judge(mut self, streams: &HashMap<u64, Stream>, sink: &UdpSocket) -> Result<(), String> {
        let silent = streams.values().filter(|stream| stream.events < 2).count();
        if silent > 0 {
            self.failures.push(format!("{silent} streams stood still"));
        }
        if (self.looks as f64) < self.due as f64 * LOOKS_SHARE_MIN {
            self.failures.push(format!("only {} of {} looks", self.looks, self.due));
        }
        sink.set_nonblocking(true).map_err(|error| error.to_string())?;
        let mut packet = [0; 65_536];
        let mut held = 0_u64;
        while sink.recv(&mut packet).is_ok_and(|size| packet[..size].starts_with(b"HEP3")) {
            held += 1;
        }
        if held == 0 {
            self.failures.push("nobody sent HEP to the sink".into());
        }
        let events: u64 = streams.values().map(|stream| stream.events).sum();
        println!(
            "{} streams, {events} events, {} looks, {} bytes read, {held} HEP packets lay in the sink; the node sent {} \
             copies there and lost {} before",
            streams.len(),
            self.looks,
            self.bytes,
            sum(&self.metrics, "sipedge_trace_records_total{sink=\"hep\"}"),
            sum(&self.metrics, "sipedge_traces_lost_total{"),
        );
        match self.failures.as_slice() {
            [] => Ok(()),
            [first, ..] => Err(format!("{} failures, the first: {first}", self.failures.len())),
        }
    }
}

/// The sum of all metrics whose names begin so.
fn sum(metrics: &str, name: &str) -> u64 {
    let lines = metrics.lines().filter(|line| line.starts_with(name));
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
}

impl Stream {
    /// Counts the events that begin in this piece, or in what was left of the last and this.
    fn take(&mut self, piece: &[u8]) {
        self.tail.extend_from_slice(piece);
        let begins = self.tail.windows(EVENT.len()).filter(|window| *window == EVENT).count();
        self.events += begins as u64;
        let kept = self.tail.len().min(EVENT.len() - 1);
        self.tail.drain(..self.tail.len() - kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn metrics_are_summed_over_shards() {
        let text =
            "lost_total{shard=\"0\"} 7\nlost_total{shard=\"1\"} 5\n# lost_total 3\nlost_totals 9\n";
        assert_eq!(sum(text, "lost_total{"), 12);
        assert_eq!(sum(text, "kept_total{"), 0);
    }

    #[test]
    fn an_event_in_two_pieces_is_one() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let socket = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
        let mut stream = Stream { socket, tail: vec![], events: 0 };
        let text = b"event: snapshot\ndata: {}\n\nevent: other\n\nevent: snapshot\ndata: {}\n\n";
        for cut in 0..text.len() {
            stream.events = 0;
            stream.tail.clear();
            stream.take(&text[..cut]);
            stream.take(&text[cut..]);
            assert_eq!(stream.events, 2, "cut at {cut}");
        }
    }
}
