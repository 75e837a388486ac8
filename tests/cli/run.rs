//! `sipedge run`: it says what runs, answers health checks and metrics, forwards, and ends cleanly.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::command;

/// Far more than anything here takes, even on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running edge with one backend, which is a socket of the test.
struct Edge {
    child: Child,
    config: PathBuf,
    lines: Receiver<String>,
    seen: Vec<String>,
    address: SocketAddr,
    admin: SocketAddr,
    backend: UdpSocket,
}

impl Edge {
    fn start(name: &str, node: &str) -> Self {
        let backend = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
        backend.set_read_timeout(Some(PATIENCE)).expect("can be set");
        let address = free(|| UdpSocket::bind("127.0.0.1:0").and_then(|s| s.local_addr()));
        let admin = free(|| TcpListener::bind("127.0.0.1:0").and_then(|s| s.local_addr()));
        let text = format!(
            "[node]\n{node}\n[[listen]]\nname = \"public\"\naddress = \"udp:{address}\"\n[[pool]]\n\
             name = \"servers\"\nprobe = \"off\"\n\
             backends = [{{ uri = \"sip:{}\" }}]\n[[route]]\npool = \"servers\"\n[admin]\nlisten = \"{admin}\"\n",
            backend.local_addr().expect("is bound"),
        );
        let file = format!("sipedge-{name}-{}.toml", std::process::id());
        let config = std::env::temp_dir().join(file);
        std::fs::write(&config, text).expect("can be written");
        let mut child = command(&["run".as_ref(), "-c".as_ref(), config.as_os_str()])
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stderr = BufReader::new(child.stderr.take().expect("is piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut edge = Self { child, config, lines, seen: Vec::new(), address, admin, backend };
        edge.wait_for("ready");
        edge
    }

    /// Reads the log until a line holds `part`.
    fn wait_for(&mut self, part: &str) {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.seen.push(line),
                Err(error) => panic!("no \"{part}\" ({error}) in {}", self.seen.join("\n")),
            }
            if self.seen.last().is_some_and(|line| line.contains(part)) {
                return;
            }
        }
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status().expect("kill is there");
        assert!(status.success());
    }

    /// The page as soon as it has this: the edge reads its counters once a second.
    #[expect(
        clippy::disallowed_methods,
        reason = "waits for another program, which tells nobody when"
    )]
    fn page_with(&self, path: &str, wanted: &str) -> String {
        let begun = std::time::Instant::now();
        loop {
            let page = self.page(path);
            if page.contains(wanted) {
                return page;
            }
            assert!(begun.elapsed() < PATIENCE, "{wanted} not in {page}");
        }
    }

    fn page(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).expect("the page is there");
        stream.set_read_timeout(Some(PATIENCE)).expect("can be set");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.config);
    }
}

fn free(bind: impl Fn() -> std::io::Result<SocketAddr>) -> SocketAddr {
    bind().expect("a port is free")
}

const INVITE: &str = include_str!("messages/invite.sip");

#[test]
fn an_edge_tells_forwards_counts_and_drains() {
    let mut edge = Edge::start("forwards", "shards = 2");
    let told = edge.seen.join("\n");
    for part in ["pool servers: rendezvous", "no keys are configured", "listening on udp:"] {
        assert!(told.contains(part), "{part} not in {told}");
    }
    assert!(edge.page("/healthz").starts_with("HTTP/1.1 200"));

    let phone = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    phone.send_to(INVITE.replace('\n', "\r\n").as_bytes(), edge.address).expect("sent");
    let mut buffer = [0; 4096];
    let (count, from) = edge.backend.recv_from(&mut buffer).expect("the INVITE came through");
    assert_eq!(from, edge.address);
    assert!(String::from_utf8_lossy(&buffer[..count]).contains("\r\nRecord-Route: <sip:~e~"));

    let metrics = edge
        .page_with("/metrics", "sipedge_messages_total{method=\"INVITE\",verdict=\"forward\"} 1\n");
    assert!(metrics.contains("sipedge_dropped_total{reason=\"not_sip\"} 0\n"));

    edge.signal("HUP");
    edge.wait_for("reload: taken over; 0 changes");
    let text = std::fs::read_to_string(&edge.config).expect("it is there");
    let broken = text.replace("\n[[route]]", "\nweight = 3\n[[route]]");
    std::fs::write(&edge.config, broken).expect("can be written");
    edge.signal("HUP");
    edge.wait_for("reload: refused");
    edge.wait_for("reload:   -->");
    edge.signal("TERM");
    edge.wait_for("ended: 1 messages received, 1 sent, 0 dropped");
    assert_eq!(edge.child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn an_interrupt_ends_as_cleanly() {
    let mut edge = Edge::start("interrupt", "io = \"recvmmsg\"\nsteering = \"kernel\"");
    assert!(edge.seen.iter().any(|line| line.contains("recvmmsg")), "{:?}", edge.seen);
    edge.signal("INT");
    assert_eq!(edge.child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn what_is_taken_already_is_said_and_ends_with_1() {
    let edge = Edge::start("first", "shards = 1");
    let done = crate::sipedge(&["run".as_ref(), "-c".as_ref(), edge.config.as_os_str()]);
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert!(done.stderr.contains("cannot listen on"), "{}", done.stderr);
}

/// The cores that each thread of the edge may use, by its name.
fn threads(edge: &Edge) -> Vec<(String, Vec<usize>)> {
    let folder = format!("/proc/{}/task", edge.child.id());
    let tasks =
        std::fs::read_dir(folder).expect("it runs").map(|task| task.expect("listed").path());
    let read = |path: PathBuf| {
        let name = std::fs::read_to_string(path.join("comm")).expect("it has a name");
        let status = std::fs::read_to_string(path.join("status")).expect("it runs");
        (name.trim().to_owned(), allowed(&status))
    };
    tasks.map(read).collect()
}

/// The cores in the line `Cpus_allowed_list` of a status: `0-2,5`.
fn allowed(status: &str) -> Vec<usize> {
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let ranges = list.expect("each status has one").trim().split(',');
    let number = |text: &str| text.parse::<usize>().expect("a core");
    let cores = ranges.flat_map(|range| match range.split_once('-') {
        Some((from, to)) => number(from)..=number(to),
        None => number(range)..=number(range),
    });
    cores.collect()
}

#[test]
fn all_else_keeps_off_the_cores_of_pinned_shards_where_there_are_others() {
    let own = std::fs::read_to_string("/proc/self/status").expect("this process runs");
    let cores = allowed(&own);
    let (&last, rest) = cores.split_last().expect("at least one core");
    let mut edge = Edge::start("cores", &format!("shards = 1\ncores = [{last}]"));
    let told = edge.seen.join("\n");
    let (others, says) =
        if rest.is_empty() { (&[last][..], "give way to them") } else { (rest, "keep off them") };
    // A thread that has just begun may not have its name yet; the shard has, as it is ready.
    let (shards, all_else): (Vec<_>, Vec<_>) =
        threads(&edge).into_iter().partition(|(name, _)| name == "shard-0");
    assert_eq!(shards, [("shard-0".to_owned(), vec![last])]);
    // The one that waits for signals began before it was known where the shards are.
    let elsewhere = all_else.iter().filter(|(_, cores)| cores != others).count();
    assert!(elsewhere <= 1 && all_else.len() >= 4, "{all_else:?}");
    assert!(told.contains(says), "{told}");
    edge.signal("TERM");
    assert_eq!(edge.child.wait().expect("it ends").code(), Some(0));
}
