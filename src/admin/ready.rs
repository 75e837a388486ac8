//! Whether the node can serve: what `/healthz` says while it runs.
//!
//! Owns: the rule. A pool counts when a route names it; it is empty when none of its backends takes new keys.

use std::fmt::Write as _;

use crate::config::ReadyNeeds;
use crate::control::view::Node;

/// The answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) is_ready: bool,
    /// Pools that a route names and that nobody serves.
    empty: Vec<String>,
}

impl Judged {
    /// Before the first look at the node, and when it does not answer: the listener itself lives.
    pub(super) const fn unknown() -> Self {
        Self { is_ready: true, empty: Vec::new() }
    }

    pub(super) fn text(&self, names_pools: bool) -> String {
        let mut text = if self.is_ready { "ok\n" } else { "not ready\n" }.to_owned();
        for name in self.empty.iter().filter(|_| names_pools) {
            let _ = writeln!(text, "pool {name}: no usable backend");
        }
        text
    }
}

pub(super) fn judge(node: &Node, needs: ReadyNeeds) -> Judged {
    let routed = node.pools.iter().filter(|pool| pool.is_routed);
    let (mut count, mut empty) = (0_usize, Vec::new());
    for pool in routed {
        count += 1;
        if !pool.backends.iter().any(|backend| backend.takes_new) {
            empty.push(pool.name.clone());
        }
    }
    let is_ready = match needs {
        ReadyNeeds::Nothing => true,
        ReadyNeeds::APool => count == 0 || empty.len() < count,
        ReadyNeeds::EveryPool => empty.is_empty(),
    };
    Judged { is_ready, empty }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::view;

    /// Name, whether a route names it, and of each backend whether it takes new keys.
    fn node(pools: &[(&str, bool, &[bool])]) -> Node {
        let backend = |&takes_new: &bool| view::Backend { takes_new, ..view::Backend::default() };
        let pool = |&(name, is_routed, backends): &(&str, bool, &[bool])| view::Pool {
            name: name.to_owned(),
            is_routed,
            backends: backends.iter().map(backend).collect(),
            ..view::Pool::default()
        };
        Node { pools: pools.iter().map(pool).collect(), ..Node::default() }
    }

    #[test]
    fn ready_is_what_the_operator_says() {
        let half = node(&[("a", true, &[false, false]), ("b", true, &[false, true])]);
        let none = node(&[("a", true, &[false]), ("b", true, &[]), ("spare", false, &[true])]);
        let unrouted = node(&[("spare", false, &[false])]);
        let ready = |node: &Node| {
            [ReadyNeeds::Nothing, ReadyNeeds::APool, ReadyNeeds::EveryPool]
                .map(|needs| judge(node, needs).is_ready)
        };
        assert_eq!(ready(&half), [true, true, false]);
        assert_eq!(ready(&none), [true, false, false]);
        assert_eq!(ready(&unrouted), [true; 3]);
    }

    #[test]
    fn empty_pools_are_named_to_who_may_know() {
        let judged =
            judge(&node(&[("a", true, &[false]), ("b", true, &[true])]), ReadyNeeds::APool);
        assert_eq!(judged.text(true), "ok\npool a: no usable backend\n");
        assert_eq!(judged.text(false), "ok\n");
    }
}
