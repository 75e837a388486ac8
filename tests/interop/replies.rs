//! Stateless replies of our own, replies on their way back, and datagrams that are large, odd or no message.
//!
//! A vector of a reply starts in the middle: the request that it answers is made from it.

use std::collections::BTreeMap;

use sipedge::sip::{DropReason, Verdict};

use crate::edge::{Edge, Ours, Shape, decremented, without};
use crate::forward::file;
use crate::vector::{Vector, address, differs, group, later, replay, same};

fn replying() -> Shape {
    Shape { reply: Some(200), ..Shape::default() }
}

/// The fields of an answer by name, without what may differ: Kamailio's Server, its Record-Route, the To tag, and the
/// order of the parameters of a Via.
fn fields(answer: &str) -> BTreeMap<String, Vec<String>> {
    let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in answer.lines().skip(1).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").expect("a field");
        let value = match name {
            "Server" | "Record-Route" => continue,
            "Via" => {
                let mut parts: Vec<&str> = value.split(';').collect();
                parts[1..].sort_unstable();
                parts.join(";")
            }
            "To" => value.split(";tag=").next().expect("text").to_owned(),
            _ => value.to_owned(),
        };
        fields.entry(name.to_owned()).or_default().push(value);
    }
    fields
}

fn to_tag(answer: &str) -> &str {
    let to = answer.lines().find(|line| line.starts_with("To: ")).expect("a To");
    to.split_once(";tag=").expect("a tag").1
}

/// Status, fields and target are Kamailio's.
pub(crate) fn check_answer(vector: &Vector<'_>, shape: &Shape) {
    let sent = Edge::new(shape).answer(vector);
    assert_eq!(sent.text.lines().next(), vector.out().lines().next(), "{}", vector.case());
    assert_eq!(fields(&sent.text), fields(vector.out()), "{}", vector.case());
    assert_eq!(sent.to, vector.address("out_to"), "{}", vector.case());
    assert_eq!(sent.from, vector.address("out_from"), "{}", vector.case());
    assert!(!to_tag(&sent.text).is_empty());
    if !to_tag(vector.out()).contains('.') {
        assert_eq!(to_tag(&sent.text), to_tag(vector.out()), "a tag that was there stays");
    }
}

fn check_same(vector: &Vector<'_>) {
    check_answer(vector, &replying());
}

#[test]
fn stateless_replies() {
    const DIALOG: &str =
        "no Record-Route: answers of the edge start no dialog (RFC 3261 12.1.1 wants it of a UAS)";
    let with_route = |vector: &Vector<'_>| {
        check_answer(vector, &replying());
        assert!(vector.out().contains("\r\nRecord-Route: "));
        assert!(!Edge::new(&replying()).answer(vector).text.contains("Record-Route"));
    };
    let rows = [
        same("stateless reply 200", 1),
        same("stateless reply 200 with rport", 1),
        same("stateless reply, Via address differs, no rport", 1),
        same("To tag of stateless replies is stable for the same call", 1),
        differs(
            "stateless reply with force_rport",
            1,
            "RFC 3581 4: only who asks gets an rport; else it goes to the port of the Via",
            |vector| {
                let sent = Edge::new(&replying()).answer(vector);
                assert_eq!(sent.to, address("203.0.113.7:5060"));
                assert!(!sent.text.contains("rport"), "{}", sent.text);
                let recorded = vector.out().replace(";rport=40001", "");
                assert_eq!(fields(&sent.text), fields(&recorded));
            },
        ),
        differs(
            "stateless reply to a request with a To tag and Record-Route",
            1,
            DIALOG,
            with_route,
        ),
        differs(
            "stateless reply to a dialog-forming request with Record-Route",
            1,
            DIALOG,
            with_route,
        ),
    ];
    replay(&group(&file(), "stateless_replies"), &rows, check_same);
}

