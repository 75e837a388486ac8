//! Decision records: one line of JSON for each message that came or was made for a held request, and the last of them in memory.
//!
//! Owns: what a line says and how it is escaped. Knows no file and no socket. Times are UTC.

use std::collections::VecDeque;
use std::fmt::{self, Write};

use crate::datapath::tap::Taken;
use crate::sip::Verdict;
use crate::sip::message::{FieldName, Index, Message};

/// Records that are kept for whoever asks.
const RECENT_MAX: usize = 256;
/// Longer texts of a message are cut, in bytes.
const TEXT_BYTES_MAX: usize = 256;

/// What a record says beside what the shard knows.
#[derive(Debug, Clone, Copy)]
pub(super) struct About<'a> {
    /// Microseconds since 1970.
    pub(super) time_us: u64,
    pub(super) pool: Option<&'a str>,
    pub(super) backend: Option<&'a str>,
}

/// The record of a message, a line without its end.
pub(super) fn record(taken: &Taken, bytes: &[u8], index: &mut Index, about: &About<'_>) -> String {
    let call_id = Message::parse(bytes, index).map(|message| message.value(FieldName::CallId));
    let mut line = String::with_capacity(320);
    write(&mut line, taken, call_id.ok(), about).expect("writing to a string cannot fail");
    line
}

fn write(
    line: &mut String,
    taken: &Taken,
    call_id: Option<&[u8]>,
    about: &About<'_>,
) -> fmt::Result {
    let decision = &taken.decision;
    write!(line, "{{\"time\":\"{}\",\"shard\":{}", Utc(about.time_us), taken.shard)?;
    write!(line, ",\"method\":\"{}\"", decision.method.label())?;
    if decision.status != 0 {
        write!(line, ",\"status\":{}", decision.status)?;
    }
    if let Some(call_id) = call_id {
        text(line, "call_id", &String::from_utf8_lossy(call_id))?;
    }
    write!(line, ",\"source\":\"{}\"", taken.source)?;
    // What came has one, too, but it is ours.
    if taken.is_sent {
        write!(line, ",\"destination\":\"{}\"", taken.destination)?;
    }
    let (verdict, drop) = match taken.verdict {
        Verdict::Absorb => ("absorb", None),
        Verdict::Drop(reason) => ("drop", Some(reason.label())),
        Verdict::Forward => ("forward", None),
        Verdict::Respond => ("respond", None),
    };
    write!(line, ",\"verdict\":\"{verdict}\"")?;
    text(line, "cause", &snake_case(&format!("{:?}", decision.cause)))?;
    if decision.is_capped {
        line.push_str(",\"capped\":true");
    }
    for (name, value) in [("pool", about.pool), ("backend", about.backend), ("drop", drop)] {
        if let Some(value) = value {
            text(line, name, value)?;
        }
    }
    line.push('}');
    Ok(())
}

/// `,"name":"value"`.
fn text(line: &mut String, name: &str, value: &str) -> fmt::Result {
    write!(line, ",\"{name}\":\"")?;
    let mut size = 0;
    for c in value.chars() {
        size += c.len_utf8();
        if size > TEXT_BYTES_MAX {
            break;
        }
        match c {
            '"' | '\\' => write!(line, "\\{c}")?,
            c if u32::from(c) < 0x20 || c == '\x7f' => write!(line, "\\u{:04x}", u32::from(c))?,
            c => line.push(c),
        }
    }
    line.push('"');
    Ok(())
}

/// `RequestUri` to `request_uri`.
fn snake_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// Microseconds since 1970, shown as RFC 3339 has it.
struct Utc(u64);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.0 / 1_000_000, self.0 % 1_000_000);
        let (days, second) = (seconds / 86_400, seconds % 86_400);
        // Years that begin in March have their leap day at the end; eras of 400 of them are all alike. 1970-01-01 is
        // 719,468 days after 0000-03-01.
        let days = days + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = era * 400 + year + u64::from(month <= 2);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
    }
}

