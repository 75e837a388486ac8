//! pcapng (draft-ietf-opsawg-pcapng): the blocks of a file that Wireshark and sngrep read.
//!
//! Owns: the bytes, among them the Ethernet, IP and UDP headers that a message is given: a shard never sees the real ones.
//! Knows no file and no clock. Blocks are little-endian, the headers inside in network order.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
const INTERFACE: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const LINK_ETHERNET: u16 = 1;
const OPTION_COMMENT: u16 = 1;
const OPTION_FLAGS: u16 = 2;
/// Of an interface: its name.
const OPTION_NAME: u16 = 2;
/// Of a section: who wrote it.
const OPTION_APPLICATION: u16 = 4;
const IN_BOUND: u32 = 1;
const OUT_BOUND: u32 = 2;
const PROTOCOL_UDP: u8 = 17;
const HOPS: u8 = 64;
/// The largest UDP payload in IPv4; the message is cut to it.
const PAYLOAD_BYTES_MAX: usize = 65_507;

/// One message.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// We sent it.
    pub is_sent: bool,
    /// Who sent it.
    pub source: SocketAddr,
    /// Where it went.
    pub destination: SocketAddr,
    /// When: microseconds since 1970.
    pub time_us: u64,
    /// What is known of it.
    pub comment: &'a str,
    /// The message.
    pub message: &'a [u8],
}

/// The start of a file: a section with one interface.
#[must_use]
pub fn head(node: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut body = Vec::new();
    body.extend_from_slice(&BYTE_ORDER.to_le_bytes());
    // Version 1.0; the size of the section is not known.
    body.extend_from_slice(&[1, 0, 0, 0]);
    body.extend_from_slice(&u64::MAX.to_le_bytes());
    let application = concat!("sipedge ", env!("CARGO_PKG_VERSION"));
    option(&mut body, OPTION_APPLICATION, application.as_bytes());
    end_of_options(&mut body);
    block(&mut out, SECTION_HEADER, &body);
    body.clear();
    body.extend_from_slice(&LINK_ETHERNET.to_le_bytes());
    // Reserved; packets of any size. Times are microseconds unless an option says otherwise.
    body.extend_from_slice(&[0; 6]);
    option(&mut body, OPTION_NAME, node.as_bytes());
    end_of_options(&mut body);
    block(&mut out, INTERFACE, &body);
    out
}

/// Appends a message to `out`.
pub fn write(out: &mut Vec<u8>, packet: &Packet<'_>) {
    let frame = frame(packet);
    let size = u32::try_from(frame.len()).expect("a datagram and its headers");
    let mut body = Vec::with_capacity(frame.len() + packet.comment.len() + 64);
    body.extend_from_slice(&[0; 4]);
    // Upper half first, whatever the byte order.
    for half in [packet.time_us >> 32, packet.time_us & 0xffff_ffff] {
        body.extend_from_slice(&u32::try_from(half).expect("32 bits").to_le_bytes());
    }
    body.extend_from_slice(&size.to_le_bytes());
    body.extend_from_slice(&size.to_le_bytes());
    body.extend_from_slice(&frame);
    pad(&mut body);
    let flags = if packet.is_sent { OUT_BOUND } else { IN_BOUND };
    option(&mut body, OPTION_FLAGS, &flags.to_le_bytes());
    option(&mut body, OPTION_COMMENT, packet.comment.as_bytes());
    end_of_options(&mut body);
    block(out, ENHANCED_PACKET, &body);
}

fn block(out: &mut Vec<u8>, kind: u32, body: &[u8]) {
    let size = u32::try_from(body.len() + 12).expect("a block holds one datagram");
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&size.to_le_bytes());
    out.extend_from_slice(body);
    out.extend_from_slice(&size.to_le_bytes());
}

/// What is too long for an option is cut.
fn option(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let value = &value[..value.len().min(1024)];
    body.extend_from_slice(&kind.to_le_bytes());
    body.extend_from_slice(&u16::try_from(value.len()).expect("at most 1024").to_le_bytes());
    body.extend_from_slice(value);
    pad(body);
}

fn end_of_options(body: &mut Vec<u8>) {
    body.extend_from_slice(&[0; 4]);
}

fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}

