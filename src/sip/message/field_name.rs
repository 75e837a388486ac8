//! The names of the fields that a proxy looks at: long and compact, any case, as a set, and at the start of a line.
//!
//! Owns: the names. Judges no value and knows no order.

use super::class::TOKEN;

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
    /// `Supported`, `k`
    Supported,
    /// The first name that the table watches; see [`super::Watched`].
    Watched0,
    /// The second.
    Watched1,
    /// The third.
    Watched2,
    /// The fourth.
    Watched3,
    /// The fifth.
    Watched4,
    /// The sixth.
    Watched5,
    /// The seventh.
    Watched6,
    /// The eighth.
    Watched7,
}

impl FieldName {
    /// How many names we know without a table.
    pub const COUNT: usize = 16;
    /// The names that a table may watch.
    pub const WATCHED: [Self; 8] = [
        Self::Watched0,
        Self::Watched1,
        Self::Watched2,
        Self::Watched3,
        Self::Watched4,
        Self::Watched5,
        Self::Watched6,
        Self::Watched7,
    ];
    /// How many there are with those that a table may watch.
    pub(super) const PLACES: usize = Self::COUNT + Self::WATCHED.len();

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
            Self::Supported => "Supported",
            Self::Watched0
            | Self::Watched1
            | Self::Watched2
            | Self::Watched3
            | Self::Watched4
            | Self::Watched5
            | Self::Watched6
            | Self::Watched7 => "Watched Field",
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
            (1, b'k') => return Some(Self::Supported),
            (2, b't') => (Self::To, b"To"),
            (3, b'v') => (Self::Via, b"Via"),
            (4, b'f') => (Self::From, b"From"),
            (4, b'c') => (Self::CSeq, b"CSeq"),
            (4, b'p') => (Self::Path, b"Path"),
            (5, b'r') => (Self::Route, b"Route"),
            (7, b'c') if name[1] | 0x20 == b'a' => (Self::CallId, b"Call-ID"),
            (7, b'c') => (Self::Contact, b"Contact"),
            (9, b's') => (Self::Supported, b"Supported"),
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

/// A set of field names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FieldSet(u64);

impl FieldSet {
    /// Of these names.
    #[must_use]
    pub const fn of(names: &[FieldName]) -> Self {
        let mut bits = 0;
        let mut place = 0;
        while place < names.len() {
            bits |= 1 << names[place] as u64;
            place += 1;
        }
        Self(bits)
    }

    #[inline]
    pub(super) const fn add(&mut self, name: FieldName) {
        self.0 |= 1 << name as u64;
    }

    /// The name is in it.
    #[must_use]
    pub const fn has(self, name: FieldName) -> bool {
        self.0 >> name as u64 & 1 == 1
    }

    /// All of `others` are in it.
    #[must_use]
    pub const fn has_all(self, others: Self) -> bool {
        others.0 & !self.0 == 0
    }

    /// One of `others` is in it.
    #[must_use]
    pub const fn has_any(self, others: Self) -> bool {
        others.0 & self.0 != 0
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
/// of a word beat reading byte by byte: with `lines`, 1,600 instructions of a typical INVITE.
#[inline]
pub(super) fn usual_name(line: &[u8]) -> Option<(Option<FieldName>, usize)> {
    // The longest of these names with its colon; no name goes over a line end.
    let text_bytes: &[u8; 15] = line.first_chunk()?;
    let word =
        |at: usize| text_bytes[at..].first_chunk().map_or(0, |&word| u64::from_le_bytes(word));
    let head = word(0);
    let starts_with = |name: u64, length: u32| head & (u64::MAX >> (64 - 8 * length)) == name;
    let goes_on = |behind: usize, name: u64| word(behind) == name;
    let (name, length) = match text_bytes[0] {
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
            (FieldName::Supported, 9)
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
pub(super) fn any_name(line: &[u8]) -> Option<(Option<FieldName>, usize)> {
    let length = TOKEN.run_end(line, 0, line.len());
    let blanks = line[length..].iter().take_while(|&&b| matches!(b, b' ' | b'\t')).count();
    let colon = length + blanks;
    if length == 0 || line.get(colon) != Some(&b':') {
        return None;
    }
    Some((FieldName::from_bytes(&line[..length]), colon))
}
