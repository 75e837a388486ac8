//! What the network says about datagrams that did not arrive: the error queue of a socket (`IP_RECVERR`).
//!
//! Owns: how an entry is read, and which errors of a call may be another datagram's. Knows nothing of backends.
//!
//! With `IP_RECVERR` an ICMP error does two things. It is queued with the destination that it is about; and it is the
//! result of the socket's next call, whatever that is about: a send to somebody else fails, and was not tried. So
//! [`is_pending`] says which errors a call may have inherited, and [`send_again`] sends what was refused for one.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use super::addr::{self, NAME_BYTES_MAX, Name};

/// How often a datagram is tried again. On loopback and under a storm of errors each try may meet the next one.
const TRIES_MAX: usize = 3;
/// Entries taken from one socket in one turn; the rest waits for the next.
pub(crate) const ENTRIES_MAX: usize = 64;
/// Room for control messages: a header (16), the error (16) and who sent it (28), and as much again, in words of 8.
const CONTROL_WORDS: usize = 16;
/// ICMP "destination unreachable" and its code for "too large, and must not be fragmented" (RFC 792), which is no
/// word on the destination; ICMPv6 "destination unreachable" (RFC 4443).
const UNREACHABLE: u8 = 3;
const FRAGMENTATION_NEEDED: u8 = 4;
const UNREACHABLE_V6: u8 = 1;

/// Whether a call's error may be the pending one of an earlier datagram. The others (no such family, port 0, forbidden
/// by a filter, no memory) are about the call itself.
pub(crate) fn is_pending(error: i32) -> bool {
    matches!(
        error,
        libc::ECONNREFUSED
            | libc::EHOSTUNREACH
            | libc::ENETUNREACH
            | libc::EHOSTDOWN
            | libc::ENONET
            | libc::ENOPROTOOPT
            | libc::EPROTO
            | libc::EACCES
            | libc::EOPNOTSUPP
            | libc::EMSGSIZE
    )
}

/// Sends a datagram that was refused with a pending error; `false` when it is refused for its own sake.
///
/// # Safety
/// `message` and all that it points to must be valid and unchanged during the call.
pub(crate) unsafe fn send_again(socket: &UdpSocket, message: *const libc::msghdr) -> bool {
    for _ in 0..TRIES_MAX {
        // SAFETY: the caller's promise; the descriptor is open while it is borrowed.
        let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), message, libc::MSG_DONTWAIT) };
        if sent >= 0 {
            return true;
        }
        if !io::Error::last_os_error().raw_os_error().is_some_and(is_pending) {
            return false;
        }
    }
    false
}

/// Takes at most [`ENTRIES_MAX`] entries and says how many there were; calls `on` with the destinations of those that
/// could not be reached.
pub(crate) fn drain(socket: &UdpSocket, mut on: impl FnMut(SocketAddr)) -> usize {
    for count in 0..ENTRIES_MAX {
        let Some(entry) = take(socket) else { return count };
        if let Some(destination) = entry {
            on(destination);
        }
    }
    ENTRIES_MAX
}

/// The next entry, or `None`: the destination, when it could not be reached.
fn take(socket: &UdpSocket) -> Option<Option<SocketAddr>> {
    let mut name = Name::EMPTY;
    let mut control = [0_u64; CONTROL_WORDS];
    // SAFETY: a msghdr is plain integers and pointers, for all of which zero is a value.
    let mut message = unsafe { std::mem::zeroed::<libc::msghdr>() };
    message.msg_name = (&raw mut name.bytes).cast();
    message.msg_namelen = libc::socklen_t::try_from(NAME_BYTES_MAX).expect("28 fits");
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control);
    let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
    // SAFETY: the header points to a name and control words on this stack, of the sizes that it states, and to no
    // buffer: of the datagram itself we want nothing.
    let size = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
    if size < 0 {
        return None;
    }
    // SAFETY: the kernel filled the control words and said how many bytes of them it used.
    let is_unreachable = unsafe { unreachable(&message) };
    Some(addr::read(&name.bytes).filter(|_| is_unreachable))
}

/// # Safety
/// `message` must have control words as the kernel left them.
unsafe fn unreachable(message: &libc::msghdr) -> bool {
    // SAFETY: walks from header to header within `msg_controllen`, as the kernel wrote them.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !header.is_null() {
        // SAFETY: not null, so a whole header inside the control words.
        let (level, kind) = unsafe { ((*header).cmsg_level, (*header).cmsg_type) };
        if matches!(
            (level, kind),
            (libc::SOL_IP, libc::IP_RECVERR) | (libc::SOL_IPV6, libc::IPV6_RECVERR)
        ) {
            // SAFETY: these two carry a sock_extended_err, perhaps not aligned for one.
            let error = unsafe {
                std::ptr::read_unaligned(
                    libc::CMSG_DATA(header).cast::<libc::sock_extended_err>().cast_const(),
                )
            };
            return is_unreachable(&error);
        }
        // SAFETY: as for the first.
        header = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
    false
}

fn is_unreachable(error: &libc::sock_extended_err) -> bool {
    match error.ee_origin {
        libc::SO_EE_ORIGIN_ICMP => {
            error.ee_type == UNREACHABLE && error.ee_code != FRAGMENTATION_NEEDED
        }
        libc::SO_EE_ORIGIN_ICMP6 => error.ee_type == UNREACHABLE_V6,
        _ => false,
    }
}
