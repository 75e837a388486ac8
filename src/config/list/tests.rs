//! What a list file says, and what is told of one with mistakes.

use super::*;

fn uris(list: &List, set: u32) -> Vec<&str> {
    list.set(set).iter().map(|entry| entry.uri.as_str()).collect()
}

#[test]
fn memory_order_is_priority_then_the_reverse_of_the_file() {
    let list = List::parse(
        "20 sip:a 0 0\n20 sip:b 0 10\n1 sip:x\n20 sip:c 0 5\n20 sip:d 0 10\n20 sip:e\n20 sip:f 0 -1\n",
    );
    assert_eq!(list.problems, []);
    assert_eq!(uris(&list, 20), ["sip:d", "sip:b", "sip:c", "sip:e", "sip:a", "sip:f"]);
    assert_eq!(uris(&list, 1), ["sip:x"]);
    assert_eq!(uris(&list, 2), [""; 0]);
    assert_eq!(list.entries().len(), 7);
}

#[test]
fn fields_and_attributes() {
    let list = List::parse(
        "# comment\r\n\r\n\t7\tSIPS:[2001:db8::1]:5061;transport=tls  0x1C 3 \
         Weight=40;duid=x;rweight=7;socket=udp:192.0.2.1:5070;flag;foo=b=c;  weight=1 ignored\r\n",
    );
    assert_eq!(list.problems, []);
    let [entry] = list.entries() else { panic!("one entry: {list:?}") };
    assert_eq!(entry.uri, "SIPS:[2001:db8::1]:5061;transport=tls");
    assert_eq!((entry.set, entry.flags, entry.priority, entry.line), (7, Flags(28), 3, 3));
    let attributes = &entry.attributes;
    assert_eq!((attributes.weight, attributes.rweight), (40, 7));
    assert_eq!(attributes.duid.as_deref(), Some("x"));
    assert_eq!(attributes.socket.as_deref(), Some("udp:192.0.2.1:5070"));
    assert_eq!(
        attributes.others,
        [("flag", ""), ("foo", "b=c")].map(|(a, b)| (a.into(), b.into()))
    );
    assert!(attributes.text.ends_with("foo=b=c"));
    assert_eq!((entry.member().weight, entry.member().identity), (40, entry.uri.as_bytes()));
}

#[test]
fn a_byte_order_mark_is_skipped_and_quotes_are_told() {
    let list = List::parse("\u{feff}1 sip:a 0 0 weight=5\n");
    assert_eq!((list.problems.len(), uris(&list, 1)), (0, vec!["sip:a"]));
    let shown = |text: &str| {
        let problems = List::parse(text).problems;
        problems.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        shown("1 sip:a 0 0 \"weight=50;duid=a\"\n"),
        [
            "1:13: \" is part of the name \"weight, which means nothing; write attributes without quotes: weight=50"
        ]
    );
    assert_eq!(
        shown("1 sip:a 0 0 weight=\"50\";maxload='5'\n"),
        [
            "1:20: weight=\"50\" stands in quotes and counts as 0; write digits without quotes",
            "1:33: maxload='5' stands in quotes and is left out; write digits alone",
        ]
    );
}

#[test]
fn a_comment_ends_a_line() {
    for line in ["3 sip:a # 1 0 weight=5", "3 sip:a 0 #9", "3 sip:a 0 0 #weight=5", "3 a"] {
        let list = List::parse(line);
        assert_eq!((list.problems.len(), uris(&list, 3)), (0, vec!["sip:a"]), "{line}");
        assert_eq!(list.entries()[0].attributes, Attributes::default());
    }
}

#[test]
fn flags_say_who_is_usable() {
    let usable = |flags| Flags(flags).is_usable();
    assert!([0, 2, 8, 16, 10, 32].into_iter().all(usable));
    assert!(![1, 4, 5, 9, 12].into_iter().any(usable));
}

#[test]
fn every_problem_is_told_with_its_place() {
    let long = format!("1 sip:h 0 0 x={}", "y".repeat(1_010));
    let text = format!(
        "x sip:a\n1\n 1 sip: 0 0\n1 sip:a zero ten\n1 sip:b 0 0 weight=200;rweight=no\n{long}\n1 tel:+1\n1 sip:c 0\n"
    );
    let list = List::parse(&text);
    let places: Vec<_> =
        list.problems.iter().map(|found| (found.line, found.column, found.severity)).collect();
    use Severity::{Error, Warning};
    let expected = [
        (1, 1, Error),
        (2, 2, Error),
        (3, 4, Error),
        (4, 9, Error),
        (4, 14, Error),
        (5, 20, Warning),
        (5, 32, Warning),
        (6, 1_024, Error),
        (7, 3, Error),
    ];
    assert_eq!(places, expected, "{:#?}", list.problems);
    assert_eq!(uris(&list, 1), ["sip:c", "sip:b"]);
    assert_eq!(list.set(1)[1].attributes.weight, 0);
    let text = list.problems[0].to_string();
    assert_eq!(text, "1:1: \"x\" is no set number; start the line with a number such as 1");
}

#[test]
fn a_line_of_the_largest_size_is_read() {
    let line = format!("1 sip:h 0 0 x={}", "y".repeat(LINE_BYTES_MAX - 14));
    assert_eq!(line.len(), LINE_BYTES_MAX);
    assert_eq!(List::parse(&line).entries().len(), 1);
}

#[test]
fn destinations() {
    let check = |destination: &str, expected: Option<&str>| {
        let list = List::parse(&format!("1 {destination} 0 0"));
        let read = list.entries().first().map(|entry| entry.uri.as_str());
        assert_eq!(read, expected, "{destination}");
        assert_eq!(list.problems.len(), usize::from(expected.is_none()));
    };
    check("192.0.2.1", Some("sip:192.0.2.1"));
    check("host:5080;transport=tcp", Some("sip:host:5080;transport=tcp"));
    check("sip:user@host:5080?x=y", Some("sip:user@host:5080?x=y"));
    check("[2001:db8::1]", Some("sip:[2001:db8::1]"));
    check("sip:[2001:db8::1", None);
    check("sip:[2001:db8::1]x", None);
    check("sip:[nonsense]:1", None);
    check("sip:host:0", None);
    check("sip:host:65536", None);
    check("sip:host:", None);
    check("sip:;lr", None);
    check("http://host", None);
}

#[test]
fn what_is_said_about_probes() {
    let list = List::parse(
        "1 sip:a 32 0 ping_from=sip:probe@example.com\n1 sip:b 8 0 PING_FROM=probe\n1 sip:c 0x24\n",
    );
    let [c, b, a] = list.set(1) else { panic!("three: {list:?}") };
    assert!(a.flags.has(Flags::NEVER_PROBED) && a.flags.is_usable());
    assert_eq!(a.attributes.ping_from.as_deref(), Some("sip:probe@example.com"));
    assert!(b.flags.has(Flags::PROBING) && b.flags.is_usable());
    assert_eq!(b.attributes.ping_from, None);
    let message = "2:23: ping_from \"probe\" is no SIP URI and is left out; write ping_from=sip:probe@example.com";
    assert_eq!(list.problems.iter().map(ToString::to_string).collect::<Vec<_>>(), [message]);
    assert!(c.flags.has(Flags::NEVER_PROBED | Flags::DISABLED) && !c.flags.is_usable());
}
