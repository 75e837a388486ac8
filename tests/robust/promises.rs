//! What must hold for any bytes.
//!
//! Owns: the promises: whatever we send parses, is bounded, equals its edits, and goes to a backend, along a token of
//! ours, back to the source, or to the target that was sealed into our Via; only a backend may name another address.

use std::net::IpAddr;

use sipedge::sip::message::{FieldName, Index, Message, StartLine};
use sipedge::sip::{Flow, ListenerId, Verdict};

use super::world::{Input, Sent, World};

/// What our Via, two Record-Routes, Max-Forwards, received and rport may add.
const GROWTH_BYTES_MAX: usize = 900;
/// The largest UDP payload over IPv4.
const DATAGRAM_BYTES_MAX: usize = 65_507;

pub(crate) fn show(input: &Input) -> String {
    let head = &input.bytes[..input.bytes.len().min(3_000)];
    format!("from {} on {}:\n{}", input.source, input.listener, head.escape_ascii())
}

pub(crate) fn check(world: &mut World, input: &Input, verdict: Verdict, sent: Option<&Sent>) {
    let Some(sent) = sent else { return };
    let shown =
        || format!("{}\n\nsent to {}:\n{}", show(input), sent.to, sent.bytes.escape_ascii());
    parses(world, verdict, sent, &shown);
    assert!(sent.bytes.len() <= DATAGRAM_BYTES_MAX, "{}", shown());
    let is_response = input.bytes.trim_ascii_start().get(..4) == Some(b"SIP/");
    let flow = Flow::Datagram { listener: ListenerId(input.listener), remote: input.source };
    let from_backend = world.table().peer(flow).backend.is_some();
    let is_known = |to| world.backends.contains(to) || world.flows.contains(to);
    match verdict {
        Verdict::Respond => {
            assert_eq!(sent.to.ip(), input.source.ip(), "{}", shown());
            assert_eq!(sent.listener, input.listener, "{}", shown());
            // Long names for compact ones and CRLF for LF cost a few bytes for each line.
            let lines = input.bytes.iter().filter(|&&b| b == b'\n').count();
            assert!(sent.bytes.len() <= input.bytes.len() + 200 + 14 * lines, "{}", shown());
        }
        _ if is_response => {
            assert!(sent.bytes.len() < input.bytes.len(), "a Via less: {}", shown());
            assert!(world.targets.contains(&sent.to), "no target of ours: {}", shown());
        }
        _ => {
            assert!(sent.bytes.len() <= input.bytes.len() + GROWTH_BYTES_MAX, "{}", shown());
            if from_backend && !is_known(&sent.to) {
                assert!(names(input, sent.to.ip()), "nobody named it: {}", shown());
                world.flows.insert(sent.to);
            } else {
                assert!(is_known(&sent.to), "an open relay: {}", shown());
            }
            let is_ours = world.table().is_own_address(sent.to.ip(), sent.to.port().into());
            assert!(!is_ours, "to ourselves: {}", shown());
            equals_its_edits(world, input, sent, &shown);
            seal(world, input);
        }
    }
}

/// What goes out besides: to a backend, or an answer of ours to who asked. No larger than what is held and what we add.
pub(crate) fn check_extra(world: &World, sent: &Sent) {
    let shown = || format!("besides, to {}:\n{}", sent.to, sent.bytes.escape_ascii());
    let held_bytes_max = world.table().limits.held_bytes_max;
    assert!(sent.bytes.len() <= held_bytes_max + GROWTH_BYTES_MAX, "{}", shown());
    if sent.bytes.starts_with(b"SIP/") {
        assert!(sent.bytes.starts_with(b"SIP/2.0 408 "), "{}", shown());
        parses(world, Verdict::Respond, sent, &shown);
        let is_source = world.flows.iter().any(|flow| flow.ip() == sent.to.ip());
        assert!(is_source, "nobody asked: {}", shown());
    } else {
        parses(world, Verdict::Forward, sent, &shown);
        assert!(world.backends.contains(&sent.to), "an open relay: {}", shown());
    }
}

