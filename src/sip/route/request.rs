//! The way of a request: along our tokens, by Route and Request-URI for what comes from a backend, by the rules for the rest.
//!
//! Owns: the order of these questions, and that nothing from outside goes anywhere but to a pool or along a token.
//! Knows nothing of bytes that are sent.

use std::net::SocketAddr;

use super::dialog::{Along, RouteSet};
use super::domain::Host;
use super::table::{Action, Rule, Table};
use crate::sip::admit::{Head, Refusal, port_is_usable};
use crate::sip::message::{Message, Method, Scheme, Uri};
use crate::sip::response::phrase;
use crate::sip::{BackendRef, Cause, ListenerId, Peer, Target};

/// What a request meets before any pool is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The next hop is known.
    Known(Hop),
    /// A backend of this pool is to be picked.
    Pool {
        /// Index into [`Table::rules`].
        rule: u16,
        /// Index into [`Table::pools`].
        pool: u16,
    },
    /// An OPTIONS that asks how we are (RFC 3261 11).
    Own,
    /// Answer it.
    Refuse(Refusal, Option<u16>),
    /// A rule says to drop it.
    Drop(u16),
}

/// A next hop and how it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hop {
    /// Where it goes.
    pub destination: SocketAddr,
    /// Our listener of that flow, when a token or a Route names one.
    pub local: Option<ListenerId>,
    /// The backend on the other side, if it goes to one.
    pub backend: Option<BackendRef>,
    /// How it was found.
    pub cause: Cause,
}

/// Finds the way.
#[must_use]
pub fn way(
    table: &Table,
    message: &Message<'_>,
    head: &Head<'_>,
    routes: &RouteSet,
    peer: &Peer,
) -> Way {
    let bytes = message.bytes;
    if let Some(along) = routes.along {
        let hop = along_token(table, bytes, along, routes);
        // A source that claimed to be us was sealed, or a listener took the address of a peer.
        if table.is_own_address(hop.destination.ip(), u32::from(hop.destination.port())) {
            return Way::Refuse(Refusal::new(482, phrase(482)), None);
        }
        return Way::Known(hop);
    }
    let is_own = || is_own(table, &routes.uri, bytes);
    let asks_us = head.method == Method::Options && !routes.uri.has_user && routes.next.is_none();
    if asks_us && is_own() {
        return Way::Own;
    }
    if peer.backend.is_some() {
        return from_backend(table, bytes, routes, is_own(), peer.listener);
    }
    match by_rule(table, bytes, head, routes, peer.listener) {
        Way::Pool { rule, pool } if !head.to.tag.is_empty() => {
            in_dialog(table, bytes, head, routes, (rule, pool))
        }
        way => way,
    }
}

fn along_token(table: &Table, bytes: &[u8], along: Along, routes: &RouteSet) -> Hop {
    match along {
        Along::Backend(destination) => {
            let backend = table.backend_reached_at(destination);
            // A backend that has left its pool is reached from the side that the other half of our pair names.
            let named = |uri: Uri| table.listener_written(uri.host.of(bytes), uri.port);
            let local = match backend {
                Some(_) => None,
                None => routes.last_own.and_then(named),
            };
            Hop { destination, local, backend, cause: Cause::Token }
        }
        Along::Flow { local, remote } => Hop {
            destination: remote,
            local: table.listener_at(local),
            backend: None,
            cause: Cause::Token,
        },
    }
}

/// RFC 3261 16.5, 16.6 step 7: by Route, else by Request-URI. Never back into a pool. To a stranger it leaves by the side that
/// our last Route value names (RFC 5658), else by the one whose network leads there.
fn from_backend(
    table: &Table,
    bytes: &[u8],
    routes: &RouteSet,
    is_own: bool,
    came_in: ListenerId,
) -> Way {
    let (uri, cause) = match routes.next {
        Some(next) => (next, Cause::RouteField),
        None if is_own => return Way::Refuse(Refusal::new(404, phrase(404)), None),
        None => (routes.uri, Cause::RequestUri),
    };
    let Some(destination) = address(&uri, bytes) else {
        return Way::Refuse(Refusal::new(503, "Next Hop Is Not A UDP Address"), None);
    };
    if table.is_own_address(destination.ip(), u32::from(destination.port())) {
        return Way::Refuse(Refusal::new(482, phrase(482)), None);
    }
    let backend = table.backend_reached_at(destination);
    let local = match backend {
        Some(_) => None,
        None => routes
            .named_side(table, bytes, came_in)
            .or_else(|| table.listener_leading_to(destination.ip())),
    };
    Way::Known(Hop { destination, local, backend, cause })
}

