//! Client transactions (RFC 3261 17.1) and what a caller does with responses (13.2.2, 9.1).
//!
//! Owns: timers A, B, E and F, the ACK, the CANCEL, dialogs from 2xx. Knows nothing of who answers.

use std::net::SocketAddr;

use super::agent::{Agent, Dialog};
use super::effects::{Effects, Fact, GIVE_UP_US, SECOND_US, T1_US, T2_US, Timer};
use super::text::{Text, parameter, uri_of};

/// How long a caller lets it ring before it cancels.
const RING_US: u64 = 25 * SECOND_US;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Calling,
    Proceeding,
    Over,
}

/// One request on its way.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) request: Text,
    to: SocketAddr,
    bytes: Vec<u8>,
    pub(crate) state: State,
    started: u64,
    interval: u64,
    next: u64,
    sent: u32,
    /// The caller changes its mind while it rings.
    pub(crate) cancels: bool,
    cancelled_at: Option<u64>,
    /// The ACK, to repeat it for each repeated final response.
    ack: Option<(SocketAddr, Vec<u8>)>,
    /// The status that a probe has to get.
    pub(crate) wanted: Option<u16>,
}

pub(crate) fn client_key(branch: &str, method: &str) -> String {
    format!("{branch} {method}")
}

impl Agent {
    /// Sends a request with a transaction of its own; says its key.
    pub(crate) fn request(&mut self, now: u64, mut text: Text, fx: &mut Effects) -> String {
        let to = self.finish(&mut text);
        self.start_client(now, text, to, fx)
    }

    fn start_client(
        &mut self,
        now: u64,
        request: Text,
        to: SocketAddr,
        fx: &mut Effects,
    ) -> String {
        let key = client_key(&request.branch(), request.method());
        let bytes = request.write(self.style);
        fx.send(to, bytes.clone());
        let client = Client {
            request,
            to,
            bytes,
            state: State::Calling,
            started: now,
            interval: T1_US,
            next: now + T1_US,
            sent: 1,
            cancels: false,
            cancelled_at: None,
            ack: None,
            wanted: None,
        };
        fx.at(client.next, Timer::Client(key.clone()));
        self.clients.insert(key.clone(), client);
        key
    }

    pub(crate) fn on_client_timer(&mut self, now: u64, key: &str, fx: &mut Effects) {
        let Some(client) = self.clients.get_mut(key) else { return };
        if client.state == State::Over || client.next != now {
            return;
        }
        let is_invite = client.request.method() == "INVITE";
        let waits = is_invite && client.state == State::Proceeding;
        let limit = match (waits, client.cancelled_at) {
            (true, Some(at)) => at + GIVE_UP_US,
            (true, None) => u64::MAX,
            _ => client.started + GIVE_UP_US,
        };
        if now >= limit {
            return self.time_out(key, fx);
        }
        if waits {
            if client.cancelled_at.is_none() {
                return self.cancel(now, key, fx);
            }
            client.next = limit;
        } else {
            fx.send(client.to, client.bytes.clone());
            fx.count("retransmission");
            client.sent += 1;
            client.interval *= 2;
            if !is_invite {
                let slow = client.state == State::Proceeding;
                client.interval = if slow { T2_US } else { client.interval.min(T2_US) };
            }
            client.next = (now + client.interval).min(limit);
        }
        fx.at(client.next, Timer::Client(key.to_owned()));
    }

    fn time_out(&mut self, key: &str, fx: &mut Effects) {
        let Some(client) = self.clients.get_mut(key) else { return };
        client.state = State::Over;
        fx.facts.push(Fact::TimedOut {
            transaction: client.request.transaction(),
            call_id: client.request.call_id().to_owned(),
            method: client.request.method().to_owned(),
            sent: client.sent,
            started: client.started,
        });
        let request = client.request.clone();
        self.on_final(&request, 408);
    }

    /// RFC 3261 9.1: the same top Via, Request-URI, To, From, Call-ID and Route.
    fn cancel(&mut self, now: u64, key: &str, fx: &mut Effects) {
        let Some(client) = self.clients.get_mut(key) else { return };
        client.cancelled_at = Some(now);
        client.next = now + GIVE_UP_US;
        fx.at(client.next, Timer::Client(key.to_owned()));
        let (request, to) = (client.request.clone(), client.to);
        let mut cancel = follow_up(&request, "CANCEL", request.one("To"));
        self.show_learned(&mut cancel, fx);
        fx.count("CANCEL");
        self.start_client(now, cancel, to, fx);
    }

