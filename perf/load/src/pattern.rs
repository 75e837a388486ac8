//! Messages made beforehand: bytes with places that differ from message to message.
//!
//! Owns: the slots and how they are filled. All slots have a fixed width, so a message is one copy and a few short
//! writes. Knows no SIP.

/// What stands in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    /// Which message this is: 16 hex digits.
    Id,
    /// Part of the Call-ID: 16 hex digits.
    Call,
    /// Part of the branch: 16 hex digits.
    Branch,
    /// Part of the tag: 8 hex digits.
    Tag,
    /// The CSeq number: one digit.
    CSeq,
    /// The caller's port: five digits.
    Port,
}

const SLOTS: [(&str, Slot); 6] = [
    ("{id}", Slot::Id),
    ("{call}", Slot::Call),
    ("{branch}", Slot::Branch),
    ("{tag}", Slot::Tag),
    ("{cseq}", Slot::CSeq),
    ("{port}", Slot::Port),
];
/// In the text of a pattern: what follows is passed on unchanged by any proxy.
const TAIL: &str = "{tail}";

/// What the slots of one message hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Values {
    pub(crate) id: [u8; 16],
    pub(crate) call: [u8; 16],
    pub(crate) branch: [u8; 16],
    pub(crate) tag: [u8; 8],
    pub(crate) cseq: u8,
    pub(crate) port: [u8; 5],
}

impl Values {
    fn of(&self, slot: Slot) -> &[u8] {
        match slot {
            Slot::Id => &self.id,
            Slot::Call => &self.call,
            Slot::Branch => &self.branch,
            Slot::Tag => &self.tag,
            Slot::CSeq => std::slice::from_ref(&self.cseq),
            Slot::Port => &self.port,
        }
    }

    /// Bytes as wide as the slots, to lay out a pattern.
    const fn blank() -> Self {
        Self {
            id: [b'0'; 16],
            call: [b'0'; 16],
            branch: [b'0'; 16],
            tag: [b'0'; 8],
            cseq: b'1',
            port: [b'0'; 5],
        }
    }
}

/// Bytes with slots.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    bytes: Box<[u8]>,
    slots: Box<[(u16, Slot)]>,
    tail_start: usize,
}

impl Pattern {
    /// Reads a text with slots written as `{id}`, `{call}`, `{branch}`, `{tag}`, `{cseq}` and `{port}`; `{tail}` marks
    /// where the part begins that a proxy must not change. Without it that is the whole.
    pub(crate) fn new(text: &str) -> Self {
        let mut bytes = Vec::with_capacity(text.len() + 64);
        let mut slots = Vec::new();
        let mut tail_start = 0;
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            bytes.extend_from_slice(&rest.as_bytes()[..at]);
            rest = &rest[at..];
            if let Some(after) = rest.strip_prefix(TAIL) {
                tail_start = bytes.len();
                rest = after;
                continue;
            }
            let (name, slot) =
                SLOTS.iter().find(|(name, _)| rest.starts_with(name)).expect("a known slot");
            slots.push((u16::try_from(bytes.len()).expect("a short message"), *slot));
            bytes.extend_from_slice(Values::blank().of(*slot));
            rest = &rest[name.len()..];
        }
        bytes.extend_from_slice(rest.as_bytes());
        Self { bytes: bytes.into(), slots: slots.into(), tail_start }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Where the part begins that a proxy must not change.
    pub(crate) const fn tail_start(&self) -> usize {
        self.tail_start
    }

    /// Appends the message to `out`.
    pub(crate) fn render(&self, values: &Values, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        for (at, slot) in &self.slots {
            let value = values.of(*slot);
            let at = start + usize::from(*at);
            out[at..at + value.len()].copy_from_slice(value);
        }
    }
}

/// A number as 16 lower-case hex digits.
pub(crate) fn hex16(value: u64) -> [u8; 16] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut digits = [0; 16];
    for (two, byte) in digits.chunks_exact_mut(2).zip(value.to_be_bytes()) {
        two[0] = DIGITS[usize::from(byte >> 4)];
        two[1] = DIGITS[usize::from(byte & 0xf)];
    }
    digits
}

/// The number that 16 lower-case hex digits stand for.
pub(crate) fn from_hex16(digits: &[u8]) -> Option<u64> {
    let digits: &[u8; 16] = digits.try_into().ok()?;
    let mut value = 0;
    for digit in digits {
        let nibble = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        value = value << 4 | u64::from(nibble);
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_filled_where_they_stand() {
        let pattern = Pattern::new("a{cseq}b{tail}{port}:{tag}|{id}");
        let values = Values {
            id: hex16(0xabc),
            cseq: b'7',
            port: *b"40001",
            tag: *b"deadbeef",
            ..Values::blank()
        };
        let mut out = b"before".to_vec();
        pattern.render(&values, &mut out);
        assert_eq!(out, b"beforea7b40001:deadbeef|0000000000000abc");
        assert_eq!(pattern.tail_start(), 3);
    }

    #[test]
    fn hex_comes_back() {
        for value in [0, 1, 0xf0, u64::MAX, 0x0123_4567_89ab_cdef] {
            assert_eq!(from_hex16(&hex16(value)), Some(value));
        }
        assert_eq!(from_hex16(b"000000000000000g"), None);
        assert_eq!(from_hex16(b"000"), None);
    }
}
