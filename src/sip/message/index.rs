//! One pass over a message: its start line, where each field that a proxy looks at stands, where the body begins.
//!
//! Owns: line ends, folding, field names with their compact forms, the bound on fields. Judges no value.
//! The index is kept by its owner and filled again for each message, so that nothing is moved or allocated.

use arrayvec::ArrayVec;
use memchr::memchr;

use super::lex::{Malformed, Span, is_token, offset, trim};

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
    /// When the bytes are not SIP, or stop being SIP.
    pub fn fill(&mut self, bytes: &[u8]) -> Result<(), ParseError> {
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

    fn fill_fields(&mut self, bytes: &[u8], mut at: usize) -> Result<(), ParseError> {
        // The first bad line is told, but the fields behind it are read all the same: the answer needs every Via.
        let mut outcome = Ok(());
        loop {
            let rest = &bytes[at.min(bytes.len())..];
            self.fields_end = offset(at.min(bytes.len()));
            self.body_start = self.fields_end;
            match rest {
                [b'\r', b'\n', ..] => {
                    self.body_start = offset(at + 2);
                    return outcome;
                }
                [b'\n', ..] => {
                    self.body_start = offset(at + 1);
                    return outcome;
                }
                _ => {}
            }
            let end = line_end(bytes, at).ok_or(ParseError::NoEndOfFields)?;
            match field_name(&bytes[at..end]) {
                Some((Some(name), colon)) => {
                    let start = at + colon + 1;
                    let value = trim(bytes, Span::new(start, content_end(bytes, start, end - 1)));
                    self.push(Field { name, line: Span::new(at, end), value })?;
                }
                Some((None, _)) => {}
                None => {
                    outcome = outcome.and(Err(ParseError::BadField(Malformed { at: offset(at) })));
                }
            }
            at = end;
        }
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

/// The name of the field in `line` and where its colon is; no name when we do not look at such fields; `None` when the
/// line is no field.
fn field_name(line: &[u8]) -> Option<(Option<FieldName>, usize)> {
    // The simple version is below. Nearly every phone writes the names that we look at like this, and a comparison of
    // one or two words beats reading the name byte by byte: 700 instructions of a typical INVITE (bench `instructions`).
    let usual: Option<(FieldName, &[u8])> = match line.first()? {
        b'V' => Some((FieldName::Via, b"Via:")),
        b'F' => Some((FieldName::From, b"From:")),
        b'T' => Some((FieldName::To, b"To:")),
        b'M' => Some((FieldName::MaxForwards, b"Max-Forwards:")),
        b'R' => Some((FieldName::Route, b"Route:")),
        b'C' => Some(match line.get(1)? {
            b'a' => (FieldName::CallId, b"Call-ID:"),
            b'S' => (FieldName::CSeq, b"CSeq:"),
            _ if line.get(3) == Some(&b't') && line.get(4) == Some(&b'a') => {
                (FieldName::Contact, b"Contact:")
            }
            _ => (FieldName::ContentLength, b"Content-Length:"),
        }),
        _ => None,
    };
    if let Some((name, text)) = usual
        && line.starts_with(text)
    {
        return Some((Some(name), text.len() - 1));
    }
    let length = line.iter().position(|&b| !is_token(b))?;
    let blanks = line[length..].iter().take_while(|&&b| matches!(b, b' ' | b'\t')).count();
    let colon = length + blanks;
    if length == 0 || line.get(colon) != Some(&b':') {
        return None;
    }
    Some((FieldName::from_bytes(&line[..length]), colon))
}

/// Behind the line that starts at `at`, folds included; `None` when it does not end.
fn line_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut at = at;
    loop {
        at += memchr(b'\n', bytes.get(at..)?)? + 1;
        if !matches!(bytes.get(at), Some(b' ' | b'\t')) {
            return Some(at);
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
    let method_length = text.iter().position(|&b| !is_token(b)).unwrap_or(text.len());
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
