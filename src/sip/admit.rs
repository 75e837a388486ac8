//! May it come in: the sanity of a request (RFC 3261 16.3), as far as a proxy has to care.
//!
//! Owns: which fields must be there once, and their grammar. Knows no next hop. A refusal is a status and the field to
//! blame; the answer itself is written elsewhere.

use super::Unit;
use super::message::{
    CSeq, FieldName, FieldSet, Message, Method, NameAddr, Scheme, Span, StartLine, Uri, Via, Vias,
};

/// Larger values are no hop count (RFC 3261 20.22).
const MAX_FORWARDS_MAX: u32 = 255;

/// What a proxy reads of every request.
#[derive(Debug, Clone)]
pub struct Head<'a> {
    /// The method.
    pub method: Method,
    /// The method as written: what tells extension methods apart.
    pub method_name: Span,
    /// The Request-URI.
    pub uri: Uri,
    /// The top Via.
    pub via: Via,
    /// The Vias below it.
    pub vias_below: Vias<'a>,
    /// From.
    pub from: NameAddr,
    /// To.
    pub to: NameAddr,
    /// CSeq.
    pub cseq: CSeq,
    /// Max-Forwards, if there is one.
    pub max_forwards: Option<u32>,
    /// Where the message ends: bytes behind it do not belong to it (RFC 3261 18.3).
    pub content_end: usize,
}

/// Why a request is not let in: the answer it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The status of the answer.
    pub status: u16,
    /// The reason phrase, in front of the field's name if there is one.
    pub reason: &'static str,
    /// The field to blame.
    pub field: Option<FieldName>,
}

impl Refusal {
    /// With a phrase that says it all.
    #[must_use]
    pub const fn new(status: u16, reason: &'static str) -> Self {
        Self { status, reason, field: None }
    }

    const fn field(reason: &'static str, field: FieldName) -> Self {
        Self { status: 400, reason, field: Some(field) }
    }

    /// 400 with `Bad` and the field.
    #[must_use]
    pub const fn bad(field: FieldName) -> Self {
        Self::field("Bad", field)
    }
}

/// Reads the head of a request with this method.
///
/// # Errors
/// With the answer that it gets (RFC 3261 16.3 steps 1 to 3, 8.2.2, 18.3).
pub fn head<'a>(message: &Message<'a>, unit: Unit, method: Method) -> Result<Head<'a>, Refusal> {
    let bytes = message.bytes;
    let StartLine::Request { method: method_name, uri, version } = message.start_line() else {
        return Err(Refusal::new(400, "Bad Request Line"));
    };
    let version = version.of(bytes);
    if version != b"SIP/2.0" && !version.eq_ignore_ascii_case(b"SIP/2.0") {
        return Err(Refusal::new(505, "Version Not Supported"));
    }
    required_once(message)?;
    let (via, vias_below) = match message.top_via() {
        Ok((via, below)) if port_is_usable(via.port) => (via, below),
        _ => return Err(Refusal::bad(FieldName::Via)),
    };
    let cseq = message.cseq().map_err(|_| Refusal::bad(FieldName::CSeq))?;
    if cseq.method.of(bytes) != method_name.of(bytes) {
        return Err(Refusal::new(400, "CSeq Method Does Not Match"));
    }
    let from = name_addr(message, FieldName::From)?;
    let to = name_addr(message, FieldName::To)?;
    let content_end =
        content_end(message, unit).map_err(|_| Refusal::bad(FieldName::ContentLength))?;
    let max_forwards = match message.number(FieldName::MaxForwards) {
        None => None,
        Some(Ok(hops)) if hops <= MAX_FORWARDS_MAX => Some(hops),
        Some(_) => return Err(Refusal::bad(FieldName::MaxForwards)),
    };
    let uri = request_uri(bytes, uri)?;
    Ok(Head {
        method,
        method_name,
        uri,
        via,
        vias_below,
        from,
        to,
        cseq,
        max_forwards,
        content_end,
    })
}

/// RFC 3261 16.3 step 2: 416 for a scheme that we do not understand.
fn request_uri(bytes: &[u8], span: Span) -> Result<Uri, Refusal> {
    const BAD: Refusal = Refusal::new(400, "Bad Request-URI");
    let uri = Uri::parse(bytes, span).map_err(|_| BAD)?;
    match uri.scheme {
        Scheme::Other => Err(Refusal::new(416, "Unsupported URI Scheme")),
        // RFC 3261 19.1.1: no headers in a Request-URI.
        _ if uri.parameters.end < span.end => Err(BAD),
        _ if !port_is_usable(uri.port) => Err(BAD),
        _ => Ok(uri),
    }
}

fn name_addr(message: &Message<'_>, name: FieldName) -> Result<NameAddr, Refusal> {
    message.name_addr(name).map_err(|_| Refusal::bad(name))
}

/// No port, or one that a datagram can be sent to.
#[must_use]
pub fn port_is_usable(port: Option<u32>) -> bool {
    port.is_none_or(|port| (1..=65_535).contains(&port))
}

/// What every request has (RFC 3261 8.1.1).
const REQUIRED: [FieldName; 5] =
    [FieldName::Via, FieldName::CallId, FieldName::CSeq, FieldName::From, FieldName::To];

/// Fields of one value, which may be there once.
const SINGLE: [FieldName; 6] = [
    FieldName::CallId,
    FieldName::CSeq,
    FieldName::From,
    FieldName::To,
    FieldName::MaxForwards,
    FieldName::ContentLength,
];

/// What every request has is there, and nothing twice that may be there once.
fn required_once(message: &Message<'_>) -> Result<(), Refusal> {
    const ALL_REQUIRED: FieldSet = FieldSet::of(&REQUIRED);
    let present = message.index.present();
    if !present.has_all(ALL_REQUIRED)
        && let Some(name) = REQUIRED.into_iter().find(|&name| !present.has(name))
    {
        return Err(Refusal::field("Missing", name));
    }
    match duplicate(message) {
        Some(name) => Err(Refusal::field("Duplicate", name)),
        None if message.value(FieldName::CallId).is_empty() => Err(Refusal::bad(FieldName::CallId)),
        None => Ok(()),
    }
}

/// A field of one value that is there more than once.
#[must_use]
pub fn duplicate(message: &Message<'_>) -> Option<FieldName> {
    const ALL_SINGLE: FieldSet = FieldSet::of(&SINGLE);
    let repeated = message.index.repeated();
    if !repeated.has_any(ALL_SINGLE) {
        return None;
    }
    SINGLE.into_iter().find(|&name| repeated.has(name))
}

/// Content-Length does not fit the datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadContentLength;

/// Where the content ends: by Content-Length if there is one, else with the datagram (RFC 3261 18.3).
///
/// # Errors
/// When Content-Length is no number or promises more than came.
pub fn content_end(message: &Message<'_>, unit: Unit) -> Result<usize, BadContentLength> {
    let size = message.bytes.len();
    match message.number(FieldName::ContentLength) {
        None if unit == Unit::Framed => Err(BadContentLength),
        None => Ok(size),
        Some(Ok(length)) => usize::try_from(length)
            .ok()
            .and_then(|length| message.body_start().checked_add(length))
            .filter(|&end| end <= size)
            .ok_or(BadContentLength),
        Some(Err(_)) => Err(BadContentLength),
    }
}
