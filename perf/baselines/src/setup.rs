//! What a floor is told on its command line, and its socket.
//!
//! Owns: `floor LISTEN BACKEND,BACKEND,..`, and the size of the socket's buffers, which is that of all targets.

use std::io;
use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::AsFd;

use nix::sys::socket::{setsockopt, sockopt};

use crate::job::Job;

/// What is asked of the kernel for each direction; limited by net.core.rmem_max and wmem_max.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// Reads the command line.
pub fn arguments(mut words: impl Iterator<Item = String>) -> Result<(SocketAddrV4, Job), String> {
    const USAGE: &str = "usage: FLOOR LISTEN BACKEND[,BACKEND..]   (IPv4 addresses with ports)";
    let (Some(listen), Some(backends), None) = (words.next(), words.next(), words.next()) else {
        return Err(USAGE.into());
    };
    let address = |text: &str| text.parse().map_err(|_| format!("{text:?} is no address\n{USAGE}"));
    let listen = address(&listen)?;
    let backends = backends.split(',').map(address).collect::<Result<Vec<_>, _>>()?;
    Ok((listen, Job::new(listen, backends)))
}

/// Binds the floor's socket.
pub fn bind(listen: SocketAddrV4) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(listen)?;
    enlarge(&socket)?;
    Ok(socket)
}

/// Asks for large buffers.
pub fn enlarge(socket: &impl AsFd) -> io::Result<()> {
    setsockopt(socket, sockopt::RcvBuf, &SOCKET_BUFFER_BYTES)?;
    setsockopt(socket, sockopt::SndBuf, &SOCKET_BUFFER_BYTES)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &str, good: bool) {
        let read = arguments(words.split_whitespace().map(str::to_owned));
        assert_eq!(read.is_ok(), good, "{words}: {read:?}");
    }

    #[test]
    fn the_command_line_is_read_whole() {
        check("127.0.0.1:5060 127.0.0.1:5071,127.0.0.1:5072", true);
        check("127.0.0.1:5060", false);
        check("127.0.0.1:5060 127.0.0.1", false);
        check("127.0.0.1:5060 127.0.0.1:5071 more", false);
    }
}
