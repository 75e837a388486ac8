//! The floor of io_uring: multishot recvmsg into provided buffers, sendmsg out of the same buffers, one thread.
//!
//! Owns: the ring, and memory that it shares with the kernel until the process ends (nothing is given back, so nothing
//! can be freed too early). io_uring cannot be driven without `unsafe`: this file is the one place outside of
//! `src/datapath` that has it. It is measured and never shipped; sipedge's own code is not used, so that a mistake
//! there cannot hide in the floor that it is compared with.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::{BufRingEntry, Fixed, RecvMsgOut};
use io_uring::{IoUring, cqueue, opcode, squeue};
use sipedge_baselines::job::{HEADROOM_BYTES, Job, MESSAGE_BYTES_MAX};
use sipedge_baselines::setup;

/// Buffers, and so messages that may be under way; a power of two.
const BUFFERS: u16 = 1024;
const SUBMISSIONS: u32 = 512;
const COMPLETIONS: u32 = 4096;
/// What the kernel writes in front of a message: its header, the name, and the room that we claim for control
/// messages. None come: that room is where the Via goes.
const NAME_BYTES: usize = size_of::<libc::sockaddr_in>();
const MESSAGE_AT: usize = 16 + NAME_BYTES + HEADROOM_BYTES;
const STRIDE_BYTES: usize = 4352;
const _: () = assert!(MESSAGE_AT + MESSAGE_BYTES_MAX <= STRIDE_BYTES);
/// User data of the receive; that of a send is its buffer.
const RECEIVE: u64 = u64::MAX;
const GROUP: u16 = 0;
const SOCKET: Fixed = Fixed(0);

/// Memory that starts on a page, as the kernel wants the entries of a buffer ring.
#[repr(C, align(4096))]
struct Page([u8; 4096]);

/// What a send reads until it is complete.
struct Slot {
    header: libc::msghdr,
    part: libc::iovec,
    to: libc::sockaddr_in,
}

struct Floor {
    ring: IoUring,
    job: Job,
    /// The entries of the buffer ring, [`BUFFERS`] of them; the kernel reads them.
    entries: *mut BufRingEntry,
    /// The buffers, [`STRIDE_BYTES`] each. One is ours from the completion that names it until it is recycled.
    buffers: *mut u8,
    /// One for each buffer.
    slots: *mut Slot,
    template: *const libc::msghdr,
    tail: u16,
}

fn main() -> ExitCode {
    let ended = setup::arguments(std::env::args().skip(1))
        .and_then(|(listen, job)| run(listen, job).map_err(|error| error.to_string()));
    if let Err(error) = ended {
        eprintln!("floor-io-uring: {error}");
    }
    ExitCode::FAILURE
}

fn run(listen: SocketAddrV4, job: Job) -> io::Result<()> {
    let socket = setup::bind(listen)?;
    let mut floor = Floor::new(job)?;
    floor.ring.submitter().register_files(&[socket.as_raw_fd()])?;
    floor.receive()?;
    loop {
        floor.ring.submit_and_wait(1)?;
        floor.turn()?;
    }
}