/// The message with headers of all layers.
fn frame(packet: &Packet<'_>) -> Vec<u8> {
    let message = &packet.message[..packet.message.len().min(PAYLOAD_BYTES_MAX)];
    let ends = [packet.source, packet.destination].map(|end| end.ip().to_canonical());
    let udp_size = u16::try_from(message.len() + 8).expect("at most PAYLOAD_BYTES_MAX");
    // Locally administered addresses: 02:..:01 to 02:..:02.
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    let pseudo_header = if let [IpAddr::V4(source), IpAddr::V4(destination)] = ends {
        frame.extend_from_slice(&[0x08, 0x00]);
        let mut header = [0_u8; 20];
        header[0] = 0x45;
        header[2..4].copy_from_slice(&(udp_size + 20).to_be_bytes());
        (header[8], header[9]) = (HOPS, PROTOCOL_UDP);
        header[12..16].copy_from_slice(&source.octets());
        header[16..20].copy_from_slice(&destination.octets());
        let sum = checksum(&[&header]);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        frame.extend_from_slice(&header);
        header[12..20].to_vec()
    } else {
        frame.extend_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend_from_slice(&udp_size.to_be_bytes());
        frame.extend_from_slice(&[PROTOCOL_UDP, HOPS]);
        let octets = ends.map(|ip| as_v6(ip).octets()).concat();
        frame.extend_from_slice(&octets);
        octets
    };
    let mut udp = [0_u8; 8];
    udp[..2].copy_from_slice(&packet.source.port().to_be_bytes());
    udp[2..4].copy_from_slice(&packet.destination.port().to_be_bytes());
    udp[4..6].copy_from_slice(&udp_size.to_be_bytes());
    let rest = [&[0, PROTOCOL_UDP][..], &udp_size.to_be_bytes()].concat();
    // RFC 768: a sum of zero is written as all ones.
    let sum = match checksum(&[&pseudo_header, &rest, &udp, message]) {
        0 => u16::MAX,
        sum => sum,
    };
    udp[6..].copy_from_slice(&sum.to_be_bytes());
    frame.extend_from_slice(&udp);
    frame.extend_from_slice(message);
    frame
}

fn as_v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

/// The Internet checksum (RFC 1071). All parts but the last have an even size.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u64;
    for word in parts.iter().flat_map(|part| part.chunks(2)) {
        sum += u64::from(u16::from_be_bytes([word[0], word.get(1).copied().unwrap_or(0)]));
    }
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !u16::try_from(sum).expect("folded to 16 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_a_known_header() {
        // The example of Wikipedia's article on the IPv4 header.
        let header = [
            0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0,
            0xc7,
        ];
        assert_eq!(checksum(&[&header]), 0xb861);
    }

    fn check(source: &str, destination: &str, message: &[u8], headers: usize) {
        let packet = Packet {
            is_sent: true,
            source: source.parse().expect("an address"),
            destination: destination.parse().expect("an address"),
            time_us: 0x1_0000_0002,
            comment: "why",
            message,
        };
        let mut out = Vec::new();
        write(&mut out, &packet);
        let word = |at: usize| u32::from_le_bytes(out[at..at + 4].try_into().expect("four"));
        assert_eq!(word(0), ENHANCED_PACKET);
        assert_eq!(usize::try_from(word(4)).expect("small"), out.len());
        assert_eq!(word(out.len() - 4), word(4));
        assert_eq!((word(12), word(16)), (1, 2));
        let size = usize::try_from(word(20)).expect("small");
        assert_eq!(size, headers + message.len().min(PAYLOAD_BYTES_MAX));
        assert_eq!(out.len() % 4, 0);
        assert!(out[28..].starts_with(&frame(&packet)));
    }

    #[test]
    fn blocks_are_whole_words_and_hold_the_message() {
        check("192.0.2.1:5060", "192.0.2.2:5070", b"abc", 14 + 20 + 8);
        check("[2001:db8::1]:5060", "192.0.2.2:5070", b"", 14 + 40 + 8);
        check("[2001:db8::1]:5060", "[2001:db8::2]:1", &[b'x'; 65_535], 14 + 40 + 8);
        assert_eq!(head("a node").len() % 4, 0);
    }
}
