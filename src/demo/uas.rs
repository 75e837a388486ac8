//! A demo backend: a small user agent server that answers calls and keeps a book of what it saw.
//!
//! Owns: the answers (RFC 3261 8.2, 13.3), the retransmission of a 200 until its ACK, and the book that the
//! promises are checked against. Knows nothing of the edge: it answers to where a request came from.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::clock::Clock;
use super::message::{Message, Writer, parameter, session_description};
use super::{DATAGRAM_BYTES_MAX, T1, T2, bind_loopback, name_of};

/// How long the thread waits for a datagram before it looks at its timers.
const WAIT: Duration = Duration::from_millis(20);

/// What one backend saw of one call.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// INVITEs, retransmissions included.
    pub(super) invites: u32,
    /// ACKs, retransmissions included.
    pub(super) acks: u32,
    /// BYEs, retransmissions included.
    pub(super) byes: u32,
    /// 200s to the INVITE that were sent, retransmissions included.
    pub(super) answers_sent: u32,
    /// Each (method, branch) that was seen. A retransmission carries the branch that it had before.
    pub(super) branches: Vec<(String, String)>,
}

impl Seen {
    /// How many transactions of this method the call had here; more than one means that it was forked.
    pub(super) fn transactions(&self, method: &str) -> usize {
        self.branches.iter().filter(|(seen, _)| seen == method).count()
    }

    /// Notes a branch; false when it was there before.
    pub(super) fn note(&mut self, method: &str, branch: &str) -> bool {
        let new = !self.branches.iter().any(|(m, b)| m == method && b == branch);
        if new {
            self.branches.push((method.to_owned(), branch.to_owned()));
        }
        new
    }
}

/// What one backend saw.
#[derive(Debug, Clone, Default)]
pub(super) struct Book {
    /// By Call-ID.
    pub(super) calls: HashMap<String, Seen>,
    /// All requests.
    pub(super) requests: u64,
    /// Requests that were there before: same method, same branch.
    pub(super) duplicates: u64,
    /// Requests of a dialog that did not start here.
    pub(super) stray: u64,
    /// Datagrams that could not be read, or were no request.
    pub(super) unreadable: u64,
}

/// The 200 of a call that waits for its ACK (RFC 3261 13.3.1.4).
#[derive(Debug)]
struct Unacknowledged {
    bytes: Vec<u8>,
    destination: SocketAddr,
    due: Duration,
    interval: Duration,
    gives_up: Duration,
}

/// The answering half, without a socket: requests and times in, responses out.
#[derive(Debug)]
struct Answerer {
    name: char,
    server: String,
    contact: String,
    book: Book,
    unacknowledged: HashMap<String, Unacknowledged>,
}

impl Answerer {
    fn new(index: usize, address: SocketAddr) -> Self {
        let name = name_of(index);
        Self {
            name,
            server: format!("sipedge-demo {name}"),
            contact: format!("<sip:{name}@{address}>"),
            book: Book::default(),
            unacknowledged: HashMap::new(),
        }
    }

    /// Takes a datagram and pushes the responses to it.
    fn handle(
        &mut self,
        bytes: &[u8],
        source: SocketAddr,
        now: Duration,
        responses: &mut Vec<Vec<u8>>,
    ) {
        let parsed = Message::parse(bytes);
        let Some((request, method, call_id, branch)) = parsed.as_ref().and_then(|message| {
            let branch = parameter(message.values("Via").first()?, "branch")?;
            Some((message, message.method()?, message.field("Call-ID")?, branch))
        }) else {
            self.book.unreadable += 1;
            return;
        };
        self.book.requests += 1;
        if method == "OPTIONS" {
            responses.push(self.response(200, "OK", request).finish());
            return;
        }
        let in_dialog = request.field("To").is_some_and(|to| parameter(to, "tag").is_some());
        let starts = method == "INVITE" && !in_dialog;
        if !starts && !self.book.calls.contains_key(call_id) {
            self.book.stray += 1;
            if method != "ACK" {
                let reason = "Call/Transaction Does Not Exist";
                responses.push(self.response(481, reason, request).finish());
            }
            return;
        }
        let seen = self.book.calls.entry(call_id.to_owned()).or_default();
        if !seen.note(method, branch) {
            self.book.duplicates += 1;
        }
        match method {
            "INVITE" => {
                seen.invites += 1;
                seen.answers_sent += 1;
                self.answer_invite(request, call_id, source, now, responses);
            }
            "ACK" => {
                seen.acks += 1;
                self.unacknowledged.remove(call_id);
            }
            "BYE" => {
                seen.byes += 1;
                // The dialog is over: nothing of it is sent again (RFC 3261 15.1.2).
                self.unacknowledged.remove(call_id);
                responses.push(self.response(200, "OK", request).finish());
            }
            // The INVITE has its final response already, so a CANCEL has no effect (RFC 3261 9.2).
            "CANCEL" => responses.push(self.response(200, "OK", request).finish()),
            _ => responses.push(self.response(501, "Not Implemented", request).finish()),
        }
    }

