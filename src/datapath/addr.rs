//! Socket addresses as the kernel lays them out.
//!
//! Owns: the bytes of `sockaddr_in` and `sockaddr_in6`. Knows nothing of sockets. Ports and addresses are in
//! network order there; the family is in the machine's order.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// The size of a `sockaddr_in6`, the larger of the two, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 28;
/// The size of a `sockaddr_in`, in bytes.
const NAME_BYTES_V4: usize = 16;

/// Room for an address in the kernel's layout.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(8))]
pub(crate) struct Name {
    pub(crate) bytes: [u8; NAME_BYTES_MAX],
}

impl Name {
    pub(crate) const EMPTY: Self = Self { bytes: [0; NAME_BYTES_MAX] };

    /// Writes `address` and returns its size in bytes.
    pub(crate) fn write(&mut self, address: SocketAddr) -> usize {
        self.bytes = [0; NAME_BYTES_MAX];
        self.bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
        match address {
            SocketAddr::V4(v4) => {
                self.bytes[..2].copy_from_slice(&family(libc::AF_INET));
                self.bytes[4..8].copy_from_slice(&v4.ip().octets());
                NAME_BYTES_V4
            }
            SocketAddr::V6(v6) => {
                self.bytes[..2].copy_from_slice(&family(libc::AF_INET6));
                self.bytes[4..8].copy_from_slice(&v6.flowinfo().to_ne_bytes());
                self.bytes[8..24].copy_from_slice(&v6.ip().octets());
                self.bytes[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
                NAME_BYTES_MAX
            }
        }
    }
}

/// Reads an address in the kernel's layout; `None` for another family or too few bytes.
pub(crate) fn read(bytes: &[u8]) -> Option<SocketAddr> {
    let found: [u8; 2] = bytes.get(..2)?.try_into().ok()?;
    let port = u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?);
    if found == family(libc::AF_INET) {
        let octets: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
        return Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(octets)), port));
    }
    if found == family(libc::AF_INET6) {
        let flow = u32::from_ne_bytes(bytes.get(4..8)?.try_into().ok()?);
        let octets: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
        let scope = u32::from_ne_bytes(bytes.get(24..28)?.try_into().ok()?);
        return Some(SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from(octets), port, flow, scope)));
    }
    None
}

fn family(family: libc::c_int) -> [u8; 2] {
    libc::sa_family_t::try_from(family).unwrap_or_default().to_ne_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) {
        let address: SocketAddr = text.parse().expect("a test address");
        let mut name = Name::EMPTY;
        let size = name.write(address);
        assert_eq!(read(&name.bytes[..size]), Some(address));
        assert_eq!(read(&name.bytes[..size - 1]).is_some(), size == NAME_BYTES_V4);
        let theirs = socket2::SockAddr::from(address);
        assert_eq!(usize::try_from(theirs.len()).expect("small"), size);
        assert_eq!(theirs.as_socket(), Some(address));
    }

    #[test]
    fn addresses_survive_the_round_trip() {
        check("192.0.2.7:5060");
        check("[2001:db8::9]:65535");
        check("[fe80::1%7]:1");
    }

    #[test]
    fn other_families_are_refused() {
        assert_eq!(read(&[0; NAME_BYTES_MAX]), None);
        assert_eq!(read(&[]), None);
    }
}
