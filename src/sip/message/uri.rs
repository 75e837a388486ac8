//! A URI: scheme, and for `sip` and `sips` user, host, port and parameters (RFC 3261 19.1, 25.1).
//!
//! Other schemes are opaque here. Nothing is unescaped and nothing folded.

use std::net::{IpAddr, Ipv4Addr};

use super::class::{HOST, PLAIN_PARAMETERS, PLAIN_USER, SCHEME, TOKEN, URI};
use super::lex::{Cursor, Malformed, Span, offset, short_number};

/// The schemes that we know what to do with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// RFC 3261.
    Sip,
    /// RFC 3261.
    Sips,
    /// RFC 3966: telephone numbers.
    Tel,
    /// RFC 5031: emergency services.
    Urn,
    /// Not understood: 416 as a Request-URI.
    Other,
}

/// Where the parts of a URI are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uri {
    /// The whole.
    pub whole: Span,
    /// Its scheme.
    pub scheme: Scheme,
    /// The user part without password; for `tel`, the number. Empty when there is none.
    pub user: Span,
    /// `user[:password]@` was there, even if empty.
    pub has_user: bool,
    /// The host; IPv6 with its brackets. Empty for `tel` and opaque schemes.
    pub host: Span,
    /// The port as written.
    pub port: Option<u32>,
    /// `host[:port]` as written.
    pub host_port: Span,
    /// Parameters, from the first semicolon to the `?` or the end.
    pub parameters: Span,
}

impl Uri {
    /// Reads the URI that fills `span`.
    ///
    /// # Errors
    /// When it has no scheme, or is `sip`/`sips` and breaks its grammar.
    #[inline]
    pub fn parse(bytes: &[u8], span: Span) -> Result<Self, Malformed> {
        match Self::usual(bytes, span) {
            Some(usual) => Ok(usual),
            None => Self::any(bytes, span),
        }
    }

    /// `sip:[user@]host[:port][;parameters]` with nothing unusual in user and host: 240 instructions of a typical INVITE
    /// (`make instructions`). What it accepts, it reads as [`Uri::any`] does: a test compares the two.
    #[inline]
    fn usual(bytes: &[u8], span: Span) -> Option<Self> {
        let (start, end) = (usize::from(span.start) + b"sip:".len(), usize::from(span.end));
        let uri = bytes.get(..end)?;
        if uri.get(usize::from(span.start)..start)? != b"sip:" {
            return None;
        }
        let first_end = PLAIN_USER.run_end(bytes, start, end);
        let has_user = uri.get(first_end) == Some(&b'@');
        let host_start = if has_user { first_end + 1 } else { start };
        let host_end = HOST.run_end(bytes, host_start, end);
        if host_end == host_start || (has_user && first_end == start) {
            return None;
        }
        let mut at = host_end;
        let mut port = None;
        if uri.get(at) == Some(&b':') {
            let (number, behind) = short_number(bytes, at + 1, end)?;
            port = Some(number);
            at = behind;
        }
        let parameters = Span::new(at, end);
        if at < end && (uri[at] != b';' || !is_plain(bytes, parameters)) {
            return None;
        }
        Some(Self {
            whole: span,
            scheme: Scheme::Sip,
            user: Span::new(start, if has_user { first_end } else { start }),
            has_user,
            host: Span::new(host_start, host_end),
            port,
            host_port: Span::new(host_start, at),
            parameters,
        })
    }

    /// In any spelling that the grammar allows.
    fn any(bytes: &[u8], span: Span) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(bytes, span);
        let scheme =
            if cursor.eat_text(b"sip:") { Scheme::Sip } else { other_scheme(bytes, &mut cursor)? };
        let rest = Span { start: offset(cursor.at()), end: span.end };
        let nothing = Span { start: rest.start, end: rest.start };
        let mut uri = Self {
            whole: span,
            scheme,
            user: nothing,
            has_user: false,
            host: nothing,
            port: None,
            host_port: nothing,
            parameters: Span { start: span.end, end: span.end },
        };
        match uri.scheme {
            Scheme::Sip | Scheme::Sips => uri.parse_sip(bytes, rest)?,
            Scheme::Tel => {
                let number_end = rest.of(bytes).iter().position(|&b| b == b';');
                let end = number_end.map_or(usize::from(rest.end), |n| usize::from(rest.start) + n);
                uri.user = Span::new(usize::from(rest.start), end);
                uri.parameters = Span::new(end, usize::from(rest.end));
            }
            Scheme::Urn | Scheme::Other => {}
        }
        if URI.run_end(bytes, usize::from(rest.start), usize::from(rest.end))
            < usize::from(rest.end)
        {
            return Err(Malformed { at: rest.start });
        }
        Ok(uri)
    }

    fn parse_sip(&mut self, bytes: &[u8], rest: Span) -> Result<(), Malformed> {
        let mut start = usize::from(rest.start);
        if let Some(at) = memchr::memchr(b'@', rest.of(bytes)) {
            let userinfo = Span::new(start, start + at);
            let colon = userinfo.of(bytes).iter().position(|&b| b == b':');
            self.user = Span::new(start, colon.map_or(start + at, |n| start + n));
            self.has_user = true;
            if self.user.is_empty() {
                return Err(Malformed { at: offset(start) });
            }
            start += at + 1;
        }
        let mut cursor = Cursor::new(bytes, Span { start: offset(start), end: rest.end });
        self.host = cursor.host()?;
        if cursor.eat(b':') {
            self.port = Some(cursor.number()?);
        }
        self.host_port = Span::new(start, cursor.at());
        let parameters = cursor.at();
        match cursor.peek() {
            None | Some(b'?' | b';') => {}
            Some(_) => return Err(cursor.malformed()),
        }
        let end = cursor.take_until(b'?').end;
        self.parameters = Span { start: offset(parameters), end };
        Ok(())
    }

    /// The value of a parameter (names in any case): `Some(empty)` when it has no value.
    #[must_use]
    pub fn parameter<'a>(&self, bytes: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
        self.parameters.of(bytes).split(|&b| b == b';').skip(1).find_map(|parameter| {
            let name_end = parameter.iter().position(|&b| b == b'=').unwrap_or(parameter.len());
            let (found, value) = parameter.split_at(name_end);
            found.eq_ignore_ascii_case(name).then(|| value.get(1..).unwrap_or_default())
        })
    }

    /// It has the `lr` parameter: a loose router (RFC 3261 16.12).
    #[must_use]
    pub fn is_loose(&self, bytes: &[u8]) -> bool {
        self.parameter(bytes, b"lr").is_some()
    }

    /// The host as an address, when it is one.
    #[must_use]
    pub fn address(&self, bytes: &[u8]) -> Option<IpAddr> {
        host_address(self.host.of(bytes))
    }
}

