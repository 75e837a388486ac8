//! A second opinion on the bytes that leave: a slow and simple splitter that shares no code with the core.
//!
//! Owns: what a proxy may change in a message (RFC 3261 16.6), stated over lines: our Via, Record-Route and Path are
//! inserted in front of their kind, `received` and `rport` of the top Via are set, Max-Forwards counts down, a Route
//! that is ours goes, bytes beyond Content-Length go. All else must be the bytes that came.

use std::net::SocketAddr;

use crate::expect::Check;

const OUR_VIA: &[u8] = b"Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK~e~";
const OUR_RECORD_ROUTE: &[u8] = b"Record-Route: <sip:~e~";
const OUR_PATH: &[u8] = b"Path: <sip:~e~";

/// A message cut at its line ends.
struct Split<'a> {
    start_line: &'a [u8],
    /// With folds and line ends.
    fields: Vec<&'a [u8]>,
    body: &'a [u8],
}

impl<'a> Split<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, String> {
        let line_end = |at: usize| {
            let newline = bytes[at..].iter().position(|&b| b == b'\n').ok_or("no empty line")?;
            Ok::<_, String>(at + newline + 1)
        };
        let start = bytes.iter().position(|b| !b"\r\n".contains(b)).ok_or("no start line")?;
        let mut at = line_end(start)?;
        let start_line = &bytes[start..at];
        let mut fields = Vec::new();
        loop {
            for empty_line in [b"\r\n".as_slice(), b"\n"] {
                if let Some(body) = bytes[at..].strip_prefix(empty_line) {
                    return Ok(Self { start_line, fields, body });
                }
            }
            let mut end = line_end(at)?;
            while matches!(bytes.get(end), Some(b' ' | b'\t')) {
                end = line_end(end)?;
            }
            fields.push(&bytes[at..end]);
            at = end;
        }
    }

    fn first(&self, wanted: &str) -> Option<&'a [u8]> {
        self.fields.iter().copied().find(|field| name(field) == wanted)
    }
}

/// The long name in lower case.
fn name(field: &[u8]) -> String {
    let colon = field.iter().position(|&b| b == b':').unwrap_or(field.len());
    let name = String::from_utf8_lossy(&field[..colon]).trim().to_ascii_lowercase();
    match name.as_str() {
        "v" => "via".into(),
        "f" => "from".into(),
        "t" => "to".into(),
        "i" => "call-id".into(),
        "l" => "content-length".into(),
        _ => name,
    }
}

fn value(field: &[u8]) -> &[u8] {
    let colon = field.iter().position(|&b| b == b':').map_or(field.len(), |at| at + 1);
    field[colon..].trim_ascii()
}

fn number(field: &[u8]) -> Option<u32> {
    std::str::from_utf8(value(field)).ok()?.parse().ok()
}

/// What was found to be changed in a forwarded message.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    vias: usize,
    record_routes: usize,
    paths: usize,
    max_forwards: Option<u32>,
    max_forwards_is_added: bool,
    cut_bytes: usize,
    removed: Vec<String>,
}

impl Changes {
    /// Each check holds, and nothing else than what the checks name was changed.
    pub(crate) fn holds(&self, checks: &[Check]) -> Result<(), String> {
        let mut named_removed = 0;
        let mut named_cut = 0;
        for check in checks {
            let holds = match check {
                Check::RecordRoute(count) => self.record_routes == *count,
                Check::Path(count) => self.paths == *count,
                Check::MaxForwards { value, is_added } => {
                    self.max_forwards == Some(*value) && self.max_forwards_is_added == *is_added
                }
                Check::Cut(bytes) => {
                    named_cut = *bytes;
                    self.cut_bytes == *bytes
                }
                Check::Removed(name) => {
                    named_removed += 1;
                    self.removed.contains(name)
                }
                Check::Has(_) => false,
            };
            if !holds {
                return Err(format!("\"{check}\" does not hold: {self:?}"));
            }
        }
        let is_all_named = self.cut_bytes == named_cut && self.removed.len() == named_removed;
        if self.vias == 1 && is_all_named {
            Ok(())
        } else {
            Err(format!("one Via of ours, and nothing cut or removed that is not named: {self:?}"))
        }
    }
}

