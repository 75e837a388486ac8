//! Kamailio's dispatcher: the same list file and the same key give the same destination.
//!
//! Everything is driven by `kamailio/dispatcher.json`, recorded from Kamailio 5.6.3. What of it is not done here stands
//! in [`LEFT_OUT`], and a test holds that list to the file. Keys come as the parts that Kamailio hashed; how they are
//! cut out of a message is tested with the core.

use std::collections::BTreeMap;

use serde_json::Value;
use sipedge::config::list::{Entry, List};
use sipedge::sip::balance::calls::Calls;
use sipedge::sip::balance::{
    BackendSet, Balance, Detail, KeyUse, Member, Part, Rotation, Spec, hash_key, kamailio,
};

/// Vectors that are not replayed, and why. Behaviour by its `what`, the rest by its name.
const LEFT_OUT: &[(&str, &str)] = &[
    (
        "parallel: first in dst-uri, rest as branches with the same r-uri",
        "12 forks: not an edge's work",
    ),
    (
        "parallel with inactive and disabled members: they are added as branches too",
        "12 forks: not an edge's work",
    ),
    ("unknown algorithm number", "a config error here, not the first destination"),
    ("ds_select_domain: host part rewritten in R-URI", "the edge leaves the Request-URI alone"),
    ("ds_select_routes", "sets in order are one pool with priorities"),
    ("ds_is_from_list", "replayed in `sources`"),
    (
        "states",
        "those of the list are replayed in `states`; set_state is for scripts, `sipedge ctl` disables and drains",
    ),
];

/// Parts of the file that are not replayed.
const SECTIONS_LEFT_OUT: &[(&str, &str)] = &[
    ("rpc", "no RPC of Kamailio; what it printed of the list file is compared"),
    ("probing", "replayed in `states`"),
];

fn vectors() -> Value {
    serde_json::from_str(include_str!("kamailio/dispatcher.json")).expect("JSON")
}

fn list(vectors: &Value) -> List {
    List::parse(text(&vectors["list_file"]))
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

fn array(value: &Value) -> &Vec<Value> {
    value.as_array().expect("an array")
}

fn number<T: TryFrom<u64>>(value: &Value) -> T {
    let number = value.as_u64().expect("a number");
    T::try_from(number).ok().expect("a number that fits")
}

fn texts(value: &Value) -> Vec<&str> {
    array(value).iter().map(text).collect()
}

/// A set under an algorithm, as the edge would run it.
struct Set<'a> {
    entries: &'a [Entry],
    balance: Balance,
    usable: BackendSet,
    rotation: Rotation,
}

impl<'a> Set<'a> {
    fn new(list: &'a List, set: u32, spec: &str) -> Self {
        let entries = list.set(set);
        assert!(!entries.is_empty(), "set {set}");
        let members: Vec<Member<'_>> = entries.iter().map(Entry::member).collect();
        let spec = Spec::parse(spec).expect("a usable algorithm");
        let details: Vec<Detail> = entries.iter().map(Entry::detail).collect();
        let balance = Balance::compile_detailed(&spec, &members, &details, 42);
        let balance = balance.expect("these members");
        let usable =
            (0u16..).zip(entries).filter(|(_, e)| e.flags.is_usable()).map(|(i, _)| i).collect();
        Self { entries, balance, usable, rotation: Rotation::new(42) }
    }

    fn pick(&mut self, key: Option<u64>) -> Option<u16> {
        self.balance.pick(key, &self.usable, &mut self.rotation)
    }

    fn pick_uri(&mut self, key: Option<u64>) -> Option<&'a str> {
        self.pick(key).map(|index| self.entries[usize::from(index)].uri.as_str())
    }

    fn failover(&self, key: Option<u64>) -> Vec<&'a str> {
        let candidates = self.balance.candidates(key, &self.usable, &self.rotation);
        candidates.iter().map(|it| self.entries[usize::from(it.backend)].uri.as_str()).collect()
    }
}

