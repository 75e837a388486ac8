//! The top Via of a request that is refused because it breaks the grammar: as far as it says where the answer goes.
//!
//! Owns: what may be wrong in it so that it still says that (a zone id, an empty port, empty parameters). Nothing that was read
//! like this is forwarded.

use super::lex::{Cursor, Malformed, Span, offset};
use super::via::Via;

/// The value at the start of `field`; `None` when nobody can say where an answer would go: no transport or host, or
/// something between the parameters.
#[cold]
pub(super) fn via(bytes: &[u8], field: Span) -> Option<Via> {
    let mut cursor = Cursor::new(bytes, field);
    let start = cursor.at();
    let transport = transport(&mut cursor).ok()?;
    let host = host(bytes, &mut cursor, field)?;
    let mut via = Via { transport, host, ..Via::default() };
    let mut end = cursor.at();
    if cursor.eat_separator(b':') {
        // An empty port is none.
        via.port = cursor.number().ok();
        end = cursor.at();
    }
    via.sent_by_end = offset(end);
    loop {
        cursor.skip_blanks();
        match cursor.peek() {
            None | Some(b',') => break,
            Some(b';') => cursor.eat_separator(b';'),
            Some(_) => return None,
        };
        // Nothing behind the semicolon is passed over.
        if !matches!(cursor.peek(), None | Some(b',' | b';')) {
            via.parameter(bytes, &mut cursor).ok()?;
        }
        end = cursor.at();
    }
    via.value = Span::new(start, end);
    Some(via)
}

fn transport(cursor: &mut Cursor<'_>) -> Result<Span, Malformed> {
    for _ in 0..2 {
        cursor.token()?;
        if !cursor.eat_separator(b'/') {
            return Err(cursor.malformed());
        }
    }
    let transport = cursor.token()?;
    cursor.skip_blanks();
    Ok(transport)
}

/// A name or an address, in brackets with more than hexadecimal digits.
fn host(bytes: &[u8], cursor: &mut Cursor<'_>, field: Span) -> Option<Span> {
    let start = cursor.at();
    if cursor.peek() != Some(b'[') {
        return cursor.host().ok();
    }
    // With a zone id behind the address, which is no SIP.
    let rest = bytes.get(start + 1..usize::from(field.end))?;
    let is_inside = |byte: u8| byte.is_ascii_alphanumeric() || b":.%-_~".contains(&byte);
    let inside = rest.iter().take_while(|&&byte| is_inside(byte)).count();
    cursor.skip(1 + inside);
    (cursor.eat(b']') && inside > 0).then(|| Span::new(start, cursor.at()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_answer_needs_is_found() {
        let check = |text: &str, expected: Option<(&str, Option<u32>, bool)>| {
            let found = via(text.as_bytes(), Span::new(0, text.len()));
            let found = found.map(|via| {
                let host = String::from_utf8_lossy(via.host.of(text.as_bytes())).into_owned();
                (host, via.port, via.rport_parameter.is_some())
            });
            let expected = expected.map(|(host, port, rport)| (host.to_owned(), port, rport));
            assert_eq!(found, expected, "{text}");
        };
        check("SIP/2.0/UDP [fe80::1%4]:5070;rport", Some(("[fe80::1%4]", Some(5070), true)));
        check("SIP/2.0/UDP [fe80::1%25eth0];branch=x", Some(("[fe80::1%25eth0]", None, false)));
        check("SIP/2.0/UDP h;branch=x;", Some(("h", None, false)));
        check("SIP/2.0/UDP h:5070;;rport ; ;branch=x", Some(("h", Some(5070), true)));
        check("SIP/2.0/UDP h:;rport", Some(("h", None, true)));
        check("SIP/2.0/UDP h: ", Some(("h", None, false)));
        check("SIP/2.0/UDP h;;,;,,", Some(("h", None, false)));
        check("SIP / 2.0 / UDP h,SIP/2.0/UDP i;rport", Some(("h", None, false)));
        check("SIP/2.0/UDP h;branch=\"x;rport", None);
        check("SIP/2.0/UDP h;branch=x y;rport", None);
        check("SIP/2.0/UDP h:port", None);
        check("SIP/2.0/UDP [fe80::1;rport", None);
        check("SIP/2.0/UDP [fe80::1 ];rport", None);
        check("SIP/2.0/UDP ;rport", None);
        check("SIP/2.0/UDP :5060;rport", None);
        check("SIP/2.0/UDP", None);
        check("UDP h;rport", None);
        check("", None);
    }
}
