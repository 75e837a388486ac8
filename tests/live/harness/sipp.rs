//! SIPp as a phone or as a backend, and its message log as events.
//!
//! Owns: SIPp's command line and log format (3.6). The scenarios stand in `tests/live/sipp`. It must not know what a
//! flow promises.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ledger::{Event, Name, Side, Way};
use super::party::Party;
use crate::runner::Place;

/// Seconds after which a caller gives up: a hung flow fails, and does not hang the run.
const CALLER_TIMEOUT_SECONDS: u64 = 30;
/// SIPp's sockets: large enough for a burst of 1,000 calls.
const SOCKET_BUFFER_BYTES: u32 = 2_000_000;

/// An entry of its message log begins so, after a line's end.
const ENTRY: &[u8] = b"\n-----";

/// What a caller does.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) calls: u32,
    pub(crate) calls_per_second: u32,
    /// How long `caller_hold` lets a call stand.
    pub(crate) hold: Duration,
    /// Text that makes INVITE and MESSAGE bodies longer.
    pub(crate) ballast: String,
}

impl Load {
    pub(crate) const fn calls(calls: u32) -> Self {
        Self {
            calls,
            calls_per_second: 100,
            hold: Duration::from_millis(50),
            ballast: String::new(),
        }
    }
}

/// Where a SIPp stands.
#[derive(Debug, Clone)]
pub(crate) struct Station {
    pub(crate) name: String,
    pub(crate) side: Side,
    pub(crate) local: SocketAddr,
    /// The address in its Via and Contact: its own, or, behind NAT, one that nobody can send to.
    pub(crate) claimed: SocketAddr,
    /// A command prefix that puts it into a network namespace, or nothing.
    pub(crate) netns: Vec<String>,
    /// Arguments that only this one has.
    pub(crate) more: Vec<String>,
}

impl Station {
    pub(crate) fn new(name: &str, side: Side, local: SocketAddr) -> Self {
        Self {
            name: name.to_owned(),
            side,
            local,
            claimed: local,
            netns: Vec::new(),
            more: Vec::new(),
        }
    }
}

/// A running SIPp.
pub(crate) struct Sipp {
    station: Station,
    party: Party,
    messages: PathBuf,
    errors: PathBuf,
}

impl Sipp {
    /// Starts a SIPp that waits for calls.
    pub(crate) fn callee(place: &Place, station: Station, flow: &str, ballast: &str) -> Self {
        let scenario = format!("callee_{flow}");
        let mut sipp = Self::start(place, station, &scenario, ballast, &[]);
        sipp.party.wait_bound(sipp.station.local);
        sipp
    }

    /// Starts a SIPp that runs `scenario` against `edge`.
    pub(crate) fn caller(
        place: &Place,
        station: Station,
        scenario: &str,
        edge: SocketAddr,
        load: &Load,
    ) -> Self {
        let arguments = [
            edge.to_string(),
            "-m".to_owned(),
            load.calls.to_string(),
            "-l".to_owned(),
            load.calls.to_string(),
            "-r".to_owned(),
            load.calls_per_second.to_string(),
            "-d".to_owned(),
            load.hold.as_millis().to_string(),
            "-timeout".to_owned(),
            (CALLER_TIMEOUT_SECONDS + load.hold.as_secs()).to_string(),
            "-timeout_error".to_owned(),
        ];
        Self::start(place, station, scenario, &load.ballast, &arguments)
    }

    /// Waits for the end of a caller: every call must have gone as its scenario says.
    pub(crate) fn finish(&mut self) -> Result<(), String> {
        self.finish_after(Duration::ZERO)
    }

    /// The same for a caller that holds its calls for so long.
    pub(crate) fn finish_after(&mut self, hold: Duration) -> Result<(), String> {
        let status = self.party.wait_end(hold + Duration::from_secs(CALLER_TIMEOUT_SECONDS + 10));
        if status.success() {
            return Ok(());
        }
        Err(format!("{}: calls failed ({status})\n{}", self.name(), self.errors()))
    }

