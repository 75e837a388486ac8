//! What an operator sees and does, through the real program: the API and its document, `sipedge ctl`, the live page in a
//! browser, and what the dashboard and the alerts ask of `/metrics`.
//!
//! Owns: the list of parts. Each test starts an edge of its own on loopback, with backends that the test plays.

mod api;
mod config_files;
mod ctl;
mod edge;
mod page;
mod schema;

fn root() -> std::path::PathBuf {
    std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
