//! `.golden` files: what comes in and what must come of it, step by step.
//!
//! Owns: their syntax, and the few things that a user agent copies from what it received: `@Via`, `@To`,
//! `@Record-Route`, `@Route`, `@Route-reversed`. Knows nothing of the core.

use std::fmt;
use std::net::SocketAddr;

/// A file: a note, then steps.
pub(crate) struct Script {
    note: String,
    pub(crate) steps: Vec<Step>,
}

/// One message and its outcome.
pub(crate) struct Step {
    /// Seconds from the start of the exchange.
    pub(crate) at_seconds: u64,
    /// By name.
    pub(crate) listener: String,
    pub(crate) source: SocketAddr,
    /// As written, with `@` lines.
    message: String,
    /// Verdict line and bytes, as [`readable`] writes them.
    pub(crate) expected: String,
}

impl Script {
    /// Reads a file.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut blocks = text.split("\n>>> ");
        let note = blocks.next().unwrap_or_default().trim_end().to_owned();
        let steps = blocks.map(Step::parse).collect::<Result<_, _>>()?;
        Ok(Self { note, steps })
    }
}

impl Step {
    fn parse(block: &str) -> Result<Self, String> {
        let (head, rest) = block.split_once('\n').ok_or("a step has a message")?;
        let (message, expected) = rest.split_once("\n<<< ").unwrap_or((rest, ""));
        let words: Vec<&str> = head.split_whitespace().collect();
        let [seconds, listener, source] = words[..] else {
            return Err(format!("seconds, listener and source, not {head:?}"));
        };
        Ok(Self {
            at_seconds: seconds.parse().map_err(|_| format!("seconds: {seconds}"))?,
            listener: listener.into(),
            source: source.parse().map_err(|_| format!("source: {source}"))?,
            message: message.trim_end().into(),
            expected: expected.trim_end().into(),
        })
    }

    /// The bytes to receive: lines end with CRLF, `@` lines are filled in from the last message that went out and
    /// from the last Record-Route or Path that did.
    pub(crate) fn input(&self, last_out: &[u8], route_set: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for line in self.message.lines() {
            match line {
                "@Via" => bytes.extend(fields_of(last_out, &["via"])),
                "@To" => bytes.extend(fields_of(last_out, &["to"])),
                "@Record-Route" => bytes.extend(fields_of(last_out, &["record-route"])),
                "@Route" => bytes.extend(routes(route_set).concat()),
                "@Route-reversed" => {
                    let mut reversed = routes(route_set);
                    reversed.reverse();
                    bytes.extend(reversed.concat());
                }
                _ => {
                    bytes.extend(line.as_bytes());
                    bytes.extend(b"\r\n");
                }
            }
        }
        bytes.extend(b"\r\n");
        bytes
    }
}

/// The fields with these names (lower case), one line each.
pub(crate) fn fields_of(message: &[u8], names: &[&str]) -> Vec<u8> {
    let text = String::from_utf8_lossy(message);
    let header = text.split("\r\n\r\n").next().unwrap_or_default();
    let is_wanted = |line: &&str| {
        line.split_once(':')
            .is_some_and(|(name, _)| names.contains(&name.trim().to_ascii_lowercase().as_str()))
    };
    header
        .lines()
        .filter(is_wanted)
        .flat_map(|line| [line, "\r\n"])
        .collect::<String>()
        .into_bytes()
}

/// A route set as Route fields, one for each line.
fn routes(route_set: &[u8]) -> Vec<Vec<u8>> {
    String::from_utf8_lossy(route_set)
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(_, value)| format!("Route:{value}\r\n").into_bytes())
        .collect()
}

/// Verdict and bytes as text: CRLF becomes LF, and anything unusual is escaped.
pub(crate) fn readable(verdict: &str, out: &[u8]) -> String {
    let escaped = out.escape_ascii().to_string().replace("\\r\\n", "\n").replace("\\\"", "\"");
    format!("{verdict}\n{escaped}").trim_end().to_owned()
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.note)?;
        for step in &self.steps {
            let Step { at_seconds, listener, source, message, expected } = step;
            writeln!(f, "\n>>> {at_seconds} {listener} {source}\n{message}\n\n<<< {expected}")?;
        }
        Ok(())
    }
}
