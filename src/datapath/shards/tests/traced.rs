//! What is copied for traces besides messages that pass: requests of our own; and what is not: keep-alives.

use super::*;
use crate::datapath::tap::Taken;
use crate::datapath::tap_filter::TapFilter;
use crate::sip::{Cause, Decision};

/// What a test compares of a copy.
type Seen = (String, bool, Cause, u8, Option<u32>);

fn seen(taken: &Taken, bytes: &[u8]) -> Seen {
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(11)]).into_owned();
    (start, taken.is_sent, taken.decision.cause, taken.wanted, taken.backend)
}

#[test]
fn probes_are_copied_both_ways_and_keep_alives_not_at_all() {
    let (backend, phone) = (socket(), socket());
    with_both(&[address(&backend)], |mut shards| {
        let (mut reports, mut taps) = (shards.reports(), shards.taps());
        let both = TapFilter { is_both_ways: true, ..TapFilter::default() };
        shards.trace(&[both, TapFilter::default()]).expect("both read their mail");
        let edge = shards.addresses().next().expect("one listener");
        // Each shard has the filters when it has answered.
        let before = shards.snapshot().expect("an answer").merged();
        let request = probe::ProbeRequest {
            listener: ListenerId(0),
            shard: 1,
            method: "OPTIONS",
            target: "sip:backend.example.com",
            from: None,
            user_agent: "sipedge",
            call_id: 1,
            cseq: 1,
        };
        let mut bytes = Vec::new();
        let transaction = probe::write(&table(&[address(&backend)]), &request, &mut bytes);
        let method = crate::sip::message::Method::Options;
        let cause = Cause::Probe;
        let probe = Outgoing {
            decision: Decision { method, cause, transaction, ..Decision::default() },
            ..outgoing(address(&backend), &bytes)
        };
        shards.send(1, probe).expect("it reads its mail");
        answer(&backend, "200 OK");
        next(&mut reports);

        // RFC 5626 4.4.1, and what phones send besides.
        let keep_alives = [&b"\r\n\r\n"[..], b"\r\n", b"\0\0\0\0", b""];
        for bytes in keep_alives {
            phone.send_to(bytes, edge).expect("sends");
        }
        let until = shards.now().0 + micros(PATIENCE);
        let count = u64::try_from(keep_alives.len()).expect("four");
        while shards.snapshot().expect("an answer").merged().received < before.received + 1 + count
        {
            assert!(shards.now().0 < until, "keep-alives are lost");
        }
        let mut all = Vec::new();
        taps.drain(|taken, bytes| all.push(seen(taken, bytes)));
        let line = |text: &str| text.to_owned();
        let zeros = "\0\0\0\0".to_owned();
        all.sort_unstable_by_key(|seen: &Seen| seen.0.clone());
        let expected = [
            // No keep-alive that a standard knows: dropped as no SIP, and that is worth a look.
            (zeros, false, Cause::None, 0b11, None),
            (line("OPTIONS sip"), true, Cause::Probe, 0b01, Some(0)),
            (line("SIP/2.0 200"), false, Cause::Probe, 0b11, Some(0)),
        ];
        assert_eq!(all, expected);
    });
}
