//! `load_cap` of a pool: what it says, and what is wrong with it.

use super::*;
use crate::sip::balance::LoadCap;

/// A pool with these lines more.
fn text(lines: &str) -> String {
    GOOD.replace("[[route]]", &format!("{lines}\n[[route]]"))
}

#[test]
fn what_is_written_is_taken() {
    let cap = |lines: &str| good(&text(lines)).pools[0].load_cap;
    assert_eq!(cap("load_cap = 1.25"), Some(LoadCap::of_thousandths(1_250)));
    assert_eq!(cap("balance = \"rendezvous\"\nload_cap = 2"), Some(LoadCap::of_thousandths(2_000)));
    assert_eq!(cap("load_cap = 1.05"), Some(LoadCap::MIN));
    assert_eq!(cap("load_cap = 100"), Some(LoadCap::MAX));
    assert_eq!(cap("load_cap = 1.3333333"), Some(LoadCap::of_thousandths(1_333)));
    assert_eq!(cap(""), None);
}

#[test]
fn what_cannot_be_is_named() {
    let check_lines = |lines: &str, expected: &[&str]| check(&text(lines), expected);
    for number in ["1", "1.04", "0", "-3", "125", "100.5", "inf", "nan"] {
        let parsed: f64 = number.parse().expect("a number");
        let message = format!("8:12 load_cap cannot be {parsed}");
        check_lines(&format!("load_cap = {number}"), &[&message]);
    }
    check_lines("load_cap = \"1.25\"", &["8:12 `load_cap` is a string"]);
    check_lines("load_cap = true", &["8:12 `load_cap` is true or false"]);
    let balances = [
        ("kamailio:0", "picks as a Kamailio does, which knows no cap"),
        ("kamailio:7:use_default", "picks as a Kamailio does, which knows no cap"),
        ("least-load", "looks at the load already"),
        ("kamailio:10", "looks at the load already"),
        ("round-robin", "has no key that a cap could move"),
        ("latency", "has no key that a cap could move"),
        ("kamailio:4", "has no key that a cap could move"),
    ];
    for (balance, why) in balances {
        let message = format!("9:12 load_cap with balance = \"{balance}\": that {why}");
        check_lines(&format!("balance = \"{balance}\"\nload_cap = 1.25"), &[&message]);
    }
    // What no balance is called is said once.
    check_lines(
        "balance = \"rendevous\"\nload_cap = 1.25",
        &["8:11 no balance is called \"rendevous\""],
    );
}
