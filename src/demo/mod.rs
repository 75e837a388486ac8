//! `sipedge demo`: the edge, three backends and a caller in one process, on loopback, for about 20 seconds.
//!
//! Owns: the arguments and the course of the show. It stands on top of everything: it may name any part of the crate, and
//! only the command line names it.

use std::io::{self, IsTerminal as _};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use call::Plan;
use caller::{Caller, Event, Schedule};
use clock::Clock;
use edge::DemoEdge;
use promises::{Evidence, Judgement, Removal, judge};
use tally::{SECONDS_MAX, Tally};
use uas::Uas;
use view::View;

mod call;
mod caller;
mod clock;
mod edge;
mod message;
mod plot;
mod promises;
mod record;
mod summary;
mod tally;
mod uas;
mod view;

/// What can be chosen.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// For how many seconds calls are started; the last of them end a little later.
    #[arg(long, default_value_t = 18, value_parser = clap::value_parser!(u64).range(4..SECONDS_MAX as u64))]
    seconds: u64,
    /// Calls per second.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(10..=5000))]
    rate: u32,
    /// Where the plot goes.
    #[arg(long, value_name = "FILE", default_value = "demo.svg")]
    svg: PathBuf,
    /// Plain text: no colours, and a line per second instead of a live view.
    #[arg(long)]
    no_color: bool,
}

/// Backends of the demo.
const BACKENDS: usize = 3;
/// The one that leaves half way: b.
const LEAVES: usize = 1;
/// How long calls last, in milliseconds.
const HOLD_MS: std::ops::Range<u64> = 500..2500;
/// From the start of the parts to the first call.
const LEAD: Duration = Duration::from_millis(300);
/// How often the view is drawn.
const REDRAW: Duration = Duration::from_millis(200);

/// Runs the show; success only if every promise held.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    match show(args) {
        Ok(judgements) if judgements.iter().all(|judgement| judgement.held) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("sipedge demo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn show(args: &Args) -> Result<Vec<Judgement>, String> {
    let plain = |error: io::Error| format!("cannot start: {error}");
    let colored = !args.no_color && io::stdout().is_terminal();
    let clock = Clock::start();
    let uases: Result<Vec<Uas>, io::Error> =
        (0..BACKENDS).map(|index| Uas::start(index, clock)).collect();
    let uases = uases.map_err(plain)?;
    let addresses: Vec<SocketAddr> = uases.iter().map(|uas| uas.address).collect();
    let socket = bind_loopback().map_err(plain)?;
    let caller_address = socket.local_addr().map_err(plain)?;
    let mut edge = DemoEdge::start(&addresses)?;
    println!("{}", edge.introduction(caller_address));

    let plan = Plan {
        caller: caller_address,
        edge: edge.address,
        hold_ms: HOLD_MS,
        gives_up_after: 64 * T1,
    };
    let start = clock.now() + LEAD;
    let length = Duration::from_secs(args.seconds);
    let schedule = Schedule { start, end: start + length, rate: args.rate };
    let (caller, events) = Caller::start(socket, plan, schedule, clock).map_err(plain)?;
    let mut tally = Tally::new(start, BACKENDS);
    let mut view = View::new(colored, length, BACKENDS);
    let removal = follow(&events, clock, &mut edge, &mut tally, &mut view, start + length / 2)?;
    view.end();

    let outcome = caller.join();
    let books = uases.into_iter().map(Uas::stop).collect();
    let counted = edge.stop();
    let evidence = Evidence {
        started: tally.started,
        records: outcome.records,
        caller_stray: outcome.stray,
        books,
        removal,
        drops: edge::drops(&counted),
    };
    let judgements = judge(&evidence);
    println!("{}", summary::text(&tally, &evidence, &counted, &judgements, colored));
    let figure = summary::figure(&tally, &evidence, &counted, args);
    std::fs::write(&args.svg, plot::render(&figure))
        .map_err(|error| format!("cannot write the plot {}: {error}", args.svg.display()))?;
    println!("latency plot: {}", args.svg.display());
    Ok(judgements)
}

/// Follows the calls until all are over, and takes a backend out at `removal_at`.
fn follow(
    events: &Receiver<Event>,
    clock: Clock,
    edge: &mut DemoEdge,
    tally: &mut Tally,
    view: &mut View,
    removal_at: Duration,
) -> Result<Option<Removal>, String> {
    let mut removal: Option<Removal> = None;
    let mut draw_at = clock.now();
    loop {
        match events.recv_timeout(REDRAW) {
            Ok(event) => tally.add(&event),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(removal),
        }
        let now = clock.now();
        if removal.is_none() && now >= removal_at {
            let asked = now;
            let keys = edge.remove(LEAVES)?;
            removal = Some(Removal { backend: LEAVES, asked, effective: clock.now(), keys });
        }
        if now >= draw_at {
            draw_at = now + REDRAW;
            view.draw(tally, now.saturating_sub(tally.origin()), removal.as_ref());
        }
    }
}

/// RFC 3261 17.1.1.1: estimate of the round-trip time.
const T1: Duration = Duration::from_millis(500);
/// RFC 3261 17.1.2.2: longest interval between retransmissions.
const T2: Duration = Duration::from_secs(4);
/// Larger than any datagram of the demo.
const DATAGRAM_BYTES_MAX: usize = 65_536;
/// What is asked of the kernel for each socket's receive buffer, in bytes; it may give less.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// The name of backend number `index`: a, b, c.
fn name_of(index: usize) -> char {
    u8::try_from(index).map_or('?', |index| char::from(b'a'.saturating_add(index)))
}

/// The number of the backend with this name.
fn index_of(name: &str) -> Option<usize> {
    match name.as_bytes() {
        [letter @ b'a'..=b'z'] => Some(usize::from(letter - b'a')),
        _ => None,
    }
}

/// A UDP socket on a free port of 127.0.0.1 with a generous receive buffer.
fn bind_loopback() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    socket2::SockRef::from(&socket).set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    Ok(socket)
}
