//! Knot as a child process on loopback, without any right.
//!
//! Owns: its configuration, its zone files, readiness, and its end by process id.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long anything may take that should happen soon: the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The zone that the server has.
pub(crate) const ZONE: &str = "sip.test";

/// A running server.
pub(crate) struct Server {
    folder: PathBuf,
    address: SocketAddr,
    process: Option<Child>,
    serial: u32,
}

impl Server {
    /// Starts a server with `records`, lines of a zone file; none when there is no Knot here, which is counted as skipped.
    pub(crate) fn start(records: &str) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if !is_installed() {
            let is_required = std::env::var("SIPEDGE_REQUIRE_LIVE").is_ok_and(|value| value == "1");
            assert!(!is_required, "needs knotd (apt install knot), and SIPEDGE_REQUIRE_LIVE=1");
            // Not captured by the test runner, so that the summary can count it.
            let _ = writeln!(std::io::stderr(), "skipped: needs knotd (apt install knot)");
            return None;
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder =
            std::env::temp_dir().join(format!("sipedge-names-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder of our own");
        let mut server = Self { folder, address: free_address(), process: None, serial: 0 };
        fs::write(server.folder.join("knot.conf"), server.config()).expect("a file of our own");
        server.write_zone(records);
        server.run();
        Some(server)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Serves `records` instead, and waits until it does.
    pub(crate) fn change(&mut self, records: &str) {
        self.write_zone(records);
        let Some(process) = &self.process else { return };
        signal(process, "-HUP");
        self.wait_for_serial();
    }

    /// Ends the server: questions are refused from here on.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("our own child");
            process.wait().expect("our own child");
        }
    }

    /// Starts it again, at its address, with the zone as it is now.
    pub(crate) fn run(&mut self) {
        let log = fs::File::create(self.log()).expect("a file of our own");
        let mut command = Command::new("knotd");
        let path = std::env::var("PATH").unwrap_or_default();
        command.args(["-c".as_ref(), self.folder.join("knot.conf").as_os_str()]);
        // Debian's daemons are in sbin, which a user's PATH may not have.
        command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.process = Some(command.spawn().expect("knotd starts"));
        self.wait_for_serial();
    }

    /// Knot logs a zone once it answers from it.
    fn wait_for_serial(&self) {
        let loaded = format!("-> {},", self.serial);
        let log = || fs::read_to_string(self.log()).unwrap_or_default();
        assert!(wait_until(|| log().contains(&loaded)), "no zone {loaded}\n{}", log());
    }

    fn log(&self) -> PathBuf {
        self.folder.join("knot.log")
    }

    fn write_zone(&mut self, records: &str) {
        self.serial += 1;
        let records: String = records.lines().map(|line| format!("{}\n", line.trim())).collect();
        let text = format!(
            "$ORIGIN {ZONE}.\n$TTL 60\n@ 60 SOA ns admin {} 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n{records}",
            self.serial
        );
        fs::write(self.folder.join("zone"), text).expect("a file of our own");
    }

    fn config(&self) -> String {
        let folder = self.folder.display();
        let (ip, port) = (self.address.ip(), self.address.port());
        format!(
            "server:\n    rundir: \"{folder}\"\n    listen: {ip}@{port}\n    udp-workers: 1\n    tcp-workers: 1\n    \
             background-workers: 1\n\
             database:\n    storage: \"{folder}\"\n\
             log:\n  - target: stderr\n    any: info\n\
             template:\n  - id: default\n    storage: \"{folder}\"\n    journal-content: none\n    \
             zonefile-sync: -1\n    zonefile-load: whole\n\
             zone:\n  - domain: {ZONE}\n    file: zone\n"
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// An address on loopback that nobody has, for UDP and TCP.
pub(crate) fn free_address() -> SocketAddr {
    loop {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = socket.local_addr().expect("a bound socket");
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// Waits until `condition` holds; false when it takes too long.
#[expect(clippy::disallowed_methods, reason = "waits for another program, which tells nobody when")]
fn wait_until(mut condition: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while !condition() {
        if started.elapsed() > PATIENCE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

fn is_installed() -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/sbin", "/sbin"])
        .any(|folder| Path::new(folder).join("knotd").exists())
}

fn signal(process: &Child, signal: &str) {
    let done = Command::new("kill").args([signal, &process.id().to_string()]).status();
    assert!(done.is_ok_and(|status| status.success()), "kill {signal}");
}
