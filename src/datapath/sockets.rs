//! The sockets of a listener: a SO_REUSEPORT group with one member per shard.
//!
//! Owns: how sockets are made and bound. Knows nothing of who reads them. Buffer sizes are bytes.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::report::{SocketBuffers, StartError};
use super::sys;

/// The members of one listener, in the order of the shards, and the buffers that they got. `first` are bound already, by
/// whoever started us.
pub(super) fn bind_group(
    address: SocketAddr,
    first: Vec<UdpSocket>,
    shards: usize,
    buffer_bytes: usize,
) -> Result<(Vec<UdpSocket>, SocketBuffers), StartError> {
    let refused = |error| StartError::Bind { address, error };
    let passed = first.len();
    if passed > shards {
        let why =
            format!("{passed} for {address}, and there are {shards} shards: one each at most");
        return Err(StartError::Inherited(why));
    }
    let mut group = first;
    for socket in &group {
        join(socket, address, buffer_bytes).map_err(refused)?;
    }
    let address =
        if passed > 0 { address } else { probe(address, buffer_bytes).map_err(refused)? };
    while group.len() < shards {
        group.push(bind(address, true, buffer_bytes).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse if passed > 0 => StartError::Inherited(format!(
                "{passed} for {address}, and the kernel lets no more join: a group belongs to the user who began it. Write \
                 ListenDatagram= once for each of the {shards} shards, and ReusePort=yes, or set shards to {passed}"
            )),
            _ => refused(error),
        })?);
    }
    let buffers =
        group.first().map_or(SocketBuffers { receive_bytes: 0, send_bytes: 0 }, |socket| {
            let socket = SockRef::from(socket);
            // The kernel doubles what it is asked, for its own bookkeeping, and answers the double.
            SocketBuffers {
                receive_bytes: socket.recv_buffer_size().unwrap_or(0) / 2,
                send_bytes: socket.send_buffer_size().unwrap_or(0) / 2,
            }
        });
    Ok((group, buffers))
}

/// A stranger's SO_REUSEPORT group would take us in, and half of the messages would go there: bind alone first. Says the port.
fn probe(address: SocketAddr, buffer_bytes: usize) -> io::Result<SocketAddr> {
    let alone = bind(address, false, buffer_bytes)?;
    Ok(match alone.local_addr() {
        Ok(bound) if address.port() == 0 => bound,
        _ => address,
    })
}

/// Makes a socket that somebody else bound a member like the others.
fn join(socket: &UdpSocket, address: SocketAddr, buffer_bytes: usize) -> io::Result<()> {
    let socket = SockRef::from(socket);
    // A ring gets EAGAIN where it should wait.
    socket.set_nonblocking(false)?;
    socket.set_reuse_port(true)?;
    prepare(&socket, address, buffer_bytes)
}

fn bind(address: SocketAddr, member: bool, buffer_bytes: usize) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if member {
        socket.set_reuse_port(true)?;
    }
    prepare(&socket, address, buffer_bytes)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn prepare(socket: &Socket, address: SocketAddr, buffer_bytes: usize) -> io::Result<()> {
    sys::allow_fragments(socket.as_fd(), address.is_ipv6())?;
    sys::keep_errors(socket.as_fd(), address.is_ipv6())?;
    // Beyond the system's maximum if we may, up to it if we may not.
    if sys::force_receive_buffer(socket.as_fd(), buffer_bytes).is_err() {
        socket.set_recv_buffer_size(buffer_bytes)?;
    }
    if sys::force_send_buffer(socket.as_fd(), buffer_bytes).is_err() {
        socket.set_send_buffer_size(buffer_bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel answers for a socket's path MTU discovery.
    fn discovery(socket: &UdpSocket, (level, name): (libc::c_int, libc::c_int)) -> libc::c_int {
        sys::option(socket.as_fd(), level, name).expect("the kernel answers")
    }

    #[test]
    fn nobody_outside_says_how_large_our_fragments_are() {
        let v4 = (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_OMIT);
        let v6 = (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_OMIT);
        for (address, (level, name, omit)) in [("127.0.0.1:0", v4), ("[::1]:0", v6)] {
            let address = address.parse().expect("an address");
            let (group, _) = bind_group(address, vec![], 2, 1 << 16).expect("sockets");
            for socket in &group {
                assert_eq!(discovery(socket, (level, name)), omit, "{address}");
            }
        }
    }
}
