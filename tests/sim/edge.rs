//! A node of the cluster: real cores with real tables, one for each shard, and a clock of its own.
//!
//! Owns: steering, the call into the core, and the counters of a node. Judges nothing.

use std::net::SocketAddr;
use std::sync::Arc;

use sipedge::sip::core::Core;
use sipedge::sip::outbox::Outbox;
use sipedge::sip::route::table::Table;
use sipedge::sip::{
    Cause, Decision, DropReason, ListenerId, MESSAGE_BYTES_MAX, Now, Received, Verdict, steer,
};

use super::plan::Setup;

/// What a node counts, as its metrics would.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) handled: u64,
    pub(crate) absorbed: u64,
    pub(crate) forwarded: u64,
    pub(crate) responded: u64,
    pub(crate) dropped: [u64; DropReason::ALL.len()],
}

impl Counters {
    pub(crate) fn sum(&self) -> u64 {
        self.absorbed + self.forwarded + self.responded + self.dropped.iter().sum::<u64>()
    }
}

/// What was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) bytes: Vec<u8>,
    pub(crate) to: SocketAddr,
    pub(crate) from: SocketAddr,
}

/// What one message led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    pub(crate) sent: Option<Sent>,
    pub(crate) cause: Cause,
    /// A load cap moved it away from where its key belongs.
    pub(crate) is_capped: bool,
    pub(crate) shard: u8,
    /// What a backend's 503 tells control: Retry-After, in seconds; else 0.
    pub(crate) retry_after_seconds: u32,
    /// The verdict and what it promises contradict each other.
    pub(crate) is_inconsistent: bool,
}

/// One edge.
pub(crate) struct Edge {
    pub(crate) is_up: bool,
    /// How often it lost its soft state.
    pub(crate) epoch: u32,
    pub(crate) setup: Setup,
    pub(crate) counters: Counters,
    /// What its clock shows beyond the world's.
    pub(crate) clock_us: u64,
    cores: Vec<Core>,
    outbox: Outbox,
    buffer: Vec<u8>,
    table: Arc<Table>,
    seed: u64,
}

impl Edge {
    pub(crate) fn new(table: &Arc<Table>, setup: Setup, seed: u64) -> Self {
        let mut edge = Self {
            is_up: true,
            epoch: 0,
            setup,
            counters: Counters::default(),
            clock_us: 1_000_000 + seed % 1_000_000_000,
            cores: Vec::new(),
            outbox: Outbox::new(),
            buffer: vec![0; MESSAGE_BYTES_MAX],
            table: Arc::clone(table),
            seed,
        };
        edge.start();
        edge
    }

    fn start(&mut self) {
        let core = |shard| Core::new(Arc::clone(&self.table), self.seed, shard);
        self.cores = (0..self.table.shards).map(core).collect();
    }

    /// It starts again: nothing is remembered, and its clock starts anew.
    pub(crate) fn restart(&mut self) {
        self.is_up = true;
        self.epoch += 1;
        self.clock_us = self.seed % 77_000_000;
        self.start();
    }

    pub(crate) fn install(&mut self, table: &Arc<Table>, setup: Setup) {
        self.setup = setup;
        self.table = Arc::clone(table);
        for core in &mut self.cores {
            core.install(Arc::clone(table));
        }
    }

    pub(crate) fn now(&self, now_us: u64) -> Now {
        Now(self.clock_us + now_us)
    }

    /// Live entries gave way, or answers found no room: what was remembered may be lost.
    pub(crate) fn has_evicted(&self) -> bool {
        let has_lost = |core: &Core| {
            core.transactions().evicted() > 0 || core.transactions().answers_lost() > 0
        };
        self.cores.iter().any(has_lost)
    }

    /// Most live entries of a shard, and what there is room for.
    pub(crate) fn fullest(&self, now_us: u64) -> (usize, usize) {
        let now = self.now(now_us);
        let sizes =
            self.cores.iter().map(|c| (c.transactions().len(now), c.transactions().capacity()));
        sizes.max().unwrap_or_default()
    }

    /// As the data path does it: steer, handle, write. `arrived` is the shard whose socket the kernel chose.
    pub(crate) fn handle(
        &mut self,
        now_us: u64,
        bytes: &[u8],
        from: SocketAddr,
        to: SocketAddr,
        arrived: u8,
    ) -> Outcome {
        let shard = steer::shard(bytes, self.table.shards).unwrap_or(arrived);
        let now = self.now(now_us);
        let core = &mut self.cores[usize::from(shard)];
        if core.poll_timeout().is_some_and(|(due, _)| due <= now) {
            core.handle_timeout(now, &mut self.outbox);
        }
        let outcome = run(core, now, bytes, from, to, shard, &mut self.outbox, &mut self.buffer);
        self.counters.handled += 1;
        match outcome.verdict {
            Verdict::Absorb => self.counters.absorbed += 1,
            Verdict::Forward => self.counters.forwarded += 1,
            Verdict::Respond => self.counters.responded += 1,
            Verdict::Drop(reason) => self.counters.dropped[reason.index()] += 1,
        }
        outcome
    }

    /// What a node with this node's table, and no memory, would do with the message.
    pub(crate) fn twin(
        &self,
        now_us: u64,
        bytes: &[u8],
        from: SocketAddr,
        to: SocketAddr,
        shard: u8,
    ) -> Outcome {
        let mut core = Core::new(Arc::clone(&self.table), self.seed ^ 0xffff, shard);
        let (mut outbox, mut buffer) = (Outbox::new(), vec![0; MESSAGE_BYTES_MAX]);
        run(&mut core, Now(now_us + 5), bytes, from, to, shard, &mut outbox, &mut buffer)
    }
}

#[expect(clippy::too_many_arguments, reason = "what the data path has at hand, spelled out once")]
fn run(
    core: &mut Core,
    now: Now,
    bytes: &[u8],
    from: SocketAddr,
    to: SocketAddr,
    shard: u8,
    outbox: &mut Outbox,
    buffer: &mut [u8],
) -> Outcome {
    let listener = core.table().listener_at(to).unwrap_or(ListenerId(0));
    let received = Received::datagram(bytes, from, listener);
    let verdict = core.handle(now, &received, outbox);
    let sends = matches!(verdict, Verdict::Forward | Verdict::Respond);
    let sent = outbox.transmit().filter(|_| sends).and_then(|transmit| {
        let size = outbox.write_to(bytes, buffer)?;
        let from = core.table().listener(transmit.listener())?.address;
        Some(Sent { bytes: buffer[..size].to_vec(), to: transmit.address(), from })
    });
    let is_inconsistent = sends != sent.is_some();
    let &Decision { cause, is_capped, retry_after_seconds, .. } = outbox.decision();
    Outcome { verdict, sent, cause, is_capped, shard, retry_after_seconds, is_inconsistent }
}
