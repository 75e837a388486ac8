//! The key of a request: from its fields to the number that a pool's balance is asked with.
//!
//! Owns: which bytes of a message make a key. Knows nothing of backends.

use std::net::{IpAddr, SocketAddr};

use arrayvec::ArrayVec;

use super::table::{KeySource, Pool};
use crate::sip::balance::kamailio::{self, KeyFrom};
use crate::sip::balance::{KeyUse, hash_key};
use crate::sip::message::lex::trim;
use crate::sip::message::{FieldName, Message, Method, NameAddr, Scheme, Span, Uri};

/// Longer hosts are hashed as they are written; RFC 1035 names end at 255 bytes.
const HOST_BYTES_MAX: usize = 255;

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
            KeySource::Presentity if self.to.tag.is_empty() => self.address_of_record(self.uri),
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

    /// User as written, host in lower case; no port, no parameters. `tel` numbers have no host.
    fn address_of_record(&self, uri: Uri) -> Option<u64> {
        let bytes = self.message.bytes;
        let (user, host) = match uri.scheme {
            Scheme::Sip | Scheme::Sips | Scheme::Tel => (uri.user.of(bytes), uri.host.of(bytes)),
            Scheme::Urn | Scheme::Other => (uri.whole.of(bytes), &[][..]),
        };
        let mut lower = ArrayVec::<u8, HOST_BYTES_MAX>::new();
        if lower.try_extend_from_slice(host).is_err() {
            return Some(hash_key(&[user, host]));
        }
        lower.make_ascii_lowercase();
        Some(hash_key(&[user, &lower]))
    }

    fn uri_in(&self, span: Span) -> Option<Uri> {
        Uri::parse(self.message.bytes, span).ok()
    }

    fn configured(&self, name: &str) -> Option<&[u8]> {
        self.message.slow_value(name.as_bytes()).filter(|value| !value.is_empty())
    }

    /// The digest username before any `@`; Proxy-Authorization wins.
    fn auth_user(&self) -> Option<&[u8]> {
        let names = [FieldName::ProxyAuthorization, FieldName::Authorization];
        let field = names.into_iter().find_map(|name| self.message.field(name))?;
        let username = digest_username(self.message.bytes, field.value)?;
        username.split(|&b| b == b'@').next().filter(|user| !user.is_empty())
    }
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
