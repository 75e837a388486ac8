//! What runs and why, in plain words, for the log; and what kept it from running.
//!
//! Owns: the words. Knows nothing of how things are done.

use std::fmt;
use std::io;
use std::net::SocketAddr;

/// The buffers that the kernel gave a listener's sockets, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketBuffers {
    /// For datagrams that came.
    pub receive_bytes: usize,
    /// For datagrams that go.
    pub send_bytes: usize,
}

/// What runs, and what it fell back from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartReport {
    /// How many shards.
    pub shards: usize,
    /// The core of each shard, where it is pinned.
    pub cores: Vec<Option<usize>>,
    /// Whether io_uring moves the datagrams (else recvmmsg does).
    pub io_uring: bool,
    /// Whether the eBPF program chooses the shards (else the kernel's hash does).
    pub ebpf: bool,
    /// Why not, if it does not.
    pub ebpf_reason: Option<String>,
    /// Each listener: its address and its sockets' buffers.
    pub listeners: Vec<(SocketAddr, SocketBuffers)>,
    /// What was asked for as a socket's buffer.
    pub buffer_bytes_asked: usize,
}

impl StartReport {
    /// The report in lines for a log.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.pinning(), self.io(), self.steering()];
        for (address, buffers) in &self.listeners {
            let SocketBuffers { receive_bytes, send_bytes } = *buffers;
            let mut line = format!(
                "listening on udp:{address}, one socket per shard, buffers of {receive_bytes} bytes to receive \
                 and {send_bytes} to send"
            );
            if receive_bytes < self.buffer_bytes_asked {
                let asked = self.buffer_bytes_asked;
                line.push_str(&format!(
                    " ({asked} were asked for: raise net.core.rmem_max and wmem_max, or give CAP_NET_ADMIN)"
                ));
            }
            lines.push(line);
        }
        lines
    }

    fn pinning(&self) -> String {
        let pinned: Vec<_> = self.cores.iter().flatten().map(usize::to_string).collect();
        if pinned.len() == self.shards {
            return format!("{} shards, pinned to cores {}", self.shards, pinned.join(", "));
        }
        format!("{} shards, {} of them pinned to a core", self.shards, pinned.len())
    }

    fn io(&self) -> String {
        if self.io_uring {
            return "datagrams by io_uring (multishot receive, provided buffers)".into();
        }
        "datagrams by recvmmsg and sendmmsg".into()
    }

    fn steering(&self) -> String {
        match (self.ebpf, &self.ebpf_reason) {
            (true, _) => "shards are chosen in the kernel by token and Call-ID (eBPF)".into(),
            (false, None) => "shards are chosen by the kernel's address hash, as configured".into(),
            (false, Some(reason)) => {
                format!(
                    "shards are chosen by the kernel's address hash, because eBPF is out: {reason}"
                )
            }
        }
    }
}

/// Why the shards did not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// Shards are 1 to 64.
    ShardCount(usize),
    /// Fewer cores were named than shards.
    CoreCount {
        /// Named.
        cores: usize,
        /// Wanted.
        shards: usize,
    },
    /// A core that this machine does not have, or that this process may not use.
    Core(usize),
    /// The table has no listener.
    NoListener,
    /// A listener's address cannot be had.
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the kernel said.
        error: io::Error,
    },
    /// A socket that the service manager passed cannot be used.
    Inherited(String),
    /// io_uring was asked for and does not work here.
    IoUring(String),
    /// The eBPF program was asked for and does not work here.
    Ebpf(String),
    /// The system refused something else: threads, memory, descriptors.
    System(&'static str, io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShardCount(count) => write!(f, "{count} shards: it must be 1 to 64"),
            Self::CoreCount { cores, shards } => {
                write!(f, "{cores} cores are named for {shards} shards: name one for each")
            }
            Self::Core(core) => write!(f, "core {core} is not there, or not ours to use"),
            Self::NoListener => f.write_str("no listener: there is nothing to receive from"),
            Self::Bind { address, error } => {
                write!(f, "cannot listen on udp:{address}: {error}")?;
                bind_advice(error).map_or(Ok(()), |advice| write!(f, " ({advice})"))
            }
            Self::Inherited(why) => write!(f, "sockets that were passed to us: {why}"),
            Self::IoUring(reason) => {
                write!(f, "io = \"io_uring\", but {reason}; io = \"auto\" takes recvmmsg")
            }
            Self::Ebpf(reason) => write!(
                f,
                "steering = \"ebpf\", but {reason}; steering = \"auto\" falls back to the kernel's hash"
            ),
            Self::System(what, error) => {
                write!(f, "cannot {what}: {error}")?;
                limit_advice(error).map_or(Ok(()), |advice| write!(f, " ({advice})"))
            }
        }
    }
}

impl std::error::Error for StartError {}

fn bind_advice(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            Some("another process has it: `ss -lunp` shows which; end it or choose another port")
        }
        io::ErrorKind::AddrNotAvailable => Some(
            "no interface has this address: add it, or set net.ipv4.ip_nonlocal_bind for an anycast one",
        ),
        io::ErrorKind::PermissionDenied => Some("ports below 1024 need CAP_NET_BIND_SERVICE"),
        _ => limit_advice(error),
    }
}

fn limit_advice(error: &io::Error) -> Option<&'static str> {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE) => Some(
            "raise LimitNOFILE or `ulimit -n`: each shard needs one for each listener and a few more",
        ),
        Some(libc::ENOMEM) => Some(
            "raise LimitMEMLOCK or `ulimit -l`, write io = \"recvmmsg\", or lower send_queue_max and receive_buffers",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_says_what_it_fell_back_from() {
        let buffers = SocketBuffers { receive_bytes: 100, send_bytes: 100 };
        let report = StartReport {
            shards: 2,
            cores: vec![Some(0), None],
            io_uring: false,
            ebpf: false,
            ebpf_reason: Some("needs CAP_BPF".into()),
            listeners: vec![("[::1]:5060".parse().expect("an address"), buffers)],
            buffer_bytes_asked: 200,
        };
        let text = report.lines().join("\n");
        for part in ["1 of them", "recvmmsg", "CAP_BPF", "[::1]:5060", "rmem_max"] {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
    }

    #[test]
    fn a_bind_error_says_what_to_do() {
        let error = StartError::Bind {
            address: "192.0.2.1:5060".parse().expect("an address"),
            error: io::Error::from_raw_os_error(libc::EADDRINUSE),
        };
        let text = error.to_string();
        assert!(text.contains("udp:192.0.2.1:5060") && text.contains("ss -lunp"), "{text}");
    }

    #[test]
    fn a_limit_is_named() {
        let text =
            |code| StartError::System("make rings", io::Error::from_raw_os_error(code)).to_string();
        assert!(text(libc::EMFILE).contains("LimitNOFILE"));
        assert!(text(libc::ENOMEM).contains("LimitMEMLOCK"));
    }
}
