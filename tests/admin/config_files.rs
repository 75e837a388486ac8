//! The dashboard and the alert rules of `config` ask only for what a running edge has.
//!
//! Owns: how names are found in both: every word that begins with `sipedge_`. Prometheus' own tools judge the syntax.

use std::collections::BTreeSet;

use crate::edge::{Edge, wait_until};
use crate::root;

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("sipedge_")).collect()
}

/// Label and value of `label="value"` and `label=~"value"` in text, unless the value is a variable.
fn selected(text: &str) -> BTreeSet<(&str, &str)> {
    let pieces: Vec<&str> = text.split('"').collect();
    let pairs = pieces.windows(2).step_by(2).filter_map(|pair| {
        let label = pair[0].strip_suffix('=')?;
        let label = label.rsplit(|c: char| !c.is_ascii_lowercase()).next()?;
        (!label.is_empty() && !pair[1].contains('$')).then_some((label, pair[1]))
    });
    pairs.collect()
}

#[test]
fn the_dashboard_and_the_alerts_name_what_is_there() {
    let edge = Edge::start("files");
    edge.settled();
    edge.call(5);
    let mut page = String::new();
    // The edge reads its counters once a second.
    assert!(wait_until(|| {
        let answer = edge.tcp().ask("GET", "/metrics", None).expect("an answer");
        page = String::from_utf8(answer.body).expect("text");
        page.contains("sipedge_messages_total{method=\"OPTIONS\",verdict=\"forward\"}")
    }));
    let there = names(&page);
    let dashboard: serde_json::Value =
        serde_json::from_str(&read("config/grafana-dashboard.json")).expect("JSON");
    let mut texts = vec![("alerts.yml", read("config/alerts.yml"))];
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("targets"));
    texts.extend(
        targets.map(|target| ("dashboard", target["expr"].as_str().expect("a text").to_owned())),
    );
    assert!(texts.len() > 10);
    let mut wrong = Vec::new();
    for (file, text) in &texts {
        wrong.extend(
            names(text).difference(&there).map(|name| format!("{file}: there is no {name}")),
        );
        for (label, value) in selected(text) {
            // A status stands there once it happened.
            if !page.contains(&format!("{label}=\"{value}\"")) && label != "severity" {
                wrong.push(format!("{file}: nothing has {label}=\"{value}\""));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // And the README names each family, or the file that does.
    let readme = read("README.md");
    let families: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let absent: Vec<_> = families.iter().filter(|name| !names(&readme).contains(**name)).collect();
    assert!(absent.is_empty(), "not in the README: {absent:?}");
}