    /// Unexpected messages and other complaints; empty when all is well.
    pub(crate) fn errors(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.errors).unwrap_or_default()).into_owned()
    }

    pub(crate) fn station(&self) -> &Station {
        &self.station
    }

    /// Its process.
    pub(crate) fn party(&mut self) -> &mut Party {
        &mut self.party
    }

    pub(crate) fn name(&self) -> &str {
        &self.station.name
    }

    /// What it sent and received so far.
    pub(crate) fn events(&self) -> Vec<Event> {
        let log = fs::read(&self.messages).unwrap_or_default();
        parse_log(&log)
            .into_iter()
            .map(|(way, at_us, text)| {
                let name = name_of(&text).unwrap_or_else(|| {
                    panic!("{}: no SIP message in its log: {text}", self.name())
                });
                let party = self.name().to_owned();
                Event { party, side: self.station.side, way, at_us, name, text }
            })
            .collect()
    }

    fn start(
        place: &Place,
        station: Station,
        scenario: &str,
        ballast: &str,
        arguments: &[String],
    ) -> Self {
        let Station { name, local, claimed, .. } = &station;
        let scenario = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/live/sipp")
            .join(scenario)
            .with_extension("xml");
        let messages = place.path(&format!("{name}.messages"));
        let errors = place.path(&format!("{name}.errors"));
        let text = |path: &Path| path.to_str().expect("our paths are UTF-8").to_owned();
        let mut command = station.netns.clone();
        command.extend(
            [
                "sipp",
                "-sf",
                &text(&scenario),
                "-i",
                &local.ip().to_string(),
                "-p",
                &local.port().to_string(),
                "-trace_msg",
                "-message_file",
                &text(&messages),
                "-trace_err",
                "-error_file",
                &text(&errors),
                "-buff_size",
                &SOCKET_BUFFER_BYTES.to_string(),
                "-nostdin",
                "-key",
                "claimed",
                &claimed.to_string(),
                "-key",
                "ballast",
                ballast,
            ]
            .map(str::to_owned),
        );
        command.extend_from_slice(&station.more);
        command.extend_from_slice(arguments);
        let party = Party::start(name, &command, place.path(&format!("{name}.log")));
        Self { station, party, messages, errors }
    }
}

/// The messages of a SIPp message log: each has a time line, a line with the way and the size, an empty line, the bytes.
fn parse_log(log: &[u8]) -> Vec<(Way, u64, String)> {
    let mut messages = Vec::new();
    let mut rest = log;
    loop {
        let Some((way, at_us, size, head_size)) = parse_head(rest) else {
            // SIPp repeats a message that came when its call was over, under another head.
            let Some(next) = find(rest, ENTRY) else { break };
            rest = &rest[next + 1..];
            continue;
        };
        let Some(bytes) = rest.get(head_size..head_size + size) else { break };
        messages.push((way, at_us, String::from_utf8_lossy(bytes).into_owned()));
        rest = &rest[head_size + size..];
        // One line feed ends the entry.
        rest = rest.strip_prefix(b"\n").unwrap_or(rest);
    }
    messages
}

fn find(log: &[u8], what: &[u8]) -> Option<usize> {
    log.windows(what.len()).position(|window| window == what)
}

/// Way, time, message size and the size of the head itself.
fn parse_head(log: &[u8]) -> Option<(Way, u64, usize, usize)> {
    let first_end = log.iter().position(|b| *b == b'\n')?;
    let second_end = first_end + 1 + log[first_end + 1..].iter().position(|b| *b == b'\n')?;
    let first = std::str::from_utf8(&log[..first_end]).ok()?;
    let second = std::str::from_utf8(&log[first_end + 1..second_end]).ok()?;
    let way = if second.contains(" sent ") { Way::Sent } else { Way::Received };
    let size: usize =
        second.split(|c: char| !c.is_ascii_digit()).find(|s| !s.is_empty())?.parse().ok()?;
    Some((way, time_us(first)?, size, second_end + 2))
}

/// The time of a line that ends with `HH:MM:SS.ffffff`.
fn time_us(line: &str) -> Option<u64> {
    let (clock, fraction) = line.rsplit(' ').next()?.split_once('.')?;
    let mut seconds = 0_u64;
    for part in clock.split(':') {
        seconds = seconds * 60 + part.parse::<u64>().ok()?;
    }
    Some(seconds * 1_000_000 + fraction.parse::<u64>().ok()?)
}

/// The value of a field that is written in its long form, as all parties here do.
pub(crate) fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
}

/// What a message is; nothing when the text is none.
pub(crate) fn name_of(text: &str) -> Option<Name> {
    let (cseq, method) = field(text, "CSeq")?.split_once(' ')?;
    let status = match text.strip_prefix("SIP/2.0 ") {
        Some(rest) => rest.get(..3)?.parse().ok()?,
        None => 0,
    };
    Some(Name {
        call_id: field(text, "Call-ID")?.to_owned(),
        cseq: cseq.parse().ok()?,
        method: method.to_owned(),
        status,
    })
}
