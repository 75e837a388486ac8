//! What became of a call: the record that the promises are checked against.
//!
//! Owns: the words for failures. Times are durations since the demo's origin.

use std::time::Duration;

/// Why a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// No final response to the INVITE.
    InviteUnanswered,
    /// A final response to the INVITE that is no 200.
    InviteRefused(u16),
    /// No final response to the BYE.
    ByeUnanswered,
    /// A final response to the BYE that is no 200.
    ByeRefused(u16),
    /// A response that misses something, or carries what is not its own.
    ResponseIncomplete(&'static str),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::InviteUnanswered => write!(f, "no answer to INVITE"),
            Self::InviteRefused(status) => write!(f, "INVITE answered with {status}"),
            Self::ByeUnanswered => write!(f, "no answer to BYE"),
            Self::ByeRefused(status) => write!(f, "BYE answered with {status}"),
            Self::ResponseIncomplete(what) => write!(f, "incomplete response: {what}"),
        }
    }
}

/// What became of a call.
#[derive(Debug, Clone)]
pub(super) struct Record {
    /// Its Call-ID.
    pub(super) call_id: String,
    /// When its INVITE was to be sent: latency is measured from here.
    pub(super) intended: Duration,
    /// When its INVITE was sent.
    pub(super) sent: Duration,
    /// From the intended moment to the 200.
    pub(super) latency: Option<Duration>,
    /// The backend that answered the INVITE.
    pub(super) backend: Option<usize>,
    /// The backend that answered the BYE.
    pub(super) ended_by: Option<usize>,
    /// When it was over.
    pub(super) ended: Option<Duration>,
    /// INVITEs sent, retransmissions included.
    pub(super) invites_sent: u32,
    /// ACKs sent, retransmissions included.
    pub(super) acks_sent: u32,
    /// BYEs sent, retransmissions included.
    pub(super) byes_sent: u32,
    /// 180s that came.
    pub(super) ringings_seen: u32,
    /// 200s to the INVITE that came.
    pub(super) answers_seen: u32,
    /// 200s to the BYE that came.
    pub(super) bye_answers_seen: u32,
    /// Why it failed.
    pub(super) failure: Option<Failure>,
}

impl Record {
    /// A call that was just started: its INVITE was sent at `sent` and was to be sent at `intended`.
    pub(super) fn new(call_id: String, intended: Duration, sent: Duration) -> Self {
        Self {
            call_id,
            intended,
            sent,
            latency: None,
            backend: None,
            ended_by: None,
            ended: None,
            invites_sent: 1,
            acks_sent: 0,
            byes_sent: 0,
            ringings_seen: 0,
            answers_seen: 0,
            bye_answers_seen: 0,
            failure: None,
        }
    }

    /// It was answered and ended normally.
    pub(super) fn completed(&self) -> bool {
        self.failure.is_none() && self.ended.is_some()
    }

    /// Requests that were sent more than once.
    pub(super) fn retransmissions(&self) -> u32 {
        let sent = [self.invites_sent, self.acks_sent, self.byes_sent];
        sent.iter().map(|count| count.saturating_sub(1)).sum()
    }
}
