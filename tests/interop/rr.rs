//! Record-Route and Path: where there are how many of them, what they say, and that they lead back.
//!
//! Ours carry a sealed token in the user part, where Kamailio has parameters; scheme, host, port and pairing are compared.

use std::net::SocketAddr;

use serde_json::Value;
use sipedge::sip::Verdict;

use crate::edge::{Edge, Ours, Sent, Shape, decremented, without, without_their_via};
use crate::rule;
use crate::vector::{Vector, assert_groups, differs, group, later, replay, same};

pub(crate) fn file() -> Value {
    serde_json::from_str(include_str!("kamailio/rr.json")).expect("JSON")
}

#[test]
fn every_group_is_accounted_for() {
    assert_groups(&file(), &["record_route", "loose_route", "path", "outbound"]);
}

/// Scheme, host and port of a URI, and whether it is one of a pair.
#[derive(Debug, PartialEq)]
struct Essence {
    scheme: String,
    host: String,
    port: String,
    is_pair: bool,
}

impl Essence {
    fn new(uri: &str) -> Self {
        let (scheme, rest) = uri.split_once(':').expect("a scheme");
        let (rest, is_pair) =
            (rest.split_once('@').map_or(rest, |(_, it)| it), rest.contains(";r2=on"));
        let (host_port, parameters) = rest.split_once(';').expect("parameters");
        let is_loose = parameters.split(';').any(|it| it == "lr" || it == "lr=on");
        assert!(is_loose, "{uri}");
        let (host, port) = match host_port.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port),
            _ => (host_port, "5060"),
        };
        Self { scheme: scheme.into(), host: host.into(), port: port.into(), is_pair }
    }
}

/// Kamailio's message without its Via and the lines that it added, and the URIs in those.
fn theirs(vector: &Vector<'_>, name: &str) -> (String, Vec<Essence>) {
    let start = format!("{name}: <");
    let is_new = |line: &&str| line.starts_with(&start) && !vector.input().contains(*line);
    let text = without_their_via(vector);
    let added: Vec<&str> = text.split_inclusive('\n').filter(is_new).collect();
    let rest = without(&text, added.len(), |line| is_new(&line));
    let uris = added.iter().map(|line| line[start.len()..].split('>').next().expect("text"));
    (decremented(&rest), uris.map(Essence::new).collect())
}

/// The socket towards the pool, and how the first one is called, are configured as in the recording.
fn shape(vector: &Vector<'_>) -> Shape {
    let send_from = match vector.text("out_from") {
        "192.0.2.1:5070" => Some(2),
        "192.0.2.3:5060" => Some(3),
        _ => None,
    };
    let written = match vector.case() {
        case if case.contains("edge.example.com:5090") => ("edge.example.com", 5090),
        case if case.contains("adv.example.com:5099") => ("adv.example.com", 5099),
        _ => ("192.0.2.1", 5060),
    };
    Shape { send_from, written, ..Shape::with_own_routes() }.with_backend(vector.text("out_to"))
}

/// All but our own lines is as Kamailio sent it, to the same next hop, from the same socket.
pub(crate) fn forward(vector: &Vector<'_>, name: &str) -> (Edge, Sent, Ours) {
    let mut edge = Edge::new(&shape(vector));
    let sent = edge.forward(vector);
    let ours = Ours::new(&sent.text);
    assert_eq!(ours.rest, theirs(vector, name).0, "{}", vector.case());
    assert_eq!(sent.to, vector.address("out_to"), "{}", vector.case());
    assert_eq!(sent.from, vector.address("out_from"), "{}", vector.case());
    if !ours.routes.is_empty() {
        assert_eq!(ours.routes_name, name, "{}", vector.case());
    }
    (edge, sent, ours)
}

