//! `[display name] <URI> ;parameters`, or a bare URI: From, To, Contact, Route, Record-Route, Path
//! (RFC 3261 20.10, 25.1).

use super::class::{BARE, BARE_URI, QUOTED, URI, VALUE};
use super::lex::{Cursor, Malformed, Span, offset, trim};

/// Where the parts of one value are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameAddr {
    /// The whole value with display name and parameters, without blanks around it.
    pub value: Span,
    /// The URI, without angle brackets.
    pub uri: Span,
    /// The value of the `tag` parameter; empty when there is none.
    pub tag: Span,
}

impl NameAddr {
    /// Reads the value at the cursor; afterwards it stands on a comma or at the end.
    ///
    /// # Errors
    /// When a quote or bracket does not close, the URI is missing, or something stands behind the value.
    #[inline]
    pub fn parse(bytes: &[u8], cursor: &mut Cursor<'_>) -> Result<Self, Malformed> {
        if let Some(usual) = Self::usual(cursor) {
            cursor.take_all();
            return Ok(usual);
        }
        Self::any(bytes, cursor)
    }

    /// `["name"] <uri>[;tag=value]` and nothing else, as nearly all phones write From and To: in three runs instead of
    /// nine steps, 370 instructions of a typical INVITE (`make instructions`). What it accepts, it reads as
    /// [`NameAddr::any`] does: a test compares the two.
    #[inline]
    fn usual(cursor: &Cursor<'_>) -> Option<Self> {
        let (bytes, start, end) = cursor.rest();
        let byte = |at: usize| if at < end { bytes.get(at).copied() } else { None };
        let mut at = start;
        if byte(at) == Some(b'"') {
            at = QUOTED.run_end(bytes, at + 1, end);
            if byte(at) != Some(b'"') {
                return None;
            }
            at += 1 + usize::from(byte(at + 1) == Some(b' '));
        }
        if byte(at) != Some(b'<') {
            return None;
        }
        let uri_start = at + 1;
        let uri_end = URI.run_end(bytes, uri_start, end);
        if byte(uri_end) != Some(b'>') || uri_start == uri_end {
            return None;
        }
        let uri = Span::new(uri_start, uri_end);
        let value = Span::new(start, end);
        if uri_end + 1 == end {
            return Some(Self { value, uri, tag: Span { start: uri.end, end: uri.end } });
        }
        let tag_start = uri_end + 1 + b";tag=".len();
        if bytes.get(uri_end + 1..tag_start)? != b";tag=" || tag_start >= end {
            return None;
        }
        let is_all_tag = VALUE.run_end(bytes, tag_start, end) == end;
        is_all_tag.then(|| Self { value, uri, tag: Span::new(tag_start, end) })
    }

    /// In any spelling that the grammar allows.
    fn any(bytes: &[u8], cursor: &mut Cursor<'_>) -> Result<Self, Malformed> {
        cursor.skip_blanks();
        let start = cursor.at();
        let uri = if skip_display_name(cursor)? {
            bracketed_uri(bytes, cursor)?
        } else {
            // RFC 3261 20.10: without brackets, what follows a semicolon belongs to the field.
            cursor.take_run(&BARE_URI)
        };
        if uri.is_empty() {
            return Err(cursor.malformed());
        }
        let mut found = Self { value: uri, uri, tag: Span { start: uri.end, end: uri.end } };
        let mut end = cursor.at();
        while cursor.eat_separator(b';') {
            let parameter = cursor.parameter()?;
            if parameter.name.of(bytes).eq_ignore_ascii_case(b"tag") {
                found.tag = parameter.value;
            }
            end = cursor.at();
        }
        cursor.skip_blanks();
        found.value = Span::new(start, end);
        match cursor.peek() {
            None | Some(b',') => Ok(found),
            Some(_) => Err(cursor.malformed()),
        }
    }
}

/// Moves behind a display name, onto `<`, and says whether there is one; a bare URI is left alone.
fn skip_display_name(cursor: &mut Cursor<'_>) -> Result<bool, Malformed> {
    let start = cursor.clone();
    loop {
        match cursor.peek() {
            Some(b'<') => return Ok(true),
            Some(b'"') => {
                cursor.quoted_string()?;
            }
            None | Some(b',' | b';' | b':' | b'>') => {
                *cursor = start;
                return Ok(false);
            }
            // Phones write more than tokens here; whatever stands before `<` is passed on as it is.
            Some(_) => {
                cursor.take_run(&BARE);
            }
        }
    }
}

fn bracketed_uri(bytes: &[u8], cursor: &mut Cursor<'_>) -> Result<Span, Malformed> {
    cursor.eat(b'<');
    let uri = cursor.take_until(b'>');
    if !cursor.eat(b'>') {
        return Err(Malformed { at: offset(cursor.at()) });
    }
    Ok(trim(bytes, uri))
}

#[cfg(test)]
mod tests {
    use super::super::tests::changed;
    use super::*;

    #[test]
    fn the_usual_spelling_is_read_as_any_other() {
        let values = [
            "<sip:a@b>",
            "\"Alice\" <sip:alice@example.com>;tag=1928301774",
            "\"Alice\"<sip:alice@example.com>",
            "\"\" <sip:alice@example.com>;tag=[x]",
            "<sip:alice@example.com;transport=udp>;tag=a",
            "<sip:a@b>;tag=",
            "<sip:a@b>;tag=a;x=y",
            "<sip:a@b>;tag=a,<sip:c@d>",
            "<sip:a@b>;Tag=a",
            "<sip:a@b> ;tag=a",
            "<sip:a b@c>",
            "<>",
            "<",
            "\"",
            "\"\\\"\" <sip:a@b>",
            "\"Alice\"  <sip:a@b>",
            "Alice <sip:a@b>",
            "sip:a@b;tag=c",
            "",
        ];
        let mut usual = 0;
        for value in values {
            for value in changed(value) {
                let span = Span::new(0, value.len());
                let Some(found) = NameAddr::usual(&Cursor::new(&value, span)) else { continue };
                usual += 1;
                let mut any = Cursor::new(&value, span);
                assert_eq!(NameAddr::any(&value, &mut any), Ok(found), "{}", value.escape_ascii());
                assert!(any.is_at_end(), "{}", value.escape_ascii());
            }
        }
        assert!(usual > 20, "the usual spelling was met {usual} times");
    }
}