/// Equal To tags there are equal here; and an ACK with ours is for us, in another edge with the same key too.
#[test]
fn to_tags_are_stable_and_known_again() {
    let file = file();
    let vectors = group(&file, "stateless_replies");
    let mut tags = BTreeMap::new();
    for vector in vectors.iter().filter(|vector| vector.input().starts_with("OPTIONS")) {
        let sent = Edge::new(&replying()).answer(vector);
        let known =
            tags.entry(to_tag(vector.out()).to_owned()).or_insert(to_tag(&sent.text).to_owned());
        assert_eq!(known, to_tag(&sent.text), "{}", vector.case());
    }
    assert!(tags.len() >= 4);

    let invite =
        vectors.iter().find(|vector| vector.input().starts_with("INVITE")).expect("INVITE");
    let tag = to_tag(&Edge::new(&replying()).answer(invite).text).to_owned();
    let ack = |tag: &str| {
        let text = invite.input().replace("INVITE", "ACK");
        text.replace("To: <sip:bob@example.com>", &format!("To: <sip:bob@example.com>;tag={tag}"))
    };
    let mut edge = Edge::new(&Shape::default());
    let verdict = edge.handle(&ack(&tag), invite.source(), invite.address("to")).err();
    assert_eq!(verdict, Some(Verdict::Absorb));
    let foreign = edge.handle(&ack("uas1"), invite.source(), invite.address("to"));
    assert!(foreign.is_ok_and(|sent| !sent.is_answer));
}

/// A request whose reply the recorded one could be: its Vias are those below the top one.
fn request_for(reply: &str) -> String {
    let mut text = String::from("INVITE sip:bob@example.com SIP/2.0\r\nMax-Forwards: 70\r\n");
    let mut is_top = true;
    for line in reply.split_inclusive('\n').skip(1) {
        match line.split_once(": ") {
            Some(("Via", value)) if std::mem::take(&mut is_top) => {
                if let Some((_, below)) = value.split_once(", ") {
                    text += &format!("Via: {below}");
                }
            }
            Some(("To", value)) => {
                text += &format!("To: {}\r\n", value.split(';').next().expect("text"))
            }
            _ => text += line,
        }
    }
    text
}

/// The recorded reply with our Via for Kamailio's; as it stands nobody asked for it, and it is dropped.
fn check_reply(vector: &Vector<'_>) {
    let (next_hop, socket) = (vector.source(), vector.address("to"));
    let mut edge = Edge::new(&Shape::default());
    let verdict = edge.handle(vector.input(), next_hop, socket).err();
    assert_eq!(verdict, Some(Verdict::Drop(DropReason::ResponseViaForged)), "{}", vector.case());

    let request = request_for(vector.input());
    let sent = edge.handle(&request, vector.address("out_to"), socket).expect("forwarded");
    assert!(!sent.is_answer, "{}", sent.text);
    let via = Ours::new(&sent.text).via;
    let via = via.strip_prefix("Via: ").expect("ours").trim_end();
    let theirs = "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx.y.0";
    let reply = vector.input().replace(theirs, via);
    assert_ne!(reply, vector.input());
    let back = edge.handle(&reply, next_hop, socket);
    let back = back.unwrap_or_else(|verdict| panic!("{verdict:?}: {}", vector.case()));
    assert_eq!(back.text, vector.out(), "{}", vector.case());
    assert_eq!(back.to, vector.address("out_to"), "{}", vector.case());
}

fn check_dropped(vector: &Vector<'_>, reason: DropReason) {
    let mut edge = Edge::new(&Shape::default());
    let verdict = edge.handle(vector.input(), vector.source(), vector.address("to")).err();
    assert_eq!(verdict, Some(Verdict::Drop(reason)), "{}", vector.case());
}

#[test]
fn replies_on_their_way_back() {
    let rows = [
        same("topmost Via removed, sent to second Via", 1),
        same("second Via received+rport used", 1),
        same("both Vias in one header", 1),
        same("rport without received: port used with the Via host", 1),
        same("three Vias", 1),
        differs(
            "topmost Via is not ours: still forwarded (check_via default 0)",
            1,
            "RFC 3261 18.1.2: a response that we have not asked for is discarded, or anybody could aim us at others",
            |vector| check_dropped(vector, DropReason::ResponseViaForeign),
        ),
        differs(
            "only one Via: dropped",
            1,
            "the same, with the reason that is counted",
            |vector| {
                assert_eq!(vector.find("out"), None);
                check_dropped(vector, DropReason::ResponseViaLast);
            },
        ),
    ];
    replay(&group(&file(), "reply_forward"), &rows, check_reply);
}