/// Parameters without `@` and `?`, which would make them something else.
#[inline]
fn is_plain(bytes: &[u8], parameters: Span) -> bool {
    let end = usize::from(parameters.end);
    PLAIN_PARAMETERS.run_end(bytes, usize::from(parameters.start), end) == end
}

/// Any scheme with its colon, in any case.
fn other_scheme(bytes: &[u8], cursor: &mut Cursor<'_>) -> Result<Scheme, Malformed> {
    let name = cursor.take_run(&SCHEME).of(bytes);
    let starts_well = name.first().is_some_and(u8::is_ascii_alphabetic);
    if !starts_well || !cursor.eat(b':') {
        return Err(cursor.malformed());
    }
    Ok(match name {
        n if n.eq_ignore_ascii_case(b"sip") => Scheme::Sip,
        n if n.eq_ignore_ascii_case(b"sips") => Scheme::Sips,
        n if n.eq_ignore_ascii_case(b"tel") => Scheme::Tel,
        n if n.eq_ignore_ascii_case(b"urn") => Scheme::Urn,
        _ => Scheme::Other,
    })
}

/// A host as an IP address: IPv4, IPv6 in brackets, or IPv6 bare (RFC 5118 4.5 has it in `received`).
#[must_use]
pub fn host_address(host: &[u8]) -> Option<IpAddr> {
    let inner = host.strip_prefix(b"[").and_then(|h| h.strip_suffix(b"]")).unwrap_or(host);
    if let Some(ip) = ipv4(inner) {
        return Some(IpAddr::V4(ip));
    }
    // Only IPv6 is left, and it has a colon among its first five bytes; names go no further.
    if !inner.iter().take(5).any(|&b| b == b':') {
        return None;
    }
    std::str::from_utf8(inner).ok()?.parse().ok()
}

/// Four decimal octets without leading zeros. The parser of the standard library does the same in ten times the
/// instructions, and this runs several times a message.
fn ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    let mut octets = [0_u8; 4];
    let mut place = 0;
    let mut digits = 0;
    for &byte in text {
        match byte {
            b'0'..=b'9' if digits == 0 || octets[place] != 0 => {
                octets[place] = octets[place].checked_mul(10)?.checked_add(byte - b'0')?;
                digits += 1;
            }
            b'.' if digits > 0 && place < 3 => {
                place += 1;
                digits = 0;
            }
            _ => return None,
        }
    }
    (place == 3 && digits > 0).then(|| Ipv4Addr::from(octets))
}

/// A method name, an option tag, a parameter name: all of it token characters, at least one.
#[must_use]
pub fn is_all_token(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|&b| TOKEN.has(b))
}

#[cfg(test)]
mod tests {
    use super::super::tests::changed;
    use super::*;

    #[test]
    fn the_usual_spelling_is_read_as_any_other() {
        let values = [
            "sip:bob@example.com",
            "sip:+15551234567@192.0.2.1:5060;transport=udp;user=phone",
            "sip:example.com",
            "sip:example.com:5070",
            "sip:example.com;lr",
            "sip:+1@b",
            "sip:+1",
            "sip:@b",
            "sip:a:secret@b",
            "sip:a;x=y@b",
            "sip:example.com:1@b",
            "sip:example.com;p@b",
            "sip:a@b?subject=x",
            "sip:a@b;x?y",
            "sip:a@b:123456",
            "sip:a@b:",
            "sip:a@b,c",
            "sip:a@b c",
            "SIP:a@b",
            "sips:a@b",
            "sip:a@[::1]",
            "tel:+1",
        ];
        let mut usual = 0;
        for value in values {
            for value in changed(value) {
                let span = Span::new(0, value.len());
                if let Some(found) = Uri::usual(&value, span) {
                    usual += 1;
                    assert_eq!(Uri::any(&value, span), Ok(found), "{}", value.escape_ascii());
                }
            }
        }
        assert!(usual > 60, "the usual spelling was met {usual} times");
    }
}
