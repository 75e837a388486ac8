//! Along tokens and routes: dialogs, registrations, spirals and strict routers.

use super::*;

#[test]
fn dialog_keeps_its_backend_from_both_sides_after_pool_edit_and_key_rotation() {
    let mut world = World::new(parts("rendezvous"));
    let invite = world.send(&request("INVITE", "sip:bob@example.com", ""), PHONE, 0);
    let backend = invite.to.clone();

    let mut edited = parts("rendezvous");
    edited.pools[0] = pool("p", "rendezvous", &["10.0.0.9:5060"]);
    edited.keys.insert(0, Key { id: 2, secret: [8; 32] });
    world.core.install(Arc::new(Table::new(edited)));

    let bye = in_dialog(&invite.text, "BYE", true, &format!("sip:bob@{backend}"));
    let sent = world.send(&bye, PHONE, 0);
    assert_eq!(sent.to, backend, "although it left the pool");
    assert!(values(&sent.text, "Route").is_empty());
    assert_eq!(values(&sent.text, "Record-Route").len(), 0);

    let bye = in_dialog(&invite.text, "BYE", false, "sip:alice@10.9.9.9:5062");
    let sent = world.send(&bye, &backend, 0);
    assert_eq!(sent.to, PHONE);
    let ok = world.send(&respond(&sent.text, "200 OK", "x"), PHONE, 0);
    assert_eq!(
        ok.to,
        "10.0.0.1:5060".replace("10.0.0.1", backend.split(':').next().expect("host"))
    );

    // The CANCEL of an INVITE from before the rotation keeps its branch.
    let cancel = world.send(&request("CANCEL", "sip:bob@example.com", ""), PHONE, 0);
    assert_eq!(cancel.to, backend);
    assert!(values(&cancel.text, "Via")[0].contains("branch=z9hG4bK~e~AB"), "key 1 digit B");
}

#[test]
fn register_gets_a_path_and_the_call_comes_back_through_it() {
    let mut world = World::new(parts("rendezvous"));
    let sent =
        world.send(&request("REGISTER", "sip:example.com", "Path: <sip:other;lr>\r\n"), PHONE, 0);
    let paths = values(&sent.text, "Path");
    assert_eq!(paths.len(), 2);
    assert_eq!(paths[1], "<sip:other;lr>");
    let call = format!(
        "INVITE sip:alice@10.9.9.9:5062 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKk\r\n\
         Route: {}\r\nFrom: <sip:b@e>;tag=1\r\nTo: <sip:a@e>\r\nCall-ID: 2\r\nCSeq: 1 INVITE\r\n\r\n",
        paths[0]
    );
    let to_phone = world.send(&call, "10.0.0.2:5060", 0);
    assert_eq!(to_phone.to, PHONE);
    assert_eq!(values(&to_phone.text, "Record-Route").len(), 1);
    assert_eq!(values(&to_phone.text, "Max-Forwards"), ["70"]);
    assert_eq!(world.send(&call, PHONE, 0).text.lines().next(), Some("SIP/2.0 403 Bad Flow Token"));

    // The phone hangs up: along the token to the backend that called.
    let bye = in_dialog(&to_phone.text, "BYE", false, "sip:b@10.0.0.2");
    assert_eq!(world.send(&bye, PHONE, 0).to, "10.0.0.2:5060");
}

#[test]
fn tokens_that_do_not_open() {
    let mut world = World::new(parts("rendezvous"));
    let route = "Route: <sip:~e~ABxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx@192.0.2.1;lr>\r\n";
    let status = |text: String| text.lines().next().unwrap_or_default().to_owned();
    assert_eq!(world.refused(&request("INVITE", "sip:b@e", route)), "SIP/2.0 403 Bad Flow Token");
    let bye =
        request("BYE", "sip:b@e", route).replace("example.com>\r\n", "example.com>;tag=t\r\n");
    assert_eq!(status(world.send(&bye, PHONE, 0).text), "SIP/2.0 481 Dialog Does Not Exist");
    let ack = request("ACK", "sip:b@e", route);
    assert_eq!(world.verdict(&ack, PHONE, 0), Verdict::Drop(DropReason::AckTokenBad));
}

