//! Two networks: whom an address is believed to be, and by which side a request leaves.

use super::*;
use crate::sip::route::sides::{Network, SideId, Sides};

const PUBLIC: u8 = 0;
const CORE: u8 = 1;
const PBX: &str = "10.77.0.11:5060";
const CARRIER: &str = "198.51.100.50:5060";

fn networks(of: &[(&str, u8)]) -> Vec<Network> {
    of.iter().map(|(text, id)| Network::parse(text, ListenerId(*id)).expect("a network")).collect()
}

fn two_sides(routes: &[(&str, u8)]) -> World {
    let mut two = parts("rendezvous");
    two.listeners =
        vec![listener("public", "198.51.100.5:5060"), listener("core", "10.77.0.5:5060")];
    two.pools[0] = Pool {
        send_from: Some(ListenerId(CORE)),
        ..pool("pbx", "rendezvous", &[PBX, "10.77.0.12:5060"])
    };
    two.sides = Sides::new(vec![SideId(0), SideId(1)], networks(routes));
    World::new(two)
}

const OUTSIDE: &[(&str, u8)] = &[("0.0.0.0/0", PUBLIC), ("10.77.0.0/24", CORE)];

fn call(routes: &str) -> String {
    request("INVITE", "sip:800@198.51.100.50", routes)
}

fn status(sent: &Sent) -> &str {
    sent.text.lines().next().unwrap_or_default()
}

#[test]
fn a_backends_call_to_a_carrier_leaves_by_the_side_that_leads_there() {
    let pair = "Route: <sip:10.77.0.5;lr>\r\nRoute: <sip:198.51.100.5;lr>\r\n";
    for (routes, networks) in
        [("", OUTSIDE), ("Route: <sip:10.77.0.5;lr>\r\n", OUTSIDE), (pair, &[]), (pair, OUTSIDE)]
    {
        let mut world = two_sides(networks);
        let invite = world.send(&call(routes), PBX, CORE);
        assert_eq!((invite.to.as_str(), invite.listener), (CARRIER, PUBLIC), "{routes}");
        let via = values(&invite.text, "Via")[0].to_owned();
        assert!(via.starts_with("SIP/2.0/UDP 198.51.100.5:5060;"), "{via}");
        let own = values(&invite.text, "Record-Route");
        assert!(own[0].ends_with("@198.51.100.5:5060;lr;r2=on>"), "{own:?}");
        assert!(own[1].ends_with("@10.77.0.5:5060;lr;r2=on>"), "{own:?}");
        let back = world.send(&respond(&invite.text, "200 OK", "b1"), CARRIER, PUBLIC);
        assert_eq!((back.to.as_str(), back.listener), (PBX, CORE));
        let bye = in_dialog(&invite.text, "BYE", false, "sip:alice@10.77.0.11");
        let bye = world.send(&bye, CARRIER, PUBLIC);
        assert_eq!((bye.to.as_str(), bye.listener), (PBX, CORE));
        let bye = in_dialog(&invite.text, "BYE", true, "sip:800@198.51.100.50");
        let bye = world.send(&bye, PBX, CORE);
        assert_eq!((bye.to.as_str(), bye.listener), (CARRIER, PUBLIC));
    }
    // Nothing says where the carrier is: by the way that it came.
    let mut world = two_sides(&[]);
    assert_eq!(world.send(&call("Route: <sip:10.77.0.5;lr>\r\n"), PBX, CORE).listener, CORE);
    // The more exact network wins, and a Route of ours before any.
    let mut world = two_sides(&[("0.0.0.0/0", CORE), ("198.51.100.0/24", PUBLIC)]);
    assert_eq!(world.send(&call(""), PBX, CORE).listener, PUBLIC);
    let reversed = "Route: <sip:198.51.100.5;lr>, <sip:10.77.0.5;lr>\r\n";
    assert_eq!(world.send(&call(reversed), PBX, CORE).listener, CORE);
}

#[test]
fn address_of_a_backend_is_a_strangers_on_another_side() {
    let mut world = two_sides(OUTSIDE);
    let register = world.send(&request("REGISTER", "sip:example.com", ""), PHONE, PUBLIC);
    let path: String =
        values(&register.text, "Path").iter().map(|p| format!("Route: {p}\r\n")).collect();
    let to_phone = request("MESSAGE", "sip:alice@10.9.9.9", &path);
    assert_eq!(world.send(&to_phone, PBX, CORE).to, PHONE);

    // Neither by Route nor by Request-URI, nor along a Path.
    for (uri, routes) in
        [("sip:x@203.0.113.200", ""), ("sip:x@203.0.113.200", "Route: <sip:203.0.113.201;lr>\r\n")]
    {
        let sent = world.send(&request("MESSAGE", uri, routes), PBX, PUBLIC);
        assert!(sent.to.starts_with("10.77.0."), "{uri} {routes}: {}", sent.to);
        assert_eq!(world.outbox.decision().origin, None);
    }
    let sent = world.send(&to_phone, PBX, PUBLIC);
    assert_eq!(status(&sent), "SIP/2.0 403 Bad Flow Token");
    // A dialog token leads such a sender to the backend, never to the phone.
    let invite = world.send(&request("INVITE", "sip:bob@example.com", ""), PHONE, PUBLIC);
    let bye = in_dialog(&invite.text, "BYE", false, "sip:alice@x");
    assert_eq!(world.send(&bye, &invite.to, CORE).to, PHONE);
    assert_ne!(world.verdict(&bye, &invite.to, PUBLIC), Verdict::Drop(DropReason::Rule));
    let transmit = world.outbox.transmit().expect("sent somewhere");
    assert_ne!(transmit.address().to_string(), PHONE);
    // A 503 that comes by the other side takes nobody out.
    let busy = respond(&invite.text, "503 Busy", "b1").replace("CSeq", "Retry-After: 9\r\nCSeq");
    world.send(&busy, &invite.to, PUBLIC);
    assert_eq!(world.outbox.decision().retry_after_seconds, 0);
    world.send(&busy, &invite.to, CORE);
    assert_eq!(world.outbox.decision().retry_after_seconds, 9);
}

