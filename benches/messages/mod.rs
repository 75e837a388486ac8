//! Small, typical and worst-case messages, and the table that they go through.
//!
//! Owns: the messages that are timed, counted and checked for allocations: `benches` and `tests/alloc` share them.

use std::net::SocketAddr;
use std::sync::Arc;

use sipedge::sip::balance::{Balance, Member, Spec};
use sipedge::sip::core::Core;
use sipedge::sip::message::Method;
use sipedge::sip::outbox::Outbox;
use sipedge::sip::route::table::{
    Action, Backend, Key, KeySource, Limits, Listener, Parts, PathPolicy, Pool, Rule, Table,
};
use sipedge::sip::{ListenerId, Now, Received, Verdict};

mod worst;

/// Where the phone is.
pub(crate) const PHONE: &str = "203.0.113.7:40001";
const VIA: &str = "SIP/2.0/UDP 192.168.1.20:5062;branch=z9hG4bK776asdhds;rport";
const CALL_ID: &str = "a84b4c76e66710@192.168.1.20";

/// One listener, one rendezvous pool of ten, one rule.
pub(crate) fn table() -> Table {
    let backends: Vec<Backend> = (1..=10_u8)
        .map(|n| {
            let address = SocketAddr::from(([10, 0, 0, n], 5060));
            Backend::new(format!("sip:{address}"), address)
        })
        .collect();
    let member = |b: &'static str| Member { identity: b.as_bytes(), weight: 1, rweight: 0 };
    let members: Vec<Member<'_>> =
        backends.iter().map(|b| Member { identity: b.uri.as_bytes(), ..member("") }).collect();
    let spec = Spec::parse("rendezvous").expect("a balance");
    let balance = Balance::compile(&spec, &members, 1).expect("compiles");
    let pool = Pool::new("pool".into(), KeySource::CallId, balance, backends);
    let rule = Rule {
        needs_token: false,
        methods: Method::ALL.to_vec(),
        other_methods: vec![],
        listeners: vec![],
        domains: vec![],
        action: Action::Pool(0),
        record_route: true,
        path: PathPolicy::Supported,
    };
    Table::new(Parts {
        shards: 1,
        listeners: vec![Listener {
            name: "public".into(),
            address: SocketAddr::from(([192, 0, 2, 1], 5060)),
            host: "192.0.2.1".into(),
            port: 5060,
        }],
        pools: vec![pool],
        rules: vec![rule],
        keys: vec![Key { id: 1, secret: [7; 32] }],
        limits: Limits::default(),
        aliases: vec![],
        is_draining: false,
        sides: Default::default(),
    })
}

/// One datagram and what becomes of it.
pub(crate) struct Message {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) source: SocketAddr,
    pub(crate) verdict: Verdict,
}

impl Message {
    pub(crate) fn new(name: &'static str, bytes: Vec<u8>, source: &str, verdict: Verdict) -> Self {
        Self { name, bytes, source: source.parse().expect("an address"), verdict }
    }
}

/// All of them: small, typical, worst.
pub(crate) fn all() -> Vec<Message> {
    let forward = |name, bytes, source: &str| Message::new(name, bytes, source, Verdict::Forward);
    let invite = invite();
    let (seen, backend) = forwarded(&invite, PHONE);
    let route = seen.lines().find_map(|line| line.strip_prefix("Record-Route: ")).expect("one");
    let (small_seen, small_backend) = forwarded(&small_request(), PHONE);
    let (far_seen, far_backend) = forwarded(&far_invite(), PHONE);
    let mut list = vec![
        Message::new("keep-alive", b"\r\n\r\n".to_vec(), PHONE, Verdict::Absorb),
        Message::new("OPTIONS to the edge", options(), PHONE, Verdict::Respond),
        forward("200 OK, small", answer(&small_seen), &small_backend),
        forward("INVITE", invite, PHONE),
        forward("200 OK", answer(&seen), &backend),
        forward("200 OK, 3 Vias", answer(&far_seen), &far_backend),
        forward("REGISTER", register(), PHONE),
        forward("BYE", bye(route), PHONE),
    ];
    for (name, bytes) in worst::requests() {
        if name == "INVITE, 70 Vias" {
            let (seen, backend) = forwarded(&bytes, PHONE);
            list.push(forward("200 OK, 71 Vias", answer(&seen), &backend));
        }
        list.push(forward(name, bytes, PHONE));
    }
    list
}

/// What comes out of the core, and where it goes.
fn forwarded(bytes: &[u8], source: &str) -> (String, String) {
    let mut core = Core::new(Arc::new(table()), 1, 0);
    let mut outbox = Outbox::new();
    let source = source.parse().expect("an address");
    let received = Received::datagram(bytes, source, ListenerId(0));
    assert_eq!(core.handle(Now(1), &received, &mut outbox), Verdict::Forward);
    let mut out = vec![0; 65_536];
    let size = outbox.write_to(bytes, &mut out).expect("fits");
    out.truncate(size);
    let sent = String::from_utf8(out).expect("ASCII");
    (sent, outbox.transmit().expect("sent").address().to_string())
}