fn spec(case: &Value) -> String {
    format!("kamailio:{}", case["algorithm"])
}

/// The hash of the recorded parts; a part that Kamailio did not hash is null.
fn key(parts: &[Value]) -> u32 {
    let parts: Vec<&[u8]> = parts.iter().filter_map(Value::as_str).map(str::as_bytes).collect();
    kamailio::hash(&parts)
}

fn call_id_key(case: &Value) -> Option<u64> {
    let call_id = case.get("call_id")?;
    let hash = key(std::slice::from_ref(call_id));
    if let Some(recorded) = case.get("hash") {
        assert_eq!(hash, number::<u32>(recorded), "{call_id}");
    }
    Some(u64::from(hash))
}

fn check_hash_case(list: &List, case: &Value) {
    let hash = match case.get("hash") {
        Some(recorded) => {
            let hash = key(array(&case["key_parts"]));
            assert_eq!(hash, number::<u32>(recorded), "{case}");
            hash
        }
        // No parts are recorded of a tel URI: the number is the user, and the host is empty.
        None => {
            let uri = text(&case["from"]).split(['<', '>']).nth(1).expect("a URI in brackets");
            kamailio::hash(&[uri.strip_prefix("tel:").expect("a tel URI").as_bytes(), b""])
        }
    };
    let results = case["result_per_N"].as_object().expect("one result for each N");
    assert_eq!(results.len(), 8);
    for (count, result) in results {
        let set: u32 = count.parse().expect("a number");
        let mut set = Set::new(list, set, &spec(case));
        assert!(matches!(set.balance.key_use(), KeyUse::Kamailio(_)));
        let index = set.pick(Some(u64::from(hash))).expect("all are usable");
        assert_eq!(index, number::<u16>(&result["index"]), "{case}");
        let entry = &set.entries[usize::from(index)];
        assert_eq!(entry.uri, text(&result["destination"]));
        let first_line = set.entries.iter().map(|entry| entry.line).min().expect("entries");
        assert_eq!(entry.line - first_line, number::<usize>(&result["file_position"]));
    }
}

#[test]
fn hashed_keys_pick_the_same_destination() {
    let vectors = vectors();
    let list = list(&vectors);
    for (section, count) in [("hash", 52), ("hash_user_only", 29)] {
        let cases = array(&vectors[section]);
        assert_eq!(cases.len(), count, "{section}");
        cases.iter().for_each(|case| check_hash_case(&list, case));
    }
}

#[test]
fn the_hash_of_the_rpc_command() {
    let vectors = vectors();
    for case in array(&vectors["rpc_dispatcher_hash"]) {
        let (slots, parts) = array(&case["params"]).split_first().expect("slots and strings");
        let hash = key(parts);
        assert_eq!(hash, number::<u32>(&case["reply"]["hashid"]), "{case}");
        let slot = hash.checked_rem(number(slots)).unwrap_or(0);
        assert_eq!(slot, number::<u32>(&case["reply"]["slot"]), "{case}");
    }
}

#[test]
fn unusable_members_are_stepped_over() {
    let vectors = vectors();
    let list = list(&vectors);
    let section = &vectors["skip_inactive"];
    let order = texts(&section["set_60_memory_order"]);
    let read: Vec<_> = list.set(60).iter().map(|entry| entry.uri.as_str()).collect();
    assert_eq!(order.len(), read.len());
    for (recorded, uri) in order.iter().zip(&read) {
        let (last_byte, _) = recorded.split_once(' ').expect("address and state");
        assert_eq!(*uri, format!("sip:198.51.100{last_byte}:5060"));
    }
    for case in array(&section["cases"]) {
        check_failover_case(&list, case, &spec(case));
    }
}

