//! One Via value: transport, sent-by and the parameters that a proxy acts on (RFC 3261 20.42, RFC 3581).
//!
//! Judges nothing: a port of 0 or a strange transport is told as it stands.

use super::class::{HOST, VALUE};
use super::lex::{Cursor, Malformed, Span, offset, short_number};

/// Where the parts of a Via value are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Via {
    /// The whole value, from the protocol name to the end of its last parameter.
    pub value: Span,
    /// `UDP`, `TCP`, ...
    pub transport: Span,
    /// The host of sent-by; IPv6 with its brackets.
    pub host: Span,
    /// The port of sent-by as written.
    pub port: Option<u32>,
    /// Where sent-by ends: new parameters go here.
    pub sent_by_end: u16,
    /// The value of `branch`; empty when there is none.
    pub branch: Span,
    /// The value of `received`; empty when there is none.
    pub received: Span,
    /// `received=...` as a whole, when it is there.
    pub received_parameter: Option<Span>,
    /// `rport` or `rport=...` as a whole, when it is there.
    pub rport_parameter: Option<Span>,
    /// The number in `rport`, when it has one.
    pub rport: Option<u32>,
    /// The value of our own parameter; empty when there is none.
    pub edge: Span,
}

/// The name of the Via parameter that we seal response targets in.
pub const EDGE_PARAMETER: &[u8] = b"e";

/// How most Vias over UDP start.
const USUAL_HEAD: &[u8; 12] = b"SIP/2.0/UDP ";

impl Via {
    /// Reads the Via value at the cursor; afterwards it stands behind it, on a comma or at the end.
    ///
    /// # Errors
    /// When the value breaks the grammar.
    #[inline]
    pub fn parse(bytes: &[u8], cursor: &mut Cursor<'_>) -> Result<Self, Malformed> {
        if let Some(usual) = Self::usual(cursor) {
            cursor.take_all();
            return Ok(usual);
        }
        Self::any(bytes, cursor)
    }

    /// `SIP/2.0/UDP host:port;branch=value;rport` and the like, with the parameters that we know and nothing behind, as
    /// nearly everybody writes it: 520 instructions of a typical INVITE (`make instructions`). What it accepts, it
    /// reads as [`Via::any`] does: a test compares the two.
    #[inline]
    fn usual(cursor: &Cursor<'_>) -> Option<Self> {
        let (bytes, start, end) = cursor.rest();
        let value = bytes.get(..end)?;
        let host_start = start + USUAL_HEAD.len();
        if value.get(start..host_start)? != USUAL_HEAD {
            return None;
        }
        let host_end = HOST.run_end(bytes, host_start, end);
        if host_end == host_start {
            return None;
        }
        let mut via = Self {
            value: Span::new(start, end),
            transport: Span::new(host_start - 4, host_start - 1),
            host: Span::new(host_start, host_end),
            ..Self::default()
        };
        let mut at = host_end;
        if value.get(at) == Some(&b':') {
            let (port, behind) = short_number(bytes, at + 1, end)?;
            via.port = Some(port);
            at = behind;
        }
        via.sent_by_end = offset(at);
        while at < end {
            at = via.usual_parameter(bytes, value, at)?;
        }
        Some(via)
    }

    /// Takes the parameter whose semicolon is at `at`, and says where it ends.
    #[inline]
    fn usual_parameter(&mut self, bytes: &[u8], value: &[u8], at: usize) -> Option<usize> {
        let rest = value.get(at..)?;
        let end = value.len();
        if rest.starts_with(b";branch=") {
            let start = at + b";branch=".len();
            let behind = VALUE.run_end(bytes, start, end);
            self.branch = Span::new(start, behind);
            return (behind > start).then_some(behind);
        }
        if rest.starts_with(b";rport") {
            let behind = at + b";rport".len();
            let whole = |behind: usize| Some(Span::new(at + 1, behind));
            return match value.get(behind) {
                None | Some(b';') => {
                    self.rport_parameter = whole(behind);
                    self.rport = None;
                    Some(behind)
                }
                Some(b'=') => {
                    let (port, behind) = short_number(bytes, behind + 1, end)?;
                    self.rport_parameter = whole(behind);
                    self.rport = Some(port);
                    matches!(value.get(behind), None | Some(b';')).then_some(behind)
                }
                Some(_) => None,
            };
        }
        if rest.starts_with(b";received=") {
            let start = at + b";received=".len();
            let behind = VALUE.run_end(bytes, start, end);
            self.received = Span::new(start, behind);
            self.received_parameter = Some(Span::new(at + 1, behind));
            return (behind > start).then_some(behind);
        }
        if rest.starts_with(b";e=") {
            let start = at + b";e=".len();
            let behind = VALUE.run_end(bytes, start, end);
            self.edge = Span::new(start, behind);
            return (behind > start).then_some(behind);
        }
        None
    }

