//! Stub: what goes out. Replaced by the real outbox.

use std::net::{Ipv4Addr, SocketAddr};

use crate::sip::{Decision, ListenerId};

/// Where it goes.
#[derive(Debug, Clone, Copy)]
pub struct Transmit {
    /// Next hop.
    pub destination: SocketAddr,
    /// From which listener.
    pub listener: ListenerId,
}

/// Stub outbox: an echo.
#[derive(Debug)]
pub struct Outbox {
    pub(crate) decision: Decision,
    pub(crate) transmit: Transmit,
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Outbox {
    /// Empty.
    #[must_use]
    pub fn new() -> Self {
        Self {
            decision: Decision::default(),
            transmit: Transmit {
                destination: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
                listener: ListenerId(0),
            },
        }
    }

    /// What was decided.
    #[must_use]
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// Where it goes.
    #[must_use]
    pub fn transmit(&self) -> Transmit {
        self.transmit
    }

    /// One copy.
    pub fn write_to(&self, received_bytes: &[u8], out: &mut [u8]) -> Option<usize> {
        out.get_mut(..received_bytes.len())?.copy_from_slice(received_bytes);
        Some(received_bytes.len())
    }
}
