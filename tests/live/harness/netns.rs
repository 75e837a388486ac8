//! Network namespaces with pairs of veth devices of MTU 1500: the edge in the middle, phones and backends apart.
//!
//! Owns: making and deleting them, and the NAT between phones and edge. Needs root. It must not know SIP.

use std::fs;
use std::process::Command;

/// Namespaces that are deleted with the value that made them.
#[derive(Debug)]
pub(crate) struct Netns {
    prefix: String,
    /// Those that this value made, and deletes.
    owned: Vec<&'static str>,
}

/// One end of a link: namespace, device, the device's addresses.
type End<'a> = (&'static str, &'static str, &'a [&'a str]);

impl Netns {
    /// Three namespaces: phones 10.9.1.2 - 10.9.1.1 edge 10.9.2.1 - 10.9.2.2 backends.
    pub(crate) fn new() -> Self {
        let netns = Self::made(&["edge", "phones", "backends"]);
        netns.link(("edge", "e1", &["10.9.1.1/24"]), ("phones", "o1", &["10.9.1.2/24"]));
        netns.link(("edge", "e2", &["10.9.2.1/24"]), ("backends", "o2", &["10.9.2.2/24"]));
        netns.default_route("phones", "10.9.1.1");
        netns.default_route("backends", "10.9.2.1");
        netns
    }

    /// Four namespaces: phones 192.168.77.11 to .30 - .1 nat 198.51.100.77 - 198.51.100.5, .6 edge 10.77.0.5, .6 -
    /// 10.77.0.11, .12 core. The NAT gives each flow of a phone a port by chance; .50 and .51 stand beside it, for a carrier
    /// and a stranger. The core has no way to the public side.
    pub(crate) fn behind_nat() -> Self {
        let netns = Self::made(&["edge", "phones", "nat", "core"]);
        let phones: Vec<String> = (11..=30).map(|host| format!("192.168.77.{host}/24")).collect();
        let phones: Vec<&str> = phones.iter().map(String::as_str).collect();
        netns.link(("phones", "p0", &phones), ("nat", "n0", &["192.168.77.1/24"]));
        let public = ["198.51.100.77/24", "198.51.100.50/24", "198.51.100.51/24"];
        let edge = ["198.51.100.5/24", "198.51.100.6/24"];
        netns.link(("nat", "n1", &public), ("edge", "e0", &edge));
        let core = ["10.77.0.11/24", "10.77.0.12/24"];
        netns.link(("edge", "e1", &["10.77.0.5/24", "10.77.0.6/24"]), ("core", "c0", &core));
        netns.default_route("phones", "192.168.77.1");
        netns.run("nat", &["sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"]);
        // Phones refresh their bindings in time: SIPp has no keep-alives, and holds a call for longer than the usual 30.
        let times = "echo 300 >/proc/sys/net/netfilter/nf_conntrack_udp_timeout";
        netns.run("nat", &["nft", "add table ip nat"]);
        let chain = "add chain ip nat post { type nat hook postrouting priority 100; }";
        netns.run("nat", &["nft", chain]);
        netns.run(
            "nat",
            &["nft", "add rule ip nat post ip saddr 192.168.77.0/24 masquerade random"],
        );
        netns.run("nat", &["sh", "-c", times]);
        netns
    }

    /// The namespaces of the test that started this one, which left their prefix in `variable`.
    pub(crate) fn within(variable: &str) -> Option<Self> {
        let prefix = std::env::var(variable).ok()?;
        Some(Self { prefix, owned: Vec::new() })
    }

    /// Runs the one case `name` of this test program again in the edge's namespace, with the prefix in `variable`.
    pub(crate) fn run_within(&self, name: &str, variable: &str) {
        let program = std::env::current_exe().expect("the test's own program");
        let command = self.command("edge");
        let output = Command::new(&command[0])
            .args(&command[1..])
            .arg(program)
            .args(["--exact", name])
            .env(variable, &self.prefix)
            .output()
            .expect("ip netns exec");
        // Its output is of interest only when it failed: one result line is enough for one case.
        assert!(
            output.status.success(),
            "the run within the namespace failed ({}):\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// The command prefix that runs a program in a namespace.
    pub(crate) fn command(&self, part: &str) -> Vec<String> {
        ["ip", "netns", "exec", &self.name(part)].map(str::to_owned).to_vec()
    }

    fn made(parts: &[&'static str]) -> Self {
        let prefix = format!("sipedge{}", std::process::id());
        let netns = Self { prefix, owned: parts.to_vec() };
        for part in parts {
            ip(&["netns", "add", &netns.name(part)]);
            ip(&["-n", &netns.name(part), "link", "set", "lo", "up"]);
        }
        netns
    }

    fn link(&self, left: End<'_>, right: End<'_>) {
        let (name, peer) = (self.name(left.0), self.name(right.0));
        let mut arguments = vec!["-n", &name, "link", "add", left.1, "mtu", "1500", "type", "veth"];
        arguments.extend(["peer", "name", right.1, "mtu", "1500", "netns", &peer]);
        ip(&arguments);
        for (part, device, addresses) in [left, right] {
            let name = self.name(part);
            for address in addresses {
                ip(&["-n", &name, "address", "add", address, "dev", device]);
            }
            ip(&["-n", &name, "link", "set", device, "up"]);
        }
    }

    fn default_route(&self, part: &str, via: &str) {
        ip(&["-n", &self.name(part), "route", "add", "default", "via", via]);
    }

    fn run(&self, part: &str, arguments: &[&str]) {
        let name = self.name(part);
        ip(&[&["netns", "exec", &name], arguments].concat());
    }

    fn name(&self, part: &str) -> String {
        format!("{}-{part}", self.prefix)
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        for part in &self.owned {
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