#[test]
fn listeners_that_share_a_side_know_the_same_backends() {
    let build = |of: Vec<SideId>| {
        let mut three = parts("rendezvous");
        three.listeners = ["198.51.100.5:5060", "10.77.0.5:5060", "10.78.0.5:5060"]
            .map(|address| listener(address, address))
            .into();
        three.pools[0].send_from = Some(ListenerId(1));
        three.pools[0].match_source_ip = true;
        three.sides = Sides::new(of, vec![]);
        World::new(three)
    };
    let knows = |world: &mut World, listener: u8, port: &str| {
        let from = format!("10.0.0.1:{port}");
        let _ = world.verdict(&request("MESSAGE", "sip:x@198.51.100.9", ""), &from, listener);
        world.outbox.decision().origin.is_some()
    };
    let mut world = build(vec![SideId(0), SideId(1), SideId(1)]);
    for port in ["5060", "9999"] {
        assert_eq!([0, 1, 2].map(|id| knows(&mut world, id, port)), [false, true, true], "{port}");
    }
    let mut world = build(vec![]);
    assert_eq!([0, 1, 2].map(|id| knows(&mut world, id, "5060")), [false, true, false]);
}

#[test]
fn special_destinations_are_no_next_hop() {
    let mut world = two_sides(OUTSIDE);
    for uri in [
        "sip:x@127.0.0.1",
        "sip:x@127.0.0.1:9060",
        "sip:x@224.0.0.1",
        "sip:x@255.255.255.255",
        "sip:x@0.0.0.0",
        "sip:x@10.77.0.5:9060",
        "sip:x@198.51.100.5:22",
        "sip:x@[::ffff:127.0.0.1]",
    ] {
        let route = format!("Route: <{uri};lr>\r\n");
        for message in
            [request("MESSAGE", uri, ""), request("MESSAGE", "sip:x@198.51.100.9", &route)]
        {
            let sent = world.send(&message, PBX, CORE);
            assert!(status(&sent).contains("Next Hop"), "{uri}: {}", sent.text);
        }
    }
    // A node that listens on loopback only is asked by its own host.
    let mut local = parts("rendezvous");
    local.listeners = vec![listener("local", "127.0.0.1:5060")];
    local.pools[0] = pool("p", "rendezvous", &["127.0.0.1:5070"]);
    let mut world = World::new(local);
    let sent = world.send(&request("MESSAGE", "sip:x@127.0.0.1:5080", ""), "127.0.0.1:5070", 0);
    assert_eq!(sent.to, "127.0.0.1:5080");
}

#[test]
fn to_tag_of_a_stranger_proves_nothing() {
    let mut ruled = parts("rendezvous");
    ruled.pools.push(pool("q", "rendezvous", &["10.0.0.5:5060"]));
    ruled.rules = vec![
        Rule { methods: vec![Method::Message], ..rule(Action::Reply(403)) },
        Rule { methods: vec![Method::Refer], needs_token: true, ..rule(Action::Pool(1)) },
        Rule { domains: vec!["example.com".into()], ..rule(Action::Pool(0)) },
    ];
    let mut world = World::new(ruled);
    let tagged = |method: &str, uri: &str| {
        request(method, uri, "").replace("bob@example.com>\r", "bob@example.com>;tag=made-up\r")
    };
    for method in ["INVITE", "BYE", "INFO"] {
        let status = world.refused(&tagged(method, "sip:x@10.0.0.1"));
        assert_eq!(status, "SIP/2.0 404 Not Found", "{method} past the domain");
        let sent = world.send(&tagged(method, "sip:x@example.com"), PHONE, 0);
        assert!(sent.to.starts_with("10.0.0."), "{method} by the rule: {}", sent.to);
    }
    assert_eq!(world.refused(&tagged("MESSAGE", "sip:x@10.0.0.1")), "SIP/2.0 403 Forbidden");
    let refused = world.refused(&tagged("REFER", "sip:x@10.0.0.5"));
    assert_eq!(refused, "SIP/2.0 481 Dialog Does Not Exist");
    let first = world.send(&request("REFER", "sip:x@10.0.0.5", ""), PHONE, 0);
    assert_eq!(first.to, "10.0.0.5:5060", "what starts a dialog has no token yet");
}
