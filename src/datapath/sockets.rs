//! The sockets of a listener: a SO_REUSEPORT group with one member per shard.
//!
//! Owns: how sockets are made and bound. Knows nothing of who reads them. Buffer sizes are bytes.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;

use socket2::{Domain, Protocol, Socket, Type};

use super::report::{SocketBuffers, StartError};
use super::sys;

/// The members of one listener, in the order of the shards, and the buffers that they got.
pub(super) fn bind_group(
    address: SocketAddr,
    shards: usize,
    buffer_bytes: usize,
) -> Result<(Vec<UdpSocket>, SocketBuffers), StartError> {
    let refused = |error| StartError::Bind { address, error };
    // A stranger's SO_REUSEPORT group would take us in, and half of the messages would go there: bind alone first.
    let alone = bind(address, false, buffer_bytes).map_err(refused)?;
    let address = match alone.local_addr() {
        Ok(bound) if address.port() == 0 => bound,
        _ => address,
    };
    drop(alone);
    let mut group = Vec::with_capacity(shards);
    for _ in 0..shards {
        group.push(bind(address, true, buffer_bytes).map_err(refused)?);
    }
    let buffers =
        group.first().map_or(SocketBuffers { receive_bytes: 0, send_bytes: 0 }, |socket| {
            let socket = socket2::SockRef::from(socket);
            // The kernel doubles what it is asked, for its own bookkeeping, and answers the double.
            SocketBuffers {
                receive_bytes: socket.recv_buffer_size().unwrap_or(0) / 2,
                send_bytes: socket.send_buffer_size().unwrap_or(0) / 2,
            }
        });
    Ok((group, buffers))
}

fn bind(address: SocketAddr, member: bool, buffer_bytes: usize) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if member {
        socket.set_reuse_port(true)?;
    }
    sys::allow_fragments(socket.as_fd(), address.is_ipv6())?;
    sys::keep_errors(socket.as_fd(), address.is_ipv6())?;
    // Beyond the system's maximum if we may, up to it if we may not.
    if sys::force_receive_buffer(socket.as_fd(), buffer_bytes).is_err() {
        socket.set_recv_buffer_size(buffer_bytes)?;
    }
    if sys::force_send_buffer(socket.as_fd(), buffer_bytes).is_err() {
        socket.set_send_buffer_size(buffer_bytes)?;
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}
