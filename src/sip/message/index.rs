//! One pass over a message: its start line, where each field that a proxy looks at stands, where the body begins.
//!
//! Owns: line ends, folding, field names with their compact forms, the bound on fields. Judges no value.
//! The index is kept by its owner and filled again for each message, so that nothing is moved or allocated.

use arrayvec::{ArrayVec, CapacityError};

use super::class::{NO_SPACE, TOKEN};
use super::field_name::{FieldName, FieldSet, any_name, usual_name};
use super::lex::{Malformed, Span, is_blank, offset, trim};
use super::lines::LineFeeds;
use crate::sip::MESSAGE_BYTES_MAX;

/// Most fields with a name that we know in one message; further ones are refused (400). 70 Vias fit.
pub const FIELDS_MAX: usize = 256;

/// Where a field stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Which field.
    pub name: FieldName,
    /// From the first byte of the name to behind the line end of the last fold.
    pub line: Span,
    /// The value without blanks around it.
    pub value: Span,
}

/// Why a message cannot be read as SIP at all, or only so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParseError {
    /// The first line is neither a request line nor a status line.
    NotSip,
    /// The request line breaks the grammar; the fields may still be read for an answer.
    BadRequestLine(Malformed),
    /// The status line breaks the grammar.
    BadStatusLine(Malformed),
    /// A line is no field.
    BadField(Malformed),
    /// The start line or a field holds a CR without an LF behind it, or a NUL: other programs end a line there, or the
    /// message.
    StrayByte,
    /// More than [`FIELDS_MAX`] fields.
    TooManyFields,
    /// No empty line ends the fields: the message was cut.
    NoEndOfFields,
}

/// What the start line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartLine {
    /// `METHOD Request-URI SIP-Version`
    Request {
        /// The method.
        method: Span,
        /// The Request-URI.
        uri: Span,
        /// The version as written.
        version: Span,
    },
    /// `SIP-Version code reason`
    Status {
        /// 100 to 699.
        code: u16,
    },
}

/// The index of one message.
#[derive(Debug, Clone)]
pub struct Index {
    pub(super) start_line: StartLine,
    /// Where the fields begin.
    pub(super) fields_start: u16,
    /// Where the empty line begins.
    pub(super) fields_end: u16,
    /// Where the body begins.
    pub(super) body_start: u16,
    pub(super) fields: ArrayVec<Field, FIELDS_MAX>,
    /// By [`FieldName`]: place of its first field in `fields`, for those that are `present`.
    first: [u8; FieldName::COUNT],
    present: FieldSet,
    repeated: FieldSet,
    /// [`ParseError::StrayByte`], or it may be: then nothing of it may be repeated as it is.
    has_stray: bool,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            start_line: StartLine::Status { code: 0 },
            fields_start: 0,
            fields_end: 0,
            body_start: 0,
            fields: ArrayVec::new(),
            first: [0; FieldName::COUNT],
            present: FieldSet::default(),
            repeated: FieldSet::default(),
            has_stray: false,
        }
    }
}

