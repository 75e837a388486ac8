//! Network namespaces with pairs of veth devices of MTU 1500: the edge in the middle, phones and backends apart.
//!
//! Owns: making and deleting them. Needs root. It must not know SIP.

use std::fs;
use std::process::Command;

/// Three namespaces: phones 10.9.1.2 - 10.9.1.1 edge 10.9.2.1 - 10.9.2.2 backends.
#[derive(Debug)]
pub(crate) struct Netns {
    prefix: String,
    /// This value made them, and deletes them.
    owned: bool,
}

impl Netns {
    pub(crate) fn new() -> Self {
        let netns = Self { prefix: format!("sipedge{}", std::process::id()), owned: true };
        let (edge, phones, backends) =
            (netns.name("edge"), netns.name("phones"), netns.name("backends"));
        for name in [&edge, &phones, &backends] {
            ip(&["netns", "add", name]);
            ip(&["-n", name, "link", "set", "lo", "up"]);
        }
        for (net, outer) in [("1", &phones), ("2", &backends)] {
            let (inner_device, outer_device) = (format!("e{net}"), format!("o{net}"));
            ip(&[
                "-n",
                &edge,
                "link",
                "add",
                &inner_device,
                "mtu",
                "1500",
                "type",
                "veth",
                "peer",
                "name",
                &outer_device,
                "mtu",
                "1500",
                "netns",
                outer,
            ]);
            for (name, device, host) in [(&edge, &inner_device, "1"), (outer, &outer_device, "2")] {
                ip(&[
                    "-n",
                    name,
                    "address",
                    "add",
                    &format!("10.9.{net}.{host}/24"),
                    "dev",
                    device,
                ]);
                ip(&["-n", name, "link", "set", device, "up"]);
            }
            ip(&["-n", outer, "route", "add", "default", "via", &format!("10.9.{net}.1")]);
        }
        netns
    }

    /// The namespaces of the test that started this one, which left their prefix in `variable`.
    pub(crate) fn within(variable: &str) -> Option<Self> {
        let prefix = std::env::var(variable).ok()?;
        Some(Self { prefix, owned: false })
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The command prefix that runs a program in a namespace: `edge`, `phones` or `backends`.
    pub(crate) fn command(&self, part: &str) -> Vec<String> {
        ["ip", "netns", "exec", &self.name(part)].map(str::to_owned).to_vec()
    }

    fn name(&self, part: &str) -> String {
        format!("{}-{part}", self.prefix)
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        if !self.owned {
            return;
        }
        for part in ["edge", "phones", "backends"] {
            let _ = Command::new("ip").args(["netns", "delete", &self.name(part)]).status();
        }
    }
}

/// The IPv4 counters of the namespace that the test itself runs in: datagrams put together again, fragments made.
pub(crate) fn fragments() -> (u64, u64) {
    let text = fs::read_to_string("/proc/net/snmp").expect("procfs");
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Ip: "));
    let (names, values) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let value = |wanted: &str| {
        let place = names.split(' ').position(|name| name == wanted)?;
        values.split(' ').nth(place)?.parse().ok()
    };
    (value("ReasmOKs").unwrap_or(0), value("FragCreates").unwrap_or(0))
}

fn ip(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).status().expect("the ip program");
    assert!(status.success(), "ip {} failed", arguments.join(" "));
}
