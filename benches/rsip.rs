//! The same messages read by the crate rsip and by the core's own views: what both do is the same job.
//!
//! The job: the message's fields, then its top Via, From, To and CSeq as typed values. rsip copies what it reads into
//! owned strings and knows all fields; the core borrows and stops at what a proxy needs. The figures say what that costs.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use rsip::message::HeadersExt;
use rsip::prelude::{ToTypedHeader, UntypedHeader};
use sipedge::sip::message::{FieldName, Index, Message};
use sipedge::sip::{MESSAGE_BYTES_MAX, Verdict};

#[expect(dead_code, reason = "who sent a message plays no part in reading it")]
mod messages;

/// Bytes of the typed values, so that nothing is left out by the optimiser.
type Read = Option<usize>;

fn by_rsip(bytes: &[u8]) -> Read {
    let message = rsip::SipMessage::try_from(bytes).ok()?;
    let via = message.via_header().ok()?.typed().ok()?;
    let from = message.from_header().ok()?.typed().ok()?;
    let to = message.to_header().ok()?.typed().ok()?;
    let cseq = message.cseq_header().ok()?.typed().ok()?;
    black_box((&via, &from, &to, &cseq));
    Some(message.call_id_header().ok()?.value().len())
}

fn by_core(bytes: &[u8], index: &mut Index) -> Read {
    let message = Message::parse(bytes, index).ok()?;
    let via = message.vias().next()?.ok()?;
    let from = message.name_addr(FieldName::From).ok()?;
    let to = message.name_addr(FieldName::To).ok()?;
    let cseq = message.cseq().ok()?;
    black_box((&via, &from, &to, &cseq));
    Some(message.value(FieldName::CallId).len())
}

fn read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read");
    let mut index = Index::default();
    for message in messages::all().into_iter().filter(|m| m.verdict != Verdict::Absorb) {
        let bytes = &message.bytes;
        assert!(bytes.len() <= MESSAGE_BYTES_MAX, "{}", message.name);
        let name = message.name;
        let ours = by_core(bytes, &mut index);
        assert!(ours.is_some(), "{name}");
        group.bench_function(format!("{name}/core"), |b| {
            b.iter(|| by_core(black_box(bytes), &mut index));
        });
        // What rsip cannot read (folded fields, say) has no figure.
        if by_rsip(bytes).is_some() {
            group.bench_function(format!("{name}/rsip"), |b| b.iter(|| by_rsip(black_box(bytes))));
        } else {
            println!("read/{name}/rsip: rsip does not read it");
        }
    }
    group.finish();
}

criterion_group!(benches, read);
criterion_main!(benches);
