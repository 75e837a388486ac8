//! A backend in a thread: answers INVITE, BYE and OPTIONS with 200, and can fall silent as a process does that is killed.
//!
//! Owns: its socket, and how often each INVITE came.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{lines, widen};

/// How late it may notice that it is to stop.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A running backend.
pub(super) struct Callee {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    questions: Sender<Sender<BTreeMap<String, usize>>>,
    left: Receiver<BTreeMap<String, usize>>,
}

/// Ends a backend from elsewhere.
pub(super) struct Stopper(Arc<AtomicBool>);

impl Stopper {
    /// Its socket is closed: from now on the kernel answers for it.
    pub(super) fn stop(self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Callee {
    pub(super) fn start(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (questions, asked) = channel();
        let (leave, left) = channel();
        let stopped = Arc::clone(&stop);
        let socket = UdpSocket::bind(address).expect("a free address");
        widen(&socket);
        socket.set_read_timeout(Some(LOOK_EVERY)).expect("a time");
        let thread = std::thread::spawn(move || {
            let invites = answer(&socket, &stopped, &asked);
            drop(socket);
            // Nobody may want it any more.
            let _ = leave.send(invites);
        });
        Self { stop, thread: Some(thread), questions, left }
    }

    pub(super) fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.stop))
    }

    pub(super) fn wait_stopped(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("a backend does not panic");
        }
    }

    /// How often the INVITE of each Call-ID came so far. Of one that has stopped: once.
    pub(super) fn invites(&self) -> BTreeMap<String, usize> {
        let (answer, answers) = channel();
        if self.questions.send(answer).is_ok()
            && let Ok(invites) = answers.recv()
        {
            return invites;
        }
        self.left.recv().expect("a backend that stopped left its count")
    }
}

impl Drop for Callee {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.wait_stopped();
    }
}

/// Answers until it is told to stop; what came.
fn answer(
    socket: &UdpSocket,
    stop: &AtomicBool,
    asked: &Receiver<Sender<BTreeMap<String, usize>>>,
) -> BTreeMap<String, usize> {
    let mut invites = BTreeMap::<String, usize>::new();
    let mut buffer = [0; 4_096];
    let local = socket.local_addr().expect("bound");
    while !stop.load(Ordering::Relaxed) {
        if let Ok(answer) = asked.try_recv() {
            let _ = answer.send(invites.clone());
        }
        let Ok((count, source)) = socket.recv_from(&mut buffer) else { continue };
        let text = String::from_utf8_lossy(&buffer[..count]);
        let method = text.split(' ').next().unwrap_or_default();
        if method == "INVITE" {
            let call_id = lines(&text, "Call-ID").next().unwrap_or_default();
            let call_id = call_id.trim_start_matches("Call-ID: ");
            *invites.entry(call_id.to_owned()).or_default() += 1;
        }
        if matches!(method, "INVITE" | "BYE" | "OPTIONS") {
            let _ = socket.send_to(ok(&text, local).as_bytes(), source);
        }
    }
    invites
}

fn ok(request: &str, local: SocketAddr) -> String {
    let mut answer = "SIP/2.0 200 OK\r\n".to_owned();
    for field in ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"] {
        for line in lines(request, field) {
            answer.push_str(line);
            if field == "To" && !line.contains(";tag=") {
                answer.push_str(";tag=callee");
            }
            answer.push_str("\r\n");
        }
    }
    answer.push_str(&format!("Contact: <sip:callee@{local}>\r\nContent-Length: 0\r\n\r\n"));
    answer
}
