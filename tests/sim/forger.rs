//! Somebody who has seen messages of others, and what he makes of them.
//!
//! Owns: the forgeries. Each is marked with `X-Forged`, which only the checks read; none may be sent on.

use super::random::Random;
use super::text::{Text, user_of};

/// Where he sends from.
pub(crate) const FORGER: &str = "203.0.113.99:5060";

/// What his branches begin with.
pub(crate) const FORGED_BRANCH: &str = "z9hG4bKforged";

/// What he has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Requests as phones got them: with our Via and our Record-Routes.
    pub(crate) requests: Vec<Text>,
    /// Path URIs, which phones see in the answer to their REGISTER (RFC 3327 5.3).
    pub(crate) paths: Vec<Vec<String>>,
    /// Route sets of dialogs.
    pub(crate) routes: Vec<Vec<String>>,
}

impl Seen {
    pub(crate) fn request(&mut self, text: &Text) {
        if self.requests.len() < 40 {
            self.requests.push(text.clone());
        }
        let routes = text.all("Record-Route");
        if !routes.is_empty() && self.routes.len() < 40 {
            self.routes.push(routes);
        }
    }
}

/// A forged message, if there is anything to make one of.
pub(crate) fn forge(
    random: &mut Random,
    seen: &Seen,
    serial: u64,
) -> Option<(&'static str, Vec<u8>)> {
    let (what, mut text) = match random.below(9) {
        0 => ("forged: response to elsewhere", redirected(random, seen)?),
        1 => ("forged: response of another call", of_another_call(random, seen)?),
        2 => ("forged: branch", with_another_branch(random, seen)?),
        3 => ("forged: token", with_changed_token(random, seen, serial)?),
        4 => ("forged: token of an unknown key", with_unknown_key(random, seen, serial)?),
        5 => {
            let paths = &seen.paths[random.index(seen.paths.len())..];
            (
                "forged: Path of another phone",
                along(paths.first()?, "MESSAGE", random.pick(&["", ";tag=x"])?, serial),
            )
        }
        6 => {
            let routes = &seen.routes[random.index(seen.routes.len())..];
            ("forged: Record-Route for a new request", along(routes.first()?, "INVITE", "", serial))
        }
        7 => {
            let behind = seen.paths.get(random.index(seen.paths.len()))?;
            let mut routes = seen.routes.get(random.index(seen.routes.len()))?.clone();
            routes.retain(|route| user_of(route).starts_with("~e~"));
            // Of one pass: further tokens of a dialog may lead out to a phone by themselves.
            let first = user_of(routes.first()?).to_owned();
            if routes.iter().any(|route| user_of(route) != first) {
                return None;
            }
            routes.extend(behind.iter().cloned());
            ("forged: Path behind a token", along(&routes, "MESSAGE", ";tag=x", serial))
        }
        _ => {
            let mut ack = along(&[], "ACK", ";tag=x", serial);
            ack.add("Max-Forwards", "0");
            ("forged: ACK without hops", ack)
        }
    };
    text.add("X-Forged", "yes");
    Some((what, text.write(Default::default())))
}

/// What somebody on the public network makes who writes a backend's address as its source: the way to a phone that only
/// backends may use.
pub(crate) fn impersonate(
    random: &mut Random,
    seen: &Seen,
    serial: u64,
) -> Option<(&'static str, Vec<u8>)> {
    let path = seen.paths.get(random.index(seen.paths.len()))?;
    let to_tag = random.pick(&["", ";tag=x"])?;
    let mut text = along(path, "MESSAGE", to_tag, serial);
    text.add("X-Forged", "yes");
    Some(("forged: address of a backend", text.write(Default::default())))
}

fn seen_response(random: &mut Random, seen: &Seen) -> Option<Text> {
    let request = seen.requests.get(random.index(seen.requests.len()))?;
    Some(request.answer(200, "forged"))
}

fn change(text: &mut Text, name: &str, place: usize, value: impl Fn(&str) -> String) {
    let mut fields = text.fields.iter_mut().filter(|(n, _)| n == name);
    if let Some((_, old)) = fields.nth(place) {
        *old = value(old);
    }
}

/// The Via below ours says another address: the response is to go there.
fn redirected(random: &mut Random, seen: &Seen) -> Option<Text> {
    let mut text = seen_response(random, seen)?;
    change(&mut text, "Via", 1, |via| {
        let (head, rest) = via.split_once(';').unwrap_or((via, ""));
        format!("{head};received=198.51.100.77;rport=4444;{rest}")
    });
    let below = text.all("Via").get(1)?.clone();
    let mut kept: Vec<&str> = Vec::new();
    for part in below.split(';') {
        let name = part.split('=').next().unwrap_or_default();
        if !kept.iter().any(|k| k.split('=').next() == Some(name)) {
            kept.push(part);
        }
    }
    let once = kept.join(";");
    change(&mut text, "Via", 1, |_| once.clone());
    Some(text)
}

fn of_another_call(random: &mut Random, seen: &Seen) -> Option<Text> {
    let mut text = seen_response(random, seen)?;
    change(&mut text, "Call-ID", 0, |call| format!("other-{call}"));
    Some(text)
}

fn with_another_branch(random: &mut Random, seen: &Seen) -> Option<Text> {
    let mut text = seen_response(random, seen)?;
    change(&mut text, "Via", 0, |via| swap_digit(via, "branch=z9hG4bK~e~", 6));
    Some(text)
}

/// Another base64 digit so far behind `mark`.
fn swap_digit(text: &str, mark: &str, behind: usize) -> String {
    let Some(at) = text.find(mark).map(|at| at + mark.len() + behind) else {
        return text.to_owned();
    };
    let digit = text.as_bytes().get(at).copied().unwrap_or(b'A');
    let other = if digit == b'A' { "B" } else { "A" };
    format!("{}{other}{}", &text[..at], text.get(at + 1..).unwrap_or_default())
}

fn with_changed_token(random: &mut Random, seen: &Seen, serial: u64) -> Option<Text> {
    let routes = seen.routes.get(random.index(seen.routes.len()))?;
    // Behind the tag stand head, local, remote and backend address: the digits of the remote port and of the backend.
    let place = 2 + 16 + random.index(20);
    let changed: Vec<String> =
        routes.iter().map(|route| swap_digit(route, "sip:~e~", place)).collect();
    Some(along(&changed, "BYE", ";tag=x", serial))
}

fn with_unknown_key(random: &mut Random, seen: &Seen, serial: u64) -> Option<Text> {
    let routes = seen.routes.get(random.index(seen.routes.len()))?;
    let unknown = |route: &String| {
        let user = user_of(route);
        let replaced = format!("{}_{}", &user[..4], user.get(5..).unwrap_or_default());
        route.replace(user, &replaced)
    };
    let ours = routes.iter().filter(|route| user_of(route).starts_with("~e~"));
    let changed: Vec<String> = ours.map(unknown).collect();
    Some(along(&changed, "INFO", ";tag=x", serial))
}

/// A request along these Routes.
fn along(routes: &[String], method: &str, to_tag: &str, serial: u64) -> Text {
    let mut text = Text::request(method, "sip:victim@example.com");
    text.add("Via", format!("SIP/2.0/UDP {FORGER};branch={FORGED_BRANCH}{serial}"));
    for route in routes {
        text.add("Route", route.clone());
    }
    text.add("From", "<sip:mallory@example.com>;tag=m");
    text.add("To", format!("<sip:victim@example.com>{to_tag}"));
    text.add("Call-ID", format!("forged-{serial}"));
    text.add("CSeq", format!("1 {method}"));
    text
}
