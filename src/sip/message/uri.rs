//! A URI: scheme, and for `sip` and `sips` user, host, port and parameters (RFC 3261 19.1, 25.1).
//!
//! Other schemes are opaque here. Nothing is unescaped and nothing folded.

use std::net::{IpAddr, Ipv4Addr};

use super::class::{SCHEME, TOKEN, URI};
use super::lex::{Cursor, Malformed, Span, offset};

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
    pub fn parse(bytes: &[u8], span: Span) -> Result<Self, Malformed> {
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
