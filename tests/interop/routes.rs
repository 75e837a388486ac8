//! Route fields: `loose_route()` of Kamailio and a request inside a dialog through the core.
//!
//! Each vector is run twice where it makes sense: as it was recorded, from outside and with a Route that carries no token
//! of ours; and as a client of ours would send it, with the Record-Route that our core wrote for the dialog.

use crate::edge::{Edge, Ours, Sent, Shape, decremented, without_their_via};
use crate::rr::file;
use crate::vector::{Vector, address, differs, group, replay, same};

/// Starts of Kamailio's own URIs in Route and Request-URI; each ends before `>` or a blank.
const OWN: [&str; 2] = ["sip:192.0.2.1;", "sip:192.0.2.1:5070;"];

fn shape(vector: &Vector<'_>) -> Shape {
    let is_pair = vector.case().starts_with("double own Route");
    Shape { send_from: is_pair.then_some(2), ..Shape::with_own_routes() }
}

/// The route set that the client of a dialog through `edge` has: our Record-Routes, the nearest first.
fn route_set(edge: &mut Edge, vector: &Vector<'_>) -> Vec<String> {
    let invite = "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.10:5060;branch=z9hG4bKinvite\r\n\
                  Max-Forwards: 70\r\nTo: <sip:bob@example.com>\r\nFrom: <sip:alice@example.com>;tag=1928301774\r\n\
                  Call-ID: a84b4c76e66710@example.com\r\nCSeq: 1 INVITE\r\nContact: <sip:alice@198.51.100.10>\r\n\r\n";
    let mut routes = Ours::new(&edge.forward_text(invite, vector).text).routes;
    routes.reverse();
    routes
}

/// The request with our `routes` in the place of Kamailio's own URIs.
fn with_routes(input: &str, routes: &[String]) -> String {
    let (mut text, mut rest) = (String::new(), input);
    let mut routes = routes.iter();
    while let Some(at) = OWN.iter().filter_map(|own| rest.find(own)).min() {
        let end = at + rest[at..].find(['>', ' ']).expect("the end of a URI");
        text += &rest[..at];
        text += routes.next().expect("as many own Routes as Record-Routes");
        rest = &rest[end..];
    }
    assert_eq!(routes.next(), None, "{input}");
    text + rest
}

fn assert_as_recorded(vector: &Vector<'_>, sent: &Sent) {
    let expected = decremented(&without_their_via(vector));
    assert_eq!(Ours::new(&sent.text).rest, expected, "{}", vector.case());
    assert_eq!(sent.to, vector.address("out_to"), "{}", vector.case());
    assert_eq!(sent.from, vector.address("out_from"), "{}", vector.case());
}

/// As a client of ours sends it.
fn check_along_token(vector: &Vector<'_>) {
    let mut edge = Edge::new(&shape(vector));
    let text = with_routes(vector.input(), &route_set(&mut edge, vector));
    assert_ne!(text, vector.input(), "{}", vector.case());
    assert_as_recorded(vector, &edge.forward_text(&text, vector));
}

/// As recorded: the Route is taken off although nobody knows it, and the Request-URI is a backend.
fn check_as_is(vector: &Vector<'_>) {
    assert_as_recorded(vector, &Edge::new(&shape(vector)).forward(vector));
}

fn check_same(vector: &Vector<'_>) {
    check_as_is(vector);
    check_along_token(vector);
}

/// Along the token as recorded; without it the pool gets the request, whatever the Routes and the Request-URI say.
fn check_token_or_pool(vector: &Vector<'_>) {
    check_along_token(vector);
    check_pool(vector);
}

/// From outside no Route is followed: the pool gets the request, here with another backend than the Route names.
fn check_pool(vector: &Vector<'_>) {
    let shape = shape(vector).with_backend("198.51.100.21:5060");
    let sent = Edge::new(&shape).forward(vector);
    assert_eq!(sent.to, address("198.51.100.21:5060"), "{}", vector.case());
    let first = |text: &str| text.lines().next().map(str::to_owned);
    assert_eq!(first(&sent.text), first(vector.input()), "{}", vector.case());
}

