//! Kamailio's dispatcher list file: text in, destinations in memory order out.
//!
//! Owns: the format as Kamailio 5.6 reads it (flags in hexadecimal as of 6.1), and every problem of a file at once.
//! Pure: reads no file, resolves no name, knows no pool. Lines and columns count from 1, columns in bytes.
//! Limits: [`LINE_BYTES_MAX`] for each line; a longer one is left out.
//!
//! A line is `set destination [flags [priority [attributes]]]`; a field that starts with `#` ends it.

use crate::sip::balance::{Detail, Member};

mod attributes;
mod fields;

#[cfg(test)]
mod tests;

pub use attributes::Attributes;

/// Kamailio reads lines of at most this many bytes.
pub const LINE_BYTES_MAX: usize = 1_023;

/// The flags of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(pub u32);

impl Flags {
    /// Taken out by a failed probe, or by hand.
    pub const INACTIVE: u32 = 1;
    /// A probe failed, but not often enough yet.
    pub const TRYING: u32 = 2;
    /// Taken out by the administrator.
    pub const DISABLED: u32 = 4;
    /// To be probed.
    pub const PROBING: u32 = 8;
    /// The host is not resolved.
    pub const NO_DNS: u32 = 16;
    /// Never to be probed (Kamailio 6.0).
    pub const NEVER_PROBED: u32 = 32;

    /// Whether all of these are set.
    #[must_use]
    pub const fn has(self, flags: u32) -> bool {
        self.0 & flags == flags
    }

    /// Whether it may be picked: neither inactive nor disabled.
    #[must_use]
    pub const fn is_usable(self) -> bool {
        self.0 & (Self::INACTIVE | Self::DISABLED) == 0
    }

    /// Whether a host name must not be looked up.
    #[must_use]
    pub const fn says_no_dns(self) -> bool {
        self.0 & Self::NO_DNS != 0
    }
}

/// One destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The set that it belongs to.
    pub set: u32,
    /// Its URI, with `sip:` put in front where the file has no scheme.
    pub uri: String,
    /// Its state and how it is probed.
    pub flags: Flags,
    /// Higher comes first.
    pub priority: i32,
    /// What else is said of it.
    pub attributes: Attributes,
    /// The line that it stands on.
    pub line: usize,
}

impl Entry {
    /// What a balance has to know of it.
    #[must_use]
    pub fn member(&self) -> Member<'_> {
        Member {
            identity: self.uri.as_bytes(),
            weight: self.attributes.weight,
            rweight: self.attributes.rweight,
        }
    }

    /// What only some balances have to know of it. Calls are counted for a destination that has a `duid`, as in Kamailio.
    #[must_use]
    pub fn detail(&self) -> Detail {
        Detail {
            max_load: self.attributes.max_load,
            is_counted: self.attributes.duid.is_some(),
            priority: self.priority,
            latency_us: self.attributes.latency_ms.map(|ms| ms.saturating_mul(1_000)),
        }
    }
}

/// Whether a problem costs the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The line is left out.
    Error,
    /// The line is read, a part of it differs from what is written.
    Warning,
}

/// Something wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1.
    pub line: usize,
    /// The byte within the line, from 1.
    pub column: usize,
    /// What becomes of the line.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: &'static str,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}; {}", self.line, self.column, self.message, self.help)
    }
}

/// What some editors begin a file with.
pub const BYTE_ORDER_MARK: char = '\u{feff}';

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct List {
    entries: Vec<Entry>,
    /// All that is wrong, from top to bottom.
    pub problems: Vec<Problem>,
}

impl List {
    /// Reads a whole file. What can be read is read, whatever is wrong elsewhere.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut list = Self::default();
        // Editors of another system put it there; it is no part of the first line.
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        for (line, text) in (1..).zip(text.lines()) {
            list.entries.extend(fields::read_line(text, line, &mut list.problems));
        }
        // Memory order: high priority first, and among equals the reverse of the file.
        list.entries.reverse();
        list.entries.sort_by_key(|entry| (entry.set, std::cmp::Reverse(entry.priority)));
        list
    }

    /// All destinations: by set, then in memory order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The destinations of a set in memory order; empty when there is no such set.
    #[must_use]
    pub fn set(&self, set: u32) -> &[Entry] {
        let start = self.entries.partition_point(|entry| entry.set < set);
        let end = self.entries.partition_point(|entry| entry.set <= set);
        &self.entries[start..end]
    }
}
