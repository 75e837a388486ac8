//! What the views find, as pairs of input and expectation.

use super::index::FIELDS_MAX;
use super::*;

fn parse<'a>(bytes: &'a [u8], index: &'a mut Index) -> Message<'a> {
    Message::parse(bytes, index).expect("the test message is well-formed")
}

fn request(fields: &str) -> Vec<u8> {
    format!("INVITE sip:bob@example.com SIP/2.0\r\n{fields}\r\nbody").into_bytes()
}

#[test]
fn folded_via_with_blanks_everywhere() {
    let bytes = request(
        "v:  SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8  ,\r\n \
         SIP  /    2.0   / UDP  192.168.255.111 : 5062  ; branch=\r\n z9hG4bK30239\r\n",
    );
    let mut index = Index::default();
    let message = parse(&bytes, &mut index);
    let vias: Vec<Via> = message.vias().map(|via| via.expect("well-formed")).collect();
    assert_eq!(vias.len(), 2);
    assert_eq!(vias[0].host.of(&bytes), b"spindle.example.com");
    assert_eq!(vias[0].branch.of(&bytes), b"z9hG4bK9ikj8");
    assert_eq!(vias[1].transport.of(&bytes), b"UDP");
    assert_eq!(vias[1].port, Some(5062));
    assert_eq!(vias[1].branch.of(&bytes), b"z9hG4bK30239");
}

#[test]
fn via_parameters() {
    let bytes = request(
        "Via: SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];Branch=z9hG4bKas3-111;rport;e=xyz\r\n\
         Via: SIP/2.0/UDP h;received=2001:db8::9;rport=5062;x=\"a,b;c\"\r\n",
    );
    let mut index = Index::default();
    let message = parse(&bytes, &mut index);
    let vias: Vec<Via> = message.vias().map(|via| via.expect("well-formed")).collect();
    assert_eq!(vias[0].host.of(&bytes), b"[2001:db8::9:1]");
    assert_eq!(vias[0].rport, None);
    assert_eq!(vias[0].rport_parameter.map(|p| p.of(&bytes)), Some(&b"rport"[..]));
    assert_eq!(vias[0].edge.of(&bytes), b"xyz");
    assert_eq!(vias[1].received.of(&bytes), b"2001:db8::9");
    assert_eq!(vias[1].rport, Some(5062));
    assert_eq!(uri::host_address(vias[1].received.of(&bytes)), "2001:db8::9".parse().ok());
}

#[test]
fn names_of_any_case_and_compact() {
    let bytes = request("CALL-ID : a@b\r\nI: c\r\nmAX-fORWARDS:\r\n 70\r\nContact: *\r\n");
    let mut index = Index::default();
    let message = parse(&bytes, &mut index);
    assert_eq!(message.value(FieldName::CallId), b"a@b");
    assert!(index.repeated().has(FieldName::CallId));
    assert!(!index.repeated().has(FieldName::Via) && !index.present().has(FieldName::To));
    assert_eq!(
        Message { bytes: &bytes, index: &index }.number(FieldName::MaxForwards),
        Some(Ok(70))
    );
    assert_eq!(index.all(FieldName::Contact).count(), 1);
}

#[test]
fn uris() {
    let check = |text: &str, user: &str, host: &str, port: Option<u32>, lr: bool| {
        let bytes = text.as_bytes();
        let uri = Uri::parse(bytes, Span::new(0, bytes.len())).expect(text);
        assert_eq!(uri.user.of(bytes), user.as_bytes(), "{text}");
        assert_eq!(uri.host.of(bytes), host.as_bytes(), "{text}");
        assert_eq!((uri.port, uri.is_loose(bytes)), (port, lr), "{text}");
    };
    check("sip:bob@example.com", "bob", "example.com", None, false);
    check("SIP:bob:pw@[::1]:5070;lr", "bob", "[::1]", Some(5070), true);
    check(
        "sip:user;par=u%40example.net@example.com;LR=on?x=y",
        "user;par=u%40example.net",
        "example.com",
        None,
        true,
    );
    check("sips:host:99999", "", "host", Some(99_999), false);
    check("tel:+1-201;phone-context=x", "+1-201", "", None, false);
    check("urn:service:sos", "", "", None, false);
    for bad in [
        "",
        "sip:",
        "bob@example.com",
        "sip:@host",
        "sip:a@b c",
        "sip:[::1",
        "sip:h:",
        "sip:h>x",
        "1ip:h",
    ] {
        assert!(Uri::parse(bad.as_bytes(), Span::new(0, bad.len())).is_err(), "{bad}");
    }
}

