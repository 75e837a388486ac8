//! Kamailio's states and probing beside ours: what the flags of a list mean, and what answers and silence lead to.
//!
//! The timelines of `kamailio/dispatcher.json` are replayed on the state machine with a clock of its own. Compared are the first
//! letters (A, T, I, D); the second says whether the probing bit is set, and here all are probed but those with flag 32.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::Value;
use sipedge::config::{self, Backend, Config, Target};
use sipedge::control::health::{Alive, BackendSpec, Codes, Health, PoolSpec, Settings, State};
use sipedge::sip::Now;

/// Modes of `ds_probing_mode` that are not there, and why.
const MODES_LEFT_OUT: &[(&str, &str)] = &[
    ("0 (none)", "a probing bit that is lost with its first probe keeps what is out, out for ever"),
    (
        "2 (only inactive with probing bit)",
        "what is never asked while it is well is found dead by calls",
    ),
    ("3 (only with probing bit)", "the same; flag 32 keeps one from being probed"),
];

fn vectors() -> Value {
    serde_json::from_str(include_str!("kamailio/dispatcher.json")).expect("JSON")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

const fn letter(state: State) -> char {
    match state {
        State::Active => 'A',
        State::Trying => 'T',
        State::Inactive => 'I',
        State::Disabled => 'D',
    }
}

/// A configuration whose pool is set `set` of this list, in a folder of its own.
fn configured(name: &str, list: &str, set: u32) -> Config {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("interop").join(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("dispatcher.list"), list).expect("a file");
    let text = format!(
        "[[listen]]\nname = \"a\"\naddress = \"udp:192.0.2.1:5060\"\n[[pool]]\nname = \"p\"\n\
         list = \"dispatcher.list\"\nset = {set}\n[[route]]\npool = \"p\"\n"
    );
    let parsed = config::parse(&folder.join("sipedge.toml"), &text);
    parsed.unwrap_or_else(|problems| panic!("{problems}")).0
}

fn specs(config: &Config) -> Vec<BackendSpec> {
    let spec = |backend: &Backend| BackendSpec {
        identity: backend.uri.clone(),
        uri: backend.uri.clone(),
        address: match &backend.target {
            Target::Address(address) => *address,
            Target::Name(name) => panic!("{name} is no address"),
        },
        from: backend.ping_from.clone(),
        probed: backend.probed,
        declared: backend.declared,
    };
    config.pools[0].backends.iter().map(spec).collect()
}

/// A pool on a clock of its own.
struct Bench {
    health: Health,
    now: Now,
    transactions: u64,
}

impl Bench {
    fn new(settings: Settings, backends: Vec<BackendSpec>) -> Self {
        let mut health = Health::new(7);
        let pool = PoolSpec {
            name: "p".to_owned(),
            probe: Some(settings),
            slow_start_us: 0,
            match_source_ip: false,
            eased_max_percent: 67,
            backends,
        };
        health.adopt(Now(0), &[pool]);
        Self { health, now: Now(0), transactions: 0 }
    }

    /// Lets time pass; each probe is answered at once, or not at all.
    fn pass(
        &mut self,
        seconds: u64,
        answer: &dyn Fn(SocketAddr) -> Option<u16>,
    ) -> Vec<SocketAddr> {
        let end = Now(self.now.0 + seconds * 1_000_000);
        let mut probed = Vec::new();
        loop {
            while let Some(probe) = self.health.poll(self.now) {
                self.transactions += 1;
                self.health.sent(probe.target, self.transactions);
                probed.push(probe.address);
                if let Some(status) = answer(probe.address) {
                    self.health.on_reply(self.now, self.transactions, probe.address, status, 0);
                }
            }
            match self.health.next_due().filter(|due| *due <= end) {
                Some(due) => self.now = due.max(self.now),
                None => break,
            }
        }
        self.now = end;
        probed
    }

    fn letters(&self) -> BTreeMap<String, char> {
        let view = self.health.view(self.now);
        view.pools[0].backends.iter().map(|b| (b.backend.clone(), letter(b.state))).collect()
    }
}

#[test]
fn the_flags_of_a_list_name_the_same_states() {
    let vectors = vectors();
    let behaviour = vectors["behaviour"].as_array().expect("cases");
    let states = behaviour.iter().find(|case| case["what"] == "states").expect("it is there");
    let recorded = &states["steps"][0]["initial set 60 (flags 0,1,0,4,8,2,9)"];
    let config = configured("states", text(&vectors["list_file"]), 60);
    let letters = Bench::new(Settings::default(), specs(&config)).letters();
    assert_eq!(letters.len(), 7);
    for (uri, letter) in letters {
        assert!(
            text(&recorded[&uri]).starts_with(letter),
            "{uri}: {letter} for {}",
            recorded[&uri]
        );
    }
}

/// A destination's states one after the other, as the timeline has them: `21=AP`.
fn timeline(steps: &Value) -> BTreeMap<String, Vec<char>> {
    let mut all = BTreeMap::<String, Vec<char>>::new();
    for step in steps.as_array().expect("steps") {
        for (name, state) in
            text(step).split([' ', ',', ';']).filter_map(|word| word.split_once('='))
        {
            let letter = state.chars().next().expect("a letter");
            let states = all.entry(name.to_owned()).or_default();
            if states.last() != Some(&letter) {
                states.push(letter);
            }
        }
    }
    all
}

/// Thresholds 2 and 3, 404, 503, 2xx and 3xx good: five silent seconds, then .21 answers 404, .22 200 and .23 486, in the end
/// all answer 200.
#[test]
fn silence_and_answers_lead_from_state_to_state_as_recorded() {
    let probing = &vectors()["probing"];
    let modes = probing["timeline_by_probing_mode"].as_object().expect("modes");
    let mut known: Vec<&str> = MODES_LEFT_OUT.iter().map(|(mode, _)| *mode).collect();
    known.push("1 (all)");
    known.sort_unstable();
    assert!(modes.keys().map(String::as_str).eq(known), "{:?}", modes.keys());
    let recorded = timeline(&modes["1 (all)"]);

    let list = "1 sip:198.51.100.21:5060 8\n1 sip:198.51.100.22:5060\n\
                1 sip:198.51.100.23:5060 9 0 ping_from=sip:probe@example.org\n1 sip:198.51.100.24:5060 4\n";
    let settings = Settings {
        interval_us: 1_000_000,
        timeout_us: 500_000,
        rise: 3,
        fall: 2,
        alive: Alive::Listed(vec![
            Codes::Class(2),
            Codes::One(404),
            Codes::One(503),
            Codes::Class(3),
        ]),
        ..Settings::default()
    };
    let mut bench = Bench::new(settings, specs(&configured("probing", list, 1)));
    let mut ours: BTreeMap<String, Vec<char>> =
        bench.letters().into_iter().map(|(uri, state)| (uri, vec![state])).collect();
    let last = |address: SocketAddr| match address {
        SocketAddr::V4(address) => address.ip().octets()[3],
        SocketAddr::V6(address) => panic!("{address} is not in the list"),
    };
    let mixed = move |address: SocketAddr| match last(address) {
        21 => Some(404),
        22 => Some(200),
        _ => Some(486),
    };
    let mut probed = bench.pass(5, &|_| None);
    assert!(bench.letters().values().all(|state| "ID".contains(*state)), "all are out");
    probed.extend(bench.pass(10, &mixed));
    assert_eq!(bench.letters()["sip:198.51.100.23:5060"], 'I', "486 is not in the list");
    probed.extend(bench.pass(10, &|_| Some(200)));
    for change in bench.health.take_changes() {
        let states = ours.get_mut(&*change.backend).expect("a backend of the list");
        states.push(letter(change.to));
        let why = change.reason.to_string();
        assert_eq!(change.to == State::Active, why == "3 good probes in a row", "{why}");
    }
    assert!(probed.iter().all(|address| last(*address) != 24), "a disabled one is never probed");
    for (name, states) in &recorded {
        assert_eq!(ours[&format!("sip:198.51.100.{name}:5060")], *states, "{name}");
    }
    assert_eq!(recorded.len(), 4);
}
