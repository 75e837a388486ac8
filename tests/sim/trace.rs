//! What happened, one line for each message: a ladder to read, and a hash to compare.
//!
//! Owns: the lines and the hash. Lines are only kept when somebody will read them.

use super::text::Text;

/// The trace of one world.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    pub(crate) hash: u64,
    pub(crate) lines: Option<Vec<String>>,
}

impl Trace {
    pub(crate) fn new(keeps_lines: bool) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, lines: keeps_lines.then(Vec::new) }
    }

    /// Something that the hash must see.
    pub(crate) fn absorb(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let word = chunk.iter().fold(0_u64, |word, &byte| word << 8 | u64::from(byte));
            self.hash = (self.hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        }
    }

    pub(crate) fn line(&mut self, now_us: u64, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            let (seconds, rest) = (now_us / 1_000_000, now_us % 1_000_000);
            lines.push(format!("{seconds:>4}.{rest:06}  {}", line()));
        }
    }

    /// The first line of a message, its CSeq and its Call-ID.
    pub(crate) fn title(bytes: &[u8]) -> String {
        let Some(text) = Text::read(bytes) else { return "(keep-alive)".to_owned() };
        let start: String = text.start.chars().take(60).collect();
        format!("{start} [{}, {}]", text.one("CSeq"), text.call_id())
    }
}
