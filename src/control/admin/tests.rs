//! The admin page over real connections on loopback.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::*;
use crate::control::view;
use crate::datapath;

fn page(scrape: Scraper) -> Arc<Page> {
    Arc::new(Page { draining: AtomicBool::new(false), scrape })
}

fn nothing() -> Scrape {
    let snapshot = datapath::Snapshot { shards: Vec::new(), picks: Vec::new() };
    Scrape { snapshot, view: view::Node::default() }
}

fn request(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

#[test]
fn health_follows_the_drain() {
    let page = page(Box::new(|| Ok(nothing())));
    let address = start(any_port(), Arc::clone(&page)).unwrap();
    assert!(request(address, "/healthz").starts_with("HTTP/1.1 200"));
    page.draining.store(true, Ordering::Relaxed);
    let answer = request(address, "/healthz");
    assert!(answer.starts_with("HTTP/1.1 503") && answer.ends_with("draining\n"), "{answer}");
    assert!(request(address, "/metrics").contains("\nsipedge_draining 1\n"));
    assert!(request(address, "/nothing").starts_with("HTTP/1.1 404"));
}

#[test]
fn shards_that_do_not_answer_are_said() {
    let page = page(Box::new(|| Err("shard 1 does not answer".to_owned())));
    let address = start(any_port(), page).unwrap();
    let answer = request(address, "/metrics");
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("shard 1"), "{answer}");
}

#[test]
fn an_address_in_use_says_what_to_do() {
    let taken = TcpListener::bind(any_port()).unwrap();
    let page = page(Box::new(|| Ok(nothing())));
    let error = start(taken.local_addr().unwrap(), page).unwrap_err();
    assert!(error.contains("[admin] listen"), "{error}");
}

#[test]
fn a_connection_that_says_nothing_is_ended_and_its_place_is_free_again() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let page = page(Box::new(|| Ok(nothing())));
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind(any_port()).await.unwrap();
            sender.send(listener.local_addr().unwrap()).unwrap();
            let listener = Bounded::new(listener, 1, Duration::from_millis(100));
            axum::serve(listener, router(page)).await.unwrap();
        });
    });
    let address = receiver.recv().unwrap();
    let mut silent = TcpStream::connect(address).unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    // Waits for the only place, which the silent connection has until its time is over.
    assert!(request(address, "/healthz").starts_with("HTTP/1.1 200"));
    assert!(matches!(silent.read(&mut [0; 16]), Ok(0) | Err(_)));
}
