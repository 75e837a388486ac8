//! What everything starts from: valid messages, and pieces that do harm in the wrong place.
//!
//! Owns: texts. Knows nothing of tables.

/// Requests that are let in as they stand.
pub(crate) fn requests() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let methods = ["INVITE", "REGISTER", "OPTIONS", "SUBSCRIBE", "MESSAGE", "BYE", "ACK", "CANCEL"];
    for (number, method) in methods.into_iter().enumerate() {
        for uri in ["sip:bob@example.com", "sip:192.0.2.1", "sip:x@10.0.0.2:5060;lr", "tel:+1555"] {
            let tag = if matches!(method, "BYE" | "ACK") { ";tag=b1" } else { "" };
            all.push(
                format!(
                    "{method} {uri} SIP/2.0\r\n\
                     Via: SIP/2.0/UDP 10.9.9.9:5062;branch=z9hG4bKp{number};rport\r\n\
                     Via: SIP/2.0/TCP [2001:db8::7];branch=z9hG4bKq, SIP/2.0/UDP far.example\r\n\
                     Max-Forwards: 70\r\n\
                     From: \"A, <x>\" <sip:alice@example.com>;tag=a1\r\n\
                     To: <sip:bob@example.com>{tag}\r\n\
                     Call-ID: c{number}@x\r\n\
                     CSeq: 1 {method}\r\n\
                     Contact: <sip:alice@10.9.9.9:5062>\r\n\
                     X-Room: 12\r\n\
                     Content-Length: 4\r\n\r\nv=0\n"
                )
                .into_bytes(),
            );
        }
    }
    all
}

/// Spliced in anywhere.
pub(crate) const PIECES: [&str; 46] = [
    ";rport",
    ";rport=1",
    ";rport=99999999999",
    ";received=9.9.9.9",
    ";received=[::1]",
    ";received=",
    ";branch=z9hG4bK~e~AB00000000000",
    ";e=A0000000000000",
    ";e=",
    ";maddr=224.0.0.1",
    ";lr",
    ";r2=on",
    ";tag=x",
    ";transport=tcp",
    ";ttl=1",
    ", SIP/2.0/UDP 192.0.2.1:5060",
    ",",
    ";",
    ":",
    "\"",
    "<",
    ">",
    "\\",
    "\r\n ",
    "\n\t",
    "\r",
    "\n",
    "\r\n\r\n",
    "\0",
    "\u{ff}",
    " ",
    "\t",
    "@",
    "[",
    "]",
    "?a=b",
    "%00",
    ":0",
    ":65536",
    ":5060",
    "0",
    "4294967296",
    "SIP/2.0",
    "~e~",
    "sip:",
    "192.0.2.1",
];

/// Whole lines.
pub(crate) const LINES: [&str; 34] = [
    "Route: <sip:192.0.2.1;lr>\r\n",
    "Route: <sip:192.0.2.1;lr>, <sip:198.51.100.8;lr>\r\n",
    "Route: <sip:198.51.100.8>\r\n",
    "ROUTE :\r\n <sip:10.0.0.1>\r\n",
    "Route: <sip:[2001:db8::1];lr;r2=on>,<sip:192.0.2.1;lr>\r\n",
    "Route:\r\n",
    "v: SIP/2.0/UDP 192.0.2.1\r\n",
    "Via: SIP / 2.0 / UDP a : 5060 ;rport ;received=1.1.1.1 ;rport= 5\r\n",
    "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK~e~ABaaaaaaaaaaa;e=Aaaaaaaaaaaaaa\r\n",
    "i: other\r\n",
    "Call-ID: other\r\n",
    "CSeq: 2147483648 INVITE\r\n",
    "Max-Forwards: 0\r\n",
    "Max-Forwards: 1\r\n",
    "max-forwards: 256\r\n",
    "Content-Length: 0\r\n",
    "l: 99999\r\n",
    "l: 4294967295\r\n",
    "Max-Breadth: 0\r\n",
    "Proxy-Require: a\r\n",
    "proxy-require: b,c\r\n",
    "To: <sip:z@example.org>;tag=eAAAAAAAAAAA\r\n",
    "t: sip:a;tag\r\n",
    "f: <>\r\n",
    "Record-Route: <sip:~e~AB@192.0.2.1;lr>\r\n",
    "Path: <sip:~e~AB@192.0.2.1;lr>\r\n",
    "Authorization: Digest username=\"u@x\", realm=\"\"\r\n",
    "Authorization: Digest username=\r\n",
    " folded\r\n",
    ": nothing\r\n",
    "no colon\r\n",
    "\r\n",
    "X-Room\r\n : 7\r\n",
    "X: \u{fffd}\r\n",
];
