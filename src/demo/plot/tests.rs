//! The picture is well-formed and says what it must.

use super::super::tally::latency_histogram;
use super::*;

fn figure<'a>(caller_us: &'a Histogram<u64>, edge_us: &'a Histogram<u64>) -> Figure<'a> {
    let point = |second: u64| Point {
        p50_us: 300 + second * 7 % 40,
        p99_us: 900 + second * 131 % 500,
        max_us: 2_000 + second * 977 % 3_000,
        by_backend: if second < 10 { vec![101, 97, 102] } else { vec![149, 151, 0] },
    };
    Figure {
        subtitle: "300 calls/s, \"a\" & <b>".to_owned(),
        duration_seconds: 20.0,
        points: (0_u32..20).map(|s| (f64::from(s), point(u64::from(s)))).collect(),
        backends: vec!["backend a".to_owned(), "backend b".to_owned(), "backend c".to_owned()],
        removal: Some((10.0, "backend c is taken out".to_owned())),
        caller_us,
        edge_us,
    }
}

/// Every element is closed in order, and there is no stray `&` or `<`.
fn check_well_formed(svg: &str) {
    let mut open = Vec::new();
    for piece in svg.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').expect("every < has its >");
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        let name = tag.split([' ', '/']).find(|name| !name.is_empty()).expect("a name");
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(name);
        }
        for entity in text.split('&').skip(1) {
            let known = ["amp;", "lt;", "gt;", "quot;"];
            assert!(known.iter().any(|known| entity.starts_with(known)), "{entity}");
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

fn filled(values: impl Iterator<Item = u64>) -> Histogram<u64> {
    let mut histogram = latency_histogram();
    values.for_each(|value| histogram.saturating_record(value));
    histogram
}

#[test]
fn the_picture_is_well_formed_and_labelled() {
    let caller = filled((0..6_000).map(|n: u64| 250 + n * n % 701 + n % 97 * 9));
    let edge = filled((0..36_000).map(|n: u64| 12 + n * n % 31 + n % 13));
    let svg = render(&figure(&caller, &edge));
    check_well_formed(&svg);
    for label in [
        "Time from INVITE to 200, by second",
        "New calls per second, by backend",
        "How the times are spread",
        "backend c is taken out",
        ">p50<",
        ">p99<",
        ">slowest<",
        "time since the first call",
        "latency (log scale)",
        "calls/s",
        "1 ms",
        "20 s",
        "within the edge, receive to send: p50",
        "300 calls/s, &quot;a&quot; &amp; &lt;b&gt;",
        "prefers-color-scheme:dark",
    ] {
        assert!(svg.contains(label), "{label}");
    }
    assert!(!svg.contains("NaN") && !svg.contains("inf"));
    assert_eq!(svg.matches("class=\"mark\"").count(), 2, "one in each panel over time");
    assert!(!svg.contains("http") || svg.matches("http").count() == 1, "only the name space");
    if let Some(path) = std::env::var_os("DEMO_SVG") {
        std::fs::write(path, svg).expect("the path can be written");
    }
}

#[test]
fn an_empty_run_still_draws() {
    let empty = latency_histogram();
    let mut figure = figure(&empty, &empty);
    figure.points.clear();
    figure.removal = None;
    figure.duration_seconds = 0.0;
    let svg = render(&figure);
    check_well_formed(&svg);
    assert!(!svg.contains("NaN") && !svg.contains("inf"));
}

#[test]
fn shares_add_up_to_all() {
    let shares = shares_by_bucket(&filled([10, 10, 200, 5_000].into_iter()));
    let sum: f64 = shares.iter().map(|(_, share)| share).sum();
    assert!((sum - 100.0).abs() < 1e-6);
    assert!(shares.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0), "no gaps");
}

#[test]
fn durations_read_well() {
    let labels = [30.0, 999.0, 1_000.0, 1_234.0, 30_000.0, 1e6, 1.5e6].map(duration_label);
    assert_eq!(labels, ["30 µs", "999 µs", "1 ms", "1.23 ms", "30 ms", "1 s", "1.50 s"]);
}