/// Compares a forwarded message with what came in.
pub(crate) fn forwarded(
    input: &[u8],
    output: &[u8],
    source: SocketAddr,
) -> Result<Changes, String> {
    let (input, output) = (Split::new(input)?, Split::new(output)?);
    if input.start_line != output.start_line {
        return Err(format!("start line became {}", output.start_line.escape_ascii()));
    }
    let mut changes = Changes::default();
    let top_via = input.first("via").ok_or("no Via came in")?;
    let mut came: Vec<&[u8]> = input.fields.clone();
    came.reverse();
    let mut passed: Vec<String> = Vec::new();
    for field in &output.fields {
        // A field of ours that came in stands where it stood; only what is not there can be an insert.
        if came.last() != Some(field) && is_insert(field, &passed, &mut changes)? {
            continue;
        }
        let before = loop {
            let before = came.pop().ok_or_else(|| format!("new: {}", field.escape_ascii()))?;
            if name(before) == "route" && before != *field && !passed.contains(&"route".into()) {
                changes.removed.push("route".into());
                passed.push("route".into());
            } else {
                break before;
            }
        };
        let is_top_via = std::ptr::eq(before, top_via);
        passed.push(name(before));
        match name(before).as_str() {
            "max-forwards" => {
                changes.max_forwards = number(field);
                if one_hop_less(before).as_deref() != Some(field) {
                    return Err(format!("Max-Forwards became {}", field.escape_ascii()));
                }
            }
            "via" if is_top_via => top_via_holds(before, field, source)?,
            _ if before == *field => {}
            _ => {
                return Err(format!("{} became {}", before.escape_ascii(), field.escape_ascii()));
            }
        }
    }
    for before in came {
        if name(before) != "route" {
            return Err(format!("lost: {}", before.escape_ascii()));
        }
        changes.removed.push("route".into());
    }
    changes.cut_bytes = body_cut(&input, &output)?;
    Ok(changes)
}

/// The Max-Forwards that goes on: other digits, and nothing else.
fn one_hop_less(before: &[u8]) -> Option<Vec<u8>> {
    let is_digit = |b: &u8| b.is_ascii_digit();
    let (start, end) = (before.iter().position(is_digit)?, before.iter().rposition(is_digit)?);
    let hops = number(before)?.checked_sub(1)?.to_string();
    Some([&before[..start], hops.as_bytes(), &before[end + 1..]].concat())
}

/// Whether this field is one that we add, in front of all others of its kind.
fn is_insert(field: &[u8], passed: &[String], changes: &mut Changes) -> Result<bool, String> {
    let counter = if field.starts_with(OUR_VIA) {
        &mut changes.vias
    } else if field.starts_with(OUR_RECORD_ROUTE) {
        &mut changes.record_routes
    } else if field.starts_with(OUR_PATH) {
        &mut changes.paths
    } else if field == b"Max-Forwards: 70\r\n" && !changes.max_forwards_is_added {
        changes.max_forwards = Some(70);
        changes.max_forwards_is_added = true;
        return Ok(true);
    } else {
        return Ok(false);
    };
    *counter += 1;
    if passed.contains(&name(field)) {
        return Err(format!("not in front of its kind: {}", field.escape_ascii()));
    }
    Ok(true)
}

/// How many bytes behind the body did not go on; they must be those beyond Content-Length.
fn body_cut(input: &Split<'_>, output: &Split<'_>) -> Result<usize, String> {
    let wanted = match input.first("content-length").map(number) {
        Some(Some(length)) => length as usize,
        Some(None) => return Err("Content-Length is no number, and still it was forwarded".into()),
        None => input.body.len(),
    };
    if input.body.get(..wanted) != Some(output.body) {
        return Err(format!("{wanted} bytes of body became {}", output.body.len()));
    }
    Ok(input.body.len() - wanted)
}

/// The parts of the first Via value (or field) between semicolons, and what follows the value; quotes are respected.
fn via_parts(field: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let (mut parts, mut start, mut is_quoted, mut is_escaped) = (Vec::new(), 0, false, false);
    for (at, &byte) in field.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b';' if !is_quoted => {
                parts.push(field[start..at].trim_ascii());
                start = at + 1;
            }
            b',' if !is_quoted => {
                parts.push(field[start..at].trim_ascii());
                return (parts, &field[at..]);
            }
            _ => {}
        }
    }
    parts.push(field[start..].trim_ascii());
    (parts, &[])
}

/// The value of a parameter: `Some(None)` without `=`.
fn parameter(parts: &[&[u8]], wanted: &str) -> Option<Option<String>> {
    parts[1..].iter().find_map(|part| {
        let text = String::from_utf8_lossy(part);
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.trim().to_owned())),
            None => (text.as_ref(), None),
        };
        name.trim().eq_ignore_ascii_case(wanted).then_some(value)
    })
}

/// The host of sent-by without brackets, and its port: none when there is no such port.
fn sent_by(part: &[u8]) -> (String, Option<u16>) {
    let text = String::from_utf8_lossy(part);
    let last = text.split_whitespace().last().unwrap_or_default();
    let (host, port) = match last.strip_prefix('[') {
        Some(rest) => rest.split_once(']').unwrap_or((rest, "")),
        None => last.split_once(':').unwrap_or((last, "")),
    };
    let port = match port.trim_start_matches(':') {
        "" => Some(5060),
        digits => digits.parse().ok().filter(|&port| port != 0),
    };
    (host.to_owned(), port)
}

