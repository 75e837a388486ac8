//! UDP sockets in bulk: many datagrams with one system call, in both directions.
//!
//! Owns: receive batches (recvmmsg) and send bursts (UDP_SEGMENT: equal datagrams to one destination leave as one).
//! Segments travel over loopback as one packet and are cut where they are received, at the cost of the sender's
//! core; a receiver sees single datagrams. One trap: a target with several SO_REUSEPORT sockets picks the socket
//! for the whole burst; measure those with bursts of one.

use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::sockopt::{RcvBuf, RcvBufForce};
use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmsg, setsockopt,
};

/// Datagrams of one receive call.
const BATCH_MAX: usize = 64;
/// Longer datagrams are cut, and then counted as wrong.
const DATAGRAM_BYTES_MAX: usize = 9_216;
/// Kernel memory for each socket: a stall of 100 ms at 400,000 datagrams in a second over four sockets.
const SOCKET_BUFFER_BYTES: usize = 32 << 20;
/// The kernel's limit of one burst, and of its bytes.
const BURST_SEGMENTS_MAX: usize = 64;
const BURST_BYTES_MAX: usize = 60_000;

/// Opens a non-blocking socket with a large receive buffer.
pub(crate) fn open(address: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    // Without the right to force it, the limit of the system applies.
    if setsockopt(&socket, RcvBufForce, &SOCKET_BUFFER_BYTES).is_err() {
        setsockopt(&socket, RcvBuf, &SOCKET_BUFFER_BYTES)?;
    }
    Ok(socket)
}

/// Opens a caller's socket: its port has five digits, as the patterns want.
pub(crate) fn open_caller(ip: IpAddr) -> std::io::Result<UdpSocket> {
    for _ in 0..100 {
        let socket = open(SocketAddr::new(ip, 0))?;
        if socket.local_addr()?.port() >= 10_000 {
            return Ok(socket);
        }
    }
    Err(std::io::Error::other("no free port of five digits: see net.ipv4.ip_local_port_range"))
}

/// What one receive call brought.
pub(crate) struct Batch {
    headers: MultiHeaders<()>,
    buffer: Vec<u8>,
    lengths: [usize; BATCH_MAX],
    /// System calls so far.
    pub(crate) calls: u64,
}

impl Batch {
    pub(crate) fn new() -> Self {
        Self {
            headers: MultiHeaders::preallocate(BATCH_MAX, None),
            // Written once, so that no page is missing later.
            buffer: vec![1; BATCH_MAX * DATAGRAM_BYTES_MAX],
            lengths: [0; BATCH_MAX],
            calls: 0,
        }
    }

