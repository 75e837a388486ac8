//! What a proxy may change in a message, and nothing else (RFC 3261 16.6, 16.7): compared line by line.
//!
//! Owns: the comparison of what came in with what went out. Shares no code with the core.

use super::text::{self, Text, long_name};

/// The lines of a message: start line, fields, and what follows the empty line.
struct Lines<'a> {
    start: &'a str,
    fields: Vec<&'a str>,
    body: &'a str,
}

fn lines(bytes: &[u8]) -> Option<Lines<'_>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut all = head.split("\r\n");
    Some(Lines { start: all.next()?, fields: all.collect(), body })
}

fn name(line: &str) -> String {
    long_name(line.split(':').next().unwrap_or_default().trim())
}

/// What must be taken off the top of the Route list, and who sent the message.
pub(crate) struct Allowed<'a> {
    /// `host:port` that mean the edge.
    pub(crate) own: &'a [String],
    pub(crate) source: std::net::SocketAddr,
}

/// Says what was changed and must not be.
pub(crate) fn check(came: &[u8], went: &[u8], allowed: &Allowed<'_>) -> Result<(), String> {
    let (Some(before), Some(after)) = (lines(came), lines(went)) else {
        return Err("it does not split into lines".to_owned());
    };
    if before.start != after.start {
        return Err(format!("the start line became `{}`", after.start));
    }
    let (Some(old), Some(new)) = (Text::read(came), Text::read(went)) else {
        return Err("it does not parse".to_owned());
    };
    body(&before, &after, &old)?;
    if old.is_request() { request(&after, &old, &new, allowed) } else { response(&old, &new) }?;
    others(&before, &after)
}

/// RFC 3261 18.3: as many bytes as Content-Length says, no more and no fewer.
fn body(before: &Lines<'_>, after: &Lines<'_>, old: &Text) -> Result<(), String> {
    let length: usize = old.one("Content-Length").parse().unwrap_or(before.body.len());
    if before.body.get(..length) == Some(after.body) {
        return Ok(());
    }
    Err(format!("{length} bytes of body became {}", after.body.len()))
}

/// Fields that a proxy has no business with: the same lines in the same order.
fn others(before: &Lines<'_>, after: &Lines<'_>) -> Result<(), String> {
    let ours = ["Via", "Route", "Record-Route", "Path", "Max-Forwards"];
    let kept = |lines: &Lines<'_>| -> Vec<String> {
        let foreign = lines.fields.iter().filter(|line| !ours.contains(&name(line).as_str()));
        foreign.map(|line| (*line).to_owned()).collect()
    };
    let (old, new) = (kept(before), kept(after));
    let different = old.iter().zip(&new).find(|(old, new)| old != new);
    match different {
        Some((old, new)) => Err(format!("`{old}` became `{new}`")),
        None if old.len() != new.len() => Err(format!("{} fields became {}", old.len(), new.len())),
        None => Ok(()),
    }
}

fn request(after: &Lines<'_>, old: &Text, new: &Text, allowed: &Allowed<'_>) -> Result<(), String> {
    let (old_vias, new_vias) = (old.all("Via"), new.all("Via"));
    if new_vias.len() != old_vias.len() + 1 || new_vias.get(2..) != old_vias.get(1..) {
        return Err(format!("Vias {old_vias:?} became {new_vias:?}"));
    }
    let is_ours = allowed.own.iter().any(|own| text::sent_by(&new_vias[0]) == own);
    if !is_ours || !text::branch(&new_vias[0]).starts_with("z9hG4bK") {
        return Err(format!("our Via is `{}`", new_vias[0]));
    }
    received_via(&old_vias[0], &new_vias[1], allowed.source)?;
    hops(old, new)?;
    routes(old, new, allowed)?;
    for list in ["Record-Route", "Path"] {
        let (old, new) = (old.all(list), new.all(list));
        if !new.ends_with(&old) || new.len() > old.len() + 2 {
            return Err(format!("{list} {old:?} became {new:?}"));
        }
        let added = &new[..new.len() - old.len()];
        if !added.iter().all(|value| value.starts_with("<sip:~e~") && value.contains(";lr")) {
            return Err(format!("{list} got {added:?}"));
        }
    }
    let first = after.fields.first().map(|line| name(line));
    if first.as_deref() == Some("Via") { Ok(()) } else { Err("our Via is not on top".to_owned()) }
}

/// RFC 3261 18.2.1, RFC 3581 4.
fn received_via(old: &str, new: &str, source: std::net::SocketAddr) -> Result<(), String> {
    let asks = text::parameter(old, "rport").is_some();
    let port = source.port().to_string();
    if asks && text::parameter(new, "rport") != Some(&port) {
        return Err(format!("rport is not {port}: `{new}`"));
    }
    let host = text::sent_by(old).split(':').next().unwrap_or_default();
    let ip = source.ip().to_string();
    if (asks || host != ip) && text::parameter(new, "received") != Some(&ip) {
        return Err(format!("received is not {ip}: `{new}`"));
    }
    let rest = |via: &str| -> Vec<String> {
        let parts = via.split(';').map(str::to_owned);
        parts.filter(|p| !p.starts_with("received") && !p.starts_with("rport")).collect()
    };
    if rest(old) == rest(new) { Ok(()) } else { Err(format!("`{old}` became `{new}`")) }
}

/// RFC 3261 16.6 step 3.
fn hops(old: &Text, new: &Text) -> Result<(), String> {
    let wanted = match old.one("Max-Forwards").parse::<u32>() {
        Ok(hops) => hops.saturating_sub(1),
        Err(_) => 70,
    };
    let found = new.all("Max-Forwards");
    if found == [wanted.to_string()] {
        Ok(())
    } else {
        Err(format!("Max-Forwards {found:?}, not {wanted}"))
    }
}

/// RFC 3261 16.4: what names us goes from the top, the rest stays.
fn routes(old: &Text, new: &Text, allowed: &Allowed<'_>) -> Result<(), String> {
    let is_own = |route: &String| {
        let host = text::address_of(route).map(|address| address.to_string());
        host.is_some_and(|host| allowed.own.contains(&host))
    };
    let kept: Vec<String> = old.all("Route").into_iter().skip_while(is_own).collect();
    let found = new.all("Route");
    if found == kept { Ok(()) } else { Err(format!("Routes {kept:?} became {found:?}")) }
}

/// RFC 3261 16.7 step 3: the top Via goes, nothing else.
fn response(old: &Text, new: &Text) -> Result<(), String> {
    for list in ["Record-Route", "Path", "Max-Forwards", "Route"] {
        if old.all(list) != new.all(list) {
            return Err(format!("{list} became {:?}", new.all(list)));
        }
    }
    let (old, new) = (old.all("Via"), new.all("Via"));
    if old.get(1..) == Some(&new[..]) {
        Ok(())
    } else {
        Err(format!("Vias {old:?} became {new:?}"))
    }
}
