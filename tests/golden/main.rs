//! Golden calls: whole exchanges through the core, with the exact bytes and the next hop of each step.
//!
//! Owns: the table below and the reading of `.golden` files (README.md beside this file tells their form).
//! `UPDATE=1 cargo test --test golden` rewrites what is expected; the diff is for review.

mod script;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use script::{Script, Step};
use sipedge::sip::balance::{Balance, Member, Spec};
use sipedge::sip::core::Core;
use sipedge::sip::outbox::Outbox;
use sipedge::sip::route::table::{
    Action, Backend, Key, KeySource, Limits, Listener, Parts, PathPolicy, Pool, Rule, Table,
};
use sipedge::sip::{ListenerId, MESSAGE_BYTES_MAX, Now, Received, Verdict};

/// Name and bound address of each listener; `public` advertises another address.
const LISTENERS: [(&str, &str); 3] =
    [("public", "192.0.2.1:5060"), ("private", "10.0.0.9:5060"), ("six", "[2001:db8::1]:5060")];
const BACKENDS: [&str; 3] = ["10.0.0.1:5060", "10.0.0.2:5060", "10.0.0.3:5060"];

fn listener(name: &str, address: &str) -> Listener {
    let (host, port) = address.rsplit_once(':').expect("a literal address with a port");
    let host = if name == "public" { "203.0.113.5" } else { host };
    Listener {
        name: name.into(),
        address: address.parse().expect("a literal address"),
        host: host.into(),
        port: port.parse().expect("a literal port"),
    }
}

fn pool() -> Pool {
    let backends: Vec<Backend> = BACKENDS
        .iter()
        .map(|address| {
            Backend::new(format!("sip:{address}"), address.parse().expect("a literal address"))
        })
        .collect();
    let members: Vec<Member<'_>> = backends
        .iter()
        .map(|backend| Member { identity: backend.uri.as_bytes(), weight: 1, rweight: 1 })
        .collect();
    let spec = Spec::parse("rendezvous").expect("a known balance");
    let balance = Balance::compile(&spec, &members, 1).expect("three members");
    Pool {
        send_from: Some(ListenerId(1)),
        ..Pool::new("calls".into(), KeySource::CallId, balance, backends)
    }
}

fn rule(domain: &str, action: Action) -> Rule {
    Rule {
        needs_token: false,
        methods: vec![],
        other_methods: vec![],
        listeners: vec![],
        domains: vec![domain.into()],
        action,
        record_route: true,
        path: PathPolicy::Supported,
    }
}

fn core() -> Core {
    let table = Table::new(Parts {
        shards: 1,
        listeners: LISTENERS.iter().map(|(name, address)| listener(name, address)).collect(),
        pools: vec![pool()],
        rules: vec![
            rule("example.com", Action::Pool(0)),
            rule("blocked.example", Action::Reply(403)),
            rule("silent.example", Action::Drop),
        ],
        keys: vec![Key { id: 1, secret: [7; 32] }],
        limits: Limits::default(),
        aliases: vec![],
        is_draining: false,
        sides: Default::default(),
    });
    Core::new(Arc::new(table), 1, 0)
}

/// What came of one message, as a `.golden` file writes it.
fn outcome(core: &mut Core, outbox: &mut Outbox, step: &Step, input: &[u8]) -> (String, Vec<u8>) {
    let place = LISTENERS.iter().position(|(name, _)| *name == step.listener);
    let listener =
        ListenerId(u8::try_from(place.expect("a listener of the table")).expect("three"));
    let received = Received::datagram(input, step.source, listener);
    let verdict = match core.handle(Now(step.at_seconds * 1_000_000), &received, outbox) {
        Verdict::Absorb => return ("absorb".into(), vec![]),
        Verdict::Drop(reason) => return (format!("drop {}", reason.label()), vec![]),
        Verdict::Forward => "forward",
        Verdict::Respond => "respond",
    };
    let mut out = vec![0; MESSAGE_BYTES_MAX];
    let len = outbox.write_to(input, &mut out).expect("the edited message fits");
    out.truncate(len);
    let transmit = outbox.transmit().expect("a verdict to send comes with a next hop");
    let from = LISTENERS[usize::from(transmit.listener().0)].0;
    (format!("{verdict} {from} {}", transmit.address()), out)
}

fn scripts() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut found: Vec<PathBuf> = std::fs::read_dir(root)
        .expect("the folder of this test")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "golden"))
        .collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

#[test]
fn each_exchange_goes_as_written() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut problems = Vec::new();
    for path in scripts() {
        let text = std::fs::read_to_string(&path).expect("a readable file");
        let mut script = Script::parse(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let (mut core, mut outbox) = (core(), Outbox::new());
        let mut last_out: Vec<u8> = Vec::new();
        let mut route_set: Vec<u8> = Vec::new();
        for (number, step) in script.steps.iter_mut().enumerate() {
            let input = step.input(&last_out, &route_set);
            let (verdict, out) = outcome(&mut core, &mut outbox, step, &input);
            let found = script::readable(&verdict, &out);
            if found != step.expected {
                problems.push(format!(
                    "{} step {}: expected\n{}\nfound\n{found}",
                    path.display(),
                    number + 1,
                    step.expected
                ));
                step.expected = found;
            }
            let routes = script::fields_of(&out, &["record-route", "path"]);
            if !routes.is_empty() {
                route_set = routes;
            }
            last_out = out;
        }
        if update {
            std::fs::write(&path, script.to_string()).expect("a writable file");
        }
    }
    assert!(update || problems.is_empty(), "{}", problems.join("\n\n"));
}
