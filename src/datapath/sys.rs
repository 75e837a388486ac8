//! System calls that no crate of ours wraps, behind safe functions and types.
//!
//! Owns: socket options, the eventfd, memory mapped from the kernel. Knows nothing of messages or shards.
//! Sizes are bytes.

use std::ffi::c_void;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;

/// `SK_MEMINFO_DROPS`: the place of the drop count in what `SO_MEMINFO` answers.
const MEMINFO_DROPS: usize = 8;
/// `SK_MEMINFO_VARS`: how many numbers `SO_MEMINFO` answers.
const MEMINFO_VARS: usize = 9;

fn set_option(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let size = libc::socklen_t::try_from(size_of::<libc::c_int>()).expect("4 fits");
    // SAFETY: the descriptor is open while it is borrowed; the pointer is to a c_int of the stated size,
    // which the kernel only reads during the call.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), size)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What the kernel answers for a socket option that is a number.
#[cfg(test)]
pub(crate) fn option(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut size = libc::socklen_t::try_from(size_of::<libc::c_int>()).expect("4 fits");
    // SAFETY: the descriptor is open while it is borrowed; the kernel writes at most `size` bytes into `value`, which is
    // that large, and the real size into `size`.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut value).cast(), &raw mut size)
    };
    if result == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}

/// Sets the receive buffer beyond `net.core.rmem_max`; needs CAP_NET_ADMIN.
pub(crate) fn force_receive_buffer(socket: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, bytes)
}

/// Sets the send buffer beyond `net.core.wmem_max`; needs CAP_NET_ADMIN.
pub(crate) fn force_send_buffer(socket: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    set_option(socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, bytes)
}

/// Lets the kernel fragment what is larger than the interface takes, instead of refusing it with EMSGSIZE, and believe
/// nobody who says that the path takes less: an ICMP message is easily forged, and with "DONT" its word is the size of
/// fragments. A kernel before 3.15 has only that.
pub(crate) fn allow_fragments(socket: BorrowedFd<'_>, ipv6: bool) -> io::Result<()> {
    let (level, name, [omit, dont]) = if ipv6 {
        let modes = [libc::IPV6_PMTUDISC_OMIT, libc::IPV6_PMTUDISC_DONT];
        (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, modes)
    } else {
        let modes = [libc::IP_PMTUDISC_OMIT, libc::IP_PMTUDISC_DONT];
        (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, modes)
    };
    match set_option(socket, level, name, omit) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            set_option(socket, level, name, dont)
        }
        other => other,
    }
}

/// Makes the kernel keep ICMP errors, with the destinations that they are about: see [`super::icmp`].
pub(crate) fn keep_errors(socket: BorrowedFd<'_>, ipv6: bool) -> io::Result<()> {
    if ipv6 {
        return set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1);
    }
    set_option(socket, libc::IPPROTO_IP, libc::IP_RECVERR, 1)
}

/// Gives a SO_REUSEPORT group its program; `socket` is any member.
pub(crate) fn attach_reuseport(socket: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_EBPF, program.as_raw_fd())
}

/// How many datagrams the kernel dropped at this socket because its receive buffer was full.
pub(crate) fn socket_drops(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut values = [0_u32; MEMINFO_VARS];
    let mut size = libc::socklen_t::try_from(size_of_val(&values)).expect("36 fits");
    // SAFETY: the descriptor is open while it is borrowed; the kernel writes at most `size` bytes into
    // `values`, which is that large, and the real size into `size`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            (&raw mut values).cast(),
            &raw mut size,
        )
    };
    if result == 0 { Ok(values[MEMINFO_DROPS]) } else { Err(io::Error::last_os_error()) }
}

/// Wakes a thread that waits in poll or in a ring.
#[derive(Debug)]
pub(crate) struct EventFd(File);

