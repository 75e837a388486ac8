//! What is sent on, and with which bytes: a request, its responses, its CANCEL and ACK.

use super::*;

#[test]
fn invite_is_edited_and_nothing_else_changes() {
    let mut world = World::new(parts("rendezvous"));
    let invite = request("INVITE", "sip:bob@example.com", "X-Odd:  kept \t\r\n v\u{e9}\r\n");
    let sent = world.send(&invite, PHONE, 0);
    assert!(sent.to.starts_with("10.0.0."));
    let lines: Vec<&str> = sent.text.split("\r\n").collect();
    assert_eq!(lines[0], "INVITE sip:bob@example.com SIP/2.0");
    assert!(
        lines[1].starts_with("Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK~e~AB"),
        "{}",
        lines[1]
    );
    assert!(lines[2].starts_with("Record-Route: <sip:~e~AB"), "{}", lines[2]);
    assert!(lines[2].ends_with("@192.0.2.1:5060;lr>"), "{}", lines[2]);
    assert_eq!(
        lines[3],
        "Via: SIP/2.0/UDP 10.9.9.9:5062;received=203.0.113.7;branch=z9hG4bKphone1;rport=40001"
    );
    assert_eq!(lines[4], "Max-Forwards: 69");
    let (_, rest) = invite.split_once("Max-Forwards: 70\r\n").expect("it has one");
    assert!(sent.text.ends_with(rest), "{}", sent.text);
    assert_eq!(world.outbox.decision().cause, Cause::Balanced);
}

#[test]
fn response_goes_back_and_only_to_the_caller() {
    let mut world = World::new(parts("rendezvous"));
    let invite = request("INVITE", "sip:bob@example.com", "");
    let sent = world.send(&invite, PHONE, 0);
    let ok = respond(&sent.text, "200 OK", "b1");
    let back = world.send(&ok, &sent.to, 0);
    assert_eq!(back.to, PHONE);
    assert!(!back.text.contains("192.0.2.1:5060;branch"), "our Via is gone");
    assert_eq!(values(&back.text, "Via").len(), 1);

    let elsewhere = ok.replace("received=203.0.113.7", "received=203.0.113.8");
    assert_eq!(
        world.verdict(&elsewhere, &sent.to, 0),
        Verdict::Drop(DropReason::ResponseViaForged)
    );
    let other_call = ok.replace("call-1@", "call-2@");
    assert_eq!(
        world.verdict(&other_call, &sent.to, 0),
        Verdict::Drop(DropReason::ResponseViaForged)
    );
    let foreign = ok.replace("UDP 192.0.2.1:5060", "UDP 192.0.2.99:5060");
    assert_eq!(world.verdict(&foreign, &sent.to, 0), Verdict::Drop(DropReason::ResponseViaForeign));
    let last =
        ok.split("\r\n").filter(|l| !l.contains("10.9.9.9:5062")).collect::<Vec<_>>().join("\r\n");
    assert_eq!(world.verdict(&last, &sent.to, 0), Verdict::Drop(DropReason::ResponseViaLast));
}

#[test]
fn retry_after_counts_in_the_503_of_a_backend() {
    let mut world = World::new(parts("rendezvous"));
    let sent = world.send(&request("INVITE", "sip:bob@example.com", ""), PHONE, 0);
    let mut check = |status: &str, from: &str, expected: u32| {
        let response = respond(&sent.text, status, "b1").replace("CSeq", "Retry-After: 30\r\nCSeq");
        let back = world.send(&response, from, 0);
        assert!(back.text.contains("Retry-After: 30\r\n"), "{}", back.text);
        assert_eq!(world.outbox.decision().retry_after_seconds, expected, "{status} from {from}");
        assert_eq!(world.outbox.decision().transaction, 0);
    };
    check("503 Busy", &sent.to, 30);
    check("500 Busy", &sent.to, 0);
    check("486 Busy Here", &sent.to, 0);
    check("503 Busy", "198.51.100.7:5060", 0);
}

#[test]
fn cancel_and_ack_follow_their_invite() {
    // Under miri, some thousand times slower, one that hashes and one that remembers.
    let (balances, rounds) = if cfg!(miri) { (2, 1) } else { (4, 5) };
    for balance in ["rendezvous", "round-robin", "random", "kamailio:4"].into_iter().take(balances)
    {
        let mut world = World::new(parts(balance));
        let invite = world.send(&request("INVITE", "sip:bob@example.com", ""), PHONE, 0);
        let branch = |sent: &Sent| {
            let via = values(&sent.text, "Via")[0].to_owned();
            via.split(";branch=").nth(1).and_then(|b| b.split(';').next()).map(str::to_owned)
        };
        for round in 0..rounds {
            world.now = world.now.plus_seconds(1);
            let again = world.send(&request("INVITE", "sip:bob@example.com", ""), PHONE, 0);
            assert_eq!(
                (&again.to, branch(&again)),
                (&invite.to, branch(&invite)),
                "{balance} {round}"
            );
        }
        // A NAT gave the CANCEL another source port: same branch all the same.
        let cancel =
            world.send(&request("CANCEL", "sip:bob@example.com", ""), "203.0.113.7:40009", 0);
        assert_eq!((&cancel.to, branch(&cancel)), (&invite.to, branch(&invite)), "{balance}");
        // The phone has learnt its address by rport meanwhile.
        let cancel = request("CANCEL", "sip:bob@example.com", "")
            .replace("UDP 10.9.9.9:5062", "UDP 203.0.113.7:40001");
        let cancel = world.send(&cancel, PHONE, 0);
        assert_eq!((&cancel.to, branch(&cancel)), (&invite.to, branch(&invite)), "{balance}");
        let ack = request("ACK", "sip:bob@example.com", "")
            .replace("bob@example.com>", "bob@example.com>;tag=b1");
        let ack = world.send(&ack, PHONE, 0);
        assert_eq!((&ack.to, branch(&ack)), (&invite.to, branch(&invite)), "{balance}");
    }
}

