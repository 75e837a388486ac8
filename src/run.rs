//! `sipedge run`: starts the shards, the admin page and the thread that owns the node; waits, drains and ends.
//!
//! Owns: the order of start and end, and the log lines that tell them. What happens in between is the node's.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tracing::{error, info, warn};

use crate::admin::{self, Page};
use crate::config::problem::{Problems, Severity};
use crate::config::{Admin, Config, secret};
use crate::control::event::{Ask, Command, Event};
use crate::control::fleet::{Fleet, Standing};
use crate::control::node::{Ending, Node, Parts};
use crate::control::notify::Notify;
use crate::control::resolve::{Known, Names};
use crate::control::{networks, summary};
use crate::datapath::{self, Options, Reports, Shards};
use crate::sip::route::table::{self, SHARDS_MAX, Table};
use crate::sip::{DropReason, ListenerId};
use crate::trace::Traces;

/// How long the shards may take to handle what waits in their sockets.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(5);
/// What a second SIGTERM or SIGINT ends with: what was queued may be lost.
const EXIT_CUT_SHORT: i32 = 1;
/// Events that may wait. Who sends more than the node takes in has to wait.
const EVENTS_MAX: usize = 1024;
/// How often a drain looks whether it is over.
const ENDING_EVERY: Duration = Duration::from_millis(100);
/// Where the kernel says which interfaces believe any source.
const RP_FILTERS: &str = "/proc/sys/net/ipv4/conf";
/// How long the reports' thread sleeps without a report.
const REPORTS_EVERY: Duration = Duration::from_secs(1);
/// From this many cores on, `shards = "auto"` leaves one to all that is no shard.
const CORES_TO_SHARE: usize = 4;

/// Runs `config`, which was read from `file`, until it is told to end.
///
/// # Errors
/// When it cannot start, or a shard ends by itself.
pub fn run(file: &Path, mut config: Config, problems: &Problems) -> Result<(), String> {
    config.sides = config.sides.with_learned(networks::learned(&config.listeners));
    let ending = Arc::new(AtomicBool::new(false));
    // Before anything runs: from here on a signal is an orderly end.
    let (sender, events) = sync_channel(EVENTS_MAX);
    watch_signals(sender.clone(), &ending)?;
    tell_start(&config, problems);
    // Each event stream of the page is an open file.
    let _ = datapath::raise_open_files();
    let options = options(&config);
    let count = u8::try_from(options.shards).map_err(|_| "too many shards".to_owned())?;
    let fleet = Fleet::new(&config, &Known::default())?;
    let table =
        Arc::new(Table::new(fleet.parts(&config, count, &|_, member| Standing::declared(member))));
    let seed: [u8; 8] =
        secret::random_bytes().map_err(|error| format!("no random seed: {error}"))?;
    let seed = u64::from_ne_bytes(seed);
    let mut shards = Shards::start(&options, &table, seed)
        .map_err(|error| format!("the shards cannot start: {error}"))?;
    for line in shards.report().lines() {
        info!("{line}");
    }
    let shares_cores = leave_cores(&shards);
    let traces = Traces::start(&config.trace, &config.node.name, shards.taps(), shares_cores)?;
    let Admin { listen, socket, .. } = &config.admin;
    let page = Arc::new(Page::new(sender.clone(), &config.node.name, &config.admin));
    let mut served = None;
    if listen.is_some() || socket.is_some() {
        let started = admin::start(*listen, socket.as_deref(), Arc::clone(&page), shares_cores)?;
        if let Some(address) = started.address {
            info!("admin page on http://{address}/, also /api/v1, /metrics and /healthz");
        }
        served = Some(started);
        socket.iter().for_each(|path| info!("admin socket at {}", path.display()));
    }
    pass_on_reports(shards.reports(), sender.clone())?;
    let names = watch_names(&config, sender)?;
    let file = file.to_owned();
    let parts = Parts { file, config, fleet, names, shards, table, traces, seed };
    let mut node = Node::new(parts);
    let notify = Notify::from_environment();
    info!("ready");
    notify.ready();
    notify.status(&node.status_line());
    let result = wait(&events, &mut node, &notify);
    notify.stopping();
    page.draining.store(true, Ordering::Relaxed);
    if result.is_ok() {
        drain(&events, &mut node);
    }
    ending.store(true, Ordering::Relaxed);
    // Whoever asks from here on is told at once that nobody answers.
    drop(events);
    let (shards, traces) = node.into_parts();
    let sum = shards.drain(DRAIN_TIME_MAX).merged();
    let dropped: u64 = DropReason::ALL.iter().map(|&reason| sum.dropped(reason)).sum();
    info!("ended: {} messages received, {} sent, {dropped} dropped", sum.received, sum.sent);
    // What was copied until now is written, and the socket's file goes.
    drop((traces, served));
    result
}

/// Leaves the cores of the shards to them, where this process has others; whether it still shares them.
fn leave_cores(shards: &Shards) -> bool {
    let report = shards.report();
    let taken: Vec<usize> = report.cores.iter().flatten().copied().collect();
    match datapath::keep_off(&taken) {
        Ok(left) if left.is_empty() => {
            info!("page and traces run on the shards' cores, and give way to them");
            true
        }
        // Shards that are not pinned run anywhere.
        Ok(_) if taken.len() < report.shards => true,
        Ok(left) => {
            let left: Vec<_> = left.iter().map(usize::to_string).collect();
            info!("page, probes and traces keep off them: they run on cores {}", left.join(", "));
            false
        }
        Err(error) => {
            warn!("page and traces may run on the shards' cores: {error}");
            true
        }
    }
}

