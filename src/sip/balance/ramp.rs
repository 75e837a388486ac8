//! Slow start: a member that has just come back takes only a part of its keys, and the next candidate the others.
//!
//! Owns: which keys that are. Knows nothing of time: who makes the tables lets the shares grow, and a key that came to a
//! member stays with it while its share does.

use super::rotation::mix;
use super::{BackendSet, Balance, Candidate, Part, Rotation};

/// Makes the bits that a share is compared with independent of those that choose the member.
const SALT: u64 = 0x9d61_7261_6d70_2e2e;

/// A member that takes only a part of its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ramp {
    /// Its index.
    pub backend: u16,
    /// Of 65,536 keys, how many it takes.
    pub share: u16,
}

impl Balance {
    /// As [`Balance::pick`], with members that take only a part of their keys. When nobody takes the key, the first choice
    /// gets it: a ramp refuses no request.
    #[must_use]
    #[inline]
    pub fn pick_ramped(
        &self,
        key: Option<u64>,
        usable: &BackendSet,
        ramp: &[Ramp],
        rotation: &mut Rotation,
    ) -> Option<u16> {
        if ramp.is_empty() {
            return self.pick(key, usable, rotation);
        }
        let taking = taking(key, usable, ramp, rotation);
        self.pick(key, &taking, rotation).or_else(|| self.pick(key, usable, rotation))
    }

    /// As [`Balance::pick_counted`], with members that take only a part of their keys.
    #[must_use]
    pub fn pick_counted_ramped(
        &self,
        key: Option<u64>,
        usable: &BackendSet,
        ramp: &[Ramp],
        rotation: &mut Rotation,
        part: Part,
        load: &mut dyn FnMut(u16) -> u32,
    ) -> Option<u16> {
        if ramp.is_empty() {
            return self.pick_counted(key, usable, rotation, part, load);
        }
        let taking = taking(key, usable, ramp, rotation);
        self.pick_counted(key, &taking, rotation, part, load)
            .or_else(|| self.pick_counted(key, usable, rotation, part, load))
    }

    /// As [`Balance::candidates`]; those that do not take the key stand at the end.
    #[must_use]
    pub fn candidates_ramped(
        &self,
        key: Option<u64>,
        usable: &BackendSet,
        ramp: &[Ramp],
        rotation: &Rotation,
    ) -> Vec<Candidate> {
        if ramp.is_empty() {
            return self.candidates(key, usable, rotation);
        }
        let mut ahead = rotation.clone();
        let taking = taking(key, usable, ramp, &mut ahead);
        let refusing = usable.iter().filter(|member| !taking.contains(*member)).collect();
        let mut order = self.candidates(key, &taking, &ahead);
        order.extend(self.candidates(key, &refusing, &ahead));
        order
    }
}

/// The usable members that take this key. One number for all members: what a member refuses does not load another that
/// has just come back as well.
pub(super) fn taking(
    key: Option<u64>,
    usable: &BackendSet,
    ramp: &[Ramp],
    rotation: &mut Rotation,
) -> BackendSet {
    let number = key.map_or_else(|| rotation.random(), |key| mix(key ^ SALT)) >> 48;
    let mut taking = usable.clone();
    for refusing in ramp.iter().filter(|ramp| number >= u64::from(ramp.share)) {
        taking.remove(refusing.backend);
    }
    taking
}

#[cfg(test)]
mod tests {
    use super::super::{Member, Spec};
    use super::*;

    /// Of 0 to 65,536; the last stands for a member that ramps no more.
    const SHARES: [u32; 6] = [0, 1, 6_554, 32_768, 65_535, 65_536];

    fn balance(spec: &str) -> Balance {
        let names: Vec<String> = (0..5).map(|n| format!("sip:10.0.0.{n}")).collect();
        let member = |name| Member { identity: name, weight: 1, rweight: 20 };
        let members: Vec<_> = names.iter().map(|name| member(name.as_bytes())).collect();
        let spec = Spec::parse(spec).expect("a balance");
        Balance::compile(&spec, &members, 1).expect("compiles")
    }

