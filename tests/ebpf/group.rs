//! A SO_REUSEPORT group with the steering program, and clients that send to it from many ports.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use sipedge::bpf::{Refusal, Steered};
use sipedge::datapath;
use sipedge::sip::steer;
use socket2::{Domain, Socket, Type};

/// Source ports that each test sends from.
const CLIENTS: usize = 16;
/// How long a datagram may take over loopback.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sockets in the order of their shards, and who sends to them.
pub(crate) struct Group {
    pub(crate) sockets: Vec<UdpSocket>,
    pub(crate) steered: Steered,
    pub(crate) clients: Vec<UdpSocket>,
    sent: usize,
}

/// This moment.
#[expect(clippy::disallowed_methods, reason = "the test waits for a real kernel")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// A bound group without a program.
pub(crate) fn bind(address: &str, shards: usize) -> Vec<UdpSocket> {
    let mut address: SocketAddr = address.parse().expect("an address");
    let mut sockets = Vec::new();
    for _ in 0..shards {
        let socket =
            Socket::new(Domain::for_address(address), Type::DGRAM, None).expect("a socket");
        socket.set_reuse_port(true).expect("an option");
        socket.set_recv_buffer_size(4 << 20).expect("an option");
        socket.bind(&address.into()).expect("binds");
        let socket = UdpSocket::from(socket);
        address = socket.local_addr().expect("bound");
        socket.set_nonblocking(true).expect("an option");
        sockets.push(socket);
    }
    sockets
}

/// Sockets connected to `server`.
pub(crate) fn clients(server: SocketAddr) -> Vec<UdpSocket> {
    let any = SocketAddr::new(server.ip(), 0);
    let client = |_| {
        let client = UdpSocket::bind(any).expect("a client");
        client.connect(server).expect("connects");
        client
    };
    (0..CLIENTS).map(client).collect()
}

impl Group {
    /// A group with its program; `None`, and a line that says so, when this process may not load it.
    pub(crate) fn start(address: &str, shards: usize) -> Option<Self> {
        let sockets = bind(address, shards);
        let steered = match datapath::steer(&sockets) {
            Ok(steered) => steered,
            Err(Refusal::Forbidden) => {
                println!("skipped: needs CAP_BPF");
                return None;
            }
            Err(Refusal::NotBuilt) => {
                println!("skipped: built without eBPF");
                return None;
            }
            Err(error) => panic!("the program does not load: {error}"),
        };
        let clients = clients(sockets[0].local_addr().expect("bound"));
        Some(Self { sockets, steered, clients, sent: 0 })
    }

    pub(crate) fn shards(&self) -> u8 {
        u8::try_from(self.sockets.len()).expect("at most 64")
    }

    /// Sends from the next client and answers the shard that it landed on; the bytes must arrive unchanged.
    pub(crate) fn send(&mut self, datagram: &[u8]) -> u8 {
        let client = &self.clients[self.sent % CLIENTS];
        self.sent += 1;
        client.send(datagram).expect("sends");
        let mut buffer = vec![0; 65_536];
        let started = now();
        while started.elapsed() < PATIENCE {
            for (shard, socket) in (0..).zip(&self.sockets) {
                match socket.recv(&mut buffer) {
                    Ok(size) => {
                        assert!(buffer[..size] == *datagram, "the datagram changed on the way");
                        return shard;
                    }
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
                }
            }
        }
        panic!("the datagram of {} bytes did not arrive", datagram.len());
    }

    /// The datagram must land where the definition in Rust says.
    #[track_caller]
    pub(crate) fn check(&mut self, datagram: &[u8]) {
        let expected = steer::shard(datagram, self.shards()).expect("it says whose it is");
        let landed = self.send(datagram);
        let head = String::from_utf8_lossy(&datagram[..datagram.len().min(120)]).into_owned();
        assert_eq!(landed, expected, "{} bytes: {head:?}", datagram.len());
    }
}

/// A request whose `field` line starts at `offset` (what is between is a long Subject), followed by a body so
/// that it has `size` bytes. The request line and the Via take the first 100 bytes.
pub(crate) fn message(field: &str, offset: usize, size: usize) -> Vec<u8> {
    let mut text = String::from(
        "MESSAGE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKa~\r\nSubject: ",
    );
    assert!(offset == 0 || offset >= text.len() + 2, "offset {offset} is inside the start");
    if offset == 0 {
        text.clear();
    } else {
        text.push_str(&"s".repeat(offset - text.len() - 2));
        text.push_str("\r\n");
    }
    text.push_str(field);
    text.push_str("\r\nMax-Forwards: 70\r\n\r\n");
    let mut bytes = text.into_bytes();
    bytes.resize(bytes.len().max(size), b'b');
    bytes
}
