//! Phones behind a NAT, the edge with the examples that we give operators, Asterisk in the core.
//!
//! Owns: who stands where, and the promise that both ends saw the same. It must not know which call is placed.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::harness::asterisk::Asterisk;
use crate::harness::baresip::Baresip;
use crate::harness::edge::Edge;
use crate::harness::ledger::{Event, Ledger, Side, Way, count, differences, report};
use crate::harness::netns::Netns;
use crate::harness::wait_until;
use crate::runner::Place;

/// How long the last messages of a call may be under way.
const SETTLE_DEADLINE: Duration = Duration::from_secs(10);

pub(crate) const PUBLIC: SocketAddr = SocketAddr::new(ip([198, 51, 100, 5]), 5060);
/// Where a carrier sends to.
pub(crate) const TRUNK: SocketAddr = SocketAddr::new(ip([198, 51, 100, 6]), 5060);
const CORE: SocketAddr = SocketAddr::new(ip([10, 77, 0, 5]), 5060);
const CORE_TRUNK: SocketAddr = SocketAddr::new(ip([10, 77, 0, 6]), 5060);
const BACKENDS: [IpAddr; 2] = [ip([10, 77, 0, 11]), ip([10, 77, 0, 12])];

const fn ip(octets: [u8; 4]) -> IpAddr {
    let [a, b, c, d] = octets;
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

/// Where phone `number` has its home: 1001 at .11.
pub(crate) fn home(number: u16) -> IpAddr {
    let host = u8::try_from(number - 990).expect("a number from 1001 to 1019");
    ip([192, 168, 77, host])
}

/// The edge and the exchanges behind it.
pub(crate) struct World<'a> {
    place: &'a Place,
    pub(crate) netns: &'a Netns,
    edge: Edge,
    exchanges: Vec<Asterisk>,
}

impl<'a> World<'a> {
    /// As `config/examples/asterisk.toml` has it.
    pub(crate) fn start(place: &'a Place, netns: &'a Netns) -> Self {
        Self::of_example(place, netns, "asterisk.toml", &[PUBLIC, CORE], 2)
    }

    /// As `config/examples/trunk.toml` has it, with the first exchange alone: one that is not there must not matter, and a
    /// phone's binding is at this one.
    pub(crate) fn with_trunk(place: &'a Place, netns: &'a Netns) -> Self {
        let listeners = [PUBLIC, CORE, TRUNK, CORE_TRUNK];
        Self::of_example(place, netns, "trunk.toml", &listeners, 1)
    }

    fn of_example(
        place: &'a Place,
        netns: &'a Netns,
        example: &str,
        listeners: &[SocketAddr],
        exchanges: usize,
    ) -> Self {
        let exchanges = BACKENDS.iter().take(exchanges).enumerate().map(|(index, address)| {
            let name = format!("asterisk-{}", index + 1);
            Asterisk::start(place, netns, "core", &name, *address)
        });
        let exchanges = exchanges.collect();
        let edge = Edge::start_example(place, example, listeners);
        Self { place, netns, edge, exchanges }
    }

    /// A phone that has registered.
    pub(crate) fn phone(&self, number: u16) -> Baresip {
        Baresip::start(self.place, self.netns, number, home(number), PUBLIC.ip())
    }

    /// The exchange that keeps a phone's binding: the one that answered its REGISTER.
    pub(crate) fn exchange_of(&self, phone: &Baresip) -> &str {
        let call_ids: BTreeSet<String> =
            phone.events().into_iter().map(|event| event.name.call_id).collect();
        let keeps = |exchange: &&Asterisk| {
            exchange.events().iter().any(|event| {
                let name = &event.name;
                name.method == "REGISTER" && call_ids.contains(&name.call_id)
            })
        };
        self.exchanges.iter().find(keeps).expect("the phone has registered").name()
    }

    /// Waits until each message that an end sent has been seen at the other, and each request has its final answer.
    /// What the edge says by itself, or keeps to itself, is a fault.
    pub(crate) fn settled(&self, what: &str, phones: impl Fn() -> Vec<Event>) -> Ledger {
        let mut ledger = Ledger::default();
        let mut faults = Vec::new();
        wait_until(SETTLE_DEADLINE, || {
            let exchanges = self.exchanges.iter().flat_map(Asterisk::events);
            ledger = Ledger::new(phones().into_iter().chain(exchanges).collect());
            faults = differences_of_ends(&ledger);
            faults.extend(unanswered(&ledger));
            faults.is_empty()
        });
        if let Err(faults) = report(faults) {
            panic!("{what}: {faults}");
        }
        ledger
    }

    /// Waits until `happens`.
    pub(crate) fn until(&self, what: &str, happens: impl FnMut() -> bool) {
        assert!(wait_until(SETTLE_DEADLINE, happens), "it did not happen: {what}");
    }

    /// Waits until no exchange has a call any more.
    pub(crate) fn idle(&self, what: &str) {
        for exchange in &self.exchanges {
            let mut said = String::new();
            let idle = wait_until(SETTLE_DEADLINE, || {
                said = exchange.cli("core show channels count");
                said.contains("0 active channels")
            });
            assert!(idle, "{what}: {} still has calls:\n{said}", exchange.name());
        }
    }

    pub(crate) fn stop(self) {
        self.edge.stop();
    }
}

/// What was sent on one side and not seen on the other, or the other way round; repetitions count once.
fn differences_of_ends(ledger: &Ledger) -> Vec<String> {
    let seen = |side, way| {
        let mut counts = count(ledger.of(side, way));
        counts.values_mut().for_each(|times| *times = 1);
        counts
    };
    let (phones, exchanges) = (Side::Phone, Side::Backend);
    let mut faults = differences(
        "from phones to Asterisk",
        &seen(phones, Way::Sent),
        &seen(exchanges, Way::Received),
    );
    faults.extend(differences(
        "from Asterisk to phones",
        &seen(exchanges, Way::Sent),
        &seen(phones, Way::Received),
    ));
    faults
}

/// Requests that have no final answer.
fn unanswered(ledger: &Ledger) -> Vec<String> {
    let sent = ledger
        .events
        .iter()
        .filter(|e| e.way == Way::Sent && e.name.status == 0 && e.name.method != "ACK");
    let unanswered = sent.filter(|request| {
        !ledger.events.iter().any(|e| {
            e.way == Way::Received
                && e.party == request.party
                && e.name.status >= 200
                && e.name.method == request.name.method
                && e.name.cseq == request.name.cseq
                && e.name.call_id == request.name.call_id
        })
    });
    unanswered.map(|e| format!("{}: no final answer to {:?}", e.party, e.name)).collect()
}
