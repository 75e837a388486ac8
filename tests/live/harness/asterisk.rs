//! Asterisk (chan_pjsip) as a backend, out of a Debian tree of its own, and its SIP log as events.
//!
//! Owns: the tree's place, the command line, the numbers that it knows, the format of its console. What it is set to
//! stands in `tests/live/asterisk`. It must not know what a case promises.

use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::ledger::{Event, Side, Way};
use super::netns::Netns;
use super::party::Party;
use super::sipp::name_of;
use crate::runner::Place;

/// Where `scripts/asterisk-tree.sh` puts the tree.
const TREE: &str = "/var/cache/sipedge-tests/asterisk-forky";
/// Numbers that each Asterisk knows; the password of N is `secretN`.
const NUMBERS: std::ops::RangeInclusive<u16> = 1001..=1019;
/// From here on numbers have session timers and reliable provisional answers.
const TIMERS_FROM: u16 = 1011;

/// The Debian tree with Asterisk.
pub(crate) fn tree() -> PathBuf {
    std::env::var_os("SIPEDGE_ASTERISK_TREE").map_or_else(|| PathBuf::from(TREE), PathBuf::from)
}

/// Why there can be none here, as the set-up of the tests found.
pub(crate) fn cannot_be_had() -> Option<String> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?;
    let reason = fs::read_to_string(target.join("asterisk.missing")).ok()?;
    Some(reason.trim().to_owned())
}

/// A running Asterisk.
pub(crate) struct Asterisk {
    name: String,
    party: Party,
}

impl Asterisk {
    /// Starts one at `address`:5060 in the namespace `part`.
    pub(crate) fn start(
        place: &Place,
        netns: &Netns,
        part: &str,
        name: &str,
        address: IpAddr,
    ) -> Self {
        let settings = settings(&place.part(&format!("{name}.etc")), address);
        // A mount namespace of its own: its settings stand at /mnt of the tree, for nobody else.
        let enter = "mount --bind \"$1\" \"$2/mnt\" && exec chroot \"$2\" /usr/sbin/asterisk -f -n -vvv \
                     -C /mnt/asterisk.conf";
        let mut command = netns.command(part);
        let text = |path: &Path| path.to_str().expect("our paths are UTF-8").to_owned();
        command.extend(["unshare", "--mount", "sh", "-c", enter, "sh"].map(str::to_owned));
        command.extend([text(&settings), text(&tree())]);
        let mut party = Party::start(name, &command, place.path(&format!("{name}.log")));
        party.wait_ready("its own word", |party| party.log_text().contains("Asterisk Ready."));
        party.wait_bound((address, 5060).into());
        Self { name: name.to_owned(), party }
    }

    /// What it says to a command.
    pub(crate) fn cli(&self, command: &str) -> String {
        let id = self.party.id().to_string();
        let output = Command::new("nsenter")
            .args(["--target", &id, "--mount", "--net", "--root", "--wd", "--"])
            .args(["/usr/sbin/asterisk", "-C", "/mnt/asterisk.conf", "-rx", command])
            .output()
            .expect("nsenter");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What it sent and received so far.
    pub(crate) fn events(&self) -> Vec<Event> {
        let text = self.party.log_text();
        let mut events = Vec::new();
        let mut rest = text.as_str();
        while let Some((way, message, after)) = next_message(rest) {
            rest = after;
            let name = name_of(message).unwrap_or_else(|| panic!("no SIP message: {message}"));
            let (party, text) = (self.name.clone(), message.to_owned());
            // The edge's probes are no phone's business.
            if name.method != "OPTIONS" {
                events.push(Event { party, side: Side::Backend, way, at_us: 0, name, text });
            }
        }
        events
    }
}

/// The next message of its console, and what stands behind: `<--- Received SIP request (454 bytes) from .. --->`, a line
/// feed, the message.
fn next_message(text: &str) -> Option<(Way, &str, &str)> {
    let start = text.find("<--- ")?;
    let (head, rest) = text[start..].split_once(" --->\n")?;
    let words = head.strip_prefix("<--- ")?;
    let way = if words.starts_with("Transmitting") { Way::Sent } else { Way::Received };
    let size = words.split_once('(')?.1.split_once(' ')?.0.parse().ok()?;
    Some((way, rest.get(..size)?, &rest[size..]))
}

/// Writes its settings into `place`.
fn settings(place: &Place, address: IpAddr) -> PathBuf {
    let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live/asterisk");
    for file in ["asterisk.conf", "modules.conf", "logger.conf", "extensions.conf"] {
        fs::copy(templates.join(file), place.path(file)).expect("a file in the case's directory");
    }
    let template = templates.join("pjsip.conf");
    let mut text = fs::read_to_string(template).expect("tests/live/asterisk/pjsip.conf");
    let _ = write!(text, "\n[udp]\ntype=transport\nprotocol=udp\nbind={address}\n");
    for number in NUMBERS {
        let timers = if number >= TIMERS_FROM { ",timers" } else { "" };
        // Asterisk writes other routes then. By contact it does not find baresip: it compares the contact's user part.
        let by_contact = number >= TIMERS_FROM && number % 2 == 0;
        let context = if by_contact { "by-contact" } else { "by-aor" };
        let _ = write!(
            text,
            "\n[{number}](phone{timers})\ncontext={context}\nauth={number}\naors={number}\n\
             \n[{number}]\ntype=auth\nauth_type=userpass\nusername={number}\n\
             password=secret{number}\n\n[{number}](aor)\n"
        );
    }
    fs::write(place.path("pjsip.conf"), text).expect("a file in the case's directory");
    place.path("")
}
