//! What we answer ourselves, and what we drop.

use super::*;

#[test]
fn refusals() {
    let mut world = World::new(parts("rendezvous"));
    let invite = |more: &str| request("INVITE", "sip:bob@example.com", more);
    let mut check = |text: String, expected: &str| {
        assert_eq!(world.refused(&text), format!("SIP/2.0 {expected}"), "{text}");
    };
    check(invite("").replace("s: 70", "s: 0"), "483 Too Many Hops");
    check(invite("").replace("s: 70", "s: 256"), "400 Bad Max-Forwards");
    check(invite("Proxy-Require: foo, bar\r\n"), "420 Bad Extension");
    check(invite("Call-ID: 2\r\n"), "400 Duplicate Call-ID");
    check(invite("Max-Breadth: 0\r\n"), "440 Max-Breadth Exceeded");
    check(invite("").replace("Content-Length: 0", "Content-Length: 9"), "400 Bad Content-Length");
    check(invite("").replace("CSeq: 1", "CSeq: 4294967296"), "400 Bad CSeq");
    check(invite("").replace("CSeq: 1 INVITE", "CSeq: 1 BYE"), "400 CSeq Method Does Not Match");
    check(invite("").replace("From:", "Xrom:"), "400 Missing From");
    check(request("INVITE", "http://x", ""), "416 Unsupported URI Scheme");
    check(request("INVITE", "sip:a@b:0", ""), "400 Bad Request-URI");
    check(request("INVITE", "sip:a@b?x=y", ""), "400 Bad Request-URI");
    check(invite("").replace("SIP/2.0\r\nVia", "SIP/3.0\r\nVia"), "505 Version Not Supported");
    check(invite("Route: <sip:x\r\n"), "400 Bad Route");
    check(invite("no colon\r\n"), "400 Bad Header Field");
    check(request("OPTIONS", "sip:192.0.2.1", "").replace("s: 70", "s: 0"), "200 OK");
    check(request("OPTIONS", "sip:EDGE.example.com:5060;lr", ""), "200 OK");
    check(request("OPTIONS", "sip:192.0.2.1", "").replace("MAX", "x"), "200 OK");
}

#[test]
fn options_to_the_edge_are_answered_as_an_invite_would_be() {
    let ping =
        |parts: Parts| World::new(parts).send(&request("OPTIONS", "sip:192.0.2.1", ""), PHONE, 0);
    let well = ping(parts("rendezvous")).text;
    assert!(well.starts_with("SIP/2.0 200 OK\r\n"));
    for (name, has) in [("Allow", "INVITE"), ("Accept", "*/*"), ("Supported", "path")] {
        assert!(values(&well, name)[0].contains(has), "{name}: {well}");
    }
    let mut spare = parts("rendezvous");
    spare.pools[0].usable = BackendSet::empty();
    spare.pools.push(pool("spare", "rendezvous", &["10.0.0.8:5060"]));
    spare.rules.push(rule(Action::Pool(1)));
    assert!(ping(spare).text.starts_with("SIP/2.0 200 "), "one of its pools can serve");
    let mut refusing = parts("rendezvous");
    refusing.pools[0].usable = BackendSet::empty();
    refusing.rules = vec![rule(Action::Reply(403))];
    assert!(ping(refusing).text.starts_with("SIP/2.0 200 "), "it is not there for calls");
}

#[test]
fn answers_and_their_acks() {
    let mut world = World::new(parts("rendezvous"));
    let invite = request("INVITE", "sip:bob@example.com", "Proxy-Require: foo\r\n");
    let answer = world.send(&invite, PHONE, 0);
    assert_eq!(answer.to, PHONE);
    assert_eq!(values(&answer.text, "Unsupported"), ["foo"]);
    assert_eq!(
        values(&answer.text, "Via"),
        ["SIP/2.0/UDP 10.9.9.9:5062;received=203.0.113.7;branch=z9hG4bKphone1;rport=40001"]
    );
    let to = values(&answer.text, "To")[0];
    let ack = request("ACK", "sip:bob@example.com", "").replace("<sip:bob@example.com>", to);
    assert_eq!(world.verdict(&ack, PHONE, 0), Verdict::Absorb);
    let other = ack.replace("z9hG4bKphone1", "z9hG4bKphone2");
    assert_ne!(world.verdict(&other, PHONE, 0), Verdict::Absorb);
    let bad = request("ACK", "http:x", "");
    assert_eq!(world.verdict(&bad, PHONE, 0), Verdict::Drop(DropReason::AckUnroutable));
}

