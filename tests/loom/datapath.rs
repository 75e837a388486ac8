//! The data path's mailbox and counters, on models of what they stand on.
//!
//! Owns: which files are the product's and which are models. The product's files are compiled as they are.

#[path = "../../src/datapath/counters.rs"]
#[expect(dead_code, unreachable_pub, reason = "the product uses all of it; the models use a part")]
pub(crate) mod counters;
#[path = "../../src/datapath/mailbox.rs"]
#[expect(dead_code, unreachable_pub, reason = "the product uses all of it; the models use a part")]
pub(crate) mod mailbox;
#[path = "ring.rs"]
pub(crate) mod ring;
#[path = "../../src/datapath/small_histogram.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "the product uses all of it; the models use a part"
)]
pub(crate) mod small_histogram;
#[path = "sys.rs"]
pub(crate) mod sys;
#[path = "../../src/datapath/tap_filter.rs"]
#[expect(dead_code, unreachable_pub, reason = "the product uses all of it; the models use a part")]
pub(crate) mod tap_filter;
#[path = "../../src/datapath/traffic.rs"]
#[expect(dead_code, unreachable_pub, reason = "the product uses all of it; the models use a part")]
pub(crate) mod traffic;
