//! How the shards are started: what the kernel allows, sockets, steering, threads.
//!
//! Owns: the order of these, and what each falls back to. Runs once, on control's side.

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use core_affinity::CoreId;

use super::clock::Clock;
use super::counters::Counters;
use super::inherited::Inherited;
use super::mailbox::{self, Mailbox};
use super::mmsg::Mmsg;
use super::options::{Io, Options};
use super::packet_io::PacketIo;
use super::report::{StartError, StartReport};
use super::reports::{self, Reporter};
use super::shard::Shard;
use super::shards::Shards;
use super::sockets::bind_group;
use super::steering;
use super::tap::{self, Tap};
use super::uring::{self, Uring};
use crate::sip::core::Core;
use crate::sip::route::table::{Listener, SHARDS_MAX, Table};

pub(super) fn start(
    options: &Options,
    table: &Arc<Table>,
    seed: u64,
) -> Result<Shards, StartError> {
    let shards = options.shards;
    if !(1..=SHARDS_MAX).contains(&shards) {
        return Err(StartError::ShardCount(shards));
    }
    if table.listeners.is_empty() {
        return Err(StartError::NoListener);
    }
    let cores = choose_cores(options)?;
    let io_uring = choose_io(options.io)?;
    let mut groups = Vec::with_capacity(table.listeners.len());
    let mut listeners = Vec::with_capacity(table.listeners.len());
    let mut inherited = Inherited::take()?;
    for Listener { address, .. } in &table.listeners {
        let first = inherited.give(*address);
        let (group, buffers) = bind_group(*address, first, shards, options.socket_buffer_bytes)?;
        let bound = group[0].local_addr();
        listeners.push((bound.unwrap_or(*address), buffers));
        groups.push(group);
    }
    inherited.must_be_empty()?;
    let (steered, ebpf_reason) = steering::choose(options, &groups)?;
    let report = StartReport {
        shards,
        cores: cores.clone(),
        io_uring,
        ebpf: steered.iter().any(Option::is_some),
        ebpf_reason,
        listeners,
        buffer_bytes_asked: options.socket_buffer_bytes,
    };

    let (boxes, desks, answered) =
        mailbox::mesh(shards).map_err(|error| StartError::System("make mailboxes", error))?;
    let clock = Clock::start();
    let (reporters, reports) = reports::lines(shards, clock)
        .map_err(|error| StartError::System("make an eventfd", error))?;
    let (tap_ends, taps) = tap::lanes(shards, clock);
    let mut all = Shards {
        desks,
        reports,
        taps,
        threads: Vec::with_capacity(shards),
        answered,
        clock,
        shape: Counters::new(),
        report,
        configured: table.listeners.iter().map(|listener| listener.address).collect(),
        steered,
    };
    all.shape.fit(table);
    let (started, starts) = channel();
    let by_shard = by_shard(groups, shards);
    let ends = boxes.into_iter().zip(reporters).zip(tap_ends);
    for (index, (((mailbox, reporter), tap), sockets)) in ends.zip(by_shard).enumerate() {
        let ends = Ends { mailbox, reporter, tap };
        let plan = Plan {
            index: u8::try_from(index).expect("at most SHARDS_MAX"),
            shards: u8::try_from(shards).expect("at most SHARDS_MAX"),
            core: cores[index],
            io_uring,
            send_queue_max: options.send_queue_max,
            receive_buffers: options.receive_buffers,
            table: Arc::clone(table),
            seed,
            clock,
        };
        let started = started.clone();
        let thread = thread::Builder::new()
            .name(format!("shard-{index}"))
            .spawn(move || plan.run(sockets, ends, started))
            .map_err(|error| StartError::System("start a thread", error))?;
        all.threads.push(thread);
    }
    drop(started);
    // Dropping `all` on an error stops those that run.
    for start in starts {
        start?;
    }
    Ok(all)
}

/// A shard's ends of the ways to others and to control.
pub(super) struct Ends {
    pub(super) mailbox: Mailbox,
    pub(super) reporter: Reporter,
    pub(super) tap: Tap,
}

/// What a thread is told.
struct Plan {
    index: u8,
    shards: u8,
    core: Option<usize>,
    io_uring: bool,
    send_queue_max: usize,
    receive_buffers: usize,
    table: Arc<Table>,
    seed: u64,
    clock: Clock,
}

impl Plan {
    /// The life of a shard's thread. Rings and buffers are made here: a ring belongs to its thread, and memory is
    /// best near the core that touches it first.
    fn run(
        self,
        sockets: Vec<UdpSocket>,
        ends: Ends,
        started: Sender<Result<(), StartError>>,
    ) -> io::Result<Box<Counters>> {
        let shard = self.prepare(sockets, ends);
        let (shard, answer) = match shard {
            Ok(shard) => (Some(shard), Ok(())),
            Err(error) => (None, Err(error)),
        };
        // Nobody listens any more when another shard failed first; mail will say stop.
        let _ = started.send(answer);
        // Who started us reads until all ends are gone.
        drop(started);
        shard.map_or_else(|| Ok(Box::<Counters>::default()), Shard::run)
    }

    fn prepare(self, sockets: Vec<UdpSocket>, ends: Ends) -> Result<Shard, StartError> {
        if let Some(core) = self.core
            && !core_affinity::set_for_current(CoreId { id: core })
        {
            return Err(StartError::Core(core));
        }
        let wake = Arc::clone(ends.mailbox.wake());
        let io = if self.io_uring {
            Uring::new(sockets, wake, self.send_queue_max, self.receive_buffers)
                .map(|io| PacketIo::Uring(Box::new(io)))
        } else {
            Mmsg::new(sockets, wake, self.send_queue_max).map(|io| PacketIo::Mmsg(Box::new(io)))
        };
        let io = io.map_err(|error| StartError::System("make rings and buffers", error))?;
        let core = Core::new(self.table, self.seed, self.index);
        Ok(Shard::new(io, core, ends, self.clock, (self.index, self.shards)))
    }
}

/// The core of each shard. Named cores must be there; without names, pin only when there is a core for each.
fn choose_cores(options: &Options) -> Result<Vec<Option<usize>>, StartError> {
    let shards = options.shards;
    let ours: Vec<usize> =
        core_affinity::get_core_ids().unwrap_or_default().iter().map(|core| core.id).collect();
    let Some(named) = &options.cores else {
        let enough = ours.len() >= shards;
        return Ok((0..shards).map(|shard| ours.get(shard).copied().filter(|_| enough)).collect());
    };
    if named.len() < shards {
        return Err(StartError::CoreCount { cores: named.len(), shards });
    }
    match named.iter().find(|core| !ours.contains(core)) {
        Some(&core) => Err(StartError::Core(core)),
        None => Ok(named.iter().take(shards).copied().map(Some).collect()),
    }
}

/// Whether a ring moves the datagrams. Unasked it does not: at no load did it cost less than recvmmsg (`perf/results`).
fn choose_io(io: Io) -> Result<bool, StartError> {
    match io {
        Io::Auto | Io::Recvmmsg => Ok(false),
        Io::IoUring => uring::probe().map(|()| true).map_err(StartError::IoUring),
    }
}

/// From sockets by listener to sockets by shard.
fn by_shard(groups: Vec<Vec<UdpSocket>>, shards: usize) -> Vec<Vec<UdpSocket>> {
    let mut sockets: Vec<Vec<UdpSocket>> = (0..shards).map(|_| Vec::new()).collect();
    for group in groups {
        for (shard, socket) in group.into_iter().enumerate() {
            sockets[shard].push(socket);
        }
    }
    sockets
}
