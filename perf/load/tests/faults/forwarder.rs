//! A small SIP forwarder with deliberate faults: the target that the generator's checks are tried on.
//!
//! Owns: forwarding by Call-ID, Record-Route, the way back along Via, and the faults. Reads messages as text by lines,
//! with other eyes than the generator.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::RcvBuf;

/// What goes wrong with one message of [`EVERY`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    Drop,
    Duplicate,
    /// Another backend than the Call-ID's.
    Misroute,
    /// One byte of the body, or of the last field.
    CorruptBody,
    /// One byte of From.
    CorruptFrom,
    /// A field that nobody sent.
    AddField,
    /// The Request-URI.
    CorruptUri,
    /// The target answers itself.
    Refuse,
    /// BYE goes to another backend.
    MisrouteBye,
    DropResponse,
    DuplicateResponse,
    CorruptResponse,
    /// Responses come to another port of the callers.
    MisrouteResponse,
    /// Not a fault: bytes behind the body, which receivers discard (RFC 3261 18.3).
    Pad,
}

/// One message of so many has the fault.
pub(crate) const EVERY: u64 = 10;

pub(crate) struct Forwarder {
    /// Messages that had the fault.
    faults: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Forwarder {
    pub(crate) fn start(address: SocketAddr, backends: Vec<SocketAddr>, fault: Fault) -> Self {
        let socket = UdpSocket::bind(address).expect("an address of loopback");
        setsockopt(&socket, RcvBuf, &(4 << 20)).expect("a larger buffer");
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
        let (faults, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let mut work = Work {
            socket,
            address,
            backends,
            fault,
            seen: 0,
            faults: Arc::clone(&faults),
            last_caller: None,
            other_caller: None,
        };
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; 65_535];
            while !stopped.load(Ordering::Relaxed) {
                let Ok((length, source)) = work.socket.recv_from(&mut buffer) else { continue };
                let text = std::str::from_utf8(&buffer[..length]).expect("the generator's text");
                work.handle(text, source);
            }
        });
        Self { faults, stop, thread: Some(thread) }
    }

    /// Stops it; says how many messages had the fault.
    pub(crate) fn stop(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("started").join().expect("the forwarder does not panic");
        self.faults.load(Ordering::Relaxed)
    }
}

struct Work {
    socket: UdpSocket,
    address: SocketAddr,
    backends: Vec<SocketAddr>,
    fault: Fault,
    /// Messages that could have had the fault.
    seen: u64,
    faults: Arc<AtomicU64>,
    last_caller: Option<SocketAddr>,
    /// The last one that is another than that.
    other_caller: Option<SocketAddr>,
}

impl Work {
    /// Whether this message has the fault; only messages of the right kind are counted.
    fn is_hit(&mut self, faults: &[Fault]) -> Option<Fault> {
        if !faults.contains(&self.fault) {
            return None;
        }
        self.seen += 1;
        let hit = self.seen.is_multiple_of(EVERY);
        self.faults.fetch_add(u64::from(hit), Ordering::Relaxed);
        hit.then_some(self.fault)
    }

    fn send(&self, text: &str, to: SocketAddr) {
        self.socket.send_to(text.as_bytes(), to).expect("loopback takes it");
    }

    fn handle(&mut self, text: &str, source: SocketAddr) {
        if text.starts_with("SIP/2.0 ") { self.respond(text) } else { self.forward(text, source) }
    }