#[test]
fn numbers_as_the_cursor_reads_them() {
    for text in [
        "1 INVITE",
        "0 x",
        "999999999 A",
        "1000000000 A",
        "2147483648 A",
        "1  A",
        "1\tA",
        " 1 A",
        "1 A B",
        "1 ",
        "1",
        "",
        "x A",
    ] {
        for text in changed(text) {
            let value = Span::new(0, text.len());
            let mut cursor = Cursor::new(&text, value);
            let any = cursor.number().ok().and_then(|number| {
                cursor.skip_blanks();
                let method = cursor.token().ok()?;
                (cursor.is_at_end() && number < 1 << 31).then_some(CSeq { number, method })
            });
            if let Some(usual) = usual_cseq(&text, value) {
                assert_eq!(Some(usual), any, "{}", text.escape_ascii());
            }
            let mut cursor = Cursor::new(&text, value);
            let number = cursor.number().ok().filter(|_| cursor.is_at_end());
            if let Some(usual) = lex::short_digits(&text) {
                assert_eq!(Some(usual), number, "{}", text.escape_ascii());
            }
        }
    }
}

#[test]
fn route_lists_with_quotes() {
    let bytes = request(
        "Route: \"a, \\\"<b>\" <sip:one;lr>;x=\"<,>\" ,<sip:two>\r\nRoute: sip:three;tag=1\r\n",
    );
    let mut index = Index::default();
    let message = parse(&bytes, &mut index);
    let uris: Vec<&[u8]> = message
        .name_addrs(FieldName::Route)
        .map(|route| route.expect("well-formed").uri.of(&bytes))
        .collect();
    assert_eq!(uris, [&b"sip:one;lr"[..], b"sip:two", b"sip:three"]);
}

#[test]
fn from_values() {
    let check = |text: &str, expected: Option<(&str, &str)>| {
        let bytes = request(&format!("From: {text}\r\n"));
        let mut index = Index::default();
        let message = parse(&bytes, &mut index);
        let found = message.name_addr(FieldName::From).ok();
        let found = found.map(|f| (f.uri.of(&bytes).to_vec(), f.tag.of(&bytes).to_vec()));
        let expected = expected.map(|(u, t)| (u.as_bytes().to_vec(), t.as_bytes().to_vec()));
        assert_eq!(found, expected, "{text}");
    };
    check("sip:a@b;tag=1", Some(("sip:a@b", "1")));
    check(
        "\"J Rosenberg \\\\\\\"\"       <sip:jdrosen@example.com>\r\n  ;\r\n  tag = 98asjd8",
        Some(("sip:jdrosen@example.com", "98asjd8")),
    );
    check("caller<sip:caller@example.com>;tag=323", Some(("sip:caller@example.com", "323")));
    check("<sip:a@b;tag=inside>", Some(("sip:a@b;tag=inside", "")));
    check("Bell, Alexander <sip:a@b>;tag=43", None);
    check("\"Unbalanced <sip:a@b>", None);
    check("<sip:a@b", None);
    check("", None);
}