impl EventFd {
    /// A new one, unset. Reading it while it is unset blocks.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the result is checked before it is owned.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just made this descriptor and nobody else knows it.
        Ok(Self(File::from(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    /// Sets it. Fails only when it was set 2^64 - 2 times and never cleared, and then it is set.
    pub(crate) fn signal(&self) {
        let _ = (&self.0).write(&1_u64.to_ne_bytes());
    }

    /// Unsets it; blocks while it is unset, so ask poll first.
    pub(crate) fn clear(&self) {
        let _ = (&self.0).read(&mut [0; 8]);
    }

    pub(crate) fn raw(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Waits until it is set, at most `timeout_ms`. Says whether it is.
    pub(crate) fn wait(&self, timeout_ms: i32) -> bool {
        let mut polled = [poll_entry(self.0.as_fd())];
        poll(&mut polled, timeout_ms).is_ok() && polled[0].revents != 0
    }
}

/// An entry of [`poll`] that asks for input. The descriptor must stay open while the entry is used.
pub(crate) fn poll_entry(fd: BorrowedFd<'_>) -> libc::pollfd {
    libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 }
}

/// Waits until one of the entries is ready, at most `timeout_ms`.
pub(crate) fn poll(entries: &mut [libc::pollfd], timeout_ms: i32) -> io::Result<()> {
    let count = libc::nfds_t::try_from(entries.len()).expect("a usize fits");
    // SAFETY: the pointer and the count describe a slice that the kernel writes `revents` of.
    let result = unsafe { libc::poll(entries.as_mut_ptr(), count, timeout_ms) };
    if result >= 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Zeroed memory from the kernel, page aligned, at an address that never changes. Untouched pages cost nothing.
#[derive(Debug)]
pub(crate) struct Region {
    base: NonNull<u8>,
    size: usize,
    kept: bool,
}

/// Bytes from one buffer of `size` to the next, so that buffers start in different sets of a processor's caches. At a
/// power of two all of them would share a few sets, and a batch of 64 datagrams would push each other out.
pub(crate) const fn stride(size: usize) -> usize {
    const LINE_BYTES: usize = 64;
    // Odd in lines, and some 17 of them: a typical message fills as many.
    let lines = size.div_ceil(LINE_BYTES).next_multiple_of(LINE_BYTES) + 17;
    lines * LINE_BYTES
}

impl Region {
    /// Maps `size` bytes.
    pub(crate) fn map(size: usize) -> io::Result<Self> {
        // SAFETY: a new private anonymous mapping; no existing memory is touched.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).expect("mmap answers MAP_FAILED or an address");
        Ok(Self { base, size, kept: false })
    }

    /// Touches the first page of each `stride` bytes, so that no page fault meets the first messages.
    pub(crate) fn touch_every(&mut self, stride: usize) {
        for offset in (0..self.size).step_by(stride) {
            // Volatile: the memory is zero already, and a plain write could be left out.
            // SAFETY: `offset` is inside the mapping, which `&mut self` makes ours alone.
            unsafe { std::ptr::write_volatile(self.base.as_ptr().add(offset), 0) };
        }
    }

    /// The first byte. Pointers made from it are valid while the region lives.
    pub(crate) fn base(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// `size` bytes at `offset`. The owner of the region asks only for parts that the kernel is not writing.
    pub(crate) fn part(&self, offset: usize, size: usize) -> &[u8] {
        assert!(offset <= self.size && size <= self.size - offset, "inside the region");
        // SAFETY: the part is inside the mapping, initialised (zero) and readable.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr().add(offset), size) }
    }

    /// `size` bytes at `offset`, to write. The owner asks only for parts that the kernel is not using.
    pub(crate) fn part_mut(&mut self, offset: usize, size: usize) -> &mut [u8] {
        assert!(offset <= self.size && size <= self.size - offset, "inside the region");
        // SAFETY: as in `part`, and `&mut self` makes this the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr().add(offset), size) }
    }

    /// Never gives the memory back: for when the kernel may still write into it.
    pub(crate) fn keep_forever(&mut self) {
        self.kept = true;
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        // SAFETY: base and size are those of the mapping, and nothing borrows from it any more.
        unsafe { libc::munmap(self.base.as_ptr().cast::<c_void>(), self.size) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_eventfd_is_set_until_cleared() {
        let event = EventFd::new().expect("an eventfd");
        assert!(!event.wait(0));
        event.signal();
        event.signal();
        assert!(event.wait(0));
        event.clear();
        assert!(!event.wait(0));
    }

    #[test]
    fn a_region_is_zero_and_writable() {
        let mut region = Region::map(3 * 65_536).expect("memory");
        region.touch_every(65_536);
        assert!(region.part(0, 3 * 65_536).iter().all(|&byte| byte == 0));
        region.part_mut(3 * 65_536 - 1, 1)[0] = 7;
        assert_eq!(region.part(3 * 65_536 - 1, 1), [7]);
    }
}
