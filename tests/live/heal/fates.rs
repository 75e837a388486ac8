//! What became of each call, and the promises about it.
//!
//! Owns: the reading of a ledger call by call, by the number in its To. Times are microseconds of the day.

use std::collections::{BTreeMap, BTreeSet};

use crate::harness::ledger::{Ledger, Side, Way, report};
use crate::harness::sipp::field;

/// A call, as its phone and the backends saw it.
#[derive(Debug, Default)]
pub(super) struct Fate {
    pub(super) call_id: String,
    /// How often its INVITE was sent.
    pub(super) invites: usize,
    pub(super) begun_us: u64,
    /// When the 200 to its INVITE came.
    pub(super) answered_us: Option<u64>,
    /// Who answered, by the Contact in responses that the phone got.
    pub(super) answered_by: BTreeSet<String>,
    /// Any response to its INVITE came, a 100 too.
    pub(super) is_under_way: bool,
    /// Its BYE was answered.
    pub(super) is_ended: bool,
    /// The parties that got its INVITE.
    pub(super) takers: BTreeSet<String>,
}

impl Fate {
    /// It went as a call should: one backend got it, answered, and the BYE was answered.
    pub(super) fn is_good(&self) -> bool {
        self.answered_us.is_some() && self.is_ended && self.takers.len() == 1
    }
}

pub(super) type Fates = BTreeMap<u32, Fate>;

pub(super) fn fates(ledger: &Ledger) -> Fates {
    let mut numbers = BTreeMap::new();
    let mut fates = Fates::new();
    for event in ledger.of(Side::Phone, Way::Sent).filter(|e| e.name.method == "INVITE") {
        let to = field(&event.text, "To").unwrap_or_default();
        let number = to.split(['-', '@']).nth(1).and_then(|number| number.parse().ok());
        let number: u32 = number.unwrap_or_else(|| panic!("no number in To: {to}"));
        numbers.insert(event.name.call_id.as_str(), number);
        let fate = fates.entry(number).or_default();
        fate.invites += 1;
        if fate.invites == 1 {
            fate.begun_us = event.at_us;
            fate.call_id.clone_from(&event.name.call_id);
        }
    }
    for event in &ledger.events {
        let number = numbers.get(event.name.call_id.as_str());
        let Some(fate) = number.and_then(|number| fates.get_mut(number)) else { continue };
        let name = &event.name;
        match (event.side, event.way, name.method.as_str(), name.status) {
            (Side::Backend, Way::Received, "INVITE", 0) => {
                fate.takers.insert(event.party.clone());
            }
            (Side::Phone, Way::Received, "INVITE", 180..) => {
                let contact = field(&event.text, "Contact").unwrap_or_default();
                let contact = contact.split(['@', '>']).nth(1).unwrap_or_default();
                fate.answered_by.insert(contact.to_owned());
                if name.status == 200 && fate.answered_us.is_none() {
                    fate.answered_us = Some(event.at_us);
                }
            }
            (Side::Phone, Way::Received, "INVITE", 100) => fate.is_under_way = true,
            (Side::Phone, _, "BYE", 200) => fate.is_ended = true,
            _ => {}
        }
    }
    fates
}

/// Which backend each number is at, when nothing is wrong.
pub(super) fn homes(fates: &Fates) -> BTreeMap<u32, String> {
    let home = |(number, fate): (&u32, &Fate)| {
        let taker = fate.takers.first().filter(|_| fate.is_good());
        (*number, taker.unwrap_or_else(|| panic!("call {number} failed: {fate:?}")).clone())
    };
    fates.iter().map(home).collect()
}

/// Each of these calls is good.
pub(super) fn all_good<'a>(fates: impl Iterator<Item = (&'a u32, &'a Fate)>) -> Result<(), String> {
    let bad = fates.filter(|(_, fate)| !fate.is_good());
    report(bad.map(|(number, fate)| format!("call {number} failed: {fate:?}")).collect())
}

/// The part of the ledger with these calls.
pub(super) fn part<'a>(ledger: &Ledger, fates: impl Iterator<Item = &'a Fate>) -> Ledger {
    let ids: BTreeSet<&str> = fates.map(|fate| fate.call_id.as_str()).collect();
    let events = ledger.events.iter().filter(|e| ids.contains(e.name.call_id.as_str()));
    Ledger { backends_repeat: ledger.backends_repeat, ..Ledger::new(events.cloned().collect()) }
}
