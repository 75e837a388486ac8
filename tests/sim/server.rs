//! Server transactions (RFC 3261 17.2) and what a called user agent does (13.3, 9.2, 12.2.2, 15.1.2).
//!
//! Owns: ringing, answering, repeating a final response until its ACK. Knows nothing of who called.

use std::net::SocketAddr;

use super::agent::{Agent, Dialog};
use super::client::{dialog_key, reply_address};
use super::effects::{Effects, Fact, GIVE_UP_US, T1_US, T2_US, Timer};
use super::text::{Text, sent_by, uri_of};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// 180 comes next.
    Trying,
    /// The final response comes next.
    Ringing,
    /// Repeats it until it is acknowledged.
    Final,
    Done,
}

/// One request that is being answered.
#[derive(Debug)]
pub(crate) struct Server {
    request: Text,
    to: SocketAddr,
    tag: String,
    last: Option<Vec<u8>>,
    step: Step,
    status: u16,
    next: u64,
    interval: u64,
    final_at: u64,
    received_at: u64,
}

/// RFC 3261 17.2.3: branch, sent-by, and the method, where ACK and CANCEL ask for their INVITE.
fn server_key(request: &Text, method: &str) -> String {
    let via = request.all("Via").first().cloned().unwrap_or_default();
    format!("{} {} {method}", request.branch(), sent_by(&via))
}

impl Agent {
    /// A request for this user agent; `status` is what a new one is answered with.
    pub(crate) fn serve(
        &mut self,
        now: u64,
        request: Text,
        source: SocketAddr,
        status: u16,
        fx: &mut Effects,
    ) {
        let method = request.method().to_owned();
        let to = reply_address(&request.all("Via")[0], source);
        if method == "ACK" {
            return self.on_ack(&request);
        }
        let key = server_key(&request, &method);
        if let Some(server) = self.servers.get(&key) {
            fx.count("retransmission absorbed");
            if let Some(last) = &server.last {
                fx.send(server.to, last.clone());
            }
            return;
        }
        let tag = match request.tag_of_to() {
            "" => format!("t{}", self.unique()),
            tag => tag.to_owned(),
        };
        let server = Server {
            request,
            to,
            tag,
            last: None,
            step: Step::Done,
            status,
            next: 0,
            interval: T1_US,
            final_at: 0,
            received_at: now,
        };
        self.servers.insert(key.clone(), server);
        match method.as_str() {
            "INVITE" => self.on_invite(now, &key, fx),
            "CANCEL" => self.on_cancel(now, &key, fx),
            _ => self.on_other(&key, &method, fx),
        }
    }

    fn respond(&mut self, key: &str, status: u16, fx: &mut Effects) {
        let (contact, name, style) = (self.contact(), self.name(), self.style);
        let Some(server) = self.servers.get_mut(key) else { return };
        let mut answer = server.request.answer(status, &server.tag);
        answer.add("X-Node", name);
        if status == 100 && self.is_terse {
            let top = answer.all("Via")[..1].to_vec();
            answer.replace("Via", &top);
        }
        if status > 100 && status < 300 {
            answer.add("Contact", contact);
        }
        if status == 503 {
            answer.add("Retry-After", "300");
        }
        let bytes = answer.write(style);
        fx.send(server.to, bytes.clone());
        server.last = Some(bytes);
    }

    /// The dialog that a request with a To tag belongs to.
    fn dialog_of(&self, request: &Text) -> String {
        dialog_key(request.call_id(), request.tag_of_to(), request.tag_of_from())
    }

    fn on_invite(&mut self, now: u64, key: &str, fx: &mut Effects) {
        self.respond(key, 100, fx);
        let slowest = if self.is_terse { 2_000_000 } else { 300_000 };
        let ring = self.random.between(20_000, slowest);
        let Some(server) = self.servers.get_mut(key) else { return };
        let request = server.request.clone();
        let is_new = request.tag_of_to().is_empty();
        if is_new {
            fx.facts
                .push(Fact::Rings { transaction: request.transaction(), branch: request.branch() });
            server.step = Step::Trying;
            server.next = now + ring;
            return fx.at(server.next, Timer::Server(key.to_owned()));
        }
        let dialog = dialog_key(request.call_id(), request.tag_of_to(), request.tag_of_from());
        let status = match self.dialogs.get(&dialog) {
            Some(dialog) if dialog.is_over => 481,
            Some(dialog) if dialog.is_inviting => 491,
            Some(_) => 200,
            None => 481,
        };
        self.finish_invite(now, key, status, fx);
    }

