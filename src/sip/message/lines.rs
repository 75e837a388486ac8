//! Where the lines of a message end, and bytes that no line may hold: 64 bytes at a time.
//!
//! Owns: the search for line feeds, for a CR without an LF behind it, and for NUL. Knows no field and no folding. Offsets
//! are bytes from the start of the message.
//!
//! A search that starts anew for each line pays its start for each line: with the names compared as words
//! (`field_name`), this saves 1,600 instructions of a typical INVITE (`make instructions`).

use wide::u8x16;

/// Bytes of one step: one bit of a word each.
const STEP: usize = 64;
/// After so many steps without a line feed the rest of the line is searched in one piece.
const LONG_STEPS: usize = 4;

/// The line ends of a header as nearly everybody writes it: each a CR with an LF behind it, and no other control character.
/// One bit for each byte up to CR is all that a step is asked for, 40 instructions; [`LineFeeds`] asks for three.
#[derive(Debug, Clone)]
pub(super) struct LineEnds<'a> {
    bytes: &'a [u8],
    /// Where the step of `found` starts.
    base: usize,
    /// Where runs of bytes up to CR start in this step, without those that were told.
    found: u64,
    /// 1 when the last byte of this step is up to CR: a run goes on.
    carry: u64,
}

impl<'a> LineEnds<'a> {
    /// From `start` on.
    #[inline]
    pub(super) fn new(bytes: &'a [u8], start: usize) -> Self {
        let mut ends = Self { bytes, base: start, found: 0, carry: 0 };
        ends.find();
        ends
    }

    /// Where the next CR with an LF behind it stands; `None` when another control character or the end of the bytes comes
    /// before, or nothing for long. What stands behind the LF is not looked at: when it is a control character, the next call
    /// passes over it.
    #[inline]
    pub(super) fn next_end(&mut self) -> Option<usize> {
        let mut steps = 0;
        while self.found == 0 {
            self.base += STEP;
            if steps == LONG_STEPS || self.base >= self.bytes.len() {
                return None;
            }
            steps += 1;
            self.find();
        }
        let place = self.base + self.found.trailing_zeros() as usize;
        self.found &= self.found - 1;
        matches!(self.bytes.get(place..place + 2), Some(b"\r\n")).then_some(place)
    }

    /// Reads the step at `base`.
    #[inline]
    fn find(&mut self) {
        let up_to_cr = match self.bytes.get(self.base..).and_then(<[u8]>::first_chunk) {
            Some(step) => up_to_cr(step),
            None => self.last_step(),
        };
        self.found = up_to_cr & !(up_to_cr << 1 | self.carry);
        self.carry = up_to_cr >> (STEP - 1);
    }

    /// The rest of the bytes, shorter than a step.
    fn last_step(&self) -> u64 {
        let rest = self.bytes.get(self.base..).unwrap_or_default();
        if let Some(step) = self.bytes.last_chunk() {
            // Most of it was read before.
            return up_to_cr(step).checked_shr(narrow(STEP - rest.len())).unwrap_or(0);
        }
        let mut step = [b' '; STEP];
        step[..rest.len()].copy_from_slice(rest);
        up_to_cr(&step)
    }
}

/// A number of bytes within a step.
fn narrow(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// The bytes up to CR, a bit each.
#[inline]
fn up_to_cr(step: &[u8; STEP]) -> u64 {
    let cr = u8x16::splat(b'\r');
    let mut bits = 0;
    for (place, lane) in step.as_chunks::<16>().0.iter().enumerate() {
        let lane = u8x16::new(*lane);
        bits |= u64::from(lane.min(cr).simd_eq(lane).to_bitmask()) << (place * 16);
    }
    bits
}

/// The offsets of line feeds, in order, whatever stands between them.
#[derive(Debug, Clone)]
pub(super) struct LineFeeds<'a> {
    bytes: &'a [u8],
    /// Where the step of `found` starts.
    base: usize,
    /// The line feeds of this step that were not told yet, the lowest bit first.
    found: u64,
    /// The first stray byte of the steps so far; `usize::MAX` when there was none.
    stray: usize,
}

impl<'a> LineFeeds<'a> {
    /// From `start` on.
    pub(super) fn new(bytes: &'a [u8], start: usize) -> Self {
        let mut feeds = Self { bytes, base: start, found: 0, stray: usize::MAX };
        feeds.find();
        feeds
    }

    /// A CR without an LF behind it, or a NUL, stands before `end`, which is not behind the last line feed told.
    pub(super) fn has_stray_before(&self, end: usize) -> bool {
        self.stray < end
    }

    /// Reads the step at `base`.
    #[inline]
    fn find(&mut self) {
        let rest = self.bytes.get(self.base..).unwrap_or_default();
        let marks = match rest.split_first_chunk() {
            Some((step, behind)) => Marks::of(step, behind.first() == Some(&b'\n')),
            None => {
                let mut step = [b' '; STEP];
                step[..rest.len()].copy_from_slice(rest);
                Marks::of(&step, false)
            }
        };
        self.found = marks.feeds;
        if marks.strays != 0 {
            self.stray = self.stray.min(self.base + marks.strays.trailing_zeros() as usize);
        }
    }
}

impl Iterator for LineFeeds<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let mut empty_steps = 0;
        while self.found == 0 {
            self.base += STEP;
            if empty_steps == LONG_STEPS {
                // A line of such a size is worth the start of a search that takes larger steps.
                let rest = self.bytes.get(self.base..)?;
                self.base += memchr::memchr3(b'\n', b'\r', 0, rest)?;
            }
            if self.base >= self.bytes.len() {
                return None;
            }
            empty_steps += 1;
            self.find();
        }
        let place = self.base + self.found.trailing_zeros() as usize;
        self.found &= self.found - 1;
        Some(place)
    }
}

