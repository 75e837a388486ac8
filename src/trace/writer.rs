//! The thread that takes copies from the shards and gives them to the sinks.
//!
//! Owns: the sinks and what is counted about them. It may wait for a disk; the socket of the HEP sink never waits.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, SystemTime};

use tracing::warn;

use super::decisions::{self, About};
use super::files::{BoundedLog, FileRing};
use super::{Names, Recent, choose, hep, pcapng};
use crate::config::trace::{Choice, Hep, Pcap, Trace};
use crate::datapath::tap::{Taken, Taps};
use crate::sip::message::Index;

/// How often the shards are looked at when nothing came.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Looks without a pause while there is much to do; then orders are read again.
const LOOKS_MAX: usize = 64;
/// The size at which the file of decisions is put aside, in bytes.
const DECISIONS_BYTES_MAX: u64 = 64 << 20;

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Order {
    /// From now on pools and backends are called so.
    Names(Names),
    /// Write what waits and end.
    Stop,
}

/// What was written and what was lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TraceCounts {
    /// Packets to the HEP sink.
    pub hep_sent: u64,
    /// Packets that the HEP sink's socket did not take.
    pub hep_lost: u64,
    /// Messages in capture files.
    pub captured: u64,
    /// Decision records.
    pub decisions: u64,
    /// Records that a file did not take.
    pub file_errors: u64,
}

/// What the thread shows to others.
#[derive(Debug, Default)]
pub(super) struct Shared {
    #[expect(
        clippy::disallowed_types,
        reason = "between two threads of control; no shard knows it"
    )]
    recent: std::sync::Mutex<Recent>,
    hep_sent: AtomicU64,
    hep_lost: AtomicU64,
    captured: AtomicU64,
    decisions: AtomicU64,
    file_errors: AtomicU64,
}

impl Shared {
    pub(super) fn recent(&self) -> Vec<String> {
        self.recent.lock().map(|recent| recent.all()).unwrap_or_default()
    }

    pub(super) fn counts(&self) -> TraceCounts {
        TraceCounts {
            hep_sent: self.hep_sent.load(Ordering::Relaxed),
            hep_lost: self.hep_lost.load(Ordering::Relaxed),
            captured: self.captured.load(Ordering::Relaxed),
            decisions: self.decisions.load(Ordering::Relaxed),
            file_errors: self.file_errors.load(Ordering::Relaxed),
        }
    }
}

/// Where copies go. A sink's place here is its filter's bit, as far as it is there.
enum Sink {
    Hep(HepSink),
    Pcap(Choice, FileRing),
    Decisions(Option<BoundedLog>),
}

struct HepSink {
    config: Hep,
    socket: UdpSocket,
    packet: Vec<u8>,
}

/// The thread's own.
pub(super) struct Writer {
    taps: Taps,
    desk: Desk,
}

/// All but the taps.
struct Desk {
    sinks: Vec<Sink>,
    names: Names,
    index: Index,
    block: Vec<u8>,
    shared: Arc<Shared>,
    has_warned: bool,
}

impl Writer {
    /// Opens all that `config` names.
    pub(super) fn open(
        config: &Trace,
        node: &str,
        taps: Taps,
        shared: Arc<Shared>,
    ) -> Result<Self, String> {
        let mut sinks = Vec::new();
        if let Some(hep) = &config.hep {
            let refused = |error| format!("no socket for the HEP sink {}: {error}", hep.sink);
            sinks.push(Sink::Hep(HepSink::open(hep).map_err(refused)?));
        }
        if let Some(pcap) = &config.pcap {
            let Pcap { folder, file_bytes_max, files, choice } = pcap;
            let bounds = (*files, *file_bytes_max);
            let ring =
                FileRing::open(folder, "sipedge", bounds, pcapng::head(node)).map_err(|error| {
                    format!("captures cannot be written to {}: {error}", folder.display())
                })?;
            sinks.push(Sink::Pcap(choice.clone(), ring));
        }
        if let Some(decisions) = &config.decisions {
            let open = |file: &std::path::PathBuf| {
                BoundedLog::open(file, DECISIONS_BYTES_MAX).map_err(|error| {
                    format!("decisions cannot be written to {}: {error}", file.display())
                })
            };
            sinks.push(Sink::Decisions(decisions.file.as_ref().map(open).transpose()?));
        }
        let (names, index, block) = (Names::default(), Index::default(), Vec::new());
        Ok(Self { taps, desk: Desk { sinks, names, index, block, shared, has_warned: false } })
    }