/// The bytes of a datagram are not all recorded; what came out shows what went in.
fn check_datagram(vector: &Vector<'_>) {
    let is_theirs = |line: &str| line.starts_with("Via: SIP/2.0/UDP 192.0.2.1;branch=");
    let input = without(vector.out(), 1, is_theirs);
    let mut edge = Edge::new(&Shape::default());
    let source = address("198.51.100.10:5060");
    let sent = edge.handle(&input, source, address("192.0.2.1:5060")).expect("forwarded");
    assert!(!sent.is_answer, "{}", sent.text);
    let line_end = if input.contains("\r\n") { "\r\n" } else { "\n" };
    let expected = decremented(&input).replace("69\r\n", &format!("69{line_end}"));
    assert_eq!(Ours::new(&sent.text).rest, expected);
    assert_eq!(sent.to, address("198.51.100.20:5060"));
}

fn check_no_message(vector: &Vector<'_>) {
    let (bytes, expected) = match vector.input() {
        r"b'\r\n'" => ("\r\n", Verdict::Absorb),
        r"b'\r\n\r\n'" => ("\r\n\r\n", Verdict::Absorb),
        r"b'\x00'" => ("\0", Verdict::Drop(DropReason::NotSip)),
        r"b'\x00\x00\x00\x00'" => ("\0\0\0\0", Verdict::Drop(DropReason::NotSip)),
        "b'HELLO'" => ("HELLO", Verdict::Drop(DropReason::NotSip)),
        other => panic!("{other}"),
    };
    assert_eq!(vector.find("out"), None);
    let mut edge = Edge::new(&Shape::default());
    let source = address("198.51.100.10:5060");
    let verdict = edge.handle(bytes, source, address("192.0.2.1:5060")).err();
    assert_eq!(verdict, Some(expected), "{}", vector.case());
}

/// `UDP datagram of N bytes`: it is forwarded, ours longer by our Via alone.
fn check_large(vector: &Vector<'_>) {
    let size: usize = vector.case().split(' ').nth(3).expect("N").parse().expect("a number");
    let head = "OPTIONS sip:fwd@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bKbig\r\n\
                Max-Forwards: 70\r\nTo: <sip:bob@example.com>\r\nFrom: <sip:alice@example.com>;tag=1\r\n\
                Call-ID: big\r\nCSeq: 1 OPTIONS\r\n\r\n";
    let input = format!("{head}{}", "x".repeat(size - head.len()));
    let mut edge = Edge::new(&Shape::default());
    let source = address("198.51.100.10:5060");
    let sent = edge.handle(&input, source, address("192.0.2.1:5060")).expect("forwarded");
    assert!(!sent.is_answer, "{}", vector.case());
    let ours = Ours::new(&sent.text);
    assert_eq!(sent.text.len(), size + ours.via.len());
}

#[test]
fn streams_and_datagrams() {
    const TCP: &str = "streams come later: this build forwards UDP";
    let rows = [
        later("TCP in*", 10, TCP),
        later("second request on the same connection: same i", 1, TCP),
        later("request on a second connection: other i", 1, TCP),
        later("UDP in*", 4, TCP),
        later("reply over that TCP connection goes back over UDP", 1, TCP),
        later("double CRLF*", 2, TCP),
        later("single CRLF on TCP", 1, TCP),
        later("four CRLFs on TCP", 1, TCP),
        later("two pipelined requests in one segment", 1, TCP),
        later("request split over two segments", 1, TCP),
        later("body shorter than Content-Length: waits", 1, TCP),
        later("... then the missing byte", 1, TCP),
        later("compact content length", 1, TCP),
        later("no Content-Length on TCP", 1, TCP),
        later("unparsable Content-Length on TCP", 1, TCP),
        later("huge Content-Length on TCP", 1, TCP),
        later("garbage*", 2, TCP),
        same("UDP datagram: leading CRLF then request", 1),
        same("UDP datagram: LF-only line ends", 1),
        differs(
            "UDP datagram: CRLF",
            1,
            "the same, with the verdict that is counted",
            check_no_message,
        ),
        differs("UDP datagram: CRLFCRLF", 1, "the same: no pong on UDP", check_no_message),
        differs("UDP datagram: 4 zero bytes", 1, "the same, with the reason", check_no_message),
        differs("UDP datagram: one zero byte", 1, "the same, with the reason", check_no_message),
        differs(
            "UDP datagram: short text (<20 bytes)",
            1,
            "not by its size, but as no SIP",
            check_no_message,
        ),
        differs(
            "UDP datagram of *",
            3,
            "the bytes are not recorded, only their number",
            check_large,
        ),
    ];
    replay(&group(&file(), "tcp"), &rows, check_datagram);
}