fn answer(seen: &str) -> Vec<u8> {
    let mut text = String::from("SIP/2.0 200 OK\r\n");
    for line in seen.split("\r\n").skip(1).take_while(|line| !line.is_empty()) {
        if line.starts_with("To:") || line.starts_with("t:") {
            text += &format!("{line};tag=314159\r\n");
        } else if ["v", "Via", "Record", "f:", "From", "i:", "Call", "CSeq"]
            .iter()
            .any(|n| line.starts_with(n))
        {
            text += &format!("{line}\r\n");
        }
    }
    text += "Contact: <sip:bob@10.0.0.1:5060>\r\nContent-Length: 0\r\n\r\n";
    text.into_bytes()
}

fn invite() -> Vec<u8> {
    let sdp = "v=0\r\no=alice 2890844526 2890844526 IN IP4 192.168.1.20\r\ns=-\r\nc=IN IP4 192.168.1.20\r\n\
               t=0 0\r\nm=audio 49172 RTP/AVP 0 8 9 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
               a=rtpmap:9 G722/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n\
               a=ptime:20\r\na=maxptime:150\r\na=rtcp:49173 IN IP4 192.168.1.20\r\na=mid:audio\r\na=sendrecv\r\n";
    format!(
        "INVITE sip:bob@example.com SIP/2.0\r\nVia: {VIA}\r\n\
         Max-Forwards: 70\r\nFrom: \"Alice\" <sip:alice@example.com>;tag=1928301774\r\n\
         To: <sip:bob@example.com>\r\nCall-ID: {CALL_ID}\r\nCSeq: 314159 INVITE\r\n\
         Contact: <sip:alice@192.168.1.20:5062>\r\nUser-Agent: Phone/1.0\r\n\
         Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE\r\nSupported: replaces, timer\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    )
    .into_bytes()
}

fn register() -> Vec<u8> {
    b"REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.168.1.20:5062;branch=z9hG4bK776asdreg1;rport\r\n\
      Max-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag=49583\r\nTo: <sip:alice@example.com>\r\n\
      Call-ID: 1j9FpLxk3uxtm8tn@192.168.1.20\r\nCSeq: 2 REGISTER\r\n\
      Contact: <sip:alice@192.168.1.20:5062>;expires=3600\r\n\
      Authorization: Digest username=\"alice\", realm=\"example.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c0\", \
      uri=\"sip:example.com\", response=\"6629fae49393a05397450978507c4ef1\"\r\n\
      User-Agent: Phone/1.0\r\nContent-Length: 0\r\n\r\n"
        .to_vec()
}

fn options() -> Vec<u8> {
    b"OPTIONS sip:192.0.2.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.168.1.20:5062;branch=z9hG4bK776asdopt1;rport\r\n\
      Max-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag=49583\r\nTo: <sip:192.0.2.1>\r\n\
      Call-ID: a84b4c76opt@192.168.1.20\r\nCSeq: 2 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        .to_vec()
}

fn bye(route: &str) -> Vec<u8> {
    format!(
        "BYE sip:bob@10.0.0.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.168.1.20:5062;branch=z9hG4bK776asdhbye;rport\r\n\
         Max-Forwards: 70\r\nRoute: {route}\r\nFrom: \"Alice\" <sip:alice@example.com>;tag=1928301774\r\n\
         To: <sip:bob@example.com>;tag=314159\r\nCall-ID: a84b4c76e66710@192.168.1.20\r\n\
         CSeq: 314160 BYE\r\nUser-Agent: Phone/1.0\r\nContent-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

/// As short as RFC 3261 allows, nearly.
fn small_request() -> Vec<u8> {
    b"INFO sip:example.com SIP/2.0\r\nv: SIP/2.0/UDP 192.168.1.20;branch=z9hG4bK776asd\r\nMax-Forwards: 9\r\n\
      f: <sip:a@a.example>;tag=4\r\nt: <sip:b@b.example>\r\ni: a84b4c76inf\r\nCSeq: 2 INFO\r\nl: 0\r\n\r\n"
        .to_vec()
}

/// An INVITE that came over two proxies.
fn far_invite() -> Vec<u8> {
    let plain = String::from_utf8(invite()).expect("ASCII");
    let (line, rest) = plain.split_once("\r\n").expect("a request line");
    let hop = |host| {
        format!("Via: SIP/2.0/UDP {host};branch=z9hG4bKhop;received=203.0.113.7;rport=40001\r\n")
    };
    let route = |host| format!("Record-Route: <sip:{host};lr>\r\n");
    let [one, two] = ["proxy1.example.com", "proxy2.example.com:5070"];
    let (vias, routes) = (hop(one) + &hop(two), route(one) + &route(two));
    format!("{line}\r\n{vias}{routes}{rest}").into_bytes()
}
