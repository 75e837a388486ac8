//! Addresses as an operator writes them: listeners, what they advertise, backends, the admin page.
//!
//! Owns: the forms `udp:192.0.2.1:5060`, `203.0.113.5:5060`, `sip:10.0.0.1:5060` and `sip:pool.example.com`. Resolves no
//! names: that is `control::resolve`'s work. Knows nothing of which addresses fit together; that is `check`'s.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Target;
use super::dns::{Families, Name};
use crate::sip::message::{Scheme, Span, Uri};

/// What is wrong with a value, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

impl Complaint {
    pub(super) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }
}

/// The port of a SIP URI without one (RFC 3261 19.1.2).
pub const SIP_PORT: u16 = 5060;

/// The longest URI that is taken from a configuration.
const URI_BYTES_MAX: usize = 512;

const LISTEN_FORM: &str = "write \"udp:192.0.2.1:5060\" or \"udp:[2001:db8::1]:5060\"";
const BACKEND_FORM: &str =
    "write \"sip:10.0.0.1:5060\", \"sip:[2001:db8::1]:5060\" or \"sip:pool.example.com\"";
const DNS_FORM: &str = "write \"udp:192.0.2.53:53\" or \"udp:[2001:db8::53]:53\"";

/// The address of a listener: `udp:IP:PORT`.
pub fn listener(text: &str) -> Result<SocketAddr, Complaint> {
    udp_address(text, "listener", LISTEN_FORM)
}

/// The address of a DNS server: `udp:IP:PORT`.
pub fn dns_server(text: &str) -> Result<SocketAddr, Complaint> {
    let address = udp_address(text, "DNS server", DNS_FORM)?;
    if address.ip().is_unspecified() {
        return Err(Complaint::new(format!("nobody answers at {}", address.ip()), DNS_FORM));
    }
    Ok(address)
}

fn udp_address(text: &str, whose: &str, form: &str) -> Result<SocketAddr, Complaint> {
    let (transport, rest) = match text.split_once(':') {
        Some((word, rest)) if word.chars().all(|c| c.is_ascii_alphabetic()) && !word.is_empty() => {
            (word, rest)
        }
        _ => return Err(Complaint::new(format!("\"{text}\" names no transport"), form)),
    };
    udp_only(transport, whose)?;
    let (host, port) = split_port(rest, form)?;
    let Some(port) = port else {
        return Err(Complaint::new(format!("\"{text}\" has no port"), form));
    };
    let ip = literal(host).ok_or_else(|| no_literal(host, form))?;
    if ip.is_multicast() {
        return Err(Complaint::new(format!("{ip} is a multicast address"), form));
    }
    Ok(SocketAddr::new(ip, port))
}

/// What a listener advertises: an IP address or a host name, with or without a port.
/// Returns the host as it is written into a message, IPv6 in brackets.
pub fn advertised(text: &str) -> Result<(String, Option<u16>), Complaint> {
    const FORM: &str = "write \"203.0.113.5:5060\", \"[2001:db8::5]:5060\" or \"sip.example.com\"";
    let (host, port) = split_port(text, FORM)?;
    match literal(host) {
        Some(ip) if ip.is_unspecified() || ip.is_multicast() => {
            Err(Complaint::new(format!("nobody can answer to {ip}"), FORM))
        }
        Some(IpAddr::V6(ip)) => Ok((format!("[{ip}]"), port)),
        Some(IpAddr::V4(ip)) => Ok((ip.to_string(), port)),
        None if is_host_name(host) => Ok((host.to_ascii_lowercase(), port)),
        None => {
            Err(Complaint::new(format!("\"{host}\" is neither an address nor a host name"), FORM))
        }
    }
}

