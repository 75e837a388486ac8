//! Views on the received bytes: where the parts of a message are, without judging or copying them.
//!
//! Owns: the grammar. Knows nothing of routing. `index` makes one pass; everything else is read when asked for.

pub mod class;
mod field_name;
pub mod index;
pub mod lex;
mod lines;
mod method;
pub mod name_addr;
mod rough;
pub mod uri;
pub mod via;
mod watched;

#[cfg(test)]
mod tests;

pub use field_name::{FieldName, FieldSet};
pub use index::{Field, Index, ParseError, StartLine};
pub use lex::{Malformed, Span};
pub use method::Method;
pub use name_addr::NameAddr;
pub use uri::{Scheme, Uri};
pub use via::Via;
pub use watched::{TooManyNames, WATCHED_MAX, Watched};

use class::TOKEN;
use lex::{Cursor, offset};

/// A message: its bytes and its filled index.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// The bytes as received.
    pub bytes: &'a [u8],
    /// Where things are.
    pub index: &'a Index,
}

/// A CSeq (RFC 3261 20.16).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CSeq {
    /// The sequence number.
    pub number: u32,
    /// The method.
    pub method: Span,
}

impl<'a> Message<'a> {
    /// Fills `index` from `bytes`.
    ///
    /// # Errors
    /// When the bytes are not SIP, or stop being SIP.
    pub fn parse(bytes: &'a [u8], index: &'a mut Index) -> Result<Self, ParseError> {
        index.fill(bytes)?;
        Ok(Self { bytes, index })
    }

    /// The start line.
    #[must_use]
    pub fn start_line(&self) -> StartLine {
        self.index.start_line
    }

    /// The first field of this name.
    #[must_use]
    pub fn field(&self, name: FieldName) -> Option<&'a Field> {
        self.index.first(name)
    }

    /// The bytes of the first value of this name; empty when there is none.
    #[must_use]
    pub fn value(&self, name: FieldName) -> &'a [u8] {
        self.index.first(name).map_or(&[], |field| field.value.of(self.bytes))
    }

    /// Where the fields begin: behind the start line.
    #[must_use]
    pub fn fields_start(&self) -> usize {
        usize::from(self.index.fields_start)
    }

    /// Where the fields end: on the empty line.
    #[must_use]
    pub fn fields_end(&self) -> usize {
        usize::from(self.index.fields_end)
    }

    /// What stands behind the empty line.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.bytes.get(self.body_start()..).unwrap_or_default()
    }

    /// Where the body begins.
    #[must_use]
    pub fn body_start(&self) -> usize {
        usize::from(self.index.body_start)
    }

    /// The values of all Via fields, top first; ends at the first that breaks the grammar.
    #[must_use]
    pub fn vias(&self) -> Vias<'a> {
        Vias { values: Values::new(*self, FieldName::Via) }
    }

    /// The top Via, and the Vias below it.
    ///
    /// # Errors
    /// When there is none or it breaks the grammar.
    #[inline]
    pub fn top_via(&self) -> Result<(Via, Vias<'a>), Malformed> {
        let mut values = Values::new(*self, FieldName::Via);
        let (field, fields) = values.fields.split_first().ok_or(Malformed { at: 0 })?;
        let mut cursor = Cursor::new(self.bytes, field.value);
        let via = Via::parse(self.bytes, &mut cursor)?;
        values.fields = fields;
        values.cursor = Some(cursor);
        Ok((via, Vias { values }))
    }

    /// The single value of From or To.
    ///
    /// # Errors
    /// When it breaks the grammar, or holds more than one value.
    pub fn name_addr(&self, name: FieldName) -> Result<NameAddr, Malformed> {
        let field = self.field(name).ok_or(Malformed { at: 0 })?;
        let mut cursor = Cursor::new(self.bytes, field.value);
        let found = NameAddr::parse(self.bytes, &mut cursor)?;
        if cursor.is_at_end() { Ok(found) } else { Err(cursor.malformed()) }
    }

    /// The values of all fields of this name, in order; ends at the first that breaks the grammar.
    #[must_use]
    pub fn name_addrs(&self, name: FieldName) -> NameAddrs<'a> {
        NameAddrs { values: Values::new(*self, name) }
    }

    /// The CSeq.
    ///
    /// # Errors
    /// When it breaks the grammar or the number is 2^31 or more (RFC 3261 8.1.1.5).
    pub fn cseq(&self) -> Result<CSeq, Malformed> {
        let field = self.field(FieldName::CSeq).ok_or(Malformed { at: 0 })?;
        if let Some(usual) = usual_cseq(self.bytes, field.value) {
            return Ok(usual);
        }
        let mut cursor = Cursor::new(self.bytes, field.value);
        let number = cursor.number()?;
        cursor.skip_blanks();
        let method = cursor.token()?;
        if number >= 1 << 31 || !cursor.is_at_end() {
            return Err(cursor.malformed());
        }
        Ok(CSeq { number, method })
    }

    /// A field whose value is one number: Max-Forwards, Content-Length, Max-Breadth.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn number(&self, name: FieldName) -> Option<Result<u32, Malformed>> {
        let field = self.field(name)?;
        if let Some(usual) = lex::short_digits(field.value.of(self.bytes)) {
            return Some(Ok(usual));
        }
        let mut cursor = Cursor::new(self.bytes, field.value);
        Some(match cursor.number() {
            Ok(number) if cursor.is_at_end() => Ok(number),
            _ => Err(cursor.malformed()),
        })
    }

    /// A field of this name lists the token, in any case: an option tag (RFC 3261 20.37), for example.
    #[must_use]
    pub fn lists(&self, name: FieldName, token: &[u8]) -> bool {
        let values = self.index.all(name).map(|field| field.value.of(self.bytes));
        let mut tokens = values.flat_map(|value| value.split(|&byte| byte == b','));
        tokens.any(|one| one.trim_ascii().eq_ignore_ascii_case(token))
    }

    /// The first value of a field that the configuration names; none when the index was not told to watch it.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&'a [u8]> {
        Some(self.field(self.index.named(name)?)?.value.of(self.bytes))
    }

    /// The top Via of a request that is refused for it, as far as an answer needs it: the reader is `message/rough.rs`.
    #[must_use]
    pub fn rough_via(&self) -> Option<Via> {
        rough::via(self.bytes, self.field(FieldName::Via)?.value)
    }

    /// The first value of a field that the index does not keep, by name (any case). A slow look-up: it reads
    /// the fields again.
    #[must_use]
    pub fn slow_value(&self, name: &[u8]) -> Option<&'a [u8]> {
        let mut at = self.fields_start();
        while at < self.fields_end() {
            let rest = &self.bytes[at..self.fields_end()];
            let mut end = 0;
            loop {
                end += memchr::memchr(b'\n', &rest[end..]).map_or(rest.len() - end, |n| n + 1);
                if !matches!(rest.get(end), Some(b' ' | b'\t')) {
                    break;
                }
            }
            let colon = memchr::memchr(b':', &rest[..end])?;
            if rest[..colon].trim_ascii_end().eq_ignore_ascii_case(name) {
                return Some(
                    lex::trim(self.bytes, Span::new(at + colon + 1, at + end)).of(self.bytes),
                );
            }
            at += end;
        }
        None
    }
}

