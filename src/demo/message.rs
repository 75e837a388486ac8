//! The SIP of the demo's phones and backends: reading a message by lines, writing requests and responses.
//!
//! Deliberately not built on [`crate::sip::message`]: what the edge wrote is read here with other eyes, so
//! that a mistake there cannot hide itself. Reads only what the demo needs: no folding, no compact forms.

use std::fmt::Write as _;
use std::net::SocketAddr;

/// A message, split into lines. A view: it judges nothing beyond that.
#[derive(Debug)]
pub(super) struct Message<'a> {
    start_line: &'a str,
    fields: Vec<(&'a str, &'a str)>,
    body: &'a str,
}

impl<'a> Message<'a> {
    /// Splits a datagram; `None` when it is not a head of `name: value` lines that ends with an empty line.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let start_line = lines.next()?;
        let fields = lines
            .map(|line| line.split_once(':').map(|(name, value)| (name.trim(), value.trim())))
            .collect::<Option<Vec<_>>>()?;
        Some(Self { start_line, fields, body })
    }

    /// The status code of a response.
    pub(super) fn status(&self) -> Option<u16> {
        self.start_line.strip_prefix("SIP/2.0 ")?.split(' ').next()?.parse().ok()
    }

    /// The method of a request.
    pub(super) fn method(&self) -> Option<&'a str> {
        let (method, rest) = self.start_line.split_once(' ')?;
        rest.ends_with(" SIP/2.0").then_some(method)
    }

    /// The values of all fields with this name, in order.
    pub(super) fn fields(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.fields
            .iter()
            .filter(move |(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
    }

    /// The first field with this name.
    pub(super) fn field(&self, name: &str) -> Option<&'a str> {
        self.fields(name).next()
    }

    /// Number and method of the CSeq.
    pub(super) fn cseq(&self) -> Option<(u32, &'a str)> {
        let (number, method) = self.field("CSeq")?.split_once(' ')?;
        Some((number.parse().ok()?, method.trim()))
    }

    /// The body is as long as Content-Length says.
    pub(super) fn body_is_whole(&self) -> bool {
        self.field("Content-Length").and_then(|length| length.parse().ok()) == Some(self.body.len())
    }

    /// The values of a field whose values may share a line (Via, Route, Record-Route), in order.
    pub(super) fn values(&self, name: &str) -> Vec<&'a str> {
        // A comma within <> belongs to the URI. The demo writes no quoted strings.
        let mut values = Vec::new();
        for line in self.fields(name) {
            let (mut start, mut within) = (0, false);
            for (index, byte) in line.bytes().enumerate() {
                match byte {
                    b'<' => within = true,
                    b'>' => within = false,
                    b',' if !within => {
                        values.push(line[start..index].trim());
                        start = index + 1;
                    }
                    _ => {}
                }
            }
            values.push(line[start..].trim());
        }
        values
    }
}

/// The value of `;name=value` in a field value or URI.
pub(super) fn parameter<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    value.split(';').skip(1).find_map(|parameter| {
        let (found, rest) = parameter.split_once('=')?;
        found.trim().eq_ignore_ascii_case(name).then(|| rest.trim().trim_end_matches('>'))
    })
}

/// The URI of a name-addr: what stands between the angle brackets.
pub(super) fn uri_of(value: &str) -> Option<&str> {
    let (_, rest) = value.split_once('<')?;
    Some(rest.split_once('>')?.0)
}

/// The address of a SIP URI whose host is an IP address with a port.
pub(super) fn address_of(uri: &str) -> Option<SocketAddr> {
    let rest = uri.strip_prefix("sip:")?;
    let rest = rest.split(';').next()?;
    rest.rsplit('@').next()?.parse().ok()
}

/// A session description, so that the messages have the size of real ones. Its media go nowhere.
pub(super) fn session_description(number: u64) -> String {
    format!(
        "v=0\r\no=- {number} 1 IN IP4 127.0.0.1\r\ns=sipedge demo\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio 40000 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
    )
}

/// Writes a message line by line.
#[derive(Debug)]
pub(super) struct Writer(String);

impl Writer {
    /// Starts a request.
    pub(super) fn request(method: &str, uri: &str) -> Self {
        Self(format!("{method} {uri} SIP/2.0\r\n"))
    }

