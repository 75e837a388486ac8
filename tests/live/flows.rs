//! The core flows between SIPp phones and SIPp backends, for each way of I/O and of steering.
//!
//! Owns: the matrix, and what each flow promises. Also lends [`Stage`] to the other cases with SIPp backends.

use std::net::SocketAddr;
use std::time::Duration;

use crate::harness::counts::{Before, steered};
use crate::harness::edge::{Edge, Setup};
use crate::harness::ledger::{Ledger, Side, Way};
use crate::harness::need::Need;
use crate::harness::sipp::{Load, Sipp, Station};
use crate::harness::{free_address, loopback, wait_until};
use crate::runner::{Case, Place};

/// The flows: `caller_NAME.xml` against `callee_NAME.xml`.
const FLOWS: [&str; 7] =
    ["bye_by_caller", "bye_by_callee", "cancel", "busy", "options", "message", "hold"];
/// Calls of each flow: enough that each of three backends has some of them.
const CALLS: u32 = 40;
/// How long the last messages of a flow may be under way after the caller ended.
const SETTLE_DEADLINE: Duration = Duration::from_secs(3);

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (io, io_need) in [("io_uring", Some(Need::IoUring)), ("recvmmsg", None)] {
        for (steering, steering_need) in [("ebpf", Some(Need::Bpf)), ("kernel", None)] {
            let needs: Vec<Need> =
                [Some(Need::Sipp), io_need, steering_need].into_iter().flatten().collect();
            let name = format!("flows/{io}+{steering}");
            cases.push(Case::new(name, needs, move |place| core_flows(place, io, steering)));
        }
    }
    cases.push(Case::new("flows/behind-nat", [Need::Sipp, Need::RealEdge], flows_behind_nat));
    cases
}

/// Requests of the callee reach a phone behind NAT along the flow that the edge sealed into its Record-Route.
fn flows_behind_nat(place: &Place) {
    let backends = [3, 4, 5].map(|host| free_address(loopback(host)));
    let setup = Setup::new(free_address(loopback(2)), &backends);
    let stage = Stage::start(place, &setup, free_address(loopback(1))).behind_nat();
    for flow in FLOWS {
        stage.run_and_check(&place.part(flow), flow, &Load::calls(CALLS));
    }
    stage.edge.stop();
}

/// All core flows through one edge with two shards.
fn core_flows(place: &Place, io: &'static str, steering: &'static str) {
    let edge = free_address(loopback(2));
    let backends = [3, 4, 5].map(|host| free_address(loopback(host)));
    let setup = Setup { io, steering, ..Setup::new(edge, &backends) };
    let stage = Stage::start(place, &setup, free_address(loopback(1)));
    for flow in FLOWS {
        stage.run_and_check(&place.part(flow), flow, &Load::calls(CALLS));
    }
    options_to_the_edge(place, &stage);
    steered(&stage.edge, steering).expect("each message at its shard");
    stage.edge.stop();
}

/// OPTIONS to the edge's own address is answered by the edge: no backend listens here, and none would hear it.
fn options_to_the_edge(place: &Place, stage: &Stage) {
    let place = place.part("options_edge");
    let before = Before::of(&stage.edge);
    let mut caller = stage.caller(&place, "options_edge", &Load::calls(CALLS));
    caller.finish().expect("OPTIONS to the edge");
    let ledger = Ledger::new(caller.events());
    let answers = ledger.of(Side::Phone, Way::Received).filter(|e| e.name.status == 200).count();
    assert_eq!(answers, CALLS as usize, "OPTIONS to the edge: each has its 200");
    ledger.once().expect("OPTIONS to the edge");
    before
        .agrees(&stage.edge, &ledger, &stage.backend_addresses())
        .expect("OPTIONS to the edge: counters");
}

/// An edge, and where one phone and the SIPp backends stand, which are started anew for each flow.
pub(crate) struct Stage {
    pub(crate) edge: Edge,
    edge_address: SocketAddr,
    phone: Station,
    backends: Vec<Station>,
}

impl Stage {
    pub(crate) fn start(place: &Place, setup: &Setup, phone: SocketAddr) -> Self {
        Self::with_edge(Edge::start(place, setup), setup, phone)
    }

    pub(crate) fn with_edge(edge: Edge, setup: &Setup, phone: SocketAddr) -> Self {
        let backends = setup.backends.iter().enumerate().map(|(index, address)| {
            Station::new(&format!("backend-{}", index + 1), Side::Backend, *address)
        });
        Self {
            edge,
            edge_address: setup.listeners[0].1,
            phone: Station::new("phone", Side::Phone, phone),
            backends: backends.collect(),
        }
    }

