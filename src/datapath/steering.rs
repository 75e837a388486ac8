//! The steering program and a listener's sockets: who gives the one to the other.
//!
//! Owns: the order (loaded and filled first, attached then), and when there is to be no program. The program itself is
//! [`crate::bpf`]'s.

use std::net::UdpSocket;
use std::os::fd::AsFd;

use super::options::{Options, Steering};
use super::report::StartError;
use super::sys;
use crate::bpf::{self, Program, Refusal, Steered};

/// Loads the program for a SO_REUSEPORT group and attaches it: the socket at place n is shard n's.
pub fn steer(group: &[UdpSocket]) -> Result<Steered, Refusal> {
    let Program { descriptor, steered } = bpf::load(group)?;
    let Some(member) = group.first() else { return Ok(steered) };
    sys::attach_reuseport(member.as_fd(), descriptor.as_fd())
        .map_err(|error| Refusal::Failed("attach the eBPF program", error.to_string()))?;
    Ok(steered)
}

/// The programs of the listeners: for all or for none; and why for none.
pub(super) fn choose(
    options: &Options,
    groups: &[Vec<UdpSocket>],
) -> Result<(Vec<Option<Steered>>, Option<String>), StartError> {
    let none = || groups.iter().map(|_| None).collect();
    if options.steering == Steering::Kernel {
        return Ok((none(), None));
    }
    if options.shards == 1 && options.steering == Steering::Auto {
        return Ok((none(), Some("one shard needs no choice".into())));
    }
    let steered: Result<Vec<_>, _> = groups.iter().map(|group| steer(group).map(Some)).collect();
    match steered {
        Ok(steered) => Ok((steered, None)),
        Err(refusal) if options.steering == Steering::Ebpf => {
            Err(StartError::Ebpf(refusal.to_string()))
        }
        Err(refusal) => Ok((none(), Some(refusal.to_string()))),
    }
}