    fn answer_invite(
        &mut self,
        request: &Message<'_>,
        call_id: &str,
        source: SocketAddr,
        now: Duration,
        responses: &mut Vec<Vec<u8>>,
    ) {
        // RFC 3261 12.1.1: both responses form the dialog, so both carry Record-Route and Contact.
        let ringing = self.response(180, "Ringing", request);
        let ringing = ringing.fields("Record-Route", request.fields("Record-Route"));
        responses.push(ringing.field("Contact", &self.contact).finish());
        let ok = self.response(200, "OK", request);
        let ok = ok.fields("Record-Route", request.fields("Record-Route"));
        let ok = ok.field("Contact", &self.contact).field("Allow", "INVITE, ACK, BYE, CANCEL");
        let ok = ok.finish_with(&session_description(1));
        responses.push(ok.clone());
        self.unacknowledged.entry(call_id.to_owned()).or_insert(Unacknowledged {
            bytes: ok,
            destination: source,
            due: now + T1,
            interval: T1,
            gives_up: now + 64 * T1,
        });
    }

    /// The 200s that are due again at `now`.
    fn handle_timeout(&mut self, now: Duration) -> Vec<(Vec<u8>, SocketAddr)> {
        let mut due = Vec::new();
        self.unacknowledged.retain(|_, waiting| now < waiting.gives_up);
        for (call_id, waiting) in &mut self.unacknowledged {
            if waiting.due <= now {
                waiting.interval = (waiting.interval * 2).min(T2);
                waiting.due = now + waiting.interval;
                due.push((waiting.bytes.clone(), waiting.destination));
                if let Some(seen) = self.book.calls.get_mut(call_id) {
                    seen.answers_sent += 1;
                }
            }
        }
        due
    }

    fn response(&self, status: u16, reason: &str, request: &Message<'_>) -> Writer {
        // RFC 3261 12.1.1: a tag of ours, the same in every response of the dialog.
        let mut hasher = DefaultHasher::new();
        request.field("Call-ID").hash(&mut hasher);
        let tag = format!("{}{:016x}", self.name, hasher.finish());
        Writer::response(status, reason, request, &tag).field("Server", &self.server)
    }
}

/// A running backend.
#[derive(Debug)]
pub(super) struct Uas {
    /// Where it listens.
    pub(super) address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Book>,
}

impl Uas {
    /// Starts backend number `index` on a free port.
    pub(super) fn start(index: usize, clock: Clock) -> io::Result<Self> {
        let socket = bind_loopback()?;
        socket.set_read_timeout(Some(WAIT))?;
        let address = socket.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name(format!("demo-uas-{}", name_of(index)))
            .spawn(move || serve(&socket, Answerer::new(index, address), clock, &stopped))?;
        Ok(Self { address, stop, thread })
    }

    /// Ends the thread and returns its book.
    pub(super) fn stop(self) -> Book {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the backend's thread has no panic")
    }
}

fn serve(socket: &UdpSocket, mut answerer: Answerer, clock: Clock, stop: &AtomicBool) -> Book {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    let mut responses = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        // An error is the wait running out, or an ICMP error of an earlier send: neither ends the loop.
        if let Ok((length, source)) = socket.recv_from(&mut buffer) {
            answerer.handle(&buffer[..length], source, clock.now(), &mut responses);
            for response in responses.drain(..) {
                // A response that does not leave is asked for again by a retransmission.
                let _ = socket.send_to(&response, source);
            }
        }
        for (response, destination) in answerer.handle_timeout(clock.now()) {
            let _ = socket.send_to(&response, destination);
        }
    }
    answerer.book
}

#[cfg(test)]
mod tests;
