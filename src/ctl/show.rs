//! Answers of the API as people read them.
//!
//! Owns: the tables and units. Reads JSON by its names and shows `-` for what is not there: the node may be of another version.

use serde_json::Value;

use super::table::Table;

/// A text, or a number as text.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn number(value: &Value) -> String {
    value.as_f64().map_or_else(|| "-".to_owned(), |number| format!("{number:.1}"))
}

pub(super) fn percent(value: &Value) -> String {
    value.as_f64().map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

/// Milliseconds as the largest two units.
pub(super) fn duration(value: &Value) -> String {
    let Some(seconds) = value.as_u64().map(|ms| ms / 1_000) else { return "-".to_owned() };
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// What an operator calls the state: drained backends are active for health.
pub(super) fn state(backend: &Value) -> String {
    let health = &backend["health"];
    let flag = |name: &str| health[name].as_bool().unwrap_or_default();
    let mut state = text(&health["state"]);
    for (name, word) in [("draining", "draining"), ("busy", "busy")] {
        if flag(name) {
            state = format!("{state}, {word}");
        }
    }
    if !health["ramping_for_ms"].is_null() {
        state.push_str(", slow start");
    }
    state
}

/// The last probes, oldest first: a good one is a dot.
pub(super) fn ticks(backend: &Value) -> String {
    let probes = list(&backend["health"]["probes"]).iter().rev();
    probes.map(|probe| if is_good(probe) { '.' } else { 'x' }).collect()
}

pub(super) fn is_good(probe: &Value) -> bool {
    matches!(probe["outcome"].as_str(), Some("good" | "full"))
}

/// `status`.
pub(super) fn status(node: &Value) -> String {
    let configuration = &node["configuration"];
    let mut out = format!(
        "{} {} ({}), up {}\nconfiguration: {}; {} reloads, {} refused\n",
        text(&node["name"]),
        text(&node["state"]),
        text(&node["version"]),
        duration(&node["uptime_ms"]),
        text(&configuration["file"]),
        text(&configuration["reloads"]),
        text(&configuration["reloads_refused"]),
    );
    let last = &configuration["last_reload"];
    if last["taken"] == Value::Bool(false) {
        out.push_str("the last reload was refused: what is in the file does not run\n");
        list(&last["lines"]).iter().for_each(|line| out.push_str(&format!("  {}\n", text(line))));
    }
    for line in list(&node["runs_on"]) {
        out.push_str(&format!("{}\n", text(line)));
    }
    out.push('\n');
    out.push_str(&pools(&node["pools"]));
    out
}

/// `pools`.
pub(super) fn pools(pools: &Value) -> String {
    let mut table = Table::new(
        &["POOL", "BACKENDS", "TAKE NEW", "REQUESTS/S", "BALANCE", "KEY", "CAP", "FAILOVER"],
        &[1, 2, 3],
    );
    for pool in list(pools) {
        let backends = list(&pool["backends"]);
        let taking =
            backends.iter().filter(|backend| backend["takes_new"] == Value::Bool(true)).count();
        let rate: f64 =
            backends.iter().filter_map(|b| b["traffic"]["requests_per_second"].as_f64()).sum();
        table.row([
            text(&pool["name"]),
            backends.len().to_string(),
            taking.to_string(),
            format!("{rate:.1}"),
            text(&pool["balance"]),
            text(&pool["key"]),
            text(&pool["load_cap"]),
            text(&pool["failover"]),
        ]);
    }
    table.to_string()
}

/// `backends`.
pub(super) fn backends(pools: &[Value]) -> String {
    let heads =
        ["POOL", "BACKEND", "STATE", "FOR", "SHARE", "REQUESTS/S", "PROBE MS", "PROBES", "WHY"];
    let mut table = Table::new(&heads, &[4, 5, 6]);
    for pool in pools {
        for backend in list(&pool["backends"]) {
            let health = &backend["health"];
            table.row([
                text(&pool["name"]),
                text(&backend["uri"]),
                state(backend),
                duration(&health["for_ms"]),
                percent(&backend["share"]),
                number(&backend["traffic"]["requests_per_second"]),
                number(&health["latency"]["estimate_ms"]),
                ticks(backend),
                text(&health["reason"]),
            ]);
        }
        for leaving in list(&pool["leaving"]) {
            let mut row = vec![text(&pool["name"]), text(&leaving["uri"]), "left".to_owned()];
            row.extend([duration(&leaving["left_ms"]), "-".to_owned()]);
            row.push(number(&leaving["traffic"]["requests_per_second"]));
            table.row(row);
        }
    }
    table.to_string()
}

/// `backend`: one, in all its pools.
pub(super) fn backend(pool: &Value, backend: &Value) -> String {
    let health = &backend["health"];
    let (traffic, latency, counts) = (&backend["traffic"], &health["latency"], &health["counts"]);
    let mut out = format!(
        "{} in pool {}\n  state     {} for {}: {}\n  reached   {}, weight {}, priority {}\n  \
         gets      {} of the keys, {} requests/s, {} in the last 10 s, {} since the start\n  \
         latency   {} ms (mean {}, deviation {}, most {}), {} timeouts\n",
        text(&backend["uri"]),
        text(&pool["name"]),
        state(backend),
        duration(&health["for_ms"]),
        text(&health["reason"]),
        text(&backend["address"]),
        text(&backend["weight"]),
        text(&backend["priority"]),
        percent(&backend["share"]),
        number(&traffic["requests_per_second"]),
        text(&traffic["requests_recent"]),
        text(&traffic["requests"]),
        number(&latency["estimate_ms"]),
        number(&latency["mean_ms"]),
        number(&latency["deviation_ms"]),
        number(&latency["most_ms"]),
        text(&latency["timeouts"]),
    );
    let counted: Vec<String> = counts
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    out.push_str(&format!("  counted   {}\n", counted.join(", ")));
    for probe in list(&health["probes"]) {
        let after = probe["after_us"]
            .as_f64()
            .map_or_else(String::new, |us| format!(" after {:.1} ms", us / 1e3));
        let status =
            probe["status"].as_u64().map_or_else(String::new, |status| format!(" {status}"));
        out.push_str(&format!(
            "  probe     {} ago: {}{status}{after}\n",
            duration(&probe["ago_ms"]),
            text(&probe["outcome"])
        ));
    }
    out
}

/// `drops`.
pub(super) fn drops(answer: &Value) -> String {
    let mut table = Table::new(&["REASON", "TOTAL", "PER SECOND"], &[1, 2]);
    for drop in list(&answer["reasons"]) {
        table.row([text(&drop["reason"]), text(&drop["total"]), number(&drop["per_second"])]);
    }
    table.to_string()
}

/// `shards`.
pub(super) fn shards(answer: &Value) -> String {
    let heads = [
        "SHARD",
        "RECEIVED/S",
        "SENT/S",
        "HOPS OUT",
        "SOCKET DROPS",
        "HELD",
        "P50 US",
        "P99 US",
        "MOST US",
    ];
    let mut table = Table::new(&heads, &[0, 1, 2, 3, 4, 5, 6, 7, 8]);
    for shard in list(&answer["shards"]) {
        let latency = &shard["latency_us"];
        table.row([
            text(&shard["shard"]),
            number(&shard["received_per_second"]),
            number(&shard["sent_per_second"]),
            text(&shard["hops_out"]),
            text(&shard["socket_drops"]),
            text(&shard["held"]),
            text(&latency["p50"]),
            text(&latency["p99"]),
            text(&latency["most"]),
        ]);
    }
    table.to_string()
}

/// `rates`: the last seconds.
pub(super) fn rates(answer: &Value) -> String {
    const SHOWN: usize = 20;
    let mut table =
        Table::new(&["SECONDS AGO", "RECEIVED/S", "SENT/S", "DROPPED/S"], &[0, 1, 2, 3]);
    let samples = list(&answer["samples"]);
    let newest = samples.last().and_then(|sample| sample["at_ms"].as_u64()).unwrap_or_default();
    for sample in &samples[samples.len().saturating_sub(SHOWN)..] {
        let ago_ms = newest.saturating_sub(sample["at_ms"].as_u64().unwrap_or(newest));
        table.row([
            (ago_ms / 1_000).to_string(),
            number(&sample["received_per_second"]),
            number(&sample["sent_per_second"]),
            number(&sample["dropped_per_second"]),
        ]);
    }
    table.to_string()
}

/// `decisions`.
pub(super) fn decisions(answer: &Value) -> String {
    let mut out: String =
        list(&answer["decisions"]).iter().map(|decision| format!("{decision}\n")).collect();
    if answer["kept"] == Value::Bool(false) {
        out.push_str(&format!("{}\n", text(&answer["note"])));
    }
    out
}

/// What a command did.
pub(super) fn done(answer: &Value) -> String {
    let lines = list(&answer["done"]);
    if lines.is_empty() {
        return "done; nothing changes\n".to_owned();
    }
    lines.iter().map(|line| format!("{}\n", text(line))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_backend_is_shown_with_its_state_and_probes() {
        let health = json!({
            "state": "active", "draining": true, "busy": false, "for_ms": 125_000, "reason": "answers",
            "ramping_for_ms": null, "latency": { "estimate_ms": 1.26 },
            "probes": [{ "outcome": "timeout" }, { "outcome": "good" }, { "outcome": "good" }],
        });
        let one = json!({ "uri": "sip:a", "share": 0.25, "health": health, "traffic": { "requests_per_second": 7.0 } });
        let pools = [
            json!({ "name": "p", "backends": [one], "leaving": [{ "uri": "sip:b", "left_ms": 4_000 }] }),
        ];
        let text = backends(&pools);
        let lines: Vec<Vec<&str>> =
            text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(
            lines[1].join(" "),
            "p sip:a active, draining 2 min 5 s 25.0 % 7.0 1.3 ..x answers"
        );
        assert_eq!(lines[2].join(" "), "p sip:b left 4 s - -");
    }

    #[test]
    fn what_is_not_there_is_a_dash_and_no_panic() {
        let empty = json!({});
        for text in [
            status(&empty),
            drops(&empty),
            shards(&empty),
            rates(&empty),
            decisions(&empty),
            backend(&empty, &empty),
        ] {
            assert!(!text.contains("null"), "{text}");
        }
        assert!(backends(&[json!({ "backends": [{}] })]).contains(" -"));
        assert_eq!(done(&empty), "done; nothing changes\n");
    }

    #[test]
    fn durations_have_two_units() {
        let shown = [0, 59_999, 60_000, 7_260_000, 90_000_000].map(|ms| duration(&json!(ms)));
        assert_eq!(shown, ["0 s", "59 s", "1 min 0 s", "2 h 1 min", "1 d 1 h"]);
    }
}
