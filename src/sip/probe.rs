//! Probes: the request that asks a backend whether it is alive, and the proof that a response answers one.
//!
//! Owns: what a probe says, and its branch: ours as any other, with the hash of a transaction that has no Via below ours (no
//! branch, no sent-by). A request that we send on has one of them, so neither can be taken for the other; the branch brings
//! the answer to the shard that sent the probe. Knows nothing of when to probe, nor what an answer means.

use super::admit::duplicate;
use super::message::{FieldName, Message, Method, Via};
use super::route::table::Table;
use super::token::via::{
    BRANCH_BYTES, EdgeParameter, TransactionFields, VIA_TAIL, read_branch, write_via_tail,
};
use super::{Cause, Decision, ListenerId};

/// No Retry-After is taken for longer: a day. Who acts on it has a bound of its own.
pub const RETRY_AFTER_SECONDS_MAX: u32 = 86_400;

/// What stands in our Via parameter of a probe where that of other requests seals the address of whoever gets the response.
pub const NO_TARGET: u64 = 0;

/// RFC 3261 8.1.1.6.
const MAX_FORWARDS: u32 = 70;

/// A probe to be written.
#[derive(Debug, Clone, Copy)]
pub struct ProbeRequest<'a> {
    /// Where it leaves from: named in Via, Contact and, unless told otherwise, From.
    pub listener: ListenerId,
    /// The shard that sends it, and gets its answer.
    pub shard: u8,
    /// The method, usually `OPTIONS`.
    pub method: &'a str,
    /// The URI of the backend: Request-URI and To.
    pub target: &'a str,
    /// The URI in From; none: `sip:sipedge@` and the listener's host.
    pub from: Option<&'a str>,
    /// What User-Agent says: name and version.
    pub user_agent: &'a str,
    /// Makes the Call-ID: no two probes of this run have the same.
    pub call_id: u64,
    /// The number of the CSeq, below 2^31.
    pub cseq: u32,
}

/// What counters and traces say of the request that [`write()`] wrote as this transaction.
#[must_use]
pub fn decision(request: &ProbeRequest<'_>, transaction: u64) -> Decision {
    let method = Method::from_bytes(request.method.as_bytes());
    Decision { method, cause: Cause::Probe, transaction, ..Decision::default() }
}

/// Appends the request to `out`, and returns the hash that [`super::Decision::transaction`] shows for its answers. Nothing
/// is appended when the table has no such listener.
pub fn write(table: &Table, request: &ProbeRequest<'_>, out: &mut Vec<u8>) -> u64 {
    let Some(listener) = table.listener(request.listener) else { return 0 };
    let (host, port) = (&listener.host, listener.port);
    let key = table.ring.newest();
    let call_id = format!("{:016x}@{host}", request.call_id);
    let from_tag = format!("{:x}", request.call_id ^ u64::from(request.cseq));
    let fields = fields(call_id.as_bytes(), request.cseq, from_tag.as_bytes());
    let transaction = fields.hash(key);
    let mut tail = VIA_TAIL;
    // The parameter beside the branch says where a response goes on to: this one has arrived.
    let edge = EdgeParameter { listener: request.listener, target: NO_TARGET, loop_value: 0 };
    write_via_tail(&mut tail, transaction, key, request.shard, &edge);
    let branch = String::from_utf8_lossy(&tail[..BRANCH_BYTES]);
    let own = format!("sip:sipedge@{host}");
    let text = format!(
        "{method} {target} SIP/2.0\r\n\
         Via: SIP/2.0/UDP {host}:{port};branch={branch}\r\n\
         Max-Forwards: {MAX_FORWARDS}\r\n\
         From: <{from}>;tag={from_tag}\r\n\
         To: <{target}>\r\n\
         Call-ID: {call_id}\r\n\
         CSeq: {cseq} {method}\r\n\
         Contact: <sip:{host}:{port}>\r\n\
         User-Agent: {user_agent}\r\n\
         Content-Length: 0\r\n\r\n",
        method = request.method,
        target = request.target,
        from = request.from.unwrap_or(&own),
        cseq = request.cseq,
        user_agent = request.user_agent,
    );
    out.extend_from_slice(text.as_bytes());
    transaction
}

/// The transaction and method of the probe that this response answers; `None` when it answers none of ours. Its only Via is
/// ours already.
#[must_use]
pub fn answered(table: &Table, message: &Message<'_>) -> Option<(u64, Method)> {
    let bytes = message.bytes;
    let (top, _): (Via, _) = message.top_via().ok()?;
    let (key, branch) = read_branch(top.branch.of(bytes), &table.ring)?;
    let cseq = message.cseq().ok()?;
    let from = message.name_addr(FieldName::From).ok()?;
    if duplicate(message).is_some() {
        return None;
    }
    let call_id = message.value(FieldName::CallId);
    let fields = fields(call_id, cseq.number, from.tag.of(bytes));
    (fields.hash(key) == branch.transaction && branch.attempt == 0)
        .then(|| (branch.transaction, Method::from_bytes(cseq.method.of(bytes))))
}

/// What Retry-After says (RFC 3261 20.33), in seconds, up to [`RETRY_AFTER_SECONDS_MAX`]; 0 when it says nothing that can be
/// read. A slow look-up.
#[must_use]
pub fn retry_after_seconds(message: &Message<'_>) -> u32 {
    let value = message.slow_value(b"Retry-After").unwrap_or_default();
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let ends_well = matches!(value.get(digits), None | Some(b' ' | b'\t' | b'\r' | b'(' | b';'));
    if !ends_well {
        return 0;
    }
    let add = |seconds: u32, digit: &u8| {
        seconds.saturating_mul(10).saturating_add(u32::from(digit - b'0'))
    };
    value[..digits].iter().fold(0, add).min(RETRY_AFTER_SECONDS_MAX)
}

fn fields<'a>(call_id: &'a [u8], cseq_number: u32, from_tag: &'a [u8]) -> TransactionFields<'a> {
    TransactionFields { sent_by: (&[], 0), branch: &[], call_id, cseq_number, from_tag }
}

#[cfg(test)]
mod tests;