    fn finish_invite(&mut self, now: u64, key: &str, status: u16, fx: &mut Effects) {
        self.respond(key, status, fx);
        let Some(server) = self.servers.get_mut(key) else { return };
        (server.step, server.status, server.final_at) = (Step::Final, status, now);
        server.next = now + server.interval;
        fx.at(server.next, Timer::Server(key.to_owned()));
        let request = server.request.clone();
        let local = format!("{};tag={}", request.one("To"), server.tag);
        if status < 300 && request.tag_of_to().is_empty() {
            let dialog = Dialog {
                call_id: request.call_id().to_owned(),
                local,
                remote: request.one("From").to_owned(),
                target: uri_of(request.one("Contact")).to_owned(),
                routes: request.all("Record-Route"),
                cseq: 0,
                peer: request.one("X-Node").to_owned(),
                is_over: false,
                is_inviting: false,
                requests_left: 0,
                next: 0,
            };
            let key = dialog_key(request.call_id(), &server.tag, request.tag_of_from());
            self.begin(now, key, dialog, fx);
        }
    }

    pub(crate) fn on_server_timer(&mut self, now: u64, key: &str, fx: &mut Effects) {
        let longest = if self.is_closing { 500_000 } else { 12_000_000 };
        let ring = self.random.between(200_000, 1_500_000);
        let ring = if self.random.below(6) == 0 { ring + longest } else { ring };
        let Some(server) = self.servers.get_mut(key).filter(|s| s.next == now) else { return };
        match server.step {
            Step::Trying => {
                server.step = Step::Ringing;
                server.next = now + ring;
                fx.at(server.next, Timer::Server(key.to_owned()));
                self.respond(key, 180, fx);
            }
            Step::Ringing => {
                let status = server.status;
                self.finish_invite(now, key, status, fx);
            }
            Step::Final if now >= server.final_at + GIVE_UP_US => self.unacknowledged(now, key, fx),
            Step::Final => {
                if let Some(last) = &server.last {
                    fx.send(server.to, last.clone());
                    fx.count("final response repeated");
                }
                server.interval = (server.interval * 2).min(T2_US);
                server.next = (now + server.interval).min(server.final_at + GIVE_UP_US);
                fx.at(server.next, Timer::Server(key.to_owned()));
            }
            Step::Done => {}
        }
    }

    /// RFC 3261 13.3.1.4: without an ACK the dialog is hung up.
    fn unacknowledged(&mut self, now: u64, key: &str, fx: &mut Effects) {
        let Some(server) = self.servers.get_mut(key) else { return };
        server.step = Step::Done;
        let request = server.request.clone();
        let dialog = dialog_key(request.call_id(), &server.tag, request.tag_of_from());
        let (status, since) = (server.status, server.received_at);
        fx.facts.push(Fact::Unacknowledged { call_id: request.call_id().to_owned(), since });
        if status < 300 && self.dialogs.get(&dialog).is_some_and(|dialog| !dialog.is_over) {
            self.hang_up(now, &dialog, fx);
        }
    }

    fn on_ack(&mut self, ack: &Text) {
        let of_failure = server_key(ack, "INVITE");
        if let Some(server) = self.servers.get_mut(&of_failure) {
            server.step = Step::Done;
            return;
        }
        // RFC 3261 13.2.2.4: the ACK of a 2xx has a branch of its own.
        let is_its = |server: &&mut Server| {
            server.request.method() == "INVITE"
                && server.request.call_id() == ack.call_id()
                && server.request.cseq() == ack.cseq()
                && server.tag == ack.tag_of_to()
        };
        self.servers.values_mut().filter(is_its).for_each(|server| server.step = Step::Done);
    }

    fn on_cancel(&mut self, now: u64, key: &str, fx: &mut Effects) {
        let Some(cancel) = self.servers.get(key).map(|server| server.request.clone()) else {
            return;
        };
        let invite = server_key(&cancel, "INVITE");
        let step = self.servers.get(&invite).map(|server| server.step);
        self.respond(key, if step.is_some() { 200 } else { 481 }, fx);
        match step {
            Some(Step::Trying | Step::Ringing) => {
                fx.count("CANCEL that stopped the ringing");
                self.finish_invite(now, &invite, 487, fx);
            }
            Some(_) => {}
            None => fx.count("CANCEL without its INVITE"),
        }
    }

    fn on_other(&mut self, key: &str, method: &str, fx: &mut Effects) {
        let Some(server) = self.servers.get(key) else { return };
        let (request, status) = (server.request.clone(), server.status);
        if request.tag_of_to().is_empty() {
            return self.respond(key, status, fx);
        }
        let dialog = self.dialog_of(&request);
        let is_alive = self.dialogs.get(&dialog).is_some_and(|dialog| !dialog.is_over);
        if method == "BYE" {
            self.end(&dialog);
        }
        self.respond(key, if is_alive { 200 } else { 481 }, fx);
    }
}
