//! What stands in a zone, and which addresses come of it.

use sipedge::control::resolve::{Families, Name, State};

use crate::asker::{Asker, failure, hasty, lines, name};
use crate::server::Server;

/// What comes of `name` in a zone with `records`; `None` where there is no server to be had.
fn check(records: &str, name: &Name, expected: &[&str], notes: &[&str]) {
    let Some(server) = Server::start(records) else { return };
    let outcome = Asker::start(name, &hasty(&[server.address()])).next();
    assert_eq!(lines(&outcome), expected, "{outcome:?}");
    assert_eq!(outcome.notes, notes);
    assert_eq!(outcome.state, State::Fresh);
}

const DOMAIN: &str = "
    @ NAPTR 10 50 \"s\" \"SIPS+D2T\" \"\" _sips._tcp
    @ NAPTR 20 50 \"s\" \"SIP+D2T\" \"\" _sip._tcp
    @ NAPTR 30 50 \"s\" \"SIP+D2U\" \"\" _udp.inner
    _udp.inner SRV 10 60 5070 node1
    _udp.inner SRV 10 20 5071 node2
    _udp.inner SRV 20 0 5072 backup
    _sip._udp SRV 0 0 5090 node2
    node1 A 127.0.1.1
    node1 A 127.0.1.2
    node2 A 127.0.2.1
    backup A 127.0.3.1
    @ A 127.0.9.9";

#[test]
fn naptr_then_srv_then_addresses() {
    check(
        DOMAIN,
        &name("sip:sip.test"),
        &[
            "10 127.0.1.1:5070 49152",
            "10 127.0.1.2:5070 49152",
            "10 127.0.2.1:5071 32768",
            "20 127.0.3.1:5072 65536",
        ],
        &["NAPTR records ignored: SIP+D2T, SIPS+D2T (only UDP is sent)"],
    );
}

#[test]
fn a_transport_in_the_uri_skips_naptr() {
    check(DOMAIN, &name("sip:sip.test;transport=udp"), &["0 127.0.2.1:5090 65536"], &[]);
}

#[test]
fn a_port_in_the_uri_asks_for_addresses_alone() {
    check(DOMAIN, &name("sip:SIP.test.:5066"), &["0 127.0.9.9:5066 65536"], &[]);
}

#[test]
fn a_host_without_any_service_is_reached_at_the_usual_port() {
    let two = "pool A 127.0.0.3\n pool A 127.0.0.2";
    let expected = ["0 127.0.0.2:5060 65536", "0 127.0.0.3:5060 65536"];
    check(two, &name("sip:pool.sip.test"), &expected, &[]);
}

#[test]
fn an_alias_is_followed() {
    let alias = "pool CNAME real\n real CNAME more\n more A 127.0.0.2";
    check(alias, &name("sip:pool.sip.test"), &["0 127.0.0.2:5060 65536"], &[]);
    let service =
        "_sip._udp.pool CNAME _sip._udp.real\n _sip._udp.real SRV 1 1 5077 a\n a A 127.0.0.2";
    check(service, &name("sip:pool.sip.test"), &["1 127.0.0.2:5077 65536"], &[]);
}

#[test]
fn a_circle_of_aliases_ends() {
    let Some(server) = Server::start("a CNAME b\n b CNAME a") else { return };
    let outcome = Asker::start(&name("sip:a.sip.test:5060"), &hasty(&[server.address()])).next();
    assert!(!failure(&outcome).is_empty(), "{outcome:?}");
}

#[test]
fn ipv6_is_taken_where_there_is_no_ipv4() {
    let records = "_sip._udp.pool SRV 1 1 5060 six\n _sip._udp.pool SRV 1 1 5060 both\n six AAAA ::1\n\
                   both A 127.0.0.1\n both AAAA ::2";
    let both = Name { families: Families { ipv4: true, ipv6: true }, ..name("sip:pool.sip.test") };
    check(records, &both, &["1 127.0.0.1:5060 65536", "1 [::1]:5060 65536"], &[]);
    let expected = ["1 127.0.0.1:5060 65536"];
    check(records, &name("sip:pool.sip.test"), &expected, &["six.sip.test has no IPv4 address"]);
}

#[test]
fn an_answer_too_large_for_a_datagram_comes_over_tcp() {
    let records: String = (1..=120).map(|last| format!("pool A 127.0.0.{last}\n")).collect();
    let Some(server) = Server::start(&records) else { return };
    let outcome = Asker::start(&name("sip:pool.sip.test:5060"), &hasty(&[server.address()])).next();
    assert_eq!(outcome.found.len(), 120);
}

#[test]
fn one_bad_host_among_good_ones() {
    let records = "_sip._udp.pool SRV 1 1 5060 good\n _sip._udp.pool SRV 1 1 5060 gone\n\
                   _sip._udp.pool SRV 1 1 5060 node.elsewhere.test.\n good A 127.0.0.1";
    check(
        records,
        &name("sip:pool.sip.test"),
        &["1 127.0.0.1:5060 65536"],
        &[
            "gone.sip.test has no IPv4 address",
            "A node.elsewhere.test: the DNS server says \"Query Refused\"",
        ],
    );
}

#[test]
fn what_does_not_exist_is_told_at_once() {
    let Some(server) = Server::start("_sip._udp.none SRV 0 0 0 .") else { return };
    let settings = hasty(&[server.address()]);
    let outcome = Asker::start(&name("sip:nobody.sip.test"), &settings).next();
    assert_eq!(failure(&outcome), "nobody.sip.test has no IPv4 address");
    let outcome = Asker::start(&name("sip:none.sip.test"), &settings).next();
    assert!(failure(&outcome).contains("no such service"), "{outcome:?}");
}
