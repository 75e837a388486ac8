//! From shards on loopback to sinks on loopback.

use std::net::UdpSocket;
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::config::trace::{Choice, Decisions, Hep, Pcap};
use crate::datapath::{Io, Options, Shards, Steering};
use crate::sip::route::table::{Key, Listener, Parts};

const PATIENCE: Duration = Duration::from_secs(10);

fn table() -> Arc<Table> {
    let listener = Listener {
        name: "in".into(),
        address: "127.0.0.1:0".parse().expect("an address"),
        host: "127.0.0.1".into(),
        port: 5060,
    };
    Arc::new(Table::new(Parts {
        shards: 2,
        listeners: vec![listener],
        keys: vec![Key { id: 1, secret: [7; 32] }],
        ..Parts::default()
    }))
}

/// Two shards that trace for `config`, and the phone that asks them.
struct Node {
    shards: Shards,
    traces: Traces,
    phone: UdpSocket,
}

impl Node {
    fn start(config: &Trace) -> Self {
        let options = Options {
            shards: 2,
            io: Io::Recvmmsg,
            steering: Steering::Kernel,
            ..Options::default()
        };
        let table = table();
        let mut shards = Shards::start(&options, &table, 7).expect("shards");
        let traces = Traces::start(config, "node", shards.taps(), true).expect("traces");
        shards.trace(&traces.adopt(&table)).expect("they read their mail");
        // Mail is read in order: when this is answered the filters are set.
        shards.snapshot().expect("an answer");
        let phone = socket();
        phone.connect(shards.addresses().next().expect("one listener")).expect("connects");
        Self { shards, traces, phone }
    }

    /// An OPTIONS of this call, which nobody routes, and the answer.
    fn ask(&self, call: &str) {
        let from = self.phone.local_addr().expect("bound");
        let request = format!(
            "OPTIONS sip:{call}@elsewhere.example SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{call}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:b@example.com>;tag=1\r\nTo: <sip:a@example.com>\r\n\
             Call-ID: {call}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        );
        self.phone.send(request.as_bytes()).expect("sends");
        self.phone.recv(&mut [0; 2000]).expect("an answer");
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket
}

fn hep_to(sink: &UdpSocket, choice: Choice) -> Trace {
    let sink = sink.local_addr().expect("bound");
    let hep = Hep { sink, node_id: 7, password: None, choice };
    Trace { hep: Some(hep), ..Trace::default() }
}

/// The message of the next packet, and whether it is a response.
fn next(sink: &UdpSocket) -> (String, bool) {
    let mut packet = vec![0; 65_536];
    let size = sink.recv(&mut packet).expect("a packet");
    assert!(packet.starts_with(b"HEP3"));
    let text = String::from_utf8_lossy(&packet[..size]).into_owned();
    let is_response = text.contains("SIP/2.0 404");
    (text, is_response)
}

#[test]
fn a_sink_gets_what_came_and_what_went_of_the_calls_that_are_meant() {
    let sink = socket();
    let choice = Choice { call_id: Some("meant".into()), ..Choice::default() };
    let node = Node::start(&hep_to(&sink, choice));
    for call in ["other", "meant", "meant2"] {
        node.ask(call);
    }
    let (request, answer) = (next(&sink), next(&sink));
    assert!(request.0.contains("Call-ID: meant\r\n") && !request.1, "{}", request.0);
    assert!(answer.0.contains("Call-ID: meant\r\n") && answer.1, "{}", answer.0);
    drop(node.traces);
    sink.set_nonblocking(true).expect("a socket");
    assert!(sink.recv(&mut [0; 2000]).is_err(), "another call was sent");
}

#[test]
fn texts_are_compared_and_a_dead_sink_harms_nobody() {
    let sink = socket();
    let choice = Choice { aor: Some("wanted@elsewhere".into()), ..Choice::default() };
    let node = Node::start(&hep_to(&sink, choice));
    node.ask("unwanted2");
    node.ask("wanted");
    assert!(next(&sink).0.contains("OPTIONS sip:wanted@elsewhere"));
    drop(sink);
    for _ in 0..50 {
        node.ask("wanted");
    }
    let (traces, shards) = (node.traces, node.shards);
    let sum = shards.stop().merged();
    assert_eq!((sum.received, sum.sent, sum.traces_lost), (52, 52, 0));
    drop(traces);
}

#[test]
fn what_is_off_costs_nothing_and_what_cannot_be_is_refused() {
    let node = Node::start(&Trace::default());
    assert!(node.traces.thread.is_none() && node.traces.adopt(&table()).is_empty());
    node.ask("a");
    assert_eq!((node.traces.counts(), node.traces.recent().len()), (TraceCounts::default(), 0));
    let pcap = Pcap {
        folder: PathBuf::from("/proc/no/such"),
        file_bytes_max: 1 << 20,
        files: 2,
        choice: Choice::default(),
    };
    let config = Trace { pcap: Some(pcap), ..Trace::default() };
    let mut shards = node.shards;
    let refused = Traces::start(&config, "node", shards.taps(), true).map(|_| ());
    assert!(refused.is_err_and(|error| error.contains("/proc/no/such")));
}

#[test]
fn decisions_are_kept_and_their_rate_is_bounded() {
    let folder = std::env::temp_dir().join(format!("sipedge-decisions-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("decisions.jsonl");
    let config = Decisions { file: Some(file.clone()), per_second_max: 2 };
    let node = Node::start(&Trace { decisions: Some(config), ..Trace::default() });
    for number in 0..200 {
        node.ask(&format!("call-{number}"));
    }
    let Node { shards, traces, .. } = node;
    shards.stop();
    let shared = Arc::clone(&traces.shared);
    drop(traces);
    let written = std::fs::read_to_string(&file).expect("a file");
    std::fs::remove_dir_all(&folder).expect("ours");
    let lines: Vec<_> = written.lines().map(str::to_owned).collect();
    assert_eq!(lines, shared.recent());
    // Two shards, two records in each second that the test took.
    assert!((1..150).contains(&lines.len()), "{}", lines.len());
    let value: serde_json::Value = serde_json::from_str(&lines[0]).expect("JSON");
    assert_eq!((&value["verdict"], &value["status"]), (&"respond".into(), &404.into()));
    assert!(value["call_id"].as_str().is_some_and(|call| call.starts_with("call-")), "{value}");
}
