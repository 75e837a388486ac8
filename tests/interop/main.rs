//! Against what other SIP software does. Facts as data: `kamailio/*.json` says what a real Kamailio did.

// The list reader belongs to the control side.
#[cfg(feature = "linux")]
mod dispatcher;
mod document;
mod edge;
mod forward;
// The writer belongs to the control side.
#[cfg(feature = "linux")]
mod hep;
mod keys;
mod nat;
mod replies;
mod routes;
mod rr;
mod rule;
mod sources;
// States and probes belong to the control side.
#[cfg(feature = "linux")]
mod states;
mod vector;