    pub(crate) fn on_response(&mut self, now: u64, response: &Text, fx: &mut Effects) {
        let key = client_key(&response.branch(), response.method());
        let Some(client) = self.clients.get_mut(&key) else {
            let branch = response.branch();
            let is_of_life_before = branch.starts_with(&self.branch_start()) && self.epoch > 0;
            if !is_of_life_before {
                fx.facts.push(Fact::ForeignResponse { start: response.start.clone(), branch });
            }
            return;
        };
        let status = response.status();
        let is_invite = response.method() == "INVITE";
        if let Some((to, ack)) = &client.ack
            && status >= 200
        {
            return fx.send(*to, ack.clone());
        }
        if client.state == State::Over {
            return;
        }
        if status < 200 {
            if client.state == State::Calling {
                client.state = State::Proceeding;
                if is_invite {
                    client.next = now + if client.cancels { SECOND_US } else { RING_US };
                    fx.at(client.next, Timer::Client(key));
                }
            }
            return;
        }
        client.state = State::Over;
        if let Some(wanted) = client.wanted.filter(|&wanted| wanted != status) {
            fx.facts.push(Fact::WrongAnswer { wanted, found: status });
        }
        let request = client.request.clone();
        let to = client.to;
        if is_invite && status >= 300 {
            let mut ack = follow_up(&request, "ACK", response.one("To"));
            self.show_learned(&mut ack, fx);
            ack.add("X-Node", self.name());
            let bytes = ack.write(self.style);
            fx.send(to, bytes.clone());
            if let Some(client) = self.clients.get_mut(&key) {
                client.ack = Some((to, bytes));
            }
        }
        self.on_final(&request, status);
        if is_invite && status < 300 {
            self.acknowledge(now, &key, &request, response, fx);
        }
    }

    /// The same branch, and another sent-by than the INVITE had.
    fn show_learned(&self, text: &mut Text, fx: &mut Effects) {
        let Some(learned) = self.learned else { return };
        let (own, learned) = (self.address.to_string(), learned.to_string());
        let vias: Vec<String> =
            text.all("Via").iter().map(|via| via.replace(&own, &learned)).collect();
        text.replace("Via", &vias);
        fx.count("another sent-by behind an INVITE");
    }

    /// What a final response (or none) means to the dialog.
    fn on_final(&mut self, request: &Text, status: u16) {
        let key = dialog_key(request.call_id(), request.tag_of_from(), request.tag_of_to());
        let Some(dialog) = self.dialogs.get_mut(&key) else { return };
        if request.method() == "INVITE" {
            dialog.is_inviting = false;
        }
        // RFC 3261 12.2.1.2.
        dialog.is_over |= matches!(status, 408 | 481);
    }

    /// RFC 3261 13.2.2.4: a 2xx makes the dialog, and the ACK is a request of its own.
    fn acknowledge(&mut self, now: u64, key: &str, request: &Text, ok: &Text, fx: &mut Effects) {
        let dialog_key = dialog_key(request.call_id(), request.tag_of_from(), ok.tag_of_to());
        if request.tag_of_to().is_empty() {
            let mut routes = ok.all("Record-Route");
            routes.reverse();
            let dialog = Dialog {
                call_id: request.call_id().to_owned(),
                local: request.one("From").to_owned(),
                remote: ok.one("To").to_owned(),
                target: uri_of(ok.one("Contact")).to_owned(),
                routes,
                cseq: request.cseq(),
                peer: ok.one("X-Node").to_owned(),
                is_over: false,
                is_inviting: false,
                requests_left: 0,
                next: 0,
            };
            fx.count("call established");
            self.begin(now, dialog_key.clone(), dialog, fx);
        }
        let Some(mut ack) = self.within(&dialog_key, "ACK", Some(request.cseq())) else { return };
        let to = self.finish(&mut ack);
        let bytes = ack.write(self.style);
        fx.send(to, bytes.clone());
        let Some(client) = self.clients.get_mut(key) else { return };
        client.ack = Some((to, bytes));
        if client.cancelled_at.is_some() {
            fx.count("CANCEL that came too late");
            self.hang_up(now, &dialog_key, fx);
        }
    }
}

/// CANCEL, or the ACK of a non-2xx (RFC 3261 17.1.1.3).
fn follow_up(request: &Text, method: &str, to: &str) -> Text {
    let mut text = Text::request(method, request.uri());
    for (name, value) in &request.fields {
        if matches!(
            name.as_str(),
            "Via" | "Route" | "From" | "Call-ID" | "Max-Forwards" | "X-To-Node"
        ) {
            text.add(name, value.clone());
        }
    }
    text.add("To", to);
    text.add("CSeq", format!("{} {method}", request.cseq()));
    text
}

pub(crate) fn dialog_key(call_id: &str, local_tag: &str, remote_tag: &str) -> String {
    format!("{call_id}|{local_tag}|{remote_tag}")
}

/// The address that a top Via asks its responses to be sent to (RFC 3261 18.2.2, RFC 3581 4).
pub(crate) fn reply_address(via: &str, source: SocketAddr) -> SocketAddr {
    if parameter(via, "rport").is_some() {
        return source;
    }
    let host = super::text::sent_by(via);
    host.parse().unwrap_or(source)
}
