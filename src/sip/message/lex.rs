//! A cursor over one field value.
//!
//! Owns: skipping blanks and folds, tokens, quoted strings. Knows no field. Offsets are bytes from the start of
//! the message and fit `u16`, because a message is at most [`crate::sip::MESSAGE_BYTES_MAX`] bytes.

use super::class::{Class, HOST, TOKEN, VALUE};

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

/// Blank inside a field value: what is left of folds counts too.
#[must_use]
pub const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Reads one field value from left to right.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    /// The message. Behind `end` it is only looked at to read whole steps.
    bytes: &'a [u8],
    at: usize,
    /// Where the value ends, within `bytes`.
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

    /// What was not read yet: the message, and where in it.
    #[inline]
    pub(super) fn rest(&self) -> (&'a [u8], usize, usize) {
        (self.bytes, self.at, self.end)
    }

    /// Takes all that is left.
    #[inline]
    pub(super) fn take_all(&mut self) {
        self.at = self.end;
    }

    /// An error at this place.
    #[must_use]
    pub fn malformed(&self) -> Malformed {
        Malformed { at: offset(self.at) }
    }

    /// The next byte, not taken.
    #[must_use]
    #[inline]
    pub fn peek(&self) -> Option<u8> {
        if self.at < self.end { self.bytes.get(self.at).copied() } else { None }
    }

    /// Nothing is left.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.at >= self.end
    }

    /// Skips blanks and folds.
    #[inline]
    pub fn skip_blanks(&mut self) {
        while self.peek().is_some_and(is_blank) {
            self.at += 1;
        }
    }

    /// Takes this many bytes, or all that are left.
    pub(super) fn skip(&mut self, size: usize) {
        self.at = (self.at + size).min(self.end);
    }

    /// Takes `byte` if it is next.
    #[inline]
    pub fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Takes `byte` with blanks around it, if it is next.
    #[inline]
    pub fn eat_separator(&mut self, byte: u8) -> bool {
        match self.peek() {
            Some(next) if next == byte => {
                self.at += 1;
                self.skip_blanks();
                true
            }
            Some(next) if is_blank(next) => self.eat_late_separator(byte),
            _ => false,
        }
    }

    /// [`Cursor::eat_separator`] on a blank.
    #[cold]
    fn eat_late_separator(&mut self, byte: u8) -> bool {
        let before = self.at;
        self.skip_blanks();
        if self.eat(byte) {
            self.skip_blanks();
            return true;
        }
        self.at = before;
        false
    }

    /// Takes bytes of this class, as many as there are.
    #[inline]
    pub fn take_run(&mut self, class: &Class) -> Span {
        let start = self.at;
        self.at = class.run_end(self.bytes, start, self.end);
        Span { start: offset(start), end: offset(self.at) }
    }

    /// Takes bytes up to the first `byte`, or all that are left.
    #[inline]
    pub fn take_until(&mut self, byte: u8) -> Span {
        let start = self.at;
        let rest = self.bytes.get(start..self.end).unwrap_or_default();
        self.at += memchr::memchr(byte, rest).unwrap_or(rest.len());
        Span { start: offset(start), end: offset(self.at) }
    }

    /// Takes `text` if it is next.
    #[inline]
    pub fn eat_text(&mut self, text: &[u8]) -> bool {
        let rest = self.bytes.get(self.at..self.end).unwrap_or_default();
        let found = rest.starts_with(text);
        self.at += if found { text.len() } else { 0 };
        found
    }

    /// Takes a token of at least one character.
    ///
    /// # Errors
    /// When there is none.
    #[inline]
    pub fn token(&mut self) -> Result<Span, Malformed> {
        let span = self.take_run(&TOKEN);
        if span.is_empty() { Err(self.malformed()) } else { Ok(span) }
    }

    /// Takes a decimal number; digits beyond `u32` stick to its largest value.
    ///
    /// # Errors
    /// When there is no digit.
    #[inline]
    pub fn number(&mut self) -> Result<u32, Malformed> {
        let mut number = 0_u32;
        let before = self.at;
        while let Some(byte @ b'0'..=b'9') = self.peek() {
            number = number.saturating_mul(10).saturating_add(u32::from(byte - b'0'));
            self.at += 1;
        }
        if self.at == before { Err(self.malformed()) } else { Ok(number) }
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
    #[inline]
    pub fn host(&mut self) -> Result<Span, Malformed> {
        if self.peek() == Some(b'[') {
            return self.bracketed_host();
        }
        let host = self.take_run(&HOST);
        if host.is_empty() { Err(self.malformed()) } else { Ok(host) }
    }

    fn bracketed_host(&mut self) -> Result<Span, Malformed> {
        let start = self.at;
        self.at += 1;
        while self.peek().is_some_and(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.')) {
            self.at += 1;
        }
        if !self.eat(b']') || self.at - start <= 2 {
            return Err(self.malformed());
        }
        Ok(Span::new(start, self.at))
    }

    /// Takes one `name[=value]` behind a semicolon; an empty value span means that there was no `=`.
    ///
    /// # Errors
    /// When the name is missing or the value ends early.
    #[inline]
    pub fn parameter(&mut self) -> Result<Parameter, Malformed> {
        let name = self.token()?;
        let value = if self.eat_separator(b'=') {
            match self.peek() {
                Some(b'"') => self.quoted_string()?,
                _ => self.take_run(&VALUE),
            }
        } else {
            Span { start: name.end, end: name.end }
        };
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

/// The decimal number at `at`, if there is one of one to five digits that ends before `end`, and where it ends.
#[inline]
pub(super) fn short_number(bytes: &[u8], at: usize, end: usize) -> Option<(u32, usize)> {
    let digits = bytes.get(at..end)?;
    let mut number = 0;
    let mut length = 0;
    for byte in digits.iter().take(5) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        number = number * 10 + u32::from(digit);
        length += 1;
    }
    (length > 0).then_some((number, at + length))
}

/// The number that one to nine digits and nothing else make.
#[inline]
pub(super) fn short_digits(text: &[u8]) -> Option<u32> {
    if !(1..=9).contains(&text.len()) {
        return None;
    }
    text.iter().try_fold(0, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit <= 9).then(|| number * 10 + u32::from(digit))
    })
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
