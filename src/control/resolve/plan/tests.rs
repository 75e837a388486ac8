//! Zones as data: what is asked, and what comes of it.

use std::collections::BTreeMap;

use super::*;
use crate::control::resolve::Families;

/// What a zone answers. A line is a record as in a zone file; `FAIL` or `WAIT` in place of a type's data is no answer.
struct Zone(BTreeMap<Query, Result<Vec<Record>, &'static str>>);

impl Zone {
    fn new(text: &str) -> Self {
        let mut zone = Self(BTreeMap::new());
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            zone.add(line);
        }
        zone
    }

    fn add(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let kind = match words[1] {
            "NAPTR" => Kind::Naptr,
            "SRV" => Kind::Srv,
            "A" => Kind::A,
            "AAAA" => Kind::Aaaa,
            other => panic!("{other}"),
        };
        let query = Query { name: words[0].to_owned(), kind };
        let number = |at: usize| words[at].parse().expect("a number");
        let name = |at: usize| words[at].trim_end_matches('.').to_owned();
        let record = match (words[2], kind) {
            ("FAIL", _) => return drop(self.0.insert(query, Err("no answer"))),
            ("WAIT", _) => return drop(self.0.insert(query, Err("wait"))),
            (_, Kind::Naptr) => Record::Naptr {
                order: number(2),
                preference: number(3),
                flags: words[4].to_owned(),
                service: words[5].to_owned(),
                replacement: name(6),
            },
            (_, Kind::Srv) => Record::Srv {
                priority: number(2),
                weight: number(3),
                port: number(4),
                target: name(5),
            },
            (ip, _) => Record::Address(ip.parse().expect("an address")),
        };
        self.0.entry(query).or_insert(Ok(Vec::new())).as_mut().expect("no failure").push(record);
    }

    /// What comes of `name`, and what was asked for it.
    fn follow(&self, name: &Name) -> (Step, Vec<String>) {
        let mut asked = Vec::new();
        let step = evaluate(name, &mut |query| {
            asked.push(query.to_string());
            match self.0.get(query) {
                None => Look::Records(&[]),
                Some(Ok(records)) => Look::Records(records),
                Some(Err("wait")) => Look::Pending,
                Some(Err(why)) => Look::Failed(why),
            }
        });
        (step, asked)
    }
}

fn name(host: &str) -> Name {
    let families = Families { ipv4: true, ipv6: false };
    Name { host: host.to_owned(), port: None, transport_written: false, families }
}

/// Lines of `priority address share`, and the notes.
fn found(zone: &Zone, name: &Name) -> (Vec<String>, Vec<String>) {
    match zone.follow(name).0 {
        Step::Found(found, notes) => {
            let line = |one: &Resolved| format!("{} {} {}", one.priority, one.address, one.share);
            (found.iter().map(line).collect(), notes)
        }
        other => panic!("{other:?}"),
    }
}

fn check(zone: &str, expected: &[&str]) {
    let (found, notes) = found(&Zone::new(zone), &name("x"));
    assert_eq!(found, expected, "{zone}");
    assert!(notes.is_empty(), "{notes:?}");
}

#[test]
fn what_the_uri_says_decides_what_is_asked() {
    let zone = Zone::new("x A 10.0.0.1\n x AAAA 2001:db8::1");
    let check = |name: &Name, expected: &[&str], address: &str| {
        let (step, asked) = zone.follow(name);
        assert_eq!(asked, expected, "{name:?}");
        let Step::Found(found, _) = step else { panic!("{step:?}") };
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].address, address.parse().unwrap());
    };
    check(&name("x"), &["NAPTR x", "SRV _sip._udp.x", "A x"], "10.0.0.1:5060");
    let written = Name { transport_written: true, ..name("x") };
    check(&written, &["SRV _sip._udp.x", "A x"], "10.0.0.1:5060");
    let port = Name { port: Some(5070), ..written.clone() };
    check(&port, &["A x"], "10.0.0.1:5070");
    let ipv6 = Name { families: Families { ipv4: false, ipv6: true }, ..port.clone() };
    check(&ipv6, &["AAAA x"], "[2001:db8::1]:5070");
    // A host with both is one backend: by IPv4.
    let both = Name { families: Families { ipv4: true, ipv6: true }, ..port };
    check(&both, &["A x"], "10.0.0.1:5070");
}

