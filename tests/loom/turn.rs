//! A shard's turn, cut down to its mail: the order of steps of `src/datapath/shard.rs` with both kinds of waiting.
//!
//! Owns: that order. `mmsg.rs` waits by poll and reads the eventfd before the mail is taken; `uring` has a read in its
//! ring, takes its completion before the mail is taken and puts the next one in afterwards.

use loom::model::Builder;

use crate::datapath::mailbox::{Hop, Mailbox};

/// How a shard waits.
#[derive(Clone, Copy)]
pub(crate) enum Wait {
    Poll,
    Ring,
}

pub(crate) const WAITS: [Wait; 2] = [Wait::Poll, Wait::Ring];

/// Switches of threads at places where none had to wait. Every known fault of a wake-up needs one or two.
const PREEMPTIONS_MAX: usize = 3;

/// Runs a model under all interleavings within [`PREEMPTIONS_MAX`].
pub(crate) fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS_MAX);
    builder.check(model);
}

impl Wait {
    /// What a shard does when it starts.
    pub(crate) fn start(self, mailbox: &Mailbox) {
        if matches!(self, Self::Ring) {
            mailbox.wake().arm_read();
        }
    }

    /// Wait, take the hops, wake others. What comes after (letters) is the model's. `on` must not post.
    pub(crate) fn turn(self, mailbox: &mut Mailbox, on: impl FnMut(&Hop)) -> u64 {
        match self {
            Self::Poll => {
                mailbox.wake().wait();
                mailbox.wake().clear();
            }
            Self::Ring => mailbox.wake().take_read(),
        }
        let count = mailbox.take_hops(on);
        mailbox.flush();
        if matches!(self, Self::Ring) {
            mailbox.wake().arm_read();
        }
        count
    }
}
