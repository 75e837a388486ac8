//! Settings of probes as texts: what is taken, and what is said about the rest.

use std::path::Path;

use super::super::super::problem::Severity;
use super::super::super::{Config, parse};
use super::*;

const HEAD: &str = r#"[[listen]]
name = "public"
address = "udp:192.0.2.1:5060"
[[listen]]
name = "own"
address = "udp:10.0.0.100:5060"
[[listen]]
name = "six"
address = "udp:[2001:db8::1]:5060"
[[route]]
pool = "p"
[[pool]]
name = "p"
backends = [{ uri = "sip:10.0.0.1" }]
"#;

fn text(more: &str) -> String {
    format!("{HEAD}{more}\n")
}

fn good(text: &str) -> Config {
    match parse(Path::new("a.toml"), text) {
        Ok((config, problems)) => {
            assert_eq!(problems.count(Severity::Warning), 0, "{problems}");
            config
        }
        Err(problems) => panic!("{problems}"),
    }
}

fn settings(more: &str) -> Option<Settings> {
    good(&text(more)).pools.remove(0).probe
}

/// "LINE:COLUMN message" of all that is found; the first line of `more` is line 15.
fn check(text: &str, expected: &[&str]) {
    let problems = match parse(Path::new("a.toml"), text) {
        Ok((_, problems)) | Err(problems) => problems,
    };
    let line = |problem: &&super::super::super::problem::Problem| {
        let place = problems.place(problem);
        format!("{} {}", place.trim_start_matches("a.toml:"), problem.message)
    };
    let found: Vec<String> = problems.sorted().iter().map(line).collect();
    assert_eq!(found, expected, "in {text}");
}

#[test]
fn probing_is_on_unless_it_is_off() {
    assert_eq!(settings(""), Some(Settings::default()));
    assert_eq!(settings("probe = {}"), Some(Settings::default()));
    assert_eq!(settings("[pool.probe]"), Some(Settings::default()));
    assert_eq!(settings("probe = \"off\""), None);
}

#[test]
fn an_inline_table_and_a_section_say_the_same() {
    let inline = "probe = { interval_ms = 5000, timeout_ms = 500, rise = 3, fall = 4, method = \"INFO\", \
                  from = \"sip:probe@example.com\", alive = [\"2xx\", \"3XX\", 404, \"486\"], send_from = \"own\" }";
    let section = "[pool.probe]\ninterval_ms = 5000\ntimeout_ms = 500\nrise = 3\nfall = 4\nmethod = \"INFO\"\n\
                   from = \"sip:probe@example.com\"\nalive = [\"2xx\", \"3XX\", 404, \"486\"]\nsend_from = \"own\"";
    let codes = vec![Codes::Class(2), Codes::Class(3), Codes::One(404), Codes::One(486)];
    let expected = Settings {
        interval_us: 5_000_000,
        timeout_us: 500_000,
        rise: 3,
        fall: 4,
        method: "INFO".to_owned(),
        from: Some("sip:probe@example.com".to_owned()),
        alive: Alive::Listed(codes),
        send_from: Some(ListenerId(1)),
    };
    assert_eq!(settings(inline).as_ref(), Some(&expected));
    assert_eq!(settings(section).as_ref(), Some(&expected));
}

#[test]
fn profiles_have_names() {
    let alive = |value: &str| settings(&format!("probe = {{ alive = {value} }}")).unwrap().alive;
    assert_eq!(alive("\"default\""), Alive::Default);
    assert_eq!(alive("\"freeswitch\""), Alive::FreeSwitch);
    assert_eq!(alive("404"), Alive::Listed(vec![Codes::One(404)]));
    assert_eq!(alive("\"2xx\""), Alive::Listed(vec![Codes::Class(2)]));
    assert_eq!(good(&text("slow_start_s = 30")).pools[0].slow_start_s, 30);
    assert_eq!(good(&text("")).pools[0].eased_max_percent, 67);
    assert_eq!(good(&text("eased_max_percent = 0")).pools[0].eased_max_percent, 0);
}