/// A request of the pool's side along `routes` reaches the client where its request came from.
pub(crate) fn assert_leads_back(
    edge: &mut Edge,
    vector: &Vector<'_>,
    sent: &Sent,
    routes: &[String],
    to_tag: &str,
) {
    let fields: String = routes.iter().map(|uri| format!("Route: <{uri}>\r\n")).collect();
    let text = format!(
        "INFO sip:alice@192.0.2.111:5060 SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKback\r\n{fields}\
         Max-Forwards: 70\r\nFrom: <sip:bob@example.com>;tag=uas1\r\nTo: <sip:alice@example.com>{to_tag}\r\n\
         Call-ID: back\r\nCSeq: 1 INFO\r\n\r\n",
        sent.to
    );
    let back = edge.handle(&text, sent.to, sent.from);
    let back = back.unwrap_or_else(|verdict: Verdict| panic!("{verdict:?}: {}", vector.case()));
    assert!(!back.is_answer, "{}", back.text);
    assert_eq!(back.to, vector.source(), "{}", vector.case());
    assert_eq!(back.from, vector.address("to"), "{}", vector.case());
    assert!(!back.text.contains("\r\nRoute:"), "{}", back.text);
    // Nobody else gets there with it.
    let stranger: SocketAddr = ([198, 51, 100, 99], 5060).into();
    let elsewhere = edge.handle(&text, stranger, vector.address("to"));
    assert!(elsewhere.is_err() || elsewhere.is_ok_and(|it| it.to != vector.source()));
}

fn check_same(vector: &Vector<'_>) {
    let (mut edge, sent, ours) = forward(vector, "Record-Route");
    rule::check_both(vector, &sent.text);
    let uris: Vec<Essence> = ours.routes.iter().map(|uri| Essence::new(uri)).collect();
    assert_eq!(uris, theirs(vector, "Record-Route").1, "{}", vector.case());
    assert_leads_back(&mut edge, vector, &sent, &ours.routes, ";tag=1928301774");
}

/// One of ours where Kamailio has `count`.
fn check_one(vector: &Vector<'_>, name: &str, count: usize) {
    let (mut edge, sent, ours) = forward(vector, name);
    let [uri] = &ours.routes[..] else { panic!("{:?} in {}", ours.routes, vector.case()) };
    let recorded = theirs(vector, name).1;
    assert_eq!(recorded.len(), count, "{}", vector.case());
    let expected = recorded.into_iter().next().expect("one at least");
    assert_eq!(Essence::new(uri), Essence { is_pair: false, ..expected }, "{}", vector.case());
    let to_tag = if name == "Path" { "" } else { ";tag=1928301774" };
    assert_leads_back(&mut edge, vector, &sent, &ours.routes, to_tag);
}

#[test]
fn record_route() {
    const SEALED: &str =
        "no parameters of a script: what is to be known is sealed in the user part";
    const WRITTEN: &str = "no presets of a script: the listener's own name, here that one";
    let rows = [
        same("record_route(), same socket in and out [append_fromtag=1, enable_double_rr=1]", 1),
        differs("record_route(\";foo=bar;x\")*", 1, SEALED, check_same),
        differs("add_rr_param(\";nat=yes\")*", 1, SEALED, check_same),
        differs("record_route_preset(\"edge.example.com:5090\")*", 1, WRITTEN, check_same),
        differs(
            "record_route_advertised_address(\"adv.example.com:5099\")*",
            1,
            WRITTEN,
            check_same,
        ),
        later("record_route_preset with two addresses*", 1, "a TCP listener: streams come later"),
        same("record_route(), out through another port of the same address*", 1),
        same("record_route(), out through a socket with an advertised address*", 1),
        same("record_route(), IPv4 in, IPv6 out*", 1),
        differs(
            "record_route(), request with a To tag*",
            1,
            "RFC 3261 12.2: a request inside a dialog does not change its route set, so it needs none",
            |vector| {
                let (_, _, ours) = forward(vector, "Record-Route");
                assert_eq!(ours.routes, Vec::<String>::new());
                assert_eq!(theirs(vector, "Record-Route").1.len(), 1);
            },
        ),
        same("record_route(), no From tag*", 1),
        differs(
            "record_route(), sips Request-URI*",
            1,
            "RFC 5630 5.3: a SIPS target over TLS or not at all, and this edge has UDP only",
            |vector| {
                let answer = Edge::new(&shape(vector)).answer(vector).text;
                assert!(answer.starts_with("SIP/2.0 480 SIPS Not Allowed\r\n"), "{answer}");
            },
        ),
        same("record_route(), Via first header*", 1),
        differs(
            "record_route() [append_fromtag=0, enable_full_lr=1, enable_double_rr=2]",
            1,
            "RFC 5658: two only where two sockets are used",
            |vector| check_one(vector, "Record-Route", 2),
        ),
        same(
            "record_route(), out through another port [append_fromtag=0, enable_full_lr=1, enable_double_rr=2]",
            1,
        ),
        differs(
            "record_route() [append_fromtag=1, enable_double_rr=0], out through another port",
            1,
            "RFC 5658: always two where two sockets are used, the outgoing one on top",
            |vector| {
                let (mut edge, sent, ours) = forward(vector, "Record-Route");
                let uris: Vec<Essence> = ours.routes.iter().map(|uri| Essence::new(uri)).collect();
                let ports: Vec<&str> = uris.iter().map(|uri| uri.port.as_str()).collect();
                assert_eq!(ports, ["5070", "5060"]);
                assert!(uris.iter().all(|uri| uri.is_pair));
                assert_leads_back(&mut edge, vector, &sent, &ours.routes, ";tag=1928301774");
            },
        ),
    ];
    replay(&group(&file(), "record_route"), &rows, check_same);
}

