//! A user agent: what phones and backends have in common. Its transactions and dialogs follow RFC 3261 12 to 17.
//!
//! Owns: identity, and the making of requests. Client and server transactions stand in files of their own.
//! Ground truth travels in fields that no proxy may touch: `X-Node` says who wrote a message, `X-To-Node` whom a
//! request within a dialog is for. Agents never route by them; only the checks read them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::client::Client;
use super::effects::{Effects, Timer};
use super::random::Random;
use super::server::Server;
use super::text::{Style, Text, address_of};

/// The far end of a dialog and the way there.
#[derive(Debug, Clone)]
pub(crate) struct Dialog {
    pub(crate) call_id: String,
    pub(crate) local: String,
    pub(crate) remote: String,
    pub(crate) target: String,
    pub(crate) routes: Vec<String>,
    pub(crate) cseq: u32,
    /// Ground truth: the node that has the other end.
    pub(crate) peer: String,
    pub(crate) is_over: bool,
    /// An INVITE of ours has no final response yet.
    pub(crate) is_inviting: bool,
    /// Requests that are still to be sent before hanging up.
    pub(crate) requests_left: u64,
    pub(crate) next: u64,
}

/// A user agent.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) id: usize,
    /// How often it lost its state.
    pub(crate) epoch: u32,
    pub(crate) user: String,
    pub(crate) address: SocketAddr,
    /// Where requests without Route go.
    pub(crate) outbound: SocketAddr,
    pub(crate) style: Style,
    pub(crate) asks_rport: bool,
    pub(crate) is_backend: bool,
    /// Its 100 Trying has the top Via only, as FreeSWITCH writes it.
    pub(crate) is_terse: bool,
    /// What it sends behind an INVITE shows this in its Via: it has learnt from rport how others see it.
    pub(crate) learned: Option<SocketAddr>,
    /// No new calls, no mid-dialog requests: the world comes to its end.
    pub(crate) is_closing: bool,
    pub(crate) random: Random,
    pub(crate) clients: BTreeMap<String, Client>,
    pub(crate) servers: BTreeMap<String, Server>,
    pub(crate) dialogs: BTreeMap<String, Dialog>,
    pub(crate) serial: u64,
}

impl Agent {
    pub(crate) fn new(id: usize, user: &str, address: SocketAddr, outbound: SocketAddr) -> Self {
        Self {
            id,
            epoch: 0,
            user: user.to_owned(),
            address,
            outbound,
            style: Style::default(),
            asks_rport: true,
            is_backend: false,
            is_terse: false,
            learned: None,
            is_closing: false,
            random: Random::new(id as u64),
            clients: BTreeMap::new(),
            servers: BTreeMap::new(),
            dialogs: BTreeMap::new(),
            serial: 0,
        }
    }

    /// It died and comes back with nothing.
    pub(crate) fn forget(&mut self) {
        self.epoch += 1;
        self.clients.clear();
        self.servers.clear();
        self.dialogs.clear();
    }

    /// Starts every branch of this party.
    pub(crate) fn branch_start(&self) -> String {
        format!("z9hG4bKn{}e", self.id)
    }

    pub(crate) fn unique(&mut self) -> String {
        self.serial += 1;
        format!("{}e{}x{}", self.id, self.epoch, self.serial)
    }

    pub(crate) fn contact(&self) -> String {
        format!("<sip:{}@{}>", self.user, self.address)
    }

    pub(crate) fn via(&self, branch: &str) -> String {
        let rport = if self.asks_rport { ";rport" } else { "" };
        format!("SIP/2.0/UDP {}{rport};branch={branch}", self.address)
    }

    /// A request that starts something new: Via and Max-Forwards come when it is sent.
    pub(crate) fn fresh(&mut self, method: &str, uri: &str, to: &str) -> Text {
        let unique = self.unique();
        let mut text = Text::request(method, uri);
        text.add("From", format!("<sip:{}@example.com>;tag=f{unique}", self.user));
        text.add("To", format!("<{to}>"));
        text.add("Call-ID", format!("c{unique}-{}@model", self.random.below(1 << 20)));
        text.add("CSeq", format!("1 {method}"));
        text.add("Contact", self.contact());
        // What some pools make their key of. A CANCEL and the ACK of a failure have neither (RFC 3261 9.1, 17.1.1.3).
        text.add("X-Tenant", format!("tenant-{}", self.user));
        text.add("Proxy-Authorization", format!("Digest username={}", self.user));
        text
    }

