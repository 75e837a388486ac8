//! Who may change the node.
//!
//! Owns: the rules. Over the unix socket: whoever could open it. Over TCP: whoever shows the token. A page of another site
//! that a browser shows may never, whatever it sends along. To look is open to all who reach the listener.

use axum::http::{HeaderMap, StatusCode, header};

use super::answer::Refusal;
use crate::config::secret::Token;

/// Whether a request may change things.
pub(super) fn allows(
    token: Option<&Token>,
    is_local: bool,
    headers: &HeaderMap,
) -> Result<(), Refusal> {
    if is_of_another_site(headers) {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "the request comes from a page of another site",
            "use the node's own page, or `sipedge ctl`",
        ));
    }
    if is_local {
        return Ok(());
    }
    let Some(token) = token else {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "no token is configured, so nobody may change anything over TCP",
            "write token = \"file:/etc/sipedge/token\" into [admin] and restart, or set socket there and use it: \
             sipedge ctl -s /run/sipedge/sipedge.sock",
        ));
    };
    let shown = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
    match shown.map(|shown| bearer(shown).is_some_and(|shown| token.is(shown))) {
        Some(true) => Ok(()),
        Some(false) => Err(Refusal::new(
            StatusCode::UNAUTHORIZED,
            "this is not the token",
            "the token is what token in [admin] names, as it was when the node started",
        )),
        None => Err(Refusal::new(
            StatusCode::UNAUTHORIZED,
            "a token is needed to change something",
            "send the header `Authorization: Bearer TOKEN`, or give it to `sipedge ctl --token file:PATH`",
        )),
    }
}

/// RFC 6750 2.1, the scheme without case as RFC 9110 11.1 has it.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// A browser says where the page is from that asks: in Origin, newer ones in Sec-Fetch-Site.
fn is_of_another_site(headers: &HeaderMap) -> bool {
    let text = |name: header::HeaderName| headers.get(name).map(|value| value.as_bytes());
    if let Some(origin) = text(header::ORIGIN) {
        let host = text(header::HOST).unwrap_or_default();
        let own = |scheme: &[u8]| {
            origin.strip_prefix(scheme).is_some_and(|o| o.eq_ignore_ascii_case(host))
        };
        return host.is_empty() || !(own(b"http://") || own(b"https://"));
    }
    text(header::HeaderName::from_static("sec-fetch-site"))
        .is_some_and(|site| site != b"same-origin" && site != b"none")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::secret;

    const TOKEN: &str = "0123456789abcdef";

    fn status(is_local: bool, fields: &[(&'static str, &str)]) -> u16 {
        let token = secret::token(TOKEN, std::path::Path::new(".")).unwrap();
        status_with(Some(&token), is_local, fields)
    }

    fn status_with(token: Option<&Token>, is_local: bool, fields: &[(&'static str, &str)]) -> u16 {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        allows(token, is_local, &headers).map_or_else(|refusal| refusal.status.as_u16(), |()| 200)
    }

    #[test]
    fn the_token_opens_and_nothing_else_does() {
        assert_eq!(status(false, &[("authorization", "Bearer 0123456789abcdef")]), 200);
        assert_eq!(status(false, &[("authorization", "bearer  0123456789abcdef ")]), 200);
        for wrong in
            ["Bearer 0123456789abcde", "Bearer", "Basic 0123456789abcdef", "0123456789abcdef", ""]
        {
            assert_eq!(status(false, &[("authorization", wrong)]), 401, "{wrong}");
        }
        assert_eq!(status(false, &[]), 401);
        assert_eq!(status_with(None, false, &[("authorization", "Bearer ")]), 403);
        assert_eq!(status_with(None, false, &[("authorization", "Bearer 0123456789abcdef")]), 403);
    }

    #[test]
    fn the_unix_socket_opens_by_itself() {
        assert_eq!(status(true, &[]), 200);
        assert_eq!(status_with(None, true, &[]), 200);
    }

    #[test]
    fn other_sites_are_refused_with_and_without_the_token() {
        let token = ("authorization", "Bearer 0123456789abcdef");
        let host = ("host", "10.0.0.1:9060");
        let check = |fields: &[(&'static str, &str)], expected: u16| {
            let fields = [&[token, host], fields].concat();
            assert_eq!(status(false, &fields), expected, "{fields:?}");
        };
        check(&[("origin", "http://10.0.0.1:9060")], 200);
        check(&[("origin", "https://10.0.0.1:9060")], 200);
        check(&[("origin", "http://10.0.0.1:9061")], 403);
        check(&[("origin", "http://evil.example")], 403);
        check(&[("origin", "null")], 403);
        check(&[("sec-fetch-site", "cross-site")], 403);
        check(&[("sec-fetch-site", "same-origin")], 200);
        assert_eq!(status(true, &[("origin", "http://evil.example")]), 403);
    }
}
