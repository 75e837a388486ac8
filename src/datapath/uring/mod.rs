//! Datagrams by io_uring: multishot recvmsg into provided buffers, sendmsg from the send queue, one ring per shard.
//!
//! Owns: the ring, the sockets, both kinds of buffers, and what is in flight. The ring is entered by its own thread
//! only; a mailbox wakes it by an eventfd that the ring reads (a ring with DEFER_TASKRUN must not be watched by its
//! descriptor: deferred work posts nothing until the owner enters).

mod buffers;
mod setup;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::Duration;

use io_uring::types::{CancelBuilder, Fd, RecvMsgOut, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use super::addr;
use super::icmp;
use super::io_counts::IoCounts;
use super::send_queue::SendQueue;
use super::sys::{EventFd, socket_drops};
use crate::sip::{ListenerId, Received};
use buffers::BufferRing;
pub(crate) use setup::probe;

/// Datagrams handled per turn at most; the rest waits in the ring.
const BATCH: usize = 256;
/// How long the end of a ring may take: this often, this long.
const LAST_WAITS_MAX: usize = 100;
const LAST_WAIT: Duration = Duration::from_millis(10);
/// What a completion is about: the upper half of its user data. The lower half is a listener or a slot.
const ABOUT_RECEIVE: u64 = 1 << 32;
const ABOUT_SEND: u64 = 2 << 32;
const ABOUT_WAKE: u64 = 3 << 32;
const ABOUT_MASK: u64 = 0xffff_ffff << 32;

/// A datagram in a buffer.
struct Arrival {
    listener: u8,
    buffer: u16,
    size: usize,
}

/// Fields drop in order, after [`Uring::drop`] has ended every request: the ring before what it reads and writes.
pub(crate) struct Uring {
    ring: IoUring,
    buffers: BufferRing,
    queue: SendQueue,
    /// What multishot receives read the sizes of name and control from, as long as they are armed.
    template: Box<libc::msghdr>,
    /// Where the eventfd is read to.
    wake_value: Box<u64>,
    wake: Arc<EventFd>,
    sockets: Vec<UdpSocket>,
    /// Which listeners have a receive in the ring.
    armed: Vec<bool>,
    /// Which listeners have ICMP errors waiting.
    failed: Vec<bool>,
    wake_armed: bool,
    arrivals: Vec<Arrival>,
    counts: IoCounts,
}

impl Uring {
    /// Takes over bound sockets; to be called on the thread that will use the ring.
    pub(crate) fn new(
        sockets: Vec<UdpSocket>,
        wake: Arc<EventFd>,
        send_queue_max: usize,
        receive_buffers: usize,
    ) -> io::Result<Self> {
        let count = setup::buffer_count(receive_buffers);
        let ring = setup::ring(usize::from(count) + send_queue_max)?;
        let buffers = BufferRing::register(&ring.submitter(), count)?;
        let mut io = Self {
            buffers,
            queue: SendQueue::new(send_queue_max)?,
            template: setup::receive_template(),
            wake_value: Box::new(0),
            wake,
            armed: vec![false; sockets.len()],
            failed: vec![false; sockets.len()],
            sockets,
            wake_armed: false,
            arrivals: Vec::with_capacity(BATCH),
            counts: IoCounts::default(),
            ring,
        };
        io.arm();
        Ok(io)
    }

    pub(crate) fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        self.reap();
        if !self.arrivals.is_empty() || self.failed.contains(&true) {
            return Ok(());
        }
        self.enter(timeout)
    }

    /// Submits, and waits for a completion, at most `timeout`.
    fn enter(&self, timeout: Duration) -> io::Result<()> {
        let timespec = Timespec::from(timeout);
        let args = SubmitArgs::new().timespec(&timespec);
        match self.ring.submitter().submit_with_args(1, &args) {
            Err(error) if !is_passing(&error) => Err(error),
            _ => Ok(()),
        }
    }

    pub(crate) fn receive(&mut self, mut on: impl FnMut(&Received<'_>, &mut SendQueue)) -> usize {
        self.reap();
        let count = self.arrivals.len();
        for arrival in &self.arrivals {
            let bytes = self.buffers.bytes(arrival.buffer, arrival.size);
            if let Ok(parts) = RecvMsgOut::parse(bytes, &self.template)
                && let Some(source) = addr::read(parts.name_data())
            {
                let listener = ListenerId(arrival.listener);
                let received = Received::datagram(parts.payload_data(), source, listener)
                    .cut(parts.is_payload_truncated());
                on(&received, &mut self.queue);
            } else {
                self.counts.receive_errors += 1;
            }
            self.buffers.recycle(arrival.buffer);
        }
        if count > 0 {
            self.buffers.publish();
            self.arrivals.clear();
        }
        count
    }

    /// Takes completions until a batch of datagrams is together; sends and wake-ups are dealt with at once.
    fn reap(&mut self) {
        let mut completions = self.ring.completion();
        while self.arrivals.len() < BATCH {
            let Some(entry) = completions.next() else { break };
            let place = entry.user_data() & !ABOUT_MASK;
            match entry.user_data() & ABOUT_MASK {
                ABOUT_SEND => {
                    let slot = u16::try_from(place).expect("we wrote a u16");
                    if entry.result() < 0 {
                        let listener = self.queue.listener(slot);
                        let is_pending = icmp::is_pending(-entry.result());
                        self.failed[listener] |= is_pending;
                        // At once and not in the ring: in the next turn it would meet the next pending error.
                        // SAFETY: the slot is not released yet, so its header and what it points to stay as they are.
                        let is_sent = is_pending
                            && unsafe {
                                icmp::send_again(&self.sockets[listener], self.queue.message(slot))
                            };
                        self.counts.send_failed += u64::from(!is_sent);
                    }
                    self.queue.release(slot);
                }
                ABOUT_RECEIVE => {
                    let listener = usize::try_from(place).expect("we wrote a u8");
                    if !cqueue::more(entry.flags()) {
                        self.armed[listener] = false;
                    }
                    match (usize::try_from(entry.result()), cqueue::buffer_select(entry.flags())) {
                        (Ok(size), Some(buffer)) => {
                            let listener = u8::try_from(listener).expect("at most LISTENERS_MAX");
                            self.arrivals.push(Arrival { listener, buffer, size });
                        }
                        _ if entry.result() == -libc::ENOBUFS => self.counts.buffers_exhausted += 1,
                        _ if icmp::is_pending(-entry.result()) => self.failed[listener] = true,
                        _ => self.counts.receive_errors += 1,
                    }
                }
                _ => self.wake_armed = false,
            }
        }
    }

    pub(crate) fn send(&mut self) -> io::Result<()> {
        if self.queue.queued().is_empty() {
            return Ok(());
        }
        for place in 0..self.queue.queued().len() {
            let slot = self.queue.queued()[place];
            let Some(socket) = self.sockets.get(self.queue.listener(slot)) else {
                self.counts.send_failed += 1;
                self.queue.release(slot);
                continue;
            };
            let entry = opcode::SendMsg::new(Fd(socket.as_raw_fd()), self.queue.message(slot))
                .build()
                .user_data(ABOUT_SEND | u64::from(slot));
            // SAFETY: the header and all that it points to stay in place and unchanged until the completion
            // releases the slot; `drop` ends every request before the queue goes.
            match unsafe { push(&mut self.ring, &entry) } {
                // The kernel takes no more now (no memory, say): the loss of a datagram, not the end of a shard.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.counts.send_failed += 1;
                    self.queue.release(slot);
                }
                pushed => pushed?,
            }
        }
        self.queue.clear_queued();
        match self.ring.submit() {
            Err(error) if !is_passing(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Takes the ICMP errors of sockets that have some, then arms what ended.
    pub(crate) fn sweep(&mut self, mut on_unreachable: impl FnMut(SocketAddr)) {
        for (failed, socket) in self.failed.iter_mut().zip(&self.sockets) {
            if *failed {
                let count = icmp::drain(socket, &mut on_unreachable);
                self.counts.icmp_errors += u64::try_from(count).unwrap_or(0);
                // No completion tells of what stays beyond the bound.
                *failed = count == icmp::ENTRIES_MAX;
            }
        }
        self.arm();
    }

    /// Arms what is not armed: receives that ended (no buffer left, an error) and the wake-up.
    fn arm(&mut self) {
        for listener in 0..self.sockets.len() {
            if self.armed[listener] {
                continue;
            }
            let socket = Fd(self.sockets[listener].as_raw_fd());
            let entry =
                opcode::RecvMsgMulti::new(socket, &raw const *self.template, buffers::GROUP)
                    .build()
                    .user_data(ABOUT_RECEIVE | u64::try_from(listener).expect("a usize fits"));
            // SAFETY: the template is boxed and never written again; it and the buffers live until `drop` has
            // ended every request.
            self.armed[listener] = unsafe { push(&mut self.ring, &entry) }.is_ok();
        }
        if !self.wake_armed {
            let entry =
                opcode::Read::new(Fd(self.wake.raw()), (&raw mut *self.wake_value).cast(), 8)
                    .build()
                    .user_data(ABOUT_WAKE);
            // SAFETY: eight boxed bytes that nobody else reads or writes, alive until `drop` has ended every
            // request; `self.wake` keeps the descriptor open.
            self.wake_armed = unsafe { push(&mut self.ring, &entry) }.is_ok();
        }
    }

    pub(crate) fn queue(&mut self) -> &mut SendQueue {
        &mut self.queue
    }

    pub(crate) fn counts(&self) -> IoCounts {
        let drops = |socket: &UdpSocket| socket_drops(socket.as_fd()).map_or(0, u64::from);
        IoCounts { socket_drops: self.sockets.iter().map(drops).sum(), ..self.counts }
    }
}

impl Uring {
    /// Whether the kernel holds none of our requests.
    fn is_idle(&self) -> bool {
        !self.wake_armed && !self.armed.contains(&true) && self.queue.in_flight() == 0
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        // Closing a ring ends its requests only later: until then the kernel writes into our memory, and a socket
        // keeps its port. So all are cancelled, and their last completions taken.
        let _ = self.ring.submit();
        let _ = self.ring.submitter().register_sync_cancel(None, CancelBuilder::any());
        for _ in 0..LAST_WAITS_MAX {
            self.arrivals.clear();
            self.reap();
            if self.is_idle() {
                return;
            }
            if self.arrivals.is_empty() {
                let _ = self.enter(LAST_WAIT);
            }
        }
        // Not certain: a leak at the end of a shard harms nobody.
        self.buffers.keep_forever();
        self.queue.keep_forever();
        std::mem::forget(std::mem::replace(&mut self.template, setup::receive_template()));
        std::mem::forget(std::mem::take(&mut self.wake_value));
    }
}

/// Puts an entry into the ring; a full ring is handed to the kernel first.
///
/// # Safety
/// All that the entry points to must stay valid until its last completion.
unsafe fn push(ring: &mut IoUring, entry: &squeue::Entry) -> io::Result<()> {
    // SAFETY: the caller's promise.
    if unsafe { ring.submission().push(entry) }.is_ok() {
        return Ok(());
    }
    match ring.submit() {
        Err(error) if !is_passing(&error) => return Err(error),
        _ => {}
    }
    // SAFETY: the caller's promise.
    unsafe { ring.submission().push(entry) }.map_err(|_| io::ErrorKind::WouldBlock.into())
}

/// Errors of entering a ring that are over by the next turn: a timeout, a signal, completions to be taken first.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN))
}