#[test]
fn all_mistakes_are_told_at_once_each_at_its_place() {
    let table = "[pool.probe]\ninterval_ms = 99\ntimeout_ms = 60001\nrise = 0\nfall = 101\nmethod = \"INVITE\"\n\
                 from = \"probe\"\nalive = [\"1xx\", 700, \"freeswitch\"]\nsend_from = \"pubic\"\nintervall = 1";
    check(
        &text(table),
        &[
            "16:15 interval_ms cannot be 99",
            "17:14 timeout_ms cannot be 60001",
            "18:8 rise cannot be 0",
            "19:8 fall cannot be 101",
            "20:10 INVITE is no probe: one answer does not end it",
            "21:8 \"probe\" is no SIP URI",
            "22:10 \"1xx\" is no final status, nor a class of them",
            "22:17 700 is no final status, nor a class of them",
            "22:22 \"freeswitch\" is no final status, nor a class of them",
            "23:13 no listener is called \"pubic\"",
            "24:1 unknown key `intervall` in `probe`",
        ],
    );
}

#[test]
fn single_mistakes() {
    check(&text("probe = \"on\""), &["15:9 probe cannot be \"on\""]);
    check(&text("probe = true"), &["15:9 `probe` is true or false"]);
    check(&text("[[pool.probe]]"), &["15:1 `probe` is a list"]);
    check(&text("probe = { rise = \"2\" }"), &["15:18 `rise` is a string"]);
    check(&text("probe = { alive = true }"), &["15:19 `alive` is true or false"]);
    check(&text("probe = { alive = [] }"), &["15:19 no answer would be good"]);
    check(
        &text("probe = { alive = \"kamailio\" }"),
        &["15:19 \"kamailio\" is no final status, nor a class of them"],
    );
    check(&text("probe = { method = \"options\" }"), &["15:20 \"options\" is no method"]);
    check(&text("probe = { method = \"A B\" }"), &["15:20 \"A B\" is no method"]);
    check(
        &text("probe = { from = \"sip:a@b>;tag=1\" }"),
        &["15:18 \"sip:a@b>;tag=1\" is no SIP URI"],
    );
    check(
        &text("probe = { interval_ms = 1000 }"),
        &["15:25 timeout_ms is 2000, more than interval_ms, 1000"],
    );
    check(&text("slow_start_s = 3601"), &["15:16 slow_start_s cannot be 3601"]);
    check(&text("eased_max_percent = 101"), &["15:21 eased_max_percent cannot be 101"]);
    check(
        &text("probe = { send_from = \"six\" }"),
        &["15:23 sip:10.0.0.1 cannot be reached from \"six\""],
    );
}

#[test]
fn probes_never_leave_from_an_anycast_address() {
    let shared = |text: &str, address: &str| {
        text.replace(&format!("\"udp:{address}\""), &format!("\"udp:{address}\"\nanycast = true"))
    };
    let one = shared(HEAD, "192.0.2.1:5060");
    let config = good(&one);
    assert_eq!(config.anycast, [ListenerId(0)]);
    let pool = &config.pools[0];
    let own = config.probe_listener(pool, "10.0.0.1:5060".parse().unwrap());
    assert_eq!(own, Some(ListenerId(1)), "the first unicast one of its family");
    let six = config.probe_listener(pool, "[2001:db8::9]:5060".parse().unwrap());
    assert_eq!(six, Some(ListenerId(2)));

    let both = shared(&one, "10.0.0.100:5060");
    let nowhere = "14:1 no probe can reach sip:10.0.0.1: every IPv4 listener is an anycast address, and answers to that may \
                   arrive at another node";
    check(&both, &[nowhere]);
    good(&format!("{both}probe = \"off\"\n"));
    let named =
        "17:23 \"public\" is an anycast address: answers to probes may arrive at another node";
    check(&format!("{both}probe = {{ send_from = \"public\" }}\n"), &[named]);
}

#[test]
fn the_listener_is_the_one_that_is_wished_for_when_it_can() {
    let listener = |more: &str| {
        let config = good(&text(more));
        config.probe_listener(&config.pools[0], "10.0.0.1:5060".parse().unwrap())
    };
    assert_eq!(listener(""), Some(ListenerId(0)));
    assert_eq!(listener("send_from = \"own\""), Some(ListenerId(1)));
    assert_eq!(listener("probe = { send_from = \"own\" }"), Some(ListenerId(1)));
    assert_eq!(
        listener("send_from = \"own\"\nprobe = { send_from = \"public\" }"),
        Some(ListenerId(0))
    );
}
