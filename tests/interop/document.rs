//! `DISPATCHER.md` stays true: each of its rows says what shows it, and each test that it names is there.
//!
//! Owns: the reading of its tables. What the rows say is for people to judge.

use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The rows below the heads: number of the line, cells.
fn rows(text: &str) -> Vec<(usize, Vec<&str>)> {
    let lines = (1..).zip(text.lines());
    let tables = lines.filter_map(|(number, line)| {
        let inner = line.strip_prefix("| ")?.strip_suffix(" |")?;
        Some((number, inner.split(" | ").collect()))
    });
    tables.filter(|(_, cells): &(usize, Vec<&str>)| cells[0] != "Kamailio").collect()
}

/// What is wrong with the last cell of a row: tests as `path::name`, or a refusal that has nothing to show.
fn complaints(cells: &[&str]) -> Vec<String> {
    let &[_, ours, shown] = cells else { return vec![format!("{} cells", cells.len())] };
    if shown == "refused" {
        let is_said = ours.starts_with("refused: ");
        return if is_said { Vec::new() } else { vec!["refused without a reason".to_owned()] };
    }
    let complaint = |name: &str| {
        let Some(name) = name.strip_prefix('`').and_then(|name| name.strip_suffix('`')) else {
            return Some(format!("{name} is no test in backquotes"));
        };
        let Some((path, function)) = name.split_once("::") else {
            return Some(format!("{name} is no path::name"));
        };
        let source = std::fs::read_to_string(root().join(path)).unwrap_or_default();
        let is_there = source.contains(&format!("fn {function}("));
        (!is_there).then(|| format!("{name} is not there"))
    };
    shown.split(", ").filter_map(complaint).collect()
}

#[test]
fn every_row_of_the_dispatcher_is_shown_or_refused() {
    let text = std::fs::read_to_string(root().join("tests/interop/DISPATCHER.md")).expect("a file");
    let rows = rows(&text);
    assert!(rows.len() > 70, "only {} rows are read", rows.len());
    let wrong: Vec<String> = rows
        .iter()
        .flat_map(|(line, cells)| {
            complaints(cells).into_iter().map(move |what| format!("line {line}: {what}"))
        })
        .collect();
    assert!(wrong.is_empty(), "tests/interop/DISPATCHER.md:\n{}", wrong.join("\n"));
}

#[test]
fn what_is_not_shown_is_found() {
    let complaints = |row: &str| complaints(&row.split(" | ").collect::<Vec<_>>()).len();
    assert_eq!(complaints("a | the same | `tests/interop/document.rs::rows`"), 0);
    assert_eq!(complaints("a | refused: so | refused"), 0);
    for row in [
        "a | the same",
        "a | the same | refused",
        "a | the same | ",
        "a | the same | `tests/interop/document.rs::no_such`",
        "a | the same | `tests/interop/document.rs::rows`, `tests/none.rs::rows`",
    ] {
        assert_eq!(complaints(row), 1, "{row}");
    }
}