#[test]
fn no_pool_no_rule_no_backend() {
    let mut none = parts("rendezvous");
    none.pools[0].usable = BackendSet::empty();
    let mut world = World::new(none);
    let answer = world.send(&request("INVITE", "sip:b@e", ""), PHONE, 0);
    assert!(answer.text.starts_with("SIP/2.0 503 Service Unavailable\r\n"));
    let seconds = |text: &str| values(text, "Retry-After")[0].parse::<u32>().expect("a number");
    assert!((5..=10).contains(&seconds(&answer.text)), "{}", answer.text);
    let call =
        |number: u32| request("INVITE", "sip:b@e", "").replace("phone1", &format!("phone{number}"));
    let again = world.send(&request("INVITE", "sip:b@e", ""), PHONE, 0);
    assert_eq!(again.text, answer.text, "a retransmission gets the same");
    let all: std::collections::BTreeSet<_> =
        (0..200).map(|number| seconds(&world.send(&call(number), PHONE, 0).text)).collect();
    assert_eq!(all.into_iter().collect::<Vec<_>>(), [5, 6, 7, 8, 9, 10]);
    // RFC 3261 11.2: the status that an INVITE would get.
    let ping = world.send(&request("OPTIONS", "sip:192.0.2.1", ""), PHONE, 0);
    assert!(ping.text.starts_with("SIP/2.0 503 "), "{}", ping.text);
    assert!((5..=10).contains(&seconds(&ping.text)));

    let mut ruled = parts("rendezvous");
    ruled.rules = vec![
        Rule { methods: vec![Method::Options], ..rule(Action::Drop) },
        Rule { domains: vec!["example.org".into()], ..rule(Action::Reply(403)) },
    ];
    let mut world = World::new(ruled);
    assert_eq!(world.refused(&request("INVITE", "sip:b@e", "")), "SIP/2.0 404 Not Found");
    assert_eq!(world.refused(&request("INVITE", "sip:b@Example.ORG", "")), "SIP/2.0 403 Forbidden");
    assert_eq!(
        world.verdict(&request("OPTIONS", "sip:b@e", ""), PHONE, 0),
        Verdict::Drop(DropReason::Rule)
    );
}

#[test]
fn hosts_compare_by_value() {
    let mut parts = parts("rendezvous");
    parts.listeners.push(listener("six", "[2001:db8::1]:5060"));
    parts
        .listeners
        .push(Listener { host: "core.example.com".into(), ..listener("named", "192.0.2.7:5060") });
    parts.aliases.push("203.0.113.99".into());
    parts.rules = vec![
        Rule { domains: vec!["example.org.".into()], ..rule(Action::Reply(403)) },
        Rule { domains: vec!["[2001:DB8::99]".into()], ..rule(Action::Reply(480)) },
    ];
    let mut world = World::new(parts);
    for own in [
        "sip:[2001:DB8:0::0001]",
        "sip:[2001:db8::1]:5060",
        "sip:Core.Example.COM.:5060",
        "sip:edge.example.com.:5070",
        "sip:203.0.113.99:5070",
        "sip:[::ffff:192.0.2.1]",
    ] {
        assert_eq!(world.refused(&request("OPTIONS", own, "")), "SIP/2.0 200 OK", "{own}");
    }
    let mut check = |uri: &str, expected: &str| {
        let found = world.refused(&request("INVITE", uri, ""));
        assert_eq!(found, format!("SIP/2.0 {expected}"), "{uri}");
    };
    check("sip:b@example.ORG", "403 Forbidden");
    check("sip:b@Example.org.", "403 Forbidden");
    check("sip:b@example.org..", "404 Not Found");
    check("sip:b@[2001:0db8:0::99]", "480 Temporarily Unavailable");
    check("sip:b@[2001:db8::98]", "404 Not Found");
}

#[test]
fn sips_is_not_sent_over_udp() {
    let mut parts = parts("rendezvous");
    parts.rules.insert(0, Rule { domains: vec!["no.example".into()], ..rule(Action::Reply(403)) });
    let mut world = World::new(parts);
    let refused = "SIP/2.0 480 SIPS Not Allowed";
    assert_eq!(world.refused(&request("INVITE", "sips:bob@example.com", "")), refused);
    assert_eq!(world.refused(&request("REGISTER", "SIPS:example.com", "")), refused);
    let route = "Route: <sips:proxy.example.com;lr>\r\n";
    assert_eq!(world.refused(&request("INVITE", "sip:bob@example.com", route)), refused);
    let from_backend = request("INVITE", "sips:bob@198.51.100.7", "");
    let answer = world.send(&from_backend, "10.0.0.1:5060", 0).text;
    assert!(answer.starts_with("SIP/2.0 4") || answer.starts_with("SIP/2.0 5"), "{answer}");
    // What a rule says, and what asks us, goes nowhere.
    let ruled = request("INVITE", "sips:bob@no.example", "");
    assert_eq!(world.refused(&ruled), "SIP/2.0 403 Forbidden");
    assert_eq!(world.refused(&request("OPTIONS", "sips:192.0.2.1:5060", "")), "SIP/2.0 200 OK");
    let contact = "Contact: <sips:alice@10.9.9.9>\r\n";
    assert!(
        world
            .send(&request("INVITE", "sip:bob@example.com", contact), PHONE, 0)
            .to
            .starts_with("10.")
    );
}

