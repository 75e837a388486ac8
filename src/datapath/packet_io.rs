//! The seam between a shard and the ways to move datagrams: receive a batch, send a batch, sweep.
//!
//! Owns: the choice between the ways. Each way owns its sockets, its receive buffers and the [`SendQueue`]. It must
//! not know what a message is. AF_XDP is to be a third arm.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::io_counts::IoCounts;
use super::mmsg::Mmsg;
use super::send_queue::SendQueue;
use super::uring::Uring;
use crate::sip::Received;

/// One shard's way to move datagrams.
pub(crate) enum PacketIo {
    /// io_uring: multishot receive into provided buffers.
    Uring(Box<Uring>),
    /// recvmmsg and sendmmsg.
    Mmsg(Box<Mmsg>),
}

impl PacketIo {
    /// Waits until there is a datagram or mail, at most `timeout`. What is sent by then goes on.
    pub(crate) fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        match self {
            Self::Uring(io) => io.wait(timeout),
            Self::Mmsg(io) => io.wait(timeout),
        }
    }

    /// Calls `on` for each datagram of a batch and answers how many there were. Never waits.
    pub(crate) fn receive(&mut self, on: impl FnMut(&Received<'_>, &mut SendQueue)) -> usize {
        match self {
            Self::Uring(io) => io.receive(on),
            Self::Mmsg(io) => io.receive(on),
        }
    }

    /// Hands what is queued to the kernel. Never waits; what the kernel refuses is counted.
    pub(crate) fn send(&mut self) -> io::Result<()> {
        match self {
            Self::Uring(io) => io.send(),
            Self::Mmsg(io) => io.send(),
        }
    }

    /// Brings back what broke: receives that ended. Calls `on_unreachable` with the destinations that ICMP errors of the
    /// turn are about, at most [`super::icmp::ENTRIES_MAX`] for each listener.
    pub(crate) fn sweep(&mut self, on_unreachable: impl FnMut(SocketAddr)) {
        match self {
            Self::Uring(io) => io.sweep(on_unreachable),
            Self::Mmsg(io) => io.sweep(on_unreachable),
        }
    }

    /// The queue to push to.
    pub(crate) fn queue(&mut self) -> &mut SendQueue {
        match self {
            Self::Uring(io) => io.queue(),
            Self::Mmsg(io) => io.queue(),
        }
    }

    /// What was counted so far; asks the kernel for its drops, so not for every turn.
    pub(crate) fn counts(&self) -> IoCounts {
        match self {
            Self::Uring(io) => io.counts(),
            Self::Mmsg(io) => io.counts(),
        }
    }
}

#[cfg(test)]
mod measure;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod unreachable_tests;