impl Floor {
    fn new(job: Job) -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_cqsize(COMPLETIONS)
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .build(SUBMISSIONS)?;
        let count = usize::from(BUFFERS);
        let pages = (count * size_of::<BufRingEntry>()).div_ceil(4096);
        let entries: &mut [Page] = Vec::leak((0..pages).map(|_| Page([0; 4096])).collect());
        // Ones, not zeroes: the pages are touched now and not under load.
        let buffers = Vec::leak(vec![1u8; count * STRIDE_BYTES]);
        let slots: &mut [Slot] = Vec::leak((0..count).map(|_| empty_slot()).collect());
        let mut template = empty_header();
        template.msg_namelen = libc::socklen_t::try_from(NAME_BYTES).expect("16 fits");
        template.msg_controllen = HEADROOM_BYTES;
        let mut floor = Self {
            ring,
            job,
            entries: entries.as_mut_ptr().cast(),
            buffers: buffers.as_mut_ptr(),
            slots: slots.as_mut_ptr(),
            template: Box::leak(Box::new(template)),
            tail: 0,
        };
        let entries = floor.entries as u64;
        // SAFETY: page aligned, leaked, and large enough for BUFFERS entries.
        unsafe {
            floor.ring.submitter().register_buf_ring_with_flags(entries, BUFFERS, GROUP, 0)?;
        }
        (0..BUFFERS).for_each(|buffer| floor.recycle(buffer));
        floor.publish();
        Ok(floor)
    }

    /// Asks for messages until the kernel says that it has ended.
    fn receive(&mut self) -> io::Result<()> {
        let entry =
            opcode::RecvMsgMulti::new(SOCKET, self.template, GROUP).build().user_data(RECEIVE);
        self.push(&entry)
    }

    /// Deals with all completions that are there.
    fn turn(&mut self) -> io::Result<()> {
        loop {
            let Some(entry) = self.ring.completion().next() else { break };
            if entry.user_data() != RECEIVE {
                self.recycle(u16::try_from(entry.user_data()).expect("a buffer"));
                continue;
            }
            if !cqueue::more(entry.flags()) {
                self.receive()?;
            }
            if let (Ok(size), Some(buffer)) =
                (usize::try_from(entry.result()), cqueue::buffer_select(entry.flags()))
            {
                self.message(buffer, size)?;
            }
        }
        self.publish();
        Ok(())
    }

    /// Forwards the message in a buffer; it is recycled when it is sent.
    fn message(&mut self, buffer: u16, size: usize) -> io::Result<()> {
        let at = usize::from(buffer);
        // SAFETY: the completion gave us this buffer, and nobody else has it until it is recycled.
        let bytes =
            unsafe { std::slice::from_raw_parts_mut(self.buffers.add(at * STRIDE_BYTES), size) };
        // SAFETY: the template is leaked and never written.
        let source = RecvMsgOut::parse(bytes, unsafe { &*self.template })
            .ok()
            .and_then(|m| name(m.name_data()));
        let forwarded = source.and_then(|source| {
            let frame = bytes.get_mut(MESSAGE_AT - HEADROOM_BYTES..)?;
            let (part, to) = self.job.forward(frame, source)?;
            Some((frame.get_mut(part)?, to))
        });
        let Some((part, to)) = forwarded else {
            self.recycle(buffer);
            return Ok(());
        };
        // SAFETY: one slot for each buffer; that of a buffer in our hands is not used by a send.
        let slot = unsafe { &mut *self.slots.add(at) };
        slot.part = libc::iovec { iov_base: part.as_mut_ptr().cast(), iov_len: part.len() };
        slot.to.sin_family = libc::sa_family_t::try_from(libc::AF_INET).expect("2 fits");
        slot.to.sin_port = to.port().to_be();
        slot.to.sin_addr.s_addr = u32::from_ne_bytes(to.ip().octets());
        slot.header.msg_iov = &raw mut slot.part;
        slot.header.msg_iovlen = 1;
        slot.header.msg_name = (&raw mut slot.to).cast();
        slot.header.msg_namelen = libc::socklen_t::try_from(NAME_BYTES).expect("16 fits");
        let entry = opcode::SendMsg::new(SOCKET, &raw const slot.header)
            .build()
            .user_data(u64::from(buffer));
        self.push(&entry)
    }

    fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        // SAFETY: all that our entries point to is leaked; a slot and its buffer stay as they are until the
        // completion of their send.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            self.ring.submit()?;
        }
        Ok(())
    }

    /// Gives a buffer back, with the next [`Floor::publish`].
    fn recycle(&mut self, buffer: u16) {
        let place = usize::from(self.tail & (BUFFERS - 1));
        // SAFETY: both places are inside what was leaked; the kernel reads no entry at or behind the published tail.
        // Field by field: the spare bytes of the first entry are the ring's tail.
        unsafe {
            let address = self.buffers.add(usize::from(buffer) * STRIDE_BYTES);
            let entry = self.entries.add(place);
            (*entry).set_addr(address as u64);
            (*entry).set_len(u32::try_from(STRIDE_BYTES).expect("a small const"));
            (*entry).set_bid(buffer);
        }
        self.tail = self.tail.wrapping_add(1);
    }

    /// Lets the kernel see what was recycled.
    fn publish(&self) {
        // SAFETY: the tail is inside the first entry and aligned; the kernel only reads it.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.entries).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}

/// The address in a sockaddr_in: family, port and address, the last two in network order.
fn name(bytes: &[u8]) -> Option<SocketAddrV4> {
    let port = u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?);
    let address: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
    Some(SocketAddrV4::new(Ipv4Addr::from(address), port))
}

fn empty_header() -> libc::msghdr {
    // SAFETY: plain integers and pointers, for all of which zero is a value.
    unsafe { std::mem::zeroed() }
}

fn empty_slot() -> Slot {
    // SAFETY: plain integers and pointers, for all of which zero is a value.
    unsafe { std::mem::zeroed() }
}