/// One Path, in front of one that was there.
fn check_path(vector: &Vector<'_>) {
    check_one(vector, "Path", 1);
    let sent = Edge::new(&shape(vector)).forward(vector);
    let count = sent.text.lines().filter(|line| line.starts_with("Path: ")).count();
    let there = vector.input().lines().filter(|line| line.starts_with("Path: ")).count();
    assert_eq!(count, 1 + there, "{}", vector.case());
    let first = sent.text.lines().find(|line| line.starts_with("Path: ")).expect("ours");
    assert!(first.starts_with("Path: <sip:~e~"), "{first}");
}

/// Kamailio sends what the parameter says; here it is a request from outside, and the pool gets it.
fn check_received_is_not_followed(vector: &Vector<'_>) {
    let recorded = vector.text("side");
    assert!(recorded.contains("du=sip:198.51.100.20:5060"), "{recorded}");
    let shape = Shape::with_own_routes().with_backend("198.51.100.21:5060");
    let sent = Edge::new(&shape).forward(vector);
    assert_eq!(sent.to.to_string(), "198.51.100.21:5060");
}

#[test]
fn path() {
    const SEALED: &str = "user, received and parameters are Kamailio's way to find the flow: ours is sealed in the user part";
    const ONE: &str = "two only where two sockets are used, and `received` is sealed";
    const OPEN: &str =
        "whoever writes a `received` would aim us anywhere: only a token of ours leads to a flow";
    let check_two = |vector: &Vector<'_>| check_one(vector, "Path", 2);
    let rows = [
        same("add_path() [enable_r2=0 received_format=0]", 1),
        same("add_path() with an earlier Path [enable_r2=0 received_format=0]", 1),
        differs("add_path(\"alice\")*", 2, SEALED, check_path),
        differs(
            "add_path(\"alice\",\"foo=bar\") [enable_r2=0 received_format=0]",
            1,
            SEALED,
            check_path,
        ),
        differs("add_path(\"alice\",\"foo=bar\") with an earlier Path*", 1, SEALED, check_path),
        differs("add_path_received() [enable_r2=0 received_format=0]", 1, SEALED, check_path),
        differs("add_path_received() with an earlier Path*", 1, SEALED, check_path),
        differs("add_path_received(\"alice\")*", 2, SEALED, check_path),
        differs("add_path_received(), IPv6 source*", 1, SEALED, check_path),
        differs("add_path() [enable_r2=1 received_format=1]", 1, ONE, check_two),
        differs("add_path_received() [enable_r2=1 received_format=1]", 1, ONE, check_two),
        differs(
            "add_path(\"alice\",\"foo=bar\") [enable_r2=1 received_format=1]",
            1,
            ONE,
            check_two,
        ),
        differs("loose_route() with use_received=1*", 2, OPEN, check_received_is_not_followed),
    ];
    replay(&group(&file(), "path"), &rows, |vector| {
        check_path(vector);
        rule::check_both(vector, &Edge::new(&shape(vector)).forward(vector).text);
    });
}

#[test]
fn outbound() {
    const WHY: &str = "flow tokens of RFC 5626 in Kamailio's layout come with its compatibility; ours are our own";
    replay(&group(&file(), "outbound"), &[later("*", 3, WHY)], check_same);
}
