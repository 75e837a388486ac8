//! The admin page: `/healthz` and `/metrics` over HTTP, on a thread of its own.
//!
//! Owns: the HTTP server and its bounds. It asks the shards for a snapshot of their counters by mailbox, through the
//! function that it was given; it touches nothing that a shard uses.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, channel};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

mod connections;
pub mod metrics;

use super::event::{Ask, Event, Scrape};
use connections::{Bounded, CONNECTION_TIME_MAX, CONNECTIONS_MAX};
use metrics::Labels;

/// How long the page waits for the thread that owns the node; the shards have a second of that.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(3);

/// Asks the node for its counters and what they are called; an error when it does not answer in time.
pub type Scraper = Box<dyn Fn() -> Result<Scrape, String> + Send + Sync>;

/// What the page is made of.
pub struct Page {
    /// The node ends its work: `/healthz` says 503.
    pub draining: AtomicBool,
    /// Where the counters come from.
    pub scrape: Scraper,
}

impl Page {
    /// A page about the node that takes in `events`.
    #[must_use]
    pub fn new(events: SyncSender<Event>) -> Self {
        let scrape = move || {
            let (answer, scrape) = channel();
            let ended = "the node has ended";
            events.send(Event::Ask(Ask::Scrape(answer))).map_err(|_| ended.to_owned())?;
            scrape.recv_timeout(ANSWER_TIME_MAX).map_err(|_| ended.to_owned())?
        };
        Self { draining: AtomicBool::new(false), scrape: Box::new(scrape) }
    }
}

/// Serves `page` at `address` until the process ends. Returns the address that it is bound to.
pub fn start(address: SocketAddr, page: Arc<Page>) -> Result<SocketAddr, String> {
    let listener = TcpListener::bind(address).map_err(|error| {
        format!(
            "the admin page cannot listen on {address}: {error}. \
             Write another address into [admin] listen, or \"off\""
        )
    })?;
    let plain = |error: std::io::Error| format!("the admin page cannot start: {error}");
    listener.set_nonblocking(true).map_err(plain)?;
    let bound = listener.local_addr().map_err(plain)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(plain)?;
    let run = move || {
        let served = runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let listener = Bounded::new(listener, CONNECTIONS_MAX, CONNECTION_TIME_MAX);
            axum::serve(listener, router(page)).await
        });
        if let Err(error) = served {
            tracing::error!("the admin page has ended: {error}");
        }
    };
    std::thread::Builder::new().name("admin".to_owned()).spawn(run).map_err(plain)?;
    Ok(bound)
}

fn router(page: Arc<Page>) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/metrics", get(show_metrics))
        .with_state(page)
}

async fn healthz(State(page): State<Arc<Page>>) -> Response {
    if page.draining.load(Ordering::Relaxed) {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response()
    } else {
        "ok\n".into_response()
    }
}

async fn show_metrics(State(page): State<Arc<Page>>) -> Response {
    // The shards answer within a turn; until then this thread must go on serving /healthz.
    let made = tokio::task::spawn_blocking(move || {
        let Scrape { snapshot, view } = (page.scrape)()?;
        let draining = page.draining.load(Ordering::Relaxed);
        Ok::<_, String>(metrics::page(&Labels::new(&view), draining, &snapshot))
    });
    match made.await {
        Ok(Ok(text)) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
                .into_response()
        }
        Ok(Err(error)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests;
