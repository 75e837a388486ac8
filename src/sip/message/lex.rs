//! A cursor over one field value, and the character classes of RFC 3261 25.1.
//!
//! Owns: skipping blanks and folds, tokens, quoted strings. Knows no field. Offsets are bytes from the start of
//! the message and fit `u16`, because a message is at most [`crate::sip::MESSAGE_BYTES_MAX`] bytes.

/// A piece of the message: offsets, not bytes, so that it outlives any borrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// First byte.
    pub start: u16,
    /// One past the last byte.
    pub end: u16,
}

impl Span {
    /// From offsets that lie inside a message.
    #[must_use]
    pub fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end && end <= crate::sip::MESSAGE_BYTES_MAX);
        Self { start: offset(start), end: offset(end) }
    }

    /// The bytes of this piece.
    #[must_use]
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(usize::from(self.start)..usize::from(self.end)).unwrap_or_default()
    }

    /// Nothing in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.start >= self.end
    }
}

/// An offset as it is stored: not beyond the largest message, because a larger one has no index.
#[must_use]
pub fn offset(at: usize) -> u16 {
    debug_assert!(at <= crate::sip::MESSAGE_BYTES_MAX);
    #[expect(clippy::cast_possible_truncation, reason = "at most MESSAGE_BYTES_MAX")]
    let stored = at as u16;
    stored
}

/// The value does not follow its grammar, first seen at this offset of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed {
    /// Bytes from the start of the message.
    pub at: u16,
}

const TOKEN: u8 = 1;
const HOST: u8 = 2;
const VALUE: u8 = 4;
const URI: u8 = 8;
const BARE: u8 = 16;

/// Which classes each byte belongs to.
const CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0_usize;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256 by the loop")]
        let b = byte as u8 as char;
        let alphanumeric = b.is_ascii_alphanumeric();
        if alphanumeric || matches!(b, '-' | '.' | '!' | '%' | '*' | '_' | '+' | '`' | '\'' | '~') {
            table[byte] |= TOKEN | VALUE;
        }
        // The underscore is no host character by the grammar, but names with it are in use.
        if alphanumeric || matches!(b, '-' | '.' | '_') {
            table[byte] |= HOST;
        }
        // Values of parameters: token, host (IPv6 in brackets or, for `received`, bare), and what phones write.
        if matches!(
            b,
            '[' | ']' | ':' | '/' | '?' | '@' | '&' | '$' | '#' | '(' | ')' | '{' | '}' | '|' | '^'
        ) {
            table[byte] |= VALUE;
        }
        if byte > 0x20 && byte != 0x7f && !matches!(b, '<' | '>' | '"') {
            table[byte] |= URI;
        }
        if !matches!(b, '<' | '"' | ',' | ';' | ':' | '>') {
            table[byte] |= BARE;
        }
        byte += 1;
    }
    table
};

/// A character that may stand in a URI; which of them where, its grammar says.
#[must_use]
pub fn is_uri(byte: u8) -> bool {
    CLASS[usize::from(byte)] & URI != 0
}

/// A character that ends nothing in a value: part of an unquoted display name.
#[must_use]
pub fn is_bare(byte: u8) -> bool {
    CLASS[usize::from(byte)] & BARE != 0
}

/// A character of a `token`.
#[must_use]
pub fn is_token(byte: u8) -> bool {
    CLASS[usize::from(byte)] & TOKEN != 0
}

/// A character of a host name or an IPv4 address.
#[must_use]
pub fn is_host(byte: u8) -> bool {
    CLASS[usize::from(byte)] & HOST != 0
}

