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
        counters.on_sent(0, 40, 1);
        while let Some(mail) = mailbox.take_letter() {
            match mail {
                Mail::Snapshot(mut copy) => {
                    copy.copy_from(&counters);
                    mailbox.answer(Answer::Snapshot(copy));
                }
                Mail::Drain => mailbox.answer(Answer::Drained),
                Mail::Stop => return,
                Mail::Install(_) | Mail::Send(_) | Mail::Trace(_) => unreachable!("not sent here"),
            }
        }
    }
}

fn post(desk: &mut Desk, mail: Mail) {
    assert!(desk.post(mail).is_ok(), "one question at a time, and one end");
}

fn answer(desk: &mut Desk, answered: &Arc<EventFd>) -> Answer {
    loop {
        if let Ok(answer) = desk.answers.pop() {
            return answer;
        }
        answered.wait();
        answered.clear();
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
                post(&mut desks[0], Mail::Snapshot(Box::default()));
                let Answer::Snapshot(found) = answer(&mut desks[0], &answered) else {
                    panic!("another answer");
                };
                assert!(found.received >= before.max(1), "ran back");
                before = found.received;
                let parts = (found.sent, found.latency_us.len());
                assert_eq!(parts, (found.received, found.received), "torn");
            }
            post(&mut desks[0], Mail::Stop);
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
        desks.iter_mut().for_each(|desk| post(desk, Mail::Drain));
        for desk in &mut desks {
            assert!(matches!(answer(desk, &answered), Answer::Drained), "another answer");
        }
        desks.iter_mut().for_each(|desk| post(desk, Mail::Stop));
        shards.into_iter().for_each(|shard| shard.join().expect("no panic"));
    });
}
