//! A call against scripted responses.

use super::*;

const CALLER: &str = "127.0.0.1:7000";
const EDGE: &str = "127.0.0.1:5060";

fn plan() -> Plan {
    Plan {
        caller: CALLER.parse().expect("an address"),
        edge: EDGE.parse().expect("an address"),
        hold_ms: 1000..1001,
        gives_up_after: 64 * T1,
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The 200 of backend `b` to call 5, as text to be spoilt.
fn answer(method: &str) -> String {
    let request = match method {
        "INVITE" => invite(&plan(), 5),
        _ => head(&plan(), 5, method, "sip:b@127.0.0.1:9", "<sip:x@h>;tag=t").finish(),
    };
    let request = Message::parse(&request).expect("well-formed");
    let bytes = Writer::response(200, "OK", &request, "t")
        .field("Server", "sipedge-demo b")
        .field("Record-Route", format_args!("<sip:token@{EDGE};lr>"))
        .field("Contact", "<sip:b@127.0.0.1:9>")
        .finish();
    String::from_utf8(bytes).expect("text")
}

fn give(call: &mut Call, text: &str, now: Duration) -> Option<Outgoing> {
    let message = Message::parse(text.as_bytes()).expect("well-formed");
    call.handle(&plan(), &message, now)
}

#[test]
fn the_invite_is_whole_and_of_a_real_size() {
    let bytes = invite(&plan(), 5);
    let message = Message::parse(&bytes).expect("well-formed");
    assert_eq!(message.method(), Some("INVITE"));
    for field in ["Via", "Max-Forwards", "From", "To", "Call-ID", "CSeq", "Contact"] {
        assert!(message.field(field).is_some(), "{field}");
    }
    assert!(message.body_is_whole());
    assert!((600..1300).contains(&bytes.len()), "{} bytes", bytes.len());
    assert_ne!(call_id(1), call_id(2));
}

#[test]
fn a_call_runs_its_course() {
    let mut call = Call::new(&plan(), 5, ms(10), ms(12));
    let (ack, to) = give(&mut call, &answer("INVITE"), ms(15)).expect("an ACK");
    assert_eq!(to, plan().edge);
    let ack = Message::parse(&ack).expect("well-formed");
    assert_eq!(ack.method(), Some("ACK"));
    assert_eq!(ack.field("Route"), Some("<sip:token@127.0.0.1:5060;lr>"));
    assert_eq!(ack.cseq(), Some((1, "ACK")));
    assert_eq!(call.due(), Some(ms(1015)));
    assert!(call.handle_timeout(&plan(), ms(1014)).is_none());
    let (bye, _) = call.handle_timeout(&plan(), ms(1015)).expect("a BYE");
    assert!(bye.starts_with(b"BYE sip:b@127.0.0.1:9 SIP/2.0\r\n"));
    assert!(give(&mut call, &answer("BYE"), ms(1016)).is_none());
    let record = call.record();
    assert!(call.is_over() && record.completed());
    assert_eq!(record.latency, Some(ms(5)), "from the intended moment");
    assert_eq!((record.backend, record.ended_by), (Some(1), Some(1)));
    assert_eq!(record.retransmissions(), 0);
    assert_eq!(call.due(), None);
}

#[test]
fn an_invite_is_sent_again_and_given_up() {
    let mut call = Call::new(&plan(), 5, ms(0), ms(0));
    let mut sent = 1;
    while let Some(due) = call.due() {
        if let Some((bytes, _)) = call.handle_timeout(&plan(), due) {
            assert_eq!(bytes, invite(&plan(), 5), "a retransmission has the same bytes");
            sent += 1;
        }
    }
    // RFC 3261 17.1.1.2: at 0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5 seconds.
    assert_eq!(sent, 7);
    assert_eq!(call.record().failure, Some(Failure::InviteUnanswered));
    assert_eq!(call.record().retransmissions(), 6);
}

#[test]
fn a_bye_without_an_answer_fails() {
    let mut call = Call::new(&plan(), 5, ms(0), ms(0));
    give(&mut call, &answer("INVITE"), ms(1));
    while let Some(due) = call.due() {
        call.handle_timeout(&plan(), due);
    }
    assert_eq!(call.record().failure, Some(Failure::ByeUnanswered));
}

#[test]
fn a_repeated_200_gets_another_ack() {
    let mut call = Call::new(&plan(), 5, ms(0), ms(0));
    let first = give(&mut call, &answer("INVITE"), ms(1)).expect("an ACK");
    let second = give(&mut call, &answer("INVITE"), ms(501)).expect("an ACK");
    assert_eq!(first, second);
    assert_eq!((call.record().answers_seen, call.record().acks_sent), (2, 2));
    assert_eq!(call.due(), Some(ms(1001)), "the hold time does not start anew");
}

#[test]
fn refusals_fail_the_call() {
    let mut call = Call::new(&plan(), 5, ms(0), ms(0));
    give(&mut call, &answer("INVITE").replace("200 OK", "503 Service Unavailable"), ms(1));
    assert_eq!(call.record().failure, Some(Failure::InviteRefused(503)));

    let mut call = Call::new(&plan(), 5, ms(0), ms(0));
    give(&mut call, &answer("INVITE"), ms(1));
    call.handle_timeout(&plan(), ms(1001));
    give(&mut call, &answer("BYE").replace("200 OK", "481 Gone"), ms(1002));
    assert_eq!(call.record().failure, Some(Failure::ByeRefused(481)));
}

#[test]
fn an_incomplete_200_fails_the_call() {
    let spoil = |from: &str, to: &str| {
        let text = answer("INVITE");
        assert!(text.contains(from), "{from}");
        let mut call = Call::new(&plan(), 5, ms(0), ms(0));
        give(&mut call, &text.replacen(from, to, 1), ms(1));
        match call.record().failure {
            Some(Failure::ResponseIncomplete(what)) => what,
            other => panic!("{from}: {other:?}"),
        }
    };
    assert_eq!(spoil("Via: ", "Via: SIP/2.0/UDP h;branch=z, "), "not exactly one Via");
    assert_eq!(spoil("UDP 127.0.0.1:7000", "UDP 127.0.0.2:7000"), "the Via is not the caller's");
    assert_eq!(spoil(";tag=t\r\n", "\r\n"), "no tag in To");
    assert_eq!(spoil("Contact", "X"), "no Contact");
    assert_eq!(spoil("sipedge-demo b", "other"), "no Server field of a backend");
    assert_eq!(spoil("Record-Route", "X"), "the route does not lead to the edge");
    assert_eq!(
        spoil("Content-Length: 0", "Content-Length: 9"),
        "the body is not as long as Content-Length says"
    );
}
