//! What this machine's network says about our listeners: which of them leads to an address, and whether forged sources are
//! let in.
//!
//! Owns: the reading of routes and of `rp_filter` under `/proc`, at start and at a reload. Nothing here is asked for a message.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;

use crate::sip::ListenerId;
use crate::sip::route::sides::{NETWORKS_MAX, Network};
use crate::sip::route::table::Listener;

/// Routes as `/proc/net/route` has them: destination, mask, and interface.
fn routes_ipv4(text: &str) -> Vec<(IpAddr, u8)> {
    let number = |text: &str| u32::from_str_radix(text, 16).ok().map(u32::swap_bytes);
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (address, mask) = (number(words.get(1)?)?, number(words.get(7)?)?);
        let bits = u8::try_from(mask.leading_ones()).ok()?;
        Some((IpAddr::V4(Ipv4Addr::from(address)), bits))
    };
    text.lines().skip(1).filter_map(line).collect()
}

/// Routes as `/proc/net/ipv6_route` has them.
fn routes_ipv6(text: &str) -> Vec<(IpAddr, u8)> {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let address = u128::from_str_radix(words.next()?, 16).ok()?;
        let bits = u8::from_str_radix(words.next()?, 16).ok()?;
        let ip = Ipv6Addr::from(address);
        let is_local = bits == 128 || ip.is_multicast() || ip.is_unicast_link_local();
        (!is_local).then_some((IpAddr::V6(ip), bits))
    };
    text.lines().filter_map(line).collect()
}

/// The networks that the routes of this machine lead to from the addresses of listeners.
#[must_use]
pub fn learned(listeners: &[Listener]) -> Vec<Network> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let mut routes = routes_ipv4(&read("/proc/net/route"));
    routes.extend(routes_ipv6(&read("/proc/net/ipv6_route")));
    routes.sort_by_key(|&(_, bits)| std::cmp::Reverse(bits));
    routes.dedup();
    routes.truncate(NETWORKS_MAX);
    let network = |(address, bits)| {
        let source = source_towards(inside(address))?;
        let of_source = |listener: &Listener| listener.address.ip() == source;
        let place = listeners.iter().position(of_source)?;
        let listener = ListenerId(u8::try_from(place).ok()?);
        Some(Network { address, bits, listener })
    };
    routes.into_iter().filter_map(network).collect()
}

/// An address of the network that is not its first: that one may be a broadcast address.
fn inside(network: IpAddr) -> IpAddr {
    match network {
        IpAddr::V4(ip) => Ipv4Addr::from(u32::from(ip) | 1).into(),
        IpAddr::V6(ip) => Ipv6Addr::from(u128::from(ip) | 1).into(),
    }
}

/// The address that the kernel would send from. Nothing is sent.
fn source_towards(destination: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = match destination {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    socket.connect(SocketAddr::new(destination, 5060)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// The interfaces that take datagrams from sources which they do not lead to. `conf`: `/proc/sys/net/ipv4/conf`.
#[must_use]
pub fn without_reverse_path_filter(conf: &Path) -> Vec<String> {
    let value = |name: &str| {
        let text = fs::read_to_string(conf.join(name).join("rp_filter")).ok()?;
        text.trim().parse::<u8>().ok()
    };
    // The kernel takes the larger of the two.
    if value("all").is_none_or(|all| all > 0) {
        return Vec::new();
    }
    let names = fs::read_dir(conf).into_iter().flatten().flatten();
    let mut open: Vec<String> = names
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !matches!(name.as_str(), "all" | "default" | "lo"))
        .filter(|name| value(name) == Some(0))
        .collect();
    open.sort();
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_read_as_the_kernel_writes_them() {
        let text = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
                    eth0\t00000000\t016433C6\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                    eth1\t00004D0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert_eq!(routes_ipv4(text), [(ip("0.0.0.0"), 0), (ip("10.77.0.0"), 24)]);
        let text = "20010db8000000000000000000000000 40 00000000000000000000000000000000 00 \
                    00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0\n\
                    fe800000000000000000000000000000 40 00000000000000000000000000000000 00 \
                    00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0\n";
        assert_eq!(routes_ipv6(text), [(ip("2001:db8::"), 64)]);
        assert!(routes_ipv4("").is_empty() && routes_ipv6("x y z").is_empty());
    }

    #[test]
    fn interfaces_that_filter_nothing_are_named() {
        let folder = std::env::temp_dir().join(format!("sipedge-rp-{}", std::process::id()));
        let write = |name: &str, value: &str| {
            let folder = folder.join(name);
            fs::create_dir_all(&folder).expect("a folder");
            fs::write(folder.join("rp_filter"), value).expect("a file");
        };
        for (name, value) in
            [("all", "0\n"), ("default", "0\n"), ("lo", "0\n"), ("eth1", "0\n"), ("eth0", "2\n")]
        {
            write(name, value);
        }
        assert_eq!(without_reverse_path_filter(&folder), ["eth1"]);
        write("all", "1\n");
        assert!(without_reverse_path_filter(&folder).is_empty());
        fs::remove_dir_all(&folder).expect("it was made here");
        assert!(without_reverse_path_filter(&folder).is_empty(), "unknown is not open");
    }
}
