//! Mail between shards, and between control and a shard: bounded queues with one writer and one reader each.
//!
//! Owns: the queues and the wake-ups. Posting never waits: what does not fit comes back. A datagram that hops is
//! copied into a buffer that circulates between the two shards, so nothing is allocated for it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rtrb::{Consumer, Producer, RingBuffer};

use super::counters::Counters;
use super::sys::EventFd;
use super::tap_filter::TapFilter;
use crate::sip::route::table::Table;
use crate::sip::{Decision, Flow, ListenerId, MESSAGE_BYTES_MAX, Now, Received, Unit};

/// Letters from control that may wait at a shard, and answers at control: a burst of probes, and what comes between.
const LETTERS_MAX: usize = 256;
/// Datagrams that may be on the way from one shard to another: all pairs of a shard share about this many.
const HOPS_PER_SHARD: usize = 512;
/// Bounds of that for one pair.
const HOPS_PER_PAIR_MIN: usize = 16;
const HOPS_PER_PAIR_MAX: usize = 256;

/// What control sends to a shard.
pub(crate) enum Mail {
    /// Use this table from now on.
    Install(Arc<Table>),
    /// Send this datagram.
    Send(Outgoing),
    /// These want copies of messages from now on.
    Trace(Vec<TapFilter>),
    /// Copy the counters into this box and send it back.
    Snapshot(Box<Counters>),
    /// Say when the sockets have been found empty.
    Drain,
    /// Send what is queued and end.
    Stop,
}

/// A datagram that control has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The listener whose socket sends it.
    pub listener: ListenerId,
    /// Where it goes.
    pub destination: SocketAddr,
    /// What it is, for counters and traces: its method and its transaction.
    pub decision: Decision,
    /// All of it, at most [`MESSAGE_BYTES_MAX`].
    pub bytes: Vec<u8>,
}

/// What a shard sends to control.
pub(crate) enum Answer {
    /// The box with the counters.
    Snapshot(Box<Counters>),
    /// The sockets were found empty since [`Mail::Drain`].
    Drained,
}

/// A datagram that another shard owns.
pub(crate) struct Hop {
    bytes: Vec<u8>,
    flow: Flow,
    unit: Unit,
    /// When it was received, on the clock of all shards.
    pub(crate) received_at: Now,
}

impl Hop {
    /// The message, as it came in.
    pub(crate) fn received(&self) -> Received<'_> {
        Received { bytes: &self.bytes, flow: self.flow, unit: self.unit }
    }
}

/// One shard's ends of the queues to and from one other shard.
struct Peer {
    out: Producer<Box<Hop>>,
    /// Buffers to fill; they come back from the peer.
    empty: Consumer<Box<Hop>>,
    inbound: Consumer<Box<Hop>>,
    /// Where the peer's buffers go when read.
    returned: Producer<Box<Hop>>,
    wake: Arc<EventFd>,
    /// Posted to since the last wake-up.
    posted: bool,
}

/// A shard's mailbox.
pub(crate) struct Mailbox {
    /// By shard; `None` at its own place.
    peers: Vec<Option<Peer>>,
    letters: Consumer<Mail>,
    answers: Producer<Answer>,
    control: Arc<EventFd>,
    wake: Arc<EventFd>,
}

/// Control's end of a shard's mailbox.
pub(crate) struct Desk {
    pub(crate) letters: Producer<Mail>,
    pub(crate) answers: Consumer<Answer>,
    wake: Arc<EventFd>,
}

impl Desk {
    /// Posts a letter, or gives it back when the box is full.
    pub(crate) fn post(&mut self, mail: Mail) -> Result<(), Mail> {
        let posted = self.letters.push(mail).map_err(|rtrb::PushError::Full(mail)| mail);
        self.wake.signal();
        posted
    }
}

/// Mailboxes for `shards` shards, control's ends of them, and the event that is set when an answer came.
pub(crate) fn mesh(shards: usize) -> io::Result<(Vec<Mailbox>, Vec<Desk>, Arc<EventFd>)> {
    mesh_of(shards, (HOPS_PER_SHARD / shards).clamp(HOPS_PER_PAIR_MIN, HOPS_PER_PAIR_MAX))
}

/// [`mesh`] with room for `hops` datagrams on each way.
pub(crate) fn mesh_of(
    shards: usize,
    hops: usize,
) -> io::Result<(Vec<Mailbox>, Vec<Desk>, Arc<EventFd>)> {
    let control = Arc::new(EventFd::new()?);
    let (mut boxes, mut desks) = (Vec::with_capacity(shards), Vec::with_capacity(shards));
    for _ in 0..shards {
        let wake = Arc::new(EventFd::new()?);
        let (letters_in, letters) = RingBuffer::new(LETTERS_MAX);
        let (answers, answers_out) = RingBuffer::new(LETTERS_MAX);
        let peers = (0..shards).map(|_| None).collect();
        desks.push(Desk { letters: letters_in, answers: answers_out, wake: Arc::clone(&wake) });
        boxes.push(Mailbox { peers, letters, answers, control: Arc::clone(&control), wake });
    }
    for left in 0..shards {
        for right in left + 1..shards {
            let (there, back) = (lane(hops), lane(hops));
            let wake = [Arc::clone(&boxes[left].wake), Arc::clone(&boxes[right].wake)];
            let [left_wake, right_wake] = wake;
            boxes[left].peers[right] = Some(Peer::new(there.near, back.far, right_wake));
            boxes[right].peers[left] = Some(Peer::new(back.near, there.far, left_wake));
        }
    }
    Ok((boxes, desks, control))
}

