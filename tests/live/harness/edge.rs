//! The edge as a child process: its configuration, readiness, counters and end.
//!
//! Owns: the configuration text of a test and the process. `SIPEDGE_LIVE_EDGE=kamailio` puts a Kamailio with
//! `reference-edge.cfg` in its place, which shows that scenarios and checks are right by themselves.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::kamailio::Kamailio;
use super::metrics::{Metrics, http_body, http_post, http_status};
use super::party::Party;
use super::{free_address, loopback, wait_until};
use crate::runner::Place;

/// How long the edge may take from one reading of its counters to the next: a second, on a busy machine more.
const READING_MAX: Duration = Duration::from_secs(20);

/// What differs between the edges of the cases.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    /// Name and address; the first is the phones' one.
    pub(crate) listeners: Vec<(&'static str, SocketAddr)>,
    pub(crate) backends: Vec<SocketAddr>,
    /// The pool's key.
    pub(crate) key: &'static str,
    /// The listener that the pool is sent to from.
    pub(crate) send_from: Option<&'static str>,
    pub(crate) shards: u8,
    pub(crate) io: &'static str,
    pub(crate) steering: &'static str,
    /// How backends are probed: the pool's `probe`.
    pub(crate) probe: &'static str,
    /// Lines of `[node]` that only this case has.
    pub(crate) node: String,
    /// Lines of the pool that only this case has.
    pub(crate) pool: String,
    /// A backend by name, beside the others.
    pub(crate) name: Option<String>,
    /// Sections that only this case has.
    pub(crate) more: String,
    /// Only for the stand-in: what it does wrong.
    pub(crate) fault: &'static str,
}

impl Setup {
    /// One IPv4 listener, two shards, whatever I/O and steering the machine has.
    pub(crate) fn new(edge: SocketAddr, backends: &[SocketAddr]) -> Self {
        Self {
            listeners: vec![("public", edge)],
            backends: backends.to_vec(),
            key: "call-id",
            send_from: None,
            shards: 2,
            io: "auto",
            steering: "auto",
            probe: "\"off\"",
            node: String::new(),
            pool: String::new(),
            name: None,
            more: String::new(),
            fault: "none",
        }
    }

    /// Where the backends reach the edge.
    pub(crate) fn inner(&self) -> SocketAddr {
        let inner = self.listeners.iter().find(|(name, _)| Some(*name) == self.send_from);
        inner.unwrap_or(&self.listeners[0]).1
    }

    fn toml(&self, admin: SocketAddr) -> String {
        let mut text = format!(
            "[node]\nname = \"live\"\nshards = {}\nio = \"{}\"\nsteering = \"{}\"\n\
             keys = [{{ id = 1, secret = \"live-test-secret-live-test-secret\" }}]\n",
            self.shards, self.io, self.steering
        );
        text.push_str(&self.node);
        for (name, address) in &self.listeners {
            let _ = write!(text, "\n[[listen]]\nname = \"{name}\"\naddress = \"udp:{address}\"\n");
        }
        let _ = write!(
            text,
            "\n[[pool]]\nname = \"backends\"\nprobe = {}\nkey = \"{}\"\n{}",
            self.probe, self.key, self.pool
        );
        if let Some(listener) = self.send_from {
            let _ = writeln!(text, "send_from = \"{listener}\"");
        }
        text.push_str("backends = [\n");
        for backend in &self.backends {
            let _ = writeln!(text, "  {{ uri = \"sip:{backend}\" }},");
        }
        if let Some(name) = &self.name {
            let _ = writeln!(text, "  {{ uri = \"sip:{name}\" }},");
        }
        let _ =
            write!(text, "]\n\n[[route]]\npool = \"backends\"\n\n[admin]\nlisten = \"{admin}\"\n");
        text.push_str(&self.more);
        text
    }

    /// The dispatcher list of the stand-in.
    fn dispatcher_list(&self) -> String {
        self.backends.iter().map(|b| format!("1 sip:{b}\n")).collect()
    }
}

/// A running edge.
pub(crate) enum Edge {
    Real { party: Party, admin: SocketAddr, config: PathBuf },
    Reference(Kamailio),
}

impl Edge {
    /// Starts an edge in the network namespace of the test and waits until it is ready.
    pub(crate) fn start(place: &Place, setup: &Setup) -> Self {
        if std::env::var("SIPEDGE_LIVE_EDGE").is_ok_and(|v| v == "kamailio") {
            return Self::start_reference(place, setup);
        }
        let admin = free_address(loopback(1));
        let listeners: Vec<SocketAddr> = setup.listeners.iter().map(|(_, a)| *a).collect();
        Self::start_text(place, &setup.toml(admin), admin, &listeners)
    }

    /// Starts one of `config/examples`, in a network namespace that nobody else is in: its admin page is at its default place.
    pub(crate) fn start_example(place: &Place, file: &str, listeners: &[SocketAddr]) -> Self {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples").join(file);
        let text = fs::read_to_string(example).expect("an example of the tree");
        Self::start_text(place, &text, SocketAddr::new(loopback(1), 9060), listeners)
    }