/// Blank inside a field value: what is left of folds counts too.
#[must_use]
pub const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Reads one field value from left to right.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Cursor<'a> {
    /// Over `span` of the message `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8], span: Span) -> Self {
        let end = usize::from(span.end).min(bytes.len());
        Self { bytes, at: usize::from(span.start).min(end), end }
    }

    /// Where it stands.
    #[must_use]
    pub fn at(&self) -> usize {
        self.at
    }

    /// An error at this place.
    #[must_use]
    pub fn malformed(&self) -> Malformed {
        Malformed { at: offset(self.at) }
    }

    /// The next byte, not taken.
    #[must_use]
    pub fn peek(&self) -> Option<u8> {
        if self.at < self.end { Some(self.bytes[self.at]) } else { None }
    }

    /// Nothing is left.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.at >= self.end
    }

    /// Skips blanks and folds.
    pub fn skip_blanks(&mut self) {
        while self.at < self.end && is_blank(self.bytes[self.at]) {
            self.at += 1;
        }
    }

    /// Takes `byte` if it is next.
    pub fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Takes `byte` with blanks around it, if it is next.
    pub fn eat_separator(&mut self, byte: u8) -> bool {
        let before = self.at;
        self.skip_blanks();
        if self.eat(byte) {
            self.skip_blanks();
            return true;
        }
        self.at = before;
        false
    }

    /// Takes bytes as long as `wanted`.
    pub fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> Span {
        let rest = self.rest();
        let length = rest.iter().position(|&b| !wanted(b)).unwrap_or(rest.len());
        self.take(length)
    }

    /// Takes bytes up to the first `byte`, or all that are left.
    pub fn take_until(&mut self, byte: u8) -> Span {
        let rest = self.rest();
        let length = memchr::memchr(byte, rest).unwrap_or(rest.len());
        self.take(length)
    }

    /// Takes `text` if it is next.
    pub fn eat_text(&mut self, text: &[u8]) -> bool {
        let found = self.rest().starts_with(text);
        self.at += if found { text.len() } else { 0 };
        found
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..self.end).unwrap_or_default()
    }

    fn take(&mut self, length: usize) -> Span {
        let start = self.at;
        self.at += length;
        Span::new(start, self.at)
    }

    /// Takes a token of at least one character.
    ///
    /// # Errors
    /// When there is none.
    pub fn token(&mut self) -> Result<Span, Malformed> {
        let span = self.take_while(is_token);
        if span.is_empty() { Err(self.malformed()) } else { Ok(span) }
    }

    /// Takes a decimal number; digits beyond `u32` stick to its largest value.
    ///
    /// # Errors
    /// When there is no digit.
    pub fn number(&mut self) -> Result<u32, Malformed> {
        let digits = self.take_while(|b| b.is_ascii_digit());
        if digits.is_empty() {
            return Err(self.malformed());
        }
        Ok(saturating_number(digits.of(self.bytes)))
    }

    /// Takes a quoted string with its quotes; the cursor stands on the first quote.
    ///
    /// # Errors
    /// When it does not end.
    pub fn quoted_string(&mut self) -> Result<Span, Malformed> {
        let start = self.at;
        self.at += 1;
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'"' => return Ok(Span::new(start, self.at)),
                b'\\' => self.at = (self.at + 1).min(self.end),
                _ => {}
            }
        }
        Err(self.malformed())
    }

    /// Takes a host: `[IPv6]` with its brackets, or name characters.
    ///
    /// # Errors
    /// When there is none, or the bracket does not close.
    pub fn host(&mut self) -> Result<Span, Malformed> {
        let start = self.at;
        if self.eat(b'[') {
            self.take_while(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'));
            if !self.eat(b']') || self.at - start <= 2 {
                return Err(self.malformed());
            }
        } else if self.take_while(is_host).is_empty() {
            return Err(self.malformed());
        }
        Ok(Span::new(start, self.at))
    }

    /// Takes one `name[=value]` behind a semicolon; an empty value span means that there was no `=`.
    ///
    /// # Errors
    /// When the name is missing or the value ends early.
    pub fn parameter(&mut self) -> Result<Parameter, Malformed> {
        let name = self.token()?;
        let mut value = Span::new(self.at, self.at);
        if self.eat_separator(b'=') {
            value = match self.peek() {
                Some(b'"') => self.quoted_string()?,
                _ => self.take_while(|b| CLASS[usize::from(b)] & VALUE != 0),
            };
        }
        Ok(Parameter { name, value, end: offset(self.at) })
    }
}

/// A parameter: `name`, or `name=value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: Span,
    /// Its value, quotes included; empty when there is none.
    pub value: Span,
    /// Where it ends.
    pub end: u16,
}

/// Decimal digits as a number; too many digits stick to the largest value.
#[must_use]
pub fn saturating_number(digits: &[u8]) -> u32 {
    digits.iter().fold(0_u32, |number, digit| {
        number.saturating_mul(10).saturating_add(u32::from(digit.wrapping_sub(b'0')))
    })
}

/// `span` without blanks at its ends.
#[must_use]
pub fn trim(bytes: &[u8], span: Span) -> Span {
    let (mut start, mut end) = (usize::from(span.start), usize::from(span.end).min(bytes.len()));
    while start < end && is_blank(bytes[start]) {
        start += 1;
    }
    while start < end && is_blank(bytes[end - 1]) {
        end -= 1;
    }
    Span::new(start.min(end), end)
}
