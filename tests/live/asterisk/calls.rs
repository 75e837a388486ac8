//! Calls between two baresip phones: both ways, ended by each side, in each state; held; passed on.
//!
//! Owns: the steps of each call, judged by what each phone saw.

use crate::asterisk::world::World;
use crate::harness::baresip::Baresip;
use crate::harness::ledger::Way::{Received, Sent};
use crate::harness::netns::Netns;
use crate::runner::Place;

const ANNA: u16 = 1001;
const BERT: u16 = 1002;
/// Who calls this number gives up after two seconds.
const SHORT: u16 = 1005;

pub(super) fn both_ways(place: &Place, netns: &Netns) {
    let world = World::start(place, netns);
    let (mut anna, mut bert) = (world.phone(ANNA), world.phone(BERT));
    for (bert_calls, caller_ends) in [(false, true), (true, true), (false, false), (true, false)] {
        let (caller, callee) = ordered(bert_calls, &mut anna, &mut bert);
        let what = format!("{} calls, caller ends: {caller_ends}", caller.number());
        talk(caller, callee);
        let (ends, other) = ordered(!caller_ends, caller, callee);
        let (mark, marked) = (ends.mark(), other.mark());
        ends.tell("hangup");
        other.wait(marked, Received, "BYE", 0);
        ends.wait(mark, Received, "BYE", 200);
        settled(&world, &what, &[&anna, &bert]);
    }
    world.stop();
}

pub(super) fn ended_while_ringing(place: &Place, netns: &Netns) {
    let world = World::start(place, netns);
    let (mut anna, mut bert) = (world.phone(ANNA), world.phone(BERT));
    let mut short = world.phone(SHORT);
    for bert_calls in [false, true] {
        let (caller, callee) = ordered(bert_calls, &mut anna, &mut bert);
        let (mark, marked) = ring(caller, callee);
        caller.tell("hangup");
        callee.wait(marked, Received, "CANCEL", 0);
        callee.wait(marked, Sent, "INVITE", 487);
        caller.wait(mark, Received, "INVITE", 487);
        settled(&world, "the caller cancels", &[&anna, &bert, &short]);

        let (caller, callee) = ordered(bert_calls, &mut anna, &mut bert);
        let (mark, marked) = ring(caller, callee);
        callee.tell("hangup");
        callee.wait(marked, Received, "ACK", 0);
        caller.wait(mark, Received, "INVITE", 486);
        settled(&world, "the callee is busy", &[&anna, &bert, &short]);

        let (caller, _) = ordered(bert_calls, &mut anna, &mut bert);
        let (mark, marked) = ring(caller, &mut short);
        short.wait(marked, Received, "CANCEL", 0);
        short.wait(marked, Sent, "INVITE", 487);
        caller.wait(mark, Sent, "ACK", 0);
        settled(&world, "nobody answers", &[&anna, &bert, &short]);
    }
    world.stop();
}

pub(super) fn hold(place: &Place, netns: &Netns) {
    let world = World::start(place, netns);
    let (mut anna, mut bert) = (world.phone(ANNA), world.phone(BERT));
    talk(&mut anna, &mut bert);
    for phone in [&mut anna, &mut bert] {
        for command in ["hold", "resume"] {
            let mark = phone.mark();
            phone.tell(command);
            phone.wait(mark, Sent, "INVITE", 0);
            phone.wait(mark, Received, "INVITE", 200);
            phone.wait(mark, Sent, "ACK", 0);
        }
    }
    let marked = bert.mark();
    anna.tell("hangup");
    bert.wait(marked, Received, "BYE", 0);
    settled(&world, "hold", &[&anna, &bert]);
    world.stop();
}

/// The callee passes the caller on to a third phone, then the caller passes the callee on.
pub(super) fn blind_transfer(place: &Place, netns: &Netns) {
    let world = World::start(place, netns);
    let phones: Vec<Baresip> = [1001, 1002, 1003, 1004, 1006].map(|n| world.phone(n)).into();
    // Of five phones three share an exchange: a transfer stays within one.
    let mut exchanges: Vec<String> =
        phones.iter().map(|phone| world.exchange_of(phone).to_owned()).collect();
    exchanges.sort();
    let most = exchanges[2].clone();
    let (mut phones, others): (Vec<Baresip>, Vec<Baresip>) =
        phones.into_iter().partition(|phone| world.exchange_of(phone) == most);
    assert!(phones.len() >= 3, "three of five share one");
    for callee_passes_on in [true, false] {
        let [anna, bert, carl, ..] = phones.as_mut_slice() else { return };
        talk(anna, bert);
        let (passes, stays) = ordered(callee_passes_on, anna, bert);
        let (mark, marked) = (passes.mark(), carl.mark());
        passes.transfer(carl.number());
        passes.wait(mark, Received, "REFER", 202);
        carl.wait(marked, Sent, "INVITE", 180);
        carl.tell("accept");
        carl.wait(marked, Received, "ACK", 0);
        passes.wait(mark, Received, "NOTIFY", 0);
        passes.wait(mark, Received, "BYE", 200);
        let marked = stays.mark();
        carl.tell("hangup");
        stays.wait(marked, Received, "BYE", 0);
        let all: Vec<&Baresip> = phones.iter().chain(&others).collect();
        settled(&world, "transfer", &all);
    }
    world.stop();
}

/// Two phones, or the same two the other way round.
fn ordered<'a>(
    swapped: bool,
    a: &'a mut Baresip,
    b: &'a mut Baresip,
) -> (&'a mut Baresip, &'a mut Baresip) {
    if swapped { (b, a) } else { (a, b) }
}

/// Calls, and waits until it rings; the marks of both from before.
fn ring(caller: &mut Baresip, callee: &mut Baresip) -> (usize, usize) {
    let marks = (caller.mark(), callee.mark());
    caller.dial(callee.number());
    callee.wait(marks.1, Sent, "INVITE", 180);
    caller.wait(marks.0, Received, "INVITE", 180);
    marks
}

/// Calls, and waits until both talk.
fn talk(caller: &mut Baresip, callee: &mut Baresip) {
    let (mark, marked) = ring(caller, callee);
    callee.tell("accept");
    callee.wait(marked, Received, "ACK", 0);
    caller.wait(mark, Received, "INVITE", 200);
    caller.wait(mark, Sent, "ACK", 0);
}

fn settled(world: &World<'_>, what: &str, phones: &[&Baresip]) {
    world.settled(what, || phones.iter().flat_map(|phone| phone.events()).collect());
    world.idle(what);
}