/// Kamailio's list edits of Routes behind its own are the same when the pool gets the request.
fn check_list(vector: &Vector<'_>) {
    check_token_or_pool(vector);
    check_as_is(vector);
}

#[test]
fn loose_route() {
    const CLOSED: &str = "no open relay: a Route from outside is followed only along a token of ours; else the pool gets the \
                          request";
    const SCRIPT: &str =
        "what the recorded script answers; the edge knows the next hop all the same";
    let rows = [
        same("single own Route*", 3),
        differs("own Route then foreign Route*", 2, CLOSED, check_list),
        same("double own Route (r2=on), two headers: send socket from the second", 1),
        same("double own Route (r2=on), one header", 1),
        differs("double own Route (r2=on) then foreign", 1, CLOSED, check_list),
        differs("foreign Route only", 1, CLOSED, check_pool),
        differs("no Route, R-URI is not us", 1, SCRIPT, |vector| {
            assert!(vector.out().starts_with("SIP/2.0 404 "));
            let sent = Edge::new(&shape(vector)).forward(vector);
            assert_eq!(sent.to, address("198.51.100.20:5060"), "the backend in the Request-URI");
        }),
        differs("no Route, R-URI is us (strict routing previous hop)", 1, SCRIPT, |vector| {
            assert!(vector.out().starts_with("SIP/2.0 404 "));
            check_pool(vector);
            let mut edge = Edge::new(&shape(vector));
            let text = with_routes(vector.input(), &route_set(&mut edge, vector));
            assert_eq!(edge.forward_text(&text, vector).to, address("198.51.100.20:5060"));
        }),
        differs("strict router next", 1, CLOSED, check_strict_ahead),
        differs("previous hop is a strict router*", 1, CLOSED, check_token_or_pool),
        differs("preloaded own Route, no To tag", 1, SCRIPT, |vector| {
            assert_eq!(vector.find("out"), None);
            let sent = Edge::new(&shape(vector)).forward(vector);
            assert!(!sent.text.contains("\r\nRoute:"), "RFC 3261 16.4: {}", sent.text);
            check_pool(vector);
        }),
        differs(
            "own Route with user part",
            1,
            "the same; a client of ours has a token there",
            check_as_is,
        ),
        differs(
            "own Route with another port: not us",
            1,
            "no open relay: Kamailio sends it to that port",
            |vector| {
                assert!(vector.text("side").contains("du=sip:192.0.2.1:5999;lr"));
                let sent = Edge::new(&shape(vector)).forward(vector);
                assert_eq!(
                    sent.to,
                    address("198.51.100.20:5060"),
                    "the backend in the Request-URI"
                );
                assert_eq!(Ours::new(&sent.text).rest, decremented(vector.input()));
            },
        ),
        same("own Route with transport=tcp*", 1),
        same("lr=on form", 1),
        differs("advertised address is us", 1, "the same, without a token", check_as_is),
        differs("Route with display name and header params", 1, CLOSED, check_list),
    ];
    replay(&group(&file(), "loose_route"), &rows, check_same);
}

/// RFC 3261 16.6 step 6 along a token. Kamailio appends the Request-URI behind the last field, we behind the last Route.
fn check_strict_ahead(vector: &Vector<'_>) {
    check_pool(vector);
    let mut edge = Edge::new(&shape(vector));
    let text = with_routes(vector.input(), &route_set(&mut edge, vector));
    let sent = edge.forward_text(&text, vector);
    let moved = "Route: <sip:bob@198.51.100.99>\r\n";
    let recorded = decremented(&without_their_via(vector));
    let length = "Content-Length: 0\r\n";
    let expected = recorded.replace(&format!("{length}{moved}"), &format!("{moved}{length}"));
    assert_ne!(recorded, expected);
    assert_eq!(Ours::new(&sent.text).rest, expected);
    assert_eq!(sent.to, vector.address("out_to"));
}
