//! The fields of a message, read the slow way: what the index must have found.
//!
//! Owns: line ends, folds, names with their compact forms, over plain slices. Shares no code with the core but `FieldName`
//! itself, whose names stand here once more.

use sipedge::sip::message::{FieldName, Index, Watched};

/// Name, compact name, field.
pub(super) const NAMES: [(&str, &str, FieldName); FieldName::COUNT] = [
    ("via", "v", FieldName::Via),
    ("route", "", FieldName::Route),
    ("from", "f", FieldName::From),
    ("to", "t", FieldName::To),
    ("call-id", "i", FieldName::CallId),
    ("cseq", "", FieldName::CSeq),
    ("max-forwards", "", FieldName::MaxForwards),
    ("content-length", "l", FieldName::ContentLength),
    ("contact", "m", FieldName::Contact),
    ("record-route", "", FieldName::RecordRoute),
    ("path", "", FieldName::Path),
    ("proxy-require", "", FieldName::ProxyRequire),
    ("max-breadth", "", FieldName::MaxBreadth),
    ("authorization", "", FieldName::Authorization),
    ("proxy-authorization", "", FieldName::ProxyAuthorization),
    ("supported", "k", FieldName::Supported),
];

/// RFC 3261 25.1: a character of a `token`.
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte)
}

/// A character of a host name or an IPv4 address; the underscore is in use.
pub(super) fn is_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._".contains(&byte)
}

/// One field with its folds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// None: we do not look at such fields.
    pub(super) name: Option<FieldName>,
    /// With its line end.
    pub(super) whole: &'a [u8],
    /// Without blanks around it.
    pub(super) value: &'a [u8],
}

/// A message in three parts.
pub(super) struct Split<'a> {
    /// Without its line end.
    pub(super) start_line: &'a [u8],
    pub(super) lines: Vec<Line<'a>>,
    pub(super) body: &'a [u8],
}

/// Splits a message that the parser took.
pub(super) fn split(bytes: &[u8]) -> Split<'_> {
    try_split(bytes).unwrap_or_else(|| panic!("no message: {}", bytes.escape_ascii()))
}

/// Splits a message; `None` when a line is no field, no empty line ends the fields, or a byte in front of it is a CR
/// without an LF behind it or a NUL.
pub(super) fn try_split(bytes: &[u8]) -> Option<Split<'_>> {
    let start = bytes.iter().take_while(|b| b"\r\n".contains(b)).count();
    let mut rest = &bytes[start..];
    let start_line = take_line(&mut rest);
    let mut lines = Vec::new();
    loop {
        let before = rest;
        let line = take_line(&mut rest);
        if matches!(line, b"\r\n" | b"\n") {
            break;
        }
        if line.last() != Some(&b'\n') {
            return None;
        }
        while matches!(rest.first(), Some(b' ' | b'\t')) {
            take_line(&mut rest);
        }
        lines.push(field(&before[..before.len() - rest.len()])?);
    }
    let header = &bytes[start..bytes.len() - rest.len()];
    let is_stray = |pair: &[u8]| pair[0] == 0 || (pair[0] == b'\r' && pair[1] != b'\n');
    if header.windows(2).any(is_stray) {
        return None;
    }
    let start_line = start_line.strip_suffix(b"\n").unwrap_or(start_line);
    let start_line = start_line.strip_suffix(b"\r").unwrap_or(start_line);
    Some(Split { start_line, lines, body: rest })
}

fn take_line<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let end = rest.iter().position(|&b| b == b'\n').map_or(rest.len(), |at| at + 1);
    let (line, behind) = rest.split_at(end);
    *rest = behind;
    line
}

fn field(whole: &[u8]) -> Option<Line<'_>> {
    let colon = whole.iter().position(|&b| b == b':')?;
    let name = String::from_utf8_lossy(&whole[..colon]).to_ascii_lowercase();
    let name = name.trim_end_matches([' ', '\t']);
    if name.is_empty() || !name.bytes().all(is_token) || whole.last() != Some(&b'\n') {
        return None;
    }
    let known = NAMES.iter().find(|(long, compact, _)| *long == name || *compact == name);
    let is_blank = |b: &u8| b" \t\r\n".contains(b);
    let value = &whole[colon + 1..];
    let start = value.iter().take_while(|b| is_blank(b)).count();
    let end = value.len() - value[start..].iter().rev().take_while(|b| is_blank(b)).count();
    Some(Line { name: known.map(|known| known.2), whole, value: &value[start..end] })
}

impl<'a> Split<'a> {
    /// The values of the fields of this name.
    pub(super) fn values(&self, name: FieldName) -> Vec<&'a [u8]> {
        self.lines.iter().filter(|line| line.name == Some(name)).map(|line| line.value).collect()
    }

    /// How many fields have a name that we know.
    pub(super) fn known(&self) -> usize {
        self.lines.iter().filter(|line| line.name.is_some()).count()
    }

    /// The fields that we do not look at, as they stand.
    pub(super) fn others(&self) -> Vec<&'a [u8]> {
        self.lines.iter().filter(|line| line.name.is_none()).map(|line| line.whole).collect()
    }
}

/// An index that watches two names has found their fields, too, in all spellings, and the others all the same.
pub(super) fn watched_agrees(bytes: &[u8], split: &Split<'_>) {
    let mut watched = Watched::default();
    let names = [("x-key", ""), ("subject", "s")];
    let fields = names.map(|(name, _)| watched.add(name).expect("room for two"));
    let mut index = Index::default();
    index.watch(watched.into());
    if index.fill(bytes).is_err() {
        // With these, there are too many.
        assert!(split.lines.len() > sipedge::sip::message::index::FIELDS_MAX);
        return;
    }
    index_agrees(bytes, &index, split);
    for ((long, compact), field) in names.into_iter().zip(fields) {
        let is_it = |line: &&[u8]| {
            let colon = line.iter().position(|&b| b == b':').unwrap_or_default();
            let name = String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase();
            [long, compact].contains(&name.trim_end_matches([' ', '\t']))
        };
        let expected: Vec<&[u8]> = split.others().into_iter().filter(is_it).collect();
        let found: Vec<&[u8]> = index.all(field).map(|field| field.line.of(bytes)).collect();
        assert_eq!(found, expected, "{long} in {}", bytes.escape_ascii());
    }
}

/// The index found the same fields in the same places, and its look-ups by name agree.
pub(super) fn index_agrees(bytes: &[u8], index: &Index, split: &Split<'_>) {
    let shown = || bytes.escape_ascii().to_string();
    let at = |part: &[u8]| part.as_ptr().addr() - bytes.as_ptr().addr();
    let mut total = 0;
    for (_, _, name) in NAMES {
        let expected: Vec<_> = split.lines.iter().filter(|line| line.name == Some(name)).collect();
        total += expected.len();
        assert_eq!(index.present().has(name), !expected.is_empty(), "{name:?} in {}", shown());
        assert_eq!(index.repeated().has(name), expected.len() > 1, "{name:?} in {}", shown());
        let found: Vec<_> = index.all(name).collect();
        assert_eq!(found.len(), expected.len(), "{name:?} in {}", shown());
        assert_eq!(index.first(name), found.first().copied());
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found.name, name);
            assert_eq!(found.line.of(bytes), expected.whole, "{}", shown());
            assert_eq!(usize::from(found.line.start), at(expected.whole), "{}", shown());
            assert_eq!(found.value.of(bytes), expected.value, "{}", shown());
        }
    }
    assert!(total <= sipedge::sip::message::index::FIELDS_MAX);
}
