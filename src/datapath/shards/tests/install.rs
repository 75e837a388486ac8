//! A new table reaches all shards, or none.

use super::*;
use crate::datapath::mailbox;

/// A table with one rule more.
fn longer(backends: &[SocketAddr]) -> Arc<Table> {
    let one = table(backends);
    let rules = [&one.rules[..], &one.rules[..]].concat();
    Arc::new(Table::new(Parts {
        shards: 2,
        listeners: one.listeners.clone(),
        pools: one.pools.clone(),
        rules,
        keys: vec![Key { id: 1, secret: [7; 32] }],
        ..Parts::default()
    }))
}

/// How many rules each shard counts.
fn rules(shards: &mut Shards) -> Vec<usize> {
    let snapshot = shards.snapshot().expect("an answer");
    snapshot.shards.iter().map(|counters| counters.rules.len()).collect()
}

#[test]
fn a_silent_shard_keeps_a_table_from_the_others() {
    let backend = address(&socket());
    with_both(&[backend], |mut shards| {
        assert_eq!(rules(&mut shards), [1, 1]);
        // A box that nobody empties stands for a shard that does not read its mail.
        let (_boxes, mut desks, _control) = mailbox::mesh(1).expect("eventfds");
        let mut full = desks.remove(0);
        while full.post(Mail::Drain).is_ok() {}
        let reads = std::mem::replace(&mut shards.desks[1], full);
        let refused = shards.install(&longer(&[backend]));
        assert_eq!(refused, Err(InstallError::ShardSilent(1)));
        assert_eq!(shards.trace(&[]), Err(InstallError::ShardSilent(1)));
        shards.desks[1] = reads;
        assert_eq!(rules(&mut shards), [1, 1], "what ran goes on");
        assert_eq!(shards.install(&longer(&[backend])), Ok(()));
        assert_eq!(rules(&mut shards), [2, 2]);
    });
}
