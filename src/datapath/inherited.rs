//! Sockets that the service manager bound before we started (sd_listen_fds(3)): the first members of our groups.
//!
//! Owns: taking them over, once, and giving out those of an address. Knows nothing of who reads them.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{SockRef, Type};

use super::report::StartError;

/// Set when they were taken over: only one owner can close them.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The sockets that were passed and not given out yet.
#[derive(Debug, Default)]
pub(super) struct Inherited(Vec<(SocketAddr, UdpSocket)>);

impl Inherited {
    /// What `LISTEN_FDS` and `LISTEN_PID` pass to this process; nothing the second time.
    pub(super) fn take() -> Result<Self, StartError> {
        if TAKEN.swap(true, Ordering::Relaxed) {
            return Ok(Self::default());
        }
        let passed = sd_notify::listen_fds().map_err(|error| refused(&error.to_string()))?;
        passed.map(adopt).collect::<Result<_, _>>().map(Self)
    }

    /// Those bound to this address, in the order in which they were passed.
    pub(super) fn give(&mut self, address: SocketAddr) -> Vec<UdpSocket> {
        let found = self.0.extract_if(.., |(bound, _)| *bound == address);
        found.map(|(_, socket)| socket).collect()
    }

    /// Messages to what is left would wait there for ever.
    pub(super) fn must_be_empty(&self) -> Result<(), StartError> {
        match self.0.first() {
            None => Ok(()),
            Some((address, _)) => Err(refused(&format!(
                "{address}, and no [[listen]] has that address: write it there, or take it out of the socket unit"
            ))),
        }
    }
}

fn refused(why: &str) -> StartError {
    StartError::Inherited(why.to_owned())
}

fn adopt(fd: RawFd) -> Result<(SocketAddr, UdpSocket), StartError> {
    // SAFETY: the service manager opened this descriptor for this process (LISTEN_PID names it), and `TAKEN` makes this the
    // only place that owns it.
    let socket = UdpSocket::from(unsafe { OwnedFd::from_raw_fd(fd) });
    let address = check(&socket).map_err(|why| refused(&format!("descriptor {fd}: {why}")))?;
    Ok((address, socket))
}

/// Fit to be a member, and for which address.
fn check(socket: &UdpSocket) -> Result<SocketAddr, String> {
    let options = SockRef::from(socket);
    if options.r#type().map_err(|error| error.to_string())? != Type::DGRAM {
        return Err("it is no UDP socket: this build forwards UDP; write ListenDatagram=".into());
    }
    let address = socket.local_addr().map_err(|error| format!("it has no IP address: {error}"))?;
    // It can no longer be set once a socket is bound.
    if address.ip().is_unspecified() && address.is_ipv6() && !options.only_v6().unwrap_or(false) {
        return Err(format!("{address} takes IPv4, too: write BindIPv6Only=ipv6-only"));
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::fd::IntoRawFd;

    use super::*;

    fn passed(addresses: &[&str]) -> Inherited {
        let bound = addresses.iter().map(|address| UdpSocket::bind(address).expect("a free port"));
        let adopted = bound.map(|socket| adopt(socket.into_raw_fd()).expect("a UDP socket"));
        Inherited(adopted.collect())
    }

    #[test]
    fn each_goes_to_its_listener_and_none_may_be_left() {
        let mut inherited = passed(&["127.0.0.1:0", "127.0.0.1:0"]);
        let (first, second) = (inherited.0[0].0, inherited.0[1].0);
        assert_eq!(inherited.give(first).len(), 1);
        assert_eq!(inherited.give(first).len(), 0);
        let error = inherited.must_be_empty().expect_err("one is left").to_string();
        assert!(error.contains(&second.to_string()), "{error}");
        assert_eq!(inherited.give(second).len(), 1);
        assert!(inherited.must_be_empty().is_ok());
    }

    #[test]
    fn what_is_no_udp_socket_is_refused() {
        let stream = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let error = adopt(stream.into_raw_fd()).expect_err("a stream").to_string();
        assert!(error.contains("no UDP socket"), "{error}");
        let file = std::fs::File::open("/dev/null").expect("it is there");
        assert!(adopt(file.into_raw_fd()).is_err());
        if let Ok(both) = UdpSocket::bind("[::]:0") {
            let error = adopt(both.into_raw_fd()).expect_err("both families").to_string();
            assert!(error.contains("BindIPv6Only"), "{error}");
        }
    }
}
