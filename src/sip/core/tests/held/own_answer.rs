//! Our own answer to a held INVITE: until it is acknowledged (RFC 3261 17.2.1).

use super::*;

/// Ringing, then silence: the edge answers. What it sent first.
fn answered(world: &mut World) -> Sent {
    let first = world.invite();
    world.reaches_caller(&first, "100 Trying");
    let failure = respond(&first.text, "503 Service Unavailable", "b1");
    world.absorbed(&failure, &first.to);
    let answer = world.until(32).pop().expect("an answer");
    assert_eq!(start(&answer.text), "SIP/2.0 408 Request Timeout");
    answer
}

#[test]
fn it_is_repeated_until_it_is_acknowledged() {
    let mut world = world(2);
    let answer = answered(&mut world);
    // Timer G: after 0.5, 1, 2 and then 4 seconds each.
    let again = world.until(40);
    assert_eq!(again.len(), 4);
    assert!(again.iter().all(|again| *again == answer), "byte for byte");
    world.acknowledges(&answer);
    assert_eq!(world.until(120), []);
    assert_eq!((world.held(), world.counts().answered), (0, 1));
}

#[test]
fn nobody_who_acknowledges_hears_it_for_ever() {
    let mut world = world(2);
    let answer = answered(&mut world);
    let again = world.until(300);
    assert_eq!(again.len(), 10, "until timer H");
    assert!(again.iter().all(|again| *again == answer));
    assert_eq!(world.held(), 0);
}

#[test]
fn a_copy_of_the_invite_gets_it_again_and_a_cancel_its_own() {
    let mut world = world(2);
    let answer = answered(&mut world);
    let mut turned = held_parts("rendezvous", 2);
    turned.keys.insert(0, Key { id: 2, secret: [9; 32] });
    world.core.install(Arc::new(Table::new(turned)));
    assert_eq!(world.invite(), answer, "whatever key is the newest");
    let cancel = world.send(&request("CANCEL", BOB, ""), PHONE, 0);
    assert_eq!((start(&cancel.text), cancel.to.as_str()), ("SIP/2.0 200 OK", PHONE));
    assert_eq!(line(&cancel.text, "To"), line(&answer.text, "To"), "RFC 3261 9.2");
    world.acknowledges(&answer);
    // It was late in the network.
    assert_eq!(world.absorbed(&request("INVITE", BOB, ""), PHONE), []);
    assert_eq!(world.until(300), []);
    assert_eq!(world.held(), 0);
}

#[test]
fn a_late_success_takes_its_place() {
    let mut world = world(2);
    let first = world.invite();
    world.reaches_caller(&first, "100 Trying");
    let failure = respond(&first.text, "503 Service Unavailable", "b1");
    let next = world.absorbed(&failure, &first.to).remove(0);
    assert_eq!(
        start(&world.until(32).pop().expect("an answer").text),
        "SIP/2.0 408 Request Timeout"
    );
    world.reaches_caller(&next, "200 OK");
    assert_eq!(world.until(300), []);
    assert_eq!(world.held(), 0);
}
