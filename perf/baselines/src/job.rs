//! The job of a floor: what sipedge does to the bytes of a message, without looking at them.
//!
//! Owns: a Via of fixed size goes in after the request line, and out of a response; a request goes to the backend
//! that its source port picks, a response to the address that stands at a fixed place in that Via. Nothing else is
//! read, so a message that is not as expected goes nowhere or wrong. IPv4 only. Sizes are bytes.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::Range;

/// Free bytes that a frame has in front of the message: room for the Via, without moving the message.
pub const HEADROOM_BYTES: usize = 128;
/// Bytes of the largest message that a floor takes.
pub const MESSAGE_BYTES_MAX: usize = 4096;

/// Twelve hex digits: where a response must go.
const CALLER_DIGITS: usize = 12;
const BEFORE_CALLER: &str = ";branch=z9hG4bKf";
const AFTER_CALLER: &str = "-floor;rport\r\n";

/// What a floor knows: the Via that it writes and the backends.
#[derive(Debug, Clone)]
pub struct Job {
    via: Vec<u8>,
    /// Where the caller's address stands in the Via.
    caller_at: usize,
    backends: Vec<SocketAddrV4>,
}

impl Job {
    /// A floor at `listen` in front of `backends`, of which there is at least one.
    pub fn new(listen: SocketAddrV4, backends: Vec<SocketAddrV4>) -> Self {
        assert!(!backends.is_empty(), "a floor needs a backend");
        let via = format!("Via: SIP/2.0/UDP {listen}{BEFORE_CALLER}");
        let caller_at = via.len();
        let via = format!("{via}{:0<CALLER_DIGITS$}{AFTER_CALLER}", "").into_bytes();
        assert!(via.len() <= HEADROOM_BYTES, "the Via fits the headroom");
        Self { via, caller_at, backends }
    }

    /// Forwards the message that fills `frame` from [`HEADROOM_BYTES`] on: answers which part of the frame to send,
    /// and where to.
    pub fn forward(
        &self,
        frame: &mut [u8],
        source: SocketAddrV4,
    ) -> Option<(Range<usize>, SocketAddrV4)> {
        let message = frame.get(HEADROOM_BYTES..)?;
        let line_end = HEADROOM_BYTES + message.iter().position(|&byte| byte == b'\n')? + 1;
        if message.starts_with(b"SIP/2.0 ") {
            self.response(frame, line_end)
        } else {
            Some(self.request(frame, line_end, source))
        }
    }

    /// The request line moves to the front; the Via fills the gap behind it.
    fn request(
        &self,
        frame: &mut [u8],
        line_end: usize,
        source: SocketAddrV4,
    ) -> (Range<usize>, SocketAddrV4) {
        let start = HEADROOM_BYTES - self.via.len();
        frame.copy_within(HEADROOM_BYTES..line_end, start);
        let via = &mut frame[line_end - self.via.len()..line_end];
        via.copy_from_slice(&self.via);
        write_caller(&mut via[self.caller_at..self.caller_at + CALLER_DIGITS], source);
        let backend = self.backends[usize::from(source.port()) % self.backends.len()];
        (start..frame.len(), backend)
    }

    /// The status line moves back over the Via behind it.
    fn response(&self, frame: &mut [u8], line_end: usize) -> Option<(Range<usize>, SocketAddrV4)> {
        let via = frame.get(line_end..line_end + self.via.len())?;
        let caller = read_caller(&via[self.caller_at..self.caller_at + CALLER_DIGITS])?;
        frame.copy_within(HEADROOM_BYTES..line_end, HEADROOM_BYTES + self.via.len());
        Some((HEADROOM_BYTES + self.via.len()..frame.len(), caller))
    }
}

fn write_caller(digits: &mut [u8], caller: SocketAddrV4) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let [a, b, c, d] = caller.ip().octets();
    let [high, low] = caller.port().to_be_bytes();
    for (pair, byte) in digits.chunks_exact_mut(2).zip([a, b, c, d, high, low]) {
        pair[0] = HEX[usize::from(byte >> 4)];
        pair[1] = HEX[usize::from(byte & 15)];
    }
}

fn read_caller(digits: &[u8]) -> Option<SocketAddrV4> {
    let mut bytes = [0u8; CALLER_DIGITS / 2];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    let [a, b, c, d, high, low] = bytes;
    Some(SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low])))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 3), 40_003);

    fn job() -> Job {
        let at = |port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        Job::new(at(5060), vec![at(5071), at(5072), at(5073)])
    }

    fn run(message: &str) -> Option<(String, SocketAddrV4)> {
        let mut frame = vec![b'#'; HEADROOM_BYTES];
        frame.extend_from_slice(message.as_bytes());
        let (part, to) = job().forward(&mut frame, CALLER)?;
        Some((String::from_utf8_lossy(&frame[part]).into_owned(), to))
    }

    #[test]
    fn a_request_gains_a_via_and_its_response_loses_it() {
        let rest = "Via: SIP/2.0/UDP 127.0.0.3:40002;branch=z9hG4bK1\r\nCall-ID: 1\r\n\r\nbody";
        let request = format!("OPTIONS sip:a@b SIP/2.0\r\n{rest}");
        let (sent, to) = run(&request).expect("forwarded");
        let via = "Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKf7f0000039c43-floor;rport\r\n";
        assert_eq!(sent, format!("OPTIONS sip:a@b SIP/2.0\r\n{via}{rest}"));
        assert_eq!(to.port(), 5071 + 40_003 % 3);

        let (back, to) = run(&format!("SIP/2.0 200 OK\r\n{via}{rest}")).expect("forwarded");
        assert_eq!(back, format!("SIP/2.0 200 OK\r\n{rest}"));
        assert_eq!(to, CALLER);
    }

    #[test]
    fn what_is_not_as_expected_goes_nowhere() {
        assert_eq!(run(""), None);
        assert_eq!(run("no line end"), None);
        assert_eq!(run("SIP/2.0 200 OK\r\nVia: short\r\n\r\n"), None);
        let foreign = "Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKfnothexdigits-floor;rport\r\n";
        assert_eq!(run(&format!("SIP/2.0 200 OK\r\n{foreign}\r\n")), None);
    }
}
