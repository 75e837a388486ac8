//! Where one of two bytes stands in a text: 64 bytes at a time.
//!
//! Owns: the search. Knows no message. Offsets are bytes from the start of the text.
//!
//! `memchr2` starts anew behind each hit; a header has one in each line, and a step asks for all of them at once.

use wide::u8x16;

/// Bytes of one step: one bit of a word each.
const STEP: usize = 64;

/// The offsets of the bytes `A` and `B`, in order.
#[derive(Debug, Clone)]
pub(super) struct Places<'a, const A: u8, const B: u8> {
    text: &'a [u8],
    /// Where the step of `found` starts.
    base: usize,
    /// The places of this step that were not told yet, the lowest bit first.
    found: u64,
}

impl<'a, const A: u8, const B: u8> Places<'a, A, B> {
    /// From the start of `text` on.
    pub(super) fn new(text: &'a [u8]) -> Self {
        let mut places = Self { text, base: 0, found: 0 };
        places.find();
        places
    }

    /// Reads the step at `base`.
    #[inline]
    fn find(&mut self) {
        let rest = self.text.get(self.base..).unwrap_or_default();
        let mut last = [0; STEP];
        let (step, there) = if let Some(step) = rest.first_chunk() {
            (step, u64::MAX)
        } else {
            last[..rest.len()].copy_from_slice(rest);
            (&last, (1 << rest.len()) - 1)
        };
        let (a, b) = (u8x16::splat(A), u8x16::splat(B));
        let mut bits = 0;
        for (place, lane) in step.as_chunks::<16>().0.iter().enumerate() {
            let lane = u8x16::new(*lane);
            bits |= u64::from((lane.simd_eq(a) | lane.simd_eq(b)).to_bitmask()) << (place * 16);
        }
        self.found = bits & there;
    }
}

impl<const A: u8, const B: u8> Iterator for Places<'_, A, B> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.found == 0 {
            self.base += STEP;
            if self.base >= self.text.len() {
                return None;
            }
            self.find();
        }
        let place = self.base + self.found.trailing_zeros() as usize;
        self.found &= self.found - 1;
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_a_plain_search_finds() {
        let sizes = if cfg!(miri) { 60..70 } else { 0..200 };
        for size in sizes {
            for (stride, offset) in [(1, 0), (2, 1), (7, 3), (63, 0), (64, 63), (65, 64), (500, 0)]
            {
                let byte = |at: usize| match at % stride == offset % stride {
                    true if at.is_multiple_of(2) => b'~',
                    true => b'\n',
                    false => 0,
                };
                let text: Vec<u8> = (0..size).map(byte).collect();
                let plain: Vec<usize> =
                    (0..size).filter(|&at| b"\n~".contains(&text[at])).collect();
                let found: Vec<usize> = Places::<b'\n', b'~'>::new(&text).collect();
                assert_eq!(found, plain, "{size} bytes, every {stride}");
                let zeros: Vec<usize> = (0..size).filter(|&at| text[at] == 0).collect();
                assert_eq!(Places::<0, 0>::new(&text).collect::<Vec<_>>(), zeros);
            }
        }
    }
}
