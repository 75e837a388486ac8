//! The names of what must hold, and what a failure says.
//!
//! Owns: the list. `tests/sim/mutations.toml` names the invariant that has to catch each deliberate fault.

/// What must hold after every message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Invariant {
    /// A request within a dialog reaches the node that has the other end, or a proxy that its Route names.
    DialogAffinity,
    /// A response reaches the party whose transaction it belongs to.
    ResponseToCaller,
    /// Nobody gets a request that is not for him, and nothing is sent to where nobody lives.
    NotHis,
    /// Each side is spoken to from the address that it knows.
    RightListener,
    /// Every request ends: with a final response, or by a time-out that losses or a death explain.
    RequestEnds,
    /// Copies of a request, its CANCEL and its ACK go the same way with the same branch, as far as that is promised.
    SameWay,
    /// One INVITE rings at one user agent, as one call.
    OneCall,
    /// What a proxy may not change is unchanged.
    BytesKept,
    /// What was forged goes nowhere.
    Forgery,
    /// What is legal is not dropped.
    NoDrop,
    /// The edge answers by itself only what it has to.
    OwnAnswer,
    /// An ACK and a response are never answered.
    AckSilence,
    /// A loop is found before it has gone round twice.
    LoopsEnd,
    /// A new request goes to a usable member of the pool that is installed.
    InPool,
    /// What a dead backend has not answered goes to another one, once the edge knows that it is dead.
    FailsOver,
    /// What a backend has answered goes to no other.
    AnsweredStays,
    /// While a share grows, keys come to its member and go nowhere else.
    RampGrows,
    /// What a callee says, and a backend sends on, leaves no pool without a backend.
    SoftEvidence,
    /// A node with the same table and no memory decides the same.
    NodesAgree,
    /// What was handled is forwarded, answered, dropped or absorbed; what was sent arrived or was lost.
    Counters,
    /// Tables and datagrams stay within their bounds.
    Bounds,
    /// An answer of ours is not much larger than its request, and goes back to where that came from.
    Amplification,
    /// A caller gets one final answer; only each 2xx of an INVITE is his.
    OneFinal,
    /// No backend gets an INVITE while another rings for it, or when nobody waits for it any more.
    OneRings,
    /// What was given up is cancelled or ends, and its failure is acknowledged.
    GivenUpEnds,
    /// What is held ends.
    HeldEnds,
    /// The same seed does the same.
    SameTrace,
}

/// All of them.
pub(crate) const ALL: [Invariant; 27] = [
    Invariant::DialogAffinity,
    Invariant::ResponseToCaller,
    Invariant::NotHis,
    Invariant::RightListener,
    Invariant::RequestEnds,
    Invariant::SameWay,
    Invariant::OneCall,
    Invariant::BytesKept,
    Invariant::Forgery,
    Invariant::NoDrop,
    Invariant::OwnAnswer,
    Invariant::AckSilence,
    Invariant::LoopsEnd,
    Invariant::InPool,
    Invariant::FailsOver,
    Invariant::AnsweredStays,
    Invariant::RampGrows,
    Invariant::SoftEvidence,
    Invariant::NodesAgree,
    Invariant::Counters,
    Invariant::Bounds,
    Invariant::Amplification,
    Invariant::OneFinal,
    Invariant::OneRings,
    Invariant::GivenUpEnds,
    Invariant::HeldEnds,
    Invariant::SameTrace,
];

impl Invariant {
    /// As the mutation list and the messages write it.
    pub(crate) fn name(self) -> String {
        let mut name = String::new();
        for letter in format!("{self:?}").chars() {
            if letter.is_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }
}

/// One that does not hold.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) invariant: Invariant,
    pub(crate) what: String,
}

pub(crate) type Judged = Result<(), Failure>;

pub(crate) fn must(holds: bool, invariant: Invariant, what: impl FnOnce() -> String) -> Judged {
    if holds { Ok(()) } else { Err(Failure { invariant, what: what() }) }
}
