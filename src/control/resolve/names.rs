//! The thread that keeps names fresh: asks when something is due, and tells what changes.
//!
//! Owns: the thread, its clock, the questions under way. It reaches the rest of control by the function that it was given,
//! and is reached by [`Names`]; the thread ends when that is dropped. What to ask and what to tell is the book's.
//! Limits: [`UNDER_WAY_MAX`] questions at a time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::book::Book;
use super::cache::Reply;
use super::plan::Query;
use super::resolver::Resolver;
use super::{Name, Resolution, Settings};

/// Questions that are under way at a time; the others wait.
pub const UNDER_WAY_MAX: usize = 64;

/// Where changes go.
pub type Tell = Box<dyn FnMut(Resolution) + Send>;

/// The names that are kept fresh.
#[derive(Debug)]
pub struct Names {
    wishes: UnboundedSender<Wish>,
    counts: Arc<Counts>,
}

/// What was asked of the DNS, and what came of it.
#[derive(Debug, Default)]
pub struct Counts {
    /// Questions that were answered, with records or without any.
    pub answered: AtomicU64,
    /// Questions that got no usable answer.
    pub failed: AtomicU64,
    /// Changes that were told.
    pub changes: AtomicU64,
}

#[derive(Debug)]
enum Wish {
    Ask(BTreeSet<Name>, Settings),
    Hurry(Name),
}

impl Names {
    /// Starts to keep `names` fresh. `tell` is called on the thread of this for each name once it is known (or known not to
    /// resolve), and again whenever that changes.
    ///
    /// # Errors
    /// When there is no thread to be had. A DNS that does not answer is none: that is told of each name.
    pub fn start(names: BTreeSet<Name>, settings: Settings, tell: Tell) -> Result<Self, String> {
        let plain = |error: std::io::Error| format!("names cannot be looked up: {error}");
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(plain)?;
        let (wishes, received) = unbounded_channel();
        let counts = Arc::new(Counts::default());
        let keeper = Keeper {
            origin: Instant::now(),
            book: Book::default(),
            resolver: Err(String::new()),
            settings: settings.clone(),
            under_way: JoinSet::new(),
            counts: Arc::clone(&counts),
            tell,
        };
        let run = move || runtime.block_on(keeper.run(received));
        std::thread::Builder::new().name("names".to_owned()).spawn(run).map_err(plain)?;
        let this = Self { wishes, counts };
        this.ask(names, settings);
        Ok(this)
    }

    /// From now on these names, by these settings: after a reload. What is known of names that stay is kept, and not
    /// told again; names that are new are told, names that are gone are not told any more.
    pub fn ask(&self, names: BTreeSet<Name>, settings: Settings) {
        // The thread lives as long as this does.
        let _ = self.wishes.send(Wish::Ask(names, settings));
    }

    /// All addresses of `name` are bad: asks again before its time, but not more often than the shortest TTL allows.
    pub fn hurry(&self, name: &Name) {
        let _ = self.wishes.send(Wish::Hurry(name.clone()));
    }

    /// What was asked so far.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }
}

/// What the thread works with.
struct Keeper {
    origin: Instant,
    book: Book,
    /// Made when it is needed: without names nobody reads `/etc/resolv.conf`.
    resolver: Result<Resolver, String>,
    settings: Settings,
    under_way: JoinSet<(Query, Result<Reply, String>)>,
    counts: Arc<Counts>,
    tell: Tell,
}

impl Keeper {
    async fn run(mut self, mut wishes: UnboundedReceiver<Wish>) {
        loop {
            self.turn();
            // With all places taken only an answer helps.
            let is_full = self.under_way.len() >= UNDER_WAY_MAX;
            let next = self.book.next(self.now()).filter(|_| !is_full);
            let alarm = async {
                match next {
                    Some(at) => sleep_until(self.origin + at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                wish = wishes.recv() => match wish {
                    Some(wish) => self.grant(wish),
                    None => return,
                },
                Some(done) = self.under_way.join_next() => {
                    let (query, reply) = done.expect("a question is not cancelled, a panic ends the program");
                    self.take(&query, reply);
                }
                () = alarm => {}
            }
        }
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// Tells what changed and asks what is due, until neither leads to more.
    fn turn(&mut self) {
        let now = self.now();
        for change in self.book.changes(now) {
            self.counts.changes.fetch_add(1, Ordering::Relaxed);
            (self.tell)(change);
        }
        let room = UNDER_WAY_MAX.saturating_sub(self.under_way.len());
        for query in self.book.take_due(room, now) {
            self.send(query);
        }
    }

    fn send(&mut self, query: Query) {
        if self.resolver.is_err() {
            self.resolver = Resolver::new(&self.settings.servers);
        }
        let resolver = self.resolver.clone();
        self.under_way.spawn(async move {
            let reply = match resolver {
                Ok(resolver) => resolver.ask(&query).await,
                Err(why) => Err(why),
            };
            (query, reply)
        });
    }

    fn take(&mut self, query: &Query, reply: Result<Reply, String>) {
        let count = if reply.is_ok() { &self.counts.answered } else { &self.counts.failed };
        count.fetch_add(1, Ordering::Relaxed);
        if reply.is_err() && self.settings.servers.is_empty() {
            // The system's servers may be others by now: read its file again for the next question.
            self.resolver = Err(String::new());
        }
        self.book.answered(query, reply, self.now());
    }

    fn grant(&mut self, wish: Wish) {
        match wish {
            Wish::Ask(names, settings) => {
                self.resolver = Err(String::new());
                self.settings = settings.clone();
                let now = self.now();
                self.book.ask(names, settings, now);
            }
            Wish::Hurry(name) => self.book.hurry(&name),
        }
    }
}