/// The last records.
#[derive(Debug, Default)]
pub(super) struct Recent(VecDeque<String>);

impl Recent {
    pub(super) fn push(&mut self, record: String) {
        if self.0.len() == RECENT_MAX {
            self.0.pop_front();
        }
        self.0.push_back(record);
    }

    /// All of them, the oldest first.
    pub(super) fn all(&self) -> Vec<String> {
        self.0.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::Method;
    use crate::sip::{Cause, Decision, DropReason, Now};

    fn check_time(time_us: u64, expected: &str) {
        assert_eq!(Utc(time_us).to_string(), expected);
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        // As `date -u -d @SECONDS` says.
        check_time(0, "1970-01-01T00:00:00.000000Z");
        check_time(951_782_399_000_001, "2000-02-28T23:59:59.000001Z");
        check_time(951_782_400_000_000, "2000-02-29T00:00:00.000000Z");
        check_time(951_868_800_000_000, "2000-03-01T00:00:00.000000Z");
        check_time(1_795_267_682_999_999, "2026-11-21T13:28:02.999999Z");
        check_time(4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z");
    }

    fn taken(verdict: Verdict, decision: Decision) -> Taken {
        let address = "[2001:db8::1]:5060".parse().expect("an address");
        Taken {
            is_sent: false,
            source: address,
            destination: address,
            at: Now(0),
            verdict,
            decision,
            pool: None,
            backend: None,
            shard: 3,
            wanted: 1,
        }
    }

    #[test]
    fn a_record_is_json_whatever_the_message_says() {
        let decision =
            Decision { method: Method::Invite, cause: Cause::RequestUri, ..Decision::default() };
        let about = About { time_us: 0, pool: Some("a \"pool\""), backend: Some("sip:b") };
        let message = b"INVITE sip:a SIP/2.0\r\nCall-ID: q\"\\\x01\xff\r\n\r\n";
        let line =
            record(&taken(Verdict::Forward, decision), message, &mut Index::default(), &about);
        let value: serde_json::Value = serde_json::from_str(&line).expect(&line);
        let expected = serde_json::json!({
            "time": "1970-01-01T00:00:00.000000Z", "shard": 3, "method": "INVITE", "call_id": "q\"\\\u{1}\u{fffd}",
            "source": "[2001:db8::1]:5060", "verdict": "forward", "cause": "request_uri", "pool": "a \"pool\"",
            "backend": "sip:b"
        });
        assert_eq!(value, expected);
        let capped = taken(Verdict::Forward, Decision { is_capped: true, ..decision });
        let line = record(&capped, message, &mut Index::default(), &about);
        let with_cap: serde_json::Value = serde_json::from_str(&line).expect(&line);
        assert_eq!((&with_cap["capped"], value.get("capped")), (&true.into(), None));
        let besides = Taken { is_sent: true, ..taken(Verdict::Forward, decision) };
        let line = record(&besides, message, &mut Index::default(), &about);
        let value: serde_json::Value = serde_json::from_str(&line).expect(&line);
        assert_eq!(value["destination"], "[2001:db8::1]:5060");
        let none = About { pool: None, backend: None, ..about };
        let dropped =
            taken(Verdict::Drop(DropReason::NotSip), Decision { status: 200, ..decision });
        let line = record(&dropped, b"\xff\xfe", &mut Index::default(), &none);
        let value: serde_json::Value = serde_json::from_str(&line).expect(&line);
        assert_eq!((&value["drop"], &value["status"]), (&"not_sip".into(), &200.into()));
        assert!(value.get("pool").is_none() && value.get("call_id").is_none());
    }

    #[test]
    fn the_last_ones_are_kept() {
        let mut recent = Recent::default();
        (0..300).for_each(|number| recent.push(number.to_string()));
        let all = recent.all();
        assert_eq!((all.len(), all[0].as_str(), all[255].as_str()), (256, "44", "299"));
    }
}
