//! The 64 digits that name shards, keys and listeners in branches and tokens: the alphabet of base64url.
//!
//! Owns: the alphabet, which `ebpf/steer.h` knows too. All of it may stand in a branch and in the user part of a URI.

/// By value.
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The digit of the lowest six bits of a value.
#[must_use]
pub fn digit(value: u8) -> u8 {
    DIGITS[usize::from(value & 63)]
}

/// The value of a digit.
#[must_use]
pub const fn digit_value(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_has_its_digit_and_no_other_byte_has_a_value() {
        for value in 0..64 {
            assert_eq!(digit_value(digit(value)), Some(value));
        }
        assert_eq!((0..=255).filter_map(digit_value).count(), 64);
    }
}
