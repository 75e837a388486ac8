//! What is done to a world: calls, hang-ups, edits, deaths, flaps, turns of keys, forgeries. Weighted dice.
//!
//! Owns: the list and the weights. What follows from an action is up to those it is done to.

use super::backend::{LOOP_USER, OWN_USER};
use super::control::Change;
use super::effects::{Effects, SECOND_US};
use super::forger::{FORGER, forge, impersonate};
use super::invariants::Judged;
use super::plan::{Plan, address};
use super::text::Text;
use super::world::{Event, World};

type Deed = fn(&mut World) -> Judged;

/// Name, weight, deed.
pub(crate) const ACTIONS: [(&str, u64, Deed); 18] = [
    ("call to a backend", 20, call_backend),
    ("call to a phone", 16, call_phone),
    ("call by a backend", 12, call_by_backend),
    ("call that is cancelled", 8, cancelled_call),
    ("MESSAGE", 5, message),
    ("OPTIONS to the edge", 2, ping),
    ("request without hops", 2, without_hops),
    ("request that loops", 4, looping),
    ("pool edit", 8, edit_pool),
    ("backend is drained", 4, drain_backend),
    ("backend dies", 2, kill_backend),
    ("backend dies while it rings", 5, unheard_call),
    ("edge dies", 3, kill_edge),
    ("routes flap", 8, flap),
    ("keys turn", 4, turn_keys),
    ("clock steps", 3, step_clock),
    ("NAT reboots", 2, reboot_nat),
    ("forgery", 12, forgery),
];

impl World {
    pub(crate) fn act(&mut self) -> Judged {
        let total = ACTIONS.iter().map(|(_, weight, _)| weight).sum();
        let mut rest = self.random.below(total);
        for (name, weight, deed) in ACTIONS {
            if rest < weight {
                self.ledger.count(name);
                self.trace.line(self.now, || format!("-- {name}"));
                return deed(self);
            }
            rest -= weight;
        }
        Ok(())
    }

    /// Control notices most deaths, if they last long enough.
    pub(crate) fn kill(&mut self, backend: usize) {
        if !self.backends[backend].is_up {
            return;
        }
        self.backends[backend].is_up = false;
        self.backends[backend].forget();
        self.trace.line(self.now, || format!("-- backend{backend} dies"));
        let back = self.now + self.random.between(SECOND_US, 20 * SECOND_US);
        self.ledger.outages.push((self.now, back));
        self.at(back, Event::BackendReturns(backend));
        if self.random.permille(800) {
            self.probes_change(Change::Notices(backend));
        }
    }

    pub(crate) fn flap(&mut self) {
        let up = self.edges_up();
        let moved = self.network.flap(700, &up);
        *self.ledger.counts.entry("routes moved").or_default() += moved;
    }

    fn with_phone(
        &mut self,
        act: impl FnOnce(&mut super::phone::PhoneNode, u64, &mut Effects),
    ) -> Judged {
        let place = self.random.index(self.phones.len());
        let mut fx = Effects::default();
        act(&mut self.phones[place], self.now, &mut fx);
        self.apply(self.plan.backends + place, fx)
    }
}

fn call_backend(world: &mut World) -> Judged {
    world.with_phone(|phone, now, fx| phone.call(now, OWN_USER, false, fx))
}

fn call_phone(world: &mut World) -> Judged {
    let callee = format!("u{}", world.random.index(world.phones.len()));
    world.with_phone(|phone, now, fx| {
        if phone.agent.user != callee {
            phone.call(now, &callee, false, fx);
        }
    })
}

fn cancelled_call(world: &mut World) -> Judged {
    let callee = match world.random.below(2) {
        0 => OWN_USER.to_owned(),
        _ => format!("u{}", world.random.index(world.phones.len())),
    };
    world.with_phone(|phone, now, fx| {
        if phone.agent.user != callee {
            phone.call(now, &callee, true, fx);
        }
    })
}

/// Along the Path of a registered phone; not by a backend that is dead.
fn call_by_backend(world: &mut World) -> Judged {
    let place = world.random.index(world.backends.len());
    let callee = format!("u{}", world.random.index(world.phones.len()));
    let cancels = world.random.permille(250);
    let Some(binding) = world.locations.get(&callee).cloned() else { return Ok(()) };
    let backend = &mut world.backends[place];
    if !backend.is_up || binding.expires < world.now {
        return Ok(());
    }
    let mut fx = Effects::default();
    backend.call(world.now, &callee, &binding, cancels, &mut fx);
    world.apply(place, fx)
}

fn message(world: &mut World) -> Judged {
    let to = match world.random.below(2) {
        0 => OWN_USER.to_owned(),
        _ => format!("u{}", world.random.index(world.phones.len())),
    };
    let uri = format!("sip:{to}@example.com");
    world.with_phone(|phone, now, fx| {
        let request = phone.agent.fresh("MESSAGE", &uri, &uri);
        phone.probe(now, request, None, fx);
    })
}