/// Up to nine digits, one space, the method: as nearly everybody writes it.
#[inline]
fn usual_cseq(bytes: &[u8], value: Span) -> Option<CSeq> {
    let text = value.of(bytes);
    let digits = text.iter().take(10).position(|&byte| byte == b' ')?;
    let number = lex::short_digits(&text[..digits])?;
    let method = Span { start: value.start + offset(digits) + 1, end: value.end };
    let end = usize::from(value.end);
    let is_token = TOKEN.run_end(bytes, usize::from(method.start), end) == end;
    (is_token && !method.is_empty()).then_some(CSeq { number, method })
}

/// The comma-separated values of all fields of one name.
#[derive(Debug, Clone)]
struct Values<'a> {
    bytes: &'a [u8],
    fields: &'a [Field],
    name: FieldName,
    cursor: Option<Cursor<'a>>,
}

impl<'a> Values<'a> {
    fn new(message: Message<'a>, name: FieldName) -> Self {
        Self {
            bytes: message.bytes,
            fields: message.index.all_from_first(name),
            name,
            cursor: None,
        }
    }

    /// Onto the next value: behind a comma, or into the next field.
    fn advance(&mut self) -> Option<&mut Cursor<'a>> {
        let goes_on = self.cursor.as_mut().is_some_and(|cursor| cursor.eat_separator(b','));
        if !goes_on {
            let place = self.fields.iter().position(|field| field.name == self.name)?;
            self.cursor = Some(Cursor::new(self.bytes, self.fields[place].value));
            self.fields = &self.fields[place + 1..];
        }
        self.cursor.as_mut()
    }

    fn stop(&mut self) {
        self.fields = &[];
        self.cursor = None;
    }
}

/// See [`Message::vias`].
#[derive(Debug, Clone)]
pub struct Vias<'a> {
    values: Values<'a>,
}

impl Iterator for Vias<'_> {
    type Item = Result<Via, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.values.bytes;
        let via = Via::parse(bytes, self.values.advance()?);
        if via.is_err() {
            self.values.stop();
        }
        Some(via)
    }
}

/// See [`Message::name_addrs`].
#[derive(Debug, Clone)]
pub struct NameAddrs<'a> {
    values: Values<'a>,
}

impl Iterator for NameAddrs<'_> {
    type Item = Result<NameAddr, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.values.bytes;
        let value = NameAddr::parse(bytes, self.values.advance()?);
        if value.is_err() {
            self.values.stop();
        }
        Some(value)
    }
}
