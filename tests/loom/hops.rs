//! Datagrams that hop from shard to shard: none is lost, doubled or overtaken, and nobody sleeps on his mail.
//!
//! Owns: the models of posting and taking.

use loom::thread;

use crate::Case;
use crate::datapath::mailbox::{Hop, Mail, Mailbox, mesh_of};
use crate::sip::{ListenerId, Now, Received};
use crate::turn::{WAITS, Wait, check};

pub(crate) const CASES: &[Case] = &[
    ("hops_arrive_in_order_and_wake", hops_arrive_in_order_and_wake),
    ("shards_post_to_each_other", shards_post_to_each_other),
    ("two_shards_wake_a_third", two_shards_wake_a_third),
    ("what_does_not_fit_is_refused_and_the_rest_arrives", what_does_not_fit_is_refused),
    ("a_turn_that_clears_last_is_caught", a_turn_that_clears_last_is_caught),
];

/// Number `number` of this sender.
fn post(mailbox: &mut Mailbox, owner: usize, number: u64) -> bool {
    let bytes = number.to_be_bytes();
    let source = std::net::SocketAddr::from(([192, 0, 2, 9], 5060));
    let received = Received::datagram(&bytes, source, ListenerId(0));
    mailbox.post(owner, &received, Now(number))
}

fn number(hop: &Hop) -> u64 {
    assert_eq!(hop.received().bytes, hop.received_at.0.to_be_bytes(), "torn");
    hop.received_at.0
}

/// Two mailboxes with room for `hops` on each way, and nothing else.
fn pair(hops: usize) -> [Mailbox; 2] {
    let (boxes, _desks, _control) = mesh_of(2, hops).expect("no kernel, no error");
    boxes.try_into().ok().expect("two")
}

fn hops_arrive_in_order_and_wake() {
    for wait in WAITS {
        for wakes_each in [false, true] {
            check(move || {
                let [mut sender, mut owner] = pair(2);
                let posting = thread::spawn(move || {
                    for number in [1, 2] {
                        assert!(post(&mut sender, 1, number), "there is room for two");
                        if wakes_each {
                            sender.flush();
                        }
                    }
                    sender.flush();
                });
                let mut taken = vec![];
                wait.start(&owner);
                while taken.len() < 2 {
                    wait.turn(&mut owner, |hop| taken.push(number(hop)));
                }
                assert_eq!(taken, [1, 2]);
                posting.join().expect("no panic");
            });
        }
    }
}

fn shards_post_to_each_other() {
    for wait in WAITS {
        check(move || {
            let [left, right] = pair(1);
            let right = thread::spawn(move || post_one_and_await_one(right, 0, wait));
            post_one_and_await_one(left, 1, wait);
            right.join().expect("no panic");
        });
    }
}

fn post_one_and_await_one(mut mailbox: Mailbox, peer: usize, wait: Wait) {
    wait.start(&mailbox);
    assert!(post(&mut mailbox, peer, 7), "there is room for one");
    mailbox.flush();
    let mut taken = vec![];
    while taken.is_empty() {
        wait.turn(&mut mailbox, |hop| taken.push(number(hop)));
    }
    assert_eq!(taken, [7]);
}

fn two_shards_wake_a_third() {
    for wait in WAITS {
        check(move || {
            let (mut boxes, _desks, _control) = mesh_of(3, 1).expect("no kernel, no error");
            let mut owner = boxes.pop().expect("three");
            let posting = boxes.into_iter().zip([1, 2]).map(|(mut sender, number)| {
                thread::spawn(move || {
                    assert!(post(&mut sender, 2, number), "there is room for one");
                    sender.flush();
                })
            });
            let posting: Vec<_> = posting.collect();
            let mut taken = vec![];
            wait.start(&owner);
            while taken.len() < 2 {
                wait.turn(&mut owner, |hop| taken.push(number(hop)));
            }
            taken.sort_unstable();
            assert_eq!(taken, [1, 2]);
            posting.into_iter().for_each(|thread| thread.join().expect("no panic"));
        });
    }
}

/// Control stops the owner when the sender is done, so this also has letters beside hops.
fn what_does_not_fit_is_refused() {
    for wait in WAITS {
        check(move || {
            let (mut boxes, mut desks, _control) = mesh_of(2, 1).expect("no kernel, no error");
            let (mut owner, mut sender) = (boxes.pop().expect("two"), boxes.pop().expect("two"));
            let owning = thread::spawn(move || {
                let mut taken = vec![];
                wait.start(&owner);
                loop {
                    wait.turn(&mut owner, |hop| taken.push(number(hop)));
                    if let Some(Mail::Stop) = owner.take_letter() {
                        break;
                    }
                }
                owner.take_hops(|hop| taken.push(number(hop)));
                taken
            });
            let post_and_wake = |number: &u64| {
                let is_posted = post(&mut sender, 1, *number);
                sender.flush();
                is_posted
            };
            let posted: Vec<u64> = [1, 2, 3].into_iter().filter(post_and_wake).collect();
            assert_eq!(posted[0], 1, "the first finds room");
            assert!(desks[1].post(Mail::Stop).is_ok(), "the only letter");
            assert_eq!(owning.join().expect("no panic"), posted, "posted and taken differ");
        });
    }
}

/// The models must be able to fail: a shard that reads its eventfd after its mail sleeps on what came in between.
fn a_turn_that_clears_last_is_caught() {
    let model = || {
        check(|| {
            let [mut sender, mut owner] = pair(2);
            let posting = thread::spawn(move || {
                for number in [1, 2] {
                    assert!(post(&mut sender, 1, number), "there is room for two");
                    sender.flush();
                }
            });
            let mut taken = 0;
            while taken < 2 {
                owner.wake().wait();
                taken += owner.take_hops(|_| ());
                owner.wake().clear();
            }
            posting.join().expect("no panic");
        });
    };
    let loud = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let result = std::panic::catch_unwind(model);
    std::panic::set_hook(loud);
    assert!(result.is_err(), "loom did not find the lost wake-up");
}