    /// Starts the response to `request`: status line, and the fields that RFC 3261 8.2.6.2 says to copy.
    pub(super) fn response(status: u16, reason: &str, request: &Message<'_>, to_tag: &str) -> Self {
        let mut writer = Self(format!("SIP/2.0 {status} {reason}\r\n"));
        for via in request.fields("Via") {
            writer.push("Via", via);
        }
        let to = request.field("To").unwrap_or_default();
        writer.push("From", request.field("From").unwrap_or_default());
        if to.contains(";tag=") {
            writer.push("To", to);
        } else {
            writer.push("To", format_args!("{to};tag={to_tag}"));
        }
        writer.push("Call-ID", request.field("Call-ID").unwrap_or_default());
        writer.push("CSeq", request.field("CSeq").unwrap_or_default());
        writer
    }

    /// Adds a field.
    pub(super) fn field(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.push(name, value);
        self
    }

    /// Adds a field for each value.
    pub(super) fn fields<'v>(
        mut self,
        name: &str,
        values: impl IntoIterator<Item = &'v str>,
    ) -> Self {
        for value in values {
            self.push(name, value);
        }
        self
    }

    /// Ends the message without a body.
    pub(super) fn finish(self) -> Vec<u8> {
        self.finish_with("")
    }

    /// Ends the message; a body that is not empty is a session description.
    pub(super) fn finish_with(mut self, body: &str) -> Vec<u8> {
        if !body.is_empty() {
            self.push("Content-Type", "application/sdp");
        }
        self.push("Content-Length", body.len());
        self.0.push_str("\r\n");
        self.0.push_str(body);
        self.0.into_bytes()
    }

    fn push(&mut self, name: &str, value: impl std::fmt::Display) {
        write!(self.0, "{name}: {value}\r\n").expect("writing into a String does not fail");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &[u8] = b"INVITE sip:b@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:1;branch=z9hG4bKx\r\n\
        Record-Route: <sip:x@127.0.0.1:9;lr>, <sip:y,z@127.0.0.1:8;lr>\r\nrecord-route: <sip:127.0.0.1:7>\r\n\
        From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: c1\r\nCSeq: 7 INVITE\r\nContent-Length: 2\r\n\r\nhi";

    #[test]
    fn reads_lines_values_and_body() {
        let message = Message::parse(REQUEST).expect("well-formed");
        assert_eq!(message.method(), Some("INVITE"));
        assert_eq!(message.status(), None);
        assert_eq!(message.cseq(), Some((7, "INVITE")));
        assert!(message.body_is_whole());
        assert_eq!(
            message.values("Record-Route"),
            ["<sip:x@127.0.0.1:9;lr>", "<sip:y,z@127.0.0.1:8;lr>", "<sip:127.0.0.1:7>"]
        );
        let cut = Message::parse(&REQUEST[..REQUEST.len() - 1]).expect("the head is whole");
        assert!(!cut.body_is_whole());
        assert!(Message::parse(b"INVITE").is_none());
    }

    #[test]
    fn response_copies_what_it_must_and_tags_the_to() {
        let request = Message::parse(REQUEST).expect("well-formed");
        let bytes = Writer::response(180, "Ringing", &request, "t9").field("Server", "s").finish();
        let response = Message::parse(&bytes).expect("well-formed");
        assert_eq!(response.status(), Some(180));
        assert_eq!(response.method(), None);
        assert_eq!(response.field("To"), Some("<sip:b@h>;tag=t9"));
        assert_eq!(response.field("Via"), request.field("Via"));
        assert_eq!(response.cseq(), request.cseq());
        assert!(response.body_is_whole());
    }

    #[test]
    fn parameters_and_addresses() {
        assert_eq!(parameter("SIP/2.0/UDP h;rport;branch=z9;x=1", "branch"), Some("z9"));
        assert_eq!(parameter("<sip:a@h>;tag=7", "tag"), Some("7"));
        assert_eq!(parameter("<sip:a@h>", "tag"), None);
        assert_eq!(uri_of("\"n\" <sip:t@127.0.0.1:5070;lr>;x=1"), Some("sip:t@127.0.0.1:5070;lr"));
        let expected = "127.0.0.1:5070".parse().expect("an address");
        assert_eq!(address_of("sip:t@127.0.0.1:5070;lr"), Some(expected));
        assert_eq!(address_of("sip:127.0.0.1:5070"), Some(expected));
        assert_eq!(address_of("sip:t@host.example"), None);
    }
}
