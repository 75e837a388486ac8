//! The pure core: bytes and a time go in, a verdict and edits come out.
//!
//! Owns: the contract between bytes and decisions. Knows no socket, clock, thread, random source, lock or
//! config file; what it needs of those comes in as arguments. Times are [`Now`] (microseconds), sizes are bytes.
//!
//! [`core::Core::handle`] is the one door: shards, tests, fuzz targets, benches, the simulator and `explain` call it.
#![forbid(unsafe_code)]

pub mod admit;
pub mod balance;
pub mod core;
pub mod digit;
pub mod edit;
pub mod flow;
pub mod framing;
pub mod hold;
pub mod message;
pub mod outbox;
mod places;
pub mod probe;
pub mod response;
pub mod route;
pub mod siphash;
pub mod steer;
pub mod token;
pub mod transaction;

pub use flow::{Flow, HopId, Peer, Received, Target, Trust, Unit};

/// A moment on the caller's monotonic clock, in microseconds from an origin that the caller chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Now(pub u64);

impl Now {
    /// The moment `seconds` later.
    #[must_use]
    pub const fn plus_seconds(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1_000_000)))
    }
}

/// Which listener of the table: an index into [`route::table::Table::listeners`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ListenerId(pub u8);

/// Which backend of the table: its pool and its place in that pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendRef {
    /// Index into [`route::table::Table::pools`].
    pub pool: u16,
    /// Index into [`route::table::Pool::backends`].
    pub backend: u16,
}

/// The largest message handled. A UDP datagram over IPv4 carries at most 65,507 bytes.
pub const MESSAGE_BYTES_MAX: usize = 65_535;

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// It did its work here: a keep-alive, the ACK to our own final response, or the answer to a probe of ours.
    Absorb,
    /// It goes nowhere, and the reason is counted.
    Drop(DropReason),
    /// It goes on, edited: the [`outbox::Outbox`] holds the edits and the next hop.
    Forward,
    /// We answered it ourselves: the outbox holds the whole response.
    Respond,
}

/// Why a message went nowhere. It is the error type, the metric label and the log key in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// The first line is neither a request line nor a status line.
    NotSip,
    /// A request so broken that no response can be built for it (RFC 3261 16.3).
    RequestUnanswerable,
    /// A response that breaks the grammar (RFC 3261 18.1.2: discard).
    ResponseMalformed,
    /// The top Via of a response does not name us (RFC 3261 18.1.2).
    ResponseViaForeign,
    /// The top Via of a response names us, but we did not write it: the branch does not verify.
    ResponseViaForged,
    /// A response whose only Via is ours, and no answer to a probe of ours: nobody is left to send it to.
    ResponseViaLast,
    /// The next Via of a response names no address that we can send to.
    ResponseUnroutable,
    /// An ACK that would have to be answered with an error; nothing may answer an ACK (RFC 3261 17).
    AckUnroutable,
    /// An ACK along a token that does not verify.
    AckTokenBad,
    /// A rule says `drop = true`.
    Rule,
    /// The response that we would send has no address to go to (port 0, or a family that we do not have).
    ReplyUnroutable,
    /// The edited message is larger than a datagram can be.
    Oversized,
    /// The kernel cut the datagram and what is left is no request that could be answered with 513.
    ReceiveTruncated,
    /// The shard's send queue was full.
    SendQueueFull,
    /// The kernel refused to send.
    SendFailed,
    /// The mailbox of the shard that owns the message was full.
    MailboxFull,
}

impl DropReason {
    /// All reasons, in the order of [`DropReason::index`].
    pub const ALL: [Self; 16] = [
        Self::NotSip,
        Self::RequestUnanswerable,
        Self::ResponseMalformed,
        Self::ResponseViaForeign,
        Self::ResponseViaForged,
        Self::ResponseViaLast,
        Self::ResponseUnroutable,
        Self::AckUnroutable,
        Self::AckTokenBad,
        Self::Rule,
        Self::ReplyUnroutable,
        Self::Oversized,
        Self::ReceiveTruncated,
        Self::SendQueueFull,
        Self::SendFailed,
        Self::MailboxFull,
    ];

    /// The place of this reason in [`DropReason::ALL`] and in counter arrays.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The label in metrics and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::NotSip => "not_sip",
            Self::RequestUnanswerable => "request_unanswerable",
            Self::ResponseMalformed => "response_malformed",
            Self::ResponseViaForeign => "response_via_foreign",
            Self::ResponseViaForged => "response_via_forged",
            Self::ResponseViaLast => "response_via_last",
            Self::ResponseUnroutable => "response_unroutable",
            Self::AckUnroutable => "ack_unroutable",
            Self::AckTokenBad => "ack_token_bad",
            Self::Rule => "rule",
            Self::ReplyUnroutable => "reply_unroutable",
            Self::Oversized => "oversized",
            Self::ReceiveTruncated => "receive_truncated",
            Self::SendQueueFull => "send_queue_full",
            Self::SendFailed => "send_failed",
            Self::MailboxFull => "mailbox_full",
        }
    }
}

/// How the next hop was found: what metrics, traces and `explain` say about a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cause {
    /// No next hop was looked for, or none was found.
    #[default]
    None,
    /// A rule matched and the pool's balance picked the backend.
    Balanced,
    /// A rule matched and the recent-transaction table named the backend.
    Transaction,
    /// A token that we sealed named the backend or the flow.
    Token,
    /// The Route field of a request from a backend.
    RouteField,
    /// The Request-URI.
    RequestUri,
    /// The next Via of a response.
    Via,
    /// A probe of ours was answered.
    Probe,
    /// We answered ourselves.
    Own,
    /// No message but line ends alone: a keep-alive (RFC 5626 4.4.1). Traces leave it out.
    KeepAlive,
    /// The request is held, and another backend may do better: what came goes no further.
    Held,
}

/// What was decided about the last message, for counters and `explain`. It has no influence on the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Decision {
    /// The method: of the request, or of the CSeq of a response.
    pub method: message::Method,
    /// The status of a response, received or our own; 0 for a forwarded request.
    pub status: u16,
    /// The rule that matched: an index into [`route::table::Table::rules`].
    pub rule: Option<u16>,
    /// The backend that it goes to.
    pub backend: Option<BackendRef>,
    /// The backend that it came from.
    pub origin: Option<BackendRef>,
    /// The key that the pool's balance was asked with.
    pub key: Option<u64>,
    /// How the next hop was found.
    pub cause: Cause,
    /// The load cap of its pool kept it from the backend that its key has.
    pub is_capped: bool,
    /// The transaction of the probe that a response answers: what [`probe::write`] returned; else 0.
    pub transaction: u64,
    /// What Retry-After says, in the answer to a probe or in a backend's 503. Seconds; 0 when it says nothing.
    pub retry_after_seconds: u32,
}