impl Index {
    /// Reads `bytes` from the start. After an error the index holds what was read so far, so that an answer
    /// can be built from it.
    ///
    /// # Errors
    /// When the bytes are not SIP, or stop being SIP, or are more than [`MESSAGE_BYTES_MAX`].
    pub fn fill(&mut self, bytes: &[u8]) -> Result<(), ParseError> {
        self.start_line = StartLine::Status { code: 0 };
        (self.fields_start, self.fields_end, self.body_start) = (0, 0, 0);
        self.fields.clear();
        self.present = FieldSet::default();
        self.repeated = FieldSet::default();
        self.has_stray = true;
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(ParseError::NotSip);
        }
        // RFC 3261 7.5: CRLFs in front of the start line are ignored.
        let start = bytes.iter().position(|&b| b != b'\r' && b != b'\n').unwrap_or(bytes.len());
        let mut feeds = LineFeeds::new(bytes, start);
        let feed = feeds.next().ok_or(ParseError::NotSip)?;
        let line = Span::new(start, content_end(bytes, start, feed));
        self.fields_start = offset(feed + 1);
        self.start_line = match start_line(bytes, line) {
            Ok(found) => found,
            Err(ParseError::BadRequestLine(at)) => {
                // Read on: a broken request line is answered with 400, and that takes its fields.
                self.start_line = StartLine::Request { method: line, uri: line, version: line };
                self.fill_fields(bytes, feed + 1, feeds)?;
                return Err(ParseError::BadRequestLine(at));
            }
            Err(other) => return Err(other),
        };
        self.fill_fields(bytes, feed + 1, feeds)
    }

    /// The first field of this name.
    #[must_use]
    #[inline]
    pub fn first(&self, name: FieldName) -> Option<&Field> {
        self.fields.get(self.place(name)?)
    }

    /// Where the first field of this name stands in `fields`.
    #[inline]
    pub(super) fn place(&self, name: FieldName) -> Option<usize> {
        self.present.has(name).then(|| usize::from(self.first[name as usize]))
    }

    /// The names that are there.
    #[must_use]
    pub const fn present(&self) -> FieldSet {
        self.present
    }

    /// The names that more than one field has.
    #[must_use]
    pub const fn repeated(&self) -> FieldSet {
        self.repeated
    }

    /// The header may hold a CR without an LF behind it, or a NUL: always so when its end was not reached.
    #[must_use]
    pub const fn has_stray(&self) -> bool {
        self.has_stray
    }

    /// All fields of this name, in order.
    pub fn all(&self, name: FieldName) -> impl Iterator<Item = &Field> {
        let is_there = self.present.has(name);
        let from =
            if is_there { usize::from(self.first[name as usize]) } else { self.fields.len() };
        self.fields.get(from..).unwrap_or_default().iter().filter(move |field| field.name == name)
    }

    fn fill_fields(
        &mut self,
        bytes: &[u8],
        start: usize,
        mut feeds: LineFeeds<'_>,
    ) -> Result<(), ParseError> {
        // The first bad line is told, but the fields behind it are read all the same: the answer needs every Via.
        let mut outcome = Ok(());
        let mut at = start;
        while let Some(feed) = feeds.next() {
            if feed == at || (feed == at + 1 && bytes[at] == b'\r') {
                self.fields_end = offset(at);
                self.body_start = offset(feed + 1);
                self.has_stray = feeds.has_stray_before(at);
                return if self.has_stray { Err(ParseError::StrayByte) } else { outcome };
            }
            let mut feed = feed;
            while matches!(bytes.get(feed + 1), Some(b' ' | b'\t')) {
                // Folded: the line goes on. A message that ends in a fold has no end of fields.
                let Some(next) = feeds.next() else { return self.never_ends(bytes, at) };
                feed = next;
            }
            let line = Span::new(at, feed + 1);
            let text = bytes.get(at..=feed).unwrap_or_default();
            match usual_name(text).or_else(|| any_name(text)) {
                Some((Some(name), colon)) => {
                    let value = value(text, colon, line);
                    if self.push(Field { name, line, value }).is_err() {
                        self.fields_end = line.start;
                        self.body_start = line.start;
                        return Err(ParseError::TooManyFields);
                    }
                }
                Some((None, _)) => {}
                None => {
                    outcome = outcome.and(Err(ParseError::BadField(Malformed { at: line.start })));
                }
            }
            at = feed + 1;
        }
        self.never_ends(bytes, at)
    }

    fn never_ends(&mut self, bytes: &[u8], at: usize) -> Result<(), ParseError> {
        self.fields_end = offset(at.min(bytes.len()));
        self.body_start = self.fields_end;
        Err(ParseError::NoEndOfFields)
    }

    #[inline]
    fn push(&mut self, field: Field) -> Result<(), CapacityError<Field>> {
        let place = self.fields.len();
        self.fields.try_push(field)?;
        if self.present.has(field.name) {
            self.repeated.add(field.name);
        } else {
            self.present.add(field.name);
            self.first[field.name as usize] = u8::try_from(place).unwrap_or(u8::MAX);
        }
        Ok(())
    }
}

const _: () = assert!(FIELDS_MAX <= 256 && FieldName::COUNT <= 16);

