//! The edge's `/metrics` and `/healthz`, read over HTTP, and counters by name and label.
//!
//! Owns: one GET or POST and the text format of Prometheus. It must not know what a counter means.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const HTTP_TIMEOUT: Duration = Duration::from_secs(2);

/// One reading of all counters.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    /// Name, labels as written, value.
    samples: Vec<(String, String, f64)>,
}

impl Metrics {
    pub(crate) fn parse(text: &str) -> Self {
        let samples = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| {
                let (series, value) = line.rsplit_once(' ')?;
                let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
                Some((
                    name.to_owned(),
                    labels.trim_end_matches('}').to_owned(),
                    value.parse().ok()?,
                ))
            })
            .collect();
        Self { samples }
    }

    /// The sum of the series of `name` that have all `labels` (written `label="value"`).
    pub(crate) fn sum(&self, name: &str, labels: &[&str]) -> u64 {
        let sum: f64 = self
            .samples
            .iter()
            .filter(|(n, l, _)| n == name && labels.iter().all(|label| l.contains(label)))
            .map(|(_, _, value)| value)
            .sum();
        // Counters are whole and far below 2^53.
        format!("{sum:.0}").parse().unwrap_or(0)
    }

    /// The series of `name` that are not zero.
    pub(crate) fn not_zero(&self, name: &str) -> Vec<String> {
        self.samples
            .iter()
            .filter(|(n, _, value)| n == name && *value != 0.0)
            .map(|(n, labels, value)| format!("{n}{{{labels}}} {value}"))
            .collect()
    }
}

/// The body of a page, when the answer is 200.
pub(crate) fn http_body(address: SocketAddr, path: &str) -> Option<String> {
    let (status, body) = http(address, "GET", path, "")?;
    (status == 200).then_some(body)
}

/// The status of a page.
pub(crate) fn http_status(address: SocketAddr, path: &str) -> Option<u16> {
    http(address, "GET", path, "").map(|(status, _)| status)
}

/// The status of a POST with this token and without a body.
pub(crate) fn http_post(address: SocketAddr, path: &str, token: &str) -> Option<u16> {
    let fields = format!("Authorization: Bearer {token}\r\nContent-Length: 0\r\n");
    http(address, "POST", path, &fields).map(|(status, _)| status)
}

fn http(address: SocketAddr, method: &str, path: &str, fields: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, HTTP_TIMEOUT).ok()?;
    stream.set_read_timeout(Some(HTTP_TIMEOUT)).ok()?;
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: {address}\r\n{fields}\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}
