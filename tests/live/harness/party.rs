//! One child process of a test: started with its output in a log file, ended when its value is dropped.
//!
//! Owns: the process and its log. It must not know SIP. A process is ended by its own id (or that of the group that it
//! leads), and dies with the test through `setpriv --pdeathsig`.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::wait_until;

/// How long a party may take to be ready, on a loaded machine.
const READY_DEADLINE: Duration = Duration::from_secs(15);
/// How long a party may take to end after SIGTERM: the edge drains for up to five seconds.
const END_DEADLINE: Duration = Duration::from_secs(10);

/// A running child process.
#[derive(Debug)]
pub(crate) struct Party {
    name: String,
    child: Child,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

impl Party {
    /// Starts `command` (program first; a `netns` prefix is part of it) with stdout and stderr in `log`.
    pub(crate) fn start(name: &str, command: &[String], log: PathBuf) -> Self {
        Self::start_with(name, command, log, Stdio::null())
    }

    /// The same for a program that is told what to do on its standard input.
    pub(crate) fn start_told(name: &str, command: &[String], log: PathBuf) -> (Self, ChildStdin) {
        let mut party = Self::start_with(name, command, log, Stdio::piped());
        let input = party.child.stdin.take().expect("a pipe was asked for");
        (party, input)
    }

    fn start_with(name: &str, command: &[String], log: PathBuf, input: Stdio) -> Self {
        let output = File::create(&log).expect("a log file in the case's directory");
        let errors = output.try_clone().expect("a second handle of the log");
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .args(command)
            .env("TERM", "dumb")
            // The logs of all parties have one clock.
            .env("TZ", "UTC")
            .stdin(input)
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|e| panic!("{name} could not be started: {e}"));
        Self { name: name.to_owned(), child, log, ended: None }
    }

    /// Its process id; its network namespace and root have it, too.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote so far.
    pub(crate) fn log_text(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until a UDP socket of its network namespace is bound to `address`.
    pub(crate) fn wait_bound(&mut self, address: SocketAddr) {
        self.wait_ready(&format!("UDP {address} bound"), |party| {
            is_bound(party.child.id(), address)
        });
    }

    /// Waits until `ready`; a party that ends instead, or takes too long, fails the test.
    pub(crate) fn wait_ready(&mut self, what: &str, ready: impl Fn(&Self) -> bool) {
        let mut dead = None;
        let in_time = wait_until(READY_DEADLINE, || {
            dead = self.try_wait();
            dead.is_some() || ready(self)
        });
        let name = &self.name;
        if let Some(status) = dead {
            panic!("{name} ended ({status}) before it was ready ({what}):\n{}", self.log_text());
        }
        assert!(in_time, "{name} was not ready ({what}) within {READY_DEADLINE:?}");
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait_end(&mut self, deadline: Duration) -> ExitStatus {
        let mut status = None;
        wait_until(deadline, || {
            status = self.try_wait();
            status.is_some()
        });
        status.unwrap_or_else(|| panic!("{} did not end within {deadline:?}", self.name))
    }

    /// Sends SIGTERM and waits until it ended.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait_end(END_DEADLINE)
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.try_wait().is_none()
    }

    fn try_wait(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("our own child can be waited for");
        }
        self.ended
    }

    /// Ends it at once, as a crash would, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.signal("KILL");
        self.wait_end(END_DEADLINE);
    }

    /// Sends a signal, named without `SIG`.
    pub(crate) fn signal(&self, signal: &str) {
        // A party leads its own process group, so its id names its children (Kamailio's workers) too.
        let group = format!("-{}", self.child.id());
        let _ =
            Command::new("kill").args(["-s", signal, "--", &group]).stderr(Stdio::null()).status();
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        if self.is_running() {
            self.signal("KILL");
            let _ = self.child.wait();
        }
    }
}

/// Whether the network namespace of process `id` has a UDP socket bound to `address`.
fn is_bound(id: u32, address: SocketAddr) -> bool {
    let table = if address.is_ipv4() { "udp" } else { "udp6" };
    let wanted = match address {
        SocketAddr::V4(v4) => {
            format!("{:08X}:{:04X}", u32::from_le_bytes(v4.ip().octets()), v4.port())
        }
        SocketAddr::V6(v6) => {
            // The kernel prints four words, each in the byte order of the machine.
            let words: Vec<String> = v6
                .ip()
                .octets()
                .chunks_exact(4)
                .map(|w| format!("{:08X}", u32::from_le_bytes([w[0], w[1], w[2], w[3]])))
                .collect();
            format!("{}:{:04X}", words.concat(), v6.port())
        }
    };
    fs::read_to_string(format!("/proc/{id}/net/{table}"))
        .unwrap_or_default()
        .lines()
        .any(|line| line.split_whitespace().nth(1) == Some(&wanted))
}
