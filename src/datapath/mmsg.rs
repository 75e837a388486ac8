//! Datagrams by recvmmsg and sendmmsg: works on every kernel and in every container.
//!
//! Owns: the sockets of one shard, one batch of receive buffers, and the send queue. Waits with poll on the sockets
//! and the mailbox's eventfd.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::Duration;

use super::addr::{self, NAME_BYTES_MAX, Name};
use super::icmp;
use super::io_counts::IoCounts;
use super::send_queue::SendQueue;
use super::sys::{EventFd, Region, poll, poll_entry, socket_drops, stride};
use crate::sip::{ListenerId, MESSAGE_BYTES_MAX, Received};

/// Datagrams per system call.
const BATCH: usize = 64;
/// Bytes from one receive buffer to the next.
const STRIDE_BYTES: usize = stride(MESSAGE_BYTES_MAX);

/// The sockets, in the order of the table's listeners, and what goes with them.
pub(crate) struct Mmsg {
    sockets: Vec<UdpSocket>,
    wake: Arc<EventFd>,
    /// One entry per socket, and the eventfd last.
    polled: Vec<libc::pollfd>,
    /// The last batch of a socket was full: do not wait.
    more: bool,
    /// By socket: an ICMP error waits.
    failed: Vec<bool>,
    headers: Box<[libc::mmsghdr]>,
    /// The headers point into these; neither is resized.
    _iovecs: Box<[libc::iovec]>,
    names: Box<[Name]>,
    region: Region,
    outgoing: Vec<libc::mmsghdr>,
    queue: SendQueue,
    counts: IoCounts,
}

impl Mmsg {
    /// Takes over bound, non-blocking sockets.
    pub(crate) fn new(
        sockets: Vec<UdpSocket>,
        wake: Arc<EventFd>,
        send_queue_max: usize,
    ) -> io::Result<Self> {
        let mut region = Region::map(BATCH * STRIDE_BYTES)?;
        region.touch_every(STRIDE_BYTES);
        let mut names = vec![Name::EMPTY; BATCH].into_boxed_slice();
        let mut iovecs: Box<[libc::iovec]> = (0..BATCH)
            .map(|place| libc::iovec {
                iov_base: region.base().wrapping_add(place * STRIDE_BYTES).cast(),
                iov_len: MESSAGE_BYTES_MAX,
            })
            .collect();
        let mut headers: Box<[libc::mmsghdr]> = (0..BATCH).map(|_| empty_header()).collect();
        for ((header, iovec), name) in headers.iter_mut().zip(&mut iovecs).zip(&mut names) {
            header.msg_hdr.msg_iov = &raw mut *iovec;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_name = (&raw mut name.bytes).cast();
        }
        let mut polled: Vec<_> = sockets.iter().map(|socket| poll_entry(socket.as_fd())).collect();
        polled.push(libc::pollfd { fd: wake.raw(), events: libc::POLLIN, revents: 0 });
        Ok(Self {
            failed: vec![false; sockets.len()],
            sockets,
            wake,
            polled,
            more: false,
            headers,
            _iovecs: iovecs,
            names,
            region,
            outgoing: Vec::with_capacity(BATCH),
            queue: SendQueue::new(send_queue_max)?,
            counts: IoCounts::default(),
        })
    }