/// The value behind the colon, without blanks around it and without its line end.
#[inline]
fn value(text: &[u8], colon: usize, line: Span) -> Span {
    match text.get(colon + 1..) {
        // One blank in front and CRLF behind, as nearly everybody writes it.
        Some([b' ', value @ .., b'\r', b'\n'])
            if value.first().is_some_and(|&b| !is_blank(b))
                && value.last().is_some_and(|&b| !is_blank(b)) =>
        {
            Span { start: line.start + offset(colon + 2), end: line.end - 2 }
        }
        _ => {
            let inner = trim(text, Span::new(colon + 1, text.len()));
            Span { start: line.start + inner.start, end: line.start + inner.end }
        }
    }
}

/// The end of a line's content: `newline` is the place of its `\n`; a `\r` before it belongs to the line end.
fn content_end(bytes: &[u8], start: usize, newline: usize) -> usize {
    if newline > start && bytes[newline - 1] == b'\r' { newline - 1 } else { newline }
}

fn start_line(bytes: &[u8], line: Span) -> Result<StartLine, ParseError> {
    let text = line.of(bytes);
    if text.len() >= 4 && text[..4].eq_ignore_ascii_case(b"SIP/") {
        return status_line(bytes, line);
    }
    request_line(bytes, line)
}

/// RFC 3261 7.2: `SIP/2.0 SP 3DIGIT SP reason`; the blank in front of an empty reason may be missing.
fn status_line(bytes: &[u8], line: Span) -> Result<StartLine, ParseError> {
    let bad = |at: usize| ParseError::BadStatusLine(Malformed { at: line.start + offset(at) });
    let text = line.of(bytes);
    if text.len() < 11 || !text[..8].eq_ignore_ascii_case(b"SIP/2.0 ") {
        return Err(bad(0));
    }
    let digits = &text[8..11];
    if !digits.iter().all(u8::is_ascii_digit) || !matches!(text.get(11), None | Some(b' ')) {
        return Err(bad(8));
    }
    let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    if (100..700).contains(&code) { Ok(StartLine::Status { code }) } else { Err(bad(8)) }
}

/// `METHOD sip:... SIP/2.0` as nearly everybody writes it; everything else takes the long way, which also says what is wrong.
#[inline]
fn usual_request_line(text: &[u8], method_length: usize, start: usize) -> Option<StartLine> {
    let uri = text.get(method_length..)?.strip_prefix(b" ")?.strip_suffix(b" SIP/2.0")?;
    if method_length == 0 || uri.is_empty() || NO_SPACE.run_end(uri, 0, uri.len()) < uri.len() {
        return None;
    }
    let uri_start = start + method_length + 1;
    let uri_end = uri_start + uri.len();
    Some(StartLine::Request {
        method: Span::new(start, start + method_length),
        uri: Span::new(uri_start, uri_end),
        version: Span::new(uri_end + 1, start + text.len()),
    })
}

/// RFC 3261 7.1: `METHOD SP Request-URI SP SIP-Version`, single blanks, nothing behind.
fn request_line(bytes: &[u8], line: Span) -> Result<StartLine, ParseError> {
    let text = line.of(bytes);
    let start = usize::from(line.start);
    let bad = |at: usize| ParseError::BadRequestLine(Malformed { at: line.start + offset(at) });
    let method_length = TOKEN.run_end(text, 0, text.len());
    if let Some(found) = usual_request_line(text, method_length, start) {
        return Ok(found);
    }
    // Without a version at its end (blanks forgiven for this question only) it is something else than SIP.
    let trimmed = text.trim_ascii_end();
    let slash = memchr::memrchr(b' ', trimmed).ok_or(ParseError::NotSip)?;
    if !trimmed[slash + 1..].get(..4).is_some_and(|name| name.eq_ignore_ascii_case(b"SIP/")) {
        return Err(ParseError::NotSip);
    }
    if method_length == 0 || text[method_length] != b' ' {
        return Err(bad(method_length));
    }
    let uri = Span::new(start + method_length + 1, start + slash.max(method_length + 1));
    let version = Span::new(start + slash + 1, usize::from(line.end));
    if uri.is_empty() || memchr::memchr(b' ', uri.of(bytes)).is_some() {
        return Err(bad(method_length + 1));
    }
    let digits_and_dot = &version.of(bytes)[4..];
    if trimmed.len() < text.len()
        || digits_and_dot.is_empty()
        || !digits_and_dot.iter().all(|b| b.is_ascii_digit() || *b == b'.')
    {
        return Err(bad(slash + 1));
    }
    Ok(StartLine::Request { method: Span::new(start, start + method_length), uri, version })
}
