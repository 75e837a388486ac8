//! Pools that look at latencies: when their balance is made anew.
//!
//! Owns: how much a latency has to move to count. Knows nothing of how latencies are measured, and of no clock: estimates and
//! moments come in. Latencies are microseconds.

use std::sync::Arc;

use super::{Fleet, Member, Pool, compile};
use crate::sip::Now;
use crate::sip::balance::Spec;

/// Latencies are looked at no more often than this.
const LOOK_SECONDS: u64 = 2;
/// A latency counts as another when it has moved by more than this part of itself.
const MOVED_PART: u32 = 10;

impl Fleet {
    /// Makes the balances anew that look at latencies, where one has moved. `latency_us` is the estimate for a member. Says
    /// whether there was any.
    pub fn learn_latencies(
        &mut self,
        now: Now,
        latency_us: &dyn Fn(&Pool, &Member) -> Option<u32>,
    ) -> bool {
        if now < self.latencies_due {
            return false;
        }
        self.latencies_due = now.plus_seconds(LOOK_SECONDS);
        let mut is_any = false;
        for pool in self.pools.iter_mut().filter(|pool| looks_at_latencies(pool.config.balance)) {
            let estimates = pool.members.iter().map(|member| latency_us(pool, member));
            let known = estimates.zip(&pool.latencies_us);
            let latencies_us: Vec<_> = known.map(|(new, old)| new.or(*old)).collect();
            if latencies_us.iter().zip(&pool.latencies_us).any(|(new, old)| has_moved(*new, *old))
                && let Ok(balance) = compile(&pool.config, &pool.members, &latencies_us)
            {
                (pool.balance, pool.latencies_us) = (Arc::new(balance), latencies_us);
                is_any = true;
            }
        }
        is_any
    }
}

/// What is known of members that stay.
pub(super) fn carried(old: Option<&Pool>, members: &[Member]) -> Vec<Option<u32>> {
    let of = |member: &Member| {
        let old = old?;
        let place = old.members.iter().position(|known| known.uri() == member.uri())?;
        old.latencies_us[place]
    };
    members.iter().map(of).collect()
}

const fn looks_at_latencies(spec: Spec) -> bool {
    matches!(spec, Spec::Latency | Spec::Kamailio { algorithm: 13, .. })
}

fn has_moved(new: Option<u32>, old: Option<u32>) -> bool {
    match (new, old) {
        (Some(new), Some(old)) => new.abs_diff(old) > old / MOVED_PART,
        (new, old) => new != old,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{self, Config};
    use crate::control::fleet::Standing;
    use crate::control::resolve::Known;

    fn config(balance: &str) -> Config {
        let text = format!(
            "[[listen]]\nname = \"a\"\naddress = \"udp:192.0.2.1:5060\"\n\
             [[pool]]\nname = \"p\"\nbalance = \"{balance}\"\n\
             backends = [{{ uri = \"sip:10.0.0.1\" }}, {{ uri = \"sip:10.0.0.2\" }}]\n\
             [[route]]\npool = \"p\"\n"
        );
        config::parse(Path::new("a.toml"), &text).expect("it is valid").0
    }

    #[test]
    fn a_balance_is_made_anew_when_a_latency_moves_and_no_keyed_one_ever() {
        for (balance, looks) in [("latency", true), ("kamailio:13", true), ("rendezvous", false)] {
            let config = config(balance);
            let mut fleet = Fleet::new(&config, &Known::default()).expect("it compiles");
            let balance_of = |fleet: &Fleet| Arc::clone(&fleet.pools()[0].balance);
            let first = balance_of(&fleet);
            let measured =
                |_: &Pool, member: &Member| (member.uri() == "sip:10.0.0.2").then_some(5_000);
            assert_eq!(fleet.learn_latencies(Now(0), &measured), looks, "{balance}");
            let second = balance_of(&fleet);
            assert_eq!(Arc::ptr_eq(&first, &second), !looks);
            // Not again so soon, nor when it has hardly moved, nor by a reload that changes nothing.
            assert!(!fleet.learn_latencies(Now(1_999_999), &|_, _| Some(90_000)));
            assert!(!fleet.learn_latencies(Now(2_000_000), &|_, member| {
                (member.uri() == "sip:10.0.0.2").then_some(5_300)
            }));
            let reloaded = fleet.edited(&config, &Known::default(), Now(3_000_000));
            let reloaded = reloaded.expect("it compiles");
            assert!(Arc::ptr_eq(&second, &balance_of(&reloaded)));
            assert_eq!(reloaded.pools()[0].latencies_us, [None, looks.then_some(5_000)]);
            // The table of before and the one of now: nobody has to look up keyed transactions.
            let table =
                |fleet: &Fleet| fleet.parts(&config, 1, &|_, _| Standing::GOOD).pools.remove(0);
            let before = table(&reloaded);
            let mut fleet = reloaded;
            fleet.learn_latencies(Now(9_000_000), &|_, _| Some(90_000));
            assert!(table(&fleet).picks_as(&before), "{balance}");
        }
    }

    #[test]
    fn a_tenth_is_no_move() {
        let rows = [(1_000, 1_100, false), (1_000, 1_101, true), (1_000, 899, true), (5, 5, false)];
        for (old, new, moved) in rows {
            assert_eq!(has_moved(Some(new), Some(old)), moved, "{old} to {new}");
        }
        assert!(has_moved(Some(1), None) && !has_moved(None, None));
    }
}
