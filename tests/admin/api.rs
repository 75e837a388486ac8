//! The API of a running edge against its own document, and what commands do to it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use crate::edge::{Edge, PATIENCE, TOKEN};
use crate::schema::judge;

fn described(document: &Value, path: &str, method: &str, status: &str) -> Value {
    let response = &document["paths"][path][method]["responses"][status];
    let kinds =
        response["content"].as_object().unwrap_or_else(|| panic!("{method} {path}: no {status}"));
    kinds.values().next().expect("one kind")["schema"].clone()
}

fn event(edge: &Edge) -> Value {
    let mut stream = TcpStream::connect(edge.admin).expect("the listener is there");
    stream.set_read_timeout(Some(PATIENCE)).expect("can be set");
    write!(stream, "GET /api/v1/events HTTP/1.1\r\nHost: edge-a\r\n\r\n").expect("sent");
    let lines = BufReader::new(stream).lines().map(|line| line.expect("readable"));
    let mut json = lines.filter_map(|line| line.strip_prefix("data: ").map(str::to_owned));
    serde_json::from_str(&json.next().expect("an event")).expect("JSON")
}

#[test]
fn every_answer_is_as_the_document_says() {
    let edge = Edge::start("document");
    let document = edge.read("/api/v1/openapi.json");
    edge.settled();
    edge.call(3);
    edge.wait("/api/v1/rates", |rates| {
        rates["samples"].as_array().is_some_and(|samples| samples.len() > 1)
    });
    let mut wrong = Vec::new();
    let paths = document["paths"].as_object().expect("paths");
    for (path, methods) in paths.iter().filter(|(_, methods)| methods.get("get").is_some()) {
        let filled = path.replace("{pool}", "servers");
        let value = if path.ends_with("/events") { event(&edge) } else { edge.read(&filled) };
        assert!(methods["get"]["summary"].is_string());
        wrong.extend(judge(&document, &described(&document, path, "get", "200"), &value, path));
    }
    let refused = edge.tcp().ask("POST", "/api/v1/reload", None).expect("an answer");
    assert_eq!(refused.status, 401);
    let value: Value = serde_json::from_slice(&refused.body).expect("JSON");
    wrong.extend(judge(
        &document,
        &described(&document, "/api/v1/reload", "post", "401"),
        &value,
        "refusal",
    ));
    let done = edge.tcp().ask("POST", "/api/v1/reload", Some(TOKEN)).expect("an answer");
    assert_eq!(done.status, 200);
    let value: Value = serde_json::from_slice(&done.body).expect("JSON");
    wrong.extend(judge(
        &document,
        &described(&document, "/api/v1/reload", "post", "200"),
        &value,
        "done",
    ));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The reload is told; the shape of what tells it is described, too.
    let node = edge.read("/api/v1/node");
    assert_eq!(node["configuration"]["reloads"], 1);
    assert_eq!(
        judge(&document, &described(&document, "/api/v1/node", "get", "200"), &node, "node"),
        Vec::<String>::new()
    );
}

#[test]
fn commands_change_what_is_seen() {
    let edge = Edge::start("commands");
    let pool = edge.settled();
    assert_eq!(pool["backends"][2]["takes_new"], false);
    let share = |at: usize| pool["backends"][at]["share"].as_f64().expect("keys decide");
    assert!(share(0) > 0.3 && share(1) > 0.3 && share(2) == 0.0, "{pool:#}");
    let act = |action: &str| {
        let uri = edge.backends[0].replace(':', "%3A");
        let path = format!("/api/v1/pools/servers/backends/{uri}/{action}");
        let answer = edge.tcp().ask("POST", &path, Some(TOKEN)).expect("an answer");
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        edge.read("/api/v1/pools/servers")["backends"][0].clone()
    };
    let drained = act("drain");
    assert_eq!((&drained["health"]["draining"], &drained["share"]), (&true.into(), &0.0.into()));
    let disabled = act("disable");
    assert_eq!(disabled["health"]["state"], "disabled");
    let enabled = act("enable");
    assert_eq!(
        (&enabled["health"]["draining"], &enabled["takes_new"]),
        (&false.into(), &true.into())
    );

    edge.call(20);
    let rates = edge.wait("/api/v1/rates", |rates| {
        let series = rates["backends"].as_array().expect("a list");
        let all = series
            .iter()
            .flat_map(|series| series["requests_per_second"].as_array().expect("a list"));
        all.filter_map(Value::as_f64).sum::<f64>() > 15.0
    });
    assert_eq!(rates["backends"].as_array().map(Vec::len), Some(3));
    let pool = edge.read("/api/v1/pools/servers");
    let requests: u64 =
        (0..3).filter_map(|at| pool["backends"][at]["traffic"]["requests"].as_u64()).sum();
    assert_eq!(requests, 20, "{pool:#}");
}

#[test]
fn an_unknown_backend_is_named_and_nothing_changes() {
    let edge = Edge::start("unknown");
    edge.settled();
    for (path, part) in [
        ("/api/v1/pools/servers/backends/sip%3A192.0.2.9/drain", "sip:192.0.2.9"),
        ("/api/v1/pools/others/backends/sip%3A192.0.2.9/drain", "others"),
    ] {
        let answer = edge.tcp().ask("POST", path, Some(TOKEN)).expect("an answer");
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(answer.status == 404 && text.contains(part), "{text}");
    }
    let pool = edge.read("/api/v1/pools/servers");
    assert!((0..3).all(|at| pool["backends"][at]["health"]["draining"] == false));
}

#[test]
fn the_node_drains_and_ends_when_told() {
    let mut edge = Edge::start("drain-node");
    let answer = edge.local().ask("POST", "/api/v1/drain", None).expect("an answer");
    assert_eq!(answer.status, 200);
    assert_eq!(edge.ended(), Some(0));
}
