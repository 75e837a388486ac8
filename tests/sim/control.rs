//! What control does in this world: it edits the pool, drains, notices deaths and returns, and lets who is back start slowly.
//!
//! Owns: the shape of the pool as control wants it, and when each edge learns of it. Each change is a version; an edge
//! may skip some, and never goes back.

use std::collections::{BTreeMap, BTreeSet};

use sipedge::sip::balance::Rotation;
use sipedge::sip::route::table::Pool;

use super::effects::SECOND_US;
use super::invariants::{Invariant, Judged, must};
use super::plan::Plan;
use super::world::{Event, World};

/// Shares of a member that is back, of 65,536, and how long each lasts.
const RAMP: [u16; 2] = [8_000, 30_000];
const RAMP_STEP_US: u64 = 3 * SECOND_US;
/// Longer than any call.
const LEAVES_US: u64 = 110 * SECOND_US;
/// Keys that are compared when a share grows.
const SAMPLES: u64 = 200;

/// A pool as control knows it: backends by index. The second pool of a split world shares the states.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// With their weights.
    pub(crate) members: Vec<(usize, u32)>,
    /// Members no more, still known.
    pub(crate) leaving: Vec<usize>,
    pub(crate) down: BTreeSet<usize>,
    pub(crate) drained: BTreeSet<usize>,
    pub(crate) ramp: BTreeMap<usize, u16>,
    /// Taken out by soft evidence.
    pub(crate) busy: BTreeSet<usize>,
    /// Their share is lowered by soft evidence.
    pub(crate) eased: BTreeMap<usize, u16>,
}

impl Shape {
    pub(crate) fn is_usable(&self, backend: usize) -> bool {
        !self.down.contains(&backend)
            && !self.drained.contains(&backend)
            && !self.busy.contains(&backend)
    }

    /// Of 65,536 keys, how many this member takes.
    fn share(&self, backend: usize) -> u32 {
        self.lowered(backend).map_or(65_536, u32::from)
    }

    /// The same of a member that does not take all of them.
    pub(crate) fn lowered(&self, backend: usize) -> Option<u16> {
        let shares = [&self.ramp, &self.eased].map(|shares| shares.get(&backend));
        shares.into_iter().flatten().min().copied()
    }

    /// Nothing has changed since `before` but that shares grew.
    fn has_grown_from(&self, before: &Self) -> bool {
        let without = |shape: &Self| Self { ramp: BTreeMap::new(), ..shape.clone() };
        let mut ramping = self.ramp.keys().chain(before.ramp.keys());
        self.ramp != before.ramp
            && without(self) == without(before)
            && ramping.all(|&backend| self.share(backend) >= before.share(backend))
    }
}

/// What comes to control's mind later.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change {
    /// Its probes say that it is dead.
    Notices(usize),
    /// Its probes say that it is back.
    Recovers(usize),
    /// So many steps of its ramp are over.
    Grows(usize, usize),
    Undrained(usize),
    /// It has had time to end its calls.
    Gone(usize),
}

impl World {
    /// A new version of the pool; each edge learns of it in its own time.
    pub(crate) fn reshape(&mut self, slowest_us: u64, change: impl FnOnce(&mut Shape)) {
        let old = self.tables.shapes.last().cloned().unwrap_or_default();
        let mut new = old.clone();
        change(&mut new);
        if new == old {
            return;
        }
        self.tables.shapes.push(new);
        let version = self.tables.shapes.len() - 1;
        for edge in 0..self.edges.len() {
            let when = self.now + self.random.below(slowest_us);
            self.at(when, Event::Pool(edge, version));
        }
    }

    pub(crate) fn shape(&self) -> Shape {
        self.tables.shapes.last().cloned().unwrap_or_default()
    }

    /// Adds, takes out or weighs a backend.
    pub(crate) fn edit_pool(&mut self) {
        let choices = self.plan.backends - usize::from(self.plan.is_split);
        let (index, removes) = (self.random.index(choices), self.random.permille(600));
        let weight = u32::try_from(self.random.between(1, 5)).unwrap_or(1);
        let members = self.shape().members;
        let place = members.iter().position(|(member, _)| *member == index);
        if place.is_some() && members.len() > 1 && removes {
            self.at(self.now + LEAVES_US, Event::Control(Change::Gone(index)));
        }
        self.reshape(4 * SECOND_US, |shape| match place {
            Some(place) if members.len() > 1 && removes => {
                shape.members.remove(place);
                shape.leaving.push(index);
            }
            Some(place) => shape.members[place].1 = weight,
            None => {
                shape.leaving.retain(|leaving| *leaving != index);
                shape.members.push((index, 1));
            }
        });
    }

