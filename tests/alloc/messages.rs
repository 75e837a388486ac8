//! Typical messages and the table that they go through; shared by the allocation test and the bench.

use std::net::SocketAddr;
use std::sync::Arc;

use sipedge::sip::balance::{BackendSet, Balance, Member, Spec};
use sipedge::sip::core::Core;
use sipedge::sip::message::Method;
use sipedge::sip::outbox::Outbox;
use sipedge::sip::route::table::{
    Action, Backend, Key, KeySource, Limits, Listener, Parts, Pool, Rule, Table,
};
use sipedge::sip::{ListenerId, Now, Received, Verdict};

/// Where the phone is.
const PHONE: &str = "203.0.113.7:40001";

/// One listener, one rendezvous pool of ten, one rule.
pub(crate) fn table() -> Table {
    let backends: Vec<Backend> = (1..=10_u8)
        .map(|n| Backend {
            uri: format!("sip:10.0.0.{n}:5060"),
            address: SocketAddr::from(([10, 0, 0, n], 5060)),
        })
        .collect();
    let member = |b: &'static str| Member { identity: b.as_bytes(), weight: 1, rweight: 0 };
    let members: Vec<Member<'_>> =
        backends.iter().map(|b| Member { identity: b.uri.as_bytes(), ..member("") }).collect();
    let spec = Spec::parse("rendezvous").expect("a balance");
    let pool = Pool {
        name: "pool".into(),
        key: KeySource::CallId,
        balance: Balance::compile(&spec, &members, 1).expect("compiles"),
        usable: BackendSet::full(backends.len()),
        backends,
        send_from: None,
        match_source_ip: false,
    };
    let rule = Rule {
        methods: Method::ALL.to_vec(),
        other_methods: vec![],
        listeners: vec![],
        domains: vec![],
        action: Action::Pool(0),
        record_route: true,
        path: true,
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
    })
}

/// Name, bytes, source.
pub(crate) fn typical() -> Vec<(&'static str, Vec<u8>, String)> {
    let invite = invite();
    let (sent, backend) = forwarded(&invite, PHONE);
    let seen = String::from_utf8(sent).expect("ASCII");
    let ok = answer(&seen);
    let route = seen.lines().find_map(|line| line.strip_prefix("Record-Route: ")).expect("one");
    let bye = format!(
        "BYE sip:bob@10.0.0.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.168.1.20:5062;branch=z9hG4bK776asdhbye;rport\r\n\
         Max-Forwards: 70\r\nRoute: {route}\r\nFrom: \"Alice\" <sip:alice@example.com>;tag=1928301774\r\n\
         To: <sip:bob@example.com>;tag=314159\r\nCall-ID: a84b4c76e66710@192.168.1.20\r\n\
         CSeq: 314160 BYE\r\nUser-Agent: Phone/1.0\r\nContent-Length: 0\r\n\r\n"
    );
    vec![
        ("INVITE", invite, PHONE.into()),
        ("200 OK", ok, backend),
        ("REGISTER", register(), PHONE.into()),
        ("BYE", bye.into_bytes(), PHONE.into()),
        ("OPTIONS to the edge", options(), PHONE.into()),
    ]
}

/// Makes each message a transaction of its own, as on a real edge: writes a number into its branch and Call-ID. Without
/// it, all but the first are retransmissions. Responses stay as they are: they are sealed.
pub(crate) struct Variation {
    places: Vec<usize>,
}

/// Digits of the number.
const DIGITS: usize = 6;

impl Variation {
    /// For one of [`typical`].
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes).expect("ASCII");
        let behind = |what: &str| text.find(what).map(|at| at + what.len());
        let places = [behind(";branch=z9hG4bK"), behind("Call-ID: ")].into_iter().flatten();
        let is_request = !text.starts_with("SIP/2.0");
        Self { places: places.filter(|_| is_request).collect() }
    }

    /// Writes `number`.
    pub(crate) fn apply(&self, bytes: &mut [u8], number: usize) {
        for &place in &self.places {
            for (digit, byte) in bytes[place..][..DIGITS].iter_mut().enumerate() {
                *byte = b'a' + u8::try_from(number >> (4 * digit) & 15).expect("four bits");
            }
        }
    }
}

/// What comes out of the core, and where it goes.
fn forwarded(bytes: &[u8], source: &str) -> (Vec<u8>, String) {
    let mut core = Core::new(Arc::new(table()), 1, 0);
    let mut outbox = Outbox::new();
    let source = source.parse().expect("an address");
    let received = Received { bytes, source, listener: ListenerId(0), truncated: false };
    assert_eq!(core.handle(Now(1), &received, &mut outbox), Verdict::Forward);
    let mut out = vec![0; 65_536];
    let size = outbox.write_to(bytes, &mut out).expect("fits");
    out.truncate(size);
    (out, outbox.transmit().expect("sent").destination.to_string())
}

fn answer(seen: &str) -> Vec<u8> {
    let mut text = String::from("SIP/2.0 200 OK\r\n");
    for line in seen.split("\r\n").skip(1).take_while(|line| !line.is_empty()) {
        if line.starts_with("To:") {
            text += &format!("{line};tag=314159\r\n");
        } else if ["Via", "Record", "From", "Call", "CSeq"].iter().any(|n| line.starts_with(n)) {
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
        "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.168.1.20:5062;branch=z9hG4bK776asdhds;rport\r\n\
         Max-Forwards: 70\r\nFrom: \"Alice\" <sip:alice@example.com>;tag=1928301774\r\n\
         To: <sip:bob@example.com>\r\nCall-ID: a84b4c76e66710@192.168.1.20\r\nCSeq: 314159 INVITE\r\n\
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
