//! Weights that do not do what they look like: `kamailio:9` and `kamailio:11` deal out 100 slots.
//!
//! Owns: what is said of the sum and of a backend that gets nothing. Shares are those of the compiled balance. All are
//! warnings: Kamailio, too, runs such a pool.

use super::super::problem::Problems;
use super::super::{Backend, Target};
use super::found::Found;
use crate::sip::balance::{BackendSet, Balance, Member, Spec};

/// Backends whose shares are told in one warning.
const SHOWN_MAX: usize = 6;
/// Weights that add up to this do what they look like.
const SLOTS: u64 = 100;

/// Warns of shares that nobody would guess.
pub(super) fn check(spec: Spec, found: &[Found], problems: &mut Problems) {
    let Spec::Kamailio { algorithm: algorithm @ (9 | 11), .. } = spec else { return };
    let backends: Vec<&Backend> = found.iter().map(|found| &found.backend).collect();
    // How many members a name makes shows when it resolves.
    let has_names = backends.iter().any(|backend| matches!(backend.target, Target::Name(_)));
    let (Some(first), false) = (found.first(), has_names || found.len() < 2) else { return };
    let weight = |backend: &Backend| if algorithm == 9 { backend.weight } else { backend.rweight };
    let name = if algorithm == 9 { "weight" } else { "rweight" };
    let is_unweighted = match algorithm {
        9 => first.backend.weight == 0,
        _ => backends.iter().all(|backend| backend.rweight == 0),
    };
    if is_unweighted {
        // A list has its own words for it.
        if !first.place.is_in_list() {
            let message = format!("kamailio:{algorithm} without a weight here: it takes all keys");
            let help = "write weight = 1 to weight = 100 for each backend, 100 in all";
            first.place.warning(problems, message, help);
        }
        return;
    }
    let Some(shares) = shares(spec, &backends) else { return };
    let sum: u64 = backends.iter().map(|backend| u64::from(weight(backend))).sum();
    if algorithm == 9 && sum != SLOTS {
        let told = backends.iter().zip(&shares).take(SHOWN_MAX);
        let mut told: Vec<String> = told
            .map(|(backend, share)| format!("{} {:.0} %", backend.uri, share * 100.0))
            .collect();
        if backends.len() > SHOWN_MAX {
            told.push(format!("and {} more", backends.len() - SHOWN_MAX));
        }
        let message = format!(
            "the weights add up to {sum}, and kamailio:9 deals out {SLOTS} slots: {}",
            told.join(", ")
        );
        let help = "let them add up to 100, or write balance = \"weight\", which takes any sum";
        first.place.warning(problems, message, help);
    }
    let gets_nothing = |(found, share): &(&Found, &f64)| found.backend.usable && **share == 0.0;
    let mut nothing = found.iter().zip(&shares).filter(gets_nothing).map(|(found, _)| found);
    if let Some(found) = nothing.next() {
        let others = match nothing.count() {
            0 => String::new(),
            more => format!(", nor do {more} more"),
        };
        let (uri, weight) = (&found.backend.uri, weight(&found.backend));
        let message = format!("{uri} gets no new keys with {name} {weight}{others}");
        let help = "the slots are dealt out before its turn comes: let all weights add up to 100";
        found.place.warning(problems, message, help);
    }
}

/// The shares of those that may get something.
fn shares(spec: Spec, backends: &[&Backend]) -> Option<Vec<f64>> {
    let member = |backend: &&Backend| (backend.uri.clone(), backend.weight, backend.rweight);
    let members: Vec<(String, u32, u32)> = backends.iter().map(member).collect();
    let members: Vec<Member<'_>> = members
        .iter()
        .map(|(uri, weight, rweight)| Member {
            identity: uri.as_bytes(),
            weight: *weight,
            rweight: *rweight,
        })
        .collect();
    let usable: BackendSet =
        (0..).zip(backends).filter(|(_, backend)| backend.usable).map(|(index, _)| index).collect();
    Balance::compile(&spec, &members, 0).ok()?.shares(&usable)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    fn warnings(balance: &str, backends: &str) -> Vec<String> {
        let text = format!(
            "[[listen]]\nname = \"a\"\naddress = \"udp:192.0.2.1:5060\"\n[[pool]]\nname = \"p\"\n\
             balance = \"{balance}\"\nbackends = [{backends}]\n[[route]]\npool = \"p\"\n"
        );
        let (_, problems) =
            crate::config::parse(Path::new("a.toml"), &text).unwrap_or_else(|p| panic!("{p}"));
        let found = problems.sorted();
        found
            .iter()
            .map(|problem| format!("{} {}", problems.place(problem), problem.message))
            .collect()
    }

    fn backends(weights: &[u32]) -> String {
        let one = |(n, weight): (usize, &u32)| match weight {
            0 => format!("{{ uri = \"sip:10.0.0.{n}\" }}"),
            _ => format!("{{ uri = \"sip:10.0.0.{n}\", weight = {weight} }}"),
        };
        weights.iter().enumerate().map(one).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn a_sum_that_is_not_100_is_told_with_what_comes_of_it() {
        assert_eq!(
            warnings("kamailio:9", &backends(&[30, 20])),
            [
                "a.toml:7:21 the weights add up to 50, and kamailio:9 deals out 100 slots: sip:10.0.0.0 30 %, \
              sip:10.0.0.1 70 %"
            ]
        );
        let three = warnings("kamailio:9", &backends(&[50, 50, 50]));
        assert_eq!(three.len(), 2, "{three:?}");
        assert!(three[0].contains("150") && three[0].ends_with("sip:10.0.0.2 0 %"), "{three:?}");
        assert!(three[1].ends_with("sip:10.0.0.2 gets no new keys with weight 50"), "{three:?}");
        for fine in [&[50, 50][..], &[10, 20, 70], &[7]] {
            assert!(warnings("kamailio:9", &backends(fine)).is_empty(), "{fine:?}");
        }
        assert!(warnings("weight", &backends(&[50, 50, 50])).is_empty());
    }

    #[test]
    fn who_gets_nothing_of_relative_weights_is_named() {
        assert!(warnings("kamailio:11", &backends(&[1, 2])).is_empty());
        let rare = backends(&[1, 100, 100]);
        let told = warnings("kamailio:11", &rare);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("sip:10.0.0.0 gets no new") && told[0].contains("rweight 1"));
    }

    #[test]
    fn weights_that_nobody_wrote_are_told() {
        for balance in ["kamailio:9", "kamailio:11"] {
            assert!(warnings(balance, &backends(&[0])).is_empty());
            let told = warnings(balance, &backends(&[0, 0]));
            assert_eq!(
                told,
                [format!("a.toml:7:21 {balance} without a weight here: it takes all keys")]
            );
        }
    }
}