/// The way from one shard to another, and its buffers' way back.
struct Lane {
    near: (Producer<Box<Hop>>, Consumer<Box<Hop>>),
    far: (Consumer<Box<Hop>>, Producer<Box<Hop>>),
}

fn lane(hops: usize) -> Lane {
    let (out, inbound) = RingBuffer::new(hops);
    let (mut returned, empty) = RingBuffer::new(hops);
    // As many buffers as places: each push finds room.
    for _ in 0..hops {
        // Room for the largest datagram; pages that none reached are never touched.
        let bytes = Vec::with_capacity(MESSAGE_BYTES_MAX);
        let remote = SocketAddr::from(([0, 0, 0, 0], 0));
        let flow = Flow::Datagram { listener: ListenerId(0), remote };
        let unit = Unit::Datagram { is_cut: false };
        let hop = Box::new(Hop { bytes, flow, unit, received_at: Now(0) });
        drop(returned.push(hop));
    }
    Lane { near: (out, empty), far: (inbound, returned) }
}

impl Peer {
    fn new(
        (out, empty): (Producer<Box<Hop>>, Consumer<Box<Hop>>),
        (inbound, returned): (Consumer<Box<Hop>>, Producer<Box<Hop>>),
        wake: Arc<EventFd>,
    ) -> Self {
        Self { out, empty, inbound, returned, wake, posted: false }
    }
}

impl Mailbox {
    /// Posts a datagram to its owner; `false` when the mailbox is full. [`Mailbox::flush`] wakes the owner.
    pub(crate) fn post(&mut self, owner: usize, received: &Received<'_>, now: Now) -> bool {
        let Some(peer) = self.peers.get_mut(owner).and_then(Option::as_mut) else { return false };
        let Ok(mut hop) = peer.empty.pop() else { return false };
        hop.bytes.clear();
        hop.bytes.extend_from_slice(received.bytes);
        hop.flow = received.flow;
        hop.unit = received.unit;
        hop.received_at = now;
        peer.posted = true;
        peer.out.push(hop).is_ok()
    }

    /// Wakes whom something was posted to.
    pub(crate) fn flush(&mut self) {
        for peer in self.peers.iter_mut().flatten() {
            if std::mem::take(&mut peer.posted) {
                peer.wake.signal();
            }
        }
    }

    /// Calls `on` for the datagrams that came over, at most what fits into the queues once. Says how many.
    pub(crate) fn take_hops(&mut self, mut on: impl FnMut(&Hop)) -> u64 {
        let mut count = 0;
        for peer in self.peers.iter_mut().flatten() {
            for _ in 0..peer.inbound.slots() {
                let Ok(hop) = peer.inbound.pop() else { break };
                on(&hop);
                count += 1;
                // There is room: the lane has as many buffers as places. After the peer's end it goes nowhere.
                drop(peer.returned.push(hop));
            }
        }
        count
    }

    /// The next letter from control.
    pub(crate) fn take_letter(&mut self) -> Option<Mail> {
        self.letters.pop().ok()
    }

    /// Answers control. There is room: control asks again only after an answer.
    pub(crate) fn answer(&mut self, answer: Answer) {
        drop(self.answers.push(answer));
        self.control.signal();
    }

    /// What wakes this shard.
    pub(crate) fn wake(&self) -> &Arc<EventFd> {
        &self.wake
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(bytes: &[u8]) -> Received<'_> {
        let source = "192.0.2.9:5060".parse().expect("an address");
        Received::datagram(bytes, source, ListenerId(2)).cut(true)
    }

    #[test]
    fn a_full_mailbox_refuses_and_empties() {
        let (mut boxes, _desks, _control) = mesh(2).expect("eventfds");
        for round in 0..3 {
            let mut posted = 0;
            while boxes[0].post(1, &received(b"hop"), Now(round)) {
                posted += 1;
            }
            assert_eq!(posted, u64::try_from(HOPS_PER_PAIR_MAX).expect("small"));
            assert!(!boxes[1].wake().wait(0), "nobody is woken before the flush");
            boxes[0].flush();
            assert!(boxes[1].wake().wait(0) && !boxes[0].wake().wait(0));
            boxes[1].wake().clear();
            let taken = boxes[1].take_hops(|hop| {
                assert_eq!((hop.received().bytes, hop.received_at), (&b"hop"[..], Now(round)));
                assert_eq!(hop.received().flow.listener(), ListenerId(2));
                assert!(hop.received().is_cut());
            });
            assert_eq!(taken, posted);
            assert_eq!(boxes[0].take_hops(|_| ()), 0);
        }
    }

    #[test]
    fn nobody_posts_to_itself_or_beyond() {
        let (mut boxes, _desks, _control) = mesh(3).expect("eventfds");
        assert!(!boxes[1].post(1, &received(b""), Now(0)));
        assert!(!boxes[1].post(3, &received(b""), Now(0)));
        assert!(
            boxes[1].post(0, &received(b""), Now(0)) && boxes[1].post(2, &received(b""), Now(0))
        );
    }

    #[test]
    fn letters_arrive_in_order_and_the_bound_is_kept() {
        let (mut boxes, mut desks, control) = mesh(1).expect("eventfds");
        assert!(desks[0].post(Mail::Drain).is_ok());
        while desks[0].post(Mail::Stop).is_ok() {}
        assert!(boxes[0].wake().wait(0));
        assert!(matches!(boxes[0].take_letter(), Some(Mail::Drain)));
        let stops = std::iter::from_fn(|| boxes[0].take_letter()).count();
        assert_eq!(stops, LETTERS_MAX - 1);
        boxes[0].answer(Answer::Drained);
        assert!(control.wait(0));
        assert!(matches!(desks[0].answers.pop(), Ok(Answer::Drained)));
    }
}
