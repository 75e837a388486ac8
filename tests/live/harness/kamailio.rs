//! Kamailio as a backend, and its log lines as events.
//!
//! Owns: Kamailio's command line and the `LIVE` lines that `tests/live/kamailio/*.cfg` write. What it sends is not
//! logged there: that shows at the phones.

use std::net::SocketAddr;
use std::path::Path;

use super::ledger::{Event, Name, Side, Way};
use super::party::Party;
use crate::runner::Place;

/// A running Kamailio.
pub(crate) struct Kamailio {
    name: String,
    party: Party,
}

impl Kamailio {
    /// Starts a registrar and proxy at `address`.
    pub(crate) fn backend(place: &Place, name: &str, address: SocketAddr) -> Self {
        Self::start(place, name, "backend.cfg", &[address], &[])
    }

    /// Starts `config` with listeners and definitions (`-A`).
    pub(crate) fn start(
        place: &Place,
        name: &str,
        config: &str,
        listeners: &[SocketAddr],
        definitions: &[String],
    ) -> Self {
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live/kamailio").join(config);
        let run = place.part(&format!("{name}.run"));
        let text = |path: &Path| path.to_str().expect("our paths are UTF-8").to_owned();
        let mut command: Vec<String> = [
            "kamailio",
            "-f",
            &text(&config),
            "-DD",
            "-E",
            "-m",
            "32",
            "-M",
            "4",
            "-Y",
            &text(&run.path("")),
            "-P",
            &text(&run.path("pid")),
        ]
        .map(str::to_owned)
        .to_vec();
        for listener in listeners {
            command.extend(["-l".to_owned(), format!("udp:{listener}")]);
        }
        for definition in definitions {
            command.extend(["-A".to_owned(), definition.clone()]);
        }
        let mut party = Party::start(name, &command, place.path(&format!("{name}.log")));
        for listener in listeners {
            party.wait_bound(*listener);
        }
        Self { name: name.to_owned(), party }
    }

    /// What it received so far, and the requests in dialogs that it had no route for.
    pub(crate) fn events(&self) -> Vec<Event> {
        let text = self.party.log_text();
        assert!(
            !text.contains("LIVE lost"),
            "{}: in-dialog requests without Route:\n{text}",
            self.name
        );
        text.lines().filter_map(|line| self.event(line)).collect()
    }

    /// Its processes.
    pub(crate) fn party(&mut self) -> &mut Party {
        &mut self.party
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.party.is_running()
    }

    fn event(&self, line: &str) -> Option<Event> {
        let (_, line) = line.split_once("LIVE ")?;
        let (kind, values) = line.split_once(' ')?;
        let mut values = values.split('|');
        let status = if kind == "response" { values.next()?.parse().ok()? } else { 0 };
        let name = Name {
            status,
            method: values.next()?.to_owned(),
            call_id: values.next()?.to_owned(),
            cseq: values.next()?.parse().ok()?,
        };
        Some(Event {
            party: self.name.clone(),
            side: Side::Backend,
            way: Way::Received,
            at_us: 0,
            name,
            text: line.to_owned(),
        })
    }
}
