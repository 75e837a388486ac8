//! What was found in a message, for `explain`.
//!
//! Owns: which fields are shown and how bytes become text. Judges nothing.

use std::fmt::{self, Write};

use crate::sip::balance::KeyUse;
use crate::sip::balance::kamailio::KeyFrom;
use crate::sip::message::index::ParseError;
use crate::sip::message::{Field, FieldName, Malformed, Message, Method, Span, StartLine};
use crate::sip::route::table::{KeySource, Pool};

use super::key_text;

/// Longer values are cut.
const VALUE_CHARS_MAX: usize = 120;

pub(super) fn tell(
    out: &mut String,
    message: &Message<'_>,
    error: Option<ParseError>,
) -> fmt::Result {
    writeln!(out, "\nfields")?;
    if let Some(error) = error {
        writeln!(out, "  broken       {}", error_text(error))?;
    }
    if error == Some(ParseError::NotSip) {
        return Ok(());
    }
    match message.start_line() {
        StartLine::Request { method, uri, .. } => {
            line(out, "method", method.of(message.bytes))?;
            line(out, "Request-URI", uri.of(message.bytes))?;
        }
        StartLine::Status { code } => writeln!(out, "  status       {code}")?,
    }
    for name in SHOWN {
        for field in message.index.all(name) {
            let label = if name == FieldName::Via { "Via" } else { name.label() };
            line(out, label, field.value.of(message.bytes))?;
        }
    }
    tell_unreadable(out, message)?;
    let body = message.body().len();
    if body > 0 {
        writeln!(out, "  body         {body} bytes")?;
    }
    Ok(())
}

/// The first byte that breaks the grammar in what a proxy reads, and what stands there.
fn tell_unreadable(out: &mut String, message: &Message<'_>) -> fmt::Result {
    let vias = message.vias().find_map(Result::err);
    let routes = message.name_addrs(FieldName::Route).find_map(Result::err);
    let single = |name: FieldName| message.field(name).and_then(|_| message.name_addr(name).err());
    let cseq = message.field(FieldName::CSeq).and_then(|_| message.cseq().err());
    let number = |name: FieldName| message.number(name).and_then(Result::err);
    let found = [
        (FieldName::Via, vias),
        (FieldName::Route, routes),
        (FieldName::From, single(FieldName::From)),
        (FieldName::To, single(FieldName::To)),
        (FieldName::CSeq, cseq),
        (FieldName::MaxForwards, number(FieldName::MaxForwards)),
        (FieldName::ContentLength, number(FieldName::ContentLength)),
    ];
    for (name, Malformed { at }) in found.into_iter().filter_map(|(name, at)| Some((name, at?))) {
        let ends_before = |field: &&Field| field.value.end < at;
        let field = message.index.all(name).find(|field| !ends_before(field));
        let end = field.map_or(at, |field| field.value.end);
        let rest = text(Span { start: at.min(end), end }.of(message.bytes));
        let rest = if rest.is_empty() { "its end".to_owned() } else { rest };
        writeln!(out, "  unreadable   {} from byte {at} on: {rest}", name.label())?;
    }
    Ok(())
}

fn error_text(error: ParseError) -> &'static str {
    match error {
        ParseError::NotSip => "the first line is neither a request line nor a status line",
        ParseError::BadStatusLine(_) => "the status line",
        ParseError::BadRequestLine(_) => "the request line",
        ParseError::BadField(_) => "a line among the fields that is none",
        ParseError::TooManyFields => "more fields than are read",
        ParseError::StrayByte => "a CR without LF, or a NUL",
        ParseError::NoEndOfFields => "no empty line ends the fields",
    }
}

/// In the order of RFC 3261 20: what decides first.
const SHOWN: [FieldName; 11] = [
    FieldName::Via,
    FieldName::MaxForwards,
    FieldName::Route,
    FieldName::RecordRoute,
    FieldName::Path,
    FieldName::From,
    FieldName::To,
    FieldName::CallId,
    FieldName::CSeq,
    FieldName::Contact,
    FieldName::ProxyRequire,
];

fn line(out: &mut String, label: &str, value: &[u8]) -> fmt::Result {
    writeln!(out, "  {label:<12} {}", text(value))
}

/// Bytes for a terminal: folded lines on one, nothing that moves the cursor.
pub(super) fn text(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    let words = text.split(['\r', '\n', '\t']).map(str::trim).filter(|word| !word.is_empty());
    let words: Vec<&str> = words.collect();
    let text = words.join(" ");
    let visible = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    let mut shown: String = visible.take(VALUE_CHARS_MAX).collect();
    if text.chars().count() > VALUE_CHARS_MAX {
        shown.push_str("..");
    }
    shown
}

/// Where the key of a pool comes from, and what stands there.
pub(super) fn key_value(message: &Message<'_>, pool: &Pool) -> String {
    let request_uri = || match message.start_line() {
        StartLine::Request { uri, .. } => uri.of(message.bytes),
        StartLine::Status { .. } => b"",
    };
    let method = match message.start_line() {
        StartLine::Request { method, .. } => Method::from_bytes(method.of(message.bytes)),
        StartLine::Status { .. } => Method::Other,
    };
    let is_register = method == Method::Register;
    let credentials = || match message.value(FieldName::ProxyAuthorization) {
        b"" => message.value(FieldName::Authorization),
        value => value,
    };
    let to_tag = message.name_addr(FieldName::To).is_ok_and(|to| !to.tag.is_empty());
    let is_ack = method == Method::Ack;
    let source = match pool.balance.key_use() {
        KeyUse::None => return "none".to_owned(),
        KeyUse::Sip | KeyUse::Kamailio(KeyFrom::Configured) => pool.key.clone(),
        KeyUse::Kamailio(KeyFrom::CallId) => KeySource::CallId,
        KeyUse::Kamailio(KeyFrom::FromUri) => KeySource::From,
        KeyUse::Kamailio(KeyFrom::ToUri) => KeySource::To,
        KeyUse::Kamailio(KeyFrom::RequestUri) => KeySource::RequestUri,
        KeyUse::Kamailio(KeyFrom::AuthUser) => KeySource::AuthUser,
    };
    let value = match &source {
        KeySource::CallId => message.value(FieldName::CallId),
        KeySource::From => message.value(FieldName::From),
        KeySource::To => message.value(FieldName::To),
        KeySource::RequestUri => request_uri(),
        KeySource::Aor if is_register => message.value(FieldName::To),
        KeySource::Aor => request_uri(),
        KeySource::Presentity if to_tag && !is_ack => message.value(FieldName::To),
        KeySource::Presentity => request_uri(),
        KeySource::AuthUser => credentials(),
        KeySource::Source => return "source: the sender's address".to_owned(),
        KeySource::Header(name) => message.named(name).unwrap_or_default(),
    };
    format!("{}: {}", key_text(&source), text(value))
}
