//! What a caller may choose about the shards.
//!
//! Owns: the options and their defaults. Knows nothing of how they are carried out.

/// How datagrams are moved between kernel and shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Io {
    /// What costs least for the listeners that there are: recvmmsg for UDP.
    #[default]
    Auto,
    /// io_uring or an error.
    IoUring,
    /// recvmmsg and sendmmsg.
    Recvmmsg,
}

/// How the kernel picks a shard's socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Steering {
    /// The eBPF program where the kernel allows it, else the kernel's own hash.
    #[default]
    Auto,
    /// The eBPF program or an error.
    Ebpf,
    /// The kernel's hash over addresses and ports.
    Kernel,
}

/// What a caller may choose about the shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How many shards: 1 to [`crate::sip::route::table::SHARDS_MAX`].
    pub shards: usize,
    /// The cores to pin them to, in order. `None`: the cores this process may use, one shard each, and no
    /// pinning when there are more shards than cores.
    pub cores: Option<Vec<usize>>,
    /// How datagrams are moved.
    pub io: Io,
    /// How the kernel picks a shard.
    pub steering: Steering,
    /// Datagrams of one shard that may wait to be sent; at the bound they are dropped and counted as
    /// [`crate::sip::DropReason::SendQueueFull`]. 1 to 32,768.
    pub send_queue_max: usize,
    /// Receive buffers of one shard's ring, rounded up to a power of two. 8 to 32,768. (recvmmsg needs no
    /// more than one batch.)
    pub receive_buffers: usize,
    /// What is asked of the kernel for the receive and for the send buffer of each socket, in bytes.
    pub socket_buffer_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            shards: 1,
            cores: None,
            io: Io::Auto,
            steering: Steering::Auto,
            send_queue_max: 1024,
            receive_buffers: 1024,
            socket_buffer_bytes: 4 << 20,
        }
    }
}
