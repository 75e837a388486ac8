//! `.expect` files: a note, the verdict, checks one per line, an empty line, and why.
//!
//! Owns: their syntax, and whether an outcome is the verdict that they name.

use std::fmt;
use std::net::SocketAddr;

/// What the core did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Absorb,
    Drop(String),
    Forward { bytes: Vec<u8>, destination: SocketAddr },
    Respond { bytes: Vec<u8>, destination: SocketAddr },
}

impl Outcome {
    /// As the second line of an `.expect` file says it.
    pub(crate) fn verdict_line(&self) -> String {
        match self {
            Self::Absorb => "absorb".into(),
            Self::Drop(reason) => format!("drop {reason}"),
            Self::Forward { .. } => "forward".into(),
            Self::Respond { bytes, .. } => {
                let line = bytes.split(|&b| b == b'\r').next().unwrap_or_default();
                let status = line.strip_prefix(b"SIP/2.0 ").unwrap_or(line);
                format!("respond {}", String::from_utf8_lossy(status))
            }
        }
    }
}

/// An `.expect` file.
pub(crate) struct Expectation {
    pub(crate) note: String,
    pub(crate) verdict: String,
    pub(crate) checks: Vec<Check>,
    pub(crate) why: String,
}

/// What must hold beyond the verdict.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// `record-route N`: so many Record-Route values of ours.
    RecordRoute(usize),
    /// `path N`: so many Path values of ours.
    Path(usize),
    /// `max-forwards N`, `max-forwards N added`: what it says now, and that it was not there before.
    MaxForwards { value: u32, is_added: bool },
    /// `cut N`: so many bytes behind the body do not go on.
    Cut(usize),
    /// `removed NAME`: the first field of this name is ours and does not go on.
    Removed(String),
    /// `has LINE`: the response has this line.
    Has(String),
}

impl Expectation {
    /// Reads a file; the error is the line that cannot be read.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (head, why) = text.split_once("\n\n").ok_or("no empty line")?;
        let mut lines = head.lines();
        let note = lines.next().ok_or("no note")?.into();
        let verdict = lines.next().ok_or("no verdict")?.into();
        let checks = lines.map(Check::parse).collect::<Result<_, _>>()?;
        Ok(Self { note, verdict, checks, why: why.into() })
    }

    /// The outcome is the one that the verdict line names; a `*` at its end stands for anything.
    pub(crate) fn verdict_holds(&self, outcome: &Outcome) -> Result<(), String> {
        let found = outcome.verdict_line();
        let holds = match self.verdict.strip_suffix('*') {
            Some(start) => found.starts_with(start),
            None => found == self.verdict,
        };
        if holds { Ok(()) } else { Err(format!("expected {:?}, found {found:?}", self.verdict)) }
    }
}

impl Check {
    fn parse(line: &str) -> Result<Self, String> {
        let cannot_read = || line.to_owned();
        let (kind, rest) = line.split_once(' ').ok_or_else(cannot_read)?;
        let number = |text: &str| text.parse().map_err(|_| cannot_read());
        Ok(match kind {
            "record-route" => Self::RecordRoute(number(rest)?),
            "path" => Self::Path(number(rest)?),
            "cut" => Self::Cut(number(rest)?),
            "removed" => Self::Removed(rest.to_ascii_lowercase()),
            "has" => Self::Has(rest.into()),
            "max-forwards" => {
                let is_added = rest.ends_with(" added");
                let value = rest.trim_end_matches(" added").parse().map_err(|_| cannot_read())?;
                Self::MaxForwards { value, is_added }
            }
            _ => return Err(cannot_read()),
        })
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RecordRoute(count) => write!(f, "record-route {count}"),
            Self::Path(count) => write!(f, "path {count}"),
            Self::MaxForwards { value, is_added: false } => write!(f, "max-forwards {value}"),
            Self::MaxForwards { value, is_added: true } => write!(f, "max-forwards {value} added"),
            Self::Cut(bytes) => write!(f, "cut {bytes}"),
            Self::Removed(name) => write!(f, "removed {name}"),
            Self::Has(line) => write!(f, "has {line}"),
        }
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}", self.note, self.verdict)?;
        for check in &self.checks {
            writeln!(f, "{check}")?;
        }
        write!(f, "\n{}", self.why)
    }
}
