//! REGISTER: which phones get a Path, and what stands beside it (RFC 3327).

use super::*;

/// How many Path values a REGISTER with these fields gets, and its Supported fields as they leave.
fn registers(policy: PathPolicy, fields: &str) -> (usize, Vec<String>) {
    let mut parts = parts("rendezvous");
    parts.rules[0].path = policy;
    let mut world = World::new(parts);
    let sent = world.send(&request("REGISTER", "sip:example.com", fields), PHONE, 0);
    let supported = values(&sent.text, "Supported").into_iter().map(str::to_owned);
    (values(&sent.text, "Path").len(), supported.collect())
}

#[test]
fn path_is_for_phones_that_support_it() {
    let says = "Supported: gruu,  PATH\r\n";
    assert_eq!(registers(PathPolicy::Supported, says), (1, vec!["gruu,  PATH".to_owned()]));
    assert_eq!(registers(PathPolicy::Supported, "k: path\r\n").0, 1);
    assert_eq!(registers(PathPolicy::Supported, "").0, 0, "RFC 3327 5.2");
    assert_eq!(registers(PathPolicy::Supported, "Supported: pathological\r\n").0, 0);
    assert_eq!(registers(PathPolicy::Never, says).0, 0);
}

#[test]
fn path_for_all_says_that_it_is_supported() {
    assert_eq!(registers(PathPolicy::Always, ""), (1, vec!["path".to_owned()]));
    let beside = registers(PathPolicy::Always, "Supported: gruu\r\n").1;
    assert_eq!(beside, ["path", "gruu"], "beside what the phone says");
    assert_eq!(registers(PathPolicy::Always, "Supported: path\r\n").1, ["path"], "once");
}
