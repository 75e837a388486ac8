//! Reading source as text: what is code, what is comment or literal, and where the tests begin.
//!
//! Owns: a scanner that is good enough for rustfmt'ed Rust; it is no parser. Lines keep their numbers.

/// The source with comments, and what stands inside string and character literals, replaced by blanks.
pub(crate) fn code_only(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => at + line_end(&bytes[at..]),
            b'/' if bytes[at..].starts_with(b"/*") => at + comment_end(&bytes[at..]),
            b'"' => at + string_end(&bytes[at..]),
            b'r' if raw_hashes(&bytes[at..]).is_some() && !is_word_before(bytes, at) => {
                at + raw_end(&bytes[at..])
            }
            b'\'' => at + char_end(&bytes[at..]),
            _ => {
                at += 1;
                continue;
            }
        };
        let end = end.min(bytes.len());
        out[at..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        at = end;
    }
    String::from_utf8(out).expect("blanks replace whole literals and comments")
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Is the byte before `at` part of a word? `br"` starts a literal, `for r` does not make one of `r`.
fn is_word_before(bytes: &[u8], at: usize) -> bool {
    match at.checked_sub(1).map(|before| bytes[before]) {
        Some(b'b') => at >= 2 && is_word(bytes[at - 2]),
        Some(byte) => is_word(byte),
        None => false,
    }
}

fn line_end(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len())
}

fn comment_end(bytes: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if bytes[at..].starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    at
}

fn string_end(bytes: &[u8]) -> usize {
    let mut at = 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// The number of `#` when a raw string literal starts here.
fn raw_hashes(bytes: &[u8]) -> Option<usize> {
    let hashes = bytes[1..].iter().take_while(|byte| **byte == b'#').count();
    (bytes.get(1 + hashes) == Some(&b'"')).then_some(hashes)
}

fn raw_end(bytes: &[u8]) -> usize {
    let hashes = raw_hashes(bytes).expect("the caller asked");
    let close: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    let body = hashes + 2;
    let found = bytes[body..].windows(close.len()).position(|window| window == close);
    found.map_or(bytes.len(), |at| body + at + close.len())
}

/// The end of a character literal, or of the quote alone when it starts a lifetime.
fn char_end(bytes: &[u8]) -> usize {
    if bytes.get(1) == Some(&b'\\') {
        return bytes[3..].iter().position(|byte| *byte == b'\'').map_or(1, |at| at + 4);
    }
    let width = (2..6).find(|at| bytes.get(*at) == Some(&b'\''));
    match width {
        Some(2) => 3,
        // More than one byte between the quotes: one character beyond ASCII, or two lifetimes.
        Some(at) if !bytes[1].is_ascii() => at + 1,
        _ => 1,
    }
}

/// The part before the tests; by the order that the style asks for they come last.
pub(crate) fn without_tests(source: &str) -> &str {
    source.split("#[cfg(test)]\nmod ").next().expect("a split has a first part")
}

/// A file that only tests see.
pub(crate) fn is_test_path(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// Whether the word stands in the line, not as a part of a longer one.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = at.checked_sub(1).map(|index| line.as_bytes()[index]);
        let after = line.as_bytes().get(at + word.len()).copied();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

#[test]
fn comments_and_literals_are_no_code() {
    let source =
        "let a = \"unsafe \\\" x\"; // unsafe\nlet b = 'u'; /* unsafe\n /* deep */ unsafe */ c\n";
    let code = code_only(source);
    assert!(!code.contains("unsafe"), "{code}");
    assert!(code.contains("let b =") && code.ends_with(" c\n"), "{code}");
    assert_eq!(code.lines().count(), source.lines().count());
}

#[test]
fn raw_literals_and_lifetimes() {
    assert_eq!(code_only("r#\"unsafe \" x\"# + y"), format!("{} + y", " ".repeat(15)));
    assert_eq!(code_only("f<'a>(x: &'a u8, c: 'a)"), "f< a>(x: & a u8, c:  a)");
    assert_eq!(code_only("x('\\'', unsafe)"), "x(    , unsafe)");
    assert_eq!(code_only("x('\\n', b'\"', unsafe)"), "x(    , b   , unsafe)");
    assert_eq!(code_only("for r in var\"\""), "for r in var  ");
}

#[test]
fn a_word_is_whole() {
    assert!(has_word("an unsafe block", "unsafe") && has_word("unsafe", "unsafe"));
    assert!(!has_word("unsafe_code and not_unsafe", "unsafe"));
}

#[test]
fn tests_are_cut_off() {
    assert_eq!(without_tests("fn a() {}\n#[cfg(test)]\nmod tests {}\n"), "fn a() {}\n");
    assert!(is_test_path("src/sip/foo/tests.rs") && !is_test_path("src/sip/foo.rs"));
}
