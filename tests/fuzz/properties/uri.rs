//! URIs and name-addrs: the parts that the views name put together again are what was read.
//!
//! Owns: what holds for `Uri`, `NameAddr` and `host_address`. The input is one value, for both.

use std::net::IpAddr;

use sipedge::sip::message::lex::Cursor;
use sipedge::sip::message::uri::host_address;
use sipedge::sip::message::{Malformed, NameAddr, Scheme, Span, Uri};

use super::datagram;

/// Stands in front when it is shown that nothing depends on where a value stands.
const FRONT: &[u8] = b"To: \"<;";

pub(crate) fn check(bytes: &[u8]) {
    let bytes = &datagram(bytes)[..bytes.len().min(65_535 - FRONT.len())];
    let found = Uri::parse(bytes, Span::new(0, bytes.len()));
    if let Ok(uri) = &found {
        parts_make_the_whole(bytes, uri);
        parameters_are_found(bytes, uri);
        assert_eq!(uri.address(bytes), address(uri.host.of(bytes)), "{}", bytes.escape_ascii());
    }
    place_does_not_matter(bytes, found);
    assert_eq!(host_address(bytes), address(bytes), "{}", bytes.escape_ascii());
    name_addrs(bytes);
}

fn parts_make_the_whole(bytes: &[u8], uri: &Uri) {
    let text = |span: Span| span.of(bytes);
    let shown = || format!("{uri:?} of {}", bytes.escape_ascii());
    assert_eq!(text(uri.whole), bytes);
    let colon = bytes.iter().position(|&b| b == b':').unwrap_or_else(|| panic!("{}", shown()));
    let behind_scheme = &bytes[colon + 1..];
    assert!(
        behind_scheme.iter().all(|b| *b > b' ' && *b != 0x7f && !b"<>\"".contains(b)),
        "{}",
        shown()
    );
    match uri.scheme {
        Scheme::Sip | Scheme::Sips => {
            let user_info = if uri.has_user {
                behind_scheme.split_inclusive(|&b| b == b'@').next().expect("there is an @")
            } else {
                &[]
            };
            assert!(user_info.starts_with(text(uri.user)), "{}", shown());
            assert!(!uri.has_user || !uri.user.is_empty(), "{}", shown());
            let headers = &bytes[usize::from(uri.parameters.end)..];
            assert!(matches!(headers.first(), None | Some(b'?')), "{}", shown());
            let parameters = text(uri.parameters);
            assert!(matches!(parameters.first(), None | Some(b';')), "{}", shown());
            let built = [user_info, text(uri.host_port), parameters, headers].concat();
            assert_eq!(built, behind_scheme, "{}", shown());
            host_and_port(text(uri.host_port), text(uri.host), uri.port);
        }
        Scheme::Tel => {
            assert_eq!([text(uri.user), text(uri.parameters)].concat(), behind_scheme);
        }
        Scheme::Urn | Scheme::Other => {}
    }
}

/// `whole` is `host`, or `host`, a colon and digits.
pub(super) fn host_and_port(whole: &[u8], host: &[u8], port: Option<u32>) {
    assert!(!host.is_empty() && whole.starts_with(host), "{}", whole.escape_ascii());
    let digits = &whole[host.len()..];
    let Some(port) = port else {
        assert!(digits.is_empty(), "{}", whole.escape_ascii());
        return;
    };
    let digits = digits.trim_ascii().strip_prefix(b":").expect("a colon in front of a port");
    let digits = std::str::from_utf8(digits.trim_ascii()).expect("digits");
    let number = digits.parse().unwrap_or(u32::MAX);
    assert_eq!(port, number, "{digits}");
}

/// Each parameter is found by its name in any case, and the first of a name wins.
fn parameters_are_found(bytes: &[u8], uri: &Uri) {
    let all = uri.parameters.of(bytes).split(|&b| b == b';').skip(1);
    // A hundred are as good as all, and each look-up reads them all.
    let mut seen: Vec<Vec<u8>> = Vec::new();
    for parameter in all.take(100) {
        let mut halves = parameter.splitn(2, |&b| b == b'=');
        let name = halves.next().unwrap_or_default().to_ascii_uppercase();
        let value = halves.next().unwrap_or_default();
        if !seen.contains(&name) {
            assert_eq!(uri.parameter(bytes, &name), Some(value));
            seen.push(name);
        }
    }
    assert_eq!(uri.is_loose(bytes), uri.parameter(bytes, b"LR").is_some());
}

fn place_does_not_matter(bytes: &[u8], found: Result<Uri, Malformed>) {
    let moved = [FRONT, bytes].concat();
    let again = Uri::parse(&moved, Span::new(FRONT.len(), moved.len()));
    match (found, again) {
        (Ok(one), Ok(other)) => {
            let parts = |uri: &Uri, bytes: &[u8]| {
                [uri.whole, uri.user, uri.host, uri.host_port, uri.parameters]
                    .map(|span| span.of(bytes).to_vec())
            };
            assert_eq!(parts(&one, bytes), parts(&other, &moved));
            assert_eq!(
                (one.scheme, one.has_user, one.port),
                (other.scheme, other.has_user, other.port)
            );
        }
        (Err(one), Err(other)) => {
            assert_eq!(usize::from(one.at) + FRONT.len(), usize::from(other.at));
        }
        (one, other) => panic!("{one:?} became {other:?}: {}", bytes.escape_ascii()),
    }
}

/// The slow way: the parser of the standard library.
fn address(host: &[u8]) -> Option<IpAddr> {
    let inner = host.strip_prefix(b"[").and_then(|h| h.strip_suffix(b"]")).unwrap_or(host);
    std::str::from_utf8(inner).ok()?.parse().ok()
}

/// The input as the value of a field: the values in it stand apart, in order, and can each be read alone.
fn name_addrs(bytes: &[u8]) {
    let mut cursor = Cursor::new(bytes, Span::new(0, bytes.len()));
    let mut behind = 0;
    loop {
        let before = cursor.at();
        let Ok(found) = NameAddr::parse(bytes, &mut cursor) else { return };
        let (start, end) = (usize::from(found.value.start), usize::from(found.value.end));
        assert!(behind <= start && start < end && end <= cursor.at() && before < cursor.at());
        assert!(found.value.start <= found.uri.start && found.uri.end <= found.value.end);
        assert!(!found.uri.is_empty());
        assert!(found.tag.is_empty() || found.uri.end < found.tag.start);
        behind = cursor.at();

        let alone = found.value.of(bytes);
        let mut again = Cursor::new(alone, Span::new(0, alone.len()));
        let again = NameAddr::parse(alone, &mut again)
            .unwrap_or_else(|error| panic!("{error:?}: {}", alone.escape_ascii()));
        assert_eq!(again.value.of(alone), alone);
        assert_eq!(again.uri.of(alone), found.uri.of(bytes), "{}", alone.escape_ascii());
        assert_eq!(again.tag.of(alone), found.tag.of(bytes), "{}", alone.escape_ascii());
        if !cursor.eat_separator(b',') {
            return;
        }
    }
}