#[test]
fn start_lines() {
    let check = |text: &str, expected: Result<(), fn(&ParseError) -> bool>| {
        let bytes = format!("{text}\r\n\r\n").into_bytes();
        match (Index::default().fill(&bytes), expected) {
            (Ok(()), Ok(())) => {}
            (Err(error), Err(wanted)) => assert!(wanted(&error), "{text}: {error:?}"),
            (found, _) => panic!("{text}: {found:?}"),
        }
    };
    let bad_request: fn(&ParseError) -> bool = |e| matches!(e, ParseError::BadRequestLine(_));
    let bad_status: fn(&ParseError) -> bool = |e| matches!(e, ParseError::BadStatusLine(_));
    let not_sip: fn(&ParseError) -> bool = |e| matches!(e, ParseError::NotSip);
    check("INVITE sip:a@b SIP/2.0", Ok(()));
    check("!interesting-Method0123456789_*+`.%indeed'~ sip:a@b sip/2.0", Ok(()));
    check("!interesting-Method0123456789_*+`.%indeed'~ sip:a@b SIP/7.0", Ok(()));
    check("INVITE  sip:a@b SIP/2.0", Err(bad_request));
    check("INVITE sip:a@b SIP/2.0 ", Err(bad_request));
    check("INVITE sip:a@b; lr SIP/2.0", Err(bad_request));
    check("INVITE SIP/2.0", Err(bad_request));
    check(" INVITE sip:a@b SIP/2.0", Err(bad_request));
    check("GET / HTTP/1.1", Err(not_sip));
    check("SIP/2.0 200 OK", Ok(()));
    check("SIP/2.0 200", Ok(()));
    check("SIP/2.0 100 ", Ok(()));
    check("SIP/2.0 99 x", Err(bad_status));
    check("SIP/2.0 4294967301 better not break the receiver", Err(bad_status));
    check("SIP/3.0 200 OK", Err(bad_status));
}

#[test]
fn cut_messages_and_bad_lines() {
    let check = |text: &str, expected: ParseError| {
        assert_eq!(Index::default().fill(text.as_bytes()), Err(expected), "{text}");
    };
    check("OPTIONS sip:a SIP/2.0\r\nVia: x\r\n", ParseError::NoEndOfFields);
    check("OPTIONS sip:a SIP/2.0\r\nVia: x", ParseError::NoEndOfFields);
    check("OPTIONS sip:a SIP/2.0\r\nno colon\r\n\r\n", ParseError::BadField(Malformed { at: 23 }));
    check("", ParseError::NotSip);
    for stray in
        ["X: a\rRoute: b", "X: a\0b", "X: a\r\r", "X\r: a", "\rX: a", "X: a\r\n \rb", "no\0colon"]
    {
        check(&format!("OPTIONS sip:a SIP/2.0\r\n{stray}\r\n\r\n"), ParseError::StrayByte);
        check(&format!("SIP/2.0 200 OK\n{stray}\n\n"), ParseError::StrayByte);
    }
    check("OPTIONS sip:a\rb SIP/2.0\r\nX: a\r\n\r\n", ParseError::StrayByte);
    check("OPTIONS sip:a SIP/2.0\r\nX: a\r\n\r\r\n", ParseError::NoEndOfFields);
    let many = format!("OPTIONS sip:a SIP/2.0\r\n{}\r\n", "v: x\r\n".repeat(FIELDS_MAX + 1));
    check(&many, ParseError::TooManyFields);
}

#[test]
fn the_usual_header_is_read_as_any_other() {
    let usual = "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP a:5062;branch=x;rport\r\nMax-Forwards: 70\r\n\
                 From: \"A\" <sip:a@b>;tag=1\r\nX-Long: abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghi\r\n\
                 To:<sip:b@c>\r\nCall-ID: \r\nCSeq: 3 INVITE \r\nl: 4\r\nVia: v\r\n\r\nbody";
    let told = |index: &Index, outcome: Result<(), ParseError>| {
        let at = [index.fields_start, index.fields_end, index.body_start];
        let sets = (index.present(), index.repeated(), index.has_stray());
        (outcome, index.start_line, at, index.fields.to_vec(), sets)
    };
    let mut usual_index = Index::default();
    let mut any_index = Index::default();
    for (at, bytes) in changed(usual).enumerate() {
        let start = bytes.iter().position(|byte| !b"\r\n".contains(byte)).unwrap_or(bytes.len());
        let outcome = usual_index.fill(&bytes);
        any_index.fill(b"").expect_err("nothing is no message");
        let any = any_index.fill_any(&bytes, start);
        assert_eq!(
            told(&usual_index, outcome),
            told(&any_index, any),
            "{at}: {}",
            bytes.escape_ascii()
        );
    }
}