#[test]
fn the_default_is_kept_for_last() {
    let vectors = vectors();
    let list = list(&vectors);
    // The rotating cases go on where the last one ended.
    let mut sets: BTreeMap<String, Set<'_>> = BTreeMap::new();
    for case in array(&vectors["use_default"]["cases"]) {
        let spec = format!("{}:use_default", spec(case));
        let fresh = || Set::new(&list, number(&case["set"]), &spec);
        let set = sets.entry(format!("{} {spec}", case["set"])).or_insert_with(fresh);
        check_failover(set, case);
    }
    assert_eq!(sets.len(), 5);
}

fn check_failover_case(list: &List, case: &Value, spec: &str) {
    check_failover(&mut Set::new(list, number(&case["set"]), spec), case);
}

fn check_failover(set: &mut Set<'_>, case: &Value) {
    let key = call_id_key(case);
    let mut failover = set.failover(key);
    if let Some(limit) = case.get("limit") {
        failover.truncate(number(limit));
    }
    // Some lists carry more about each destination behind the URI.
    let recorded = texts(&case["list"]);
    let uris = recorded.iter().map(|text| text.split(' ').next().expect("a URI"));
    assert!(failover.iter().copied().eq(uris), "{failover:?} against {case}");
    let picked = set.pick_uri(key);
    assert_eq!(picked, failover.first().copied());
    if let Some(recorded) = case.get("picked") {
        assert_eq!(picked.unwrap_or("<null>"), text(recorded), "{case}");
    }
}

fn check_sequence(list: &List, case: &Value) {
    let mut set = Set::new(list, number(&case["set"]), &spec(case));
    for expected in array(&case["picked"]) {
        assert_eq!(set.pick_uri(None), expected.as_str(), "{case}");
    }
}

fn check_counts(list: &List, case: &Value) {
    let mut set = Set::new(list, number(&case["set"]), &spec(case));
    let mut round = || -> Vec<_> { (0..100).map(|_| set.pick_uri(None)).collect() };
    let first = round();
    assert_eq!(round() == first, case["repeats_with_period_100"].as_bool().expect("a truth"));
    let recorded = case["counts"].as_object().expect("counts");
    let mut total = 0;
    for (uri, count) in recorded {
        let picked = first.iter().filter(|pick| **pick == Some(uri.as_str())).count();
        assert_eq!(picked, number::<usize>(count), "{uri} in {case}");
        total += picked;
    }
    assert_eq!(total, 100);
}

/// As the core counts: an INVITE that was sent on begins a call, and a BYE ends it.
fn check_calls(list: &List, case: &Value) {
    let call = |id: &Value| hash_key(&[text(id).as_bytes()]);
    let mut calls = Calls::new();
    calls.grow(3);
    for step in array(&case["steps"]) {
        if let Some(id) = step.get("ds_load_update on BYE") {
            calls.end(call(id), 1);
            continue;
        }
        let set = if step.get("set 3 without duid").is_some() { 3 } else { number(&case["set"]) };
        let mut set = Set::new(list, set, &spec(case));
        let picked = if text(&step["method"]) == "INVITE" {
            let load = &mut |member| calls.count(usize::from(member), 1);
            let rotation = &mut set.rotation;
            set.balance.pick_counted(None, &set.usable, rotation, Part::WHOLE, load)
        } else {
            set.pick(None)
        };
        let uri = picked.map(|index| set.entries[usize::from(index)].uri.as_str());
        assert_eq!(uri.unwrap_or("<null>"), text(&step["du"]), "{step}");
        if let (Some(id), Some(picked)) = (step.get("call_id"), picked) {
            calls.begin(call(id), usize::from(picked), 1);
        }
    }
}

/// One destination after the other until there is none: the candidates of a key, of which each is asked once.
fn check_next(list: &List, case: &Value) {
    let set = Set::new(list, 3, "kamailio:0");
    let first = texts(&case["first"]);
    let keys = || (1_u64..).take(set.entries.len());
    let failover = keys().map(|key| set.failover(Some(key))).find(|list| list[..1] == first[..]);
    let failover = failover.expect("some key picks each");
    assert_eq!(failover[1..], texts(&case["next"]), "{case}");
}

