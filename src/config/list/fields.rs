//! One line of a list file: its fields, and what is wrong with them.
//!
//! Owns: where fields begin and end, numbers, and the least that a destination must be. Knows nothing of other lines.

use super::{Attributes, Entry, Flags, LINE_BYTES_MAX, Problem, Severity};

/// A field and the column that it starts at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) text: &'a str,
    pub(super) column: usize,
}

/// Where the problems of one line go.
pub(super) struct Problems<'a> {
    pub(super) line: usize,
    pub(super) list: &'a mut Vec<Problem>,
}

impl Problems<'_> {
    pub(super) fn error(&mut self, column: usize, message: String, help: &'static str) {
        self.push(Severity::Error, column, message, help);
    }

    pub(super) fn warning(&mut self, column: usize, message: String, help: &'static str) {
        self.push(Severity::Warning, column, message, help);
    }

    fn push(&mut self, severity: Severity, column: usize, message: String, help: &'static str) {
        self.list.push(Problem { line: self.line, column, severity, message, help });
    }
}

/// Reads one line; none for an empty line, a comment, or a line with an error.
pub(super) fn read_line(text: &str, line: usize, problems: &mut Vec<Problem>) -> Option<Entry> {
    let mut problems = Problems { line, list: problems };
    let mut fields = fields(text);
    let first = fields.next()?;
    if first.text.starts_with('#') {
        return None;
    }
    if text.len() > LINE_BYTES_MAX {
        problems.error(
            LINE_BYTES_MAX + 1,
            format!("a line of {} bytes", text.len()),
            "write at most 1023 bytes",
        );
        return None;
    }
    // All fields are read before any of them ends it, so that each tells its problem.
    let set = set(first, &mut problems);
    let uri = destination(fields.next(), first.column + first.text.len(), &mut problems);
    let mut rest = fields.take_while(|field| !field.text.starts_with('#'));
    let flags = rest.next().map_or(Some(0), |field| flags(field, &mut problems));
    let priority = rest.next().map_or(Some(0), |field| priority(field, &mut problems));
    let attributes = rest
        .next()
        .map_or_else(Attributes::default, |field| Attributes::parse(field, &mut problems));
    let (set, uri, flags, priority) = (set?, uri?, Flags(flags?), priority?);
    Some(Entry { set, uri, flags, priority, attributes, line })
}

fn fields(text: &str) -> impl Iterator<Item = Field<'_>> {
    let start = text.as_ptr() as usize;
    text.split([' ', '\t', '\r'])
        .filter(|field| !field.is_empty())
        .map(move |text| Field { text, column: text.as_ptr() as usize - start + 1 })
}

fn set(field: Field<'_>, problems: &mut Problems<'_>) -> Option<u32> {
    let set = digits(field.text).and_then(|digits| digits.parse().ok());
    if set.is_none() {
        let message = format!("\"{}\" is no set number", field.text);
        problems.error(field.column, message, "start the line with a number such as 1");
    }
    set
}

fn flags(field: Field<'_>, problems: &mut Problems<'_>) -> Option<u32> {
    let flags = match field.text.strip_prefix("0x").or_else(|| field.text.strip_prefix("0X")) {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            u32::from_str_radix(digits, 16).ok()
        }
        Some(_) => None,
        None => digits(field.text).and_then(|digits| digits.parse().ok()),
    };
    if flags.is_none() {
        let message = format!("\"{}\" are no flags", field.text);
        problems.error(
            field.column,
            message,
            "write a sum of 1 inactive, 2 trying, 4 disabled, 8 probing, 16 no DNS, 32 never probed, or 0",
        );
    }
    flags
}

fn priority(field: Field<'_>, problems: &mut Problems<'_>) -> Option<i32> {
    let priority = field.text.parse().ok();
    if priority.is_none() {
        let message = format!("\"{}\" is no priority", field.text);
        problems.error(
            field.column,
            message,
            "write a number, 0 when it does not matter; attributes come after it",
        );
    }
    priority
}

/// A number without a sign.
pub(super) fn digits(text: &str) -> Option<&str> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then_some(text)
}

fn destination(
    field: Option<Field<'_>>,
    line_end: usize,
    problems: &mut Problems<'_>,
) -> Option<String> {
    const HELP: &str = "write a SIP URI such as sip:192.0.2.1:5060";
    let Some(field) = field.filter(|field| !field.text.starts_with('#')) else {
        problems.error(line_end, "a set without a destination".to_owned(), HELP);
        return None;
    };
    let uri = match scheme_bytes(field.text) {
        0 => format!("sip:{}", field.text),
        _ => field.text.to_owned(),
    };
    if !names_a_host(&uri[scheme_bytes(&uri)..]) {
        problems.error(field.column, format!("\"{}\" is no destination", field.text), HELP);
        return None;
    }
    Some(uri)
}

/// The length of `sip:` or `sips:` at the start, any case.
fn scheme_bytes(uri: &str) -> usize {
    let starts = |scheme: &&str| {
        uri.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    ["sip:", "sips:"].iter().find(|scheme| starts(scheme)).map_or(0, |scheme| scheme.len())
}

/// Whether a URI behind its scheme is `[user@]host[:port]` and parameters. What else can be wrong in a URI shows when a
/// backend is made of it.
fn names_a_host(rest: &str) -> bool {
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let host_port = rest.split([';', '?']).next().unwrap_or_default();
    let (host, port) = match host_port.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, after)) => {
            let port = after.strip_prefix(':');
            let clean = port.is_some() || after.is_empty();
            (
                if clean && address.parse::<std::net::Ipv6Addr>().is_ok() { address } else { "" },
                port,
            )
        }
        None => host_port.split_once(':').map_or((host_port, None), |(h, p)| (h, Some(p))),
    };
    let port_fits = port.is_none_or(|port| {
        digits(port).and_then(|digits| digits.parse::<u16>().ok()).is_some_and(|port| port > 0)
    });
    !host.is_empty() && !host.starts_with('[') && port_fits
}
