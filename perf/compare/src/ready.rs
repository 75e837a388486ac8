//! Whether a target does its work: an OPTIONS must come out at a backend, and the answer must come back.
//!
//! Owns: the request, the answer and the deadline. One check serves all targets, because all claim the same job.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use crate::clock;
use crate::process::Process;

/// How long a target may take until it forwards.
const READY_SECONDS_MAX: f64 = 15.0;
const READ_TIMEOUT: Duration = Duration::from_millis(20);
const CALLER: &str = "127.0.0.1:5090";
/// The fields that a response repeats (RFC 3261 8.2.6.2).
const REPEATED: [&str; 5] = ["via:", "from:", "to:", "call-id:", "cseq:"];

/// Waits until `target` forwards to one of `backends` and back.
pub(crate) fn wait(
    process: &mut Process,
    target: SocketAddr,
    backends: &[SocketAddr],
) -> Result<(), String> {
    let bind = |address: SocketAddr| {
        let socket = UdpSocket::bind(address).map_err(|error| format!("{address}: {error}"))?;
        socket.set_read_timeout(Some(READ_TIMEOUT)).map_err(|error| error.to_string())?;
        Ok::<_, String>(socket)
    };
    let caller = bind(CALLER.parse().expect("our own address is valid"))?;
    let behind = backends.iter().map(|&address| bind(address)).collect::<Result<Vec<_>, _>>()?;
    let mut attempt = 0;
    let seen = clock::poll(READY_SECONDS_MAX, || {
        if let Some(status) = process.ended() {
            let log = process.log_tail();
            return Some(Err(format!("the target ended at its start ({status}):\n{log}")));
        }
        attempt += 1;
        // Before it is bound this is refused: the next attempt will show.
        let _ = caller.send_to(options(attempt, target).as_bytes(), target);
        behind.iter().for_each(answer);
        let mut buffer = [0; 4096];
        let size = caller.recv(&mut buffer).ok()?;
        buffer[..size].starts_with(b"SIP/2.0 200").then_some(Ok(()))
    });
    let silent = || format!("the target forwards nothing:\n{}", process.log_tail());
    seen.unwrap_or_else(|| Err(silent()))
}

fn options(attempt: u32, target: SocketAddr) -> String {
    format!(
        "OPTIONS sip:ready@{target} SIP/2.0\r\n\
         Via: SIP/2.0/UDP {CALLER};branch=z9hG4bKready{attempt};rport\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:ready@example.com>;tag=ready\r\n\
         To: <sip:ready@example.com>\r\n\
         Call-ID: ready-{attempt}@example.com\r\n\
         CSeq: {attempt} OPTIONS\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// Answers what a backend got.
fn answer(backend: &UdpSocket) {
    let mut buffer = [0; 4096];
    while let Ok((size, source)) = backend.recv_from(&mut buffer) {
        if let Some(response) = std::str::from_utf8(&buffer[..size]).ok().and_then(ok) {
            let _ = backend.send_to(response.as_bytes(), source);
        }
    }
}

/// The 200 to a request.
fn ok(request: &str) -> Option<String> {
    let mut lines = request.split("\r\n");
    lines.next().filter(|line| line.starts_with("OPTIONS "))?;
    let repeated = lines.take_while(|line| !line.is_empty()).filter(|line| {
        let line = line.to_ascii_lowercase();
        REPEATED.iter().any(|name| line.starts_with(name))
    });
    let fields: Vec<String> = repeated
        .map(|line| {
            let tag = if line.to_ascii_lowercase().starts_with("to:") { ";tag=b" } else { "" };
            format!("{line}{tag}\r\n")
        })
        .collect();
    Some(format!("SIP/2.0 200 OK\r\n{}Content-Length: 0\r\n\r\n", fields.concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_repeats_what_it_must() {
        let request = options(7, SocketAddr::from(([127, 0, 0, 1], 5060)));
        let response = ok(&request).expect("it is an OPTIONS");
        assert!(response.starts_with("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:5090;"));
        assert!(response.contains("\r\nCSeq: 7 OPTIONS\r\n") && response.contains(">;tag=b\r\n"));
        assert!(!response.contains("Max-Forwards"));
        assert_eq!(ok("INVITE sip:a@b SIP/2.0\r\n\r\n"), None);
    }
}
