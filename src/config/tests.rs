//! The configuration from end to end: texts in, places and messages out.

use std::path::Path;

use super::problem::Severity;
use super::*;
use crate::sip::ListenerId;
use crate::sip::route::table::{Action, PathPolicy};

mod failover;
mod load_cap;
mod sides;
mod trace;

const GOOD: &str = r#"
[[listen]]
name = "public"
address = "udp:192.0.2.1:5060"
[[pool]]
name = "servers"
backends = [{ uri = "sip:10.0.0.1" }]
[[route]]
pool = "servers"
"#;

/// "LINE:COLUMN message" of all that is found in `text`.
fn found(text: &str) -> Vec<String> {
    let problems = match parse(Path::new("a.toml"), text) {
        Ok((_, problems)) | Err(problems) => problems,
    };
    let line = |problem: &&problem::Problem| {
        let place = problems.place(problem);
        let place = place.strip_prefix("a.toml").unwrap_or(&place);
        let mark = if problem.severity == Severity::Warning { "warning: " } else { "" };
        format!("{} {mark}{}", place.trim_start_matches(':'), problem.message)
    };
    problems.sorted().iter().map(line).collect()
}

fn check(text: &str, expected: &[&str]) {
    let found = found(text);
    assert_eq!(found, expected, "in {text}");
}

/// `GOOD` with one piece of text replaced.
fn check_instead(piece: &str, instead: &str, expected: &[&str]) {
    assert!(GOOD.contains(piece), "{piece}");
    check(&GOOD.replacen(piece, instead, 1), expected);
}

fn good(text: &str) -> Config {
    match parse(Path::new("a.toml"), text) {
        Ok((config, _)) => config,
        Err(problems) => panic!("{problems}"),
    }
}

#[test]
fn the_least_that_runs_has_the_defaults() {
    let config = good(GOOD);
    assert_eq!(config.node.name, "sipedge");
    assert!(config.node.keys_by_chance);
    assert_eq!(config.admin.listen, Some("127.0.0.1:9060".parse().unwrap()));
    assert_eq!((&config.admin.socket, &config.admin.token), (&None, &None));
    assert_eq!(config.listeners[0].host, "192.0.2.1");
    assert_eq!(
        config.pools[0].backends[0].target,
        Target::Address("10.0.0.1:5060".parse().unwrap())
    );
    assert_eq!(config.rules[0].action, Action::Pool(0));
    assert!(config.rules[0].record_route);
    assert_eq!(config.rules[0].path, PathPolicy::Supported);
}

#[test]
fn the_full_file_shows_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/sipedge.toml");
    let (full, problems) = load(&path).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(problems.sorted().len(), 0, "{problems}");
    let least = good(GOOD);
    assert_eq!(full.node.name, least.node.name);
    assert_eq!(full.node.shards, least.node.shards);
    assert_eq!((full.node.io, full.node.steering), (least.node.io, least.node.steering));
    assert_eq!(full.node.aliases, least.node.aliases);
    assert_eq!(full.node.dns, least.node.dns);
    assert_eq!(full.limits, least.limits);
    assert_eq!(full.shard_limits, least.shard_limits);
    assert_eq!(full.admin, least.admin);
    let (pool, default) = (&full.pools[0], &least.pools[0]);
    assert_eq!((&pool.key, pool.balance), (&default.key, default.balance));
    assert_eq!(pool.match_source_ip, default.match_source_ip);
    assert_eq!((&pool.probe, pool.slow_start_s), (&default.probe, default.slow_start_s));
    assert_eq!(pool.eased_max_percent, default.eased_max_percent);
    assert_eq!(full.anycast, least.anycast);
    assert_eq!(pool.backends[0].weight, pool.backends[1].weight);
    let (rule, default) = (&full.rules[1], &least.rules[0]);
    assert_eq!((rule.record_route, rule.path), (default.record_route, default.path));
}

