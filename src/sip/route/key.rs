//! The key of a request: from its fields to the number that a pool's balance is asked with.
//!
//! Owns: which bytes of a message make a key. Knows nothing of backends.

use std::net::{IpAddr, SocketAddr};

use arrayvec::ArrayVec;

use super::domain::without_root;
use super::table::{KeySource, Pool};
use crate::sip::balance::kamailio::{self, KeyFrom};
use crate::sip::balance::{KeyUse, hash_key};
use crate::sip::message::lex::trim;
use crate::sip::message::uri::host_address;
use crate::sip::message::{FieldName, Message, Method, NameAddr, Scheme, Span, Uri};

/// Longer hosts are hashed as they are written; RFC 1035 names end at 255 bytes.
const HOST_BYTES_MAX: usize = 255;
/// Longer users are hashed as they are written, when they have escapes.
const USER_BYTES_MAX: usize = 256;

/// What keys are made from: the parts of a request that are read already.
#[derive(Debug, Clone, Copy)]
pub struct Keyed<'a> {
    /// The message.
    pub message: Message<'a>,
    /// Its method.
    pub method: Method,
    /// Its Request-URI.
    pub uri: Uri,
    /// Its From.
    pub from: NameAddr,
    /// Its To.
    pub to: NameAddr,
    /// Who sent it.
    pub source: SocketAddr,
}

impl Keyed<'_> {
    /// The number for `pool`; `None` when its balance wants no key, or the message has not what it is made from.
    #[must_use]
    pub fn number(&self, pool: &Pool) -> Option<u64> {
        match pool.balance.key_use() {
            KeyUse::None => None,
            KeyUse::Sip => self.sip(&pool.key),
            KeyUse::Kamailio(from) => self.kamailio(from, &pool.key).map(u64::from),
        }
    }

    fn sip(&self, source: &KeySource) -> Option<u64> {
        match source {
            KeySource::CallId => Some(hash_key(&[self.message.value(FieldName::CallId)])),
            KeySource::From => self.address_of_record(self.uri_in(self.from.uri)?),
            KeySource::To => self.address_of_record(self.uri_in(self.to.uri)?),
            KeySource::RequestUri => self.address_of_record(self.uri),
            KeySource::Aor if self.method == Method::Register => {
                self.address_of_record(self.uri_in(self.to.uri)?)
            }
            KeySource::Aor => self.address_of_record(self.uri),
            // An ACK has a To tag always, and the Request-URI of its INVITE (RFC 3261 17.1.1.3).
            KeySource::Presentity if self.to.tag.is_empty() || self.method == Method::Ack => {
                self.address_of_record(self.uri)
            }
            KeySource::Presentity => self.address_of_record(self.uri_in(self.to.uri)?),
            KeySource::AuthUser => self.auth_user().map(|user| hash_key(&[user])),
            KeySource::Source => Some(match self.source.ip() {
                IpAddr::V4(ip) => hash_key(&[&ip.octets()]),
                IpAddr::V6(ip) => hash_key(&[&ip.octets()]),
            }),
            KeySource::Header(name) => self.configured(name).map(|value| hash_key(&[value])),
        }
    }

    /// Kamailio's choice of strings, and its number.
    fn kamailio(&self, from: KeyFrom, source: &KeySource) -> Option<u32> {
        match from {
            KeyFrom::CallId => Some(kamailio::hash(&[self.message.value(FieldName::CallId)])),
            KeyFrom::FromUri => Some(self.kamailio_uri(self.uri_in(self.from.uri)?)),
            KeyFrom::ToUri => Some(self.kamailio_uri(self.uri_in(self.to.uri)?)),
            KeyFrom::RequestUri => Some(self.kamailio_uri(self.uri)),
            KeyFrom::AuthUser => self.auth_user().map(|user| kamailio::hash(&[user])),
            KeyFrom::Configured => match source {
                KeySource::Header(name) => self.configured(name).map(|v| kamailio::hash(&[v])),
                KeySource::CallId => Some(kamailio::hash(&[self.message.value(FieldName::CallId)])),
                _ => None,
            },
        }
    }

    /// User as written, host and port as written unless the port is the default; 0 becomes 1.
    fn kamailio_uri(&self, uri: Uri) -> u32 {
        let bytes = self.message.bytes;
        let default_port = if uri.scheme == Scheme::Sips { 5061 } else { 5060 };
        let host =
            if uri.port.is_none_or(|p| p == default_port) { uri.host } else { uri.host_port };
        kamailio::hash(&[uri.user.of(bytes), host.of(bytes)]).max(1)
    }

    /// User and host by value (RFC 3261 19.1.4): see [`user_value`] and [`host_value`]; no port, no parameters. `tel` numbers
    /// have no host.
    fn address_of_record(&self, uri: Uri) -> Option<u64> {
        let bytes = self.message.bytes;
        let (user, host) = match uri.scheme {
            Scheme::Sip | Scheme::Sips | Scheme::Tel => (uri.user.of(bytes), uri.host.of(bytes)),
            Scheme::Urn | Scheme::Other => (uri.whole.of(bytes), &[][..]),
        };
        let mut user_buffer = ArrayVec::new();
        let mut host_buffer = ArrayVec::new();
        let user = user_value(user, &mut user_buffer);
        Some(hash_key(&[user, host_value(host, &mut host_buffer)]))
    }

    fn uri_in(&self, span: Span) -> Option<Uri> {
        Uri::parse(self.message.bytes, span).ok()
    }

    fn configured(&self, name: &str) -> Option<&[u8]> {
        self.message.named(name).filter(|value| !value.is_empty())
    }

    /// The digest username before any `@`; Proxy-Authorization wins.
    fn auth_user(&self) -> Option<&[u8]> {
        let names = [FieldName::ProxyAuthorization, FieldName::Authorization];
        let field = names.into_iter().find_map(|name| self.message.field(name))?;
        let username = digest_username(self.message.bytes, field.value)?;
        username.split(|&b| b == b'@').next().filter(|user| !user.is_empty())
    }
}

