//! HEP3, as Homer reads it: one packet for each message.
//!
//! Owns: the bytes. Knows no socket and no clock. All numbers are in network order; a chunk is vendor, type, size with these
//! six bytes, and value (HEP3 network protocol specification, revision 12).

use std::net::{IpAddr, SocketAddr};

use crate::secret::Secret;

/// The largest packet: what fits into a datagram over IPv4. The message is cut to it.
pub const PACKET_BYTES_MAX: usize = 65_507;

const FAMILY_V4: u8 = 2;
const FAMILY_V6: u8 = 10;
const PROTOCOL_UDP: u8 = 17;
const PAYLOAD_SIP: u8 = 1;

/// What a packet says.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// Who sent the message.
    pub source: SocketAddr,
    /// Where it went.
    pub destination: SocketAddr,
    /// When: microseconds since 1970.
    pub time_us: u64,
    /// The number of this node.
    pub node_id: u32,
    /// The sink's password.
    pub password: Option<&'a Secret>,
    /// The message.
    pub message: &'a [u8],
}

/// Writes a packet into `out`, in place of what was there.
pub fn write(out: &mut Vec<u8>, packet: &Packet<'_>) {
    out.clear();
    // The size is written at the end.
    out.extend_from_slice(b"HEP3\0\0");
    // An IPv6 socket that talks to IPv4 has mapped addresses; both ends must be of one family.
    let ends = [packet.source, packet.destination].map(|end| (end.ip().to_canonical(), end.port()));
    let is_v4 = ends.iter().all(|(ip, _)| ip.is_ipv4());
    chunk(out, 1, &[if is_v4 { FAMILY_V4 } else { FAMILY_V6 }]);
    chunk(out, 2, &[PROTOCOL_UDP]);
    for (place, (ip, _)) in (0..).zip(ends) {
        match ip {
            IpAddr::V4(ip) if is_v4 => chunk(out, 3 + place, &ip.octets()),
            IpAddr::V4(ip) => chunk(out, 5 + place, &ip.to_ipv6_mapped().octets()),
            IpAddr::V6(ip) => chunk(out, 5 + place, &ip.octets()),
        }
    }
    for (place, (_, port)) in (0..).zip(ends) {
        chunk(out, 7 + place, &port.to_be_bytes());
    }
    let seconds = u32::try_from(packet.time_us / 1_000_000).unwrap_or(u32::MAX);
    let micros = u32::try_from(packet.time_us % 1_000_000).expect("below a million");
    chunk(out, 9, &seconds.to_be_bytes());
    chunk(out, 10, &micros.to_be_bytes());
    chunk(out, 11, &[PAYLOAD_SIP]);
    chunk(out, 12, &packet.node_id.to_be_bytes());
    if let Some(password) = packet.password {
        chunk(out, 14, password.expose().as_bytes());
    }
    let room = PACKET_BYTES_MAX.saturating_sub(out.len() + HEAD_BYTES);
    chunk(out, 15, &packet.message[..packet.message.len().min(room)]);
    let size = u16::try_from(out.len()).expect("at most PACKET_BYTES_MAX");
    out[4..6].copy_from_slice(&size.to_be_bytes());
}

/// Vendor, type and size of a chunk.
const HEAD_BYTES: usize = 6;

/// A chunk of the generic vendor. Nothing that is written here is larger than a packet.
fn chunk(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let size = u16::try_from(value.len() + HEAD_BYTES).expect("at most PACKET_BYTES_MAX");
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&size.to_be_bytes());
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(message: &[u8]) -> Packet<'_> {
        Packet {
            source: "[2001:db8::1]:5060".parse().expect("an address"),
            destination: "192.0.2.1:5070".parse().expect("an address"),
            time_us: 1_700_000_000_000_007,
            node_id: 7,
            password: None,
            message,
        }
    }

    #[test]
    fn the_largest_message_is_cut_to_a_datagram() {
        let mut out = b"what was there".to_vec();
        write(&mut out, &packet(&[b'x'; 65_535]));
        assert_eq!(out.len(), PACKET_BYTES_MAX);
        assert_eq!(usize::from(u16::from_be_bytes([out[4], out[5]])), out.len());
    }

    #[test]
    fn ends_of_two_families_are_written_as_one() {
        let mut out = Vec::new();
        write(&mut out, &packet(b"x"));
        assert_eq!(out[6..13], [0, 0, 0, 1, 0, 7, FAMILY_V6]);
        let mapped = [0, 0, 0, 6, 0, 22, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1];
        assert!(out.windows(mapped.len()).any(|window| window == mapped), "{out:x?}");
    }
}
