//! The way of a response: our Via is popped, the next Via says where it goes (RFC 3261 16.7 steps 3 and 9, 18.1.2, 18.2.2).
//!
//! Owns: the proof that we wrote the top Via and sealed the target. Keeps no state: everything is in the message.

use std::net::SocketAddr;

use super::table::Table;
use crate::sip::admit::{content_end, duplicate, port_is_usable};
use crate::sip::edit::{Edits, tail};
use crate::sip::message::uri::host_address;
use crate::sip::message::{FieldName, Message, Method, Span, Via};
use crate::sip::token::via::{BranchHash, EdgeParameter, TransactionFields, read_branch};
use crate::sip::{DropReason, Target, Unit};

/// Where a response goes, and what it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// The next hop.
    pub transmit: Target,
    /// The method of the request.
    pub method: Method,
    /// The hash of the request in our branch: its id in [`crate::sip::transaction::Transactions`]; and which attempt it was.
    pub branch: BranchHash,
}

/// Finds the next hop of a response and records the edits.
///
/// # Errors
/// With the reason to drop it: nothing answers a response.
pub fn way(
    table: &Table,
    message: &Message<'_>,
    unit: Unit,
    edits: &mut Edits,
) -> Result<Way, DropReason> {
    let bytes = message.bytes;
    let (top, mut vias) = message.top_via().map_err(|_| DropReason::ResponseMalformed)?;
    if !table.is_own(top.host.of(bytes), top.port) {
        return Err(DropReason::ResponseViaForeign);
    }
    let next = match vias.next() {
        Some(Ok(next)) => next,
        Some(Err(_)) => return Err(DropReason::ResponseMalformed),
        None => return Err(DropReason::ResponseViaLast),
    };
    let malformed = |_| DropReason::ResponseMalformed;
    let cseq = message.cseq().map_err(malformed)?;
    let from = message.name_addr(FieldName::From).map_err(malformed)?;
    let content_end = content_end(message, unit).map_err(|_| DropReason::ResponseMalformed)?;
    if duplicate(message).is_some() || !message.index.present().has(FieldName::CallId) {
        return Err(DropReason::ResponseMalformed);
    }

    let destination = next_hop(&next, bytes).ok_or(DropReason::ResponseUnroutable)?;
    let fields = TransactionFields::new(message, &next, cseq, from.tag);
    let (branch, edge) =
        verify(table, &top, bytes, &fields, destination).ok_or(DropReason::ResponseViaForged)?;

    delete_top_via(message, &top, &next, edits);
    if content_end < bytes.len() {
        edits.delete(tail(content_end, bytes.len()));
    }
    let listener = table
        .listener_towards(destination.ip(), edge.listener)
        .ok_or(DropReason::ResponseUnroutable)?;
    let method = Method::from_bytes(cseq.method.of(bytes));
    Ok(Way { transmit: Target::datagram(listener, destination), method, branch })
}

/// We wrote the Via, for this transaction, and the target is the one that we saw then.
fn verify(
    table: &Table,
    top: &Via,
    bytes: &[u8],
    fields: &TransactionFields<'_>,
    destination: SocketAddr,
) -> Option<(BranchHash, EdgeParameter)> {
    let (key, branch) = read_branch(top.branch.of(bytes), &table.ring)?;
    let edge = EdgeParameter::read(top.edge.of(bytes))?;
    let expected = EdgeParameter::new(key, branch, edge.listener, destination, edge.loop_value);
    (fields.hash(key) == branch.transaction && expected == edge).then_some((branch, edge))
}

/// RFC 3261 18.2.2, RFC 3581 4: `received` before sent-by, `rport` before the port of sent-by.
fn next_hop(via: &Via, bytes: &[u8]) -> Option<SocketAddr> {
    let host = if via.received.is_empty() { via.host } else { via.received };
    let ip = host_address(host.of(bytes))?;
    let port = via.rport.or(via.port);
    if !port_is_usable(port) {
        return None;
    }
    Some(SocketAddr::new(ip, u16::try_from(port.unwrap_or(5060)).ok()?))
}

/// The whole line when the value stands alone in it, else up to the next value.
fn delete_top_via(message: &Message<'_>, top: &Via, next: &Via, edits: &mut Edits) {
    let Some(field) = message.field(FieldName::Via) else { return };
    let is_alone = next.value.start >= field.line.end;
    edits.delete(if is_alone {
        field.line
    } else {
        Span { start: top.value.start, end: next.value.start }
    });
}