#[test]
fn a_host_without_ipv4_is_asked_for_ipv6() {
    let both = Name { families: Families { ipv4: true, ipv6: true }, ..name("x") };
    let zone = Zone::new("x AAAA 2001:db8::1");
    assert_eq!(found(&zone, &both).0, ["0 [2001:db8::1]:5060 65536"]);
}

#[test]
fn naptr_leads_to_srv_and_srv_to_addresses() {
    let zone = Zone::new(
        "x NAPTR 10 10 s SIP+D2T _sip._tcp.x
         x NAPTR 20 20 S sip+d2u _sip._udp.y
         x NAPTR 20 10 s SIP+D2U _sip._udp.z.
         _sip._udp.y SRV 0 0 5070 a
         _sip._udp.z SRV 0 0 5080 a
         a A 10.0.0.1",
    );
    let (step, asked) = zone.follow(&name("x"));
    assert_eq!(asked, ["NAPTR x", "SRV _sip._udp.z", "A a"], "the lowest order and preference");
    let Step::Found(found, notes) = step else { panic!("{step:?}") };
    assert_eq!(found[0].address, "10.0.0.1:5080".parse().unwrap());
    assert_eq!(found[0].via, "SRV _sip._udp.z, A a");
    assert_eq!(notes, ["NAPTR records ignored: SIP+D2T (only UDP is sent)"]);
}

#[test]
fn a_domain_that_offers_other_transports_only_is_not_sent_udp() {
    let tcp = "x NAPTR 10 10 s SIP+D2T _sip._tcp.x\n x A 10.0.0.1";
    let (step, asked) = Zone::new(tcp).follow(&name("x"));
    assert!(
        matches!(&step, Step::Nothing(why) if why.contains("no SRV record for UDP")),
        "{step:?}"
    );
    assert_eq!(asked, ["NAPTR x", "SRV _sip._udp.x"]);
    // Unless it has SRV records for UDP, or the operator says so.
    let zone = Zone::new(&format!("{tcp}\n_sip._udp.x SRV 0 0 5070 x"));
    assert_eq!(found(&zone, &name("x")).0, ["0 10.0.0.1:5070 65536"]);
    let written = Name { transport_written: true, ..name("x") };
    assert_eq!(found(&Zone::new(tcp), &written).0, ["0 10.0.0.1:5060 65536"]);
    // NAPTR of other applications says nothing of transports.
    check("x NAPTR 10 10 u E2U+sip !^.*$!sip:x!\n x A 10.0.0.1", &["0 10.0.0.1:5060 65536"]);
}

#[test]
fn shares_follow_weights_within_a_priority() {
    check(
        "_sip._udp.x SRV 10 60 5060 a
         _sip._udp.x SRV 10 20 5060 b
         _sip._udp.x SRV 20 5 5070 c
         a A 10.0.0.1\n b A 10.0.0.2\n c A 10.0.0.3",
        &["10 10.0.0.1:5060 98304", "10 10.0.0.2:5060 32768", "20 10.0.0.3:5070 65536"],
    );
    // RFC 2782: all 0 is no weight at all; 0 beside others is next to nothing.
    check(
        "_sip._udp.x SRV 1 0 5060 a\n _sip._udp.x SRV 1 0 5060 b\n a A 10.0.0.1\n b A 10.0.0.2",
        &["1 10.0.0.1:5060 65536", "1 10.0.0.2:5060 65536"],
    );
    check(
        "_sip._udp.x SRV 1 0 5060 a\n _sip._udp.x SRV 1 100 5060 b\n a A 10.0.0.1\n b A 10.0.0.2",
        &["1 10.0.0.1:5060 655", "1 10.0.0.2:5060 65536"],
    );
    // The addresses of a host share what its record has. Without SRV each is a backend.
    check(
        "_sip._udp.x SRV 1 1 5060 a\n _sip._udp.x SRV 1 1 5060 b\n a A 10.0.0.9\n a A 10.0.0.1\n b A 10.0.0.2",
        &["1 10.0.0.1:5060 32768", "1 10.0.0.2:5060 65536", "1 10.0.0.9:5060 32768"],
    );
    check("x A 10.0.0.9\n x A 10.0.0.1", &["0 10.0.0.1:5060 65536", "0 10.0.0.9:5060 65536"]);
}

#[test]
fn an_address_that_is_found_twice_is_one() {
    check(
        "_sip._udp.x SRV 20 1 5060 b
         _sip._udp.x SRV 10 1 5060 a
         _sip._udp.x SRV 10 1 5060 a
         a A 10.0.0.1\n a A 10.0.0.1\n b A 10.0.0.1",
        &["10 10.0.0.1:5060 65536"],
    );
}