#[test]
fn every_key_stands_in_the_full_file() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/sipedge.toml");
    let text = std::fs::read_to_string(path).unwrap();
    // What the reader answers to an unknown key is the list of all that it knows.
    let probe = GOOD
        .replace("[[route]]", "[[route]]\nzzzzzzzz = 1\nwhen = { zzzzzzzz = 1 }")
        .replace("[[pool]]", "[[pool]]\nzzzzzzzz = 1\nprobe = { zzzzzzzz = 1 }\nfailover = { zzzzzzzz = 1 }")
        .replace("[{ uri", "[{ zzzzzzzz = 1, uri")
        .replace("[[listen]]", "[limits]\nzzzzzzzz = 1\n[admin]\nzzzzzzzz = 1\n[node]\nzzzzzzzz = 1\nkeys = [{ zzzzzzzz = 1 }]\n[[listen]]\nzzzzzzzz = 1");
    let problems = parse(Path::new("a.toml"), &probe).expect_err("unknown keys");
    let known: Vec<&str> = problems
        .sorted()
        .iter()
        .filter_map(|p| p.help.split_once(" knows: "))
        .map(|(_, k)| k)
        .collect();
    assert_eq!(known.len(), 11, "{problems}");
    for key in known.iter().flat_map(|keys| keys.split(", ")) {
        let written = [format!("{key} ="), format!("[{key}]")];
        assert!(
            written.iter().any(|form| text.contains(form.as_str())),
            "{key} is not in sipedge.toml"
        );
    }
}

#[test]
fn all_problems_are_found_at_once() {
    check(
        "[node]\nshard = 2\n[[listen]]\nname = \"a\"\naddress = \"tcp:192.0.2.1:5060\"\n[[pool]]\nname = \"p\"\n\
         balance = \"roundrobin\"\nbackends = [{ uri = \"sip:10.0.0.1:0\" }]\n[[route]]\npool = \"q\"\n",
        &[
            "2:1 unknown key `shard` in [node]",
            "5:11 a tcp listener comes later; this build forwards UDP",
            "8:11 no balance is called \"roundrobin\"",
            "9:21 port 0 is no port",
            "11:8 no pool is called \"q\"",
        ],
    );
}

#[test]
fn eight_fields_are_looked_at_by_name() {
    let pools = |names: &[&str]| -> String {
        let mut text = GOOD.to_owned();
        for (number, name) in names.iter().enumerate() {
            text += &format!(
                "\n[[pool]]\nname = \"x{number}\"\nkey = \"header:{name}\"\nbackends = [{{ uri = \"sip:10.9.0.{number}\" }}]\n\
                 [[route]]\nwhen = {{ domain = [\"{number}.example\"] }}\npool = \"x{number}\"\n"
            );
        }
        text
    };
    let most = ["a", "b", "c", "X-D", "X-E", "X-F", "X-G", "X-H", "From", "x-d", "v"];
    good(&pools(&most));
    let problems =
        parse(Path::new("a.toml"), &pools(&[&most[..], &["X-I"][..]].concat())).expect_err("nine");
    assert!(
        problems.to_string().contains("the pools look at more than 8 fields by name"),
        "{problems}"
    );
}

#[test]
fn an_empty_file_names_what_is_needed() {
    check(
        "",
        &[
            " there is no listener: nothing could come in",
            " there is no route: every request would be answered with 404",
        ],
    );
}

#[test]
fn syntax_errors_have_a_place_and_hide_no_other_error() {
    let text = "[node]\nname = \nio = \"fast\"\n";
    let found = found(text);
    assert!(found[0].starts_with("2:8 not TOML"), "{found:?}");
    assert!(found.contains(&"3:6 io cannot be \"fast\"".to_owned()), "{found:?}");
    assert!(!found.iter().any(|line| line.contains("no listener")), "{found:?}");
}

#[test]
fn wrong_types_say_what_they_are() {
    check_instead("name = \"public\"", "name = 7", &["3:8 `name` is a whole number"]);
    check_instead(
        "\"sip:10.0.0.1\"",
        "\"sip:10.0.0.1\", weight = \"9\"",
        &["7:46 `weight` is a string"],
    );
    check_instead("[[route]]", "[route]", &["8:1 [route] stands in one bracket"]);
}

#[test]
fn names_are_there_and_once() {
    check_instead(
        "name = \"servers\"\n",
        "",
        &["5:1 this pool has no name", "8:8 no pool is called \"servers\""],
    );
    let twice = format!("{GOOD}[[listen]]\nname = \"public\"\naddress = \"udp:192.0.2.1:5060\"\n");
    check(
        &twice,
        &[
            "11:8 another listener is called \"public\" already",
            "12:11 192.0.2.1:5060 is the address of \"public\" already",
        ],
    );
}

#[test]
fn listeners_that_nobody_could_answer_to() {
    let wild = "udp:0.0.0.0:5060";
    let message = "4:11 0.0.0.0 is every address, and none that others could answer to";
    check_instead("udp:192.0.2.1:5060", wild, &[message]);
    let advertised = format!("{wild}\"\nadvertise = \"edge.example.com");
    let warning = "4:11 warning: 0.0.0.0 is every address: what we send leaves from the one that the kernel's route \
                   picks, and not always from where a request came in";
    check_instead("udp:192.0.2.1:5060", &advertised, &[warning]);
}

