//! No text, however broken, makes the reader panic; and what it says of it can be printed.

use std::path::Path;

use proptest::prelude::*;

use super::parse;

const FULL: &str = include_str!("../../config/sipedge.toml");

/// `text` with the bytes of `range` replaced, as far as that leaves text.
fn spliced(text: &str, start: usize, length: usize, instead: &str) -> String {
    let start = start % text.len();
    let end = (start + length).min(text.len());
    let mut bytes = text.as_bytes().to_vec();
    bytes.splice(start..end, instead.bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

fn print_all(text: &str) {
    let problems = match parse(Path::new("a.toml"), text) {
        Ok((_, problems)) | Err(problems) => problems,
    };
    let shown = problems.to_string();
    let (errors, warnings) = (shown.matches("error: ").count(), shown.matches("warning: ").count());
    assert!(errors + warnings >= problems.sorted().len(), "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_broken_configuration_is_only_reported(
        start in 0_usize..10_000,
        length in 0_usize..200,
        instead in "[\\PC\n\"\\[\\]{}=.#]{0,20}",
    ) {
        print_all(&spliced(FULL, start, length, &instead));
    }

    #[test]
    fn any_text_is_only_reported(text in "[a-z\"'\\[\\]{}=.,:;# \n\u{e4}0-9]{0,200}") {
        print_all(&text);
    }

    #[test]
    fn any_address_is_only_reported(text in "\\PC{0,40}") {
        let _ = super::address::listener(&text);
        let _ = super::address::listener(&format!("udp:{text}"));
        let _ = super::address::advertised(&text);
        let _ = super::address::admin(&text);
        let _ = super::address::backend(&text);
        let _ = super::address::backend(&format!("sip:{text}"));
    }
}