fn ping(world: &mut World) -> Judged {
    world.with_phone(|phone, now, fx| {
        let request = phone.agent.fresh("OPTIONS", "sip:192.0.2.1:5060", "sip:192.0.2.1");
        // 200, or 503 while nobody is usable: the checks know which.
        phone.probe(now, request, None, fx);
    })
}

fn without_hops(world: &mut World) -> Judged {
    world.with_phone(|phone, now, fx| {
        let mut request =
            phone.agent.fresh("MESSAGE", "sip:service@example.com", "sip:service@example.com");
        request.add("Max-Forwards", "0");
        phone.probe(now, request, Some(483), fx);
    })
}

fn looping(world: &mut World) -> Judged {
    let uri = format!("sip:{LOOP_USER}@example.com");
    world.with_phone(|phone, now, fx| {
        let request: Text = phone.agent.fresh("MESSAGE", &uri, &uri);
        phone.probe(now, request, None, fx);
    })
}

fn edit_pool(world: &mut World) -> Judged {
    world.edit_pool();
    Ok(())
}

fn drain_backend(world: &mut World) -> Judged {
    world.drain();
    Ok(())
}

fn kill_backend(world: &mut World) -> Judged {
    let place = world.random.index(world.backends.len());
    world.kill(place);
    Ok(())
}

/// The caller hears nothing for a while, and the backend that rings dies before he repeats himself, sometimes by another way.
fn unheard_call(world: &mut World) -> Judged {
    let place = world.random.index(world.phones.len());
    let phone = &world.phones[place];
    let hears_at = phone.nat.map_or(phone.agent.address.ip(), |nat| world.nats[nat].ip);
    world.network.cut_off(hears_at, world.now + SECOND_US);
    world.at(world.now + SECOND_US * 2 / 5, Event::RingingDies);
    let mut fx = Effects::default();
    world.phones[place].call(world.now, OWN_USER, false, &mut fx);
    world.apply(world.plan.backends + place, fx)
}

/// Routes to it are withdrawn a moment later.
fn kill_edge(world: &mut World) -> Judged {
    let place = world.random.index(world.edges.len());
    if !world.edges[place].is_up {
        return Ok(());
    }
    world.edges[place].is_up = false;
    let back = world.now + world.random.between(SECOND_US, 15 * SECOND_US);
    let withdrawn = world.now + world.random.below(2 * SECOND_US);
    world.ledger.outages.push((world.now, back));
    world.at(withdrawn, Event::Withdraw(place));
    world.at(back, Event::EdgeReturns(place));
    Ok(())
}

fn flap(world: &mut World) -> Judged {
    world.flap();
    Ok(())
}

/// The order of ARCHITECTURE.md: the new key opens everywhere, then it seals, and when nothing under way can have been
/// sealed with the old one, that goes.
fn turn_keys(world: &mut World) -> Judged {
    if world.is_rotating {
        return Ok(());
    }
    world.is_rotating = true;
    world.ledger.count("key ring turned");
    let old = world.keys[0];
    let new = old % 60 + 1;
    world.keys = vec![new];
    for edge in 0..world.edges.len() {
        let opens = world.now + world.random.below(3 * SECOND_US);
        let seals = world.now + 4 * SECOND_US + world.random.below(4 * SECOND_US);
        let goes = world.now + 130 * SECOND_US + world.random.below(4 * SECOND_US);
        world.at(opens, Event::Keys(edge, vec![old, new]));
        world.at(seals, Event::Keys(edge, vec![new, old]));
        world.at(goes, Event::Keys(edge, vec![new]));
    }
    world.at(world.now + 140 * SECOND_US, Event::RotationEnds);
    Ok(())
}

/// Forwards only: `Now` is monotonic.
fn step_clock(world: &mut World) -> Judged {
    let place = world.random.index(world.edges.len());
    let longest = if world.random.permille(200) { 400 } else { 30 };
    world.edges[place].clock_us += world.random.below(longest * SECOND_US);
    Ok(())
}

fn reboot_nat(world: &mut World) -> Judged {
    let place = world.random.index(world.nats.len());
    world.nats[place].close();
    Ok(())
}

fn forgery(world: &mut World) -> Judged {
    world.serial += 1;
    let serial = world.serial;
    // Only where backends are on another side is their address no proof.
    let (forged, from) = if world.plan.has_private && world.random.permille(150) {
        let backend = Plan::backend(world.random.index(world.plan.backends));
        (impersonate(&mut world.random, &world.seen, serial), backend)
    } else {
        (forge(&mut world.random, &world.seen, serial), address(FORGER))
    };
    if let Some((what, bytes)) = forged {
        world.ledger.count(what);
        world.forge(from, bytes);
    }
    Ok(())
}
