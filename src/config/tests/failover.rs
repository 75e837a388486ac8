//! `failover` of a pool: what it says, and what is wrong with it.

use super::*;

const TWO: &str = "[{ uri = \"sip:10.0.0.1\" }, { uri = \"sip:10.0.0.2\" }]";

/// A pool of two backends with this table.
fn text(table: &str) -> String {
    GOOD.replace("[{ uri = \"sip:10.0.0.1\" }]", &format!("{TWO}\nfailover = {table}"))
}

#[test]
fn what_is_written_is_taken() {
    let table = "{ on = [\"timeout\", 500, 503], tries = 3, timeout_ms = 1500 }";
    let failover = good(&text(table)).pools[0].failover.expect("written");
    assert_eq!((failover.tries, failover.timeout_us), (3, 1_500_000));
    assert!([500, 503].into_iter().all(|status| failover.statuses.contains(status)));
    assert!(!failover.statuses.contains(502));
    let failover = good(&text("{ on = [503] }")).pools[0].failover.expect("written");
    assert_eq!((failover.tries, failover.timeout_us), (2, 0), "silence is not named");
    let failover = good(&text("{ on = [\"timeout\"] }")).pools[0].failover.expect("written");
    assert_eq!((failover.tries, failover.timeout_us), (2, 2_000_000));
    assert_eq!(good(GOOD).pools[0].failover, None);
}

#[test]
fn any_balance_fails_over() {
    for balance in ["least-load", "latency", "round-robin", "kamailio:4", "kamailio:10"] {
        let config = good(&text(&format!("{{ on = [503] }}\nbalance = \"{balance}\"")));
        assert!(config.pools[0].failover.is_some(), "{balance}");
    }
}

#[test]
fn what_cannot_be_is_named() {
    let check_table = |table: &str, expected: &[&str]| check(&text(table), expected);
    check_table("{ tries = 2 }", &["8:12 failover has nothing that it happens on"]);
    check_table("{ on = [] }", &["8:19 failover has nothing that it happens on"]);
    check_table("503", &["8:12 `failover` is a whole number"]);
    check_table(
        "{ on = [\"busy\", 200, 503] }",
        &["8:20 failover does not know \"busy\"", "8:28 200 is no answer that fails"],
    );
    check_table("{ on = [503], tries = 1 }", &["8:34 tries cannot be 1"]);
    check_table("{ on = [\"timeout\"], timeout_ms = 60000 }", &["8:45 timeout_ms cannot be 60000"]);
    check_table(
        "{ on = [503], timeout_ms = 500 }",
        &["8:39 warning: timeout_ms says nothing without \"timeout\""],
    );
    check_table("{ on = [503], retries = 2 }", &["8:26 unknown key `retries` in `failover`"]);
    check(
        &text("{ on = [503] }").replace(", { uri = \"sip:10.0.0.2\" }", ""),
        &["8:12 warning: failover needs more than one backend"],
    );
    let name = text("{ on = [503] }").replace("{ uri = \"sip:10.0.0.2\" }", "");
    good(&name.replace("sip:10.0.0.1", "sip:pool.example.com"));
}

#[test]
fn what_is_held_has_bounds() {
    let limits = |line: &str| format!("{GOOD}[limits]\n{line}\n");
    let config = good(&limits("held_max = 1\nheld_bytes_max = 16384"));
    assert_eq!((config.limits.held_max, config.limits.held_bytes_max), (1, 16_384));
    check(&limits("held_max = 0"), &["11:12 held_max cannot be 0"]);
    check(&limits("held_bytes_max = 99"), &["11:18 held_bytes_max cannot be 99"]);
}