#[test]
fn an_address_of_record_has_one_backend_in_all_its_spellings() {
    let mut parts = parts("rendezvous");
    parts.pools[0].key = KeySource::RequestUri;
    let mut world = World::new(parts);
    for user in ["bob", "a%40b", "tom~", "x-1", "zed"] {
        let mut to = |uri: &str| world.send(&request("MESSAGE", uri, ""), PHONE, 0).to;
        let first = to(&format!("sip:{user}@example.com"));
        let escaped = user.replace('b', "%62").replace('~', "%7e").replace('-', "%2D");
        for uri in [
            format!("sip:{escaped}@EXAMPLE.com."),
            format!("sip:{}@example.com:5070;transport=udp", escaped.replace("7e", "7E")),
        ] {
            assert_eq!(to(&uri), first, "{uri}");
        }
    }
}

#[test]
fn a_field_of_the_configuration_is_the_key_in_all_its_spellings() {
    let mut parts = parts("rendezvous");
    parts.pools[0].key = KeySource::Header("X-Tenant".into());
    let mut world = World::new(parts);
    for tenant in 0..8 {
        let mut count = 0;
        let mut to = |field: &str| {
            count += 1;
            let text = request("MESSAGE", "sip:b@e", &format!("{field}\r\nSubject: x\r\n"));
            world.send(&text.replace("phone1", &format!("{tenant}x{count}")), PHONE, 0).to
        };
        let first = to(&format!("X-Tenant: {tenant}"));
        for field in ["x-tenant \t:", "X-TENANT:\r\n ", "X-Tenants: 99\r\nX-Tenant:"] {
            assert_eq!(to(&format!("{field}{tenant}")), first, "{field}{tenant}");
        }
        assert_eq!(to(&format!("X-Tenant: {tenant}\r\nX-Tenant: 99")), first, "the first counts");
    }
}

#[test]
fn round_robin_without_memory_says_so() {
    let mut world = World::new(parts("round-robin"));
    assert_eq!(
        world.refused(&request("CANCEL", "sip:bob@example.com", "")),
        "SIP/2.0 481 Call/Transaction Does Not Exist"
    );
}

#[test]
fn two_listeners_of_two_families_record_route_twice() {
    let mut two = parts("rendezvous");
    two.listeners =
        vec![listener("six", "[2001:db8::1]:5060"), listener("four", "10.0.0.100:5070")];
    let mut world = World::new(two);
    let phone = "[2001:db8::77]:6000";
    let invite = world.send(&request("INVITE", "sip:bob@example.com", ""), phone, 0);
    assert_eq!(invite.listener, 1);
    let routes = values(&invite.text, "Record-Route");
    assert!(routes[0].ends_with("@10.0.0.100:5070;lr;r2=on>"), "{routes:?}");
    assert!(routes[1].ends_with("@[2001:db8::1]:5060;lr;r2=on>"), "{routes:?}");
    assert!(invite.text.contains("received=2001:db8::77"));
    let back = world.send(&respond(&invite.text, "200 OK", "b1"), &invite.to, 1);
    assert_eq!((back.to.as_str(), back.listener), (phone, 0));

    let bye = world.send(&in_dialog(&invite.text, "BYE", true, "sip:bob@10.0.0.1"), phone, 0);
    assert_eq!((bye.to.as_str(), bye.listener), (invite.to.as_str(), 1));
    let bye = world.send(&in_dialog(&invite.text, "BYE", false, "sip:alice@x"), &invite.to, 1);
    assert_eq!((bye.to.as_str(), bye.listener), (phone, 0));
    assert!(values(&bye.text, "Route").is_empty());
}

#[test]
fn what_is_behind_the_content_is_cut_and_what_is_too_large_refused() {
    let mut world = World::new(parts("rendezvous"));
    let sent = world.send(&(request("MESSAGE", "sip:b@e", "") + "INVITE junk"), PHONE, 0);
    assert!(sent.text.ends_with("Content-Length: 0\r\n\r\n"));

    let large = request("MESSAGE", "sip:b@e", &format!("X: {}\r\n", "y".repeat(65_200)));
    assert_eq!(world.refused(&large), "SIP/2.0 513 Message Too Large");
}
