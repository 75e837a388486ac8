//! The edge in the place of the recorded Kamailio: its sockets, its next hop, and what is compared of a message.
//!
//! Owns: driving the real core, and taking our own lines off what it sends. Knows no single vector.

use std::net::SocketAddr;
use std::sync::Arc;

use sipedge::sip::balance::{BackendSet, Balance, Member, Spec};
use sipedge::sip::core::Core;
use sipedge::sip::outbox::Outbox;
use sipedge::sip::route::table::{
    Action, Backend, Key, KeySource, Limits, Listener, Parts, PathPolicy, Pool, Rule, Table,
};
use sipedge::sip::{ListenerId, Now, Received, Verdict};

use crate::vector::{Vector, address};

/// Bound to, and written as; the last one has an advertised address.
const LISTENERS: [(&str, &str, u16); 4] = [
    ("192.0.2.1:5060", "192.0.2.1", 5060),
    ("[2001:db8::1]:5060", "[2001:db8::1]", 5060),
    ("192.0.2.1:5070", "192.0.2.1", 5070),
    ("192.0.2.3:5060", "203.0.113.5", 5080),
];

/// What the configuration of a group comes to.
#[derive(Clone)]
pub(crate) struct Shape {
    pub backends: Vec<String>,
    pub balance: String,
    pub key: KeySource,
    /// The socket towards the pool, an index into [`LISTENERS`].
    pub send_from: Option<u8>,
    /// How the first listener is written.
    pub written: (&'static str, u16),
    /// Answer all requests with this.
    pub reply: Option<u16>,
    /// Record-Route and Path.
    pub own_routes: bool,
    /// A backend may send from any port.
    pub match_source_ip: bool,
    /// No backend gets new keys.
    pub all_out: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            backends: vec!["198.51.100.20:5060".into()],
            balance: "rendezvous".into(),
            key: KeySource::CallId,
            send_from: None,
            written: ("192.0.2.1", 5060),
            reply: None,
            own_routes: false,
            match_source_ip: false,
            all_out: false,
        }
    }
}

impl Shape {
    pub(crate) fn with_own_routes() -> Self {
        Self { own_routes: true, ..Self::default() }
    }

    pub(crate) fn with_backend(self, backend: &str) -> Self {
        Self { backends: vec![backend.into()], ..self }
    }

    fn listeners(&self) -> Vec<Listener> {
        let named = |(place, (bound, host, port)): (usize, (&str, &str, u16))| {
            let (host, port) = if place == 0 { self.written } else { (host, port) };
            Listener { name: bound.into(), address: address(bound), host: host.into(), port }
        };
        LISTENERS.into_iter().enumerate().map(named).collect()
    }

    fn pool(&self) -> Pool {
        let backends: Vec<Backend> = self
            .backends
            .iter()
            .map(|text| Backend::new(format!("sip:{text}"), address(text)))
            .collect();
        let members: Vec<Member<'_>> = backends
            .iter()
            .map(|b| Member { identity: b.uri.as_bytes(), weight: 1, rweight: 0 })
            .collect();
        let spec = Spec::parse(&self.balance).expect("a balance");
        let balance = Balance::compile(&spec, &members, 1).expect("these members");
        let pool = Pool::new("next hop".into(), self.key.clone(), balance, backends);
        Pool {
            send_from: self.send_from.map(ListenerId),
            match_source_ip: self.match_source_ip,
            usable: if self.all_out { BackendSet::empty() } else { pool.usable },
            ..pool
        }
    }

    fn table(&self) -> Table {
        let rule = Rule {
            needs_token: false,
            methods: vec![],
            other_methods: vec![],
            listeners: vec![],
            domains: vec![],
            action: self.reply.map_or(Action::Pool(0), Action::Reply),
            record_route: self.own_routes,
            path: if self.own_routes { PathPolicy::Always } else { PathPolicy::Never },
        };
        Table::new(Parts {
            shards: 1,
            listeners: self.listeners(),
            pools: vec![self.pool()],
            rules: vec![rule],
            keys: vec![Key { id: 1, secret: [7; 32] }],
            limits: Limits { transactions_max: 64, ..Limits::default() },
            aliases: vec![],
            is_draining: false,
            sides: Default::default(),
        })
    }
}

/// A message that left.
pub(crate) struct Sent {
    pub text: String,
    pub to: SocketAddr,
    /// The socket that sent it.
    pub from: SocketAddr,
    pub is_answer: bool,
}

/// The edge under test.
pub(crate) struct Edge {
    core: Core,
    outbox: Outbox,
}

impl Edge {
    pub(crate) fn new(shape: &Shape) -> Self {
        Self { core: Core::new(Arc::new(shape.table()), 1, 0), outbox: Outbox::new() }
    }

