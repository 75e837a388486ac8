//! Stateless forwarding: `forward()` of Kamailio and a request through the core, byte by byte.
//!
//! Compared: the next hop and the socket, all bytes of a request that are not our own lines, and the reply on its way back.
//! Our own Via stands on top of all fields, Kamailio's in front of the first Via: both are on top of the Vias.

use std::collections::BTreeMap;

use serde_json::Value;
use sipedge::sip::{DropReason, Verdict};

use crate::edge::{Edge, Ours, Sent, Shape, decremented, is_their_via, without, without_their_via};
use crate::rule;
use crate::vector::{Vector, assert_groups, differs, group, later, replay, same};

pub(crate) fn file() -> Value {
    serde_json::from_str(include_str!("kamailio/forward.json")).expect("JSON")
}

#[test]
fn every_group_is_accounted_for() {
    assert_groups(
        &file(),
        &[
            "branch_formula",
            "sl_to_tag",
            "forward",
            "via_parameters",
            "send_functions",
            "max_forwards",
            "stateless_replies",
            "reply_forward",
            "tcp",
        ],
    );
}

/// All bytes but our own lines, given what Kamailio sent without its own.
fn check_request(vector: &Vector<'_>, expected: &str) -> (Edge, Sent, Ours) {
    let mut edge = Edge::new(&Shape::default());
    let sent = edge.forward(vector);
    let ours = Ours::new(&sent.text);
    assert_eq!(ours.rest, expected, "{}", vector.case());
    assert_eq!(sent.to, vector.address("out_to"), "{}", vector.case());
    assert_eq!(sent.from, vector.address("out_from"), "{}", vector.case());
    assert!(ours.via.starts_with("Via: SIP/2.0/UDP 192.0.2.1:5060;"), "{}", vector.case());
    assert_eq!(ours.routes, Vec::<String>::new());
    (edge, sent, ours)
}

/// The recorded reply, with our Via in the place of Kamailio's.
fn check_reply(vector: &Vector<'_>, edge: &mut Edge, sent: &Sent, ours: &Ours) {
    let Some(reply) = vector.find("reply_in") else { return };
    let lines = reply.split_inclusive('\n');
    let ours: String =
        lines.map(|line| if is_their_via(line, vector) { &ours.via } else { line }).collect();
    let back = edge.handle(&ours, sent.to, sent.from);
    let back = back.unwrap_or_else(|verdict| panic!("{verdict:?}: {}", vector.case()));
    match vector.find("reply_out") {
        Some(out) => {
            assert_eq!(back.text, out, "{}", vector.case());
            rule::check_reply(&ours, out);
            assert_eq!(back.to, vector.address("reply_out_to"), "{}", vector.case());
            assert_eq!(back.from, vector.address("reply_out_from"), "{}", vector.case());
        }
        // Nobody listened there: the notes say that it went to the source at the port of the Via, 5060.
        None => {
            assert!(vector.find("note").is_some(), "{}", vector.case());
            assert_eq!(back.text, without(reply, 1, |line| is_their_via(line, vector)));
            assert_eq!((back.to.ip(), back.to.port()), (vector.source().ip(), 5060));
        }
    }
}

fn check_same(vector: &Vector<'_>) {
    let expected = decremented(&without_their_via(vector));
    let (mut edge, sent, ours) = check_request(vector, &expected);
    rule::check_both(vector, &sent.text);
    check_reply(vector, &mut edge, &sent, &ours);
}

/// Nothing of the request changes but Max-Forwards.
fn check_untouched(vector: &Vector<'_>) {
    check_request(vector, &decremented(vector.input()));
}

