//! Hosts compared by value: spellings of one address or of one name are equal (RFC 3261 19.1.4, RFC 5118 4.9).
//!
//! Owns: case, the root dot of a name, spellings of IPv6, IPv4 inside IPv6. Knows no port and resolves nothing.

use std::fmt;
use std::net::IpAddr;

use crate::sip::message::uri::host_address;

/// A host of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Domain {
    /// An address; IPv4 inside IPv6 as IPv4.
    Address(IpAddr),
    /// A name in lower case, without a root dot.
    Name(String),
}

/// A host as it stands in a message, read once for any number of comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host<'a> {
    /// An address; IPv4 inside IPv6 as IPv4.
    Address(IpAddr),
    /// A name in any case, without a root dot.
    Name(&'a [u8]),
}

impl<'a> Host<'a> {
    /// Of the bytes between user and port; IPv6 with its brackets or without.
    #[must_use]
    pub fn of(bytes: &'a [u8]) -> Self {
        match host_address(bytes) {
            Some(ip) => Self::Address(ip.to_canonical()),
            None => Self::Name(without_root(bytes)),
        }
    }
}

impl Domain {
    /// The host is the same.
    #[must_use]
    pub fn is(&self, host: Host<'_>) -> bool {
        match (self, host) {
            (Self::Address(ours), Host::Address(ip)) => *ours == ip,
            (Self::Name(ours), Host::Name(name)) => name.eq_ignore_ascii_case(ours.as_bytes()),
            _ => false,
        }
    }
}

impl From<&str> for Domain {
    fn from(host: &str) -> Self {
        match Host::of(host.as_bytes()) {
            Host::Address(ip) => Self::Address(ip),
            Host::Name(_) => {
                Self::Name(host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase())
            }
        }
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Address(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// A name without its root dot.
#[must_use]
pub fn without_root(name: &[u8]) -> &[u8] {
    name.strip_suffix(b".").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_host_are_equal() {
        let check = |ours: &str, host: &str, expected: bool| {
            let found = Domain::from(ours).is(Host::of(host.as_bytes()));
            assert_eq!(found, expected, "{ours} and {host}");
        };
        check("Example.COM.", "example.com", true);
        check("example.com", "EXAMPLE.com.", true);
        check("example.com", "example.com..", false);
        check("example.com", "xexample.com", false);
        check("[2001:db8::1]", "[2001:DB8:0:0::0001]", true);
        check("2001:DB8::1", "[2001:db8::1]", true);
        check("[2001:db8::1]", "[2001:db8::2]", false);
        check("192.0.2.1", "192.0.2.1", true);
        check("192.0.2.1", "[::ffff:192.0.2.1]", true);
        check("192.0.2.1", "[::ffff:c000:201]", true);
        check("192.0.2.1", "192.0.2.1.", false);
        check("192.0.2.1", "192.0.2.10", false);
    }

    #[test]
    fn a_domain_is_written_as_it_is_compared() {
        for (text, shown) in [
            ("Example.COM.", "example.com"),
            ("2001:DB8:0::1", "[2001:db8::1]"),
            ("[::ffff:192.0.2.1]", "192.0.2.1"),
        ] {
            assert_eq!(Domain::from(text).to_string(), shown);
        }
    }
}
