//! What a dispatcher list says and the edge does not do, so that it is known before calls show it.
//!
//! Owns: the attributes of Kamailio that mean nothing here, and weights or bounds that its algorithms do not look at. Each is
//! told once for a pool, at the first line that has it. All are warnings: Kamailio, too, runs such a list.

use std::net::SocketAddr;

use super::super::list::Entry;
use super::super::problem::{Problems, Severity};
use crate::sip::balance::Spec;

/// Attributes with a meaning in Kamailio, and what to write instead.
const NOT_FOLLOWED: [(&str, &str); 7] = [
    ("sockname", "write send_from = \"NAME\" in the pool"),
    ("ping_socket", "write probe = { send_from = \"NAME\" } in the pool"),
    ("obproxy", "the edge sends to the destination itself"),
    ("cc", "kamailio:13 and latency look at how long probes take, without it"),
    ("ocmin", NO_OVERLOAD_CONTROL),
    ("ocmax", NO_OVERLOAD_CONTROL),
    ("ocrate", NO_OVERLOAD_CONTROL),
];
const NO_OVERLOAD_CONTROL: &str =
    "one that answers a probe by 503 with Retry-After is left alone for that long";

/// A set of a list, and where it is used.
pub(super) struct Listed<'a> {
    /// In memory order.
    pub(super) entries: &'a [Entry],
    /// The whole list, and its number among the files.
    pub(super) text: &'a str,
    pub(super) file: usize,
    pub(super) balance: Spec,
    /// The one socket that the pool sends from, when there is one.
    pub(super) socket: Option<SocketAddr>,
}

/// Warns of all that has no effect.
pub(super) fn check(listed: &Listed<'_>, problems: &mut Problems) {
    let socket = listed.socket.map(|socket| format!("udp:{socket}"));
    let is_other = |written: &str| Some(written.to_ascii_lowercase()) != socket;
    listed.warn(problems, "socket", "the send_from of its pool decides", |entry| {
        let written = entry.attributes.socket.as_deref().filter(|written| is_other(written))?;
        Some(format!("socket \"{written}\" is not followed: a pool sends from one listener"))
    });
    for (name, help) in NOT_FOLLOWED {
        listed.warn(problems, name, help, |entry| {
            let is_there = |(written, value): &(String, String)| {
                written.eq_ignore_ascii_case(name) && value != "0"
            };
            let others = &entry.attributes.others;
            others.iter().any(is_there).then(|| format!("{name} is not followed"))
        });
    }
    let Spec::Kamailio { algorithm, .. } = listed.balance else { return };
    if algorithm == 10 {
        listed.warn(problems, "maxload", "add duid=NAME, unique in the list", |entry| {
            let attributes = &entry.attributes;
            let is_blind = attributes.max_load > 0 && attributes.duid.is_none();
            is_blind.then(|| "maxload without duid: its calls are not counted".to_owned())
        });
    }
    let first = listed.entries.first();
    let weights = |weight: fn(&Entry) -> u32| listed.entries.iter().map(weight).collect::<Vec<_>>();
    let all_to_one = match algorithm {
        9 => weights(|entry| entry.attributes.weight).first() == Some(&0),
        11 => weights(|entry| entry.attributes.rweight).iter().all(|weight| *weight == 0),
        _ => false,
    };
    if let Some(first) = first.filter(|_| all_to_one && listed.entries.len() > 1) {
        let name = if algorithm == 9 { "weight" } else { "rweight" };
        let message =
            format!("kamailio:{algorithm} without {name} here: all keys go to one destination");
        let help = format!("write {name}=1 to {name}=100 for each destination");
        problems.in_file(Severity::Warning, listed.file, (first.line, 1), message, help);
    }
}

impl Listed<'_> {
    /// Warns at the first line, from the top, that `what` has something to say about.
    fn warn(
        &self,
        problems: &mut Problems,
        name: &str,
        help: &str,
        what: impl Fn(&Entry) -> Option<String>,
    ) {
        let said = self.entries.iter().filter_map(|entry| Some((entry.line, what(entry)?)));
        let Some((line, message)) = said.min_by_key(|(line, _)| *line) else { return };
        let text = self.text.lines().nth(line - 1).unwrap_or_default().to_ascii_lowercase();
        let column = text.find(&format!("{name}=")).map_or(1, |at| at + 1);
        problems.in_file(Severity::Warning, self.file, (line, column), message, help);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::list::List;
    use super::*;

    fn warnings(balance: &str, text: &str) -> Vec<String> {
        let mut problems = Problems::new("a.toml".as_ref(), "");
        let file = problems.add_file("d.list".as_ref(), text);
        let list = List::parse(text);
        let socket = Some("192.0.2.1:5060".parse().unwrap());
        let balance = Spec::parse(balance).unwrap();
        let listed = Listed { entries: list.set(1), text, file, balance, socket };
        check(&listed, &mut problems);
        assert!(!problems.has_errors());
        let found = problems.sorted();
        found.iter().map(|p| format!("{} {}; {}", problems.place(p), p.message, p.help)).collect()
    }

    #[test]
    fn what_has_no_effect_is_said_once_where_it_stands() {
        let list = "1 sip:10.0.0.1 0 0 socket=udp:192.0.2.1:5060;cc=0\n\
                    1 sip:10.0.0.2 0 0 SOCKET=udp:192.0.2.1:5070;cc=1;note=obproxy\n\
                    1 sip:10.0.0.3 0 0 socket=udp:192.0.2.1:5070;obproxy=sip:10.0.0.9\n\
                    2 sip:10.0.0.4 0 0 ocmax=90\n";
        let expected = [
            "d.list:2:20 socket \"udp:192.0.2.1:5070\" is not followed: a pool sends from one listener; \
             the send_from of its pool decides",
            "d.list:2:46 cc is not followed; kamailio:13 and latency look at how long probes take, without it",
            "d.list:3:46 obproxy is not followed; the edge sends to the destination itself",
        ];
        assert_eq!(warnings("rendezvous", list), expected);
    }

    #[test]
    fn bounds_and_weights_that_nobody_looks_at_are_said() {
        let bounded = "1 sip:10.0.0.1 0 0 maxload=5\n1 sip:10.0.0.2 0 0 duid=b;maxload=5\n";
        assert_eq!(
            warnings("kamailio:10", bounded),
            [
                "d.list:1:20 maxload without duid: its calls are not counted; add duid=NAME, unique in the list"
            ]
        );
        assert!(warnings("kamailio:4", bounded).is_empty());
        // The last line is the first in memory.
        let weighted = "1 sip:10.0.0.1 0 0 weight=50;rweight=50\n1 sip:10.0.0.2\n";
        assert_eq!(
            warnings("kamailio:9", weighted),
            ["d.list:2:1 kamailio:9 without weight here: all keys go to one destination; \
              write weight=1 to weight=100 for each destination"]
        );
        assert!(warnings("kamailio:11", weighted).is_empty());
        assert_eq!(warnings("kamailio:11", "1 sip:10.0.0.1\n1 sip:10.0.0.2\n").len(), 1);
        assert!(warnings("kamailio:11", "1 sip:10.0.0.1\n").is_empty());
    }
}
