//! The recorded vectors, and the account that is given of each: the same here, different on purpose, or later.
//!
//! Owns: reading `kamailio/*.json`, and that no vector is left without an account. Knows nothing of the edge.

use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

/// One message that Kamailio got, and what it did.
pub(crate) struct Vector<'a>(&'a Value);

impl Vector<'_> {
    /// `None`: not recorded, or nothing arrived.
    pub(crate) fn find(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.find(name).unwrap_or_else(|| panic!("{name} of {}", self.case()))
    }

    pub(crate) fn case(&self) -> &str {
        self.0["case"].as_str().expect("every vector has its name")
    }

    pub(crate) fn input(&self) -> &str {
        self.text("in")
    }

    pub(crate) fn out(&self) -> &str {
        self.text("out")
    }

    pub(crate) fn address(&self, name: &str) -> SocketAddr {
        address(self.text(name))
    }

    pub(crate) fn source(&self) -> SocketAddr {
        self.address("source")
    }
}

/// `host:port`, IPv6 without brackets.
pub(crate) fn address(text: &str) -> SocketAddr {
    let (host, port) = text.rsplit_once(':').expect("host:port");
    let host: IpAddr = host.trim_matches(['[', ']']).parse().expect("an address");
    SocketAddr::new(host, port.parse().expect("a port"))
}

/// What is to be said of vectors.
pub(crate) enum Account {
    /// An RFC 3261 proxy shares it: the check of the group holds.
    Same,
    /// Different on purpose: the check says what is done instead.
    Differs(&'static str, fn(&Vector<'_>)),
    /// Nothing to compare with yet, and why.
    Later(&'static str),
}

/// An account of `count` vectors: those of this name, or those that start with it when it ends with `*`.
pub(crate) struct Row {
    cases: &'static str,
    count: usize,
    account: Account,
}

pub(crate) fn same(cases: &'static str, count: usize) -> Row {
    Row { cases, count, account: Account::Same }
}

pub(crate) fn differs(
    cases: &'static str,
    count: usize,
    why: &'static str,
    check: fn(&Vector<'_>),
) -> Row {
    Row { cases, count, account: Account::Differs(why, check) }
}

pub(crate) fn later(cases: &'static str, count: usize, why: &'static str) -> Row {
    Row { cases, count, account: Account::Later(why) }
}

impl Row {
    fn is_of(&self, case: &str) -> bool {
        match self.cases.strip_suffix('*') {
            Some(start) => case.starts_with(start),
            None => case == self.cases,
        }
    }
}

/// All vectors of a group.
pub(crate) fn group<'a>(file: &'a Value, name: &str) -> Vec<Vector<'a>> {
    let group = file.get(name).unwrap_or_else(|| panic!("no group {name}"));
    let cases = group.get("cases").unwrap_or(group);
    cases.as_array().expect("vectors").iter().map(Vector).collect()
}

/// Holds every vector to its account. One that no row names, or that two name, fails; a row without its vectors too.
pub(crate) fn replay(vectors: &[Vector<'_>], rows: &[Row], check_same: fn(&Vector<'_>)) {
    let mut counts = vec![0; rows.len()];
    for vector in vectors {
        let case = vector.case();
        let found: Vec<usize> = (0..rows.len()).filter(|&at| rows[at].is_of(case)).collect();
        let [at] = found[..] else { panic!("{} rows name the vector {case:?}", found.len()) };
        counts[at] += 1;
        match &rows[at].account {
            Account::Same => check_same(vector),
            Account::Differs(why, check) => {
                assert!(!why.is_empty(), "{case}");
                check(vector);
            }
            Account::Later(why) => assert!(!why.is_empty(), "{case}"),
        }
    }
    for (row, count) in rows.iter().zip(counts) {
        assert_eq!(count, row.count, "vectors for {:?}", row.cases);
    }
}

/// The groups of a file are these and no others.
pub(crate) fn assert_groups(file: &Value, expected: &[&str]) {
    let about = ["title", "produced_by", "configuration"];
    let mut expected: Vec<&str> = about.iter().chain(expected).copied().collect();
    let mut found: Vec<&str> =
        file.as_object().expect("groups").keys().map(String::as_str).collect();
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
}
