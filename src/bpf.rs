//! The user half of `ebpf/`: loads the steering program and fills its maps.
//!
//! Owns: how the object file is loaded, and the counts read back. Knows nothing of messages or threads, nor how the
//! program is given to sockets. Without clang at build time there is no object file, and [`load`] says so.

use std::fmt;
use std::net::UdpSocket;
use std::os::fd::OwnedFd;

/// A loaded steering program. Once a group of sockets has the program, the kernel keeps it as long as the group.
#[derive(Debug)]
pub struct Program {
    /// What a group of sockets is given.
    pub descriptor: OwnedFd,
    /// What the program counts.
    pub steered: Steered,
}

/// A steering program at work on one listener.
#[derive(Debug)]
pub struct Steered {
    #[cfg(sipedge_bpf)]
    picks: libbpf_rs::MapHandle,
}

/// How often the program picked, and why, on one listener.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Picks {
    /// Our own mark named the shard.
    pub mark: u64,
    /// The hash of the Call-ID.
    pub call_id: u64,
    /// Neither was found: the kernel's own hash.
    pub none: u64,
    /// Found, but that shard has no socket: the kernel's own hash.
    pub refused: u64,
}

/// Why there is no program.
#[derive(Debug)]
pub enum Refusal {
    /// Built without clang.
    NotBuilt,
    /// The kernel does not let this process load it.
    Forbidden,
    /// The kernel refused the step.
    Failed(&'static str, String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBuilt => f.write_str("built without eBPF (no clang at build time)"),
            Self::Forbidden => f.write_str(
                "not permitted: needs CAP_BPF and CAP_PERFMON, and the system calls bpf and memfd_create",
            ),
            Self::Failed(step, error) => write!(f, "could not {step}: {error}"),
        }
    }
}

impl std::error::Error for Refusal {}

/// Loads the program for a SO_REUSEPORT group: the socket at place n is shard n's.
#[cfg(not(sipedge_bpf))]
pub fn load(_group: &[UdpSocket]) -> Result<Program, Refusal> {
    Err(Refusal::NotBuilt)
}

#[cfg(not(sipedge_bpf))]
impl Steered {
    /// What was picked so far.
    #[must_use]
    pub fn picks(&self) -> Picks {
        Picks::default()
    }
}

#[cfg(sipedge_bpf)]
pub use with_bpf::load;

#[cfg(sipedge_bpf)]
mod with_bpf {
    use std::os::fd::{AsFd, AsRawFd};

    use libbpf_rs::{ErrorKind, MapCore, MapFlags, MapHandle, ObjectBuilder, PrintLevel};

    use super::{Picks, Program, Refusal, Steered, UdpSocket};

    const OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/reuseport.bpf.o"));

    /// Loads the program for a SO_REUSEPORT group: the socket at place n is shard n's.
    pub fn load(group: &[UdpSocket]) -> Result<Program, Refusal> {
        // What libbpf prints is in the error too.
        libbpf_rs::set_print(Some((PrintLevel::Debug, |_, _| {})));
        let mut open = ObjectBuilder::default()
            .open_memory(OBJECT)
            .map_err(|error| failed("open the eBPF object", &error))?;
        let shards = u32::try_from(group.len()).expect("at most 64 sockets");
        for mut map in open.maps_mut() {
            if map.name().to_string_lossy().ends_with(".rodata")
                && let Some(value) = map.initial_value_mut()
            {
                // The one constant that is set from here: `shards` of steer.h.
                value[..4].copy_from_slice(&shards.to_ne_bytes());
            }
        }
        let object = open.load().map_err(|error| failed("load the eBPF program", &error))?;
        let map = |name: &str| object.maps().find(|map| map.name() == name);
        let sockets = map("sockets").ok_or_else(|| missing("sockets"))?;
        for (shard, socket) in (0_u32..).zip(group) {
            let fd = u64::try_from(socket.as_raw_fd()).expect("an open descriptor is not negative");
            sockets
                .update(&shard.to_ne_bytes(), &fd.to_ne_bytes(), MapFlags::ANY)
                .map_err(|error| failed("enter the sockets into the eBPF map", &error))?;
        }
        let picks = map("picks").ok_or_else(|| missing("picks"))?;
        let picks = MapHandle::try_from(&picks).map_err(|error| failed("keep the map", &error))?;
        let program = object.progs().find(|program| program.name() == "pick_shard");
        let program = program.ok_or_else(|| missing("pick_shard"))?;
        let descriptor = program.as_fd().try_clone_to_owned();
        let descriptor = descriptor
            .map_err(|error| Refusal::Failed("keep the eBPF program", error.to_string()))?;
        Ok(Program { descriptor, steered: Steered { picks } })
    }

    impl Steered {
        /// What was picked so far.
        #[must_use]
        pub fn picks(&self) -> Picks {
            let picked = |place: u32| {
                let per_cpu = self.picks.lookup_percpu(&place.to_ne_bytes(), MapFlags::ANY);
                let per_cpu = per_cpu.ok().flatten().unwrap_or_default();
                per_cpu
                    .iter()
                    .filter_map(|bytes| bytes.get(..8)?.try_into().ok())
                    .map(u64::from_ne_bytes)
                    .sum()
            };
            // The order of `enum pick` in shared.h.
            Picks { mark: picked(0), call_id: picked(1), none: picked(2), refused: picked(3) }
        }
    }

    fn failed(step: &'static str, error: &libbpf_rs::Error) -> Refusal {
        let mut text = format!("{error:#}");
        // EACCES is a permission denied too, but that of the verifier, which is stricter without CAP_PERFMON.
        if text.contains("(os error 13)") {
            text += "; is CAP_PERFMON missing?";
        }
        if error.kind() == ErrorKind::PermissionDenied && text.contains("(os error 1)") {
            return Refusal::Forbidden;
        }
        Refusal::Failed(step, text)
    }

    fn missing(name: &'static str) -> Refusal {
        Refusal::Failed("find in the eBPF object", name.into())
    }
}
