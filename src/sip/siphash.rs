//! SipHash (Aumasson and Bernstein) over words: what keys, branches and tokens are hashed with.
//!
//! Owns: the rounds, and how texts become words without a copy. Knows nothing of what is hashed. A BPF program can
//! compute the same. The crate `siphasher`, which the tests compare with, takes bytes that a message does not hold in one
//! piece: gathering them and the calls cost 370 instructions of a typical INVITE (`make instructions`).

/// A key, ready to start from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SipKey {
    k0: u64,
    k1: u64,
}

impl SipKey {
    /// From 16 bytes.
    #[must_use]
    pub const fn new(bytes: &[u8; 16]) -> Self {
        let both = u128::from_le_bytes(*bytes);
        #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
        let k0 = both as u64;
        Self { k0, k1: (both >> 64) as u64 }
    }
}

impl zeroize::Zeroize for SipKey {
    fn zeroize(&mut self) {
        self.k0.zeroize();
        self.k1.zeroize();
    }
}

/// A hash in the making: SipHash-`C`-`D`, that is `C` rounds for each word and `D` at the end.
#[derive(Clone, Copy)]
pub struct SipHash<const C: usize, const D: usize> {
    v: [u64; 4],
    words: u64,
}

/// The fast one, where nothing is forged by guessing.
pub type SipHash13 = SipHash<1, 3>;
/// The one with the margin of its authors.
pub type SipHash24 = SipHash<2, 4>;

impl<const C: usize, const D: usize> SipHash<C, D> {
    /// For a result of 64 bits.
    #[must_use]
    #[inline]
    pub const fn new(key: &SipKey) -> Self {
        let v = [
            key.k0 ^ 0x736f_6d65_7073_6575,
            key.k1 ^ 0x646f_7261_6e64_6f6d,
            key.k0 ^ 0x6c79_6765_6e65_7261,
            key.k1 ^ 0x7465_6462_7974_6573,
        ];
        Self { v, words: 0 }
    }

    /// For a result of 128 bits.
    #[must_use]
    #[inline]
    pub const fn new_wide(key: &SipKey) -> Self {
        let mut hash = Self::new(key);
        hash.v[1] ^= 0xee;
        hash
    }

    /// Adds a word.
    #[inline]
    pub fn word(&mut self, word: u64) {
        self.words += 1;
        self.compress(word);
    }

    /// Adds a text, filled up with zeros to whole words. Where texts follow each other, their sizes have to be among the
    /// words in front of them: [`sizes`].
    #[inline]
    pub fn text(&mut self, text: &[u8]) {
        let (words, rest) = text.as_chunks();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            self.word(last_word(text, rest));
        }
    }

    /// The result of 64 bits.
    #[must_use]
    #[inline]
    pub fn finish(mut self) -> u64 {
        self.end(0xff);
        self.v[0] ^ self.v[1] ^ self.v[2] ^ self.v[3]
    }

    /// The result of 128 bits, the lower half first.
    #[must_use]
    #[inline]
    pub fn finish_wide(mut self) -> [u64; 2] {
        self.end(0xee);
        let low = self.v[0] ^ self.v[1] ^ self.v[2] ^ self.v[3];
        self.v[1] ^= 0xdd;
        self.rounds(D);
        [low, self.v[0] ^ self.v[1] ^ self.v[2] ^ self.v[3]]
    }

    /// The last block holds the number of bytes, modulo 256, on top; whole words leave nothing else for it.
    #[inline]
    fn end(&mut self, mark: u64) {
        self.compress(self.words << (3 + 56));
        self.v[2] ^= mark;
        self.rounds(D);
    }

    #[inline]
    fn compress(&mut self, word: u64) {
        self.v[3] ^= word;
        self.rounds(C);
        self.v[0] ^= word;
    }

    #[inline]
    fn rounds(&mut self, count: usize) {
        let [mut v0, mut v1, mut v2, mut v3] = self.v;
        for _ in 0..count {
            v0 = v0.wrapping_add(v1);
            v2 = v2.wrapping_add(v3);
            v1 = v1.rotate_left(13) ^ v0;
            v3 = v3.rotate_left(16) ^ v2;
            v0 = v0.rotate_left(32).wrapping_add(v3);
            v2 = v2.wrapping_add(v1);
            v1 = v1.rotate_left(17) ^ v2;
            v3 = v3.rotate_left(21) ^ v0;
            v2 = v2.rotate_left(32);
        }
        self.v = [v0, v1, v2, v3];
    }
}

/// The sizes of up to four texts in one word.
#[must_use]
#[inline]
pub fn sizes(texts: [&[u8]; 4]) -> u64 {
    texts.iter().fold(0, |word, text| word << 16 | text.len() as u64 & 0xffff)
}

/// What is left behind the whole words of `text`, filled up with zeros.
#[inline]
fn last_word(text: &[u8], rest: &[u8]) -> u64 {
    match text.last_chunk() {
        // One load that reaches back into the word before.
        Some(word) => u64::from_le_bytes(*word) >> (8 * (8 - rest.len())),
        None => rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
    }
}

#[cfg(test)]
mod tests {
    use std::hash::Hasher as _;

    use siphasher::sip128::Hasher128 as _;

    use super::*;

    const KEY: [u8; 16] = *b"0123456789abcdef";

    #[test]
    fn is_siphash() {
        let text: Vec<u8> = (0..=255).collect();
        for size in (0..text.len()).step_by(8) {
            let text = &text[..size];
            let key = SipKey::new(&KEY);

            let mut ours = SipHash13::new(&key);
            ours.text(text);
            let theirs = siphasher::sip::SipHasher13::new_with_key(&KEY).hash(text);
            assert_eq!(ours.finish(), theirs, "1-3 of {size} bytes");

            let mut ours = SipHash24::new(&key);
            ours.text(text);
            let theirs = siphasher::sip::SipHasher24::new_with_key(&KEY).hash(text);
            assert_eq!(ours.finish(), theirs, "2-4 of {size} bytes");

            let mut ours = SipHash24::new_wide(&key);
            ours.text(text);
            let mut theirs = siphasher::sip128::SipHasher24::new_with_key(&KEY);
            theirs.write(text);
            let theirs = theirs.finish128();
            assert_eq!(ours.finish_wide(), [theirs.h1, theirs.h2], "wide, {size} bytes");
        }
    }

    #[test]
    fn texts_are_filled_up_with_zeros() {
        for size in 0..40 {
            let text = vec![0xab; size];
            let mut padded = text.clone();
            padded.resize(size.next_multiple_of(8), 0);
            let [mut a, mut b] = [SipHash13::new(&SipKey::new(&KEY)); 2];
            a.text(&text);
            b.text(&padded);
            assert_eq!(a.finish(), b.finish(), "{size} bytes");
        }
        assert_ne!(sizes([b"ab", b"c", b"", b""]), sizes([b"a", b"bc", b"", b""]));
    }
}
