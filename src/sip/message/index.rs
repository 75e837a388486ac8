//! One pass over a message: its start line, where each field that a proxy looks at stands, where the body begins.
//!
//! Owns: line ends, folding, field names with their compact forms, the bound on fields. Judges no value.
//! The index is kept by its owner and filled again for each message, so that nothing is moved or allocated.

use std::sync::Arc;

use arrayvec::ArrayVec;

use super::class::{NO_SPACE, TOKEN};
use super::field_name::{FieldName, FieldSet, any_name, usual_name};
use super::lex::{Malformed, Span, offset, trim};
use super::lines::{LineEnds, LineFeeds};
use super::watched::Watched;
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
    first: [u8; FieldName::PLACES],
    present: FieldSet,
    repeated: FieldSet,
    /// [`ParseError::StrayByte`], or it may be: then nothing of it may be repeated as it is.
    has_stray: bool,
    watched: Arc<Watched>,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            start_line: StartLine::Status { code: 0 },
            fields_start: 0,
            fields_end: 0,
            body_start: 0,
            fields: ArrayVec::new(),
            first: [0; FieldName::PLACES],
            present: FieldSet::default(),
            repeated: FieldSet::default(),
            has_stray: false,
            watched: Arc::default(),
        }
    }
}

impl Index {
    /// From the next message on, the fields of these names are found, too.
    pub fn watch(&mut self, watched: Arc<Watched>) {
        self.watched = watched;
    }

