//! The admin listener over real connections on loopback, in front of a node that the test plays.

use std::io::{Read as _, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{Receiver, channel, sync_channel};
use std::time::Duration;

use super::*;
use crate::config::{ReadyNeeds, secret};
use crate::control::event::{Ask, Command, Outcome, Scrape};
use crate::control::view;
use crate::trace::TraceCounts;

mod guards;
mod refusals;
mod streams;

const PATIENCE: Duration = Duration::from_secs(20);
const TOKEN: &str = "0123456789abcdef";

/// A served page; what it told the node comes out of `told`.
struct Served {
    address: SocketAddr,
    page: Arc<Page>,
    told: Receiver<Command>,
}

fn token() -> Option<Token> {
    Some(secret::token(TOKEN, Path::new(".")).unwrap())
}

fn node(uptime_ms: u64) -> view::Node {
    let pool = |name: &str| view::Pool {
        name: name.to_owned(),
        key: "call-id".to_owned(),
        balance: "rendezvous".to_owned(),
        load_cap: None,
        failover: None,
        probe: None,
        believes_traffic: true,
        is_routed: false,
        meter: 0,
        backends: Vec::new(),
        leaving: Vec::new(),
    };
    let pools = vec![pool("servers"), pool("a / b")];
    view::Node {
        name: "edge".to_owned(),
        uptime_ms,
        at_ms: 1_000 + uptime_ms,
        pools,
        ..view::Node::default()
    }
}

fn page(events: SyncSender<Event>, token: Option<Token>) -> Arc<Page> {
    let ready_needs = ReadyNeeds::default();
    let admin = Admin { listen: None, socket: None, token, hosts: Vec::new(), ready_needs };
    Arc::new(Page::new(events, "a", &admin))
}

/// Plays the node: takes commands as `outcome` says, and shows a view whose clock goes on with each look.
fn serve(token: Option<Token>, outcome: impl Fn(&Command) -> Outcome + Send + 'static) -> Served {
    let (events, asked) = sync_channel(16);
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let mut uptime_ms = 0;
        for event in asked {
            uptime_ms += 1_000;
            match event {
                Event::Ask(Ask::Scrape(answer)) => {
                    let snapshot = datapath::Snapshot { shards: Vec::new(), picks: Vec::new() };
                    let traces = TraceCounts::default();
                    drop(answer.send(Ok(Scrape { snapshot, view: node(uptime_ms), traces })));
                }
                Event::Ask(Ask::Do(command, answer)) => {
                    let _ = answer.send(outcome(&command));
                    let _ = tell.send(command);
                }
                Event::Ask(Ask::Decisions(answer)) => {
                    drop(answer.send(Some(vec!["{\"method\":\"INVITE\"}".to_owned()])));
                }
                Event::Signal(_) | Event::Report(_) | Event::Resolved(_) => {}
            }
        }
    });
    let page = page(events, token);
    let address = start(Some(any_port()), None, Arc::clone(&page), true).unwrap().address.unwrap();
    Served { address, page, told }
}

fn well(_: &Command) -> Outcome {
    Outcome::Done(vec!["as you say".to_owned()])
}

fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// Sends `text` and reads until the other side ends.
fn exchange(mut stream: impl std::io::Read + Write, text: &[u8]) -> String {
    stream.write_all(text).unwrap();
    let mut answer = Vec::new();
    // A refusal may end the connection before all was read, which the kernel calls a reset.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn request(address: SocketAddr, method: &str, path: &str, fields: &str) -> String {
    let text = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n");
    exchange(connect(address), text.as_bytes())
}

fn look(address: SocketAddr, path: &str) -> String {
    request(address, "GET", path, "")
}

#[test]
fn health_follows_the_drain() {
    let served = serve(None, well);
    assert!(look(served.address, "/healthz").starts_with("HTTP/1.1 200"));
    served.page.draining.store(true, Ordering::Relaxed);
    let answer = look(served.address, "/healthz");
    assert!(answer.starts_with("HTTP/1.1 503") && answer.ends_with("draining\n"), "{answer}");
    assert!(look(served.address, "/metrics").contains("\nsipedge_draining 1\n"));
}

