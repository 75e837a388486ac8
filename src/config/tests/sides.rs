//! `side` and `networks` of listeners, and pools that are reached where strangers are.

use super::*;

const TWO: &str = r#"
[[listen]]
name = "public"
address = "udp:198.18.0.1:5060"
networks = ["0.0.0.0/0"]
[[listen]]
name = "core"
address = "udp:10.0.0.254:5060"
side = "inside"
[[listen]]
name = "core2"
address = "udp:10.0.1.254:5060"
side = "inside"
[[pool]]
name = "servers"
send_from = "core"
backends = [{ uri = "sip:10.0.0.1" }]
[[route]]
pool = "servers"
"#;

#[test]
fn listeners_that_share_a_name_share_a_side() {
    check(TWO, &[]);
    let config = good(TWO);
    let sides: Vec<u8> = (0..3).map(|id| config.sides.side(ListenerId(id)).0).collect();
    assert_eq!(sides, [0, 1, 1]);
    let leads = config.sides.leads_to("203.0.113.1".parse().unwrap());
    assert_eq!(leads, Some(ListenerId(0)));
    // The name of a listener is that of its side, too.
    let config = good(&TWO.replace("side = \"inside\"\n[[pool]]", "side = \"public\"\n[[pool]]"));
    assert_eq!(config.sides.side(ListenerId(2)), config.sides.side(ListenerId(0)));
}

#[test]
fn pool_that_is_reached_where_strangers_are_is_told() {
    let shared = "anybody can send to listener \"public\", where the backends of \"servers\" are known by their \
                  address alone: a datagram with a forged source passes for theirs";
    let at = |place: &str| format!("{place} warning: {shared}");
    check(&TWO.replace("send_from = \"core\"", "send_from = \"public\""), &[&at("16:13")]);
    check(&TWO.replace("send_from = \"core\"\n", ""), &[&at("14:1")]);
    let joined = TWO.replace("side = \"inside\"\n[[pool]]", "side = \"public\"\n[[pool]]");
    check(&joined.replace("send_from = \"core\"", "send_from = \"core2\""), &[&at("16:13")]);
    let hidden = TWO.replace("198.18.0.1", "192.168.1.1");
    check(&hidden.replace("send_from = \"core\"\n", ""), &[]);
    let advertised = hidden.replace("[\"0.0.0.0/0\"]", "[]\nadvertise = \"198.18.0.1\"");
    check(&advertised.replace("send_from = \"core\"\n", ""), &[&at("15:1")]);
}

#[test]
fn networks_that_are_none() {
    check(
        &TWO.replace("[\"0.0.0.0/0\"]", "[\"10.0.0.0/33\", \"2001:db8::/32\"]"),
        &[
            "5:13 \"10.0.0.0/33\" is no network",
            "5:28 2001:db8::/32 is of the other IP family than the listener",
        ],
    );
}

#[test]
fn tokens_in_dialogs() {
    let with =
        |more: &str| TWO.replace("pool = \"servers\"\n", &format!("pool = \"servers\"\n{more}\n"));
    assert!(!good(TWO).rules[0].needs_token);
    assert!(!good(&with("in_dialog = \"any\"")).rules[0].needs_token);
    assert!(good(&with("in_dialog = \"token\"")).rules[0].needs_token);
    check(&with("in_dialog = \"all\""), &["20:13 in_dialog cannot be \"all\""]);
    check(
        &TWO.replace("[[route]]\n", "[[route]]\nreply = 404\nin_dialog = \"token\"\n[[route]]\nwhen = { method = [\"BYE\"] }\n"),
        &[
            "20:13 warning: in_dialog means nothing where no pool is named",
            "21:1 warning: this route never matches: route 1 takes all of it",
        ],
    );
}
