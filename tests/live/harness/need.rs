//! What a case needs of the machine, and the words for what is missing.
//!
//! Owns: the look at programs, rights and addresses. It must not know the cases.

use std::net::{Ipv6Addr, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};

use super::asterisk;

/// Bits of `CapEff` (linux/capability.h).
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// SIPp.
    Sipp,
    /// Kamailio.
    Kamailio,
    /// Asterisk in its Debian tree.
    Asterisk,
    /// baresip, a phone.
    Baresip,
    /// nft, which makes a NAT.
    Nft,
    /// Knot, a DNS server.
    Knot,
    /// The right to load a program for SO_REUSEPORT, and clang when the edge was built.
    Bpf,
    /// A kernel and a container profile that let us use io_uring.
    IoUring,
    /// The right to make network namespaces, and the `ip` program.
    Netns,
    /// tshark and sngrep, which read traces.
    Readers,
    /// The address ::1.
    Ipv6,
    /// The edge itself: its stand-in cannot do this.
    RealEdge,
}

impl Need {
    /// What is missing and how to get it; nothing when all is there.
    pub(crate) fn missing(self) -> Option<String> {
        let (there, text) = match self {
            Self::Sipp => (has("sipp"), "needs sipp (apt install sip-tester)"),
            Self::Kamailio => (has("kamailio"), "needs kamailio (apt install kamailio)"),
            Self::Asterisk => {
                let there = asterisk::tree().join("usr/sbin/asterisk").exists();
                (there, "needs Asterisk (as root: scripts/asterisk-tree.sh)")
            }
            Self::Baresip => (has("baresip"), "needs baresip (apt install baresip-core)"),
            Self::Nft => (has("nft"), "needs nft (apt install nftables)"),
            Self::Knot => (has("knotd"), "needs knotd (apt install knot)"),
            Self::Bpf if !has("clang") => (false, "needs an edge with eBPF (apt install clang)"),
            Self::Bpf => {
                let right =
                    has_right(CAP_SYS_ADMIN) || (has_right(CAP_BPF) && has_right(CAP_PERFMON));
                (right, "needs CAP_BPF and CAP_PERFMON (run as root)")
            }
            Self::IoUring => {
                let off = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled")
                    .is_ok_and(|text| text.trim() != "0");
                (!off, "needs io_uring (sysctl kernel.io_uring_disabled=0)")
            }
            Self::Netns if !has("ip") => (false, "needs ip (apt install iproute2)"),
            Self::Netns => (has_right(CAP_SYS_ADMIN), "needs CAP_SYS_ADMIN (run as root)"),
            Self::Readers => {
                let are_there = has("tshark") && has("sngrep");
                (are_there, "needs tshark and sngrep (apt install tshark sngrep)")
            }
            Self::Ipv6 => {
                (UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok(), "needs the address ::1")
            }
            Self::RealEdge => {
                let real = std::env::var("SIPEDGE_LIVE_EDGE").is_err();
                (real, "needs the edge itself (unset SIPEDGE_LIVE_EDGE)")
            }
        };
        (!there).then(|| text.to_owned())
    }

    /// Why this machine cannot have it at all: a skip then, where a missing tool would be a failure.
    pub(crate) fn cannot_be_had(self) -> Option<String> {
        if self == Self::Asterisk { asterisk::cannot_be_had() } else { None }
    }
}

fn has(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    // Debian's daemons are in sbin, which a user's PATH may not have.
    path.split(':').chain(["/usr/sbin", "/sbin"]).any(|d| Path::new(d).join(program).exists())
        && Command::new("setpriv").arg("--version").stdout(Stdio::null()).status().is_ok()
}

fn has_right(capability: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok())
        .is_some_and(|bits| bits >> capability & 1 == 1)
}
