//! A phone: a user agent that registers, keeps its NAT open, and calls.
//!
//! Owns: what a phone does on its own. Its transactions are those of any user agent.

use std::net::SocketAddr;

use super::agent::Agent;
use super::effects::{Effects, SECOND_US, Timer};
use super::text::Text;

const REGISTER_US: u64 = 22 * SECOND_US;
const KEEP_ALIVE_US: u64 = 12 * SECOND_US;

/// A phone, and the NAT that it stands behind (an index), if any.
#[derive(Debug)]
pub(crate) struct PhoneNode {
    pub(crate) agent: Agent,
    pub(crate) nat: Option<usize>,
    /// Call-ID, From and the last CSeq of its registration.
    registration: Option<Text>,
}

impl PhoneNode {
    pub(crate) fn new(agent: Agent, nat: Option<usize>) -> Self {
        Self { agent, nat, registration: None }
    }

    pub(crate) fn on_request(
        &mut self,
        now: u64,
        request: Text,
        source: SocketAddr,
        fx: &mut Effects,
    ) {
        let status = match self.agent.random.below(10) {
            0 | 1 => 486,
            // Whoever is called may say whatever is said to backends.
            2 => 503,
            _ => 200,
        };
        let status = if request.method() == "INVITE" { status } else { 200 };
        self.agent.serve(now, request, source, status, fx);
    }

    pub(crate) fn on_timer(&mut self, now: u64, timer: &Timer, fx: &mut Effects) {
        match timer {
            Timer::Register => self.register(now, fx),
            Timer::KeepAlive if self.agent.is_closing => {}
            Timer::KeepAlive => {
                fx.send(self.agent.outbound, b"\r\n\r\n".to_vec());
                fx.at(now + KEEP_ALIVE_US, Timer::KeepAlive);
            }
            timer => self.agent.on_timer(now, timer, fx),
        }
    }

    /// RFC 3261 10.2: the same Call-ID, a higher CSeq.
    fn register(&mut self, now: u64, fx: &mut Effects) {
        if self.agent.is_closing {
            return;
        }
        let mut text = self.registration.take().unwrap_or_else(|| {
            let to = format!("sip:{}@example.com", self.agent.user);
            let mut text = self.agent.fresh("REGISTER", "sip:example.com", &to);
            text.add("Supported", "path");
            text.add("Expires", "60");
            text
        });
        let cseq = text.cseq() + 1;
        for (name, value) in &mut text.fields {
            if name == "CSeq" {
                *value = format!("{cseq} REGISTER");
            }
        }
        self.registration = Some(text.clone());
        fx.count("REGISTER");
        self.agent.request(now, text, fx);
        let wobble = self.agent.random.below(3 * SECOND_US);
        fx.at(now + REGISTER_US + wobble, Timer::Register);
    }

    pub(crate) fn call(&mut self, now: u64, user: &str, cancels: bool, fx: &mut Effects) {
        let to = format!("sip:{user}@example.com");
        // Dialled by another name: the To URI is not the Request-URI, as after a redirection.
        let dialled = format!("sip:name-of-{user}@example.com");
        let invite = self.agent.fresh("INVITE", &to, &dialled);
        self.agent.call(now, invite, cancels, fx);
    }

    /// A request without a dialog, and the only status that may come back.
    pub(crate) fn probe(&mut self, now: u64, request: Text, wanted: Option<u16>, fx: &mut Effects) {
        let key = self.agent.request(now, request, fx);
        if let Some(client) = self.agent.clients.get_mut(&key) {
            client.wanted = wanted;
        }
    }
}