#[test]
fn bytes_of_the_body_are_free() {
    for body in ["\r", "\0", "a\rb\0c", "\r\r\n"] {
        for fields in ["X: a", "X: a\r\nY: abcdefghijklmnopqrstuvwxyz"] {
            let text = format!("OPTIONS sip:a SIP/2.0\r\n{fields}\r\n\r\n{body}");
            let mut index = Index::default();
            let message = parse(text.as_bytes(), &mut index);
            assert_eq!(message.body(), body.as_bytes());
            assert!(!index.has_stray());
        }
    }
}

#[test]
fn watched_fields_are_found_in_all_spellings() {
    let bytes = request(
        "X-Tenant:\r\n one\r\nx-other: two\r\nS \t: three\r\nX-TENANT : four\r\nUser-Agent: five\r\nf: six\r\n\
         Subject:\r\nx-tenants: seven\r\n",
    );
    let mut watched = Watched::default();
    let names = ["x-Tenant", "Subject", "user-agent", "From", "X-None", "X-TENANT", "s"];
    let found = names.map(|name| watched.add(name).expect("room"));
    assert_eq!(found[0], found[5]);
    assert_eq!(found[1], found[6]);
    assert_eq!(found[3], FieldName::From);
    let mut index = Index::default();
    index.watch(watched.clone().into());
    let message = parse(&bytes, &mut index);
    let values = |name: &str| -> Vec<&str> {
        let fields = message.index.all(message.index.named(name).expect("watched"));
        fields.map(|field| std::str::from_utf8(field.value.of(&bytes)).expect("ASCII")).collect()
    };
    assert_eq!(values("X-tenant"), ["one", "four"]);
    assert_eq!(values("s"), ["three", ""]);
    assert_eq!(values("User-Agent"), ["five"]);
    assert_eq!(values("From"), ["six"]);
    assert_eq!(values("X-None"), [""; 0]);
    assert_eq!(message.named("x-tenant"), Some(&b"one"[..]));
    assert_eq!((message.named("X-None"), message.named("X-Other")), (None, None));
    for name in ["a", "b", "c", "d"] {
        assert!(watched.add(name).is_ok(), "{name}");
    }
    assert_eq!((watched.add("e"), watched.add("d")), (Err(TooManyNames), Ok(FieldName::Watched7)));
}

#[test]
fn unknown_fields_are_found_slowly() {
    let bytes = request("X-Tenant:\r\n one\r\nx-other: two\r\n");
    let mut index = Index::default();
    let message = parse(&bytes, &mut index);
    assert_eq!(message.slow_value(b"x-tenant"), Some(&b"one"[..]));
    assert_eq!(message.slow_value(b"X-Other"), Some(&b"two"[..]));
    assert_eq!(message.slow_value(b"X-None"), None);
    assert_eq!(message.body(), b"body");
}

#[test]
fn addresses_as_the_standard_library_reads_them() {
    for text in [
        "1.2.3.4",
        "0.0.0.0",
        "255.255.255.255",
        "256.1.1.1",
        "1.2.3",
        "1.2.3.4.5",
        "01.2.3.4",
        "1..2.3",
        "1.2.3.",
        ".1.2.3",
        "",
        "a.b.c.d",
        "1.2.3.4a",
        "10.0.0.100",
        "1.2.3.00",
        "::1",
        "2001:db8::9:1",
        "::ffff:1.2.3.4",
        "fe80::1%1",
        "2001",
        "dead.beef",
        "example.com",
    ] {
        assert_eq!(uri::host_address(text.as_bytes()), text.parse().ok(), "{text}");
    }
    assert_eq!(uri::host_address(b"[::1]"), "::1".parse().ok());
}

/// A value cut at every place, and with every other byte at every place.
pub(super) fn changed(value: &str) -> impl Iterator<Item = Vec<u8>> {
    let bytes = value.as_bytes();
    // Under miri, some thousand times slower, a few bytes at a few places.
    let (step, byte_step) = if cfg!(miri) { (4, 85) } else { (1, 1) };
    let cuts = (0..=bytes.len()).rev().step_by(step).map(|size| bytes[..size].to_vec());
    let others = (0..=255_u8).step_by(byte_step);
    let with = |place: usize, byte: u8| {
        let mut changed = bytes.to_vec();
        changed[place] = byte;
        changed
    };
    let changes = (0..bytes.len())
        .step_by(step)
        .flat_map(move |place| others.clone().map(move |b| with(place, b)));
    cuts.chain(changes)
}
