//! `sipedge-onlookers`: those who watch a node while it is measured. Event streams that stay open and are read, looks at
//! `/metrics` and the pools many times a second, and a HEP sink that takes nothing.
//!
//! Owns: being there, all the time that a run takes. It says `ready` when every stream has had its first event, and ends
//! with an error when a stream was lost, a look failed, a stream stood still or nobody traced into the sink: a run
//! beside it would claim what was not so.

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
use signal_hook::consts::SIGTERM;

/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Events that one wait may report.
const EVENTS_AT_ONCE: usize = 256;
/// What begins each event of a stream.
const EVENT: &[u8] = b"event: snapshot";
/// What is looked at, in turn.
const PLACES: [&str; 2] = ["/metrics", "/api/v1/pools"];
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
    bytes: u64,
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
    let timer = timer(arguments.looks_per_second)?;
    add(&epoll, &timer, TIMER)?;

    let mut seen = Seen::default();
    let mut is_ready = false;
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
                    let _ = timer.wait();
                    PLACES.iter().for_each(|place| seen.look(arguments.admin, place));
                }
                number => seen.read(&mut streams, number),
            }
        }
        if !is_ready && streams.values().all(|stream| stream.events > 0) {
            is_ready = true;
            println!("ready");
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
    fn look(&mut self, admin: SocketAddr, place: &str) {
        let mut answer = vec![];
        let read = ask(admin, place).and_then(|mut socket| {
            socket.read_to_end(&mut answer).map_err(|error| format!("{place}: {error}"))
        });
        self.bytes += answer.len() as u64;
        match read {
            Ok(_) if answer.starts_with(b"HTTP/1.1 200") => self.looks += 1,
            Ok(_) => self.failures.push(format!(
                "{place}: {}",
                String::from_utf8_lossy(&answer[..answer.len().min(100)])
            )),
            Err(error) => self.failures.push(error),
        }
    }

    /// Reads what came on a stream, and forgets one that has ended.
    fn read(&mut self, streams: &mut HashMap<u64, Stream>, number: u64) {
        let Some(stream) = streams.get_mut(&number) else { return };
        let mut piece = [0; 65_536];
        loop {
            match stream.socket.read(&mut piece) {
                Ok(0) => break,
                Ok(size) => {
                    self.bytes += size as u64;
                    stream.take(&piece[..size]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.failures.push(format!("stream {number} ended after {} events", stream.events));
        streams.remove(&number);
    }

    /// What was seen, in a line; an error when it was not what this program is for.
    fn judge(mut self, streams: &HashMap<u64, Stream>, sink: &UdpSocket) -> Result<(), String> {
        let silent = streams.values().filter(|stream| stream.events < 2).count();
        if silent > 0 {
            self.failures.push(format!("{silent} streams stood still"));
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
            "{} streams, {events} events, {} looks, {} bytes read, {held} HEP packets lay in the sink",
            streams.len(),
            self.looks,
            self.bytes
        );
        match self.failures.as_slice() {
            [] => Ok(()),
            [first, ..] => Err(format!("{} failures, the first: {first}", self.failures.len())),
        }
    }
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
