//! What a way to move datagrams counts by itself.
//!
//! Owns: the names of the counts. The shard adds them to its counters; nothing here knows which way counted.

/// What a way counts by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct IoCounts {
    /// The kernel refused to send.
    pub(crate) send_failed: u64,
    /// A receive call failed.
    pub(crate) receive_errors: u64,
    /// ICMP errors that our datagrams brought back.
    pub(crate) icmp_errors: u64,
    /// No receive buffer was left.
    pub(crate) buffers_exhausted: u64,
    /// Dropped by the kernel for want of room in the socket's buffer.
    pub(crate) socket_drops: u64,
}