    pub(crate) fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        let timeout_ms = if self.more { 0 } else { timeout.as_micros().div_ceil(1000) };
        match poll(&mut self.polled, i32::try_from(timeout_ms).unwrap_or(i32::MAX)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            Err(_) => self.polled.iter_mut().for_each(|entry| entry.revents = 0),
            Ok(()) => {}
        }
        if self.polled.last().is_some_and(|entry| entry.revents != 0) {
            self.wake.clear();
        }
        Ok(())
    }

    pub(crate) fn receive(&mut self, mut on: impl FnMut(&Received<'_>, &mut SendQueue)) -> usize {
        let mut total = 0;
        self.more = false;
        for listener in 0..self.sockets.len() {
            let revents = std::mem::take(&mut self.polled[listener].revents);
            if revents == 0 {
                continue;
            }
            // Read all the same: the pending error is one thing, the queue of errors another.
            self.failed[listener] |= revents & libc::POLLERR != 0;
            let count = self.receive_batch(listener);
            total += count;
            self.more |= count == BATCH;
            let listener = ListenerId(u8::try_from(listener).expect("at most LISTENERS_MAX"));
            for place in 0..count {
                let header = &self.headers[place];
                let size = usize::try_from(header.msg_len).map_or(0, |n| n.min(MESSAGE_BYTES_MAX));
                let Some(source) = addr::read(&self.names[place].bytes) else {
                    self.counts.receive_errors += 1;
                    continue;
                };
                let bytes = self.region.part(place * STRIDE_BYTES, size);
                let is_cut = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
                let received = Received::datagram(bytes, source, listener).cut(is_cut);
                on(&received, &mut self.queue);
            }
        }
        total
    }

    /// Reads at most a batch and says how many came.
    fn receive_batch(&mut self, listener: usize) -> usize {
        for header in &mut self.headers {
            header.msg_hdr.msg_namelen =
                libc::socklen_t::try_from(NAME_BYTES_MAX).expect("28 fits");
        }
        let socket = self.sockets[listener].as_raw_fd();
        let batch = libc::c_uint::try_from(BATCH).expect("a small const");
        // SAFETY: the headers point to iovecs, names and buffers that live as long as self and that nobody
        // borrows now (`&mut self`); the sizes in them are the sizes of those; no control buffer, no timeout.
        let count = unsafe {
            libc::recvmmsg(
                socket,
                self.headers.as_mut_ptr(),
                batch,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        usize::try_from(count).unwrap_or_else(|_| {
            match io::Error::last_os_error().raw_os_error() {
                Some(libc::EAGAIN) => {}
                // It cost a call and no datagram: those that wait are read in the next turn.
                Some(error) if icmp::is_pending(error) => self.failed[listener] = true,
                _ => self.counts.receive_errors += 1,
            }
            0
        })
    }

    pub(crate) fn send(&mut self) -> io::Result<()> {
        let mut done = 0;
        while let Some(&first) = self.queue.queued().get(done) {
            let listener = self.queue.listener(first);
            let pending = &self.queue.queued()[done..];
            self.outgoing.clear();
            let same = pending.iter().take_while(|&&slot| self.queue.listener(slot) == listener);
            for &slot in same.take(BATCH) {
                // SAFETY: the queue keeps the header at this address and does not change it while it is queued.
                let msg_hdr = unsafe { *self.queue.message(slot) };
                self.outgoing.push(libc::mmsghdr { msg_hdr, msg_len: 0 });
            }
            done += self.send_batch(listener);
        }
        for place in 0..done {
            self.queue.release(self.queue.queued()[place]);
        }
        self.queue.clear_queued();
        Ok(())
    }

    /// Sends `outgoing` and says how many of them are done with: sent, or refused and counted.
    fn send_batch(&mut self, listener: usize) -> usize {
        let Some(socket) = self.sockets.get(listener) else {
            self.counts.send_failed += u64::try_from(self.outgoing.len()).unwrap_or(0);
            return self.outgoing.len();
        };
        let count = libc::c_uint::try_from(self.outgoing.len()).expect("at most BATCH");
        // SAFETY: each header points to a name, an iovec and a buffer of the queue, which is not touched during
        // the call; the kernel only writes `msg_len`.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                self.outgoing.as_mut_ptr(),
                count,
                libc::MSG_DONTWAIT,
            )
        };
        match usize::try_from(sent) {
            Ok(sent) if sent > 0 => sent,
            // The error is that of the first, or one that waited for any call. If it is refused for its own sake it is
            // dropped; the next call goes on behind it.
            _ => {
                let error = io::Error::last_os_error().raw_os_error();
                let first = self.outgoing.first().map(|first| &raw const first.msg_hdr);
                // SAFETY: as above: the first header and what it points to are not touched during the call.
                let is_sent = error.is_some_and(icmp::is_pending)
                    && first.is_some_and(|first| unsafe { icmp::send_again(socket, first) });
                self.counts.send_failed += u64::from(!is_sent);
                1
            }
        }
    }

    /// Takes the ICMP errors of sockets that have some. What stays beyond the bound is seen by the next poll.
    pub(crate) fn sweep(&mut self, mut on_unreachable: impl FnMut(SocketAddr)) {
        for (failed, socket) in self.failed.iter_mut().zip(&self.sockets) {
            if std::mem::take(failed) {
                let count = icmp::drain(socket, &mut on_unreachable);
                self.counts.icmp_errors += u64::try_from(count).unwrap_or(0);
            }
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

fn empty_header() -> libc::mmsghdr {
    // SAFETY: an mmsghdr is plain integers and pointers, for all of which zero is a value.
    unsafe { std::mem::zeroed() }
}