    /// `Err`: it went nowhere.
    pub(crate) fn handle(
        &mut self,
        text: &str,
        source: SocketAddr,
        to: SocketAddr,
    ) -> Result<Sent, Verdict> {
        let listener = self.core.table().listener_at(to).expect("a socket of the recording");
        let bytes = text.as_bytes();
        let received = Received::datagram(bytes, source, listener);
        let verdict = self.core.handle(Now(1_000_000), &received, &mut self.outbox);
        let is_answer = match verdict {
            Verdict::Forward => false,
            Verdict::Respond => true,
            verdict => return Err(verdict),
        };
        let mut out = vec![0; 66_000];
        let size = self.outbox.write_to(bytes, &mut out).expect("a datagram");
        let transmit = self.outbox.transmit().expect("a next hop");
        Ok(Sent {
            text: String::from_utf8(out[..size].to_vec()).expect("the vectors are UTF-8"),
            to: transmit.address(),
            from: self.core.table().listener(transmit.listener()).expect("a listener").address,
            is_answer,
        })
    }

    /// The request of a vector, sent on.
    pub(crate) fn forward(&mut self, vector: &Vector<'_>) -> Sent {
        self.forward_text(vector.input(), vector)
    }

    /// `text` in the place of the request of a vector.
    pub(crate) fn forward_text(&mut self, text: &str, vector: &Vector<'_>) -> Sent {
        let sent = self.handle(text, vector.source(), vector.address("to"));
        let sent = sent.unwrap_or_else(|verdict| panic!("{verdict:?}: {}", vector.case()));
        assert!(!sent.is_answer, "{}: {}", vector.case(), sent.text);
        sent
    }

    /// Our answer to the request of a vector.
    pub(crate) fn answer(&mut self, vector: &Vector<'_>) -> Sent {
        let sent = self.handle(vector.input(), vector.source(), vector.address("to"));
        let sent = sent.unwrap_or_else(|verdict| panic!("{verdict:?}: {}", vector.case()));
        assert!(sent.is_answer, "{}: {}", vector.case(), sent.text);
        sent
    }
}

/// A request that we sent, taken apart.
#[derive(Debug, PartialEq)]
pub(crate) struct Ours {
    /// Our Via line, with its line end.
    pub via: String,
    /// The URIs of our Record-Route or Path, the top one first.
    pub routes: Vec<String>,
    /// The name of the fields that they stood in.
    pub routes_name: String,
    /// All other bytes.
    pub rest: String,
}

impl Ours {
    /// Our lines stand behind the first line, the Via on top; nothing else is taken off.
    pub(crate) fn new(text: &str) -> Self {
        let start = text.len() - text.trim_start_matches(['\r', '\n']).len();
        let behind_first = start + text[start..].find('\n').expect("a first line") + 1;
        let (mut rest, mut behind) = (text[..behind_first].to_owned(), &text[behind_first..]);
        let via = take_line(&mut behind);
        assert!(via.starts_with("Via: SIP/2.0/UDP "), "{text}");
        assert!(via.contains(";branch=z9hG4bK~e~") && via.contains(";e="), "{text}");
        // What goes with the Path of a phone that does not say it: `path = "always"`.
        if let Some(below) = behind.strip_prefix("Supported: path\r\n")
            && own_route(below).is_some()
        {
            behind = below;
        }
        let (mut routes, mut routes_name) = (Vec::new(), String::new());
        while let Some((name, uri)) = own_route(behind) {
            take_line(&mut behind);
            routes.push(uri);
            routes_name = name;
        }
        rest += behind;
        Self { via, routes, routes_name, rest }
    }
}

fn take_line(text: &mut &str) -> String {
    let end = text.find('\n').expect("a line") + 1;
    let (line, behind) = text.split_at(end);
    *text = behind;
    line.to_owned()
}

fn own_route(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once("\r\n")?.0.split_once(": <")?;
    let uri = value.strip_suffix('>')?;
    let is_own = ["Record-Route", "Path"].contains(&name) && uri.contains(":~e~");
    is_own.then(|| (name.to_owned(), uri.to_owned()))
}

/// The lines that are not `gone`, which must be `count`.
pub(crate) fn without(text: &str, count: usize, gone: impl Fn(&str) -> bool) -> String {
    let lines = text.split_inclusive('\n');
    assert_eq!(lines.clone().filter(|line| gone(line)).count(), count, "{text}");
    lines.filter(|line| !gone(line)).collect()
}

/// What Kamailio sent, without its own Via.
pub(crate) fn without_their_via(vector: &Vector<'_>) -> String {
    without(vector.out(), 1, |line| is_their_via(line, vector))
}

pub(crate) fn is_their_via(line: &str, vector: &Vector<'_>) -> bool {
    line.starts_with("Via: SIP/2.0/UDP ") && line.contains(vector.text("branch"))
}

/// RFC 3261 16.6 step 3; `forward()` alone leaves this to the script.
pub(crate) fn decremented(text: &str) -> String {
    let lines = text.split_inclusive('\n').map(|line| match line.strip_prefix("Max-Forwards: ") {
        Some(hops) => {
            let hops: u32 = hops.trim_end().parse().expect("a number");
            format!("Max-Forwards: {}\r\n", hops - 1)
        }
        None => line.to_owned(),
    });
    lines.collect()
}