    /// A request within a dialog (RFC 3261 12.2.1.1), and where it goes.
    pub(crate) fn within(&mut self, key: &str, method: &str, cseq: Option<u32>) -> Option<Text> {
        let contact = self.contact();
        let dialog = self.dialogs.get_mut(key)?;
        dialog.cseq += u32::from(cseq.is_none());
        let mut text = Text::request(method, &dialog.target);
        for route in &dialog.routes {
            text.add("Route", route.clone());
        }
        text.add("From", dialog.local.clone());
        text.add("To", dialog.remote.clone());
        text.add("Call-ID", dialog.call_id.clone());
        text.add("CSeq", format!("{} {method}", cseq.unwrap_or(dialog.cseq)));
        text.add("Contact", contact);
        text.add("X-To-Node", dialog.peer.clone());
        Some(text)
    }

    /// Puts Via and Max-Forwards on top, and finds the first hop (RFC 3261 8.1.2).
    pub(crate) fn finish(&mut self, text: &mut Text) -> SocketAddr {
        let branch = format!("z9hG4bKn{}", self.unique());
        let via = self.via(&branch);
        text.fields.insert(0, ("Via".to_owned(), via));
        if !self.style.lacks_max_forwards && text.one("Max-Forwards").is_empty() {
            text.fields.insert(1, ("Max-Forwards".to_owned(), "70".to_owned()));
        }
        text.add("X-Node", self.name());
        self.first_hop(text)
    }

    pub(crate) fn first_hop(&self, text: &Text) -> SocketAddr {
        let route = text.all("Route").first().and_then(|route| address_of(route));
        route.unwrap_or(self.outbound)
    }

    pub(crate) fn name(&self) -> String {
        self.id.to_string()
    }

    /// Calls somebody; cancels while it rings if `cancels`.
    pub(crate) fn call(&mut self, now: u64, mut invite: Text, cancels: bool, fx: &mut Effects) {
        invite.body = "v=0\r\no=model 1 1 IN IP4 192.0.2.200\r\ns=-\r\n".to_owned();
        invite.add("Content-Type", "application/sdp");
        let key = self.request(now, invite, fx);
        if let Some(client) = self.clients.get_mut(&key) {
            client.cancels = cancels;
        }
    }

    /// A dialog has begun: says when its next step is due.
    pub(crate) fn begin(&mut self, now: u64, key: String, mut dialog: Dialog, fx: &mut Effects) {
        dialog.requests_left = self.random.below(3);
        dialog.next = now + self.random.between(1_000_000, 9_000_000);
        fx.at(dialog.next, Timer::Dialog(key.clone()));
        self.dialogs.insert(key, dialog);
    }

    /// The next step in a dialog: a refresh, or hanging up.
    pub(crate) fn on_dialog_timer(&mut self, now: u64, key: &str, fx: &mut Effects) {
        let Some(dialog) = self.dialogs.get_mut(key).filter(|d| !d.is_over && d.next == now) else {
            return;
        };
        if dialog.requests_left == 0 || self.is_closing {
            return self.hang_up(now, key, fx);
        }
        dialog.requests_left -= 1;
        dialog.next = now + self.random.between(500_000, 9_000_000);
        fx.at(dialog.next, Timer::Dialog(key.to_owned()));
        let method = self.random.pick(&["INVITE", "UPDATE", "INFO", "OPTIONS"]).unwrap_or("INFO");
        if method == "INVITE" && dialog.is_inviting {
            return;
        }
        dialog.is_inviting |= method == "INVITE";
        let side = if self.is_backend {
            "request of a backend in a dialog"
        } else {
            "request of a phone in a dialog"
        };
        fx.count(side);
        if method == "INVITE" {
            fx.count("re-INVITE");
        }
        if let Some(text) = self.within(key, method, None) {
            self.request(now, text, fx);
        }
    }

    pub(crate) fn hang_up(&mut self, now: u64, key: &str, fx: &mut Effects) {
        let Some(text) = self.within(key, "BYE", None) else { return };
        fx.count(if self.is_backend { "hang-up by a backend" } else { "hang-up by a phone" });
        self.request(now, text, fx);
        self.end(key);
    }

    pub(crate) fn end(&mut self, key: &str) {
        if let Some(dialog) = self.dialogs.get_mut(key) {
            dialog.is_over = true;
        }
    }

    pub(crate) fn on_timer(&mut self, now: u64, timer: &Timer, fx: &mut Effects) {
        match timer {
            Timer::Client(key) => self.on_client_timer(now, key, fx),
            Timer::Server(key) => self.on_server_timer(now, key, fx),
            Timer::Dialog(key) => self.on_dialog_timer(now, key, fx),
            Timer::Register | Timer::KeepAlive => {}
        }
    }
}
