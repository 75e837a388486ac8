//! Who is let in: names of other sites, scrapers that hold all places, loops that would make the shards count.

use std::sync::atomic::AtomicUsize;
use tokio::time::Instant;

use super::*;

fn ask_as(address: SocketAddr, path: &str, host: &str) -> String {
    let text = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    exchange(connect(address), text.as_bytes())
}

#[test]
fn a_page_that_reached_us_by_its_own_name_reads_nothing() {
    let served = serve(token(), well);
    let port = served.address.port();
    for path in
        ["/", "/metrics", "/api/v1/node", "/api/v1/decisions", "/api/v1/openapi.json", "/nothing"]
    {
        let answer = ask_as(served.address, path, &format!("evil.example:{port}"));
        assert!(answer.starts_with("HTTP/1.1 421"), "{path}: {answer}");
        assert!(answer.contains("[admin]") && !answer.contains("servers"), "{path}: {answer}");
    }
    // Its Origin and its Host are equal, and it may even know the token.
    let text = format!(
        "POST /api/v1/reload HTTP/1.1\r\nHost: evil.example:{port}\r\nOrigin: http://evil.example:{port}\r\n\
         Authorization: Bearer {TOKEN}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    let answer = exchange(connect(served.address), text.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 421"), "{answer}");
    assert!(served.told.try_recv().is_err(), "nothing was done");
    for host in
        [format!("127.0.0.1:{port}"), format!("localhost:{port}"), "a".to_owned(), "A.".to_owned()]
    {
        assert!(
            ask_as(served.address, "/api/v1/node", &host).starts_with("HTTP/1.1 200"),
            "{host}"
        );
    }
    // A load balancer asks by a name of its own, and learns no names of pools.
    let answer = ask_as(served.address, "/healthz", "lb.example");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok\n"), "{answer}");
}

/// A node that is only looked at; counts how often.
fn looked_at(view: fn() -> view::Node) -> (SocketAddr, Arc<AtomicUsize>) {
    let (events, asked) = sync_channel(64);
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reads);
    std::thread::spawn(move || {
        for event in asked {
            if let Event::Ask(Ask::Scrape(answer)) = event {
                counted.fetch_add(1, Ordering::Relaxed);
                let snapshot = datapath::Snapshot { shards: Vec::new(), picks: Vec::new() };
                let traces = TraceCounts::default();
                drop(answer.send(Ok(Scrape { snapshot, view: view(), traces })));
            }
        }
    });
    let started = start(Some(any_port()), None, page(events, None), true).unwrap();
    (started.address.unwrap(), reads)
}

#[test]
fn healthz_names_the_pools_that_nobody_serves() {
    let (address, _) = looked_at(|| {
        let mut node = node(1_000);
        node.pools.iter_mut().for_each(|pool| pool.is_routed = true);
        node
    });
    // What is asked first waits for a reading.
    look(address, "/api/v1/node");
    let answer = look(address, "/healthz");
    let told = "not ready\npool servers: no usable backend\npool a / b: no usable backend\n";
    assert!(answer.starts_with("HTTP/1.1 503") && answer.ends_with(told), "{answer}");
    let answer = ask_as(address, "/healthz", "lb.example");
    assert!(answer.starts_with("HTTP/1.1 503") && answer.ends_with("not ready\n"), "{answer}");
    assert!(!answer.contains("servers"), "{answer}");
}

#[test]
fn who_holds_all_places_over_tcp_keeps_no_operator_waiting() {
    const SHORT: Duration = Duration::from_millis(300);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let places = Places::new(3, 1, 1);
        let take = |is_local, time| tokio::time::timeout(time, places.take(is_local));
        let first = take(false, PATIENCE).await.unwrap();
        let second = take(false, PATIENCE).await.unwrap();
        let held = [first.0.busy(), second.0.busy()];
        // The third place is kept.
        assert!(take(false, SHORT).await.is_err(), "it has to wait");
        let local = take(true, PATIENCE).await.expect("an operator comes in at once");
        // However quiet it is, nobody from outside gets it.
        assert!(take(false, SHORT).await.is_err());
        local.0.read(true);
        assert!(take(true, PATIENCE).await.is_ok(), "one operator may take the place of another");
        drop((held, first, second, local));
        assert!(take(false, PATIENCE).await.is_ok());
    });
}

#[test]
fn the_node_is_read_once_a_second_whoever_looks() {
    let (address, reads) = looked_at(|| node(1_000));
    let begun = Instant::now();
    for _ in 0..60 {
        for path in
            ["/metrics", "/api/v1/node", "/api/v1/pools/servers", "/api/v1/rates", "/healthz"]
        {
            look(address, path);
        }
    }
    // The first reading, and one for each second that began meanwhile.
    let most = 2 + usize::try_from(begun.elapsed().as_secs()).unwrap();
    let read = reads.load(Ordering::Relaxed);
    assert!((1..=most).contains(&read), "{read} readings, {most} at most");
}
