//! Requests that are refused: a clear message, and nothing has changed.

use super::*;

const RELOAD: &str = "/api/v1/reload";
const DRAIN_BACKEND: &str = "/api/v1/pools/servers/backends/sip%3A10.0.0.1%3A5060/drain";

fn bearer() -> String {
    format!("Authorization: Bearer {TOKEN}\r\n")
}

/// The answer is `status` with a JSON refusal that says `part`, and the node was told nothing.
fn refused(served: &Served, answer: &str, status: u16, part: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.contains("content-type: application/json"), "{head}");
    let json: serde_json::Value =
        serde_json::from_str(body).unwrap_or_else(|_| panic!("no JSON: {answer}"));
    assert_eq!(json.as_object().map(serde_json::Map::len), Some(2), "{body}");
    assert!(
        json["error"].as_str().is_some_and(|error| error.contains(part)),
        "{part} not in {body}"
    );
    assert!(json["help"].as_str().is_some_and(|help| !help.is_empty()), "{body}");
    assert!(served.told.try_recv().is_err(), "the node was told something");
}

#[test]
fn who_has_no_right_changes_nothing() {
    let open = serve(None, well);
    refused(&open, &request(open.address, "POST", RELOAD, ""), 403, "no token is configured");
    refused(
        &open,
        &request(open.address, "POST", RELOAD, &bearer()),
        403,
        "no token is configured",
    );
    let served = serve(token(), well);
    for path in [RELOAD, "/api/v1/drain", DRAIN_BACKEND] {
        refused(&served, &request(served.address, "POST", path, ""), 401, "a token is needed");
        let wrong = "Authorization: Bearer 0123456789abcdeX\r\n";
        refused(&served, &request(served.address, "POST", path, wrong), 401, "not the token");
        let foreign = format!("{}Origin: http://evil.example\r\n", bearer());
        refused(&served, &request(served.address, "POST", path, &foreign), 403, "another site");
    }
    assert!(look(served.address, "/api/v1/node").starts_with("HTTP/1.1 200"), "to look is open");
}

#[test]
fn who_has_the_right_is_obeyed() {
    let served = serve(token(), well);
    let told = |path: &str| {
        let answer = request(served.address, "POST", path, &bearer());
        assert!(answer.ends_with("{\"done\":[\"as you say\"]}"), "{answer}");
        served.told.recv_timeout(PATIENCE).unwrap()
    };
    assert_eq!(told(RELOAD), Command::Reload);
    assert_eq!(told("/api/v1/drain"), Command::DrainNode);
    let Command::Backend { pool, uri, action } = told(DRAIN_BACKEND) else {
        panic!("another command")
    };
    assert_eq!((pool.as_deref(), uri.as_str()), (Some("servers"), "sip:10.0.0.1:5060"));
    assert_eq!(action, crate::control::event::BackendAction::Drain);
    // Whatever stands in names, encoded it is one part of the path.
    let Command::Backend { pool, uri, .. } =
        told("/api/v1/pools/a%20%2F%20b/backends/sip%3Ax%3Flr%2F/enable")
    else {
        panic!("another command")
    };
    assert_eq!((pool.as_deref(), uri.as_str()), (Some("a / b"), "sip:x?lr/"));
    assert!(look(served.address, "/api/v1/pools/a%20%2F%20b").starts_with("HTTP/1.1 200"));
}

#[test]
fn what_the_node_refuses_is_passed_on() {
    let refuses = |is_unknown| {
        serve(token(), move |_| Outcome::Refused {
            is_unknown,
            why: vec!["one".to_owned(), "two".to_owned()],
        })
    };
    for (is_unknown, status) in [(true, 404), (false, 409)] {
        let served = refuses(is_unknown);
        let answer = request(served.address, "POST", DRAIN_BACKEND, &bearer());
        assert!(served.told.recv_timeout(PATIENCE).is_ok());
        refused(&served, &answer, status, "one\ntwo");
    }
}

#[test]
fn unknown_things_and_wrong_methods_say_what_is_known() {
    let served = serve(token(), well);
    let ask = |method: &str, path: &str| request(served.address, method, path, &bearer());
    refused(&served, &ask("GET", "/nothing"), 404, "nothing here");
    refused(&served, &ask("GET", "/api/v2/node"), 404, "nothing here");
    refused(&served, &ask("GET", "/api/v1/pools/other"), 404, "no pool is called");
    assert!(ask("GET", "/api/v1/pools/other").contains("known: servers, a / b"));
    refused(
        &served,
        &ask("POST", "/api/v1/pools/servers/backends/sip%3Aa/explode"),
        404,
        "explode",
    );
    let wrong = ask("GET", RELOAD);
    refused(&served, &wrong, 405, "this method");
    assert!(wrong.to_lowercase().contains("\r\nallow: post\r\n"), "{wrong}");
    refused(&served, &ask("POST", "/api/v1/node"), 405, "this method");
    refused(&served, &ask("DELETE", "/"), 405, "this method");
}

#[test]
fn bodies_are_refused_huge_or_not() {
    let served = serve(token(), well);
    let with = |length: usize, body: &[u8]| {
        let head = format!(
            "POST {RELOAD} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{}Content-Length: {length}\r\n\r\n",
            bearer()
        );
        exchange(connect(served.address), &[head.as_bytes(), body].concat())
    };
    refused(&served, &with(9, b"{\"a\": 1} "), 400, "has a body");
    refused(&served, &with(4, b"\xff\x00\xfe\x01"), 400, "has a body");
    // They are said to be large and never come: nobody waits for them.
    refused(&served, &with(100_000, b""), 413, "");
    refused(&served, &with(usize::MAX >> 2, b""), 413, "");
    assert!(with(2, b"{}").starts_with("HTTP/1.1 200"), "an empty object is no body");
    assert_eq!(served.told.recv_timeout(PATIENCE), Ok(Command::Reload));
}

#[test]
fn garbage_ends_the_connection_and_nothing_else() {
    let served = serve(token(), well);
    let long = [b"GET /".as_slice(), &vec![b'a'; 1 << 20], b" HTTP/1.1\r\n\r\n"].concat();
    let fields = [b"GET / HTTP/1.1\r\n".as_slice(), &b"A: b\r\n".repeat(10_000), b"\r\n"].concat();
    for garbage in [
        &b"\x00\x01\x02\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"OPTIONS sip:a SIP/2.0\r\n\r\n",
        &long,
        &fields,
    ] {
        let mut stream = connect(served.address);
        // The other side may end while we still write.
        let _ = stream.write_all(garbage);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&answer));
    }
    for (path, status) in [
        ("/api/v1/pools/%FF", 400),
        ("/api/v1/pools/%", 404),
        ("/api/v1/pools/..%2f..", 404),
        ("//api/v1/node", 404),
    ] {
        refused(&served, &look(served.address, path), status, "");
    }
    assert!(look(served.address, "/healthz").starts_with("HTTP/1.1 200"));
    assert!(served.told.try_recv().is_err());
}
