//! The character classes of RFC 3261 25.1, and how far a run of one class goes.
//!
//! Owns: which byte belongs to which class. Knows no field. Offsets are bytes from the start of the message.
//!
//! Runs are read 16 bytes at a time with two look-ups of half a byte each, where the processor can shuffle bytes (see
//! `.cargo/config.toml`): 340 instructions of a typical INVITE, and no branch that depends on how long a run is.

use wide::u8x16;

/// Bytes of one step.
const STEP: usize = 16;

/// Without shuffles in the processor, the steps are slower than single bytes.
const HAS_SHUFFLE: bool =
    cfg!(any(target_feature = "ssse3", all(target_arch = "aarch64", target_feature = "neon")));

/// A set of bytes.
#[derive(Debug)]
pub struct Class {
    /// By byte.
    members: [bool; 256],
    /// By the lower half of a byte: a bit for each upper half below 8 with which it is a member.
    low_halves: [u8; STEP],
    /// All bytes from 0x80 on are members, else none.
    has_high: bool,
}

/// The bit of each upper half; none from 8 on.
const HIGH_HALVES: [u8; STEP] = [1, 2, 4, 8, 16, 32, 64, 128, 0, 0, 0, 0, 0, 0, 0, 0];

impl Class {
    const fn new(members: [bool; 256]) -> Self {
        let has_high = members[255];
        let mut low_halves = [0; STEP];
        let mut byte = 0;
        while byte < 256 {
            if byte >= 128 {
                assert!(members[byte] == has_high, "all bytes from 0x80 on, or none");
            } else if members[byte] {
                low_halves[byte % 16] |= 1 << (byte / 16);
            }
            byte += 1;
        }
        Self { members, low_halves, has_high }
    }

    /// The byte is a member.
    #[must_use]
    #[inline]
    pub const fn has(&self, byte: u8) -> bool {
        self.members[byte as usize]
    }

    /// Where the run of members that starts at `at` ends, at most `end`.
    #[must_use]
    #[inline]
    pub fn run_end(&self, bytes: &[u8], at: usize, end: usize) -> usize {
        let mut at = at;
        while HAS_SHUFFLE && at < end {
            let Some(step) = bytes.get(at..).and_then(<[u8]>::first_chunk) else { break };
            let others = self.others(step);
            if others != 0 {
                return end.min(at + others.trailing_zeros() as usize);
            }
            at += STEP;
        }
        self.run_end_by_byte(bytes, at, end)
    }

    /// The bytes that are no members, a bit each.
    #[inline]
    fn others(&self, step: &[u8; STEP]) -> u32 {
        let bytes = u8x16::new(*step);
        let low = u8x16::new(self.low_halves).shuffle(bytes & u8x16::splat(0x0f));
        let high = u8x16::new(HIGH_HALVES).shuffle(bytes >> 4_u32);
        let others = (low & high).simd_eq(u8x16::ZERO).to_bitmask();
        if self.has_high { others & !bytes.to_bitmask() } else { others }
    }

    #[inline]
    fn run_end_by_byte(&self, bytes: &[u8], at: usize, end: usize) -> usize {
        let rest = bytes.get(at..end).unwrap_or_default();
        rest.iter().position(|&b| !self.has(b)).map_or(end, |length| at + length)
    }
}

const fn is_token_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric()
        || matches!(b, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~')
}

macro_rules! class {
    ($byte:ident => $is_member:expr) => {{
        let mut members = [false; 256];
        let mut $byte = 0_u8;
        loop {
            members[$byte as usize] = $is_member;
            if $byte == 255 {
                break;
            }
            $byte += 1;
        }
        Class::new(members)
    }};
}

/// Characters of a `token`.
pub static TOKEN: Class = class!(b => is_token_byte(b));

/// Characters of a host name or an IPv4 address. The underscore is none by the grammar, but names with it are in use.
pub static HOST: Class = class!(b => b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));

/// Values of parameters: token, host (IPv6 in brackets or, for `received`, bare), and what phones write.
pub static VALUE: Class = class!(b => is_token_byte(b)
|| matches!(
    b,
    b'[' | b']' | b':' | b'/' | b'?' | b'@' | b'&' | b'$' | b'#' | b'(' | b')' | b'{' | b'}' | b'|' | b'^'
));

/// Characters of the name of a URI scheme.
pub static SCHEME: Class =
    class!(b => b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));

/// Characters that may stand in a URI; which of them where, its grammar says.
pub static URI: Class = class!(b => b > 0x20 && b != 0x7f && !matches!(b, b'<' | b'>' | b'"'));

/// Characters of a URI outside of angle brackets.
pub static BARE_URI: Class = class!(b => URI.members[b as usize] && !matches!(b, b';' | b','));

/// What ends nothing and escapes nothing in a quoted string.
pub static QUOTED: Class = class!(b => !matches!(b, b'"' | b'\\'));

/// Characters of most users and hosts: they start nothing else in a URI.
pub static PLAIN_USER: Class =
    class!(b => b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'+'));

/// Characters of the parameters of a URI that are nothing but that.
pub static PLAIN_PARAMETERS: Class =
    class!(b => URI.members[b as usize] && !matches!(b, b'?' | b'@'));

/// All but the blank that separates the parts of a request line.
pub static NO_SPACE: Class = class!(b => b != b' ');

/// Characters that end nothing in a value: part of an unquoted display name.
pub static BARE: Class = class!(b => !matches!(b, b'<' | b'"' | b',' | b';' | b':' | b'>'));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_end_where_single_bytes_say() {
        for class in [&TOKEN, &HOST, &VALUE, &URI, &BARE_URI, &BARE] {
            let member = (0..=255).find(|&b| class.has(b)).expect("no class is empty");
            // Under miri, some thousand times slower, a few bytes at a few places.
            let (bytes, places) = if cfg!(miri) { (85, 19) } else { (1, 1) };
            for byte in (0..=255_u8).step_by(bytes) {
                for place in (0..40).step_by(places) {
                    let mut bytes = vec![member; 60];
                    bytes[place] = byte;
                    for (start, end) in [(0, 60), (0, 39), (3, 60), (7, 23), (59, 60), (60, 60)] {
                        assert_eq!(
                            class.run_end(&bytes, start, end),
                            class.run_end_by_byte(&bytes, start, end),
                            "byte {byte} at {place}, from {start} to {end}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn classes_are_those_of_the_grammar() {
        assert!(b"aZ09-.!%*_+`'~".iter().all(|&b| TOKEN.has(b)));
        assert!(b" \t\r\n()<>@,;:\\\"/[]?={}\x7f\x80\xff".iter().all(|&b| !TOKEN.has(b)));
        assert!(VALUE.has(b'[') && !VALUE.has(b';') && !VALUE.has(b'=') && !VALUE.has(b'"'));
        assert!(URI.has(0x80) && URI.has(b';') && !BARE_URI.has(b';') && !URI.has(b' '));
        assert!(BARE.has(b' ') && BARE.has(0xff) && !BARE.has(b':'));
    }
}
