//! Figures of healing under load: the time to the first success of a dead backend's keys, and what reloads cost.
//!
//! Owns: the two runs and their table. They are cases only when `SIPEDGE_HEAL_FIGURES=1` (`make heal`): a figure needs a quiet
//! machine. `RATE` is calls per second, `SECONDS_EACH` how long each run takes.

mod callees;
mod caller;

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use super::{PATIENCE, PROBE};
use crate::harness::counts::Before;
use crate::harness::edge::{Edge, Setup};
use crate::harness::need::Need;
use crate::harness::{free_address, loopback, wait_until};
use crate::runner::{Case, Place};
use callees::Callee;
use caller::{Call, Plan};

const RATE: u32 = 2_000;
const SECONDS_DEAD: u32 = 20;
const SECONDS_RELOAD: u32 = 60;
/// Keys that the calls take turns with.
pub(super) const KEYS: u32 = 2_000;
/// The backend that dies.
const DEAD: usize = 1;
const RELOADS_PER_SECOND: u32 = 10;

pub(super) fn cases() -> Vec<Case> {
    if std::env::var("SIPEDGE_HEAL_FIGURES").is_err() {
        return Vec::new();
    }
    vec![
        Case::new("figures/backend-killed", [Need::RealEdge], killed),
        Case::new("figures/reload", [Need::RealEdge], reloads),
    ]
}

fn number(name: &str, default: u32) -> u32 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

struct Scene {
    edge: Edge,
    setup: Setup,
    callees: Vec<Callee>,
}

impl Scene {
    fn start(place: &Place) -> Self {
        let addresses = [3, 4, 5].map(|host| free_address(loopback(host)));
        let setup =
            Setup { key: "to", probe: PROBE, ..Setup::new(free_address(loopback(2)), &addresses) };
        let callees = addresses.iter().map(|address| Callee::start(*address)).collect();
        Self { edge: Edge::start(place, &setup), setup, callees }
    }

    fn call(&self, seconds: u32, repeats: bool, meanwhile: impl FnMut(u64)) -> Vec<Call> {
        let rate = number("RATE", RATE);
        let plan = Plan { edge: self.edge_address(), calls: rate * seconds, rate, repeats };
        caller::run(&plan, meanwhile)
    }

    fn edge_address(&self) -> SocketAddr {
        self.setup.listeners[0].1
    }

    /// The backends that got each INVITE, by Call-ID, and how often.
    fn takers(&self) -> BTreeMap<String, Vec<(usize, usize)>> {
        let mut takers = BTreeMap::<String, Vec<(usize, usize)>>::new();
        for (index, callee) in self.callees.iter().enumerate() {
            for (call_id, count) in callee.invites() {
                takers.entry(call_id).or_default().push((index, count));
            }
        }
        takers
    }
}

fn killed(place: &Place) {
    let mut scene = Scene::start(place);
    let warm = scene.call(KEYS.div_ceil(number("RATE", RATE)) + 1, false, |_| ());
    let takers = scene.takers();
    let mut homes = vec![None; KEYS as usize];
    for call in &warm {
        if let Some([(home, _)]) = takers.get(&call.call_id).map(Vec::as_slice) {
            homes[call.key as usize] = Some(*home);
        }
    }
    let unknown = homes.iter().filter(|home| home.is_none()).count();
    assert_eq!(unknown, 0, "keys without a success before anything happens: this rate is too much");
    let seconds = number("SECONDS_EACH", SECONDS_DEAD);
    let kill_at_us = u64::from(seconds) * 1_000_000 / 4;
    let mut victim = Some(scene.callees[DEAD].stopper());
    let mut killed_us = 0;
    let calls = scene.call(seconds, false, |now_us| {
        if now_us >= kill_at_us
            && let Some(victim) = victim.take()
        {
            victim.stop();
            killed_us = now_us;
        }
    });
    scene.callees[DEAD].wait_stopped();
    let takers = scene.takers();
    let (of_dead, of_others): (Vec<&Call>, Vec<&Call>) =
        calls.iter().partition(|call| homes[call.key as usize] == Some(DEAD));
    let late: Vec<&&Call> = of_dead.iter().filter(|call| call.begun_us > killed_us).collect();
    let lost_late = late.iter().filter(|call| call.answered_us.is_none()).count();
    let mut waits: Vec<u64> =
        late.iter().filter_map(|c| Some(c.answered_us? - c.begun_us)).collect();
    let mut met: Vec<u64> = late
        .iter()
        .filter(|c| c.invites > 1)
        .filter_map(|c| Some(c.answered_us? - c.begun_us))
        .collect();
    let lost = of_others.iter().filter(|call| call.ended_us.is_none()).count();
    let twice = doubled(&calls, &takers);
    println!("\n  backend killed, {} calls/s, {} calls", number("RATE", RATE), calls.len());
    println!("  | milliseconds | calls | p50 | p90 | p99 | max |\n  |---|---|---|---|---|---|");
    row("new calls of its keys: INVITE to 200", &mut waits);
    row("those of them that met it dead", &mut met);
    println!("  of its keys: {lost_late} new calls without success");
    println!("  of others: {} calls, {lost} lost; duplicates: {twice}\n", of_others.len());
    assert!(!met.is_empty(), "no call met the dead backend");
    assert_eq!((lost_late, lost, twice), (0, 0, 0), "without success, lost on others, duplicates");
    scene.edge.stop();
}

