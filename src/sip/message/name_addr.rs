//! `[display name] <URI> ;parameters`, or a bare URI: From, To, Contact, Route, Record-Route, Path
//! (RFC 3261 20.10, 25.1).

use super::class::{BARE, BARE_URI};
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
    pub fn parse(bytes: &[u8], cursor: &mut Cursor<'_>) -> Result<Self, Malformed> {
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
