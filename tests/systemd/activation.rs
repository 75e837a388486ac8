//! `systemd-socket-activate` binds the listener, starts the edge at the first datagram, and passes the socket on.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::has;

/// Far more than anything here takes, even on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What systemd-socket-activate starts, and what it logs.
struct Activated {
    child: Child,
    config: PathBuf,
}

impl Drop for Activated {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.config);
    }
}

fn free() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    socket.local_addr().expect("it is bound")
}

/// An edge with a listener at `listen`, to which the socket of `passed` is given.
fn start(name: &str, passed: SocketAddr, listen: SocketAddr, backend: SocketAddr) -> Activated {
    let text = format!(
        "[node]\nshards = 2\n[[listen]]\nname = \"public\"\naddress = \"udp:{listen}\"\n[[pool]]\nname = \"servers\"\n\
         backends = [{{ uri = \"sip:{backend}\" }}]\n[[route]]\npool = \"servers\"\n[admin]\nlisten = \"off\"\n"
    );
    let file = format!("sipedge-{name}-{}.toml", std::process::id());
    let config = std::env::temp_dir().join(file);
    std::fs::write(&config, text).expect("can be written");
    let child = Command::new("systemd-socket-activate")
        .args([
            "--datagram",
            "--listen",
            &passed.to_string(),
            env!("CARGO_BIN_EXE_sipedge"),
            "run",
            "-c",
        ])
        .arg(&config)
        .stderr(Stdio::piped())
        .spawn()
        .expect("it is there");
    Activated { child, config }
}

/// Reads what is logged up to the line that holds `part`.
fn read_until(lines: &mut impl Iterator<Item = std::io::Result<String>>, part: &str) -> String {
    let mut told = String::new();
    for line in lines.map_while(Result::ok) {
        told += &line;
        told.push('\n');
        if line.contains(part) {
            return told;
        }
    }
    panic!("no \"{part}\" in {told}");
}

fn invite(call: usize) -> String {
    format!(
        "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK{call};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: call-{call}\r\n\
         CSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
    )
}

#[test]
fn the_datagram_that_woke_it_and_those_behind_go_through_the_passed_socket() {
    if !has("systemd-socket-activate") {
        return;
    }
    let backend = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    backend.set_read_timeout(Some(PATIENCE)).expect("can be set");
    let address = free();
    let mut edge = start("passed", address, address, backend.local_addr().expect("bound"));
    let stderr = edge.child.stderr.take().expect("is piped");
    let mut lines = BufReader::new(stderr).lines();
    read_until(&mut lines, "Listening on");
    let phone = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let mut buffer = [0; 4096];
    // The first waits in the socket before there is a program; the others meet both shards.
    for call in 0..20 {
        phone.send_to(invite(call).as_bytes(), address).expect("sent");
        let (size, from) = backend.recv_from(&mut buffer).expect("the INVITE came through");
        assert_eq!(from, address);
        let text = String::from_utf8_lossy(&buffer[..size]);
        assert!(text.contains(&format!("Call-ID: call-{call}\r\n")), "{text}");
    }
    let told = read_until(&mut lines, "ready");
    assert!(told.contains(&format!("listening on udp:{address}, one socket per shard")), "{told}");
}

#[test]
fn a_passed_socket_that_fits_no_listener_is_refused() {
    if !has("systemd-socket-activate") {
        return;
    }
    let (passed, listen) = (free(), free());
    let mut edge = start("unwanted", passed, listen, free());
    let mut stderr = BufReader::new(edge.child.stderr.take().expect("is piped"));
    read_until(&mut (&mut stderr).lines(), "Listening on");
    let phone = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    phone.send_to(b"\r\n\r\n", passed).expect("sent");
    let mut told = String::new();
    stderr.read_to_string(&mut told).expect("text");
    assert!(told.contains(&format!("{passed}, and no [[listen]] has that address")), "{told}");
    assert_eq!(edge.child.wait().expect("it ends").code(), Some(1));
}