#[test]
fn a_via_that_cannot_be_read_is_answered_where_it_says_where() {
    let mut world = World::new(parts("rendezvous"));
    let invite = |via: &str| {
        let text = request("INVITE", "sip:bob@example.com", "");
        text.replace("10.9.9.9:5062;branch=z9hG4bKphone1;rport", via)
    };
    for (via, to, written) in [
        (
            "[fe80::1%4]:5062;rport;branch=z9hG4bK1",
            PHONE,
            "[fe80::1%4]:5062;received=203.0.113.7;rport=40001;branch=z9hG4bK1",
        ),
        (
            "10.9.9.9:5062;branch=z9hG4bK1;",
            "203.0.113.7:5062",
            "10.9.9.9:5062;received=203.0.113.7;branch=z9hG4bK1;",
        ),
        ("10.9.9.9:;;rport", PHONE, "10.9.9.9:;received=203.0.113.7;;rport=40001"),
        ("10.9.9.9:", "203.0.113.7:5060", "10.9.9.9:;received=203.0.113.7"),
    ] {
        let answer = world.send(&invite(via), PHONE, 0);
        assert!(answer.text.starts_with("SIP/2.0 400 Bad Via\r\n"), "{}", answer.text);
        assert_eq!(answer.to, to, "{via}");
        assert_eq!(values(&answer.text, "Via"), [format!("SIP/2.0/UDP {written}")]);
        // Its ACK is for us.
        let ack = invite(via)
            .replace("INVITE", "ACK")
            .replace("<sip:bob@example.com>", values(&answer.text, "To")[0]);
        let verdict = world.verdict(&ack, PHONE, 0);
        assert_eq!(verdict, Verdict::Drop(DropReason::AckUnroutable));
    }
    for via in ["", "\"", "10.9.9.9;branch=\"x;rport", "[::1;rport", ":5060;rport"] {
        let verdict = world.verdict(&invite(via), PHONE, 0);
        assert_eq!(verdict, Verdict::Drop(DropReason::RequestUnanswerable), "{via}");
    }
}

#[test]
fn garbage() {
    let mut world = World::new(parts("rendezvous"));
    for text in ["", "\r\n", "\r\n\r\n"] {
        assert_eq!(world.verdict(text, PHONE, 0), Verdict::Absorb);
    }
    for text in ["x", "\0\0\0\0", "GET / HTTP/1.1\r\n\r\n", "\r\nhello\r\n\r\n"] {
        assert_eq!(world.verdict(text, PHONE, 0), Verdict::Drop(DropReason::NotSip));
    }
    assert_eq!(
        world.verdict("INVITE sip:a SIP/2.0\r\n\r\n", PHONE, 0),
        Verdict::Drop(DropReason::RequestUnanswerable)
    );
    assert_eq!(
        world.verdict("SIP/2.0 200 OK\r\nVia: x\r\n\r\n", PHONE, 0),
        Verdict::Drop(DropReason::ResponseMalformed)
    );
}

#[test]
fn what_a_stream_framed_says_how_long_it_is() {
    let mut world = World::new(parts("rendezvous"));
    let mut handle = |text: &str, unit: Unit| {
        let flow = Flow::Datagram { listener: ListenerId(0), remote: address(PHONE) };
        let received = Received { bytes: text.as_bytes(), flow, unit };
        let verdict = world.core.handle(world.now, &received, &mut world.outbox);
        (verdict, world.outbox.decision().status)
    };
    let with = request("MESSAGE", "sip:b@e", "");
    let without = with.replace("Content-Length: 0\r\n", "");
    let datagram = Unit::Datagram { is_cut: false };
    assert_eq!(handle(&with, datagram).0, Verdict::Forward);
    assert_eq!(handle(&without, datagram).0, Verdict::Forward);
    assert_eq!(handle(&with, Unit::Framed).0, Verdict::Forward);
    assert_eq!(handle(&without, Unit::Framed), (Verdict::Respond, 400));
}