#[test]
fn requests() {
    const BLANKS: &str = "a parameter is replaced from its first to its last letter, and `received` stands right behind \
                          sent-by: the blanks between stay";
    let as_is = [
        "plain; Via address = source address, port 5060, no rport: Via untouched",
        "Via without port",
        "rport asked",
        "rport asked, last parameter",
        "behind NAT: Via address differs, no rport",
        "behind NAT: Via address differs, rport asked",
        "behind NAT: rport asked, branch first",
        "Via host is a name",
        "spoofed received in topmost Via is overwritten",
        "spoofed received and rport value",
        "same IP, other source port, no rport",
        "same IP, other source port, rport",
        "two Via headers",
        "two Vias in one header",
        "compact header names",
        "no branch in Via (RFC 2543)",
        "IPv6 source; Via IPv6 reference",
        "maddr and ttl parameters are not acted on",
        "From first, Via last among headers",
        "CANCEL of the first INVITE: same branch",
        "ACK for non-2xx of the first INVITE: same branch",
        "BYE with a To tag (To tag is hashed)",
        "BYE without a To tag",
        "INVITE with body; Content-Length kept",
        "no Content-Length over UDP: none added",
        "Call-ID with trailing blanks",
        "non-ASCII Call-ID",
        "unknown method",
        "lower-case method name is an unknown method (case-sensitive)",
    ];
    let mut rows: Vec<_> = as_is.into_iter().map(|case| same(case, 1)).collect();
    rows.extend([
        differs("blanks in Via", 1, BLANKS, check_blanks),
        differs("folded Via", 1, BLANKS, check_folded),
        differs(
            "Content-Length smaller than the datagram: extra bytes are forwarded unchanged?",
            1,
            "RFC 3261 18.3: bytes behind the content are discarded, or a next hop could read them as it likes",
            |vector| {
                let expected = decremented(vector.input());
                let cut = expected.strip_suffix("lo").expect("`hello`, and Content-Length says 3");
                check_request(vector, cut);
            },
        ),
        differs(
            "Max-Forwards not touched by forward()",
            1,
            "RFC 3261 16.6 step 3",
            check_untouched,
        ),
        differs(
            "Max-Forwards 0 still forwarded by forward()",
            1,
            "RFC 3261 16.3 step 3",
            |vector| check_refusal(vector, "SIP/2.0 483 Too Many Hops"),
        ),
        differs("no Max-Forwards: none added by forward()", 1, "RFC 3261 16.6 step 3", check_added),
        differs(
            "new Request-URI set by script",
            1,
            "the edge leaves the Request-URI alone",
            check_untouched,
        ),
        differs("append_hf and insert_hf", 1, "the edge adds no fields of a script", check_untouched),
        differs("remove_hf of every X-Foo", 1, "the edge removes no fields", check_untouched),
    ]);
    replay(&group(&file(), "forward"), &rows, check_same);
}

fn check_blanks(vector: &Vector<'_>) {
    let via = "Via:  SIP / 2.0 / UDP  198.51.100.10 : 5060";
    let input = decremented(vector.input());
    let expected = input.replace(
        &format!("{via} ; rport ; branch"),
        &format!("{via};received=198.51.100.10 ; rport=5060 ; branch"),
    );
    assert_ne!(expected, input);
    let (mut edge, sent, ours) = check_request(vector, &expected);
    // The reply has the Via as Kamailio wrote it: what blanks there are does not matter.
    check_reply(vector, &mut edge, &sent, &ours);
}

fn check_folded(vector: &Vector<'_>) {
    let input = decremented(vector.input());
    let expected = input.replace(
        ":5060\r\n ;branch=z9hG4bKfg;rport",
        ":5060;received=198.51.100.10\r\n ;branch=z9hG4bKfg;rport=5060",
    );
    assert_ne!(expected, input);
    let (mut edge, sent, ours) = check_request(vector, &expected);
    // The recorded reply lost the folded half of the Via. Our branch seals the branch below it.
    let reply =
        vector.text("reply_in").replace("\r\nTo", "\r\n ;branch=z9hG4bKfg;rport=5060\r\nTo");
    let theirs = reply.split_inclusive('\n').find(|line| is_their_via(line, vector)).expect("Via");
    let whole = reply.replace(theirs, &ours.via);
    let back = edge.handle(&whole, sent.to, sent.from).expect("a whole reply passes");
    assert_eq!(back.text, reply.replace(theirs, ""));
    let cut = vector.text("reply_in").replace(theirs, &ours.via);
    let verdict = edge.handle(&cut, sent.to, sent.from).err();
    assert_eq!(verdict, Some(Verdict::Drop(DropReason::ResponseViaForged)));
}

fn check_refusal(vector: &Vector<'_>, status_line: &str) {
    let sent = Edge::new(&Shape::default()).answer(vector);
    assert_eq!(sent.text.lines().next(), Some(status_line), "{}", vector.case());
    assert_eq!(sent.to, vector.source());
}

