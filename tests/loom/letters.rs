//! Letters from control and the answers to them: tables, counters, the end.
//!
//! Owns: the models of control's side. Its wait is that of `src/datapath/shards.rs`: look, wait, clear, look again.

use std::sync::Arc;

use loom::thread;

use crate::Case;
use crate::datapath::counters::Counters;
use crate::datapath::mailbox::{Answer, Desk, Mail, Mailbox, mesh_of};
use crate::datapath::sys::EventFd;
use crate::turn::{WAITS, Wait, check};

pub(crate) const CASES: &[Case] = &[
    ("snapshots_are_whole_and_never_run_back", snapshots_are_whole_and_never_run_back),
    ("one_event_brings_the_answers_of_all_shards", one_event_brings_the_answers_of_all_shards),
];

/// A shard that counts a message each turn and answers, until it is stopped.
fn shard(mut mailbox: Mailbox, wait: Wait) {
    let mut counters = Counters::new();
    wait.start(&mailbox);
    loop {
        wait.turn(&mut mailbox, |_| ());
        counters.received += 1;
        counters.on_sent(40, 1);
        while let Some(mail) = mailbox.take_letter() {
            match mail {
                Mail::Snapshot(mut copy) => {
                    copy.copy_from(&counters);
                    mailbox.answer(Answer::Snapshot(copy));
                }
                Mail::Stop => return,
                Mail::Install(_) | Mail::Drain => unreachable!("not sent here"),
            }
        }
    }
}

fn ask(desk: &mut Desk) {
    assert!(desk.post(Mail::Snapshot(Box::default())).is_ok(), "one question at a time");
}

fn answer(desk: &mut Desk, answered: &Arc<EventFd>) -> Box<Counters> {
    loop {
        match desk.answers.pop() {
            Ok(Answer::Snapshot(counters)) => return counters,
            Ok(Answer::Drained) => unreachable!("not asked for"),
            Err(_) => {
                answered.wait();
                answered.clear();
            }
        }
    }
}

fn snapshots_are_whole_and_never_run_back() {
    for wait in WAITS {
        check(move || {
            let (mut boxes, mut desks, answered) = mesh_of(1, 1).expect("no kernel, no error");
            let mailbox = boxes.pop().expect("one");
            let shard = thread::spawn(move || shard(mailbox, wait));
            let mut before = 0;
            for _ in 0..2 {
                ask(&mut desks[0]);
                let found = answer(&mut desks[0], &answered);
                assert!(found.received > before, "each answer comes from a later turn");
                before = found.received;
                assert_eq!((found.sent, found.latency_us.len()), (before, before), "torn");
            }
            assert!(desks[0].post(Mail::Stop).is_ok(), "there is room");
            shard.join().expect("no panic");
        });
    }
}

fn one_event_brings_the_answers_of_all_shards() {
    check(|| {
        let (boxes, mut desks, answered) = mesh_of(2, 1).expect("no kernel, no error");
        let shards = boxes.into_iter().zip(WAITS);
        let shards: Vec<_> =
            shards.map(|(mailbox, wait)| thread::spawn(move || shard(mailbox, wait))).collect();
        desks.iter_mut().for_each(ask);
        for desk in &mut desks {
            assert_eq!(answer(desk, &answered).received, 1);
        }
        desks.iter_mut().for_each(|desk| assert!(desk.post(Mail::Stop).is_ok(), "there is room"));
        shards.into_iter().for_each(|shard| shard.join().expect("no panic"));
    });
}
