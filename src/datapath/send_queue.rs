//! Datagrams of one shard on their way to the kernel: a bounded pool of buffers.
//!
//! Owns: the send buffers and the headers that the kernel reads, which never move. A slot is free, queued, or in
//! the kernel's hands; only a free one is written. Knows nothing of system calls or of what is sent.

use std::io;

use super::addr::Name;
use super::sys::{Region, stride};
use crate::sip::{Flow, MESSAGE_BYTES_MAX, Now, Target};

/// Bytes from one buffer to the next: [`super::sys::stride`] says why. Pages that no message reached are never touched.
const STRIDE_BYTES: usize = stride(MESSAGE_BYTES_MAX);
/// Most slots: their index is a u16.
const SLOTS_MAX: usize = 32_768;

const _: () = assert!(MESSAGE_BYTES_MAX <= STRIDE_BYTES);

/// Why a datagram was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// All slots are taken.
    Full,
    /// It does not fit into a datagram.
    TooLarge,
}

/// What the kernel reads: one message with one part. The pointers inside lead to `iovec`, `name` and the region.
struct Header {
    message: libc::msghdr,
    iovec: libc::iovec,
    name: Name,
    listener: usize,
}

/// Messages that were received at the same time and that belong to the same pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) received_at: Now,
    /// The meter of their pool.
    pub(crate) pool: u32,
    pub(crate) count: u64,
}

/// The pool. Whoever hands a header to the kernel for later (a ring) keeps the queue alive until it is back.
pub(crate) struct SendQueue {
    headers: Box<[Header]>,
    region: Region,
    /// Last in, first out: the slot used last is the one in the cache.
    free: Vec<u16>,
    queued: Vec<u16>,
    /// When the queued messages were received and whose latency it is, as runs of equals.
    runs: Vec<Run>,
}

impl SendQueue {
    /// A queue of `slots` datagrams.
    pub(crate) fn new(slots: usize) -> io::Result<Self> {
        let slots = slots.clamp(1, SLOTS_MAX);
        let mut region = Region::map(slots * STRIDE_BYTES)?;
        region.touch_every(STRIDE_BYTES);
        let mut headers: Box<[Header]> = (0..slots).map(|_| Header::empty()).collect();
        for (slot, header) in headers.iter_mut().enumerate() {
            header.iovec.iov_base = region.base().wrapping_add(slot * STRIDE_BYTES).cast();
            header.message.msg_iov = &raw mut header.iovec;
            header.message.msg_iovlen = 1;
            header.message.msg_name = (&raw mut header.name.bytes).cast();
        }
        let last = u16::try_from(slots - 1).expect("at most SLOTS_MAX");
        Ok(Self {
            headers,
            region,
            free: (0..=last).rev().collect(),
            queued: Vec::with_capacity(slots),
            runs: Vec::with_capacity(slots),
        })
    }

