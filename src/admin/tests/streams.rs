//! Places: silent connections delay nobody, streams have places of their own, readers that stall are cut.

use super::*;

/// Opens an event stream and reads its first snapshot.
fn stream(address: SocketAddr) -> (std::io::BufReader<TcpStream>, String) {
    let mut stream = connect(address);
    write!(stream, "GET /api/v1/events HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut reader = std::io::BufReader::new(stream);
    let event = next(&mut reader);
    (reader, event)
}

/// The next line with data.
fn next(reader: &mut impl std::io::BufRead) -> String {
    let mut line = String::new();
    loop {
        line.clear();
        assert_ne!(reader.read_line(&mut line).unwrap(), 0, "the stream ended");
        if let Some(json) = line.strip_prefix("data: ") {
            return json.trim_end().to_owned();
        }
    }
}

#[test]
fn silent_connections_delay_nobody() {
    let served = serve(None, well);
    let silent: Vec<TcpStream> = (0..3 * PLAIN_PLACES).map(|_| connect(served.address)).collect();
    // Half of them have begun a request that never ends.
    for mut stream in silent.iter().step_by(2) {
        let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost:");
    }
    for _ in 0..10 {
        assert!(look(served.address, "/healthz").starts_with("HTTP/1.1 200"));
    }
    // Those that gave way were told so, by an end.
    let mut first = &silent[0];
    assert!(matches!(first.read(&mut [0; 16]), Ok(0) | Err(_)));
}

#[test]
fn many_that_come_at_once_are_all_served() {
    let served = serve(None, well);
    let mut all: Vec<TcpStream> = (0..3 * PLAIN_PLACES).map(|_| connect(served.address)).collect();
    for stream in &mut all {
        write!(stream, "GET /api/v1/events HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    }
    for (number, stream) in all.into_iter().enumerate() {
        let mut reader = std::io::BufReader::new(stream);
        assert!(next(&mut reader).contains("\"edge\""), "number {number}");
    }
}

#[test]
fn streams_have_places_of_their_own_and_get_the_same() {
    let served = serve(None, well);
    let count = PLAIN_PLACES + 8;
    let mut streams: Vec<_> = (0..count).map(|_| stream(served.address).0).collect();
    assert!(
        look(served.address, "/metrics").contains(&format!("\nsipedge_event_streams {count}\n"))
    );
    let mut newest = streams.iter_mut().map(next).collect::<Vec<_>>();
    let json: serde_json::Value = serde_json::from_str(&newest[0]).unwrap();
    assert_eq!(json["node"]["name"], "edge");
    // All saw some second; those that saw the same one saw the same bytes.
    newest.sort();
    newest.dedup();
    assert!(newest.len() <= 3, "{}", newest.len());
    drop(streams);
    let mut open = count;
    for _ in 0..600 {
        open = served.page.places.streams();
        if open == 0 {
            break;
        }
        look(served.address, "/healthz");
        std::thread::yield_now();
    }
    assert_eq!(open, 0, "who left has given the place back");
}

#[test]
fn a_stream_too_many_is_refused_and_its_connection_still_serves() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (address, _runs) = serve_few(runtime, 1);
    let (mut kept, _) = stream(address);
    let answer = look(address, "/api/v1/events");
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("too many event streams"),
        "{answer}"
    );
    assert!(look(address, "/healthz").starts_with("HTTP/1.1 200"));
    assert!(next(&mut kept).starts_with('{'), "the first one goes on");
}

#[test]
fn a_connection_that_says_nothing_is_ended_in_time() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (address, _runs) = serve_few(runtime, 1);
    let mut silent = connect(address);
    assert!(matches!(silent.read(&mut [0; 16]), Ok(0) | Err(_)));
    let mut half = connect(address);
    half.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = half.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
}

/// A listener with few places and short times.
fn serve_few(runtime: tokio::runtime::Runtime, streams: usize) -> (SocketAddr, Receiver<Command>) {
    let Served { page, told, .. } = serve(None, well);
    let (sender, bound) = channel();
    std::thread::spawn(move || {
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind(any_port()).await.unwrap();
            sender.send(listener.local_addr().unwrap()).unwrap();
            let idle_max = Duration::from_millis(300);
            let times = Times { idle_max, ..Times::default() };
            let listener = Bounded::new(Source::Tcp(listener), Places::new(4, 0, streams), times);
            let service = router(page).into_make_service_with_connect_info::<Peer>();
            axum::serve(listener, service).await.unwrap();
        });
    });
    (bound.recv().unwrap(), told)
}
