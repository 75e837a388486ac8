//! What is sealed into our own Via: the branch and the `e` parameter beside it.
//!
//! Owns: their layout and hashes. Knows nothing of routing.
//!
//! Branch: `z9hG4bK` `~e~` shard-digit key-digit base64url(64-bit transaction hash). The hash covers what RFC 3261 16.11
//! names as far as INVITE, its CANCEL and the ACK of a non-2xx share it and a response carries it back: the branch of the
//! received top Via (and its sent-by, where that branch lacks the magic cookie), Call-ID, CSeq number, From tag. So every node
//! computes the same branch, and a response shows that we wrote it before its Via is popped.
//!
//! `e` parameter: listener-digit, 8 digits (48 bits) that seal the address where the response has to go, 5 digits (30
//! bits) of RFC 5393's loop value. It stands beside the branch, not in it, because a NAT may give the CANCEL another
//! source port than its INVITE had, and it still must have the branch of its INVITE.

use std::net::{IpAddr, SocketAddr};

use super::{KeyRing, SealKey};
use crate::sip::ListenerId;
use crate::sip::digit::{digit, digit_value};
use crate::sip::message::{CSeq, FieldName, Message, Span, Via};
use crate::sip::siphash::sizes;
use crate::sip::steer::MARK;

/// Starts the branch of every RFC 3261 transaction.
const MAGIC_COOKIE: &[u8; 7] = b"z9hG4bK";
const HASH_DIGITS: usize = 11;
const TARGET_DIGITS: usize = 8;
const LOOP_DIGITS: usize = 5;

/// Size of our branch.
pub const BRANCH_BYTES: usize = MAGIC_COOKIE.len() + MARK.len() + 2 + HASH_DIGITS;
/// Size of our `e` parameter's value.
pub const EDGE_BYTES: usize = 1 + TARGET_DIGITS + LOOP_DIGITS;

/// What identifies a transaction on its way through us: the same for a request, its retransmissions, its responses,
/// and for INVITE also its CANCEL and the ACK of a non-2xx.
#[derive(Debug, Clone, Copy)]
pub struct TransactionFields<'a> {
    /// Host and port of sent-by of the Via below ours; 0 when it has none. Nothing where the branch has the magic cookie.
    pub sent_by: (&'a [u8], u32),
    /// The branch of that Via.
    pub branch: &'a [u8],
    /// The Call-ID.
    pub call_id: &'a [u8],
    /// The number of the CSeq.
    pub cseq_number: u32,
    /// The tag of From.
    pub from_tag: &'a [u8],
}

impl<'a> TransactionFields<'a> {
    /// From a message whose Via below ours is `via`.
    #[must_use]
    #[inline]
    pub fn new(message: &Message<'a>, via: &Via, cseq: CSeq, from_tag: Span) -> Self {
        let bytes = message.bytes;
        let branch = via.branch.of(bytes);
        // RFC 3261 16.11: a branch with the cookie is unique by itself, and a phone that has learnt its address meanwhile shows
        // another sent-by in its CANCEL.
        let has_cookie = branch.starts_with(MAGIC_COOKIE);
        let sent_by =
            if has_cookie { (&[][..], 0) } else { (via.host.of(bytes), via.port.unwrap_or(0)) };
        Self {
            sent_by,
            branch,
            call_id: message.value(FieldName::CallId),
            cseq_number: cseq.number,
            from_tag: from_tag.of(bytes),
        }
    }

    /// Their hash under `key`.
    #[must_use]
    pub fn hash(&self, key: &SealKey) -> u64 {
        let (host, port) = self.sent_by;
        let mut hash = key.branch_hash();
        hash.word(sizes([self.branch, host, self.call_id, self.from_tag]));
        hash.word(u64::from(port) << 32 | u64::from(self.cseq_number));
        hash.text(self.branch);
        hash.text(host);
        hash.text(self.call_id);
        hash.text(self.from_tag);
        hash.finish()
    }
}

/// What stands in our branch behind the key digit. The same for all backends that a transaction is offered to, but for
/// the attempt (RFC 3261 16.6 step 8: each is a transaction of its own).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BranchHash {
    /// The transaction.
    pub transaction: u64,
    /// Which attempt: 0 to 3, in the two bits that 11 digits have beyond 64.
    pub attempt: u8,
}

