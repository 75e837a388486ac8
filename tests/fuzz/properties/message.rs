//! One message: the index finds what a slow reading finds, and through two edges and back only what must change changes.
//!
//! Owns: the way of the message (phone, edge, second edge, backend, and its response the same way back), and what holds at
//! each step. The input is a datagram from a phone.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use sipedge::sip::core::Core;
use sipedge::sip::message::index::FIELDS_MAX;
use sipedge::sip::message::{Field, Index, Message, ParseError, StartLine};
use sipedge::sip::outbox::Outbox;
use sipedge::sip::route::table::{Listener, Parts, Table};
use sipedge::sip::{DropReason, ListenerId, MESSAGE_BYTES_MAX, Now, Received, Verdict};

use super::naive::{NAMES, index_agrees, split, try_split, watched_agrees};
use super::{changes, datagram, promises, world};

/// What our Via, two Record-Routes, Max-Forwards, `received` and `rport` may add to a request.
const GROWTH_BYTES_MAX: usize = 900;
const PHONE: &str = "203.0.113.7:40001";
/// The listener of the second edge; the first is that of `world::plain`.
const SECOND: &str = "192.0.2.2:5060";
const FIRST: &str = "192.0.2.1:5060";

pub(crate) fn check(bytes: &[u8]) {
    let bytes = datagram(bytes);
    let mut index = Index::default();
    let outcome = index.fill(bytes);
    // Filled again it holds the same: nothing is left of the message before.
    let again = index.clone();
    let _ = index.fill(b"OPTIONS sip:a SIP/2.0\r\nVia: x\r\nRoute: y\r\nv: z\r\n\r\nbody");
    assert_eq!(index.fill(bytes), outcome);
    assert_eq!(told(bytes, &index), told(bytes, &again));
    let is_start_line_read = !matches!(
        outcome,
        Err(ParseError::NotSip | ParseError::BadStatusLine(_) | ParseError::BadRequestLine(_))
    );
    if is_start_line_read {
        let is_well_formed = try_split(bytes).is_some_and(|split| split.known() <= FIELDS_MAX);
        assert_eq!(outcome.is_ok(), is_well_formed, "{outcome:?}: {}", bytes.escape_ascii());
    }
    if outcome.is_ok() {
        let message = Message { bytes, index: &index };
        let naive = split(bytes);
        index_agrees(bytes, &index, &naive);
        watched_agrees(bytes, &naive);
        assert_eq!(message.body(), naive.body);
        start_line_agrees(&message, naive.start_line);
        views_do_not_panic(&message);
    }
    through_two_edges(bytes, outcome);
}

/// What an index tells: start line, borders, fields. After an error, of what was read so far.
fn told(bytes: &[u8], index: &Index) -> Told {
    let message = Message { bytes, index };
    let borders = [message.fields_start(), message.fields_end(), message.body_start()];
    let fields = NAMES.iter().flat_map(|(_, _, name)| index.all(*name).copied()).collect();
    (message.start_line(), borders, fields)
}

type Told = (StartLine, [usize; 3], Vec<Field>);

fn start_line_agrees(message: &Message<'_>, line: &[u8]) {
    let bytes = message.bytes;
    match message.start_line() {
        StartLine::Request { method, uri, version } => {
            let words = [method.of(bytes), uri.of(bytes), version.of(bytes)];
            assert_eq!(words.join(&b' '), line, "{}", bytes.escape_ascii());
            assert!(words.iter().all(|word| !word.is_empty() && !word.contains(&b' ')));
        }
        StartLine::Status { code } => {
            let digits = std::str::from_utf8(&line[8..11]).expect("digits");
            assert_eq!(digits.parse(), Ok(code));
        }
    }
}

fn views_do_not_panic(message: &Message<'_>) {
    use sipedge::sip::message::FieldName::{
        Contact, ContentLength, From, MaxForwards, Path, RecordRoute, Route, To,
    };
    for name in [From, To] {
        if let Ok(found) = message.name_addr(name) {
            assert_eq!(message.name_addrs(name).next(), Some(Ok(found)));
        }
    }
    for name in [Contact, Route, RecordRoute, Path] {
        message.name_addrs(name).for_each(drop);
    }
    message.vias().for_each(drop);
    let _ = (message.cseq(), message.number(MaxForwards), message.number(ContentLength));
}

/// What was sent: its bytes and where to.
type Sent = (Vec<u8>, SocketAddr);

fn address(text: &str) -> SocketAddr {
    text.parse().expect("a literal address")
}

/// Two edges of one cluster; the backends of the first are the second.
fn tables() -> &'static [Arc<Table>; 2] {
    static TABLES: OnceLock<[Arc<Table>; 2]> = OnceLock::new();
    TABLES.get_or_init(|| {
        let mut first = world::plain();
        let balance = first.pools[0].clone();
        first.pools[0].backends.iter_mut().for_each(|backend| backend.address = address(SECOND));
        let bound = address(SECOND);
        let listener =
            Listener { address: bound, host: bound.ip().to_string(), ..first.listeners[0].clone() };
        let second = Parts { listeners: vec![listener], pools: vec![balance], ..first.clone() };
        [Arc::new(Table::new(first)), Arc::new(Table::new(second))]
    })
}