    /// Takes a member out of use for a while, if another is left.
    pub(crate) fn drain(&mut self) {
        let shape = self.shape();
        let usable = shape.members.iter().filter(|(member, _)| shape.is_usable(*member));
        let usable: Vec<usize> = usable.map(|(member, _)| *member).collect();
        let is_only = |backend: usize| self.plan.is_split && backend == self.plan.backends - 1;
        let drained = usable[..].get(self.random.index(usable.len())).copied();
        let Some(drained) = drained.filter(|&d| usable.len() > 1 && !is_only(d)) else { return };
        self.ledger.count("backend drained");
        self.reshape(2 * SECOND_US, |shape| {
            shape.drained.insert(drained);
        });
        let back = self.now + self.random.between(5 * SECOND_US, 20 * SECOND_US);
        self.at(back, Event::Control(Change::Undrained(drained)));
    }

    /// It died, or is back: control notices, when that lasts.
    pub(crate) fn probes_change(&mut self, change: Change) {
        let when = self.now + self.random.between(SECOND_US / 5, 3 * SECOND_US);
        self.at(when, Event::Control(change));
    }

    pub(crate) fn control(&mut self, change: Change) {
        match change {
            Change::Notices(backend) if !self.backends[backend].is_up => {
                self.ledger.count("death noticed");
                self.reshape(SECOND_US, |shape| {
                    shape.down.insert(backend);
                    shape.ramp.remove(&backend);
                });
            }
            Change::Recovers(backend) if self.backends[backend].is_up => {
                if self.shape().down.contains(&backend) {
                    self.reshape(SECOND_US, |shape| {
                        shape.down.remove(&backend);
                        shape.ramp.insert(backend, RAMP[0]);
                    });
                    self.at(self.now + RAMP_STEP_US, Event::Control(Change::Grows(backend, 1)));
                }
            }
            Change::Notices(_) | Change::Recovers(_) => {}
            Change::Grows(backend, step) => {
                let share = RAMP.get(step).copied();
                self.reshape(SECOND_US, |shape| match (shape.ramp.get_mut(&backend), share) {
                    (Some(old), Some(share)) => *old = share.max(*old),
                    _ => drop(shape.ramp.remove(&backend)),
                });
                if share.is_some() {
                    let when = self.now + RAMP_STEP_US;
                    self.at(when, Event::Control(Change::Grows(backend, step + 1)));
                }
            }
            Change::Undrained(backend) => {
                self.reshape(2 * SECOND_US, |shape| {
                    shape.drained.remove(&backend);
                });
            }
            Change::Gone(backend) => {
                self.reshape(SECOND_US, |shape| shape.leaving.retain(|left| *left != backend));
            }
        }
    }

    /// While shares grow, keys come to those whose share grew, and no key goes anywhere else.
    pub(crate) fn ramp_grows(&mut self, old: usize, new: usize) -> Judged {
        let [before, after] = [old, new].map(|version| self.tables.shapes[version].clone());
        if self.plan.balance == "round-robin" || !after.has_grown_from(&before) {
            return Ok(());
        }
        self.ledger.count("ramp grew");
        let [was, is] = [old, new].map(|version| self.tables.pool(&self.plan, version));
        let pick = |pool: &Pool, key| pool.pick(Some(key), &mut Rotation::new(0));
        let place = |backend: Option<u16>| after.members.get(usize::from(backend?)).map(|m| m.0);
        for n in 0..SAMPLES {
            let key = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let key = if self.plan.balance == "rendezvous" { key } else { key >> 32 };
            let (from, to) = (place(pick(&was, key)), place(pick(&is, key)));
            let grew = to.is_some_and(|to| after.share(to) > before.share(to));
            must(from == to || grew, Invariant::RampGrows, || {
                format!("key {key:#x} went from {from:?} to {to:?}: {before:?} became {after:?}")
            })?;
        }
        Ok(())
    }

    /// Backends in the pool of the edge that these requests go to; of them, those that are usable.
    pub(crate) fn usable_at(&self, version: usize, is_second: bool) -> BTreeSet<usize> {
        let shape = &self.tables.shapes[version];
        let members = shape.members.iter().map(|(member, _)| *member);
        let members: Vec<usize> =
            if is_second { vec![self.plan.backends - 1] } else { members.collect() };
        members.into_iter().filter(|member| shape.is_usable(*member)).collect()
    }

    /// Addresses of backends that the edge knows to be dead.
    pub(crate) fn down_at(&self, version: usize) -> BTreeSet<std::net::SocketAddr> {
        let shape = &self.tables.shapes[version];
        let known = |backend: &usize| {
            shape.leaving.contains(backend) || shape.members.iter().any(|(m, _)| m == backend)
        };
        shape.down.iter().copied().filter(known).map(Plan::backend).collect()
    }
}
