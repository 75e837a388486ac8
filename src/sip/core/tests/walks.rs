//! Route lists with more of our values than one pass leaves, or with their marks lost: written so by Asterisk and FreeSWITCH.

use super::*;

const BACKEND: &str = "10.0.0.2:5060";
const OTHER_PHONE: &str = "203.0.113.8:5060";
const REFUSED: [&str; 2] = ["SIP/2.0 403 Bad Flow Token", "SIP/2.0 481 Dialog Does Not Exist"];

/// A pool that is reached by the listener that phones use, or by one of its own.
fn world(listeners: u8) -> World {
    let mut parts = parts("rendezvous");
    if listeners == 2 {
        parts.listeners.push(listener("core", "10.0.0.100:5060"));
        parts.pools[0].send_from = Some(ListenerId(1));
    }
    World::new(parts)
}

/// The listener that backends are reached by.
fn inner(world: &World) -> u8 {
    u8::try_from(world.core.table().listeners.len() - 1).expect("few")
}

/// The Path values of a phone, as its registrar writes them into Route.
fn path_of(world: &mut World, phone: &str) -> Vec<String> {
    let sent = world.send(&request("REGISTER", "sip:example.com", ""), phone, 0);
    values(&sent.text, "Path").into_iter().map(str::to_owned).collect()
}

/// A call of [`BACKEND`] to a phone: the Record-Routes that the phone got.
fn call_to(world: &mut World, phone: &str) -> Vec<String> {
    let path = path_of(world, phone);
    let inner = inner(world);
    let sent = world.send(&of_backend("INVITE", &path, ""), BACKEND, inner);
    assert_eq!(sent.to, phone);
    values(&sent.text, "Record-Route").into_iter().map(str::to_owned).collect()
}

fn of_backend(method: &str, routes: &[String], to_tag: &str) -> String {
    let routes: String = routes.iter().map(|route| format!("Route: {route}\r\n")).collect();
    format!(
        "{method} sip:alice@10.9.9.9:5062 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKk\r\n\
         {routes}From: <sip:b@e>;tag=1\r\nTo: <sip:a@e>{to_tag}\r\nCall-ID: 2\r\nCSeq: 1 {method}\r\n\r\n"
    )
}

