//! Reads the counters once a second, whoever looks: into the history, and as one snapshot for all streams.
//!
//! Owns: that the node is asked at that pace and no faster, however many look. Times are those of the node.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use serde::Serialize;
use tokio::time::MissedTickBehavior;

use super::Page;
use super::events::{self, Listeners};
use super::history::{History, Sample, Totals};
use crate::control::event::Scrape;
use crate::control::view;

/// From one reading to the next.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

#[expect(
    clippy::disallowed_types,
    reason = "between the admin thread and who asks it, never a shard"
)]
type Lock<T> = std::sync::Mutex<T>;

/// What is known from the readings.
#[derive(Default)]
pub(super) struct Sampled {
    state: Lock<(History, Arc<Latest>)>,
    pub(super) listeners: Listeners,
}

/// The last reading.
#[derive(Debug, Default)]
pub(super) struct Latest {
    /// When.
    pub(super) at_ms: u64,
    /// Drops and shards.
    pub(super) totals: Totals,
}

/// What a stream is sent.
#[derive(Serialize)]
struct Snapshot<'a> {
    at_ms: u64,
    node: &'a view::Node,
    sample: Option<&'a Sample>,
    drops: &'a [super::history::Drops],
    shards: &'a [super::history::Shard],
    streams: usize,
}

impl Sampled {
    /// The last reading.
    pub(super) fn latest(&self) -> Arc<Latest> {
        self.with(|_, latest| Arc::clone(latest))
    }

    /// Reads the history.
    pub(super) fn history<T>(&self, read: impl FnOnce(&History) -> T) -> T {
        self.with(|history, _| read(history))
    }

    /// Takes in a reading; what to send to `streams` streams.
    fn take(&self, mut scrape: Scrape, streams: usize) -> Bytes {
        let at_ms = scrape.view.at_ms;
        self.with(|history, latest| {
            let totals = history.take(&scrape);
            history.fill(&mut scrape.view);
            let snapshot = Snapshot {
                at_ms,
                node: &scrape.view,
                sample: history.newest(),
                drops: &totals.drops,
                shards: &totals.shards,
                streams,
            };
            let json = serde_json::to_vec(&snapshot).expect("plain structs become JSON");
            *latest = Arc::new(Latest { at_ms, totals });
            events::event(&json)
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut History, &mut Arc<Latest>) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (history, latest) = &mut *state;
        work(history, latest)
    }
}

/// Reads until the node has ended.
pub(super) async fn run(page: Arc<Page>) {
    let mut tick = tokio::time::interval(SAMPLE_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pause = 0;
    loop {
        tick.tick().await;
        let taker = Arc::clone(&page);
        let taken = tokio::task::spawn_blocking(move || {
            let scrape = taker.asker.scrape()?;
            Ok::<_, String>(taker.sampled.take(scrape, taker.places.streams()))
        });
        // The shards may be stuck; the next second they are asked again.
        let Ok(Ok(event)) = taken.await else { continue };
        if pause > 1 {
            pause -= 1;
            continue;
        }
        pause = page.sampled.listeners.pause_seconds(event.len());
        page.sampled.listeners.publish(event).await;
    }
}