    fn ramp(backend: u16, share: u32) -> Vec<Ramp> {
        u16::try_from(share).map(|share| Ramp { backend, share }).into_iter().collect()
    }

    fn picks(balance: &Balance, ramp: &[Ramp]) -> Vec<u16> {
        let mut rotation = Rotation::new(1);
        let usable = BackendSet::full(5);
        // Kamailio's hashes are 32 bits wide; rendezvous takes the top bits.
        let is_sip = matches!(balance.key_use(), super::super::KeyUse::Sip);
        let key = |n: u64| if is_sip { mix(n) } else { mix(n) >> 32 };
        (0..20_000)
            .map(|n| balance.pick_ramped(Some(key(n)), &usable, ramp, &mut rotation))
            .map(|picked| picked.expect("all are usable"))
            .collect()
    }

    #[test]
    fn of_keyed_balances_each_key_moves_once() {
        for spec in ["rendezvous", "kamailio:0", "kamailio:3"] {
            let balance = balance(spec);
            let full = picks(&balance, &[]);
            let own = full.iter().filter(|picked| **picked == 2).count();
            let mut before = picks(&balance, &ramp(2, 0));
            assert!(!before.contains(&2), "{spec}");
            for share in SHARES {
                let now = picks(&balance, &ramp(2, share));
                for ((old, new), full) in before.iter().zip(&now).zip(&full) {
                    assert!(old == new || *new == 2, "{spec} {share}: {old} to {new}");
                    assert!(*new != 2 || *full == 2, "{spec}: only what is its own");
                }
                let taken = now.iter().filter(|picked| **picked == 2).count();
                let wanted = own as f64 * f64::from(share) / 65_536.0;
                assert!(
                    (taken as f64 - wanted).abs() < own as f64 * 0.03,
                    "{spec} {share}: {taken}"
                );
                before = now;
            }
            assert_eq!(before, full, "{spec}");
        }
    }

    #[test]
    fn without_a_key_chance_decides() {
        for spec in ["round-robin", "random", "weight", "kamailio:4", "kamailio:6", "kamailio:9"] {
            let balance = balance(spec);
            let count = |share| {
                picks(&balance, &ramp(2, share)).into_iter().filter(|picked| *picked == 2).count()
            };
            let full = count(65_536) as f64;
            assert_eq!(count(0), 0, "{spec}");
            let tenth = count(6_554) as f64 / full;
            assert!((0.06..0.14).contains(&tenth), "{spec}: {tenth}");
        }
    }

    #[test]
    fn nobody_takes_the_key_and_the_first_choice_gets_it() {
        let all: Vec<Ramp> = (0..5).map(|backend| Ramp { backend, share: 0 }).collect();
        for spec in ["rendezvous", "kamailio:0", "first"] {
            let balance = balance(spec);
            assert_eq!(picks(&balance, &all), picks(&balance, &[]), "{spec}");
        }
        for spec in ["round-robin", "random", "weight", "kamailio:9:use_default", "kamailio:11"] {
            assert_eq!(picks(&balance(spec), &all).len(), 20_000, "{spec}");
        }
        let nobody = BackendSet::empty();
        let mut rotation = Rotation::new(1);
        assert_eq!(balance("first").pick_ramped(None, &nobody, &all, &mut rotation), None);
    }

    #[test]
    fn candidates_foretell_the_pick() {
        let ramp = ramp(2, 32_768);
        for spec in ["rendezvous", "kamailio:0", "random", "round-robin", "weight"] {
            let balance = balance(spec);
            let mut rotation = Rotation::new(1);
            for n in 0..200 {
                let key = (spec == "kamailio:0" || n % 3 == 0).then(|| mix(n));
                let usable = BackendSet::full(5);
                let order = balance.candidates_ramped(key, &usable, &ramp, &rotation);
                let picked = balance.pick_ramped(key, &usable, &ramp, &mut rotation);
                assert_eq!(order.first().map(|first| first.backend), picked, "{spec} {n}");
                assert_eq!(order.len(), 5, "{spec} {n}");
            }
        }
    }
}
