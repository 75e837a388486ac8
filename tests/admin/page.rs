//! The live page in a real browser: headless Chromium shows what a running edge tells, and screenshots are kept.
//!
//! Owns: the look for Chromium. Without it the test is skipped and counted; `SIPEDGE_REQUIRE_LIVE=1` makes that a failure.
//! Screenshots of phone and desktop stay in `target/tmp`, for a person to look at.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::edge::Edge;

/// How long the page may settle before it is dumped, in milliseconds of its own clock.
const SETTLE_MS: u32 = 5_000;

fn chromium() -> Option<&'static str> {
    let is_there = |name: &&str| {
        Command::new(name)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok()
    };
    ["chromium", "chromium-browser", "google-chrome"].into_iter().find(is_there)
}

/// Runs the browser on the page of `edge`; what it printed.
fn browse(program: &str, edge: &Edge, profile: &Path, arguments: &[&str]) -> String {
    let output = Command::new("timeout")
        .args([
            "120",
            program,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
        ])
        .args(["--no-first-run", "--hide-scrollbars", "--disable-background-networking"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("--virtual-time-budget={SETTLE_MS}"))
        .args(arguments)
        // Without an end of the stream the browser would wait for it.
        .arg(format!("http://{}/?snapshots=2", edge.admin))
        .output()
        .expect("the browser starts");
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{:?}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    out
}

#[test]
fn a_browser_shows_pools_and_states() {
    let Some(program) = chromium() else {
        let required = std::env::var("SIPEDGE_REQUIRE_LIVE").is_ok_and(|value| value == "1");
        assert!(!required, "needs chromium (apt install chromium), and SIPEDGE_REQUIRE_LIVE=1");
        let _ = writeln!(
            std::io::stderr(),
            "skipped: live page: needs chromium (apt install chromium)"
        );
        return;
    };
    let edge = Edge::start("page");
    edge.settled();
    edge.call(40);
    edge.wait("/api/v1/rates", |rates| {
        rates["samples"].as_array().is_some_and(|samples| samples.len() > 2)
    });
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let profile = folder.join(format!("chromium-{}", std::process::id()));
    let page = browse(program, &edge, &profile, &["--dump-dom"]);
    for part in [
        "edge-a</span>",
        ">running</span>",
        "data-pool=\"servers\"",
        ">inactive</span>",
        ">received</h2>",
        ", none above 1.25 times the mean load, fails over on 500, at most 2 tries, probed",
    ] {
        assert!(page.contains(part), "{part} not in {page}");
    }
    for backend in &edge.backends {
        assert!(page.contains(&format!("data-backend=\"{backend}\"")), "{backend}");
    }
    assert_eq!(page.matches("class=\"pill good\">active").count(), 2);
    assert_eq!(page.matches("class=\"pill bad\">inactive").count(), 1);
    assert!(page.contains("class=\"good\" title=\"good 200"), "ticks of probes");
    assert!(page.contains("● live"), "the event stream arrived");
    assert!(page.contains("none are kept"));
    // Only what would change something is offered: nobody is disabled or draining.
    assert_eq!(page.matches("<button type=\"button\" hidden=\"\">enable").count(), 3);
    assert!(!page.contains("hidden=\"\">drain") && !page.contains("hidden=\"\">disable"));
    // At the width of a phone several seconds make a cell of the heat map that can be seen.
    for (size, is_summed) in [("390,1500", true), ("1280,1100", false)] {
        let page =
            browse(program, &edge, &profile, &["--dump-dom", &format!("--window-size={size}")]);
        let seconds =
            page.split("id=\"heat-cell\">").nth(1).and_then(|text| text.split(' ').next());
        let seconds: u32 = seconds.and_then(|text| text.parse().ok()).expect("a number");
        assert_eq!(seconds > 1, is_summed, "{seconds} s at {size}");
    }
    for (name, size) in [("phone", "390,1500"), ("desktop", "1280,1100")] {
        let picture = folder.join(format!("page-{name}.png"));
        let _ = std::fs::remove_file(&picture);
        let arguments =
            [format!("--screenshot={}", picture.display()), format!("--window-size={size}")];
        browse(program, &edge, &profile, &arguments.each_ref().map(String::as_str));
        assert!(
            std::fs::metadata(&picture).is_ok_and(|picture| picture.len() > 10_000),
            "{}",
            picture.display()
        );
    }
    let _ = std::fs::remove_dir_all(&profile);
}
