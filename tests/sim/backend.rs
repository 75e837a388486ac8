//! What stands in the pools: registrar, stateless proxy to registered phones (RFC 3261 10.3, 16.11; RFC 3327), and a
//! user agent that answers and calls.
//!
//! Owns: the location store that all backends share, and relaying. Knows of the edge only its address.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::agent::Agent;
use super::effects::{Effects, SECOND_US};
use super::text::{Text, address_of, branch, sent_by, user_of};

/// How long a binding lasts.
pub(crate) const EXPIRES_US: u64 = 60 * SECOND_US;
/// Requests for this user go out to a proxy that sends them back.
pub(crate) const LOOP_USER: &str = "loop";
/// Where that proxy lives.
pub(crate) const BOUNCE: &str = "203.0.113.66:5060";
/// The user part that a backend answers itself.
pub(crate) const OWN_USER: &str = "service";

/// Where a phone is: its Contact and its Path.
#[derive(Debug, Clone)]
pub(crate) struct Binding {
    pub(crate) contact: String,
    pub(crate) path: Vec<String>,
    pub(crate) expires: u64,
}

pub(crate) type Locations = BTreeMap<String, Binding>;

/// A backend.
#[derive(Debug)]
pub(crate) struct BackendNode {
    pub(crate) agent: Agent,
    pub(crate) is_up: bool,
    /// Where a relayed request went, so that its CANCEL and ACK go there too.
    relayed: BTreeMap<String, (String, Vec<String>)>,
}

impl BackendNode {
    pub(crate) fn new(agent: Agent) -> Self {
        Self { agent, is_up: true, relayed: BTreeMap::new() }
    }

    pub(crate) fn forget(&mut self) {
        self.agent.forget();
        self.relayed.clear();
    }

    pub(crate) fn on_request(
        &mut self,
        now: u64,
        mut request: Text,
        source: SocketAddr,
        locations: &mut Locations,
        fx: &mut Effects,
    ) {
        let own = self.agent.address;
        let routes = request.all("Route");
        if routes.first().and_then(|route| address_of(route)) == Some(own) {
            // RFC 3261 16.4: our own Record-Route on top; the rest is the way.
            request.replace("Route", &routes[1..]);
            return self.relay(request, None, fx);
        }
        let user = user_of(request.uri()).to_owned();
        let is_mine = !request.tag_of_to().is_empty() && request.method() != "ACK";
        if request.method() == "REGISTER" {
            self.register(now, &request, locations);
            return self.agent.serve(now, request, source, 200, fx);
        }
        if is_mine || user == OWN_USER || address_of(request.uri()) == Some(own) {
            let status = if self.agent.random.permille(200) { 486 } else { 200 };
            let status = if request.method() == "INVITE" { status } else { 200 };
            return self.agent.serve(now, request, source, status, fx);
        }
        match self.target(now, &request, &user, locations) {
            Some((target, path)) => {
                let words: Vec<&str> = request.start.split(' ').collect();
                request.start = format!("{} {target} {}", words[0], words[2]);
                self.relay(request, Some(path), fx);
            }
            None => self.agent.serve(now, request, source, 404, fx),
        }
    }

    /// The registered phone, or where the INVITE of this CANCEL or ACK went.
    fn target(
        &mut self,
        now: u64,
        request: &Text,
        user: &str,
        locations: &Locations,
    ) -> Option<(String, Vec<String>)> {
        if user == LOOP_USER {
            return Some((format!("sip:{LOOP_USER}@{BOUNCE}"), Vec::new()));
        }
        let key = request.branch();
        if let Some(known) = self.relayed.get(&key) {
            return Some(known.clone());
        }
        let binding = locations.get(user).filter(|binding| binding.expires > now)?;
        let found = (binding.contact.clone(), binding.path.clone());
        self.relayed.insert(key, found.clone());
        Some(found)
    }

    fn register(&mut self, now: u64, request: &Text, locations: &mut Locations) {
        let user = user_of(request.one("To")).to_owned();
        let contact = super::text::uri_of(request.one("Contact")).to_owned();
        let binding = Binding { contact, path: request.all("Path"), expires: now + EXPIRES_US };
        locations.insert(user, binding);
    }

    /// RFC 3261 16.11: the branch is a function of the branch that came in. `path` starts a dialog's way.
    fn relay(&mut self, mut request: Text, path: Option<Vec<String>>, fx: &mut Effects) {
        let hops: u32 = request.one("Max-Forwards").parse().unwrap_or(70);
        if hops == 0 {
            return;
        }
        fx.count("request relayed by a backend");
        request.replace("Max-Forwards", &[(hops - 1).to_string()]);
        if let Some(path) = path {
            if request.method() == "INVITE" {
                let mut routes = vec![format!("<sip:{};lr>", self.agent.address)];
                routes.extend(request.all("Record-Route"));
                request.replace("Record-Route", &routes);
            }
            request.replace("Route", &path);
        }
        let mut vias = request.all("Via");
        let own = format!("{}p{}x{}", self.agent.branch_start(), self.agent.epoch, hash(&vias[0]));
        vias.insert(0, self.agent.via(&own));
        request.replace("Via", &vias);
        let to = self.agent.first_hop(&request);
        fx.send(to, request.write(self.agent.style));
    }

    pub(crate) fn on_response(&mut self, now: u64, mut response: Text, fx: &mut Effects) {
        let vias = response.all("Via");
        let relayed = format!("{}p", self.agent.branch_start());
        let top = vias.first().map(|via| branch(via)).unwrap_or_default();
        if !top.starts_with(&relayed) || vias.len() < 2 {
            return self.agent.on_response(now, &response, fx);
        }
        let Ok(to) = sent_by(&vias[1]).parse() else { return };
        response.replace("Via", &vias[1..]);
        fx.send(to, response.write(self.agent.style));
    }

    /// Calls a registered phone along its Path.
    pub(crate) fn call(
        &mut self,
        now: u64,
        user: &str,
        binding: &Binding,
        cancels: bool,
        fx: &mut Effects,
    ) {
        let to = format!("sip:{user}@example.com");
        let mut invite = self.agent.fresh("INVITE", &binding.contact, &to);
        for path in &binding.path {
            invite.add("Route", path.clone());
        }
        self.agent.call(now, invite, cancels, fx);
    }
}

/// FNV-1a of a Via value without what the edge adds to it, as hexadecimal digits.
fn hash(via: &str) -> String {
    let text = format!("{} {}", branch(via), sent_by(via));
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:x}")
}