/// The top Via kept everything but `received` and `rport`, and those say where it came from (RFC 3261 18.2.1, RFC 3581).
fn top_via_holds(before: &[u8], after: &[u8], source: SocketAddr) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("top Via, {what}: {}", after.escape_ascii()));
    let ((was, was_rest), (is, is_rest)) = (via_parts(before), via_parts(after));
    let is_ours = |part: &&&[u8]| {
        let name = part.split(|&b| b == b'=').next().unwrap_or_default().trim_ascii();
        !name.eq_ignore_ascii_case(b"received") && !name.eq_ignore_ascii_case(b"rport")
    };
    let blanks_behind = |field: &[u8]| field[field.trim_ascii_end().len()..].to_vec();
    if !was.iter().filter(is_ours).eq(is.iter().filter(is_ours))
        || was_rest != is_rest
        || blanks_behind(before) != blanks_behind(after)
    {
        return wrong("other things changed");
    }
    if is.len() - is.iter().filter(is_ours).count() > 2 {
        return wrong("received or rport twice");
    }
    let asks_for_rport = parameter(&was, "rport").is_some();
    let rport = parameter(&is, "rport");
    if rport != asks_for_rport.then(|| Some(source.port().to_string())) {
        return wrong("rport");
    }
    let needs_received = asks_for_rport || sent_by(was[0]).0 != source.ip().to_string();
    match parameter(&is, "received") {
        None if !needs_received => Ok(()),
        Some(Some(address)) if address == source.ip().to_string() => Ok(()),
        _ => wrong("received"),
    }
}

/// A blank for each CR without an LF behind it and each NUL: what is repeated of a request that has them.
fn blanked(bytes: &[u8]) -> Vec<u8> {
    let is_stray =
        |at: usize| bytes[at] == 0 || (bytes[at] == b'\r' && bytes.get(at + 1) != Some(&b'\n'));
    (0..bytes.len()).map(|at| if is_stray(at) { b' ' } else { bytes[at] }).collect()
}

/// Checks a response of ours against the request.
pub(crate) fn answered(
    input: &[u8],
    output: &[u8],
    source: SocketAddr,
    destination: SocketAddr,
    checks: &[Check],
) -> Result<(), String> {
    if blanked(output) != output {
        return Err("a CR without LF or a NUL in the answer".into());
    }
    let output = Split::new(output)?;
    let input = &blanked(input);
    // A request that was cut has no empty line; its whole lines must be answered for.
    let whole_lines = input.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
    let completed = [&input[..whole_lines], b"\r\n"].concat();
    let input = Split::new(input).or_else(|_| Split::new(&completed))?;
    let all = |split: &Split<'_>, wanted: &str| -> Vec<Vec<u8>> {
        split.fields.iter().filter(|f| name(f) == wanted).map(|f| value(f).to_vec()).collect()
    };
    let (came, left) = (all(&input, "via"), all(&output, "via"));
    if came.len() != left.len() || came[1..] != left[1..] {
        return Err(format!("{} Via fields became {}, or changed", came.len(), left.len()));
    }
    top_via_holds(
        &[b"Via:", came[0].as_slice()].concat(),
        &[b"Via:", left[0].as_slice()].concat(),
        source,
    )?;
    for copied in ["from", "call-id", "cseq"] {
        if all(&input, copied).first() != all(&output, copied).first() {
            return Err(format!("{copied} is not the one of the request"));
        }
    }
    if let (Some(before), Some(after)) = (all(&input, "to").first(), all(&output, "to").first()) {
        let added = after.strip_prefix(before.as_slice()).ok_or("To changed")?;
        let had_tag = String::from_utf8_lossy(before).replace(' ', "").contains(";tag=");
        if had_tag != added.is_empty() || !(added.is_empty() || added.starts_with(b";tag=")) {
            return Err("To: one tag, ours if there was none".into());
        }
    }
    if all(&output, "content-length") != [b"0".to_vec()] || !output.body.is_empty() {
        return Err("a response of ours has no body and says so".into());
    }
    for check in checks {
        let Check::Has(line) = check else { return Err(format!("\"{check}\" is for forward")) };
        if !output.fields.iter().any(|field| field.trim_ascii_end() == line.as_bytes()) {
            return Err(format!("no line {line:?}"));
        }
    }
    let (parts, _) = via_parts(input.first("via").ok_or("no Via came in")?);
    let asks_for_rport = parameter(&parts, "rport").is_some();
    let port = sent_by(parts[0]).1.filter(|_| !asks_for_rport).unwrap_or_else(|| source.port());
    // RFC 3261 18.2.2: never anywhere else than to where the request came from.
    let wanted = SocketAddr::new(source.ip(), port);
    if destination == wanted { Ok(()) } else { Err(format!("goes to {destination}, not {wanted}")) }
}