    /// The same stage with phones and backends run by other command prefixes.
    pub(crate) fn in_netns(mut self, phones: &[String], backends: &[String]) -> Self {
        self.phone.netns = phones.to_vec();
        for backend in &mut self.backends {
            backend.netns = backends.to_vec();
        }
        self
    }

    /// The same stage with a phone behind NAT: its Via and Contact name an address that nobody can send to.
    pub(crate) fn behind_nat(mut self) -> Self {
        self.phone.claimed = behind_nat();
        self
    }

    /// Runs a flow and keeps it to its promises.
    pub(crate) fn run_and_check(&self, place: &Place, flow: &str, load: &Load) -> Ledger {
        let before = Before::of(&self.edge);
        let done = self.run(place, flow, load);
        if let Err(fault) = self.check(&done, load) {
            panic!("{flow}: {fault}");
        }
        if let Err(fault) = before.agrees(&self.edge, &done.ledger, &self.backend_addresses()) {
            panic!("{flow}: the edge's counters: {fault}");
        }
        done.ledger
    }

    /// Runs a flow to its end.
    pub(crate) fn run(&self, place: &Place, flow: &str, load: &Load) -> Done {
        self.begin(place, flow, load).end()
    }

    /// Starts the backends and the caller of a flow.
    pub(crate) fn begin(&self, place: &Place, flow: &str, load: &Load) -> Running {
        let backends = self
            .backends
            .iter()
            .map(|station| Sipp::callee(place, station.clone(), flow, &load.ballast))
            .collect();
        Running { backends, caller: self.caller(place, flow, load) }
    }

    /// Kills the edge and starts another one at the same addresses.
    pub(crate) fn replace_edge(self, place: &Place, setup: &Setup) -> Self {
        drop(self.edge);
        Self { edge: Edge::start(place, setup), ..self }
    }

    /// What every flow promises.
    pub(crate) fn check(&self, done: &Done, load: &Load) -> Result<(), String> {
        done.outcome.clone()?;
        let ledger = &done.ledger;
        let promise = |name: &str, kept: Result<(), String>| {
            kept.map_err(|faults| format!("broken: {name}: {faults}"))
        };
        promise("nothing is lost or duplicated", ledger.conserved())?;
        promise("nothing is sent twice", ledger.once())?;
        promise("what a proxy need not edit stays as it was", ledger.untouched())?;
        promise("a dialog stays on its backend", ledger.one_backend_per_call())?;
        let (calls, shares) = (ledger.call_ids().len(), ledger.calls_by_backend());
        if calls != load.calls as usize || shares.len() != self.backends.len() {
            return Err(format!("{calls} calls, {shares:?}: not all calls, or a backend without"));
        }
        Ok(())
    }

    fn caller(&self, place: &Place, flow: &str, load: &Load) -> Sipp {
        let scenario = format!("caller_{flow}");
        Sipp::caller(place, self.phone.clone(), &scenario, self.edge_address, load)
    }

    fn backend_addresses(&self) -> Vec<SocketAddr> {
        self.backends.iter().map(|station| station.local).collect()
    }
}

/// An address in a phone's own network, of no use to anybody else.
pub(crate) fn behind_nat() -> SocketAddr {
    SocketAddr::from(([192, 168, 77, 7], 5060))
}

/// A flow under way.
pub(crate) struct Running {
    backends: Vec<Sipp>,
    caller: Sipp,
}

impl Running {
    /// All that was logged so far.
    pub(crate) fn ledger(&self) -> Ledger {
        let backends = self.backends.iter().flat_map(Sipp::events);
        Ledger::new(self.caller.events().into_iter().chain(backends).collect())
    }

    /// Waits for the caller's end, and gives all that was logged.
    pub(crate) fn end(mut self) -> Done {
        let mut outcome = self.caller.finish();
        // The caller's last message may still be on its way; what never comes is a fault for `check`.
        let mut ledger = self.ledger();
        wait_until(SETTLE_DEADLINE, || {
            let settled = ledger.conserved().is_ok();
            if !settled {
                ledger = self.ledger();
            }
            settled
        });
        for backend in &self.backends {
            let errors = backend.errors();
            if outcome.is_ok() && !errors.is_empty() {
                outcome = Err(format!("{} complains:\n{errors}", backend.name()));
            }
        }
        Done { ledger, outcome }
    }
}

/// A flow that ended.
pub(crate) struct Done {
    pub(crate) ledger: Ledger,
    /// What the SIPp programs say about it.
    pub(crate) outcome: Result<(), String>,
}