    /// What the fields of this name, from the configuration, are called here; `None` when nobody looks at them.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<FieldName> {
        self.watched.field(name)
    }

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
        let mut ends = LineEnds::new(bytes, start);
        let Some(end) = ends.next_end() else { return self.fill_any(bytes, start) };
        let told = self.take_start_line(bytes, Span::new(start, end), end + 2);
        if told.is_ok_or_broken_request() {
            self.fill_usual(bytes, end + 2, ends)?;
        }
        told.0
    }

    /// In any spelling that the grammar allows.
    pub(super) fn fill_any(&mut self, bytes: &[u8], start: usize) -> Result<(), ParseError> {
        let mut feeds = LineFeeds::new(bytes, start);
        let feed = feeds.next().ok_or(ParseError::NotSip)?;
        let line = Span::new(start, content_end(bytes, start, feed));
        let told = self.take_start_line(bytes, line, feed + 1);
        if told.is_ok_or_broken_request() {
            self.fill_any_fields(bytes, feed + 1, feeds)?;
        }
        told.0
    }

    fn take_start_line(&mut self, bytes: &[u8], line: Span, behind: usize) -> Told {
        self.fields_start = offset(behind);
        let found = start_line(bytes, line);
        self.start_line = match found {
            Ok(found) => found,
            // Its fields are read, too: a broken request line is answered with 400, and that takes them.
            Err(_) => StartLine::Request { method: line, uri: line, version: line },
        };
        if !matches!(found, Ok(_) | Err(ParseError::BadRequestLine(_))) {
            self.start_line = StartLine::Status { code: 0 };
        }
        Told(found.map(|_| ()))
    }

    /// The first field of this name.
    #[must_use]
    #[inline]
    pub fn first(&self, name: FieldName) -> Option<&Field> {
        self.fields.get(self.place(name)?)
    }

    /// Where the first field of this name stands in `fields`.
    #[inline]
    fn place(&self, name: FieldName) -> Option<usize> {
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
        self.all_from_first(name).iter().filter(move |field| field.name == name)
    }

    /// All fields from the first of this name on; only this one when it is the only one, none when there is none.
    #[inline]
    pub(super) fn all_from_first(&self, name: FieldName) -> &[Field] {
        let Some(place) = self.place(name) else { return &[] };
        let end = if self.repeated.has(name) { self.fields.len() } else { place + 1 };
        self.fields.get(place..end).unwrap_or_default()
    }

    /// The fields of a header whose lines end with CRLF and have no other control character, no fold, nothing odd: as nearly
    /// everybody writes it. At the first line that is something else, the slow way goes on.
    #[inline]
    fn fill_usual(
        &mut self,
        bytes: &[u8],
        start: usize,
        mut ends: LineEnds<'_>,
    ) -> Result<(), ParseError> {
        let mut at = start;
        loop {
            match bytes.get(at) {
                Some(byte) if *byte > b' ' => {}
                Some(b'\r') if bytes.get(at + 1) == Some(&b'\n') => {
                    self.fields_end = offset(at);
                    self.body_start = offset(at + 2);
                    self.has_stray = false;
                    return Ok(());
                }
                _ => break,
            }
            let Some(end) = ends.next_end() else { break };
            if matches!(bytes.get(end + 2), Some(b' ' | b'\t')) {
                break;
            }
            let found = bytes.get(at..).and_then(usual_name);
            let found = found.or_else(|| any_name(bytes.get(at..end + 2).unwrap_or_default()));
            let Some((name, colon)) = found else { break };
            let line = Span { start: offset(at), end: offset(end + 2) };
            if let Some(name) = name.or_else(|| self.watched_name(&bytes[at..at + colon])) {
                self.take(Field { name, line, value: usual_value(bytes, at + colon + 1, end) })?;
            }
            at = end + 2;
        }
        self.fill_any_fields(bytes, at, LineFeeds::new(bytes, at))
    }

    #[cold]
    fn fill_any_fields(
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
            let found = usual_name(text).or_else(|| any_name(text));
            if let Some((name, colon)) = found {
                if let Some(name) = name.or_else(|| self.watched_name(&text[..colon])) {
                    let inner = trim(text, Span::new(colon + 1, text.len()));
                    let (start, end) = (line.start + inner.start, line.start + inner.end);
                    self.take(Field { name, line, value: Span { start, end } })?;
                }
            } else {
                outcome = outcome.and(Err(ParseError::BadField(Malformed { at: line.start })));
            }
            at = feed + 1;
        }
        self.never_ends(bytes, at)
    }

    /// `name` may have blanks behind it.
    #[inline]
    fn watched_name(&self, name: &[u8]) -> Option<FieldName> {
        if self.watched.is_empty() { None } else { self.watched.find(name.trim_ascii_end()) }
    }

    fn never_ends(&mut self, bytes: &[u8], at: usize) -> Result<(), ParseError> {
        self.fields_end = offset(at.min(bytes.len()));
        self.body_start = self.fields_end;
        Err(ParseError::NoEndOfFields)
    }

    #[inline]
    fn take(&mut self, field: Field) -> Result<(), ParseError> {
        let place = self.fields.len();
        if self.fields.try_push(field).is_err() {
            self.fields_end = field.line.start;
            self.body_start = field.line.start;
            return Err(ParseError::TooManyFields);
        }
        if self.present.has(field.name) {
            self.repeated.add(field.name);
        } else {
            self.present.add(field.name);
            self.first[field.name as usize] = u8::try_from(place).unwrap_or(u8::MAX);
        }
        Ok(())
    }
}

/// What the start line came to.
struct Told(Result<(), ParseError>);

impl Told {
    /// There are fields to be read.
    fn is_ok_or_broken_request(&self) -> bool {
        matches!(self.0, Ok(()) | Err(ParseError::BadRequestLine(_)))
    }
}

const _: () = assert!(FIELDS_MAX <= 256 && FieldName::PLACES <= 64);

/// The value between the colon and the line end at `end`, without blanks around it, where only spaces are blanks.
#[inline]
fn usual_value(bytes: &[u8], behind_colon: usize, end: usize) -> Span {
    let start = behind_colon + usize::from(bytes.get(behind_colon) == Some(&b' '));
    let is_bare = |at: usize| bytes.get(at).is_some_and(|&byte| byte != b' ');
    if start < end && is_bare(start) && is_bare(end - 1) {
        return Span { start: offset(start), end: offset(end) };
    }
    trim(bytes, Span::new(behind_colon, end + 2))
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