    /// Queues what `fill` writes into a buffer of [`MESSAGE_BYTES_MAX`]; it answers the size, or `None` when it
    /// does not fit.
    pub(crate) fn push(
        &mut self,
        (received_at, pool): (Now, u32),
        transmit: Target,
        fill: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Result<(), Refused> {
        let Target::Flow(Flow::Datagram { listener, remote }) = transmit;
        let slot = *self.free.last().ok_or(Refused::Full)?;
        let place = usize::from(slot);
        let buffer = self.region.part_mut(place * STRIDE_BYTES, MESSAGE_BYTES_MAX);
        let size = fill(buffer).filter(|&size| size <= MESSAGE_BYTES_MAX);
        let size = size.ok_or(Refused::TooLarge)?;
        let header = &mut self.headers[place];
        let name_bytes = header.name.write(remote);
        header.message.msg_namelen = libc::socklen_t::try_from(name_bytes).expect("at most 28");
        header.iovec.iov_len = size;
        header.listener = usize::from(listener.0);
        self.free.pop();
        self.queued.push(slot);
        match self.runs.last_mut() {
            Some(run) if run.received_at == received_at && run.pool == pool => run.count += 1,
            _ => self.runs.push(Run { received_at, pool, count: 1 }),
        }
        Ok(())
    }

    /// What was pushed last, while it is queued.
    pub(crate) fn last(&self) -> &[u8] {
        let Some(&slot) = self.queued.last() else { return &[] };
        let place = usize::from(slot);
        self.region.part(place * STRIDE_BYTES, self.headers[place].iovec.iov_len)
    }

    /// The slots to send, in order. They stay queued until [`SendQueue::clear_queued`].
    pub(crate) fn queued(&self) -> &[u16] {
        &self.queued
    }

    /// The queued slots are in the kernel's hands, or released.
    pub(crate) fn clear_queued(&mut self) {
        self.queued.clear();
    }

    /// The slot may be used again: the kernel is done with it, or never got it.
    pub(crate) fn release(&mut self, slot: u16) {
        debug_assert!(!self.free.contains(&slot), "a slot is released once");
        self.free.push(slot);
    }

    /// Calls `on` with the runs queued since the last call.
    pub(crate) fn take_runs(&mut self, on: impl FnMut(Run)) {
        self.runs.drain(..).for_each(on);
    }

    /// What the kernel reads to send the slot; valid while the queue lives and the slot is not released.
    pub(crate) fn message(&self, slot: u16) -> *const libc::msghdr {
        &raw const self.headers[usize::from(slot)].message
    }

    /// The place of the listener that the slot is sent from.
    pub(crate) fn listener(&self, slot: u16) -> usize {
        self.headers[usize::from(slot)].listener
    }

    /// Never gives the memory back: for when the kernel may still read it.
    pub(crate) fn keep_forever(&mut self) {
        self.region.keep_forever();
        std::mem::forget(std::mem::take(&mut self.headers));
        self.free.clear();
        self.queued.clear();
    }

    /// How many slots are in the kernel's hands.
    pub(crate) fn in_flight(&self) -> usize {
        self.headers.len() - self.free.len() - self.queued.len()
    }
}

impl Header {
    fn empty() -> Self {
        // SAFETY: a msghdr is plain integers and pointers, for all of which zero is a value.
        let message = unsafe { std::mem::zeroed::<libc::msghdr>() };
        let iovec = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        Self { message, iovec, name: Name::EMPTY, listener: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::ListenerId;

    fn push(queue: &mut SendQueue, time: u64, size: Option<usize>) -> Result<(), Refused> {
        let destination = "127.0.0.1:9".parse().expect("an address");
        let transmit = Target::datagram(ListenerId(3), destination);
        queue.push((Now(time), 0), transmit, |_| size)
    }

    #[test]
    fn the_bound_is_kept_and_slots_come_back() {
        let mut queue = SendQueue::new(2).expect("memory");
        assert_eq!(push(&mut queue, 1, Some(10)), Ok(()));
        assert_eq!(push(&mut queue, 1, Some(MESSAGE_BYTES_MAX)), Ok(()));
        assert_eq!(push(&mut queue, 2, Some(10)), Err(Refused::Full));
        assert_eq!(queue.queued(), [0, 1]);
        assert_eq!(queue.listener(1), 3);
        queue.clear_queued();
        assert_eq!(queue.in_flight(), 2);
        queue.release(1);
        assert_eq!(push(&mut queue, 2, Some(10)), Ok(()));
        assert_eq!(queue.queued(), [1]);
        let mut runs = Vec::new();
        queue.take_runs(|run| runs.push((run.received_at.0, run.pool, run.count)));
        assert_eq!(runs, [(1, 0, 2), (2, 0, 1)]);
    }

    #[test]
    fn what_does_not_fit_takes_no_slot() {
        let mut queue = SendQueue::new(1).expect("memory");
        assert_eq!(push(&mut queue, 1, None), Err(Refused::TooLarge));
        assert_eq!(push(&mut queue, 1, Some(MESSAGE_BYTES_MAX + 1)), Err(Refused::TooLarge));
        assert_eq!(push(&mut queue, 1, Some(0)), Ok(()));
    }
}
