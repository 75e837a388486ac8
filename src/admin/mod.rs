//! The admin listener: the live page, the API, `/metrics` and `/healthz` over HTTP, on a thread of its own.
//!
//! Owns: the HTTP server and where it listens. It asks the thread that owns the node, through one channel; it touches
//! nothing that a shard uses.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

mod answer;
mod api;
mod asker;
mod auth;
mod connections;
mod events;
mod history;
mod hosts;
pub mod metrics;
mod page;
mod places;
mod ready;
mod sampler;
mod socket;

use crate::config::secret::Token;
use crate::config::{Admin, ReadyNeeds};
use crate::control::event::Event;
use crate::datapath;
use asker::Asker;
use connections::{Bounded, Peer, Source, Times};
use hosts::Hosts;
use places::{LOCAL_PLACES, PLAIN_PLACES, Places, STREAM_PLACES};
use sampler::Sampled;
use socket::SocketFile;

/// Where a load balancer asks whether to send anything here.
const HEALTHZ: &str = "/healthz";

/// What is served, and to whom.
pub struct Page {
    /// The node ends its work: `/healthz` says 503.
    pub draining: AtomicBool,
    asker: Asker,
    token: Option<Token>,
    hosts: Hosts,
    ready_needs: ReadyNeeds,
    sampled: Sampled,
    places: Arc<Places>,
}

impl Page {
    /// A page about the node called `name` that takes in `events`, as `[admin]` says.
    #[must_use]
    pub fn new(events: SyncSender<Event>, name: &str, admin: &Admin) -> Self {
        Self {
            draining: AtomicBool::new(false),
            asker: Asker::new(events),
            token: admin.token.clone(),
            hosts: Hosts::new(name, &admin.hosts),
            ready_needs: admin.ready_needs,
            sampled: Sampled::default(),
            places: Places::new(PLAIN_PLACES, LOCAL_PLACES, STREAM_PLACES),
        }
    }
}

/// Where a page is served.
pub struct Started {
    /// The address that it is bound to.
    pub address: Option<SocketAddr>,
    /// Its file lasts as long as this value.
    _socket: Option<SocketFile>,
}

/// Serves `page` at `address` and at `socket` until the process ends. On cores that it shares with shards it gives way to them.
///
/// # Errors
/// When it cannot listen there, with what to do about it.
pub fn start(
    address: Option<SocketAddr>,
    socket: Option<&Path>,
    page: Arc<Page>,
    shares_cores: bool,
) -> Result<Started, String> {
    let plain = |error: std::io::Error| format!("the admin page cannot start: {error}");
    let tcp = address.map(bind).transpose()?;
    let (unix, file) = socket.map(socket::bind).transpose()?.unzip();
    let address = tcp.as_ref().map(TcpListener::local_addr).transpose().map_err(plain)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(plain)?;
    let run = move || {
        if shares_cores && let Err(error) = datapath::give_way() {
            tracing::warn!("the admin page competes with the shards: {error}");
        }
        let served = runtime.block_on(async {
            let tcp = tcp.map(tokio::net::TcpListener::from_std).transpose()?;
            let unix = unix.map(tokio::net::UnixListener::from_std).transpose()?;
            tokio::spawn(sampler::run(Arc::clone(&page)));
            let unix = serve(unix.map(Source::Unix), &page);
            let tcp = serve(tcp.map(Source::Tcp), &page);
            tokio::try_join!(tcp, unix).map(drop)
        });
        if let Err(error) = served {
            tracing::error!("the admin page has ended: {error}");
        }
    };
    std::thread::Builder::new().name("admin".to_owned()).spawn(run).map_err(plain)?;
    Ok(Started { address, _socket: file })
}

async fn serve(source: Option<Source>, page: &Arc<Page>) -> std::io::Result<()> {
    let Some(source) = source else { return Ok(()) };
    let listener = Bounded::new(source, Arc::clone(&page.places), Times::default());
    let router = router(Arc::clone(page)).into_make_service_with_connect_info::<Peer>();
    axum::serve(listener, router).await
}

fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    let bound = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    bound.map_err(|error| {
        format!(
            "the admin page cannot listen on {address}: {error}. \
             Write another address into [admin] listen, or \"off\""
        )
    })
}

fn router(page: Arc<Page>) -> Router {
    Router::new()
        .route(HEALTHZ, get(healthz))
        .route("/metrics", get(show_metrics))
        .merge(page::router())
        .merge(api::router())
        .fallback(api::unknown)
        .method_not_allowed_fallback(api::wrong_method)
        .layer(from_fn_with_state(Arc::clone(&page), watch_over))
        .with_state(page)
}

/// Around every request: its connection keeps its place meanwhile, the host that it asks for is this node, and the answer
/// says what a browser may do.
async fn watch_over(
    State(page): State<Arc<Page>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let _busy = peer.0.busy();
    let is_known = peer.0.is_local() || page.hosts.are_meant_by(&request);
    // Who balances over nodes asks by a name of its own; that answer tells a foreign page nothing.
    let mut response = if is_known || request.uri().path() == HEALTHZ {
        next.run(request).await
    } else {
        hosts::refusal(&request).into_response()
    };
    for (name, value) in page::FIELDS {
        response.headers_mut().insert(name, value);
    }
    response
}

/// While the node runs: whether it can serve, and which pools cannot. Names of pools are for who asks for this node.
async fn healthz(
    State(page): State<Arc<Page>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
) -> Response {
    if page.draining.load(Ordering::Relaxed) {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    let judged = page
        .sampled
        .reading()
        .map_or_else(ready::Judged::unknown, |scrape| ready::judge(&scrape.view, page.ready_needs));
    let is_known = peer.0.is_local() || page.hosts.are_meant_by(&request);
    let status = if judged.is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, judged.text(is_known)).into_response()
}

async fn show_metrics(State(page): State<Arc<Page>>) -> Response {
    let scrape = match page.sampled.read().await {
        Ok(scrape) => scrape,
        Err(error) => {
            return (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response();
        }
    };
    // Of many backends it is a long text: until it is written this thread must go on serving /healthz.
    let made = tokio::task::spawn_blocking(move || {
        let draining = page.draining.load(Ordering::Relaxed);
        metrics::page(&scrape, draining, page.places.streams())
    });
    match made.await {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
            .into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests;