    fn start_text(place: &Place, text: &str, admin: SocketAddr, listeners: &[SocketAddr]) -> Self {
        let config = place.path("sipedge.toml");
        fs::write(&config, text).expect("a file in the case's directory");
        let program = env!("CARGO_BIN_EXE_sipedge").to_owned();
        let file = config.to_str().expect("our paths are UTF-8").to_owned();
        let command = [program, "run".to_owned(), "-c".to_owned(), file];
        let mut party = Party::start("edge", &command, place.path("edge.log"));
        party.wait_ready("healthz", |_| http_body(admin, "/healthz").is_some());
        for address in listeners {
            party.wait_bound(*address);
        }
        Self::Real { party, admin, config }
    }

    /// Writes `setup` over its configuration and tells it to read that.
    pub(crate) fn reload(&self, setup: &Setup) {
        if let Self::Real { admin, .. } = self {
            self.reload_text(&setup.toml(*admin));
        }
    }

    /// The same with any text.
    pub(crate) fn reload_text(&self, text: &str) {
        if let Self::Real { party, config, .. } = self {
            fs::write(config, text).expect("a file in the case's directory");
            party.signal("HUP");
        }
    }

    /// Tells it to end, and does not wait.
    pub(crate) fn begin_to_end(&self) {
        if let Self::Real { party, .. } = self {
            party.signal("TERM");
        }
    }

    /// Waits until it ends, as it must with exit code 0.
    pub(crate) fn wait_end(mut self, deadline: Duration) {
        if let Self::Real { party, .. } = &mut self {
            let status = party.wait_end(deadline);
            assert!(status.success(), "the edge ended with {status}:\n{}", party.log_text());
        }
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        match self {
            Self::Real { party, .. } => party.log_text(),
            Self::Reference(_) => String::new(),
        }
    }

    /// The status of its `/healthz`.
    pub(crate) fn healthz(&self) -> Option<u16> {
        match self {
            Self::Real { admin, .. } => http_status(*admin, "/healthz"),
            Self::Reference(_) => None,
        }
    }

    /// Its counters as they are now; nothing from the stand-in. The edge reads them once a second for all who look: the next
    /// reading is the first that began after this question.
    pub(crate) fn metrics(&self) -> Option<Metrics> {
        match self {
            Self::Real { admin, .. } => {
                let read = || {
                    let text = http_body(*admin, "/metrics").expect("the edge answers /metrics");
                    let read_at =
                        text.lines().find(|line| line.starts_with("sipedge_uptime_seconds "));
                    (read_at.map(str::to_owned), Metrics::parse(&text))
                };
                let (before, mut now) = (read().0, None);
                let is_new = wait_until(READING_MAX, || {
                    let (read_at, metrics) = read();
                    now = Some(metrics);
                    read_at != before
                });
                assert!(is_new, "the edge reads its counters no more");
                now
            }
            Self::Reference(_) => None,
        }
    }

    /// Has something done over its API; the status of the answer.
    pub(crate) fn post(&self, path: &str, token: &str) -> Option<u16> {
        match self {
            Self::Real { admin, .. } => http_post(*admin, path, token),
            Self::Reference(_) => None,
        }
    }

    /// What `sipedge ctl` says to this; an error when it ends with one.
    pub(crate) fn ctl(&self, arguments: &[&str], token: &str) -> Result<String, String> {
        let Self::Real { admin, .. } = self else { return Ok(String::new()) };
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_sipedge"))
            .args(["ctl", "--server", &format!("http://{admin}")])
            .args(arguments)
            .env("SIPEDGE_TOKEN", token)
            .output()
            .expect("our own program starts");
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(said(&output.stdout)) } else { Err(said(&output.stderr)) }
    }

    /// Ends it with SIGTERM: it must drain and leave with exit code 0.
    pub(crate) fn stop(self) {
        match self {
            Self::Real { mut party, .. } => {
                let status = party.terminate();
                assert!(status.success(), "the edge ended with {status}:\n{}", party.log_text());
            }
            Self::Reference(mut kamailio) => assert!(kamailio.is_running(), "the stand-in ended"),
        }
    }

    /// Starts the stand-in.
    pub(crate) fn start_reference(place: &Place, setup: &Setup) -> Self {
        let list = place.path("dispatcher.list");
        fs::write(&list, setup.dispatcher_list()).expect("a file in the case's directory");
        let definitions = [
            format!("NODES=\"{}\"", list.display()),
            format!("ALGORITHM=\"{}\"", setup.key),
            format!("FAULT=\"{}\"", setup.fault),
        ];
        let listeners: Vec<SocketAddr> = setup.listeners.iter().map(|(_, a)| *a).collect();
        Self::Reference(Kamailio::start(
            place,
            "edge",
            "reference-edge.cfg",
            &listeners,
            &definitions,
        ))
    }
}