impl From<u64> for BranchHash {
    fn from(transaction: u64) -> Self {
        Self { transaction, attempt: 0 }
    }
}

/// Reads a branch of ours: its key and what it says; `None` when it is not laid out like one or its key is unknown.
#[must_use]
pub fn read_branch<'r>(branch: &[u8], ring: &'r KeyRing) -> Option<(&'r SealKey, BranchHash)> {
    if branch.len() != BRANCH_BYTES || !branch.starts_with(MAGIC_COOKIE) || &branch[7..10] != MARK {
        return None;
    }
    let key = ring.by_id(digit_value(branch[11])?)?;
    let (last, rest) = branch[12..].split_last()?;
    let last = digit_value(*last)?;
    let transaction = read_digits(rest)? | u64::from(last) << HASH_REST_BITS;
    Some((key, BranchHash { transaction, attempt: last >> LAST_DIGIT_BITS }))
}

/// Bits of the hash in all digits but the last, and in the last.
const HASH_REST_BITS: u32 = 60;
const LAST_DIGIT_BITS: u32 = 4;
const _: () = assert!(HASH_REST_BITS + LAST_DIGIT_BITS == u64::BITS);
const _: () = assert!(HASH_REST_BITS as usize == (HASH_DIGITS - 1) * 6);

/// The branch was written by a sipedge (whether by this cluster, only the key tells).
#[must_use]
pub fn is_marked(branch: &[u8]) -> bool {
    branch.get(7..10) == Some(MARK.as_slice())
}

/// The value of our `e` parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EdgeParameter {
    /// Where the request came in: its responses leave from there.
    pub listener: ListenerId,
    /// Seals the address where the response goes.
    pub target: u64,
    /// RFC 5393 4.2: equal in a later pass only when the request loops.
    pub loop_value: u64,
}

impl EdgeParameter {
    /// Seals `target` for this branch.
    #[must_use]
    pub fn new(
        key: &SealKey,
        branch: impl Into<BranchHash>,
        listener: ListenerId,
        target: SocketAddr,
        loop_value: u64,
    ) -> Self {
        let BranchHash { transaction, attempt } = branch.into();
        let mut hash = key.target_hash();
        hash.word(transaction);
        let mut rest = u64::from(target.port()) | u64::from(listener.0) << 16;
        rest |= u64::from(attempt) << 24;
        match target.ip() {
            IpAddr::V4(ip) => rest |= u64::from(u32::from(ip)) << 32,
            IpAddr::V6(ip) => hash.text(&ip.octets()),
        }
        hash.word(rest);
        Self {
            listener,
            target: hash.finish() & ((1 << (TARGET_DIGITS * 6)) - 1),
            loop_value: loop_value & ((1 << (LOOP_DIGITS * 6)) - 1),
        }
    }

    /// From text; `None` when it is not laid out like ours.
    #[must_use]
    pub fn read(text: &[u8]) -> Option<Self> {
        let text = text.as_array::<EDGE_BYTES>()?;
        Some(Self {
            listener: ListenerId(digit_value(text[0])?),
            target: read_digits(&text[1..=TARGET_DIGITS])?,
            loop_value: read_digits(&text[1 + TARGET_DIGITS..])?,
        })
    }
}

/// Size of our Via behind `branch=`.
pub const VIA_TAIL_BYTES: usize = BRANCH_BYTES + 3 + EDGE_BYTES + 2;

/// Our Via behind `branch=` with its line end, to be filled by [`write_via_tail`].
pub const VIA_TAIL: [u8; VIA_TAIL_BYTES] = *b"z9hG4bK~e~SKhhhhhhhhhhh;e=Lttttttttlllll\r\n";

