//! One pass over a message: its start line, where each field that a proxy looks at stands, where the body begins.
//!
//! Owns: line ends, folding, field names with their compact forms, the bound on fields. Judges no value.
//! The index is kept by its owner and filled again for each message, so that nothing is moved or allocated.

use arrayvec::ArrayVec;
use memchr::memchr;

use super::class::TOKEN;
use super::lex::{Malformed, Span, is_blank, offset, trim};
use super::lines::LineFeeds;
use crate::sip::MESSAGE_BYTES_MAX;

/// Most fields with a name that we know in one message; further ones are refused (400). 70 Vias fit.
pub const FIELDS_MAX: usize = 256;

/// Names of the fields that a proxy looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FieldName {
    /// `Via`, `v`
    Via,
    /// `Route`
    Route,
    /// `From`, `f`
    From,
    /// `To`, `t`
    To,
    /// `Call-ID`, `i`
    CallId,
    /// `CSeq`
    CSeq,
    /// `Max-Forwards`
    MaxForwards,
    /// `Content-Length`, `l`
    ContentLength,
    /// `Contact`, `m`
    Contact,
    /// `Record-Route`
    RecordRoute,
    /// `Path`
    Path,
    /// `Proxy-Require`
    ProxyRequire,
    /// `Max-Breadth` (RFC 5393)
    MaxBreadth,
    /// `Authorization`
    Authorization,
    /// `Proxy-Authorization`
    ProxyAuthorization,
}

impl FieldName {
    /// How many there are.
    pub const COUNT: usize = 15;