#[test]
fn behaviour() {
    let vectors = vectors();
    let list = list(&vectors);
    let mut left_out = Vec::new();
    for case in array(&vectors["behaviour"]) {
        let what = text(&case["what"]);
        if LEFT_OUT.iter().any(|(name, _)| *name == what) {
            left_out.push(what);
        } else if case.get("next").is_some() {
            check_next(&list, case);
        } else if case.get("steps").is_some() {
            check_calls(&list, case);
        } else if case.get("counts").is_some() {
            check_counts(&list, case);
        } else if case.get("picked").is_some() {
            check_sequence(&list, case);
        } else {
            check_failover_case(&list, case, &spec(case));
        }
    }
    left_out.sort_unstable();
    left_out.dedup();
    let mut named: Vec<_> = LEFT_OUT.iter().map(|(name, _)| *name).collect();
    named.sort_unstable();
    assert_eq!(left_out, named, "a case that is left out but not there, or the other way round");
}

#[test]
fn every_section_is_replayed_or_left_out() {
    let vectors = vectors();
    let about = ["title", "produced_by", "configuration", "list_file"];
    let replayed = [
        "hash",
        "hash_user_only",
        "rpc_dispatcher_hash",
        "skip_inactive",
        "use_default",
        "behaviour",
    ];
    let left_out = SECTIONS_LEFT_OUT.iter().map(|(name, _)| *name);
    let mut expected: Vec<_> = about.into_iter().chain(replayed).chain(left_out).collect();
    let mut found: Vec<_> =
        vectors.as_object().expect("sections").keys().map(String::as_str).collect();
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
    for algorithm in [12, 99] {
        assert!(Spec::parse(&format!("kamailio:{algorithm}")).is_err(), "{algorithm}");
    }
}

#[test]
fn the_list_file_reads_as_kamailio_printed_it() {
    let vectors = vectors();
    let list = list(&vectors);
    // The one weight out of range, which Kamailio logged and set to 0 as well.
    let problems: Vec<_> = list.problems.iter().map(ToString::to_string).collect();
    assert!(matches!(&problems[..], [one] if one.contains("weight \"200\"")), "{problems:?}");
    let printed = array(&vectors["rpc"]["dispatcher.list (set 70 and 71, jsonrpc)"]);
    assert_eq!(printed.len(), 2);
    for set in printed {
        let set = &set["SET"];
        let entries = list.set(number(&set["ID"]));
        let targets = array(&set["TARGETS"]);
        assert_eq!(entries.len(), targets.len());
        for (entry, target) in entries.iter().zip(targets) {
            check_printed(entry, &target["DEST"]);
        }
    }
    let after_reload = texts(&vectors["rpc"]["set 3 after reload"]);
    assert!(list.set(3).iter().map(|entry| entry.uri.as_str()).eq(after_reload));
}

fn check_printed(entry: &Entry, printed: &Value) {
    assert_eq!(entry.uri, text(&printed["URI"]));
    assert_eq!(i64::from(entry.priority), printed["PRIORITY"].as_i64().expect("a number"));
    let active = text(&printed["FLAGS"]).starts_with(['A', 'T']);
    assert_eq!(entry.flags.is_usable(), active);
    let Some(attributes) = printed.get("ATTRS") else {
        assert_eq!(entry.attributes.text, "");
        return;
    };
    assert_eq!(entry.attributes.text, text(&attributes["BODY"]));
    assert_eq!(entry.attributes.duid.as_deref(), attributes["DUID"].as_str());
    assert_eq!(entry.attributes.weight, number::<u32>(&attributes["WEIGHT"]));
    assert_eq!(entry.attributes.rweight, number::<u32>(&attributes["RWEIGHT"]));
    assert_eq!(entry.attributes.socket.as_deref(), attributes["SOCKET"].as_str());
}