#[test]
fn spiral_through_a_backend_that_does_not_record_route() {
    let mut world = World::new(parts("rendezvous"));
    let register = world.send(&request("REGISTER", "sip:example.com", ""), "203.0.113.8:5060", 0);
    let path = values(&register.text, "Path")[0].to_owned();
    let first = world.send(&request("INVITE", "sip:bob@example.com", ""), PHONE, 0);
    // The backend forwards along the Path of the callee and stays out of the dialog.
    let second =
        first.text.replace("INVITE sip:bob@example.com", "INVITE sip:bob@203.0.113.8").replace(
            "SIP/2.0\r\nVia",
            &format!(
                "SIP/2.0\r\nRoute: {path}\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKb\r\nVia",
                first.to
            ),
        );
    let second = world.send(&second, &first.to, 0);
    assert_eq!(second.to, "203.0.113.8:5060");
    assert_eq!(values(&second.text, "Record-Route").len(), 2);
    let bye = in_dialog(&second.text, "BYE", true, "sip:bob@203.0.113.8");
    let bye = world.send(&bye, PHONE, 0);
    assert_eq!(bye.to, "203.0.113.8:5060", "both of our Routes in one pass");
    assert!(values(&bye.text, "Route").is_empty());
    let bye =
        world.send(&in_dialog(&second.text, "BYE", false, "sip:alice@x"), "203.0.113.8:5060", 0);
    assert_eq!(bye.to, PHONE);
}

#[test]
fn strict_routers_on_both_sides() {
    let mut world = World::new(parts("rendezvous"));
    let invite = world.send(&request("INVITE", "sip:bob@example.com", ""), PHONE, 0);
    let token = values(&invite.text, "Record-Route")[0].trim_matches(['<', '>']).to_owned();
    // The phone is strict: our Record-Route URI is the Request-URI, the target is the last Route.
    let strict = request("BYE", &token, "Route: <sip:p2;lr>,\r\n <sip:bob@10.0.0.1>\r\n")
        .replace("bob@example.com>\r\n", "bob@example.com>;tag=b1\r\n");
    let sent = world.send(&strict, PHONE, 0);
    assert_eq!(sent.to, invite.to);
    assert!(sent.text.starts_with("BYE sip:bob@10.0.0.1 SIP/2.0\r\n"), "{}", sent.text);
    assert_eq!(values(&sent.text, "Route"), ["<sip:p2;lr>"]);
    // The next hop is strict: the first Route becomes the Request-URI, which goes to the end.
    let loose = in_dialog(&invite.text, "BYE", true, "sip:bob@10.0.0.1")
        .replace("Max-Forwards", "Route: <sip:strict.example.com>\r\nMax-Forwards");
    let sent = world.send(&loose, PHONE, 0);
    assert!(sent.text.starts_with("BYE sip:strict.example.com SIP/2.0\r\n"), "{}", sent.text);
    assert_eq!(values(&sent.text, "Route"), ["<sip:bob@10.0.0.1>"]);
}

#[test]
fn token_of_a_dialog_starts_nothing_new_from_outside() {
    let mut world = World::new(parts("rendezvous"));
    let invite = world.send(&request("INVITE", "sip:bob@example.com", ""), PHONE, 0);
    let bye = in_dialog(&invite.text, "BYE", true, "sip:bob@10.0.0.1");
    assert_eq!(world.send(&bye, PHONE, 0).to, invite.to);
    let call = bye.replace("BYE", "INVITE").replace(";tag=b1", "");
    assert_eq!(world.refused(&call), "SIP/2.0 403 Bad Flow Token");
}

#[test]
fn token_of_a_source_that_claimed_to_be_us_is_a_loop() {
    let mut world = World::new(parts("rendezvous"));
    let sent = world.send(&request("REGISTER", "sip:example.com", ""), "192.0.2.1:5060", 0);
    let route = format!("Route: {}\r\n", values(&sent.text, "Path")[0]);
    let call = request("INVITE", "sip:alice@10.9.9.9:5062", &route);
    let answer = world.send(&call, "10.0.0.2:5060", 0);
    assert_eq!(answer.text.lines().next(), Some("SIP/2.0 482 Loop Detected"));
}
