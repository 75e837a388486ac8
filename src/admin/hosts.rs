//! Which names a request may ask for: a page of another site must not read this node by a name of its own.
//!
//! Owns: the rule. DNS rebinding lets a browser ask a private address by a public name, as if the page came from here; then
//! Origin and Host are equal, and only the name tells. So Host is an IP address, `localhost`, the name of the node or one of
//! `[admin] hosts`. Requests over the unix socket, which no browser opens, are not asked.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::extract::Request;
use axum::http::{StatusCode, header};

use super::answer::Refusal;

/// The names of this node, in lower case.
pub(super) struct Hosts(Vec<String>);

impl Hosts {
    pub(super) fn new(node: &str, configured: &[String]) -> Self {
        let names = configured.iter().map(String::as_str).chain([node, "localhost"]);
        Self(names.map(plain).collect())
    }

    /// Nobody who speaks HTTP/1.1 leaves Host out; what does (HTTP/1.0 of a health check) is no browser.
    pub(super) fn are_meant_by(&self, request: &Request) -> bool {
        let mut hosts = asked_for(request).peekable();
        hosts.peek().is_none() || hosts.all(|host| self.has(host))
    }

    fn has(&self, host: &str) -> bool {
        let host = without_port(host);
        let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let is_address = inner.is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok())
            || host.parse::<Ipv4Addr>().is_ok();
        is_address || self.0.contains(&plain(host))
    }
}

/// What a request names: its Host fields, and the target when that is absolute (RFC 9112 3.2.2).
fn asked_for(request: &Request) -> impl Iterator<Item = &str> {
    let fields = request.headers().get_all(header::HOST).into_iter();
    // A value that is no text is no name of ours.
    let fields = fields.map(|host| host.to_str().unwrap_or("?"));
    fields.chain(request.uri().host())
}

fn without_port(host: &str) -> &str {
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    match host.rsplit_once(':') {
        Some((name, port)) if is_port(port) => name,
        _ => host,
    }
}

fn plain(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// Says which name is meant, and where to write it.
pub(super) fn refusal(request: &Request) -> Refusal {
    let shown = asked_for(request).next().map(without_port).unwrap_or_default();
    Refusal::new(
        StatusCode::MISDIRECTED_REQUEST,
        format!("\"{shown}\" is no name of this node"),
        "ask by its IP address or by its name, or write hosts = [\"..\"] into [admin] and restart",
    )
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn is_meant(hosts: &[&str]) -> bool {
        let names = Hosts::new("Edge-A", &["sip.Example.com".to_owned()]);
        let mut request = Request::builder().uri("/metrics");
        for host in hosts {
            request = request.header("host", *host);
        }
        names.are_meant_by(&request.body(Body::empty()).unwrap())
    }

    #[test]
    fn addresses_and_own_names_are_meant_and_others_are_not() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:9060",
            "[::1]:9060",
            "[2001:DB8::1]",
            "localhost",
            "LOCALHOST:9060",
            "edge-a",
            "edge-a:9060",
            "sip.example.com.",
            "SIP.example.com.:9060",
            "203.0.113.7:80",
        ] {
            assert!(is_meant(&[host]), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:9060",
            "edge-a.evil.example",
            "127.0.0.1.evil.example",
            "::1",
            "[::1",
            "[evil]",
            "",
            "127.0.0.1:x",
            "localhost.evil.example",
            "2130706433",
            "0x7f000001",
        ] {
            assert!(!is_meant(&[host]), "{host}");
        }
        assert!(is_meant(&[]));
        assert!(!is_meant(&["127.0.0.1", "evil.example"]));
    }

    #[test]
    fn an_absolute_target_counts_too() {
        let names = Hosts::new("edge", &[]);
        let ask =
            |uri: &str| Request::builder().uri(uri).header("host", "edge").body(Body::empty());
        assert!(names.are_meant_by(&ask("http://edge:9060/metrics").unwrap()));
        assert!(!names.are_meant_by(&ask("http://evil.example/metrics").unwrap()));
    }
}
