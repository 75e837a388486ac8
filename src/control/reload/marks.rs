//! Each key of `config/sipedge.toml` is marked live or restart, and a reload does what the mark says.
//!
//! Owns: one edit for each key. A key without a mark, or without an edit here, fails.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;

const REFERENCE: &str = include_str!("../../../config/sipedge.toml");

/// Has every key that an edit below replaces.
const BASE: &str = r#"
[node]
name = "a"
shards = 1
keys = [{ id = 1, secret = "0123456789abcdef" }]
io = "auto"
steering = "auto"
aliases = []
drain_seconds = 5
drain_hook = ["/bin/true"]
watch_config = false
dns = ["udp:192.0.2.53:53"]
dns_ttl_min_seconds = 6
dns_ttl_max_seconds = 3000
dns_stale_max_seconds = 80000
[[listen]]
name = "public"
address = "udp:192.0.2.1:5060"
advertise = "203.0.113.1:5060"
[[listen]]
name = "private"
address = "udp:10.0.0.254:5060"
anycast = false
side = "inside"
networks = ["10.0.0.0/8"]
[[pool]]
name = "p"
key = "call-id"
balance = "rendezvous"
send_from = "public"
slow_start_s = 0
match_source = "address"
backends = [{ uri = "sip:10.0.0.1" }, { uri = "sip:10.0.0.2" }]
[pool.probe]
interval_ms = 9000
timeout_ms = 900
rise = 3
fall = 3
method = "OPTIONS"
from = "sip:a@b.c"
alive = "default"
send_from = "public"
[[pool]]
name = "listed"
list = "config/examples/dispatcher.list"
set = 1
[[route]]
when = { method = ["INVITE"] }
reply = 403
[[route]]
pool = "p"
mode = "proxy"
in_dialog = "any"
record_route = true
path = "supported"
[limits]
message_bytes_max = 65535
transactions_max = 65536
send_queue_max = 1024
receive_buffers = 1024
socket_buffer_bytes = 4194304
retry_after_seconds = 5
held_max = 4096
held_bytes_max = 4096
[trace]
hep = { sink = "udp:192.0.2.9:9060" }
pcap = { folder = "captures" }
decisions = { per_second_max = 10 }
[admin]
listen = "127.0.0.1:9060"
socket = "/run/sipedge/sipedge.sock"
token = "0123456789abcdef"
"#;

/// Section and key, what stands in the base, and what an edit writes in its place.
const EDITS: &[(&str, &str, &str, &str)] = &[
    ("node", "name", "name = \"a\"", "name = \"b\""),
    ("node", "shards", "shards = 1", "shards = 2"),
    ("node", "cores", "shards = 1", "shards = 1\ncores = [0]"),
    ("node", "keys", "id = 1", "id = 2"),
    ("node", "io", "io = \"auto\"", "io = \"io_uring\""),
    ("node", "steering", "steering = \"auto\"", "steering = \"kernel\""),
    ("node", "aliases", "aliases = []", "aliases = [\"sip.example.com\"]"),
    ("node", "drain_seconds", "drain_seconds = 5", "drain_seconds = 6"),
    ("node", "drain_hook", "/bin/true", "/bin/false"),
    ("node", "watch_config", "watch_config = false", "watch_config = true"),
    ("node", "dns", "192.0.2.53", "192.0.2.54"),
    ("node", "dns_ttl_min_seconds", "dns_ttl_min_seconds = 6", "dns_ttl_min_seconds = 7"),
    ("node", "dns_ttl_max_seconds", "dns_ttl_max_seconds = 3000", "dns_ttl_max_seconds = 3001"),
    ("node", "dns_stale_max_seconds", "dns_stale_max_seconds = 80000", "dns_stale_max_seconds = 1"),
    ("listen", "name", "name = \"private\"", "name = \"inner\""),
    ("listen", "address", "10.0.0.254:5060", "10.0.0.254:5070"),
    ("listen", "advertise", "203.0.113.1", "203.0.113.2"),
    ("pool", "name", "name = \"listed\"", "name = \"other\""),
    ("pool", "key", "key = \"call-id\"", "key = \"from\""),
    ("pool", "balance", "balance = \"rendezvous\"", "balance = \"kamailio:0\""),
    ("pool", "send_from", "send_from = \"public\"", "send_from = \"private\""),
    ("pool", "match_source", "match_source = \"address\"", "match_source = \"address-and-port\""),
    ("pool", "backends", "sip:10.0.0.2", "sip:10.0.0.3"),
    ("listen", "side", "side = \"inside\"", "side = \"public\""),
    ("listen", "networks", "10.0.0.0/8", "10.0.0.0/9"),
    ("route", "in_dialog", "in_dialog = \"any\"", "in_dialog = \"token\""),
    ("listen", "anycast", "anycast = false", "anycast = true"),
    ("pool", "slow_start_s", "slow_start_s = 0", "slow_start_s = 30"),
    ("pool", "eased_max_percent", "set = 1", "set = 1\neased_max_percent = 50"),
    ("pool", "probe", "set = 1", "set = 1\nprobe = \"off\""),
    ("pool", "interval_ms", "interval_ms = 9000", "interval_ms = 8000"),
    ("pool", "timeout_ms", "timeout_ms = 900", "timeout_ms = 800"),
    ("pool", "rise", "rise = 3", "rise = 4"),
    ("pool", "fall", "fall = 3", "fall = 4"),
    ("pool", "method", "method = \"OPTIONS\"", "method = \"INFO\""),
    ("pool", "from", "sip:a@b.c", "sip:d@e.f"),
    ("pool", "alive", "alive = \"default\"", "alive = \"freeswitch\""),
    (
        "pool",
        "list",
        "list = \"config/examples/dispatcher.list\"\nset = 1",
        "backends = [{ uri = \"sip:10.0.0.9\" }]",
    ),
    ("pool", "set", "set = 1", "set = 2"),
    ("route", "when", "INVITE", "BYE"),
    ("route", "reply", "reply = 403", "reply = 404"),
    ("route", "pool", "pool = \"p\"\nmode", "pool = \"listed\"\nmode"),
    ("route", "mode", "mode = \"proxy\"\n", ""),
    ("route", "record_route", "record_route = true", "record_route = false"),
    ("route", "path", "path = \"supported\"", "path = false"),
    ("limits", "message_bytes_max", "message_bytes_max = 65535", "message_bytes_max = 4000"),
    ("limits", "transactions_max", "transactions_max = 65536", "transactions_max = 1024"),
    ("limits", "send_queue_max", "send_queue_max = 1024", "send_queue_max = 10"),
    ("limits", "receive_buffers", "receive_buffers = 1024", "receive_buffers = 512"),
    ("limits", "socket_buffer_bytes", "4194304", "8388608"),
    ("limits", "retry_after_seconds", "retry_after_seconds = 5", "retry_after_seconds = 6"),
    ("trace", "hep", "192.0.2.9:9060", "192.0.2.9:9061"),
    ("trace", "pcap", "\"captures\"", "\"other\""),
    ("trace", "decisions", "per_second_max = 10", "per_second_max = 11"),
    ("limits", "held_max", "held_max = 4096", "held_max = 100"),
    ("limits", "held_bytes_max", "held_bytes_max = 4096", "held_bytes_max = 8192"),
    ("pool", "load_cap", "set = 1", "set = 1\nload_cap = 1.25"),
    ("pool", "failover", "set = 1", "set = 1\nfailover = { on = [503] }"),
    ("admin", "listen", "127.0.0.1:9060", "127.0.0.1:9061"),
    ("admin", "hosts", "socket = ", "hosts = [\"a.example\"]\nsocket = "),
    ("admin", "ready_needs", "socket = ", "ready_needs = \"nothing\"\nsocket = "),
    ("admin", "socket", "sipedge.sock", "other.sock"),
    ("admin", "token", "token = \"0123456789abcdef\"", "token = \"fedcba9876543210\""),
];

