//! How a ring is made, and the question to the kernel whether it may be.
//!
//! Owns: flags, sizes and the probe. Knows nothing of what the ring is used for later.

use std::io;
use std::thread;

use io_uring::{IoUring, Probe, opcode};

use super::buffers::BufferRing;
use crate::datapath::addr::NAME_BYTES_MAX;

/// Entries for what we submit; more than that takes another system call.
const SUBMISSIONS: u32 = 512;
/// Bounds of the buffer count, both powers of two; the upper is the kernel's.
const BUFFERS_MIN: usize = 8;
const BUFFERS_MAX: usize = 32_768;
/// Room for completions that are not datagrams or sends: wake-ups and receives that end.
const COMPLETIONS_SPARE: usize = 256;
/// The kernel's bound (with CLAMP it takes less silently; overflow is kept aside by the kernel).
const COMPLETIONS_MAX: usize = 65_536;

/// A ring with the flags that the kernel knows: first the best, then plain.
pub(super) fn ring(completions: usize) -> io::Result<IoUring> {
    let completions = (completions + COMPLETIONS_SPARE).next_power_of_two().min(COMPLETIONS_MAX);
    let completions = u32::try_from(completions).expect("at most COMPLETIONS_MAX");
    let mut builder = IoUring::builder();
    builder.setup_cqsize(completions).setup_clamp();
    let best = builder
        .clone()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_submit_all()
        .build(SUBMISSIONS);
    match best {
        // EINVAL: a kernel before 6.1 does not know one of the flags.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => builder.build(SUBMISSIONS),
        other => other,
    }
}

/// How many buffers a wish is rounded to.
pub(super) fn buffer_count(wish: usize) -> u16 {
    let count = wish.clamp(BUFFERS_MIN, BUFFERS_MAX).next_power_of_two();
    u16::try_from(count).expect("at most BUFFERS_MAX")
}

/// What a multishot receive is told: room for a name, none for control messages.
pub(super) fn receive_template() -> Box<libc::msghdr> {
    // SAFETY: a msghdr is plain integers and pointers, for all of which zero is a value.
    let mut template = Box::new(unsafe { std::mem::zeroed::<libc::msghdr>() });
    template.msg_namelen = libc::socklen_t::try_from(NAME_BYTES_MAX).expect("28 fits");
    template
}

/// Whether this process may use io_uring as we need it; the error says in plain words why not.
///
/// On a thread of its own: a ring's end interrupts whatever its thread is doing then, with EINTR.
pub(crate) fn probe() -> Result<(), String> {
    let probing = thread::Builder::new().name("probe".into()).spawn(probe_here);
    let probing = probing.map_err(|error| format!("no thread to try it on: {error}"))?;
    probing.join().unwrap_or_else(|_| Err("trying it failed".into()))
}

fn probe_here() -> Result<(), String> {
    let ring = ring(8).map_err(|error| match error.raw_os_error() {
        Some(libc::ENOSYS) => {
            "this kernel has no io_uring (or a container profile hides it)".into()
        }
        Some(libc::EPERM) => {
            "io_uring is forbidden here (sysctl kernel.io_uring_disabled, or a container profile)"
                .into()
        }
        Some(libc::ENOMEM) => "no memory for a ring (raise LimitMEMLOCK)".to_owned(),
        _ => format!("no ring could be made: {error}"),
    })?;
    let mut known = Probe::new();
    ring.submitter().register_probe(&mut known).map_err(|error| format!("no probe: {error}"))?;
    let needed = [opcode::RecvMsgMulti::CODE, opcode::SendMsg::CODE, opcode::Read::CODE];
    if !needed.into_iter().all(|code| known.is_supported(code)) {
        return Err("this kernel's io_uring lacks operations that we need".into());
    }
    // Multishot recvmsg came with 6.0, as did sync cancel, which ENOENT (nothing to cancel) shows.
    let cancel = io_uring::types::CancelBuilder::any();
    match ring.submitter().register_sync_cancel(None, cancel) {
        Err(error) if error.raw_os_error() != Some(libc::ENOENT) => {
            return Err("this kernel's io_uring is older than 6.0".into());
        }
        _ => {}
    }
    BufferRing::register(&ring.submitter(), 8)
        .map_err(|error| format!("no provided buffer ring: {error}"))
        // The ring goes first: it holds the entries.
        .map(|buffers| {
            drop(ring);
            drop(buffers);
        })
}