/// A request that says it is of a dialog, without a token of ours, for the pool of its rule. A To tag proves nothing: it goes
/// as far as the rules let it. A pool that is not record-routed has its backend in the Request-URI. The ACK of a failure never
/// has a token.
fn in_dialog(
    table: &Table,
    bytes: &[u8],
    head: &Head<'_>,
    routes: &RouteSet,
    (rule, pool): (u16, u16),
) -> Way {
    let needs_token = table.rules.get(usize::from(rule)).is_some_and(|rule| rule.needs_token);
    if needs_token && head.method != Method::Ack {
        return Way::Refuse(Refusal::new(481, "Dialog Does Not Exist"), Some(rule));
    }
    match backend_of(table, bytes, &routes.uri, pool) {
        Some((backend, destination)) => Way::Known(Hop {
            destination,
            local: None,
            backend: Some(backend),
            cause: Cause::RequestUri,
        }),
        None => Way::Pool { rule, pool },
    }
}

/// The backend of this pool that a URI names.
fn backend_of(
    table: &Table,
    bytes: &[u8],
    uri: &Uri,
    pool: u16,
) -> Option<(BackendRef, SocketAddr)> {
    let destination = address(uri, bytes)?;
    let mut found = table.backends_reached_at(destination);
    Some((found.find(|backend| backend.pool == pool)?, destination))
}

fn by_rule(
    table: &Table,
    bytes: &[u8],
    head: &Head<'_>,
    routes: &RouteSet,
    listener: ListenerId,
) -> Way {
    let host = Host::of(routes.uri.host.of(bytes));
    // What a pool is not record-routed for says its backend where it said the domain before.
    let is_in_its_dialog = |rule: &Rule| {
        !rule.record_route
            && !head.to.tag.is_empty()
            && matches!(rule.action, Action::Pool(pool)
                if backend_of(table, bytes, &routes.uri, pool).is_some())
    };
    let matches = |rule: &Rule| {
        (rule.listeners.is_empty() || rule.listeners.contains(&listener))
            && matches_method(rule, bytes, head)
            && (rule.domains.is_empty()
                || rule.domains.iter().any(|domain| domain.is(host))
                || is_in_its_dialog(rule))
    };
    let found = (0_u16..).zip(&table.rules).find(|(_, rule)| matches(rule));
    match found {
        None => Way::Refuse(Refusal::new(404, phrase(404)), None),
        Some((rule, Rule { action: Action::Pool(pool), .. })) => Way::Pool { rule, pool: *pool },
        Some((rule, Rule { action: Action::Reply(status), .. })) => {
            Way::Refuse(Refusal::new(*status, phrase(*status)), Some(rule))
        }
        Some((rule, Rule { action: Action::Drop, .. })) => Way::Drop(rule),
    }
}

/// ACK and CANCEL belong to their INVITE and go where it goes.
fn matches_method(rule: &Rule, bytes: &[u8], head: &Head) -> bool {
    if rule.methods.is_empty() && rule.other_methods.is_empty() {
        return true;
    }
    let method = match head.method {
        Method::Ack | Method::Cancel => Method::Invite,
        Method::Other => {
            let name = head.method_name.of(bytes);
            return rule.other_methods.iter().any(|other| other.as_bytes() == name);
        }
        method => method,
    };
    rule.methods.contains(&method) || rule.methods.contains(&head.method)
}

fn is_own(table: &Table, uri: &Uri, bytes: &[u8]) -> bool {
    matches!(uri.scheme, Scheme::Sip | Scheme::Sips) && table.is_own(uri.host.of(bytes), uri.port)
}

/// The UDP address that a URI names: an IP literal, and no other transport asked for.
fn address(uri: &Uri, bytes: &[u8]) -> Option<SocketAddr> {
    let is_udp = uri.parameter(bytes, b"transport").is_none_or(|t| t.eq_ignore_ascii_case(b"udp"));
    let host = match uri.parameter(bytes, b"maddr") {
        Some(maddr) => crate::sip::message::uri::host_address(maddr)?,
        None => uri.address(bytes)?,
    };
    if uri.scheme != Scheme::Sip || !is_udp || !port_is_usable(uri.port) {
        return None;
    }
    Some(SocketAddr::new(host, u16::try_from(uri.port.unwrap_or(5060)).ok()?))
}

/// The listener that sends: the one of the flow, or the pool's own, or the one that the request came in by.
#[must_use]
pub fn sender(table: &Table, hop: &Hop, came_in: ListenerId) -> Option<Target> {
    let of_pool = hop.backend.and_then(|b| table.pools.get(usize::from(b.pool))?.send_from);
    let wish = hop.local.or(of_pool).unwrap_or(came_in);
    let listener = table.listener_towards(hop.destination.ip(), wish)?;
    Some(Target::datagram(listener, hop.destination))
}
