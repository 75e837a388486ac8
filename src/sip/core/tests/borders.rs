//! What comes from outside goes to its pool and nowhere else, and nothing goes round.

use super::*;

#[test]
fn from_a_backend_by_route_and_request_uri_never_into_the_pool() {
    let mut world = World::new(parts("rendezvous"));
    let mut to = |uri: &str, more: &str| {
        let sent = world.send(&request("INVITE", uri, more), "10.0.0.2:5060", 0);
        (sent.to, sent.text.lines().next().unwrap_or_default().to_owned())
    };
    assert_eq!(to("sip:x@198.51.100.9:5090", "").0, "198.51.100.9:5090");
    assert_eq!(to("sip:x@198.51.100.9", "Route: <sip:198.51.100.8;lr>\r\n").0, "198.51.100.8:5060");
    assert_eq!(to("sip:x@example.com", "").1, "SIP/2.0 503 Next Hop Is Not A UDP Address");
    assert_eq!(
        to("sip:x@198.51.100.9;transport=tcp", "").1,
        "SIP/2.0 503 Next Hop Is Not A UDP Address"
    );
    assert_eq!(to("sip:x@192.0.2.1", "").1, "SIP/2.0 404 Not Found");
    assert_eq!(to("sip:192.0.2.1", "").1, "SIP/2.0 404 Not Found");
}

#[test]
fn outside_goes_nowhere_but_to_the_pool() {
    let mut world = World::new(parts("rendezvous"));
    for (uri, more) in [
        ("sip:x@198.51.100.9", ""),
        ("sip:x@198.51.100.9", "Route: <sip:198.51.100.8;lr>\r\n"),
        ("sip:x@192.0.2.1", "Route: <sip:192.0.2.1;lr>, <sip:198.51.100.8;lr>\r\n"),
        ("tel:+15551234", ""),
        ("urn:service:sos", ""),
    ] {
        let sent = world.send(&request("INVITE", uri, more), PHONE, 0);
        assert!(sent.to.starts_with("10.0.0."), "{uri} {more}: {}", sent.to);
        assert!(!sent.text.contains("Route: <sip:192.0.2.1;lr>"), "ours is taken off");
    }
}

#[test]
fn loops_and_spirals() {
    let mut world = World::new(parts("rendezvous"));
    let first = world.send(&request("INVITE", "sip:bob@198.51.100.9", ""), PHONE, 0);
    // A backend sends it back unchanged: once is a spiral (it came from the other side), twice is a loop.
    let pushed = |text: &str, n: u8| {
        text.replacen(
            "\r\nVia",
            &format!("\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKb{n}\r\nVia"),
            1,
        )
    };
    let second = world.send(&pushed(&first.text, 1), "10.0.0.1:5060", 0);
    assert_eq!(second.to, "198.51.100.9:5060");
    let third = world.send(&pushed(&second.text, 2), "10.0.0.1:5060", 0);
    assert_eq!(third.text.lines().next(), Some("SIP/2.0 482 Loop Detected"));
    let turned = pushed(&second.text, 3).replace("bob@198.51.100.9", "carol@198.51.100.9");
    assert_eq!(world.send(&turned, "10.0.0.1:5060", 0).to, "198.51.100.9:5060", "a spiral goes on");
}

fn two_pools(second: &[&str]) -> Parts {
    let mut two = parts("rendezvous");
    two.listeners = vec![listener("public", "192.0.2.1:5060"), listener("in", "10.0.0.100:5070")];
    two.pools[0] =
        Pool { send_from: Some(ListenerId(1)), ..pool("p", "first", &["10.0.0.1:5060"]) };
    two.pools.push(pool("q", "rendezvous", second));
    two.rules.insert(0, Rule { methods: vec![Method::Message], ..rule(Action::Pool(1)) });
    two
}

#[test]
fn address_in_two_pools_retransmits_the_same_bytes_from_the_same_listener() {
    let mut world = World::new(two_pools(&["10.0.0.1:5060"]));
    let message = request("MESSAGE", "sip:bob@example.com", "");
    let first = world.send(&message, PHONE, 0);
    assert_eq!(first.listener, 0, "its pool has no listener of its own");
    assert_eq!(world.send(&message, PHONE, 0), first);
    assert_eq!(world.outbox.decision().backend.map(|b| b.pool), Some(1));
}

#[test]
fn identifiers_of_a_transaction_do_not_open_another_pool() {
    let mut world = World::new(two_pools(&["10.0.0.5:5060"]));
    let invite = request("INVITE", "sip:bob@example.com", "");
    assert_eq!(world.send(&invite, PHONE, 0).to, "10.0.0.1:5060");
    let message = request("MESSAGE", "sip:bob@example.com", "");
    assert_eq!(world.send(&message, PHONE, 0).to, "10.0.0.5:5060");
}

#[test]
fn to_tag_does_not_get_a_request_past_the_rules() {
    let mut ruled = two_pools(&["10.0.0.5:5060"]);
    ruled.rules = vec![
        Rule { methods: vec![Method::Options], ..rule(Action::Drop) },
        Rule { methods: vec![Method::Message], ..rule(Action::Reply(403)) },
        Rule { domains: vec!["example.com".into()], record_route: false, ..rule(Action::Pool(0)) },
        Rule { listeners: vec![ListenerId(1)], ..rule(Action::Pool(1)) },
    ];
    let mut world = World::new(ruled);
    let tagged = |method: &str, uri: &str| {
        request(method, uri, "").replace("bob@example.com>\r", "bob@example.com>;tag=b1\r")
    };
    assert_eq!(world.send(&tagged("BYE", "sip:x@10.0.0.1"), PHONE, 0).to, "10.0.0.1:5060");
    assert_eq!(world.send(&tagged("BYE", "sip:x@10.0.0.5"), PHONE, 1).to, "10.0.0.5:5060");
    assert_eq!(world.refused(&tagged("BYE", "sip:x@10.0.0.5")), "SIP/2.0 404 Not Found");
    assert_eq!(world.refused(&tagged("MESSAGE", "sip:x@10.0.0.1")), "SIP/2.0 403 Forbidden");
    assert_eq!(
        world.verdict(&tagged("OPTIONS", "sip:x@10.0.0.1"), PHONE, 0),
        Verdict::Drop(DropReason::Rule)
    );
}
