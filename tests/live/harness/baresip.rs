//! baresip as a phone: told what to do on its standard input, and its SIP trace as events.
//!
//! Owns: its settings, commands and the format of its trace. It has no sound card: its microphone and its speaker are a
//! pipe of its own. It must not know what a case promises.

use std::fs;
use std::io::Write as _;
use std::net::IpAddr;
use std::process::ChildStdin;
use std::time::Duration;

use super::ledger::{Event, Side, Way};
use super::netns::Netns;
use super::party::Party;
use super::sipp::name_of;
use super::wait_until;
use crate::runner::Place;

/// How long one step of a call may take: on a loaded machine, and with a retransmission or two.
const STEP_DEADLINE: Duration = Duration::from_secs(20);

/// What its audio thread writes into the trace.
const AUDIO_THREAD: &str = "aubridge: thread start: 8000 Hz, 1 channels, format=S16LE\n";

/// A running phone.
pub(crate) struct Baresip {
    number: u16,
    domain: IpAddr,
    address: IpAddr,
    party: Party,
    input: ChildStdin,
}

impl Baresip {
    /// Starts the phone `number` at `address`, which registers at `edge`, and waits until that has worked.
    pub(crate) fn start(
        place: &Place,
        netns: &Netns,
        number: u16,
        address: IpAddr,
        edge: IpAddr,
    ) -> Self {
        let home = place.part(&format!("{number}.baresip"));
        let write = |file: &str, text: String| {
            fs::write(home.path(file), text).expect("a file in the case's directory");
        };
        write("config", config(number, address));
        write("contacts", String::new());
        write("uuid", format!("00000000-0000-4000-8000-00000000{number}"));
        // With `sipnat=outbound` it says `Supported: path`; even numbers do not, as most phones.
        let outbound = format!(";sipnat=outbound;outbound=\"sip:{edge}\"");
        let outbound = if number % 2 == 1 { outbound } else { String::new() };
        write(
            "accounts",
            format!(
                "<sip:{number}@{edge}>;auth_user={number};auth_pass=secret{number};regint=300;\
                 answermode=manual{outbound}\n"
            ),
        );
        let mut command = netns.command("phones");
        let path = home.path("").to_str().expect("our paths are UTF-8").to_owned();
        command.extend(["baresip", "-s", "-f", &path].map(str::to_owned));
        let log = place.path(&format!("{number}.log"));
        let (party, input) = Party::start_told(&number.to_string(), &command, log);
        let phone = Self { number, domain: edge, address, party, input };
        phone.wait(0, Way::Received, "REGISTER", 200);
        phone
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    /// Dials another number.
    pub(crate) fn dial(&mut self, number: u16) {
        self.tell(&format!("dial sip:{number}@{}", self.domain));
    }

    /// Passes its call on to another number.
    pub(crate) fn transfer(&mut self, number: u16) {
        self.tell(&format!("transfer sip:{number}@{}", self.domain));
    }

    /// One of its commands: `accept`, `hangup`, `hold`, `resume`.
    pub(crate) fn tell(&mut self, command: &str) {
        let told = self.input.write_all(format!("/{command}\n").as_bytes());
        told.and_then(|()| self.input.flush()).expect("the phone reads its input");
    }

    /// How many messages it has seen: what comes later can be waited for.
    pub(crate) fn mark(&self) -> usize {
        self.events().len()
    }

    /// Waits until it has seen a message after `mark`; status 0 is the request itself.
    pub(crate) fn wait(&self, mark: usize, way: Way, method: &str, status: u16) {
        let seen = |event: &Event| {
            event.way == way && event.name.method == method && event.name.status == status
        };
        let in_time = wait_until(STEP_DEADLINE, || self.events()[mark..].iter().any(seen));
        let saw: Vec<String> = self.events()[mark..]
            .iter()
            .map(|e| format!("{:?} {} {}", e.way, e.name.method, e.name.status))
            .collect();
        let number = self.number;
        assert!(in_time, "{number}: not {way:?} {method} {status}, but:\n  {}", saw.join("\n  "));
    }

    /// What it sent and received so far.
    pub(crate) fn events(&self) -> Vec<Event> {
        // Its audio thread may write into the middle of an entry.
        let text = self.party.log_text().replace(AUDIO_THREAD, "");
        // Each entry: a `#`, addresses, the message, a change of colours.
        let entries = text.split("#\nUDP ").skip(1);
        let entries = entries.filter_map(|entry| entry.split_once("\x1b[;m").map(|(e, _)| e));
        entries
            .map(|entry| {
                let (addresses, message) = entry.split_once('\n').unwrap_or((entry, ""));
                let sent = addresses.starts_with(&format!("{}:", self.address));
                let name = name_of(message).unwrap_or_else(|| panic!("no SIP message: {message}"));
                Event {
                    party: self.number.to_string(),
                    side: Side::Phone,
                    way: if sent { Way::Sent } else { Way::Received },
                    at_us: 0,
                    name,
                    text: message.to_owned(),
                }
            })
            .collect()
    }
}

fn config(number: u16, address: IpAddr) -> String {
    format!(
        "sip_listen {address}:5060\n\
         audio_player aubridge,phone{number}\n\
         audio_source aubridge,phone{number}\n\
         audio_alert aubridge,alert{number}\n\
         module_path /usr/lib/baresip/modules\n\
         module stdio.so\n\
         module g711.so\n\
         module aubridge.so\n\
         module uuid.so\n\
         module_app account.so\n\
         module_app menu.so\n"
    )
}