    /// Takes what waits, without waiting for it; says how many datagrams.
    pub(crate) fn receive(&mut self, socket: &UdpSocket) -> usize {
        self.calls += 1;
        let mut chunks = self.buffer.chunks_exact_mut(DATAGRAM_BYTES_MAX);
        let mut slices: [[IoSliceMut<'_>; 1]; BATCH_MAX] =
            std::array::from_fn(|_| [IoSliceMut::new(chunks.next().expect("one for each"))]);
        let flags = MsgFlags::MSG_DONTWAIT;
        let received =
            recvmmsg(socket.as_raw_fd(), &mut self.headers, slices.iter_mut(), flags, None);
        // EAGAIN: nothing waits. What a peer refused earlier (ECONNREFUSED) is counted as lost.
        let Ok(messages) = received else { return 0 };
        let mut count = 0;
        for (length, message) in self.lengths.iter_mut().zip(messages) {
            *length = message.bytes;
            count += 1;
        }
        count
    }

    /// The datagram at this place of the last call.
    pub(crate) fn datagram(&self, index: usize) -> &[u8] {
        let start = index * DATAGRAM_BYTES_MAX;
        &self.buffer[start..start + self.lengths[index]]
    }

    /// Whether a call that brought this many left nothing behind.
    pub(crate) const fn is_drained_by(count: usize) -> bool {
        count < BATCH_MAX
    }
}

/// Datagrams on their way out of one socket: equal ones to one destination leave together.
#[derive(Debug)]
pub(crate) struct Burst {
    buffer: Vec<u8>,
    /// Where the datagram begins that is being written.
    writing: usize,
    segment_bytes: usize,
    count: usize,
    count_max: usize,
    destination: Option<SocketAddr>,
    address: SockaddrStorage,
    /// Datagrams and bursts that the kernel took, and datagrams that it refused.
    pub(crate) sent: u64,
    pub(crate) bursts: u64,
    pub(crate) refused: u64,
}

impl Burst {
    pub(crate) fn new(count_max: usize) -> Self {
        Self {
            buffer: Vec::with_capacity(2 * BURST_BYTES_MAX),
            writing: 0,
            segment_bytes: 0,
            count: 0,
            count_max: count_max.clamp(1, BURST_SEGMENTS_MAX),
            destination: None,
            address: SockaddrStorage::from(SocketAddr::from(([127, 0, 0, 1], 9))),
            sent: 0,
            bursts: 0,
            refused: 0,
        }
    }

    /// Where the next datagram is appended.
    pub(crate) const fn writer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Whether the datagram that was appended can leave together with those before it.
    pub(crate) fn joins(&self, destination: SocketAddr) -> bool {
        self.count > 0
            && self.count < self.count_max
            && self.buffer.len() - self.writing == self.segment_bytes
            && self.destination == Some(destination)
            && self.buffer.len() <= BURST_BYTES_MAX
    }

    /// Ends the datagram that was appended. One that does not fit to those before it sends those first.
    pub(crate) fn commit(&mut self, socket: &UdpSocket, destination: SocketAddr) {
        let length = self.buffer.len() - self.writing;
        let joins = self.joins(destination);
        if !joins && self.count > 0 {
            self.send(socket, self.writing);
            self.buffer.drain(..self.writing);
        }
        if !joins {
            self.segment_bytes = length;
            if self.destination != Some(destination) {
                self.destination = Some(destination);
                self.address = SockaddrStorage::from(destination);
            }
        }
        self.count += 1;
        self.writing = self.buffer.len();
    }

    /// Sends what is left.
    pub(crate) fn flush(&mut self, socket: &UdpSocket) {
        if self.count > 0 {
            self.send(socket, self.writing);
            self.buffer.clear();
            self.writing = 0;
        }
    }

    fn send(&mut self, socket: &UdpSocket, end: usize) {
        let segment = u16::try_from(self.segment_bytes).unwrap_or(u16::MAX);
        let segments = [ControlMessage::UdpGsoSegments(&segment)];
        let control = if self.count > 1 { &segments[..] } else { &[] };
        let bytes = [IoSlice::new(&self.buffer[..end])];
        let flags = MsgFlags::MSG_DONTWAIT;
        let mut result = sendmsg(socket.as_raw_fd(), &bytes, control, flags, Some(&self.address));
        if result == Err(Errno::ECONNREFUSED) {
            // The error of an earlier datagram: it says nothing about this one.
            result = sendmsg(socket.as_raw_fd(), &bytes, control, flags, Some(&self.address));
        }
        match result {
            Ok(_) => {
                self.sent += self.count as u64;
                self.bursts += 1;
            }
            Err(_) => self.refused += self.count as u64,
        }
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback() -> UdpSocket {
        open(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a socket")
    }

    #[test]
    fn equal_datagrams_leave_together_and_arrive_one_by_one_in_order() {
        let (from, to) = (loopback(), loopback());
        let destination = to.local_addr().expect("bound");
        let mut burst = Burst::new(4);
        let texts: [&[u8]; 8] = [b"aa", b"bb", b"ccc", b"dd", b"ee", b"ff", b"gg", b"hh"];
        for text in texts {
            burst.writer().extend_from_slice(text);
            burst.commit(&from, destination);
        }
        burst.flush(&from);
        // aa bb | ccc | dd ee ff gg | hh
        assert_eq!((burst.sent, burst.bursts, burst.refused), (8, 4, 0));
        let mut batch = Batch::new();
        let count = batch.receive(&to);
        assert_eq!((0..count).map(|at| batch.datagram(at)).collect::<Vec<_>>(), texts);
        assert!(Batch::is_drained_by(count));
        assert_eq!(batch.receive(&to), 0);
    }
}