fn status(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn of_phone(method: &str, routes: &[String]) -> String {
    of_backend(method, routes, ";tag=x")
        .replace("Via: SIP/2.0/UDP 10.0.0.2", "Via: SIP/2.0/UDP 9.9.9.9;rport")
}

#[test]
fn path_behind_the_route_set_leads_where_the_walk_stands() {
    for listeners in [1, 2] {
        let mut world = world(listeners);
        let inner = inner(&world);
        let path = path_of(&mut world, PHONE);
        let dialog = call_to(&mut world, PHONE);
        assert_eq!(path.len(), usize::from(listeners));
        for (method, tag, routes) in [
            ("CANCEL", "", [path.clone(), path.clone()].concat()),
            ("CANCEL", "", [path.clone(), path.clone(), path.clone(), path.clone()].concat()),
            ("BYE", ";tag=x", [dialog.clone(), path.clone()].concat()),
            ("INFO", ";tag=x", [path.clone(), dialog.clone()].concat()),
            ("INFO", ";tag=x", [dialog.clone(), path.clone(), dialog.clone()].concat()),
            ("INFO", ";tag=x", [path.clone(), dialog.clone(), path.clone()].concat()),
        ] {
            let sent = world.send(&of_backend(method, &routes, tag), BACKEND, inner);
            assert_eq!(
                (sent.to.as_str(), sent.listener),
                (PHONE, 0),
                "{listeners} {method} {routes:?}"
            );
            assert!(values(&sent.text, "Route").is_empty(), "{}", sent.text);
        }
        // Behind the values of ours the list goes on.
        let routes = [path.clone(), path.clone(), vec!["<sip:198.51.100.3;lr>".into()]].concat();
        let sent = world.send(&of_backend("CANCEL", &routes, ""), BACKEND, inner);
        assert_eq!((sent.to.as_str(), values(&sent.text, "Route").len()), (PHONE, 1));
    }
}

#[test]
fn value_that_leads_elsewhere_is_refused() {
    for listeners in [1, 2] {
        let mut world = world(listeners);
        let inner = inner(&world);
        let path = path_of(&mut world, PHONE);
        let dialog = call_to(&mut world, PHONE);
        let others = path_of(&mut world, OTHER_PHONE);
        let other_dialog = call_to(&mut world, OTHER_PHONE);
        for (method, tag, routes) in [
            ("CANCEL", "", [path.clone(), others.clone()].concat()),
            ("CANCEL", "", [path.clone(), path.clone(), others.clone()].concat()),
            ("BYE", ";tag=x", [dialog.clone(), others.clone()].concat()),
            ("BYE", ";tag=x", [dialog, other_dialog.clone()].concat()),
            ("BYE", ";tag=x", [path.clone(), other_dialog].concat()),
        ] {
            let sent = world.send(&of_backend(method, &routes, tag), BACKEND, inner);
            assert!(REFUSED.contains(&status(&sent.text)), "{method} {routes:?}\n{}", sent.text);
        }
        let many: Vec<String> = std::iter::repeat_n(path, 40).flatten().collect();
        let sent = world.send(&of_backend("CANCEL", &many, ""), BACKEND, inner);
        assert_eq!(status(&sent.text), "SIP/2.0 400 Too Many Own Routes");
    }
}

/// Ways to lose what marks a pair, or to put it where it is none of the URI's.
fn spelled(values: &[String]) -> Vec<Vec<String>> {
    let outside =
        |value: &String| value.replace(";lr;r2=on>", ">;lr;r2=on").replace(";lr>", ">;lr");
    let without = |value: &String| value.replace(";r2=on", "");
    let mut spelled =
        vec![values.iter().map(outside).collect(), values.iter().map(without).collect()];
    for place in 0..values.len() {
        for change in [&outside as &dyn Fn(&String) -> String, &without] {
            let mut one = values.to_vec();
            one[place] = change(&values[place]);
            spelled.push(one);
        }
    }
    spelled
}

#[test]
fn parameters_outside_the_brackets_do_not_turn_a_request_round() {
    for listeners in [1, 2] {
        let mut world = world(listeners);
        let inner = inner(&world);
        for path in spelled(&path_of(&mut world, PHONE)) {
            let sent = world.send(&of_backend("INVITE", &path, ""), BACKEND, inner);
            assert_eq!((sent.to.as_str(), sent.listener), (PHONE, 0), "{path:?}");
            let twice = [path.clone(), path].concat();
            let sent = world.send(&of_backend("CANCEL", &twice, ""), BACKEND, inner);
            assert_eq!((sent.to.as_str(), sent.listener), (PHONE, 0), "{twice:?}");
        }
        let dialog = call_to(&mut world, PHONE);
        for routes in spelled(&dialog) {
            let sent = world.send(&of_backend("BYE", &routes, ";tag=x"), BACKEND, inner);
            assert_eq!((sent.to.as_str(), sent.listener), (PHONE, 0), "{routes:?}");
        }
        let reversed: Vec<String> = dialog.into_iter().rev().collect();
        for routes in spelled(&reversed) {
            let sent = world.send(&of_phone("BYE", &routes), PHONE, 0);
            assert_eq!((sent.to.as_str(), sent.listener), (BACKEND, inner), "{routes:?}");
        }
    }
}

#[test]
fn loose_router_ahead_may_have_its_mark_outside_the_brackets() {
    let mut world = world(1);
    let path = path_of(&mut world, PHONE);
    for mark in [";lr>", ">;lr", ">;lr;r2=on"] {
        let routes = [path.clone(), vec![format!("<sip:198.51.100.3{mark}")]].concat();
        let sent = world.send(&of_backend("INVITE", &routes, ""), BACKEND, 0);
        assert!(sent.text.starts_with("INVITE sip:alice@10.9.9.9:5062 SIP/2.0"), "{}", sent.text);
    }
}

#[test]
fn nothing_along_a_token_returns_to_its_sender() {
    for listeners in [1, 2] {
        let mut world = world(listeners);
        let inner = inner(&world);
        // A phone calls itself, through a pool that stays out of the dialog: one flow on both sides.
        let path = path_of(&mut world, PHONE);
        let first = world.send(&request("INVITE", "sip:bob@example.com", ""), PHONE, 0);
        let routes: String = path.iter().map(|value| format!("Route: {value}\r\n")).collect();
        let via = format!("Via: SIP/2.0/UDP {};branch=z9hG4bKb\r\nVia", first.to);
        let second = first.text.replacen("Via", &format!("{routes}{via}"), 1);
        let second = world.send(&second, &first.to, inner);
        assert_eq!(second.to, PHONE);
        let bye = in_dialog(&second.text, "BYE", true, "sip:bob@203.0.113.7");
        let sent = world.send(&bye, PHONE, 0);
        assert_eq!((sent.to.as_str(), sent.listener), (first.to.as_str(), inner));
    }
}

#[test]
fn calls_through_several_backends_are_followed_in_both_directions() {
    // A phone's call, through two backends that stay out of the dialog, to another phone.
    let mut world = world(2);
    let path = path_of(&mut world, OTHER_PHONE);
    let first = world.send(&request("INVITE", "sip:bob@example.com", ""), PHONE, 0);
    let routes: String = path.iter().map(|value| format!("Route: {value}\r\n")).collect();
    let other = ["10.0.0.1:5060", "10.0.0.2:5060"].into_iter().find(|other| *other != first.to);
    let other = other.expect("one of them");
    // The pool's own business between the two.
    let via = format!("Via: SIP/2.0/UDP {other};branch=z9hG4bKb\r\nVia");
    let second = first.text.replacen("Via", &format!("{routes}{via}"), 1);
    let second = world.send(&second, other, 1);
    assert_eq!(second.to, OTHER_PHONE);
    let bye = world.send(&in_dialog(&second.text, "BYE", true, "sip:bob@203.0.113.8"), PHONE, 0);
    assert_eq!((bye.to.as_str(), bye.listener), (OTHER_PHONE, 0));
    let bye = world.send(&in_dialog(&second.text, "BYE", false, "sip:alice@x"), OTHER_PHONE, 0);
    assert_eq!((bye.to.as_str(), bye.listener), (PHONE, 0));
}