#[test]
fn one_bad_host_costs_only_its_own_addresses() {
    let zone = Zone::new(
        "_sip._udp.x SRV 1 1 5060 a
         _sip._udp.x SRV 1 1 5060 b
         _sip._udp.x SRV 1 1 5060 c
         _sip._udp.x SRV 1 1 0 d
         a A 10.0.0.1\n b A FAIL",
    );
    let (addresses, notes) = found(&zone, &name("x"));
    assert_eq!(addresses, ["1 10.0.0.1:5060 65536"]);
    assert_eq!(notes, ["c has no IPv4 address", "A b: no answer"]);
}

#[test]
fn what_is_asked_in_parallel_and_what_one_after_the_other() {
    let srv = "_sip._udp.x SRV 1 1 5060 a\n _sip._udp.x SRV 1 1 5060 b";
    let zone = Zone::new(&format!("{srv}\n a A WAIT\n b A WAIT"));
    let (step, asked) = zone.follow(&name("x"));
    assert_eq!(step, Step::Wait);
    assert_eq!(asked, ["NAPTR x", "SRV _sip._udp.x", "A a", "A b"]);
    let (step, asked) = Zone::new("x NAPTR WAIT").follow(&name("x"));
    assert_eq!((step, asked), (Step::Wait, vec!["NAPTR x".to_owned()]));
}

#[test]
fn nothing_and_no_answer_are_not_the_same() {
    let step = |zone: &str| Zone::new(zone).follow(&name("x")).0;
    assert_eq!(step(""), Step::Nothing("x has no IPv4 address".to_owned()));
    assert_eq!(step("x A FAIL"), Step::Failed("A x: no answer".to_owned()));
    // What cannot be asked is not taken for "there is none": else a lost answer would lead to the wrong port.
    assert_eq!(step("x NAPTR FAIL\n x A 10.0.0.1"), Step::Failed("NAPTR x: no answer".to_owned()));
    assert_eq!(
        step("_sip._udp.x SRV FAIL\n x A 10.0.0.1"),
        Step::Failed("SRV _sip._udp.x: no answer".to_owned())
    );
    // RFC 2782: a target of "." forbids.
    assert!(matches!(step("_sip._udp.x SRV 0 0 0 .\n x A 10.0.0.1"), Step::Nothing(_)));
    let nowhere = "x A 0.0.0.0\n x A 255.255.255.255\n x A 224.0.0.1";
    assert!(matches!(step(nowhere), Step::Nothing(_)));
}

#[test]
fn bounds_hold_and_are_told() {
    let mut zone = String::new();
    for host in 0..100 {
        zone += &format!("_sip._udp.x SRV 1 1 5060 h{host:03}\n");
        for address in 0..3 {
            zone += &format!("h{host:03} A 10.0.{host}.{address}\n");
        }
    }
    let (found, notes) = found(&Zone::new(&zone), &name("x"));
    assert_eq!(found.len(), ADDRESSES_MAX);
    assert_eq!(
        notes,
        ["SRV _sip._udp.x: 36 records beyond 64 left out", "64 addresses beyond 128 left out"]
    );
    let mut zone = "a A 10.0.0.1\n_sip._udp.x SRV 1 1 5060 a\n".to_owned();
    for host in 0..20 {
        zone += &format!("_sip._udp.x SRV 1 1 5060 h{host}\n");
    }
    let (_, notes) = self::found(&Zone::new(&zone), &name("x"));
    assert_eq!((notes.len(), notes[7].as_str()), (NOTES_MAX, "and 13 more"));
}

#[test]
fn the_order_of_records_does_not_matter() {
    let lines = [
        "_sip._udp.x SRV 10 60 5060 a",
        "_sip._udp.x SRV 10 20 5060 b",
        "_sip._udp.x SRV 20 5 5070 a",
        "a A 10.0.0.1",
        "a A 10.0.0.2",
        "b A 10.0.0.2",
    ];
    let expected = found(&Zone::new(&lines.join("\n")), &name("x"));
    for turn in 0..lines.len() {
        let mut other = lines;
        other.rotate_left(turn);
        assert_eq!(found(&Zone::new(&other.join("\n")), &name("x")), expected);
        other.reverse();
        assert_eq!(found(&Zone::new(&other.join("\n")), &name("x")), expected);
    }
}