    /// In any spelling that the grammar allows.
    fn any(bytes: &[u8], cursor: &mut Cursor<'_>) -> Result<Self, Malformed> {
        cursor.skip_blanks();
        let start = cursor.at();
        // Nearly everybody writes it like this; the long way takes blanks around the slashes.
        if !cursor.eat_text(b"SIP/2.0/") {
            cursor.token()?;
            separator(cursor, b'/')?;
            cursor.token()?;
            separator(cursor, b'/')?;
        }
        let transport = cursor.token()?;
        let before = cursor.at();
        cursor.skip_blanks();
        if cursor.at() == before {
            return Err(cursor.malformed());
        }
        let host = cursor.host()?;
        let mut via = Self { transport, host, ..Self::default() };
        let mut end = cursor.at();
        if cursor.eat_separator(b':') {
            via.port = Some(cursor.number()?);
            end = cursor.at();
        }
        via.sent_by_end = offset(end);
        while cursor.eat_separator(b';') {
            via.parameter(bytes, cursor)?;
            end = cursor.at();
        }
        via.value = Span::new(start, end);
        cursor.skip_blanks();
        match cursor.peek() {
            None | Some(b',') => Ok(via),
            Some(_) => Err(cursor.malformed()),
        }
    }

    pub(super) fn parameter(
        &mut self,
        bytes: &[u8],
        cursor: &mut Cursor<'_>,
    ) -> Result<(), Malformed> {
        let parameter = cursor.parameter()?;
        let whole = Span { start: parameter.name.start, end: parameter.end };
        let name = parameter.name.of(bytes);
        // Four lengths are enough to pass over most of what phones add.
        match name.len() {
            6 if name.eq_ignore_ascii_case(b"branch") => self.branch = parameter.value,
            5 if name.eq_ignore_ascii_case(b"rport") => {
                self.rport_parameter = Some(whole);
                let value = parameter.value.of(bytes);
                self.rport = (!value.is_empty() && value.iter().all(u8::is_ascii_digit))
                    .then(|| super::lex::saturating_number(value));
            }
            8 if name.eq_ignore_ascii_case(b"received") => {
                self.received_parameter = Some(whole);
                self.received = parameter.value;
            }
            1 if name == EDGE_PARAMETER => self.edge = parameter.value,
            _ => {}
        }
        Ok(())
    }
}

fn separator(cursor: &mut Cursor<'_>, byte: u8) -> Result<(), Malformed> {
    if cursor.eat_separator(byte) { Ok(()) } else { Err(cursor.malformed()) }
}

#[cfg(test)]
mod tests {
    use super::super::tests::changed;
    use super::*;

    #[test]
    fn the_usual_spelling_is_read_as_any_other() {
        let values = [
            "SIP/2.0/UDP 192.168.1.20:5062;branch=z9hG4bK776asdhds;rport",
            "SIP/2.0/UDP pc33.example.com;received=192.0.2.1;rport=40001;branch=z9hG4bK1;e=AAAAAAAA",
            "SIP/2.0/UDP a;rport=;branch=x",
            "SIP/2.0/UDP a;rport;rport=7;branch=x;branch=y",
            "SIP/2.0/UDP a:000005060;branch=x",
            "SIP/2.0/UDP a:99999;rport=99999",
            "SIP/2.0/UDP a:1;rport=123456",
            "SIP/2.0/UDP a;branch=x=y",
            "SIP/2.0/UDP a;branch=\"x\"",
            "SIP/2.0/UDP a;branch=x ;rport",
            "SIP/2.0/UDP a;rportx;branch=x",
            "SIP/2.0/UDP a;e=1;received=::1",
            "SIP/2.0/UDP a;unknown=1;branch=x",
            "SIP/2.0/UDP a;branch=x, SIP/2.0/UDP b;branch=y",
            "SIP/2.0/UDP [2001:db8::1]:5060;branch=x",
            "SIP/2.0/TCP a;branch=x",
            "SIP / 2.0 / UDP a;branch=x",
        ];
        let mut usual = 0;
        for value in values {
            for value in changed(value) {
                let span = Span::new(0, value.len());
                let Some(found) = Via::usual(&Cursor::new(&value, span)) else { continue };
                usual += 1;
                let mut any = Cursor::new(&value, span);
                assert_eq!(Via::any(&value, &mut any), Ok(found), "{}", value.escape_ascii());
                assert!(any.is_at_end(), "{}", value.escape_ascii());
            }
        }
        assert!(
            usual > if cfg!(miri) { 30 } else { 100 },
            "the usual spelling was met {usual} times"
        );
    }
}
