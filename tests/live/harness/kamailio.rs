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

    /// Starts a registrar at `address` that passes calls on to `behind`.
    pub(crate) fn proxy(
        place: &Place,
        name: &str,
        address: SocketAddr,
        behind: SocketAddr,
    ) -> Self {
        let definitions = [format!("BEHIND=\"sip:{behind}\"")];
        Self::start(place, name, "backend.cfg", &[address], &definitions)
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
        self.log_text()
            .lines()
            .filter_map(|line| self.event(line))
            .filter(|e| e.way == Way::Received)
            .collect()
    }

    /// What it received from `peer` so far, and what it answered there by itself.
    pub(crate) fn events_with(&self, peer: SocketAddr) -> Vec<Event> {
        let peer = peer.to_string();
        // The log may end within a line.
        let text = self.log_text();
        let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let lines = lines.filter(|line| line.rsplit('|').nth(1) == Some(&peer));
        lines.filter_map(|line| self.event(line.trim_end())).collect()
    }

    /// Its processes.
    pub(crate) fn party(&mut self) -> &mut Party {
        &mut self.party
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.party.is_running()
    }

    fn log_text(&self) -> String {
        let text = self.party.log_text();
        assert!(
            !text.contains("LIVE lost"),
            "{}: in-dialog requests without Route:\n{text}",
            self.name
        );
        text
    }

    fn event(&self, line: &str) -> Option<Event> {
        let (_, line) = line.split_once("LIVE ")?;
        let (kind, values) = line.split_once(' ')?;
        let mut values = values.split('|');
        let status = if kind == "request" { 0 } else { values.next()?.parse().ok()? };
        let name = Name {
            status,
            method: values.next()?.to_owned(),
            call_id: values.next()?.to_owned(),
            cseq: values.next()?.parse().ok()?,
        };
        Some(Event {
            party: self.name.clone(),
            side: Side::Backend,
            way: if kind == "answer" { Way::Sent } else { Way::Received },
            at_us: values.nth(1).and_then(of_day_us)?,
            name,
            text: line.to_owned(),
        })
    }
}

/// Microseconds of the day of `seconds.microseconds` since 1970.
fn of_day_us(time: &str) -> Option<u64> {
    const DAY_SECONDS: u64 = 24 * 60 * 60;
    let (seconds, micros) = time.trim_end().split_once('.')?;
    Some(seconds.parse::<u64>().ok()? % DAY_SECONDS * 1_000_000 + micros.parse::<u64>().ok()?)
}