/// The user with each escape undone that says the same as its character (RFC 3261 19.1.4). Reserved characters (RFC 2396
/// 2.2) and the percent sign stay escaped, in upper case. A user beyond the buffer stays as it is written.
fn user_value<'b>(user: &'b [u8], buffer: &'b mut ArrayVec<u8, USER_BYTES_MAX>) -> &'b [u8] {
    if !user.contains(&b'%') || user.len() > USER_BYTES_MAX {
        return user;
    }
    let mut rest = user;
    while let [first, behind @ ..] = rest {
        let escaped = match rest {
            [b'%', high, low, ..] => hex_byte(*high, *low),
            _ => None,
        };
        match escaped {
            Some(byte) if b";/?:@&=+$,%".contains(&byte) => {
                let digits = rest[1..3].iter().map(u8::to_ascii_uppercase);
                buffer.extend(std::iter::once(b'%').chain(digits));
            }
            Some(byte) => buffer.push(byte),
            None => buffer.push(*first),
        }
        rest = if escaped.is_some() { &rest[3..] } else { behind };
    }
    buffer
}

fn hex_byte(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

/// The host in lower case without a root dot, an IPv6 address as its 16 bytes. A host beyond the buffer stays as it is
/// written.
fn host_value<'b>(host: &'b [u8], buffer: &'b mut ArrayVec<u8, HOST_BYTES_MAX>) -> &'b [u8] {
    let host = without_root(host);
    let ipv6 = if host.first() == Some(&b'[') { host_address(host) } else { None };
    let copied = match ipv6 {
        Some(IpAddr::V6(ip)) => buffer.try_extend_from_slice(&ip.octets()),
        _ => buffer.try_extend_from_slice(host),
    };
    if copied.is_err() {
        return host;
    }
    if ipv6.is_none() {
        buffer.make_ascii_lowercase();
    }
    buffer
}

/// The value of `username` in `Digest a="b", c=d` without its quotes.
fn digest_username(bytes: &[u8], value: Span) -> Option<&[u8]> {
    let mut cursor = crate::sip::message::lex::Cursor::new(bytes, value);
    cursor.skip_blanks();
    if !cursor.token().ok()?.of(bytes).eq_ignore_ascii_case(b"Digest") {
        return None;
    }
    cursor.skip_blanks();
    loop {
        let parameter = cursor.parameter().ok()?;
        if parameter.name.of(bytes).eq_ignore_ascii_case(b"username") {
            let value = trim(bytes, parameter.value).of(bytes);
            return Some(
                value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value),
            );
        }
        if !cursor.eat_separator(b',') {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_compared_by_value() {
        for (written, expected) in [
            ("bob", "bob"),
            ("%62ob", "bob"),
            ("b%6Fb", "bob"),
            ("b%6fb", "bob"),
            ("Bob", "Bob"),
            ("a%40b", "a%40b"),
            ("a%3bb", "a%3Bb"),
            ("a%3Bb", "a%3Bb"),
            ("a%2540", "a%2540"),
            ("%7e%23", "~#"),
            ("100%", "100%"),
            ("a%4", "a%4"),
            ("a%zz", "a%zz"),
            ("%%62", "%b"),
        ] {
            let mut buffer = ArrayVec::new();
            let found = user_value(written.as_bytes(), &mut buffer);
            assert_eq!(std::str::from_utf8(found), Ok(expected), "{written}");
        }
        let long = "%62".repeat(USER_BYTES_MAX);
        assert_eq!(user_value(long.as_bytes(), &mut ArrayVec::new()), long.as_bytes());
        let most = "%40".repeat(USER_BYTES_MAX / 3);
        assert_eq!(user_value(most.as_bytes(), &mut ArrayVec::new()), most.as_bytes());
    }

    #[test]
    fn hosts_are_compared_by_value() {
        let value = |host: &str| host_value(host.as_bytes(), &mut ArrayVec::new()).to_vec();
        assert_eq!(value("Example.COM."), b"example.com");
        assert_eq!(value("[2001:DB8::1]"), value("[2001:db8:0:0:0:0:0:1]"));
        assert_ne!(value("[2001:db8::1]"), value("[2001:db8::2]"));
        assert_eq!(value("192.0.2.1"), b"192.0.2.1");
    }
}