#[test]
fn a_node_that_does_not_answer_is_said() {
    let (events, asked) = sync_channel(16);
    drop(asked);
    let address = start(Some(any_port()), None, page(events, None), true).unwrap().address.unwrap();
    for path in ["/metrics", "/api/v1/node", "/api/v1/pools", "/api/v1/rates"] {
        let answer = look(address, path);
        assert!(
            answer.starts_with("HTTP/1.1 503") && answer.contains("the node has ended"),
            "{answer}"
        );
    }
    assert!(look(address, "/healthz").starts_with("HTTP/1.1 200"), "the listener itself lives");
}

#[test]
fn an_address_in_use_says_what_to_do() {
    let taken = TcpListener::bind(any_port()).unwrap();
    let page = page(sync_channel(1).0, None);
    let error = start(Some(taken.local_addr().unwrap()), None, page, true).err().unwrap();
    assert!(error.contains("[admin] listen"), "{error}");
}

#[test]
fn the_socket_is_for_its_group_and_replaces_only_a_dead_one() {
    let path = std::env::temp_dir().join(format!("sipedge-admin-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    // A process that died leaves its socket.
    drop(UnixListener::bind(&path).unwrap());
    let (events, asked) = sync_channel(16);
    std::thread::spawn(move || {
        for event in asked {
            if let Event::Ask(Ask::Do(_, answer)) = event {
                let _ = answer.send(Outcome::Done(Vec::new()));
            }
        }
    });
    let page = page(events, None);
    let started = start(None, Some(&path), Arc::clone(&page), true).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    let stream = UnixStream::connect(&path).unwrap();
    let answer =
        exchange(stream, b"POST /api/v1/reload HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("{\"done\":[]}"), "{answer}");

    let error = start(None, Some(&path), page, true).err().unwrap();
    assert!(
        error.contains("another process listens there") && error.contains("[admin] socket"),
        "{error}"
    );
    drop(started);
    assert!(!path.exists(), "the file goes with the node");
}

#[test]
fn a_file_of_another_stays() {
    let path = std::env::temp_dir().join(format!("sipedge-stays-{}.sock", std::process::id()));
    std::fs::write(&path, "kept").unwrap();
    let error = socket::bind(&path).err().unwrap();
    assert!(error.contains("no socket"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"kept");
    std::fs::remove_file(&path).unwrap();
    let (_listener, ours) = socket::bind(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let (_other, theirs) = socket::bind(&path).unwrap();
    drop(ours);
    assert!(path.exists(), "another process has bound this path since");
    drop(theirs);
    assert!(!path.exists());
}

#[test]
fn every_answer_says_what_a_browser_may_do() {
    let served = serve(None, well);
    for path in ["/", "/page.js", "/draw.js", "/page.css", "/api/v1/node", "/metrics", "/nothing"] {
        let answer = look(served.address, path);
        for field in [
            "content-security-policy: default-src 'none'; script-src 'self'",
            "x-content-type-options: nosniff",
            "cache-control: no-store",
            "referrer-policy: no-referrer",
        ] {
            assert!(answer.contains(field), "{field} not in {path}: {answer}");
        }
    }
    let page = look(served.address, "/");
    // What the policy forbids must not be in the page: it would silently not work.
    for forbidden in [" onclick=", " style=", "<style", "javascript:", "http://", "https://"] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
}

#[test]
fn each_described_path_is_served_and_each_served_path_is_described() {
    let document: serde_json::Value = serde_json::from_str(api::OPENAPI).unwrap();
    let described: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    let mut served: Vec<&str> = api::routes().iter().map(|(path, _)| *path).collect();
    served.sort_unstable();
    assert_eq!(described, served);
    let page = serve(None, well);
    for (path, methods) in document["paths"].as_object().unwrap() {
        let path = path
            .replace("{pool}", "servers")
            .replace("{uri}", "sip%3Aa")
            .replace("{action}", "drain");
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
            if path.ends_with("/events") && method == "GET" {
                continue;
            }
            let answer = request(page.address, method, &path, "");
            let is_known =
                !answer.starts_with("HTTP/1.1 405") && !answer.starts_with("HTTP/1.1 404");
            let is_described = methods.get(method.to_lowercase()).is_some();
            assert_eq!(is_known, is_described, "{method} {path}: {answer}");
        }
    }
}
