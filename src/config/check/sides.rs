//! `side` and `networks` of `[[listen]]`: where listeners stand, and whether strangers stand there, too.
//!
//! Owns: these two keys and the warning about pools that are reached where anybody may send. Looks at no network of this machine.

use std::net::IpAddr;

use super::super::Pool;
use super::super::file::{File, Listen};
use super::super::problem::Problems;
use crate::sip::ListenerId;
use crate::sip::route::sides::{NETWORKS_MAX, Network, SideId, Sides};
use crate::sip::route::table::Listener;

/// The sides of all listeners, and the networks that the file gives them.
pub(super) fn check(
    file: &File,
    listeners: &[Option<Listener>],
    pools: &[Option<Pool>],
    problems: &mut Problems,
) -> Sides {
    let names: Vec<&str> = file.listen.iter().map(name).collect();
    let side = |name| (0..).map(SideId).zip(&names).find(|(_, known)| **known == name);
    let of = names.iter().filter_map(|&name| side(name)).map(|(id, _)| id).collect();
    let networks = networks(file, listeners, problems);
    let sides = Sides::new(of, networks);
    for (section, pool) in file.pool.iter().zip(pools) {
        let Some(pool) = pool else { continue };
        let Some(listener) = shared_with_strangers(pool, listeners, &sides) else { continue };
        let span = section.send_from.as_ref().map_or(&section.span, |at| &at.span);
        let message = format!(
            "anybody can send to listener \"{}\", where the backends of \"{}\" are known by their address alone: a datagram \
             with a forged source passes for theirs",
            listener.name, pool.name
        );
        let help = "add send_from = a listener in the backends' own network, with another [[listen]] for it, or let nothing with \
                    their addresses come in from outside";
        problems.warning(span, message, help);
    }
    sides
}

/// A side is called by its name or, alone, by its listener's.
fn name(listen: &Listen) -> &str {
    let name = listen.side.as_ref().or(listen.name.as_ref());
    name.map_or("", |name| name.value.as_str())
}

fn networks(file: &File, listeners: &[Option<Listener>], problems: &mut Problems) -> Vec<Network> {
    let mut networks = Vec::new();
    for (id, (section, listener)) in (0..).zip(file.listen.iter().zip(listeners)) {
        let Some(list) = &section.networks else { continue };
        for at in &list.value {
            let network = Network::parse(&at.value, ListenerId(id));
            let Some(network) = network else {
                let message = format!("\"{}\" is no network", at.value);
                problems.error(&at.span, message, "write \"192.0.2.0/24\" or \"2001:db8::/32\"");
                continue;
            };
            let fits =
                |listener: &Listener| listener.address.is_ipv4() == network.address.is_ipv4();
            if !listener.as_ref().is_none_or(fits) {
                let message = format!("{} is of the other IP family than the listener", at.value);
                problems.error(&at.span, message, "give it to a listener of its family");
            }
            networks.push(network);
        }
        if networks.len() > NETWORKS_MAX {
            let message = format!("more than {NETWORKS_MAX} networks");
            problems.error(&list.span, message, "join them: the longest prefix wins");
            networks.truncate(NETWORKS_MAX);
        }
    }
    networks
}

/// A listener on a side of the pool that strangers reach.
fn shared_with_strangers<'a>(
    pool: &Pool,
    listeners: &'a [Option<Listener>],
    sides: &Sides,
) -> Option<&'a Listener> {
    let is_reached_by = |id: ListenerId| match pool.send_from {
        Some(send_from) => sides.side(send_from) == sides.side(id),
        None => true,
    };
    let mut known = (0..).map(ListenerId).zip(listeners);
    let found = known.find_map(|(id, listener)| {
        listener.as_ref().filter(|listener| is_reached_by(id) && is_open(listener))
    });
    found.filter(|_| !pool.backends.is_empty())
}

/// Strangers reach it: what we write for it, or are bound to, is an address of the Internet.
fn is_open(listener: &Listener) -> bool {
    let written = listener.host.trim_matches(['[', ']']).parse::<IpAddr>();
    is_global(listener.address.ip()) || written.is_ok_and(is_global)
}

/// Documentation addresses are nobody's.
fn is_global(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let is_shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            !(ip.is_loopback()
                || ip.is_private()
                || ip.is_link_local()
                || ip.is_unspecified()
                || ip.is_documentation()
                || is_shared)
        }
        IpAddr::V6(ip) => {
            !(ip.is_loopback()
                || ip.is_unique_local()
                || ip.is_unicast_link_local()
                || ip.is_unspecified()
                || ip.segments()[..2] == [0x2001, 0xdb8])
        }
    }
}
