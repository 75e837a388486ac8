//! What is known of each flow: when it was meant to start, what was sent and what arrived.
//!
//! Owns: the ring of records, and what a message's identity means. A flow is named by its number; the ring holds the
//! last [`FLOWS_MAX`] of them. What is overwritten counts as it stands: what was sent and did not arrive is lost.

use crate::scenario::FLOWS_MAX;

/// The messages of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The first request.
    Request = 0,
    /// The ACK of the 200.
    Ack = 1,
    /// The BYE.
    Bye = 2,
    /// The 180.
    Ringing = 3,
    /// The 200 to the first request.
    Ok = 4,
    /// The 200 to the BYE.
    ByeOk = 5,
}

impl Step {
    const ALL: [Self; 6] =
        [Self::Request, Self::Ack, Self::Bye, Self::Ringing, Self::Ok, Self::ByeOk];

    pub(crate) const fn is_request(self) -> bool {
        matches!(self, Self::Request | Self::Ack | Self::Bye)
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Bits of the steps that are requests.
const REQUESTS: u8 = Step::Request.bit() | Step::Ack.bit() | Step::Bye.bit();

/// Which message of which flow, as one number that the message carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) flow: u64,
    pub(crate) step: Step,
}

impl Identity {
    pub(crate) const fn to_number(self) -> u64 {
        self.flow << 4 | self.step as u64
    }

    pub(crate) fn from_number(number: u64) -> Option<Self> {
        let step = Step::ALL.into_iter().find(|step| *step as u64 == number & 0xf)?;
        Some(Self { flow: number >> 4, step })
    }
}

/// No backend yet.
pub(crate) const NO_BACKEND: u8 = u8::MAX;

/// One flow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record {
    number: u64,
    pub(crate) intended_ns: u64,
    sent: u8,
    arrived: u8,
    /// The backend that got the first request.
    pub(crate) backend: u8,
    /// It was meant to start within the measured window.
    pub(crate) measured: bool,
    /// It ended, or was given up: it no longer counts as open.
    pub(crate) closed: bool,
}

/// A slot that never held a flow.
const EMPTY: Record = Record {
    number: u64::MAX,
    intended_ns: 0,
    sent: 0,
    arrived: 0,
    backend: NO_BACKEND,
    measured: false,
    closed: true,
};

impl Record {
    /// Notes that a message was sent.
    pub(crate) const fn mark_sent(&mut self, step: Step) {
        self.sent |= step.bit();
    }

    /// Whether this message was sent at all.
    pub(crate) const fn was_sent(&self, step: Step) -> bool {
        self.sent & step.bit() != 0
    }

    /// Notes that a message arrived, and says whether it is the first of its kind.
    pub(crate) const fn mark_arrived(&mut self, step: Step) -> bool {
        let first = self.arrived & step.bit() == 0;
        self.arrived |= step.bit();
        first
    }

    /// Requests and responses that were sent and did not arrive.
    const fn lost(&self) -> (u64, u64) {
        let lost = self.sent & !self.arrived;
        ((lost & REQUESTS).count_ones() as u64, (lost & !REQUESTS).count_ones() as u64)
    }
}

/// The records of the last flows.
#[derive(Debug)]
pub(crate) struct Flows {
    ring: Vec<Record>,
    next: u64,
    /// All flows before this one are closed.
    oldest_open: u64,
    open: u64,
    /// Of measured flows that are no longer in the ring.
    lost: (u64, u64),
}

impl Flows {
    pub(crate) fn new() -> Self {
        Self { ring: vec![EMPTY; FLOWS_MAX], next: 0, oldest_open: 0, open: 0, lost: (0, 0) }
    }

    /// The number of the next flow.
    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    /// Flows that began and did not end.
    pub(crate) const fn open(&self) -> u64 {
        self.open
    }

    /// Begins a flow.
    pub(crate) fn begin(&mut self, intended_ns: u64, measured: bool) -> u64 {
        let number = self.next;
        self.next += 1;
        self.open += 1;
        let slot = slot(number);
        self.retire(slot);
        let sent = Step::Request.bit();
        self.ring[slot] = Record { number, intended_ns, sent, measured, closed: false, ..EMPTY };
        number
    }

    /// The record of a flow that is still remembered.
    pub(crate) fn find(&mut self, number: u64) -> Option<&mut Record> {
        let record = &mut self.ring[slot(number)];
        (record.number == number).then_some(record)
    }

    /// Ends a flow.
    pub(crate) fn close(&mut self, number: u64) {
        if let Some(record) = self.find(number)
            && !record.closed
        {
            record.closed = true;
            self.open -= 1;
        }
    }

    /// Gives up flows that were meant to start before `before_ns`: what they wait for is lost.
    pub(crate) fn give_up(&mut self, before_ns: u64) {
        while self.oldest_open < self.next {
            let number = self.oldest_open;
            match self.find(number) {
                Some(record) if !record.closed && record.intended_ns >= before_ns => return,
                _ => self.close(number),
            }
            self.oldest_open += 1;
        }
    }

    /// Requests and responses of measured flows that were sent and did not arrive, so far.
    pub(crate) fn lost(&self) -> (u64, u64) {
        let now = self.ring.iter().filter(|record| record.measured).map(Record::lost);
        now.fold(self.lost, |sum, lost| (sum.0 + lost.0, sum.1 + lost.1))
    }

    fn retire(&mut self, slot: usize) {
        let record = self.ring[slot];
        if record.measured {
            let lost = record.lost();
            self.lost = (self.lost.0 + lost.0, self.lost.1 + lost.1);
        }
        if !record.closed {
            self.open -= 1;
        }
    }
}

fn slot(number: u64) -> usize {
    usize::try_from(number % FLOWS_MAX as u64).expect("an index")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_come_back() {
        for step in Step::ALL {
            let identity = Identity { flow: 123_456, step };
            assert_eq!(Identity::from_number(identity.to_number()), Some(identity));
        }
        assert_eq!(Identity::from_number(0xf), None);
    }

    #[test]
    fn what_was_sent_and_did_not_arrive_is_lost() {
        let mut flows = Flows::new();
        let first = flows.begin(10, true);
        let second = flows.begin(20, true);
        let warm_up = flows.begin(30, false);
        let record = flows.find(first).expect("there");
        assert!(record.mark_arrived(Step::Request));
        assert!(!record.mark_arrived(Step::Request), "a duplicate");
        record.mark_sent(Step::Ok);
        assert_eq!(flows.lost(), (1, 1));
        flows.close(first);
        assert_eq!(flows.open(), 2);
        flows.give_up(25);
        assert_eq!(flows.open(), 1);
        flows.close(second);
        flows.close(warm_up);
        assert_eq!(flows.open(), 0);
    }

    #[test]
    fn losses_are_kept_when_the_ring_goes_round() {
        let mut flows = Flows::new();
        for at in 0..FLOWS_MAX as u64 + 5 {
            flows.begin(at, true);
        }
        assert_eq!(flows.lost().0, FLOWS_MAX as u64 + 5);
        assert_eq!(flows.open(), FLOWS_MAX as u64);
        assert!(flows.find(0).is_none());
    }
}