struct Edge {
    core: Core,
    outbox: Outbox,
}

impl Edge {
    fn new(place: usize) -> Self {
        Self { core: Core::new(Arc::clone(&tables()[place]), 1, 0), outbox: Outbox::new() }
    }

    fn handle(&mut self, bytes: &[u8], source: SocketAddr) -> (Verdict, Option<Sent>) {
        let received = Received::datagram(bytes, source, ListenerId(0));
        let verdict = self.core.handle(Now(1), &received, &mut self.outbox);
        if !matches!(verdict, Verdict::Forward | Verdict::Respond) {
            return (verdict, None);
        }
        let mut out = vec![0; MESSAGE_BYTES_MAX];
        let size = self.outbox.write_to(bytes, &mut out).expect("it fits");
        out.truncate(size);
        let to = self.outbox.transmit().expect("it goes somewhere").address();
        (verdict, Some((out, to)))
    }
}

fn through_two_edges(bytes: &[u8], outcome: Result<(), ParseError>) {
    let (mut first, mut second) = (Edge::new(0), Edge::new(1));
    let phone = address(PHONE);
    let (verdict, sent) = first.handle(bytes, phone);
    let Some((sent, to)) = sent else { return };
    match verdict {
        Verdict::Respond => return answer(bytes, &sent, to),
        _ => assert!(outcome.is_ok(), "broken, and forwarded: {}", bytes.escape_ascii()),
    }
    let naive = split(bytes);
    if naive.start_line[..4].eq_ignore_ascii_case(b"SIP/") {
        panic!("a response that nobody asked for: {}", bytes.escape_ascii());
    }
    forwarded(bytes, &sent, phone);
    // What one edge lets through, the next lets in.
    let (verdict, sent_on) = second.handle(&sent, address(FIRST));
    let shown = || format!("{verdict:?}: {}", sent.escape_ascii());
    match (verdict, sent_on) {
        (Verdict::Forward, Some((sent_on, _))) => {
            forwarded(&sent, &sent_on, address(FIRST));
            and_back(&mut first, &mut second, &sent_on, phone);
        }
        (Verdict::Respond, Some(_)) => {
            // No hops left; too large by now.
            let status = second.outbox.decision().status;
            assert!([483, 513].contains(&status) || to != address(SECOND), "{status} {}", shown());
        }
        (Verdict::Drop(DropReason::Oversized | DropReason::AckUnroutable), _) => {}
        _ => assert!(to != address(SECOND), "{}", shown()),
    }
}

fn forwarded(before: &[u8], after: &[u8], source: SocketAddr) {
    assert!(after.len() <= before.len() + GROWTH_BYTES_MAX);
    let mut index = Index::default();
    index.fill(after).unwrap_or_else(|e| panic!("{e:?}: {}", after.escape_ascii()));
    let (was, is) = (split(before), split(after));
    index_agrees(after, &index, &is);
    changes::request(&was, &is, source);
}

/// An answer of ours parses, is little larger than its request, and goes where the request came from.
fn answer(request: &[u8], answer: &[u8], to: SocketAddr) {
    assert_eq!(to.ip(), address(PHONE).ip());
    let lines = request.iter().filter(|&&b| b == b'\n').count();
    // Long names for compact ones and CRLF for LF cost a few bytes for each line.
    assert!(answer.len() <= request.len() + 200 + 14 * lines, "{}", answer.escape_ascii());
    let mut index = Index::default();
    let message = match Message::parse(answer, &mut index) {
        Ok(message) => message,
        // It repeats what we read of a request that had more fields than we read, and adds its own.
        Err(ParseError::TooManyFields) if lines > FIELDS_MAX => return,
        Err(e) => panic!("{e:?}: {}", answer.escape_ascii()),
    };
    assert!(matches!(message.start_line(), StartLine::Status { .. }));
    // A Via that breaks the grammar stands in the answer as it came, and the answer says 400.
    let is_blamed = answer.starts_with(b"SIP/2.0 400 ");
    assert!(matches!(message.vias().next(), Some(via) if via.is_ok() || is_blamed));
    assert!(message.body().is_empty());
}

/// The backend's answer takes the same way back, loses a Via at each edge, and reaches the phone.
fn and_back(first: &mut Edge, second: &mut Edge, request: &[u8], phone: SocketAddr) {
    let start = request.iter().take_while(|b| b"\r\n".contains(b)).count();
    let Some(response) = promises::response(&request[start..], "200 OK") else { return };
    let (verdict, sent) = second.handle(&response, address("10.0.0.1:5060"));
    let Some((sent, to)) = sent else {
        panic!("{verdict:?}, it did not come back: {}", response.escape_ascii());
    };
    assert_eq!(to, address(FIRST));
    changes::response(&split(&response), &split(&sent));
    let (verdict, received) = first.handle(&sent, address(SECOND));
    let Some((received, to)) = received else {
        panic!("{verdict:?}, it did not come back: {}", sent.escape_ascii());
    };
    assert_eq!(to.ip(), phone.ip());
    changes::response(&split(&sent), &split(&received));
    let copies = |bytes: &[u8]| changes::vias(&split(bytes)).len();
    assert_eq!(copies(&received) + 2, copies(request));
}
