//! The network: loss, delay, duplicates, reordering, a largest datagram, and which edge an anycast address leads to.
//!
//! Owns: the dice for each datagram and the routes. Knows nothing of SIP. Times are microseconds.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::random::Random;

/// A datagram on its way.
#[derive(Debug, Clone)]
pub(crate) struct Datagram {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

/// What the dice say.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Weather {
    pub(crate) loss_permille: u64,
    pub(crate) duplicate_permille: u64,
    /// So many take ten times as long, and are overtaken.
    pub(crate) late_permille: u64,
    pub(crate) delay_us: u64,
    pub(crate) datagram_bytes_max: usize,
}

/// The network.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) weather: Weather,
    pub(crate) random: Random,
    /// By source: the edge that its datagrams to the anycast addresses reach.
    routes: BTreeMap<IpAddr, usize>,
    /// Nothing reaches this address until then.
    cut_off: Option<(IpAddr, u64)>,
}

/// What becomes of one datagram: when its copies arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Lost,
    TooLarge,
    Arrives(u64),
    Twice(u64, u64),
}

impl Network {
    pub(crate) fn new(weather: Weather, random: Random) -> Self {
        Self { weather, random, routes: BTreeMap::new(), cut_off: None }
    }

    pub(crate) fn cut_off(&mut self, address: IpAddr, until: u64) {
        self.cut_off = Some((address, until));
    }

    pub(crate) fn fate(&mut self, now: u64, to: IpAddr, bytes: &[u8]) -> Fate {
        if self.cut_off.is_some_and(|(address, until)| address == to && now < until) {
            return Fate::Lost;
        }
        if bytes.len() > self.weather.datagram_bytes_max {
            return Fate::TooLarge;
        }
        if self.random.permille(self.weather.loss_permille) {
            return Fate::Lost;
        }
        let first = now + self.delay();
        if self.random.permille(self.weather.duplicate_permille) {
            return Fate::Twice(first, now + self.delay());
        }
        Fate::Arrives(first)
    }

    fn delay(&mut self) -> u64 {
        let usual = self.random.between(200, self.weather.delay_us);
        if self.random.permille(self.weather.late_permille) { usual * 10 } else { usual }
    }

    /// The edge for this source; the first time, chance chooses among those that are up.
    pub(crate) fn edge_for(&mut self, source: IpAddr, up: &[usize]) -> Option<usize> {
        if let Some(edge) = self.routes.get(&source) {
            return Some(*edge);
        }
        let edge = self.random.pick(up)?;
        self.routes.insert(source, edge);
        Some(edge)
    }

    /// Routes change: one source in so many of a thousand goes elsewhere.
    pub(crate) fn flap(&mut self, permille: u64, up: &[usize]) -> u64 {
        let mut moved = 0;
        for edge in self.routes.values_mut() {
            if self.random.permille(permille)
                && let Some(other) = self.random.pick(up)
            {
                moved += u64::from(*edge != other);
                *edge = other;
            }
        }
        moved
    }

    /// Everything that went to `dead` goes elsewhere.
    pub(crate) fn withdraw(&mut self, dead: usize, up: &[usize]) {
        for edge in self.routes.values_mut().filter(|edge| **edge == dead) {
            if let Some(other) = self.random.pick(up) {
                *edge = other;
            }
        }
    }
}