fn reloads(place: &Place) {
    let scene = Scene::start(place);
    let seconds = number("SECONDS_EACH", SECONDS_RELOAD);
    let mut fewer = scene.setup.clone();
    fewer.backends.remove(DEAD);
    let setups = [&fewer, &scene.setup];
    let step_us = 1_000_000 / u64::from(RELOADS_PER_SECOND);
    let mut done = 0_usize;
    let before = Before::of(&scene.edge);
    let calls = scene.call(seconds, true, |now_us| {
        // One after the other: a signal that comes while one waits is the same signal.
        if now_us / step_us > done as u64 && done < (seconds * RELOADS_PER_SECOND) as usize {
            scene.edge.reload(setups[done % 2]);
            done += 1;
        }
    });
    let taken = || scene.edge.log().matches("reload: taken over").count();
    wait_until(PATIENCE, || taken() >= done);
    let takers = scene.takers();
    let lost = calls.iter().filter(|call| call.ended_us.is_none()).count();
    let again = calls.iter().filter(|call| call.invites > 1 + usize::from(call.repeated)).count();
    let split =
        calls.iter().filter(|c| takers.get(&c.call_id).is_some_and(|t| t.len() > 1)).count();
    let twice = doubled(&calls, &takers);
    println!("\n  {} reloads taken of {done} asked for, {} calls/s", taken(), number("RATE", RATE));
    println!("  | calls | lost | retransmitted for want of an answer | split | duplicates |");
    println!("  |---|---|---|---|---|");
    println!("  | {} | {lost} | {again} | {split} | {twice} |\n", calls.len());
    assert!(taken() > done / 2, "{} of {done} reloads were taken", taken());
    assert_eq!((lost, split, twice), (0, 0, 0), "lost, split, duplicates");
    before.quiet(&scene.edge).expect("the edge and its sockets dropped nothing");
    scene.edge.stop();
}

/// Calls whose INVITE came to backends more often than it was sent.
fn doubled(calls: &[Call], takers: &BTreeMap<String, Vec<(usize, usize)>>) -> usize {
    let came = |call: &Call| -> usize {
        takers.get(&call.call_id).map_or(0, |takers| takers.iter().map(|(_, count)| count).sum())
    };
    calls.iter().filter(|call| came(call) > call.invites).count()
}

fn row(what: &str, times_us: &mut [u64]) {
    times_us.sort_unstable();
    let at = |part: usize| {
        let place = (times_us.len() * part / 100).min(times_us.len().saturating_sub(1));
        let us = times_us.get(place).copied().unwrap_or(0);
        format!("{}.{:03}", us / 1_000, us % 1_000)
    };
    let count = times_us.len();
    println!("  | {what} | {count} | {} | {} | {} | {} |", at(50), at(90), at(99), at(100));
}

/// The value of a field, and the lines of a message that have it.
pub(super) fn lines<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    text.split("\r\n")
        .take_while(|line| !line.is_empty())
        .filter(move |line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(':')))
}

/// Room for what comes while the machine stops this thread: what phones and backends lose is not to be the edge's.
pub(super) fn widen(socket: &UdpSocket) {
    socket2::SockRef::from(socket).set_recv_buffer_size(4 << 20).expect("an option");
}

/// A wait of nothing: what a thread does between two looks.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(1);