#[test]
fn backends_that_cannot_be() {
    let uri = "\"sip:10.0.0.1\"";
    check_instead(
        uri,
        "\"sip:192.0.2.1\"",
        &["7:21 192.0.2.1:5060 is our own listener \"public\": a loop"],
    );
    check_instead(
        uri,
        "\"sip:[2001:db8::1]\"",
        &["7:21 no listener reaches [2001:db8::1]:5060: none is IPv6"],
    );
    let twice = "\"sip:10.0.0.1\" }, { uri = \"sip:10.0.0.1:5060\"";
    check_instead(uri, twice, &["7:47 10.0.0.1:5060 is in this pool already, as sip:10.0.0.1"]);
    check_instead(uri, "\"sip:10.0.0.1\", weight = 0", &["7:46 a weight cannot be 0"]);
    check_instead("[{ uri = \"sip:10.0.0.1\" }]", "[]", &["7:12 this pool has no backends"]);
    check_instead(
        "backends = [{ uri = \"sip:10.0.0.1\" }]\n",
        "",
        &["5:1 this pool has no backends"],
    );
    check_instead(
        "backends",
        "set = 1\nlist = \"no.list\"\nbackends",
        &["8:8 this pool has both `backends` and `list`"],
    );
}

#[test]
fn a_bound_of_calls_is_for_who_counts_them() {
    let with = |load: &str| {
        GOOD.replace("\"sip:10.0.0.1\"", &format!("\"sip:10.0.0.1\", max_load = {load}"))
    };
    let counting =
        |load: &str| with(load).replace("backends", "balance = \"kamailio:10\"\nbackends");
    assert_eq!(good(&counting("30")).pools[0].backends[0].detail.max_load, 30);
    check(&counting("-1"), &["8:48 max_load cannot be -1"]);
    check(&with("30"), &["7:48 warning: balance = \"rendezvous\" does not look at `max_load`"]);
}

#[test]
fn ways_to_balance_that_come_later_say_so() {
    let check_balance = |name: &str, part: &str| {
        let text = GOOD.replace("backends", &format!("balance = \"{name}\"\nbackends"));
        let found = found(&text);
        assert!(found[0].starts_with("7:11 ") && found[0].contains(part), "{name}: {found:?}");
    };
    check_balance("kamailio:64", "comes later");
    check_balance("least_load", "no balance is called");
    check_balance("kamailio:12", "not done by the edge");
    check_balance("kamailio:99", "no balance is called");
    let key = "key = \"from\"\nbalance = \"kamailio:7\"\nbackends";
    check(
        &GOOD.replace("backends", key),
        &["7:7 balance = \"kamailio:7\" hashes a header field, not \"from\""],
    );
}

#[test]
fn the_key_ring() {
    let ring = |keys: &str| format!("[node]\nkeys = [{keys}]\n{GOOD}");
    let secret = "secret = \"0123456789abcdef\"";
    let config = good(&ring(&format!("{{ id = 2, {secret} }}, {{ id = 1, {secret} }}")));
    assert!(!config.node.keys_by_chance);
    assert_eq!(config.node.keys.iter().map(|key| key.id).collect::<Vec<_>>(), [2, 1]);
    let twice = ring(&format!("{{ id = 2, {secret} }}, {{ id = 2, {secret} }}"));
    check(&twice, &["2:57 two keys have the id 2"]);
    check(&ring(&format!("{{ id = 64, {secret} }}")), &["2:16 the id of a key cannot be 64"]);
    check(&ring("{ id = 1 }"), &["2:9 this key has no secret"]);
    check(
        &ring("{ id = 1, secret = \"short\" }"),
        &["2:28 the secret has 5 bytes; at least 16 are needed"],
    );
    check(&ring(""), &["2:8 the key ring is empty"]);
}

