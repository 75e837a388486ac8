//! The numbers of counters: stable for as long as the node runs, whatever the order in the file.
//!
//! Owns: the numbering. A name keeps its number when it leaves and comes back. Numbers are not given to others, so that what
//! was counted for one is never shown for another.

use std::collections::BTreeMap;

/// Most numbers of a kind. Names beyond it share the last one, which then belongs to nobody in particular.
const METERS_MAX: u32 = 1 << 16;

/// Names and their numbers.
#[derive(Debug, Clone, Default)]
pub(super) struct Meters {
    pools: BTreeMap<String, u32>,
    backends: BTreeMap<(String, String), u32>,
}

impl Meters {
    /// The number of a pool.
    pub(super) fn of_pool(&mut self, name: &str) -> u32 {
        number(&mut self.pools, name.to_owned())
    }

    /// The number of a backend in a pool.
    pub(super) fn of_backend(&mut self, pool: &str, uri: &str) -> u32 {
        number(&mut self.backends, (pool.to_owned(), uri.to_owned()))
    }
}

fn number<K: Ord>(known: &mut BTreeMap<K, u32>, name: K) -> u32 {
    let next = u32::try_from(known.len()).unwrap_or(METERS_MAX);
    if next >= METERS_MAX - 1 && !known.contains_key(&name) {
        return METERS_MAX - 1;
    }
    *known.entry(name).or_insert(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number_and_the_bound_holds() {
        let mut meters = Meters::default();
        assert_eq!((meters.of_backend("a", "x"), meters.of_backend("b", "x")), (0, 1));
        assert_eq!((meters.of_backend("a", "x"), meters.of_pool("a")), (0, 0));
        for place in 2..METERS_MAX + 10 {
            meters.of_backend("a", &place.to_string());
        }
        assert_eq!(meters.of_backend("a", "2"), 2);
        assert_eq!(meters.of_backend("a", "beyond"), METERS_MAX - 1);
        assert_eq!(meters.of_backend("b", "beyond, too"), METERS_MAX - 1);
    }
}