/// What stands in a step, a bit for each byte.
struct Marks {
    feeds: u64,
    /// CR without an LF behind it, and NUL.
    strays: u64,
}

impl Marks {
    /// `has_feed_behind`: the byte behind the step is an LF.
    #[inline]
    fn of(step: &[u8; STEP], has_feed_behind: bool) -> Self {
        let lanes = step.as_chunks::<16>().0;
        let bits = |wanted: u8| {
            let wanted = u8x16::splat(wanted);
            let mut bits = 0;
            for (place, lane) in lanes.iter().enumerate() {
                bits |= u64::from(u8x16::new(*lane).simd_eq(wanted).to_bitmask()) << (place * 16);
            }
            bits
        };
        let feeds = bits(b'\n');
        let lone = bits(b'\r') & !(feeds >> 1 | u64::from(has_feed_behind) << 63);
        // One look for all lanes: a message has none.
        let least = lanes.iter().fold(u8x16::MAX, |least, lane| least.min(u8x16::new(*lane)));
        let has_nul = least.simd_eq(u8x16::ZERO).to_bitmask() != 0;
        let nuls = if has_nul { bits(0) } else { 0 };
        Self { feeds, strays: lone | nuls }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_a_plain_search_finds() {
        // Under miri, some thousand times slower, a few.
        let sizes: Vec<usize> = if cfg!(miri) {
            vec![0, 1, 63, 65, 140]
        } else {
            (0..200).chain([400, 700, 1000]).collect()
        };
        let strides = [1, 2, 7, 15, 16, 17, 63, 64, 65, 100, 330];
        for size in sizes {
            for stride in strides.into_iter().step_by(if cfg!(miri) { 4 } else { 1 }) {
                let bytes: Vec<u8> =
                    (0..size).map(|n| if n % stride == 0 { b'\n' } else { b'x' }).collect();
                let step = if size > 200 || cfg!(miri) { 13 } else { 1 };
                for start in (0..=size).step_by(step) {
                    let plain: Vec<usize> = (start..size).filter(|&n| bytes[n] == b'\n').collect();
                    let found: Vec<usize> = LineFeeds::new(&bytes, start).collect();
                    assert_eq!(found, plain, "{size} bytes, every {stride}, from {start}");
                }
            }
        }
    }
    #[test]
    fn line_ends_are_found_up_to_anything_else() {
        let sizes =
            if cfg!(miri) { vec![70] } else { vec![1, 2, 61, 62, 63, 64, 65, 66, 130, 200] };
        for size in sizes {
            for text in [
                b"\r\n".as_slice(),
                b"\r\n\r\n",
                b"\n",
                b"\r",
                b"\t",
                b"\0",
                b"\r\n\n",
                b"\xff\r\n",
            ] {
                for place in (0..=size).step_by(if cfg!(miri) { 9 } else { 1 }) {
                    let mut bytes = vec![b'x'; size];
                    bytes.splice(place..place, text.iter().copied());
                    bytes.extend(b"y\r\n");
                    for start in [0, 1, place] {
                        let mut ends = LineEnds::new(&bytes, start);
                        let mut at = start;
                        loop {
                            let is_control = |at: &usize| bytes[*at] <= b'\r';
                            let control = (at..bytes.len()).find(is_control);
                            let plain = control.filter(|at| bytes[*at..].starts_with(b"\r\n"));
                            let shown = (bytes.escape_ascii().to_string(), start, at);
                            assert_eq!(ends.next_end(), plain, "{shown:?}");
                            let Some(end) = plain else { break };
                            // The rest of this run is not told.
                            let run =
                                bytes[end..].iter().take_while(|&&byte| byte <= b'\r').count();
                            at = end + run;
                        }
                    }
                }
            }
        }
        let long = [&[b'x'; STEP * (LONG_STEPS + 2)][..], b"\r\n"].concat();
        assert_eq!(LineEnds::new(&long, 0).next_end(), None);
    }

    #[test]
    fn finds_the_first_stray_byte_that_a_plain_search_finds() {
        let sizes = if cfg!(miri) { vec![70] } else { vec![1, 63, 64, 65, 130, 700] };
        for size in sizes {
            for text in [b"\0".as_slice(), b"\r", b"\rx", b"\r\r\n", b"\r\n", b"\r\n\0", b"\n\r"] {
                for place in (0..=size).step_by(if cfg!(miri) { 9 } else { 1 }) {
                    let mut bytes = vec![b'x'; size];
                    bytes.splice(place..place, text.iter().copied());
                    bytes.push(b'\n');
                    let is_stray = |at: &usize| {
                        bytes[*at] == 0 || (bytes[*at] == b'\r' && bytes[*at + 1] != b'\n')
                    };
                    let plain = (0..bytes.len()).find(is_stray);
                    let mut feeds = LineFeeds::new(&bytes, 0);
                    assert_eq!(feeds.by_ref().last(), Some(bytes.len() - 1));
                    for end in [0, place, place + 1, place + 2, bytes.len()] {
                        let expected = plain.is_some_and(|at| at < end);
                        assert_eq!(
                            feeds.has_stray_before(end),
                            expected,
                            "{text:?} at {place} of {size}"
                        );
                    }
                }
            }
        }
    }
}
