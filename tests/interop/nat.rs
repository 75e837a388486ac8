//! Clients behind NAT: what `nathelper` does to a Contact is done by our Record-Route and Path, and the Contact stays.

use serde_json::Value;

use crate::edge::{Edge, Ours, Shape, decremented, without_their_via};
use crate::rr::assert_leads_back;
use crate::rule;
use crate::vector::{Vector, assert_groups, differs, group, later, replay};

fn file() -> Value {
    serde_json::from_str(include_str!("kamailio/nat.json")).expect("JSON")
}

#[test]
fn every_group_is_accounted_for() {
    assert_groups(&file(), &["alias", "nat_uac_test"]);
}

fn line<'a>(text: &'a str, start: &str) -> &'a str {
    text.split_inclusive('\n').find(|line| line.starts_with(start)).expect("a line")
}

/// Kamailio's edits of the Via, and no other: the Contact stays. A request of the callee, or of the registrar, finds its
/// way to the source through the NAT by our token.
fn check_contact_stays(vector: &Vector<'_>) {
    let mut edge = Edge::new(&Shape::with_own_routes());
    let sent = edge.forward(vector);
    let ours = Ours::new(&sent.text);
    rule::check_ours(vector, &sent.text);
    let theirs = decremented(&without_their_via(vector));
    let contact = line(vector.input(), "Contact: ");
    let expected = theirs.replace(line(&theirs, "Contact: "), contact);
    // There is none to change in `Contact: *`.
    let is_kept = theirs == expected;
    rule::check_theirs(vector, if is_kept { Ok(()) } else { Err(rule::Broken) });
    assert_eq!(ours.rest, expected, "{}", vector.case());
    assert!(line(&ours.rest, "Via: ").contains(";received="), "{}", vector.case());
    assert_eq!(sent.to, vector.address("out_to"), "{}", vector.case());
    assert_eq!(sent.from, vector.address("out_from"), "{}", vector.case());
    let is_register = vector.input().starts_with("REGISTER");
    let (name, to_tag) =
        if is_register { ("Path", "") } else { ("Record-Route", ";tag=1928301774") };
    assert_eq!(ours.routes_name, name, "{}", vector.case());
    assert_leads_back(&mut edge, vector, &sent, &ours.routes, to_tag);
}

/// The Via says where it came from when the client asks; the token leads there in any case.
fn check_flow(vector: &Vector<'_>) {
    let mut edge = Edge::new(&Shape::with_own_routes());
    let sent = edge.forward(vector);
    let ours = Ours::new(&sent.text);
    let noted = format!(";received={};rport={}", vector.source().ip(), vector.source().port());
    let asks = line(vector.input(), "Via: ").contains(";rport");
    assert_eq!(line(&ours.rest, "Via: ").contains(&noted), asks, "{}", vector.case());
    assert_leads_back(&mut edge, vector, &sent, &ours.routes, ";tag=1928301774");
}

#[test]
fn contacts_behind_nat() {
    const WHY: &str =
        "the Contact is the client's: the flow is sealed in our Record-Route or Path instead";
    const ALIAS: &str =
        "an alias in a Request-URI is Kamailio's own: reading it comes with its compatibility";
    let rows = [
        differs("add_contact_alias*", 14, WHY, check_contact_stays),
        differs("set_contact_alias*", 2, WHY, check_contact_stays),
        differs("fix_nated_contact*", 3, WHY, check_contact_stays),
        differs("fix_nated_register", 1, WHY, check_contact_stays),
        differs("add_rcv_param", 1, WHY, check_contact_stays),
        later("handle_ruri_alias*", 13, ALIAS),
    ];
    replay(&group(&file(), "alias"), &rows, check_contact_stays);
}

#[test]
fn nat_is_not_guessed() {
    const WHY: &str =
        "no test for NAT: every client is answered and called along the flow that it came by";
    let rows = [differs("nat_uac_test(*", 22, WHY, check_flow)];
    replay(&group(&file(), "nat_uac_test"), &rows, check_flow);
}
