//! Reads the node once a second, whoever looks: into the history, as one snapshot for all streams, and for `/metrics` and the
//! API.
//!
//! Owns: that the node is asked at that pace and no faster, however many look; only a command that was carried out brings one
//! more reading, so that its effect shows. Times are those of the node.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use serde::Serialize;
use tokio::sync::watch;
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
pub(super) struct Sampled {
    /// The last reading, or why there was none; nothing before the first.
    reading: watch::Sender<Option<Reading>>,
    state: Lock<(History, Arc<Latest>)>,
    pub(super) listeners: Listeners,
}

/// What the node answered.
type Reading = Result<Arc<Scrape>, String>;

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

impl Default for Sampled {
    fn default() -> Self {
        Self {
            reading: watch::Sender::new(None),
            state: Lock::default(),
            listeners: Listeners::default(),
        }
    }
}

impl Sampled {
    /// The last reading, at most about a second old; waits for the first.
    pub(super) async fn read(&self) -> Reading {
        let mut readings = self.reading.subscribe();
        let read = readings.wait_for(Option::is_some).await.map(|reading| reading.clone());
        read.ok().flatten().unwrap_or_else(|| Err("the node has ended".to_owned()))
    }

    /// The last reading, if there was one.
    pub(super) fn reading(&self) -> Option<Arc<Scrape>> {
        self.reading.borrow().clone()?.ok()
    }

    /// This is how the node is now.
    pub(super) fn put(&self, reading: Reading) {
        self.reading.send_replace(Some(reading));
    }

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
            self.put(Ok(Arc::new(scrape)));
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
            let scrape = taker.asker.scrape().inspect_err(|error| {
                taker.sampled.put(Err(error.clone()));
            })?;
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