/// Keys with one value only, so far: there is nothing to edit.
const ONE_VALUE: &[(&str, &str)] = &[("route", "mode")];

/// The marks of the reference: section and key, and whether it is live.
fn marks() -> BTreeMap<(String, String), Option<bool>> {
    let mut marks = BTreeMap::new();
    let mut section = String::new();
    let mut last = None;
    let mut above: Option<bool> = None;
    for line in REFERENCE.lines() {
        if let Some(name) = line.strip_prefix("# ").unwrap_or(line).strip_prefix('[') {
            let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
            section = name.chars().take_while(char::is_ascii_alphabetic).collect();
            for known in ["node", "listen", "pool", "route", "limits", "admin", "trace"] {
                if section.starts_with(known) {
                    section = known.to_owned();
                }
            }
            (last, above) = (None, None);
            continue;
        }
        let mark = if line.contains("(live)") {
            Some(true)
        } else if line.contains("(restart)") {
            Some(false)
        } else {
            None
        };
        let text = line.strip_prefix("# ").unwrap_or(line);
        let key = text.split_once(" = ").map(|(key, _)| key).filter(|key| {
            !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        });
        match key {
            Some(key) => {
                let place = (section.clone(), key.to_owned());
                let entry = marks.entry(place.clone()).or_insert(None);
                *entry = entry.or(mark).or(above.take());
                last = Some(place);
                above = None;
            }
            // A comment that stands above its key, or goes on below it.
            None => match (&last, mark) {
                (_, None) => {}
                (Some(place), mark) if line.starts_with(' ') => {
                    let entry: &mut Option<bool> = marks.get_mut(place).expect("it was put in");
                    *entry = entry.or(mark);
                }
                (_, mark) => above = mark,
            },
        }
    }
    marks
}

fn config(text: &str) -> Config {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("a.toml");
    crate::config::parse(&root, text).unwrap_or_else(|problems| panic!("{problems}\n{text}")).0
}

#[test]
fn each_key_is_marked_and_does_what_its_mark_says() {
    let marks = marks();
    let mut wrong = Vec::new();
    for ((section, key), mark) in &marks {
        let edit = EDITS.iter().find(|(s, k, ..)| s == section && k == key);
        let (Some(live), Some(&(_, _, from, to))) = (mark, edit) else {
            wrong.push(format!("[{section}] {key}: mark {mark:?}, edit {edit:?}"));
            continue;
        };
        assert!(BASE.contains(from), "{from}");
        let plan = plan(&config(BASE), &config(&BASE.replacen(from, to, 1)));
        let is_live = matches!(&plan, Ok(edit) if edit.restart.is_empty());
        let is_told = !matches!(&plan, Ok(edit) if edit.is_empty());
        let has_one_value = ONE_VALUE.contains(&(section, key));
        if is_live != *live || is_told == has_one_value {
            wrong.push(format!("[{section}] {key}: marked live = {live}, but {plan:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (section, key, ..) in EDITS {
        let place = ((*section).to_owned(), (*key).to_owned());
        assert!(marks.contains_key(&place), "[{section}] {key} is not in the reference");
    }
}