    /// The name as RFC 3261 writes it, for reason phrases.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Via => "Via",
            Self::Route => "Route",
            Self::From => "From",
            Self::To => "To",
            Self::CallId => "Call-ID",
            Self::CSeq => "CSeq",
            Self::MaxForwards => "Max-Forwards",
            Self::ContentLength => "Content-Length",
            Self::Contact => "Contact",
            Self::RecordRoute => "Record-Route",
            Self::Path => "Path",
            Self::ProxyRequire => "Proxy-Require",
            Self::MaxBreadth => "Max-Breadth",
            Self::Authorization => "Authorization",
            Self::ProxyAuthorization => "Proxy-Authorization",
        }
    }

    /// From the bytes of a name, long or compact, any case.
    #[must_use]
    pub fn from_bytes(name: &[u8]) -> Option<Self> {
        let (candidate, long): (Self, &[u8]) = match (name.len(), name.first()? | 0x20) {
            (1, b'v') => return Some(Self::Via),
            (1, b'f') => return Some(Self::From),
            (1, b't') => return Some(Self::To),
            (1, b'i') => return Some(Self::CallId),
            (1, b'l') => return Some(Self::ContentLength),
            (1, b'm') => return Some(Self::Contact),
            (2, b't') => (Self::To, b"To"),
            (3, b'v') => (Self::Via, b"Via"),
            (4, b'f') => (Self::From, b"From"),
            (4, b'c') => (Self::CSeq, b"CSeq"),
            (4, b'p') => (Self::Path, b"Path"),
            (5, b'r') => (Self::Route, b"Route"),
            (7, b'c') if name[1] | 0x20 == b'a' => (Self::CallId, b"Call-ID"),
            (7, b'c') => (Self::Contact, b"Contact"),
            (11, b'm') => (Self::MaxBreadth, b"Max-Breadth"),
            (12, b'm') => (Self::MaxForwards, b"Max-Forwards"),
            (12, b'r') => (Self::RecordRoute, b"Record-Route"),
            (13, b'p') => (Self::ProxyRequire, b"Proxy-Require"),
            (13, b'a') => (Self::Authorization, b"Authorization"),
            (14, b'c') => (Self::ContentLength, b"Content-Length"),
            (19, b'p') => (Self::ProxyAuthorization, b"Proxy-Authorization"),
            _ => return None,
        };
        // Nearly everybody writes them like this, and equality is one comparison of a few words.
        (name == long || name.eq_ignore_ascii_case(long)).then_some(candidate)
    }
}

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
    /// By [`FieldName`]: place of its first field in `fields` plus one; 0 for none.
    first: [u16; FieldName::COUNT],
    count: [u16; FieldName::COUNT],
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
            count: [0; FieldName::COUNT],
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
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(ParseError::NotSip);
        }
        self.fields.clear();
        self.first = [0; FieldName::COUNT];
        self.count = [0; FieldName::COUNT];
        // RFC 3261 7.5: CRLFs in front of the start line are ignored.
        let start = bytes.iter().position(|&b| b != b'\r' && b != b'\n').unwrap_or(bytes.len());
        let line_length = memchr(b'\n', &bytes[start..]).ok_or(ParseError::NotSip)?;
        let line = Span::new(start, content_end(bytes, start, start + line_length));
        let start_line = start_line(bytes, line);
        let next = start + line_length + 1;
        self.fields_start = offset(next);
        self.start_line = match start_line {
            Ok(found) => found,
            Err(ParseError::BadRequestLine(at)) => {
                // Read on: a broken request line is answered with 400, and that takes its fields.
                self.start_line = StartLine::Request { method: line, uri: line, version: line };
                self.fill_fields(bytes, next)?;
                return Err(ParseError::BadRequestLine(at));
            }
            Err(other) => return Err(other),
        };
        self.fill_fields(bytes, next)
    }

    /// The first field of this name.
    #[must_use]
    pub fn first(&self, name: FieldName) -> Option<&Field> {
        let place = usize::from(self.first[name as usize]);
        self.fields.get(place.checked_sub(1)?)
    }

    /// How many fields have this name.
    #[must_use]
    pub fn count(&self, name: FieldName) -> u16 {
        self.count[name as usize]
    }

    /// All fields of this name, in order.
    pub fn all(&self, name: FieldName) -> impl Iterator<Item = &Field> {
        let first = usize::from(self.first[name as usize]);
        let from = if first == 0 { self.fields.len() } else { first - 1 };
        self.fields[from..].iter().filter(move |field| field.name == name)
    }

    fn fill_fields(&mut self, bytes: &[u8], start: usize) -> Result<(), ParseError> {
        // The first bad line is told, but the fields behind it are read all the same: the answer needs every Via.
        let mut outcome = Ok(());
        let mut at = start;
        let mut feeds = LineFeeds::new(bytes, start);
        while let Some(feed) = feeds.next() {
            if feed == at || (feed == at + 1 && bytes[at] == b'\r') {
                self.fields_end = offset(at);
                self.body_start = offset(feed + 1);
                return outcome;
            }
            let mut feed = feed;
            while matches!(bytes.get(feed + 1), Some(b' ' | b'\t')) {
                // Folded: the line goes on. A message that ends in a fold has no end of fields.
                let Some(next) = feeds.next() else { return self.never_ends(bytes, at) };
                feed = next;
            }
            let line = Span::new(at, feed + 1);
            let text = line.of(bytes);
            match usual_name(text).or_else(|| any_name(text)) {
                Some((Some(name), colon)) => {
                    let value = Span::new(at + colon + 1, feed);
                    self.push(Field { name, line, value: trim_value(bytes, value) })?;
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

    fn push(&mut self, field: Field) -> Result<(), ParseError> {
        self.fields.try_push(field).map_err(|_| ParseError::TooManyFields)?;
        let name = field.name as usize;
        self.count[name] += 1;
        if self.first[name] == 0 {
            self.first[name] = offset(self.fields.len());
        }
        Ok(())
    }
}

/// The first bytes of a text, as a word that is read from memory.
const fn text(text: &[u8]) -> u64 {
    let mut word = 0;
    let mut place = 0;
    while place < text.len() {
        word |= (text[place] as u64) << (8 * place);
        place += 1;
    }
    word
}

/// [`any_name`] for the spellings that nearly every phone uses, and the length of the name. One or two comparisons
/// of a word beat reading byte by byte: 900 instructions of a typical INVITE (`make instructions`).
#[inline]
fn usual_name(line: &[u8]) -> Option<(Option<FieldName>, usize)> {
    let head = u64::from_le_bytes(*line.first_chunk()?);
    let starts_with = |name: u64, length: u32| head & (u64::MAX >> (64 - 8 * length)) == name;
    let goes_on = |behind: usize, name: u64| {
        line.get(behind..behind + 8).is_some_and(|bytes| bytes == name.to_le_bytes())
    };
    let (name, length) = match line[0] {
        b'V' if starts_with(text(b"Via:"), 4) => (FieldName::Via, 3),
        b'F' if starts_with(text(b"From:"), 5) => (FieldName::From, 4),
        b'T' if starts_with(text(b"To:"), 3) => (FieldName::To, 2),
        b'R' if starts_with(text(b"Route:"), 6) => (FieldName::Route, 5),
        b'R' if head == text(b"Record-R") && goes_on(5, text(b"d-Route:")) => {
            (FieldName::RecordRoute, 12)
        }
        b'M' if head == text(b"Max-Forw") && goes_on(5, text(b"orwards:")) => {
            (FieldName::MaxForwards, 12)
        }
        b'C' if head == text(b"Call-ID:") => (FieldName::CallId, 7),
        b'C' if starts_with(text(b"CSeq:"), 5) => (FieldName::CSeq, 4),
        b'C' if head == text(b"Contact:") => (FieldName::Contact, 7),
        b'C' if head == text(b"Content-") && goes_on(7, text(b"-Length:")) => {
            (FieldName::ContentLength, 14)
        }
        b'C' if head == text(b"Content-") && goes_on(5, text(b"nt-Type:")) => {
            return Some((None, 12));
        }
        b'A' if starts_with(text(b"Allow:"), 6) => return Some((None, 5)),
        b'S' if head == text(b"Supporte") && goes_on(2, text(b"pported:")) => {
            return Some((None, 9));
        }
        b'U' if head == text(b"User-Age") && goes_on(3, text(b"r-Agent:")) => {
            return Some((None, 10));
        }
        _ => return None,
    };
    Some((Some(name), length))
}

/// The name of the field in `line` and its length with the blanks behind it.
#[cold]
fn any_name(line: &[u8]) -> Option<(Option<FieldName>, usize)> {
    let length = TOKEN.run_end(line, 0, line.len());
    let blanks = line[length..].iter().take_while(|&&b| matches!(b, b' ' | b'\t')).count();
    let colon = length + blanks;
    if length == 0 || line.get(colon) != Some(&b':') {
        return None;
    }
    Some((FieldName::from_bytes(&line[..length]), colon))
}

/// [`trim`] for a value with one blank in front of it and a CR behind it, as nearly all have.
#[inline]
fn trim_value(bytes: &[u8], value: Span) -> Span {
    match value.of(bytes) {
        [b' ', first, .., last, b'\r'] if !is_blank(*first) && !is_blank(*last) => {
            Span { start: value.start + 1, end: value.end - 1 }
        }
        _ => trim(bytes, value),
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
fn usual_request_line(text: &[u8], method_length: usize, start: usize) -> Option<StartLine> {
    let front = text.strip_suffix(b" SIP/2.0")?;
    let uri = front.get(method_length..)?.strip_prefix(b" ")?;
    if method_length == 0 || uri.is_empty() || memchr(b' ', uri).is_some() {
        return None;
    }
    let (uri_start, uri_end) = (start + method_length + 1, start + front.len());
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
    if uri.is_empty() || memchr(b' ', uri.of(bytes)).is_some() {
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
