//! CANCEL and the ACK of a failure where the key of the pool is made of what they need not carry.

use super::*;

const URI: &str = "sip:bob@example.com";

/// A pool with this key. The balance makes its own choice of fields when it is one of Kamailio's.
fn keyed(key: KeySource, balance: &str) -> World {
    let mut parts = parts(balance);
    parts.limits.transactions_max = 1_024;
    parts.pools[0].key = key;
    World::new(parts)
}

fn numbered(method: &str, number: u32, more: &str) -> String {
    request(method, URI, more)
        .replace("To: <sip:bob", "To: <sip:name-of-bob")
        .replace("bob@", &format!("bob{number}@"))
        .replace("z9hG4bKphone1", &format!("z9hG4bKphone{number}"))
        .replace("call-1", &format!("call-{number}"))
}

/// Twenty INVITEs that have the fields `more`; their CANCEL and the ACK of a failure have not.
fn check(key: KeySource, balance: &str, more: &str) {
    let mut world = keyed(key.clone(), balance);
    for number in 0..20 {
        let more = more.replace('#', &number.to_string());
        let invite = world.send(&numbered("INVITE", number, &more), PHONE, 0);
        let again = world.send(&numbered("INVITE", number, &more), PHONE, 0);
        assert_eq!(again, invite, "{key:?}, {balance}: a retransmission");
        let via = values(&invite.text, "Via")[0];
        let ack = numbered("ACK", number, "").replace("com>\r\nCall", "com>;tag=b1\r\nCall");
        for follows in [numbered("CANCEL", number, ""), ack] {
            let sent = world.send(&follows, PHONE, 0);
            assert_eq!(sent.to, invite.to, "{key:?}, {balance}:\n{follows}");
            assert_eq!(values(&sent.text, "Via")[0], via, "{key:?}, {balance}");
        }
    }
}

#[test]
fn what_follows_an_invite_finds_its_backend_whatever_the_key_is_made_of() {
    let tenant = || KeySource::Header("X-Tenant".into());
    let credentials = "Proxy-Authorization: Digest username=\"u#\"\r\n";
    check(tenant(), "rendezvous", "X-Tenant: t#\r\n");
    check(tenant(), "kamailio:7", "X-Tenant: t#\r\n");
    check(KeySource::AuthUser, "rendezvous", credentials);
    check(KeySource::CallId, "kamailio:5", credentials);
    check(KeySource::Presentity, "rendezvous", "");
    for key in [KeySource::CallId, KeySource::From, KeySource::To, KeySource::Aor] {
        check(key, "rendezvous", "");
    }
}

#[test]
fn ack_of_a_presentity_needs_no_memory() {
    let mut here = keyed(KeySource::Presentity, "rendezvous");
    let mut there = keyed(KeySource::Presentity, "rendezvous");
    for number in 0..20 {
        let invite = here.send(&numbered("INVITE", number, ""), PHONE, 0);
        let ack = numbered("ACK", number, "").replace("com>\r\nCall", "com>;tag=b1\r\nCall");
        assert_eq!(there.send(&ack, PHONE, 0).to, invite.to);
    }
}
