//! One Via value: transport, sent-by and the parameters that a proxy acts on (RFC 3261 20.42, RFC 3581).
//!
//! Judges nothing: a port of 0 or a strange transport is told as it stands.

use super::lex::{Cursor, Malformed, Span};

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
    /// The digits of that port.
    pub port_digits: Span,
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

impl Via {
    /// Reads the Via value at the cursor; afterwards it stands behind it, on a comma or at the end.
    ///
    /// # Errors
    /// When the value breaks the grammar.
    pub fn parse(bytes: &[u8], cursor: &mut Cursor<'_>) -> Result<Self, Malformed> {
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
            let digits_start = cursor.at();
            via.port = Some(cursor.number()?);
            end = cursor.at();
            via.port_digits = Span::new(digits_start, end);
        }
        via.sent_by_end = super::lex::offset(end);
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

    fn parameter(&mut self, bytes: &[u8], cursor: &mut Cursor<'_>) -> Result<(), Malformed> {
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
