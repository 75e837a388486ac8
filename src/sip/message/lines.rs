//! Where the lines of a message end: 64 bytes at a time.
//!
//! Owns: the search for line feeds. Knows no field and no folding. Offsets are bytes from the start of the message.
//!
//! A search that starts anew for each line pays its start for each line: with the names compared as words
//! (`field_name`), this saves 1,600 instructions of a typical INVITE (`make instructions`).

use wide::u8x16;

/// Bytes of one step: one bit of a word each.
const STEP: usize = 64;
/// After so many steps without a line feed the rest of the line is searched in one piece.
const LONG_STEPS: usize = 4;

/// The offsets of line feeds, in order.
#[derive(Debug, Clone)]
pub(super) struct LineFeeds<'a> {
    bytes: &'a [u8],
    /// Where the step of `found` starts.
    base: usize,
    /// The line feeds of this step that were not told yet, the lowest bit first.
    found: u64,
}

impl<'a> LineFeeds<'a> {
    /// From `start` on.
    pub(super) fn new(bytes: &'a [u8], start: usize) -> Self {
        Self { bytes, base: start, found: find(bytes, start) }
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
                self.base += memchr::memchr(b'\n', rest)?;
            }
            if self.base >= self.bytes.len() {
                return None;
            }
            empty_steps += 1;
            self.found = find(self.bytes, self.base);
        }
        let place = self.base + self.found.trailing_zeros() as usize;
        self.found &= self.found - 1;
        Some(place)
    }
}

/// The line feeds of the step at `base`, a bit each.
#[inline]
fn find(bytes: &[u8], base: usize) -> u64 {
    if let Some(step) = bytes.get(base..).and_then(<[u8]>::first_chunk) {
        return line_feeds(step);
    }
    let rest = bytes.get(base..).unwrap_or_default();
    let mut step = [0; STEP];
    step[..rest.len()].copy_from_slice(rest);
    line_feeds(&step)
}

#[inline]
fn line_feeds(step: &[u8; STEP]) -> u64 {
    let feed = u8x16::splat(b'\n');
    let mut bits = 0;
    for (place, lane) in step.as_chunks::<16>().0.iter().enumerate() {
        bits |= u64::from(u8x16::new(*lane).simd_eq(feed).to_bitmask()) << (place * 16);
    }
    bits
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
}
