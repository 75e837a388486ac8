//! What every party saw, message by message, and the promises that are checked on it.
//!
//! Owns: the events, and the checks "nothing lost or duplicated" and "a dialog stays on its backend". It must not know
//! how a party logs, nor which flow ran. Times are microseconds of the day.

use std::collections::{BTreeMap, BTreeSet};

/// On which side of the edge a party is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Phone,
    Backend,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Sent,
    Received,
}

/// Names one message of a call, on every hop: what it is, and of which transaction.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) call_id: String,
    pub(crate) cseq: u32,
    /// Of the request, or of the CSeq of a response.
    pub(crate) method: String,
    /// 0 for a request.
    pub(crate) status: u16,
}

/// A message that a party sent or received.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) party: String,
    pub(crate) side: Side,
    pub(crate) way: Way,
    pub(crate) at_us: u64,
    pub(crate) name: Name,
    /// The whole message, when the party logs it.
    pub(crate) text: String,
}

/// All events of a flow.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) events: Vec<Event>,
    /// The backends repeat what they sent by themselves, without a word in their log, when nobody answers in time.
    pub(crate) backends_repeat: bool,
}

type Counts = BTreeMap<Name, usize>;

impl Ledger {
    pub(crate) fn new(events: Vec<Event>) -> Self {
        Self { events, backends_repeat: false }
    }

    /// The events of one side and way.
    pub(crate) fn of(&self, side: Side, way: Way) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |e| e.side == side && e.way == way)
    }

    /// How often each message was seen.
    pub(crate) fn counts(&self, side: Side, way: Way) -> Counts {
        count(self.of(side, way))
    }

    pub(crate) fn call_ids(&self) -> BTreeSet<&str> {
        self.events.iter().map(|e| e.name.call_id.as_str()).collect()
    }

    /// Every message that a phone sent came to a backend, as often as it was sent, and the other way round.
    pub(crate) fn conserved(&self) -> Result<(), String> {
        let mut faults = differences(
            "from phones to backends",
            &self.counts(Side::Phone, Way::Sent),
            &self.counts(Side::Backend, Way::Received),
        );
        let came = self.counts(Side::Phone, Way::Received);
        let mut sent = self.counts(Side::Backend, Way::Sent);
        if self.backends_repeat {
            Self::add_repeats(&mut sent, &came);
        }
        faults.extend(differences("from backends to phones", &sent, &came));
        report(faults)
    }

    /// Who keeps transactions repeats requests and answers on timers of its own: once logged, a message may come again.
    fn add_repeats(sent: &mut Counts, came: &Counts) {
        for (name, count) in sent {
            *count = came.get(name).copied().unwrap_or(0).max(*count);
        }
    }

    /// No party sent or received a message twice: nothing was retransmitted, so nothing was lost on the way either.
    pub(crate) fn once(&self) -> Result<(), String> {
        let mut seen: BTreeMap<(&str, bool, &Name), usize> = BTreeMap::new();
        for event in &self.events {
            let way = event.way == Way::Sent;
            *seen.entry((event.party.as_str(), way, &event.name)).or_default() += 1;
        }
        report(
            seen.iter()
                .filter(|(_, count)| **count != 1)
                .map(|((party, sent, name), count)| {
                    let way = if *sent { "sent" } else { "received" };
                    format!("{party} {way} {name:?} {count} times")
                })
                .collect(),
        )
    }

    /// Every message arrived as it was sent, byte for byte, but for the fields that a proxy edits.
    pub(crate) fn untouched(&self) -> Result<(), String> {
        let mut faults = Vec::new();
        for (from, to) in [(Side::Phone, Side::Backend), (Side::Backend, Side::Phone)] {
            let sent: BTreeMap<&Name, &Event> =
                self.of(from, Way::Sent).map(|event| (&event.name, event)).collect();
            for received in self.of(to, Way::Received) {
                let Some(sent) = sent.get(&received.name) else { continue };
                if kept_lines(&sent.text) != kept_lines(&received.text) {
                    faults.push(format!("sent:\n{}\nreceived:\n{}", sent.text, received.text));
                }
            }
        }
        report(faults)
    }

    /// Every Call-ID was seen by one backend only.
    pub(crate) fn one_backend_per_call(&self) -> Result<(), String> {
        let mut backends: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for event in self.events.iter().filter(|e| e.side == Side::Backend) {
            backends.entry(&event.name.call_id).or_default().insert(&event.party);
        }
        report(
            backends
                .iter()
                .filter(|(_, parties)| parties.len() != 1)
                .map(|(call_id, parties)| format!("call {call_id} was on backends {parties:?}"))
                .collect(),
        )
    }

    /// The share of calls of each backend, by name.
    pub(crate) fn calls_by_backend(&self) -> BTreeMap<&str, usize> {
        let mut calls: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for event in self.of(Side::Backend, Way::Received) {
            calls.entry(&event.party).or_default().insert(&event.name.call_id);
        }
        calls.into_iter().map(|(party, ids)| (party, ids.len())).collect()
    }

    /// The most calls that stood at one moment, as the phones saw it: from the 200 to their INVITE to their BYE.
    pub(crate) fn concurrent_calls_max(&self) -> usize {
        let mut steps: Vec<(u64, isize)> = self
            .events
            .iter()
            .filter(|e| e.side == Side::Phone)
            .filter_map(|e| match (e.way, e.name.method.as_str(), e.name.status) {
                (Way::Received, "INVITE", 200) => Some((e.at_us, 1)),
                (Way::Sent, "BYE", 0) => Some((e.at_us, -1)),
                _ => None,
            })
            .collect();
        steps.sort_unstable();
        let mut standing = 0_isize;
        let most = steps.iter().map(|(_, step)| {
            standing += step;
            standing
        });
        most.max().unwrap_or(0).unsigned_abs()
    }
}

/// The lines of a message that a proxy has no reason to edit.
fn kept_lines(text: &str) -> Vec<&str> {
    const EDITED: [&str; 5] = ["Via:", "Route:", "Record-Route:", "Path:", "Max-Forwards:"];
    // Not `lines`: a carriage return more or less is a difference.
    text.split('\n').filter(|line| !EDITED.iter().any(|field| line.starts_with(field))).collect()
}

/// How often each message is among `events`.
pub(crate) fn count<'a>(events: impl Iterator<Item = &'a Event>) -> Counts {
    let mut counts = Counts::new();
    for event in events {
        *counts.entry(event.name.clone()).or_default() += 1;
    }
    counts
}

/// What was sent and received differently often.
pub(crate) fn differences(what: &str, sent: &Counts, received: &Counts) -> Vec<String> {
    let names: BTreeSet<&Name> = sent.keys().chain(received.keys()).collect();
    names
        .into_iter()
        .filter_map(|name| {
            let (out, came) = (sent.get(name).unwrap_or(&0), received.get(name).unwrap_or(&0));
            (out != came)
                .then(|| format!("{what}: {name:?} sent {out} times, received {came} times"))
        })
        .collect()
}

/// Faults as one text: their number and the first few.
pub(crate) fn report(faults: Vec<String>) -> Result<(), String> {
    const SHOWN_MAX: usize = 8;
    if faults.is_empty() {
        return Ok(());
    }
    let shown: Vec<&str> = faults.iter().take(SHOWN_MAX).map(String::as_str).collect();
    Err(format!("{} faults, for example:\n  {}", faults.len(), shown.join("\n  ")))
}
