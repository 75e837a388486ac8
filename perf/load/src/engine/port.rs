//! One socket of a caller or backend, with what waits to leave through it.
//!
//! Owns: the order of its two bursts.

use std::net::{SocketAddr, UdpSocket};

use crate::sockets::Burst;

/// One socket with what waits to leave through it.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) socket: UdpSocket,
    pub(super) burst: Burst,
    /// What must leave before `burst`: a 180 and its 200 differ in size, so each has its own burst.
    pub(super) early: Burst,
    pub(super) address: SocketAddr,
}

impl Port {
    pub(super) fn new(socket: UdpSocket, burst_max: usize) -> std::io::Result<Self> {
        let address = socket.local_addr()?;
        Ok(Self { socket, burst: Burst::new(burst_max), early: Burst::new(burst_max), address })
    }

    /// Ends the datagram that was written to `burst`.
    pub(super) fn commit(&mut self, destination: SocketAddr) {
        if !self.burst.joins(destination) {
            self.early.flush(&self.socket);
        }
        self.burst.commit(&self.socket, destination);
    }

    /// Ends the datagram that was written to `early`.
    pub(super) fn commit_early(&mut self, destination: SocketAddr) {
        self.early.commit(&self.socket, destination);
    }

    /// Sends what waits.
    pub(super) fn flush(&mut self) {
        self.early.flush(&self.socket);
        self.burst.flush(&self.socket);
    }
}