/// Fills in a copy of [`VIA_TAIL`].
pub fn write_via_tail(
    tail: &mut [u8; VIA_TAIL_BYTES],
    branch: impl Into<BranchHash>,
    key: &SealKey,
    shard: u8,
    edge: &EdgeParameter,
) {
    const EDGE: usize = BRANCH_BYTES + 3;
    let BranchHash { transaction, attempt } = branch.into();
    tail[10] = digit(shard);
    tail[11] = digit(key.id);
    put_digits(&mut tail[12..BRANCH_BYTES], transaction);
    if attempt != 0 {
        tail[BRANCH_BYTES - 1] =
            digit((transaction >> HASH_REST_BITS) as u8 | attempt << LAST_DIGIT_BITS);
    }
    tail[EDGE] = digit(edge.listener.0);
    put_digits(&mut tail[EDGE + 1..][..TARGET_DIGITS], edge.target);
    put_digits(&mut tail[EDGE + 1 + TARGET_DIGITS..][..LOOP_DIGITS], edge.loop_value);
}

/// RFC 5393 4.2: a hash of all that our routing looks at and that changes on a spiral: Request-URI, Route, the side it
/// came from. It is only compared with the Vias of the same message, so what is the same in all passes of one message
/// (Call-ID, CSeq, tags) need not be in it.
#[must_use]
pub fn loop_value(key: &SealKey, message: &Message<'_>, uri: Span, is_from_backend: bool) -> u64 {
    let mut hash = key.branch_hash();
    let uri = uri.of(message.bytes);
    hash.word(sizes([uri, &[], &[], &[]]) | u64::from(is_from_backend));
    hash.text(uri);
    for route in message.index.all(FieldName::Route) {
        let value = route.value.of(message.bytes);
        hash.word(value.len() as u64);
        hash.text(value);
    }
    hash.finish()
}

/// Six bits a digit, the lowest first.
#[inline]
pub(in crate::sip) fn put_digits(text: &mut [u8], value: u64) {
    let mut rest = value;
    for place in text {
        #[expect(clippy::cast_possible_truncation, reason = "`digit` looks at six bits")]
        let lowest = rest as u8;
        *place = digit(lowest);
        rest >>= 6;
    }
}

fn read_digits(text: &[u8]) -> Option<u64> {
    text.iter().rev().try_fold(0_u64, |value, &place| {
        let shifted = value.checked_mul(64)?;
        Some(shifted | u64::from(digit_value(place)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::route::table::Key;

    #[test]
    fn digits_come_back() {
        for value in [0, 1, 63, 64, u64::MAX, 0x0123_4567_89ab_cdef] {
            let mut text = [0; HASH_DIGITS];
            put_digits(&mut text, value);
            assert_eq!(read_digits(&text), Some(value));
        }
        assert_eq!(read_digits(b"___________"), None, "more than 64 bits");
        assert_eq!(read_digits(b"AAAA!"), None);
    }

    #[test]
    fn branch_and_parameter_come_back() {
        let ring = KeyRing::new(&[Key { id: 9, secret: [1; 32] }]);
        let target = "203.0.113.7:40001".parse().expect("an address");
        for attempt in 0..4 {
            for transaction in [0, 0xdead_beef_dead_beef, u64::MAX] {
                let branch = BranchHash { transaction, attempt };
                let edge = EdgeParameter::new(ring.newest(), branch, ListenerId(2), target, 77);
                let mut tail = VIA_TAIL;
                write_via_tail(&mut tail, branch, ring.newest(), 3, &edge);
                let text = &tail[..BRANCH_BYTES];
                let (key, found) = read_branch(text, &ring).expect("ours");
                assert_eq!((key.id, found), (9, branch));
                assert!(is_marked(text));
                assert!(read_branch(&text[..text.len() - 1], &ring).is_none());
                let read = EdgeParameter::read(&tail[BRANCH_BYTES + 3..VIA_TAIL_BYTES - 2]);
                assert_eq!(read, Some(edge));
                let elsewhere = "203.0.113.7:40002".parse().expect("an address");
                let other = EdgeParameter::new(key, branch, ListenerId(2), elsewhere, 77);
                assert_ne!(edge.target, other.target);
                let branch = BranchHash { attempt: attempt ^ 1, ..branch };
                let other = EdgeParameter::new(key, branch, ListenerId(2), target, 77);
                assert_ne!(edge.target, other.target, "an attempt is not another");
            }
        }
    }
}