#[test]
fn routes_and_their_conditions() {
    let with = |route: &str| format!("{GOOD}[[route]]\n{route}\n");
    let before =
        |route: &str| GOOD.replace("[[route]]\n", &format!("[[route]]\n{route}\n[[route]]\n"));
    check(
        &with("reply = 403"),
        &["10:1 warning: this route never matches: route 1 takes all of it"],
    );
    check(&before("reply = 200"), &["9:9 the status of a reply cannot be 200"]);
    check(&before("drop = false"), &["9:8 drop = false says nothing"]);
    check(&before("reply = 404\ndrop = true"), &["8:1 this route says to do two things"]);
    check(&before("path = true"), &["8:1 this route does not say what to do"]);
    check(&before("mode = \"redirect\"\nreply = 404"), &["9:8 mode = \"redirect\" comes later"]);
    let when = |when: &str| before(&format!("when = {{ {when} }}\nreply = 404"));
    check(
        &when("method = \"invite\""),
        &["9:19 \"invite\" is not INVITE: methods are case-sensitive"],
    );
    check(&when("listen = \"pubic\""), &["9:19 no listener is called \"pubic\""]);
    check(&when("domain = \"sip:example.com\""), &["9:19 \"sip:example.com\" is no host"]);
    check(&when("domain = []"), &["9:19 the condition `domain` is an empty list"]);
    let rule = good(&when(
        "method = [\"INVITE\", \"DANCE\"], listen = \"public\", domain = \"A.Example\"",
    ));
    assert_eq!(rule.rules[0].other_methods, ["DANCE"]);
    assert_eq!(rule.rules[0].listeners, [ListenerId(0)]);
    assert_eq!(rule.rules[0].domains, ["a.example".into()]);
}

#[test]
fn the_keys_of_the_dns_are_read_and_judged() {
    let with = |keys: &str| format!("[node]\n{keys}\n{GOOD}");
    let dns = good(&with(
        "dns = [\"udp:127.0.0.1:5353\", \"udp:[::1]:53\"]\ndns_ttl_min_seconds = 1\n\
         dns_ttl_max_seconds = 60\ndns_stale_max_seconds = 0",
    ))
    .node
    .dns;
    assert_eq!(dns.servers, ["127.0.0.1:5353".parse().unwrap(), "[::1]:53".parse().unwrap()]);
    let seconds = [dns.ttl_min, dns.ttl_max, dns.stale_max].map(|time| time.as_secs());
    assert_eq!(seconds, [1, 60, 0]);
    check(&with("dns = []"), &["2:7 no DNS server is named"]);
    check(&with("dns = [\"127.0.0.1\"]"), &["2:8 \"127.0.0.1\" names no transport"]);
    check(&with("dns_ttl_min_seconds = 0"), &["2:23 dns_ttl_min_seconds cannot be 0"]);
    check(&with("dns_stale_max_seconds = -1"), &["2:25 dns_stale_max_seconds cannot be -1"]);
    check(
        &with("dns_ttl_min_seconds = 61\ndns_ttl_max_seconds = 60"),
        &["3:23 dns_ttl_min_seconds is 61, more than dns_ttl_max_seconds, 60"],
    );
    let nine = ["\"udp:127.0.0.1:53\""; 9].join(", ");
    check(&with(&format!("dns = [{nine}]")), &["2:168 more than 8 DNS servers"]);
}

#[test]
fn a_name_is_looked_up_for_the_families_that_can_be_sent_to() {
    let families = |text: &str| match &good(text).pools[0].backends[0].target {
        Target::Name(name) => (name.families.ipv4, name.families.ipv6),
        other => panic!("{other:?}"),
    };
    let named = GOOD.replace("sip:10.0.0.1", "sip:pool.example.com");
    assert_eq!(families(&named), (true, false));
    let second = "[[listen]]\nname = \"inner\"\naddress = \"udp:[2001:db8::1]:5060\"\n";
    assert_eq!(families(&format!("{second}{named}")), (true, true));
    let from = named.replace("name = \"servers\"", "name = \"servers\"\nsend_from = \"inner\"");
    assert_eq!(families(&format!("{second}{from}")), (false, true));
    let names = good(&format!("{second}{named}")).names();
    assert_eq!(
        names.iter().map(|name| name.host.as_str()).collect::<Vec<_>>(),
        ["pool.example.com"]
    );
    check_instead(
        "{ uri = \"sip:10.0.0.1\" }",
        "{ uri = \"sip:a.example\" }, { uri = \"sip:A.example.\" }",
        &["7:48 a.example is in this pool already"],
    );
}

#[test]
fn every_example_can_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let folders = [root.clone(), root.join("examples")];
    let mut count = 0;
    for entry in folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap()) {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let (config, problems) = load(&path).unwrap_or_else(|problems| panic!("{problems}"));
            assert_eq!(problems.sorted().len(), 0, "{problems}");
            crate::control::compile::table(&config, 1).expect("compiles");
            count += 1;
        }
    }
    assert_eq!(count, 7);
}
