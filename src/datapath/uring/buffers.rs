//! A provided buffer ring: receive buffers that the kernel takes one by one and we give back.
//!
//! Owns: the buffers and the ring of entries that both sides see. A buffer is the kernel's from
//! [`BufferRing::recycle`] until a completion names it, and ours until it is recycled. Whole buffers only: an
//! incremental ring (`IOU_PBUF_RING_INC`) cuts datagrams at a buffer's tail.

use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

use crate::datapath::sys::{Region, stride};
use crate::sip::MESSAGE_BYTES_MAX;

/// The one buffer group of a ring.
pub(super) const GROUP: u16 = 0;
/// A buffer: the largest datagram, and what the kernel writes in front of it.
const BUFFER_BYTES: usize = MESSAGE_BYTES_MAX + 257;
/// Bytes from one buffer to the next. Pages that no datagram reached are never touched, and cost nothing.
const STRIDE_BYTES: usize = stride(BUFFER_BYTES);

/// Buffers in the kernel's or in our hands.
pub(super) struct BufferRing {
    entries: Region,
    buffers: Region,
    count: u16,
    /// Where the next entry goes, not yet published.
    tail: u16,
}

impl BufferRing {
    /// `count` buffers, all the kernel's; a power of two, at most 32,768.
    pub(super) fn register(submitter: &Submitter<'_>, count: u16) -> io::Result<Self> {
        assert!(count.is_power_of_two(), "the kernel's rule");
        let slots = usize::from(count);
        let entries = Region::map(slots * size_of::<BufRingEntry>())?;
        let mut buffers = Region::map(slots * STRIDE_BYTES)?;
        buffers.touch_every(STRIDE_BYTES);
        let mut ring = Self { entries, buffers, count, tail: 0 };
        // SAFETY: the entries are page aligned, zeroed, hold `count` entries, and live until the owner has
        // cancelled all receives and closed the ring (see `Uring`'s drop).
        unsafe {
            submitter.register_buf_ring_with_flags(ring.entries.base() as u64, count, GROUP, 0)?
        };
        for buffer in 0..count {
            ring.recycle(buffer);
        }
        ring.publish();
        Ok(ring)
    }

    /// The first `size` bytes of a buffer that a completion named and that was not recycled since.
    pub(super) fn bytes(&self, buffer: u16, size: usize) -> &[u8] {
        let offset = usize::from(buffer).min(usize::from(self.count) - 1) * STRIDE_BYTES;
        self.buffers.part(offset, size.min(BUFFER_BYTES))
    }

    /// Gives a buffer to the kernel, with the next [`BufferRing::publish`].
    pub(super) fn recycle(&mut self, buffer: u16) {
        let address = self.buffers.base().wrapping_add(usize::from(buffer) * STRIDE_BYTES) as u64;
        let place = usize::from(self.tail & (self.count - 1));
        let entries = self.entries.base().cast::<BufRingEntry>();
        // SAFETY: `place` is below `count`, so the entry is inside the region; the kernel does not read entries at
        // or behind the published tail. Field by field: the first entry's spare bytes are the ring's tail.
        unsafe {
            let entry = entries.add(place);
            (*entry).set_addr(address);
            (*entry).set_len(u32::try_from(BUFFER_BYTES).expect("a small const"));
            (*entry).set_bid(buffer);
        }
        self.tail = self.tail.wrapping_add(1);
    }

    /// Lets the kernel see what was recycled.
    pub(super) fn publish(&self) {
        // SAFETY: the tail is inside the first entry, aligned for a u16, and the kernel only reads it.
        let tail = unsafe {
            let tail = BufRingEntry::tail(self.entries.base().cast());
            AtomicU16::from_ptr(tail.cast_mut())
        };
        // Release: the entries are written before the kernel sees the tail.
        tail.store(self.tail, Ordering::Release);
    }

    /// Never gives the memory back: for when the kernel may still write into it.
    pub(super) fn keep_forever(&mut self) {
        self.entries.keep_forever();
        self.buffers.keep_forever();
    }
}