fn parses(world: &World, verdict: Verdict, sent: &Sent, shown: &dyn Fn() -> String) {
    let mut index = Index::default();
    let message = Message::parse(&sent.bytes, &mut index);
    let message = message.unwrap_or_else(|error| panic!("{error:?}: {}", shown()));
    let is_request = matches!(message.start_line(), StartLine::Request { .. });
    assert!(verdict != Verdict::Respond || !is_request, "{}", shown());
    let top = message.vias().next();
    // A Via that breaks the grammar stands in the answer as it came, and the answer says 400 (RFC 3261 18.1.1).
    let is_blamed = verdict == Verdict::Respond && sent.bytes.starts_with(b"SIP/2.0 400 ");
    if is_blamed && matches!(top, Some(Err(_))) {
        return;
    }
    let top = top.and_then(Result::ok).unwrap_or_else(|| panic!("no Via: {}", shown()));
    if is_request {
        assert!(world.table().is_own(top.host.of(&sent.bytes), top.port), "{}", shown());
        assert!(message.name_addrs(FieldName::Route).all(|route| route.is_ok()), "{}", shown());
        assert!(!message.index.repeated().has(FieldName::MaxForwards), "{}", shown());
        assert!(message.index.present().has(FieldName::MaxForwards), "{}", shown());
    }
}

fn equals_its_edits(world: &World, input: &Input, sent: &Sent, shown: &dyn Fn() -> String) {
    let (mut at, mut built) = (0, Vec::new());
    for (start, deleted, inserted) in world.outbox.edits(&input.bytes) {
        assert!(start >= at, "edits overlap: {}", shown());
        built.extend_from_slice(&input.bytes[at..start]);
        built.extend_from_slice(inserted);
        at = start + deleted;
    }
    built.extend_from_slice(&input.bytes[at..]);
    assert_eq!(built, sent.bytes, "{}", shown());
}

/// Where the response to this request may go: back to its source, to the port that its Via asks for.
fn seal(world: &mut World, input: &Input) {
    let mut index = Index::default();
    let Ok(message) = Message::parse(&input.bytes, &mut index) else { return };
    let Some(Ok(via)) = message.vias().next() else { return };
    let port = match via.port.and_then(|port| u16::try_from(port).ok()) {
        _ if via.rport_parameter.is_some() => input.source.port(),
        Some(port) => port,
        None => 5060,
    };
    world.targets.insert((input.source.ip(), port).into());
}

/// The address stands in the message, in whatever spelling IPv6 allows.
fn names(input: &Input, ip: IpAddr) -> bool {
    let text = ip.to_string();
    let is_of_address = |b: &u8| b.is_ascii_hexdigit() || b":.".contains(b);
    let mut words = input.bytes.split(|b| !is_of_address(b));
    let is_it = |word: &[u8]| std::str::from_utf8(word).is_ok_and(|word| word.parse() == Ok(ip));
    input.bytes.windows(text.len()).any(|window| window == text.as_bytes()) || words.any(is_it)
}

/// Our URIs in Record-Route and Path, with brackets, and our Via values.
pub(crate) fn own_pieces(bytes: &[u8]) -> Vec<Vec<u8>> {
    let is_ours = |line: &&[u8]| line.windows(3).any(|window| window == b"~e~") && line.len() < 300;
    let value = |line: &[u8]| {
        let value = match line.iter().position(|&b| b == b'<') {
            Some(open) => &line[open..],
            None => line.splitn(2, |&b| b == b':').nth(1)?,
        };
        Some(value.trim_ascii().to_vec())
    };
    bytes.split(|&b| b == b'\n').skip(1).filter(is_ours).filter_map(value).collect()
}

/// What a peer would answer.
pub(crate) fn response(request: &[u8], status: &str) -> Option<Vec<u8>> {
    let end = request.iter().position(|&b| b == b'\n')?;
    (!request.starts_with(b"SIP/")).then(|| {
        let fields = request[end + 1..].to_vec();
        [format!("SIP/2.0 {status}\r\n").into_bytes(), fields].concat()
    })
}

/// A BYE along the Record-Routes and Paths of a request: they become Routes, and To gets a tag.
pub(crate) fn in_dialog(request: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(request).ok()?;
    let text = text.replace("Record-Route:", "Route:").replace("Path:", "Route:");
    let text = text.replace("To: <sip:bob@example.com>\r", "To: <sip:bob@example.com>;tag=b\r");
    Some(text.replacen("INVITE ", "BYE ", 1).replace("1 INVITE", "2 BYE").into_bytes())
}