/// Where a backend is: a SIP URI with an IP address, whose port is 5060 unless written, or with a name.
pub fn backend(uri: &str) -> Result<Target, Complaint> {
    let scheme = uri.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    let rest = match scheme.as_deref() {
        Some("sip") => &uri[4..],
        Some("sips") => {
            let message =
                "a sips backend is reached over TLS, which comes later; this build forwards UDP";
            return Err(Complaint::new(message, BACKEND_FORM));
        }
        _ => return Err(Complaint::new(format!("\"{uri}\" is no SIP URI"), BACKEND_FORM)),
    };
    if rest.contains('@') {
        return Err(Complaint::new("the URI of a backend has no user part", BACKEND_FORM));
    }
    if rest.contains('?') {
        return Err(Complaint::new("the URI of a backend has no header fields", BACKEND_FORM));
    }
    let (rest, parameters) = rest.split_once(';').unwrap_or((rest, ""));
    let mut transport_written = false;
    for parameter in parameters.split(';').filter(|parameter| !parameter.is_empty()) {
        match parameter.to_ascii_lowercase().split_once('=') {
            Some(("transport", transport)) => {
                udp_only(transport, "backend")?;
                transport_written = true;
            }
            _ => {
                let message = format!("the parameter \";{parameter}\" means nothing to a backend");
                return Err(Complaint::new(message, "leave it out; only ;transport=udp is known"));
            }
        }
    }
    let (host, port) = split_port(rest, BACKEND_FORM)?;
    let Some(ip) = literal(host) else {
        if !may_be_looked_up(host) {
            let message = format!("\"{host}\" is neither an IP address nor a host name");
            return Err(Complaint::new(message, BACKEND_FORM));
        }
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let families = Families { ipv4: true, ipv6: true };
        return Ok(Target::Name(Name { host, port, transport_written, families }));
    };
    let broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
    if ip.is_unspecified() || ip.is_multicast() || broadcast {
        return Err(Complaint::new(format!("{ip} is the address of no single host"), BACKEND_FORM));
    }
    Ok(Target::Address(SocketAddr::new(ip, port.unwrap_or(SIP_PORT))))
}

/// A host name whose last label starts with a letter (RFC 3261 25.1): else it is an address with a slip in it.
fn may_be_looked_up(host: &str) -> bool {
    let top = host.strip_suffix('.').unwrap_or(host).rsplit('.').next().unwrap_or_default();
    is_host_name(host) && top.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// Where the admin page listens; "off" for nowhere.
pub fn admin(text: &str) -> Result<Option<SocketAddr>, Complaint> {
    const FORM: &str = "write \"127.0.0.1:9060\", or \"off\"";
    if text == "off" {
        return Ok(None);
    }
    let (host, port) = split_port(text, FORM)?;
    let ip = literal(host).ok_or_else(|| no_literal(host, FORM))?;
    let port = port.ok_or_else(|| Complaint::new(format!("\"{text}\" has no port"), FORM))?;
    Ok(Some(SocketAddr::new(ip, port)))
}

/// A SIP or SIPS URI that may stand in angle brackets as it is.
#[must_use]
pub fn is_sip_uri(text: &str) -> bool {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"".contains(&byte));
    let size_fits = text.len() <= URI_BYTES_MAX;
    plain
        && size_fits
        && Uri::parse(text.as_bytes(), Span::new(0, text.len()))
            .is_ok_and(|uri| matches!(uri.scheme, Scheme::Sip | Scheme::Sips))
}

/// Letters, digits, hyphens and dots, as RFC 3261 25.1 has a hostname.
#[must_use]
pub fn is_host_name(host: &str) -> bool {
    let label = |label: &str| {
        let inner = label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        (1..=63).contains(&label.len()) && inner && !label.starts_with('-') && !label.ends_with('-')
    };
    let name = host.strip_suffix('.').unwrap_or(host);
    // All digits and dots is an address that did not parse, not a name.
    name.len() <= 253 && name.split('.').all(label) && name.chars().any(|c| c.is_ascii_alphabetic())
}

/// An IP address, IPv6 with or without its brackets.
#[must_use]
pub fn literal(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

fn udp_only(transport: &str, whose: &str) -> Result<(), Complaint> {
    match transport.to_ascii_lowercase().as_str() {
        "udp" => Ok(()),
        known @ ("tcp" | "tls" | "ws" | "wss" | "sctp") => Err(Complaint::new(
            format!("a {known} {whose} comes later; this build forwards UDP"),
            format!("write udp, or remove this {whose}"),
        )),
        other => Err(Complaint::new(format!("no transport is called \"{other}\""), "write udp")),
    }
}

/// Host and port of `host`, `host:port`, `[v6]` or `[v6]:port`; the port is never 0.
fn split_port<'a>(text: &'a str, form: &str) -> Result<(&'a str, Option<u16>), Complaint> {
    if !text.starts_with('[') && text.matches(':').count() > 1 {
        let message = format!("\"{text}\" is an IPv6 address without brackets");
        return Err(Complaint::new(message, form));
    }
    let colon = match text.rfind(']') {
        Some(bracket) => text[bracket..].find(':').map(|n| bracket + n),
        None => text.find(':'),
    };
    let Some(colon) = colon else { return Ok((text, None)) };
    match text[colon + 1..].parse::<u16>() {
        Ok(0) => Err(Complaint::new("port 0 is no port", form)),
        Ok(port) => Ok((&text[..colon], Some(port))),
        Err(_) => {
            let message = format!("\"{}\" is no port", &text[colon + 1..]);
            Err(Complaint::new(message, format!("a port is a number from 1 to 65535; {form}")))
        }
    }
}