    /// Until it is told to stop, or who could tell it is gone.
    pub(super) fn run(mut self, orders: &Receiver<Order>) {
        loop {
            match orders.recv_timeout(LOOK_EVERY) {
                Ok(Order::Names(names)) => self.desk.names = names,
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    self.look();
                    return;
                }
            }
            self.look();
        }
    }

    fn look(&mut self) {
        for _ in 0..LOOKS_MAX {
            let (wall_us, now) = (wall_clock_us(), self.taps.now());
            let desk = &mut self.desk;
            let count = self.taps.drain(|taken, bytes| {
                let age_us = now.0.saturating_sub(taken.at.0);
                desk.take(taken, wall_us.saturating_sub(age_us), bytes);
            });
            if count == 0 {
                return;
            }
        }
    }
}

impl Desk {
    fn take(&mut self, taken: &Taken, time_us: u64, bytes: &[u8]) {
        let Self { sinks, names, index, block, shared, has_warned } = self;
        let pool = taken.pool.and_then(|meter| names.pools.get(&meter));
        let backend = taken.backend.and_then(|meter| names.backends.get(&meter));
        let (pool, backend) = (pool.map(String::as_str), backend.map(String::as_str));
        let about = About { time_us, pool, backend };
        for (place, sink) in sinks.iter_mut().enumerate() {
            if taken.wanted & 1 << place == 0 {
                continue;
            }
            let written = match sink {
                Sink::Hep(sink) => {
                    if choose::is_meant(&sink.config.choice, bytes, index) {
                        let is_sent = sink.send(taken, time_us, bytes);
                        count(if is_sent { &shared.hep_sent } else { &shared.hep_lost });
                    }
                    Ok(())
                }
                Sink::Pcap(choice, ring) => {
                    if !choose::is_meant(choice, bytes, index) {
                        continue;
                    }
                    count(&shared.captured);
                    block.clear();
                    let comment = decisions::record(taken, bytes, index, &about);
                    pcapng::write(block, &captured(taken, time_us, &comment, bytes));
                    ring.append(block)
                }
                Sink::Decisions(log) => {
                    count(&shared.decisions);
                    let mut line = decisions::record(taken, bytes, index, &about);
                    if let Ok(mut recent) = shared.recent.lock() {
                        recent.push(line.clone());
                    }
                    line.push('\n');
                    log.as_mut().map_or(Ok(()), |log| log.append(line.as_bytes()))
                }
            };
            if let Err(error) = written {
                count(&shared.file_errors);
                if !std::mem::replace(has_warned, true) {
                    warn!("a trace cannot be written: {error}; further ones are counted");
                }
            }
        }
    }
}

fn captured<'a>(
    taken: &Taken,
    time_us: u64,
    comment: &'a str,
    message: &'a [u8],
) -> pcapng::Packet<'a> {
    let Taken { is_sent, source, destination, .. } = *taken;
    pcapng::Packet { is_sent, source, destination, time_us, comment, message }
}

impl HepSink {
    fn open(config: &Hep) -> std::io::Result<Self> {
        let any = if config.sink.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any)?;
        socket.connect(config.sink)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            config: config.clone(),
            socket,
            packet: Vec::with_capacity(hep::PACKET_BYTES_MAX),
        })
    }

    /// `false` when it is lost: the socket is full, or nobody hears there.
    fn send(&mut self, taken: &Taken, time_us: u64, message: &[u8]) -> bool {
        let Taken { source, destination, .. } = *taken;
        let Hep { node_id, ref password, .. } = self.config;
        let password = password.as_ref();
        let packet = hep::Packet { source, destination, time_us, node_id, password, message };
        hep::write(&mut self.packet, &packet);
        self.socket.send(&self.packet).is_ok()
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[expect(clippy::disallowed_methods, reason = "captures and records carry wall time")]
fn wall_clock_us() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
