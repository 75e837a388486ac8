//! SIP as the model reads and writes it: slow, simple, and no line of it shared with the core.
//!
//! Owns: messages as a start line and a list of names and values. Model messages have no quotes, folds or comments, so
//! commas and semicolons always separate. A parser fault of the core cannot hide behind the same fault here.

use std::net::SocketAddr;

/// Long and compact names (RFC 3261 7.3.3).
const COMPACT: [(&str, &str); 7] = [
    ("Via", "v"),
    ("From", "f"),
    ("To", "t"),
    ("Call-ID", "i"),
    ("Contact", "m"),
    ("Content-Length", "l"),
    ("Content-Type", "c"),
];

/// How a sender writes: all of it is legal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Style {
    pub(crate) is_compact: bool,
    /// Bytes behind the body that Content-Length does not count.
    pub(crate) has_surplus: bool,
    /// All Vias, Routes and Record-Routes in one field each.
    pub(crate) joins: bool,
    /// Without Max-Forwards, as senders from before RFC 3261 do.
    pub(crate) lacks_max_forwards: bool,
}

/// A message; names are long ones, in the order of the wire.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Text {
    pub(crate) start: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Text {
    pub(crate) fn request(method: &str, uri: &str) -> Self {
        Self { start: format!("{method} {uri} SIP/2.0"), ..Self::default() }
    }

    /// `None` for what is no message: keep-alives.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let start = lines.next().filter(|start| !start.is_empty())?.to_owned();
        let field = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((long_name(name.trim()), value.trim().to_owned()))
        };
        let fields = lines.map(field).collect::<Option<Vec<_>>>()?;
        Some(Self { start, fields, body: body.to_owned() })
    }

    pub(crate) fn write(&self, style: Style) -> Vec<u8> {
        let mut out = format!("{}\r\n", self.start);
        let mut written: Vec<&str> = Vec::new();
        for (name, value) in self.fields.iter().filter(|(name, _)| name != "Content-Length") {
            let is_list = matches!(name.as_str(), "Via" | "Route" | "Record-Route");
            if style.joins && is_list {
                if !written.contains(&name.as_str()) {
                    written.push(name);
                    out += &format!("{}: {}\r\n", name, self.all(name).join(", "));
                }
                continue;
            }
            let short = COMPACT.iter().find(|(long, _)| long == name);
            match short {
                Some((_, short)) if style.is_compact => out += &format!("{short} : {value}\r\n"),
                _ => out += &format!("{name}: {value}\r\n"),
            }
        }
        out += &format!("Content-Length: {}\r\n\r\n{}", self.body.len(), self.body);
        if style.has_surplus {
            out += "surplus\r\n";
        }
        out.into_bytes()
    }

    pub(crate) fn is_request(&self) -> bool {
        !self.start.starts_with("SIP/2.0 ")
    }

    /// Of the request line, or of CSeq.
    pub(crate) fn method(&self) -> &str {
        let line = if self.is_request() { self.start.as_str() } else { self.one("CSeq") };
        let words = &mut line.split(' ');
        let word = if self.is_request() { words.next() } else { words.nth(1) };
        word.unwrap_or_default()
    }

    pub(crate) fn uri(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    pub(crate) fn status(&self) -> u16 {
        if self.is_request() { 0 } else { self.uri().parse().unwrap_or(0) }
    }

    /// The first value of a field; empty when it is not there.
    pub(crate) fn one(&self, name: &str) -> &str {
        self.fields.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// All values of a list.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        let fields = self.fields.iter().filter(|(n, _)| n == name);
        fields.flat_map(|(_, value)| value.split(',').map(|v| v.trim().to_owned())).collect()
    }

    pub(crate) fn add(&mut self, name: &str, value: impl Into<String>) {
        self.fields.push((name.to_owned(), value.into()));
    }

    /// Puts these values in place of all of this list.
    pub(crate) fn replace(&mut self, name: &str, values: &[String]) {
        self.fields.retain(|(n, _)| n != name);
        let values = values.iter().map(|value| (name.to_owned(), value.clone()));
        self.fields.splice(0..0, values);
    }

    pub(crate) fn cseq(&self) -> u32 {
        self.one("CSeq").split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0)
    }

    pub(crate) fn call_id(&self) -> &str {
        self.one("Call-ID")
    }

    pub(crate) fn tag_of_from(&self) -> &str {
        parameter(self.one("From"), "tag").unwrap_or_default()
    }

    pub(crate) fn tag_of_to(&self) -> &str {
        parameter(self.one("To"), "tag").unwrap_or_default()
    }

    /// The branch of the top Via.
    pub(crate) fn branch(&self) -> String {
        self.all("Via").first().map(|via| branch(via)).unwrap_or_default()
    }

    /// The branch of the lowest Via: it names the transaction of whoever asked first.
    pub(crate) fn transaction(&self) -> String {
        self.all("Via").last().map(|via| branch(via)).unwrap_or_default()
    }

    /// A response with what RFC 3261 8.2.6 copies.
    pub(crate) fn answer(&self, status: u16, to_tag: &str) -> Self {
        let mut answer = Self { start: format!("SIP/2.0 {status} Model"), ..Self::default() };
        for via in self.all("Via") {
            answer.add("Via", via);
        }
        for name in ["From", "To", "Call-ID", "CSeq"] {
            let mut value = self.one(name).to_owned();
            if name == "To" && self.tag_of_to().is_empty() && status > 100 {
                value += &format!(";tag={to_tag}");
            }
            answer.add(name, value);
        }
        for route in self.all("Record-Route") {
            answer.add("Record-Route", route);
        }
        answer
    }
}

pub(crate) fn long_name(name: &str) -> String {
    let found = COMPACT.iter().find(|(_, short)| name.eq_ignore_ascii_case(short));
    found.map_or(name, |(long, _)| long).to_owned()
}

/// The value of a parameter outside of angle brackets, `Some("")` for one without value.
pub(crate) fn parameter<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let behind = value.rsplit_once('>').map_or(value, |(_, behind)| behind);
    uri_parameter(behind, name)
}

/// The value of a parameter anywhere.
pub(crate) fn uri_parameter<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    value.split([';', '>']).skip(1).find_map(|part| {
        let (found, value) = part.split_once('=').unwrap_or((part, ""));
        (found.trim() == name).then_some(value.trim())
    })
}

pub(crate) fn branch(via: &str) -> String {
    parameter(via, "branch").unwrap_or_default().to_owned()
}

/// `host:port` of a Via value.
pub(crate) fn sent_by(via: &str) -> &str {
    via.split(' ').nth(1).unwrap_or_default().split(';').next().unwrap_or_default()
}

/// What stands between angle brackets, or all of it.
pub(crate) fn uri_of(value: &str) -> &str {
    let inner = value.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inner.map_or(value, |(uri, _)| uri)
}

/// The user of a URI.
pub(crate) fn user_of(uri: &str) -> &str {
    uri_of(uri).trim_start_matches("sip:").split_once('@').map_or("", |(user, _)| user)
}

/// The address of a URI that names one.
pub(crate) fn address_of(uri: &str) -> Option<SocketAddr> {
    let rest = uri_of(uri).trim_start_matches("sip:");
    let host = rest.split_once('@').map_or(rest, |(_, host)| host);
    let host = host.split(';').next()?;
    host.parse().ok().or_else(|| Some(SocketAddr::new(host.parse().ok()?, 5060)))
}