/// A missing Max-Forwards is written with our own lines.
fn check_added(vector: &Vector<'_>) {
    let first = vector.input().lines().next().expect("a first line").to_owned() + "\r\n";
    let expected = vector.input().replace(&first, &format!("{first}Max-Forwards: 70\r\n"));
    check_request(vector, &expected);
}

#[test]
fn parameters_of_our_own_via() {
    const RPORT: &str = "RFC 3581 4: only a client that asks gets an rport";
    const OWN: &str = "what Kamailio keeps in parameters is sealed in our branch and `e`: all other lines are the same";
    let rows = [
        differs("force_rport()", 1, RPORT, |vector| {
            let expected = decremented(&without_their_via(vector)).replace(";rport=40001", "");
            check_request(vector, &expected);
        }),
        differs("force_rport(), Via address equals the source", 1, RPORT, check_untouched),
        differs(
            "add_local_rport()",
            1,
            "our next hop is configured: no rport asked for",
            check_same,
        ),
        differs("via_add_srvid, server_id=10", 1, OWN, check_same),
        differs("via_add_srvid + xavp param node", 1, OWN, check_same),
        differs("local rport + srvid + three xavp params", 1, OWN, check_same),
    ];
    replay(&group(&file(), "via_parameters"), &rows, check_same);
}

#[test]
fn send_functions() {
    const WHY: &str = "sends bytes past all routing: a script's tool, no proxy's";
    let rows = [
        later("send_udp*", 2, WHY),
        later("send_data: arbitrary payload", 1, WHY),
        later("sendx: payload from another socket", 1, WHY),
    ];
    replay(&group(&file(), "send_functions"), &rows, check_same);
}

#[test]
fn max_forwards() {
    const WIDTH: &str = "written without the blanks that keep the width";
    const LIMIT: &str = "RFC 3261 20.22 allows 255: no lower bound of ours";
    let rows = [
        same("process Max-Forwards with limit 10: value 70", 1),
        same("process Max-Forwards with limit 10: value 1", 1),
        same("process Max-Forwards with limit 10: value 71", 1),
        differs("process Max-Forwards with limit 10: value 10", 1, WIDTH, check_untouched),
        differs("process Max-Forwards with limit 10: value 255", 1, LIMIT, check_untouched),
        differs("process Max-Forwards with limit 10: value 256", 1, LIMIT, |vector| {
            check_refusal(vector, "SIP/2.0 400 Bad Max-Forwards");
        }),
        differs("process Max-Forwards with limit 10: value 0", 1, "RFC 3261 16.3", |vector| {
            check_refusal(vector, "SIP/2.0 483 Too Many Hops");
        }),
        differs("process Max-Forwards with limit 10: value abc", 1, "RFC 3261 16.3", |vector| {
            check_refusal(vector, "SIP/2.0 400 Bad Max-Forwards");
        }),
        differs(
            "process Max-Forwards with limit 10: header absent",
            1,
            "70, as RFC 3261 16.6 step 3 says",
            check_added,
        ),
        // What of the answer is compared stands with the stateless replies.
        differs(
            "process Max-Forwards: value 0 answered 483",
            1,
            "no Server field of ours",
            |vector| crate::replies::check_answer(vector, &Shape::default()),
        ),
    ];
    replay(&group(&file(), "max_forwards"), &rows, |vector| {
        let (_, sent, _) = check_request(vector, &without_their_via(vector));
        rule::check_both(vector, &sent.text);
    });
}

/// RFC 3261 16.11: INVITE, CANCEL and the ACK of a non-2xx leave with one branch, whatever they have beside.
#[test]
fn requests_that_share_a_branch_there_share_one_here() {
    let file = file();
    let mut branches = BTreeMap::new();
    let mut shared = 0;
    let all = group(&file, "forward");
    for vector in
        all.iter().filter(|vector| vector.case() != "Max-Forwards 0 still forwarded by forward()")
    {
        let via = Ours::new(&Edge::new(&Shape::default()).forward(vector).text).via;
        let branch = via.split(";e=").next().expect("text").to_owned();
        let known = branches.entry(vector.text("branch").to_owned()).or_insert(branch.clone());
        assert_eq!(*known, branch, "{}", vector.case());
        shared +=
            usize::from(vector.case().starts_with("CANCEL") || vector.case().starts_with("ACK"));
    }
    assert_eq!(shared, 2);
    assert!(branches.len() > 20, "{}", branches.len());
}