    fn forward(&mut self, text: &str, source: SocketAddr) {
        let me = self.address;
        let route = format!("Route: <sip:{me};lr>\r\n");
        let in_dialog = text.contains(&route);
        let (line, rest) = text.split_once("\r\n").expect("a request line");
        let rest = rest.replace(&route, "").replace("Max-Forwards: 70", "Max-Forwards: 69");
        let uri = line.split(' ').nth(1).expect("a Request-URI");
        let call_id = rest.split("Call-ID: ").nth(1).expect("a Call-ID");
        let hash =
            call_id.bytes().take(16).fold(0, |sum: usize, b| sum * 31 % 10_007 + usize::from(b));
        let mut backend = hash % self.backends.len();
        if in_dialog {
            let address = uri.split('@').nth(1).expect("a contact").parse().expect("an address");
            backend = self.backends.iter().position(|b| *b == address).expect("a backend");
        }
        let record_route = if line.starts_with("INVITE") {
            format!("Record-Route: <sip:{me};lr>\r\n")
        } else {
            String::new()
        };
        let via = format!("Via: SIP/2.0/UDP {me};branch=z9hG4bKf{hash}\r\n{record_route}");
        let mut out = format!("{line}\r\n{via}{rest}");
        let faults = [
            Fault::Drop,
            Fault::Duplicate,
            Fault::Misroute,
            Fault::CorruptBody,
            Fault::CorruptFrom,
            Fault::AddField,
            Fault::CorruptUri,
            Fault::Refuse,
            Fault::Pad,
        ];
        let hit = if line.starts_with("BYE") {
            self.is_hit(&[Fault::MisrouteBye])
        } else if in_dialog {
            None
        } else {
            self.is_hit(&faults)
        };
        let next = (backend + 1) % self.backends.len();
        match hit {
            Some(Fault::Drop) => return,
            Some(Fault::Duplicate) => self.send(&out, self.backends[backend]),
            Some(Fault::Misroute | Fault::MisrouteBye) => backend = next,
            Some(Fault::CorruptBody) if out.contains("a=sendrecv") => {
                out = out.replace("a=sendrecv", "a=sendonlx");
            }
            Some(Fault::CorruptBody) => out = out.replace("CSeq: ", "CSeq: 7"),
            Some(Fault::CorruptFrom) => out = out.replace(";tag=", ";tag-"),
            Some(Fault::AddField) => out = out.replace("Call-ID:", "X-New: 1\r\nCall-ID:"),
            Some(Fault::CorruptUri) => out = out.replacen(" sip:", " sip:x", 1),
            Some(Fault::Refuse) => {
                let head = rest.split("\r\nContact:").next().expect("fields");
                let answer = format!("SIP/2.0 503 Full\r\n{head}\r\nContent-Length: 0\r\n\r\n");
                return self.send(&answer, source);
            }
            Some(Fault::Pad) => out.push_str("\0\0\0\0\0\0"),
            _ => {}
        }
        self.send(&out, self.backends[backend]);
    }

    fn respond(&mut self, text: &str) {
        let (line, rest) = text.split_once("\r\n").expect("a status line");
        let (via, rest) = rest.split_once("\r\n").expect("our Via");
        assert!(via.starts_with("Via: ") && via.contains(&self.address.to_string()), "{via}");
        let next = rest.strip_prefix("Via: SIP/2.0/UDP ").or_else(|| {
            // Record-Route may stand between: copied in the order of the request.
            rest.split("Via: SIP/2.0/UDP ").nth(1)
        });
        let next = next.and_then(|via| via.split(';').next()).expect("the caller's Via");
        let mut to: SocketAddr = next.parse().expect("an address");
        let mut out = format!("{line}\r\n{rest}");
        if self.last_caller != Some(to) {
            self.other_caller = self.last_caller.replace(to);
        }
        let hit = self.is_hit(&[
            Fault::DropResponse,
            Fault::DuplicateResponse,
            Fault::CorruptResponse,
            Fault::MisrouteResponse,
        ]);
        match hit {
            Some(Fault::DropResponse) => return,
            Some(Fault::DuplicateResponse) => self.send(&out, to),
            Some(Fault::CorruptResponse) => {
                out = out.replace("Contact: <sip:b@", "Contact: <sip:c@")
            }
            Some(Fault::MisrouteResponse) => match self.other_caller {
                Some(other) => to = other,
                // There was one caller only so far: this response keeps its way.
                None => {
                    self.faults.fetch_sub(1, Ordering::Relaxed);
                }
            },
            _ => {}
        }
        self.send(&out, to);
    }
}
