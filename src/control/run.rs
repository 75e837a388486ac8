//! `sipedge run`: starts the shards and the admin page, waits for signals, drains and ends.
//!
//! Owns: the order of start and end, and the log lines that tell them. It builds the table and hands it over; from
//! then on it only waits. Times are those of the operating system; nothing here is on the way of a message.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tracing::{error, info, warn};

use super::admin::metrics::{Labels, PoolLabels};
use super::admin::{self, Page};
use super::compile;
use super::config::problem::{Problems, Severity};
use super::config::{Config, secret};
use super::summary;
use super::trace::Traces;
use crate::datapath::{self, Options, Shards};
use crate::sip::DropReason;
use crate::sip::route::table::{SHARDS_MAX, Table};

/// How long the shards may take to handle what waits in their sockets.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(5);
/// How often we look whether a shard has ended by itself.
const WATCH_EVERY: Duration = Duration::from_millis(500);
/// What a second SIGTERM or SIGINT ends with: what was queued may be lost.
const EXIT_CUT_SHORT: i32 = 1;

/// How long the admin page waits for this thread; the shards have a second of that.
const SNAPSHOT_TIME_MAX: Duration = Duration::from_secs(3);

/// What this thread, which owns the shards, is told by others.
enum Event {
    /// A signal came.
    Signal(i32),
    /// The admin page wants the counters.
    Snapshot(Sender<Result<datapath::Snapshot, String>>),
}

/// Runs `config` until it is told to end.
pub fn run(config: &Config, problems: &Problems) -> Result<(), String> {
    let ending = Arc::new(AtomicBool::new(false));
    // Before anything runs: from here on a signal is an orderly end.
    let (sender, events) = channel();
    watch_signals(sender.clone(), &ending)?;
    tell_start(config, problems);
    let options = options(config);
    let shards = u8::try_from(options.shards).map_err(|_| "too many shards".to_owned())?;
    let table = Arc::new(Table::new(compile::table(config, shards)?));
    let seed: [u8; 8] =
        secret::random_bytes().map_err(|error| format!("no random seed: {error}"))?;
    let mut shards = Shards::start(&options, &table, u64::from_ne_bytes(seed))
        .map_err(|error| format!("the shards cannot start: {error}"))?;
    for line in shards.report().lines() {
        info!("{line}");
    }
    let traces = Traces::start(&config.trace, &config.node.name, shards.taps())?;
    shards.trace(&traces.adopt(&table)).map_err(|error| error.to_string())?;
    let page = Arc::new(page(config, &table, sender));
    if let Some(address) = config.admin {
        let address = admin::start(address, Arc::clone(&page))?;
        info!("admin page on http://{address}/metrics and /healthz");
    }
    info!("ready");
    let result = wait(&events, &mut shards);
    ending.store(true, Ordering::Relaxed);
    page.draining.store(true, Ordering::Relaxed);
    // Whoever asks from here on is told at once that nobody answers.
    drop(events);
    drain(shards);
    // What was copied until now is written.
    drop(traces);
    result
}

/// Waits for the signal to end (fine), or for a shard that ends by itself (an error).
fn wait(events: &Receiver<Event>, shards: &mut Shards) -> Result<(), String> {
    loop {
        match events.recv_timeout(WATCH_EVERY) {
            Ok(Event::Snapshot(answer)) => {
                // The asker may have given up.
                let _ = answer.send(shards.snapshot().map_err(|error| error.to_string()));
            }
            Ok(Event::Signal(SIGHUP)) => {
                warn!("SIGHUP: reload comes later; restart to use a changed configuration");
            }
            Ok(Event::Signal(signal)) => {
                let name = if signal == SIGINT { "SIGINT" } else { "SIGTERM" };
                info!("{name}: draining; a second one ends at once");
                return Ok(());
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err("no signals can be had".to_owned()),
        }
        if !shards.all_running() {
            error!("a shard has ended by itself: its ring or its sockets failed");
            return Err("a shard has ended by itself".to_owned());
        }
    }
}

fn drain(shards: Shards) {
    let sum = shards.drain(DRAIN_TIME_MAX).merged();
    let dropped: u64 = DropReason::ALL.iter().map(|&reason| sum.dropped(reason)).sum();
    info!("ended: {} messages received, {} sent, {dropped} dropped", sum.received, sum.sent);
}

fn watch_signals(events: Sender<Event>, ending: &Arc<AtomicBool>) -> Result<(), String> {
    let plain = |error: std::io::Error| format!("signals cannot be watched: {error}");
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(plain)?;
    let ending = Arc::clone(ending);
    let mut told = false;
    let watch = move || {
        for signal in signals.forever() {
            if signal != SIGHUP && (told || ending.load(Ordering::Relaxed)) {
                std::process::exit(EXIT_CUT_SHORT);
            }
            told |= signal != SIGHUP;
            // While draining nobody listens, but a second signal still counts.
            let _ = events.send(Event::Signal(signal));
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(watch).map_err(plain)?;
    Ok(())
}

fn tell_start(config: &Config, problems: &Problems) {
    info!("sipedge {} starts", env!("CARGO_PKG_VERSION"));
    for problem in problems.sorted() {
        if problem.severity == Severity::Warning {
            warn!("{}: {}; {}", problems.place(problem), problem.message, problem.help);
        }
    }
    for line in summary::text(config).lines() {
        info!("{line}");
    }
    if config.node.keys_by_chance {
        warn!(
            "no keys are configured: what this node seals into messages can be opened by no other node, and not \
             after a restart; dialogs that stand then lose their way. Write keys into [node]: \
             keys = [{{ id = 1, secret = \"env:SIPEDGE_KEY\" }}]"
        );
    }
}

fn options(config: &Config) -> Options {
    let node = &config.node;
    let limits = &config.shard_limits;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let automatic = if node.cores.is_empty() { cores.min(SHARDS_MAX) } else { node.cores.len() };
    Options {
        shards: node.shards.map_or(automatic, usize::from),
        cores: (!node.cores.is_empty()).then(|| node.cores.clone()),
        io: node.io,
        steering: node.steering,
        send_queue_max: limits.send_queue_max,
        receive_buffers: limits.receive_buffers,
        socket_buffer_bytes: limits.socket_buffer_bytes,
    }
}

fn page(config: &Config, table: &Table, events: Sender<Event>) -> Page {
    let snapshot = move || {
        let (answer, counters) = channel();
        let ended = "the shards have ended";
        events.send(Event::Snapshot(answer)).map_err(|_| ended.to_owned())?;
        counters.recv_timeout(SNAPSHOT_TIME_MAX).map_err(|_| ended.to_owned())?
    };
    let labels = Labels {
        node: config.node.name.clone(),
        listeners: config.listeners.iter().map(|listener| listener.name.clone()).collect(),
        pools: table.pools.iter().map(PoolLabels::new).collect(),
        rules: config.rules.len(),
    };
    Page { labels, draining: AtomicBool::new(false), snapshot: Box::new(snapshot) }
}