fn no_literal(host: &str, form: &str) -> Complaint {
    if is_host_name(host) {
        let message = format!("\"{host}\" is a host name; only a backend may have one");
        return Complaint::new(message, format!("write its IP address: {form}"));
    }
    Complaint::new(format!("\"{host}\" is no IP address"), form)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message<T: std::fmt::Debug>(result: Result<T, Complaint>) -> String {
        result.expect_err("must be refused").message
    }

    #[test]
    fn good_addresses_are_read() {
        let check = |text: &str, expected: &str| {
            assert_eq!(listener(text).unwrap(), expected.parse().unwrap(), "{text}");
        };
        check("udp:192.0.2.1:5060", "192.0.2.1:5060");
        check("UDP:[2001:db8::1]:5070", "[2001:db8::1]:5070");
        check("udp:0.0.0.0:5060", "0.0.0.0:5060");
        let check = |text: &str, expected: &str| {
            let expected = Target::Address(expected.parse().unwrap());
            assert_eq!(backend(text).unwrap(), expected, "{text}");
        };
        check("sip:10.0.0.1", "10.0.0.1:5060");
        check("SIP:10.0.0.1:5070;transport=UDP", "10.0.0.1:5070");
        check("sip:[2001:db8::2]", "[2001:db8::2]:5060");
        assert_eq!(dns_server("udp:127.0.0.1:5353").unwrap(), "127.0.0.1:5353".parse().unwrap());
        assert!(message(advertised("2001:db8::5")).contains("brackets"));
        assert_eq!(advertised("[2001:db8::5]:5060").unwrap(), ("[2001:db8::5]".into(), Some(5060)));
        assert_eq!(advertised("SIP.example.com").unwrap(), ("sip.example.com".into(), None));
    }

    #[test]
    fn names_of_backends_are_read_and_not_resolved() {
        let check = |text: &str, host: &str, port: Option<u16>, transport_written: bool| {
            let families = Families { ipv4: true, ipv6: true };
            let expected = Name { host: host.to_owned(), port, transport_written, families };
            assert_eq!(backend(text).unwrap(), Target::Name(expected), "{text}");
        };
        check("sip:pool.example.com", "pool.example.com", None, false);
        check("sip:Pool.Example.COM.:5070", "pool.example.com", Some(5070), false);
        check("sip:registrar;transport=UDP", "registrar", None, true);
        check("sip:3com.example", "3com.example", None, false);
    }

    #[test]
    fn bad_addresses_are_refused_for_their_own_reason() {
        let check = |text: &str, part: &str| {
            let message = message(listener(text));
            assert!(message.contains(part), "{text}: {message}");
        };
        check("192.0.2.1:5060", "no transport");
        check("tcp:192.0.2.1:5060", "comes later; this build forwards UDP");
        check("quic:192.0.2.1:5060", "no transport is called");
        check("udp:192.0.2.1", "no port");
        check("udp:192.0.2.1:0", "port 0");
        check("udp:192.0.2.1:99999", "is no port");
        check("udp:192.0.2.300:5060", "no IP address");
        check("udp:2001:db8::1:5060", "without brackets");
        check("udp:edge.example.com:5060", "only a backend");
        check("udp:224.0.0.1:5060", "multicast");
        let check = |text: &str, part: &str| {
            let message = message(backend(text));
            assert!(message.contains(part), "{text}: {message}");
        };
        check("10.0.0.1:5060", "no SIP URI");
        check("sips:10.0.0.1", "TLS");
        check("sip:bob@10.0.0.1", "user part");
        check("sip:10.0.0.1;transport=tcp", "comes later");
        check("sip:10.0.0.1;maddr=10.0.0.2", "means nothing");
        check("sip:10.0.0.1?Subject=x", "header fields");
        check("sip:10.0.0.1o", "neither an IP address nor a host name");
        check("sip:10.0.0.300", "neither an IP address nor a host name");
        check("sip:my_pool.example.com", "neither");
        check(&format!("sip:{}.example", "x".repeat(64)), "neither");
        check("sip:pool.example.com:0", "port 0");
        check("sip:0.0.0.0", "no single host");
        check("sip:10.0.0.1:0", "port 0");
        check("sip:", "neither an IP address");
        let check = |text: &str, part: &str| {
            let message = message(dns_server(text));
            assert!(message.contains(part), "{text}: {message}");
        };
        check("127.0.0.1", "no transport");
        check("udp:127.0.0.1", "no port");
        check("tls:192.0.2.53:853", "comes later");
        check("udp:0.0.0.0:53", "nobody answers");
        check("udp:dns.example.com:53", "only a backend");
    }
}
