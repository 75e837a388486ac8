//! Servers that answer nonsense, or nothing.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sipedge::control::resolve::look::{LOOK_TIME_MAX, look};
use sipedge::control::resolve::{Settings, State};

use crate::asker::{Asker, failure, hasty, lines, name};
use crate::server::{PATIENCE, Server, free_address};

/// Answers each question with what `answer` makes of it.
struct Liar {
    address: SocketAddr,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Liar {
    fn start(answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let address = socket.local_addr().expect("a bound socket");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a time");
        let end = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&end);
        let run = move || {
            let mut buffer = [0; 2_048];
            while !ended.load(Ordering::Relaxed) {
                let Ok((count, from)) = socket.recv_from(&mut buffer) else { continue };
                for bytes in answer(&buffer[..count]) {
                    let _ = socket.send_to(&bytes, from);
                }
            }
        };
        Self { address, end, thread: Some(std::thread::spawn(run)) }
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("a liar does not panic");
        }
    }
}

/// The question as a response, with these flags, these answers, and `rest` behind the question.
fn response(question: &[u8], flags: u8, answers: u8, rest: &[u8]) -> Vec<u8> {
    let end = 12 + question[12..].iter().position(|byte| *byte == 0).expect("a name") + 5;
    let mut bytes = question[..end].to_vec();
    bytes[2..4].copy_from_slice(&[0x84, flags]);
    bytes[4..12].copy_from_slice(&[0, 1, 0, answers, 0, 0, 0, 0]);
    bytes.extend_from_slice(rest);
    bytes
}

/// What `answer` leads to, when nobody else is asked: a failure, and no crash.
fn check(answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) {
    let liar = Liar::start(answer);
    let asker = Asker::start(&name("sip:pool.sip.test:5060"), &hasty(&[liar.address]));
    let outcome = asker.next();
    assert!(!failure(&outcome).is_empty(), "{outcome:?}");
}

#[test]
fn bytes_that_are_no_message() {
    check(|_| {
        vec![
            Vec::new(),
            vec![0],
            vec![0xff; 11],
            vec![0xff; 512],
            b"SIP/2.0 200 OK\r\n\r\n".to_vec(),
        ]
    });
}

#[test]
fn messages_cut_short_at_every_length() {
    check(|question| {
        let address = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 127, 0, 0, 1];
        let whole = response(question, 0, 1, &address);
        (0..whole.len()).map(|length| whole[..length].to_vec()).collect()
    });
}

#[test]
fn names_that_point_to_themselves_and_lengths_that_lie() {
    // The name of the answer begins at byte 31.
    let itself = [0xc0, 31, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 127, 0, 0, 1];
    check(move |question| vec![response(question, 0, 1, &itself)]);
    let too_long = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0xff, 0xff, 127, 0, 0, 1];
    check(move |question| vec![response(question, 0, 1, &too_long)]);
    check(|question| vec![response(question, 0, 255, &[])]);
}

#[test]
fn answers_to_other_questions() {
    let address = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 127, 0, 0, 1];
    check(move |question| {
        let mut other_id = response(question, 0, 1, &address);
        other_id[0] ^= 0xff;
        let mut other_name = response(question, 0, 1, &address);
        other_name[13] ^= 1;
        vec![other_id, other_name]
    });
}

#[test]
fn refusals_are_told_by_their_names() {
    let liar = Liar::start(|question| vec![response(question, 2, 0, &[])]);
    let asker = Asker::start(&name("sip:pool.sip.test:5060"), &hasty(&[liar.address]));
    let outcome = asker.next();
    assert!(failure(&outcome).contains("Server Failure"), "{outcome:?}");
}

/// A resolver that knows addresses only: the name has no NAPTR and no SRV, then.
#[test]
fn a_small_resolver_that_implements_little_will_do() {
    let address = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 127, 0, 0, 1];
    let liar = Liar::start(move |question| {
        let end = 12 + question[12..].iter().position(|byte| *byte == 0).expect("a name") + 1;
        let is_a = question[end..end + 2] == [0, 1];
        vec![if is_a { response(question, 0, 1, &address) } else { response(question, 4, 0, &[]) }]
    });
    let asker = Asker::start(&name("sip:pool.sip.test"), &hasty(&[liar.address]));
    assert_eq!(lines(&asker.next()), ["0 127.0.0.1:5060 65536"]);
}

#[test]
fn another_server_helps_where_one_is_dead_or_lies() {
    let Some(server) = Server::start("pool A 127.0.0.1") else { return };
    let liar = Liar::start(|question| vec![vec![0; 20], response(question, 2, 0, &[])]);
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a port");
    for bad in [free_address(), liar.address, silent.local_addr().expect("a bound socket")] {
        let settings = hasty(&[bad, server.address()]);
        let asker = Asker::start(&name("sip:pool.sip.test"), &settings);
        let outcome = asker.until(|outcome| outcome.state == State::Fresh);
        assert_eq!(lines(&outcome), ["0 127.0.0.1:5060 65536"], "{bad}");
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the promise is a time")]
fn looking_once_ends_in_time_whatever_the_server_does() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let servers = vec![silent.local_addr().expect("a bound socket")];
    let names = ["a", "b", "c"].map(|host| name(&format!("sip:{host}.sip.test")));
    let started = Instant::now();
    let known = look(&names.clone().into(), &Settings { servers, ..Settings::default() });
    assert!(started.elapsed() < LOOK_TIME_MAX + PATIENCE / 2, "{:?}", started.elapsed());
    for name in &names {
        let outcome = known.outcome(name).expect("an outcome for each");
        assert!(failure(outcome).contains("no answer"), "{outcome:?}");
    }
}
