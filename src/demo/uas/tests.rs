//! What a demo backend answers and what it writes into its book.

use super::*;

const SOURCE: &str = "127.0.0.1:5060";

fn request(method: &str, branch: &str, call_id: &str, to_tag: Option<&str>) -> Vec<u8> {
    let to = to_tag.map_or_else(String::new, |tag| format!(";tag={tag}"));
    Writer::request(method, "sip:b@127.0.0.1:9")
        .field("Via", format_args!("SIP/2.0/UDP 127.0.0.1:5060;branch={branch}"))
        .field("Record-Route", "<sip:t@127.0.0.1:5060;lr>")
        .field("From", "<sip:a@127.0.0.1>;tag=1")
        .field("To", format_args!("<sip:b@127.0.0.1>{to}"))
        .field("Call-ID", call_id)
        .field("CSeq", format_args!("1 {method}"))
        .finish()
}

struct Bench {
    answerer: Answerer,
    source: SocketAddr,
}

impl Bench {
    fn new() -> Self {
        let source = SOURCE.parse().expect("an address");
        Self { answerer: Answerer::new(1, source), source }
    }

    /// The statuses of the responses to a request at a time.
    fn send(&mut self, bytes: &[u8], now: Duration) -> Vec<u16> {
        let mut responses = Vec::new();
        self.answerer.handle(bytes, self.source, now, &mut responses);
        let status =
            |bytes: &Vec<u8>| Message::parse(bytes).and_then(|m| m.status()).expect("a response");
        responses.iter().map(status).collect()
    }
}

#[test]
fn a_call_is_answered_and_booked() {
    let mut bench = Bench::new();
    let now = Duration::ZERO;
    assert_eq!(bench.send(&request("INVITE", "z1", "c", None), now), [180, 200]);
    assert!(bench.send(&request("ACK", "z2", "c", Some("t")), now).is_empty());
    assert_eq!(bench.send(&request("BYE", "z3", "c", Some("t")), now), [200]);
    let book = &bench.answerer.book;
    let seen = &book.calls["c"];
    assert_eq!((seen.invites, seen.acks, seen.byes, seen.answers_sent), (1, 1, 1, 1));
    assert_eq!((book.requests, book.duplicates, book.stray), (3, 0, 0));
}

#[test]
fn the_response_carries_the_route_and_names_the_backend() {
    let mut bench = Bench::new();
    let mut responses = Vec::new();
    let invite = request("INVITE", "z1", "c", None);
    bench.answerer.handle(&invite, bench.source, Duration::ZERO, &mut responses);
    for bytes in &responses {
        let response = Message::parse(bytes).expect("a response");
        assert_eq!(response.field("Record-Route"), Some("<sip:t@127.0.0.1:5060;lr>"));
        assert_eq!(response.field("Server"), Some("sipedge-demo b"));
        assert!(response.field("Contact").is_some() && response.body_is_whole());
        assert!(response.field("To").and_then(|to| parameter(to, "tag")).is_some());
    }
}

#[test]
fn a_repeated_request_is_a_duplicate_and_a_new_branch_a_second_transaction() {
    let mut bench = Bench::new();
    let now = Duration::ZERO;
    bench.send(&request("INVITE", "z1", "c", None), now);
    assert_eq!(bench.send(&request("INVITE", "z1", "c", None), now), [180, 200]);
    assert_eq!(bench.answerer.book.duplicates, 1);
    assert_eq!(bench.answerer.book.calls["c"].transactions("INVITE"), 1);
    bench.send(&request("INVITE", "z9", "c", None), now);
    assert_eq!(bench.answerer.book.duplicates, 1);
    assert_eq!(bench.answerer.book.calls["c"].transactions("INVITE"), 2);
}

#[test]
fn what_did_not_start_here_is_stray() {
    let mut bench = Bench::new();
    let now = Duration::ZERO;
    assert_eq!(bench.send(&request("BYE", "z1", "c", Some("t")), now), [481]);
    assert!(bench.send(&request("ACK", "z2", "c", Some("t")), now).is_empty());
    assert_eq!(bench.send(&request("INVITE", "z3", "c", Some("t")), now), [481]);
    assert_eq!(bench.send(&request("CANCEL", "z4", "c", None), now), [481]);
    assert_eq!(bench.send(&request("OPTIONS", "z5", "o", None), now), [200]);
    assert!(bench.send(b"garbage", now).is_empty());
    let book = &bench.answerer.book;
    assert_eq!((book.stray, book.unreadable, book.calls.len()), (4, 1, 0));
}

#[test]
fn a_200_is_sent_again_until_its_ack() {
    let mut bench = Bench::new();
    bench.send(&request("INVITE", "z1", "c", None), Duration::ZERO);
    let half = T1 / 2;
    assert_eq!(bench.answerer.handle_timeout(half).len(), 0);
    assert_eq!(bench.answerer.handle_timeout(T1).len(), 1);
    // The interval doubles (RFC 3261 13.3.1.4).
    assert_eq!(bench.answerer.handle_timeout(T1 * 2).len(), 0);
    assert_eq!(bench.answerer.handle_timeout(T1 * 3).len(), 1);
    assert_eq!(bench.answerer.book.calls["c"].answers_sent, 3);
    bench.send(&request("ACK", "z2", "c", Some("t")), T1 * 4);
    assert_eq!(bench.answerer.handle_timeout(T1 * 60).len(), 0);
}

#[test]
fn a_200_that_is_never_acknowledged_ends() {
    let mut bench = Bench::new();
    bench.send(&request("INVITE", "z1", "c", None), Duration::ZERO);
    assert_eq!(bench.answerer.handle_timeout(T1 * 64).len(), 0);
}
