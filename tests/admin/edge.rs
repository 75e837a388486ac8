//! An edge that runs, with backends that answer every OPTIONS and every other request with 200, or are silent.
//!
//! Owns: the child process and the backends' threads. Ends the process by its own id.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;
use sipedge::ctl::http::Target;

/// Far more than anything here takes, even on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const TOKEN: &str = "a token of the tests, long enough";

/// A running edge. Its pool `servers` has two backends that answer and one that does not.
pub(crate) struct Edge {
    child: Child,
    folder: PathBuf,
    pub(crate) config: PathBuf,
    lines: Receiver<String>,
    pub(crate) sip: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) socket: PathBuf,
    pub(crate) backends: Vec<String>,
}

impl Edge {
    pub(crate) fn start(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("admin-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("can be made");
        let sip = free(|| UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()));
        let admin =
            free(|| TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()));
        let silent = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
        let mut addresses = vec![answering(), answering()];
        addresses.push(silent.local_addr().expect("is bound"));
        // Kept open for as long as the process lives: nobody answers, and nobody says that nobody is there.
        std::mem::forget(silent);
        let backends: Vec<String> =
            addresses.iter().map(|address| format!("sip:{address}")).collect();
        let (config, socket) = (folder.join("sipedge.toml"), folder.join("admin.sock"));
        let mut edge = Self {
            child: Command::new("true").spawn().expect("true is there"),
            folder,
            config,
            lines: channel().1,
            sip,
            admin,
            socket,
            backends,
        };
        let _ = edge.child.wait();
        edge.write_config("");
        edge.run();
        edge
    }

    /// Writes the configuration, with `more` at its end.
    pub(crate) fn write_config(&self, more: &str) {
        let backends: Vec<String> =
            self.backends.iter().map(|uri| format!("{{ uri = \"{uri}\" }}")).collect();
        let text = format!(
            "[node]\nname = \"edge-a\"\nshards = 2\n[[listen]]\nname = \"public\"\naddress = \"udp:{}\"\n\
             [[pool]]\nname = \"servers\"\nbackends = [{}]\nprobe = {{ interval_ms = 200, timeout_ms = 100 }}\n\
             load_cap = 1.25\nfailover = {{ on = [500] }}\n\
             [[route]]\npool = \"servers\"\n\
             [admin]\nlisten = \"{}\"\nsocket = \"{}\"\ntoken = \"env:TEST_TOKEN\"\n{more}",
            self.sip,
            backends.join(", "),
            self.admin,
            self.socket.display(),
        );
        std::fs::write(&self.config, text).expect("can be written");
    }

    fn run(&mut self) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sipedge"))
            .args(["run".as_ref(), "-c".as_ref(), self.config.as_os_str()])
            .env("TEST_TOKEN", TOKEN)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stderr = BufReader::new(child.stderr.take().expect("is piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        (self.child, self.lines) = (child, lines);
        let mut seen = Vec::new();
        while !seen.last().is_some_and(|line: &String| line.contains("ready")) {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => seen.push(line),
                Err(error) => panic!("not ready ({error}): {}", seen.join("\n")),
            }
        }
    }

    pub(crate) fn tcp(&self) -> Target {
        Target::Tcp(self.admin.to_string())
    }

    pub(crate) fn local(&self) -> Target {
        Target::Socket(self.socket.clone())
    }

    /// JSON of a path.
    pub(crate) fn read(&self, path: &str) -> Value {
        let answer =
            self.tcp().ask("GET", path, None).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
        serde_json::from_slice(&answer.body).expect("JSON")
    }

    /// Reads `path` until `is_so`.
    pub(crate) fn wait(&self, path: &str, mut is_so: impl FnMut(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let came = wait_until(|| {
            last = self.read(path);
            is_so(&last)
        });
        assert!(came, "{path} stays {last:#}");
        last
    }

    /// Waits until health has judged all three backends.
    pub(crate) fn settled(&self) -> Value {
        self.wait("/api/v1/pools/servers", |pool| {
            let states: Vec<_> =
                (0..3).map(|at| pool["backends"][at]["health"]["state"].as_str()).collect();
            states == [Some("active"), Some("active"), Some("inactive")]
                && pool["backends"][0]["health"]["probes"]
                    .as_array()
                    .is_some_and(|probes| probes.len() == 10)
        })
    }

    /// Sends `count` requests and waits for their answers.
    pub(crate) fn call(&self, count: usize) {
        let phone = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
        phone.set_read_timeout(Some(PATIENCE)).expect("can be set");
        let (own, mut buffer) = (phone.local_addr().expect("is bound"), [0; 4096]);
        for number in 0..count {
            let text = format!(
                "OPTIONS sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{number}\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:a@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\n\
                 Call-ID: call-{number}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
            );
            phone.send_to(text.as_bytes(), self.sip).expect("sent");
            let (length, _) = phone.recv_from(&mut buffer).expect("an answer");
            assert!(
                buffer[..length].starts_with(b"SIP/2.0 200"),
                "{}",
                String::from_utf8_lossy(&buffer[..length])
            );
        }
    }

    /// Waits for the process to end by itself.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let mut code = None;
        assert!(wait_until(|| {
            code = self.child.try_wait().expect("it is ours");
            code.is_some()
        }));
        code.and_then(|status| status.code())
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "waits for another program, which tells nobody when")]
pub(crate) fn wait_until(mut is_so: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if is_so() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

fn free(bind: impl Fn() -> std::io::Result<SocketAddr>) -> SocketAddr {
    bind().expect("a port is free")
}

/// A backend that answers everything with 200, as long as the test's process lives.
fn answering() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let address = socket.local_addr().expect("is bound");
    std::thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let copied = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
            let fields: String = text
                .lines()
                .filter(|line| copied.iter().any(|name| line.starts_with(name)))
                .map(|line| {
                    if line.starts_with("To:") {
                        format!("{line};tag=b\r\n")
                    } else {
                        format!("{line}\r\n")
                    }
                })
                .collect();
            let answer = format!("SIP/2.0 200 OK\r\n{fields}Content-Length: 0\r\n\r\n");
            if socket.send_to(answer.as_bytes(), from).is_err() {
                return;
            }
        }
    });
    address
}