/// Waits for the wish to end (fine), or for a shard that ends by itself (an error).
fn wait(events: &Receiver<Event>, node: &mut Node, notify: &Notify) -> Result<(), String> {
    let mut status = String::new();
    let (mut next, mut in_a_row) = (None, 0);
    loop {
        let wait = || events.recv_timeout(node.time_to_wait());
        match next.take().map_or_else(wait, Ok) {
            Ok(Event::Signal(SIGHUP)) => {
                info!("SIGHUP: reading the configuration again");
                notify.reloading();
                node.reload();
                notify.ready();
            }
            Ok(Event::Signal(signal)) => {
                let name = if signal == SIGINT { "SIGINT" } else { "SIGTERM" };
                info!("{name}: draining; a second one ends at once");
                return Ok(());
            }
            Ok(event) => {
                let ends = matches!(event, Event::Ask(Ask::Do(Command::DrainNode, _)));
                node.on(event);
                if ends {
                    info!("draining, as asked for; a signal ends at once");
                    return Ok(());
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err("no signals can be had".to_owned()),
        }
        // An answer that came in time and waits here is heard before its probe is called late.
        next = if in_a_row < EVENTS_MAX { events.try_recv().ok() } else { None };
        if next.is_some() {
            in_a_row += 1;
            continue;
        }
        in_a_row = 0;
        node.tick();
        if !node.is_whole() {
            error!("a shard has ended by itself: its ring or its sockets failed");
            return Err("a shard has ended by itself".to_owned());
        }
        if node.is_heartbeat_due(notify.watchdog_interval()) {
            notify.alive();
        }
        let line = node.status_line();
        if line != status {
            notify.status(&line);
            status = line;
        }
    }
}

/// Lets the work run out, and goes on answering who asks.
fn drain(events: &Receiver<Event>, node: &mut Node) {
    let mut ending: Ending = node.begin_to_end();
    while !node.has_ended(&mut ending) && node.is_whole() {
        // A second signal ends the process elsewhere.
        if let Ok(event) = events.recv_timeout(ENDING_EVERY.min(node.time_to_wait())) {
            node.on(event);
        }
        node.tick();
    }
}

/// A thread that sleeps until a shard reports, and passes it on.
fn pass_on_reports(mut reports: Reports, events: SyncSender<Event>) -> Result<(), String> {
    let pass_on = move || {
        let mut is_heard = true;
        while is_heard {
            reports.wait(REPORTS_EVERY);
            reports.drain(|report| is_heard &= events.send(Event::Report(report)).is_ok());
        }
    };
    let thread = std::thread::Builder::new().name("reports".to_owned()).spawn(pass_on);
    thread.map(drop).map_err(|error| format!("the reports of the shards cannot be read: {error}"))
}

/// Keeps the names of backends fresh, from the first moment.
fn watch_names(config: &Config, events: SyncSender<Event>) -> Result<Names, String> {
    let tell = move |resolution| drop(events.send(Event::Resolved(resolution)));
    Names::start(config.names(), config.node.dns.clone(), Box::new(tell))
}

fn watch_signals(events: SyncSender<Event>, ending: &Arc<AtomicBool>) -> Result<(), String> {
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
    for (id, listener) in (0..).map(ListenerId).zip(&config.listeners) {
        info!("listener {}: {}", listener.name, summary::side_text(config, id));
    }
    let is_ipv4 = |listener: &table::Listener| listener.address.is_ipv4();
    let open = networks::without_reverse_path_filter(Path::new(RP_FILTERS));
    if !open.is_empty() && config.listeners.iter().any(is_ipv4) {
        warn!(
            "no reverse path filter on {}: a datagram with a forged source may pass for a backend's, by whichever \
             interface it comes in; write net.ipv4.conf.all.rp_filter = 1 into /etc/sysctl.d",
            open.join(", ")
        );
    }
    if config.node.keys_by_chance {
        warn!(
            "no keys are configured: what this node seals into messages can be opened by no other node, and not \
             after a restart; dialogs that stand then lose their way. Write keys into [node]: \
             keys = [{{ id = 1, secret = \"env:SIPEDGE_KEY\" }}]"
        );
    }
}

/// How many shards `shards = "auto"` makes of so many cores: with four or more, one core is left to all else.
fn automatic_shards(cores: usize) -> usize {
    let for_shards = if cores >= CORES_TO_SHARE { cores - 1 } else { cores };
    for_shards.clamp(1, SHARDS_MAX)
}

fn options(config: &Config) -> Options {
    let node = &config.node;
    let limits = &config.shard_limits;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let automatic = if node.cores.is_empty() { automatic_shards(cores) } else { node.cores.len() };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_is_left_where_there_are_four_or_more() {
        let shards = [0, 1, 2, 3, 4, 5, 16, 64, 65, 200].map(automatic_shards);
        assert_eq!(shards, [1, 1, 2, 3, 3, 4, 15, 63, 64, 64]);
    }
}
