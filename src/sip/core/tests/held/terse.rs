//! Backends whose 100 Trying carries our Via only.

use super::super::failover::terse;
use super::*;

#[test]
fn a_100_with_one_via_ends_the_clock() {
    let mut world = world(2);
    let invite = world.invite();
    assert_eq!(world.verdict(&terse(&invite.text), &invite.to, 0), Verdict::Absorb);
    assert_eq!(world.until(20), [], "no other backend gets it");
    let copy = world.invite();
    assert_eq!(copy.to, invite.to, "the caller has not heard of it, and repeats");
    world.reaches_caller(&invite, "180 Ringing");
    world.reaches_caller(&invite, "200 OK");
    assert_eq!(world.held(), 0);
}

#[test]
fn one_that_was_given_up_is_cancelled_by_it() {
    let mut world = world(2);
    let first = world.invite();
    let next = one(world.until(2));
    assert_eq!(world.verdict(&terse(&first.text), &first.to, 0), Verdict::Absorb);
    is_cancel_of(&one(world.extras()), &first);
    world.reaches_caller(&next, "200 OK");
}

#[test]
fn who_only_tries_ends_with_its_caller() {
    let mut world = world(2);
    let invite = world.invite();
    assert_eq!(world.verdict(&terse(&invite.text), &invite.to, 0), Verdict::Absorb);
    assert_eq!(world.until(400), [], "its caller has not been told to wait for us");
    assert_eq!(world.held(), 0);
}
