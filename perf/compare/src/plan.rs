//! What is compared: the series of a comparison, read from `perf/plan.toml`.
//!
//! Owns: the file's keys, their checks and the filters of the command line. Knows nothing of how a run is done.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The file.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    /// The target that ratios "to the peer" are taken to.
    pub(crate) peer: String,
    /// The target that ratios "to the floor" are taken to.
    pub(crate) floor: String,
    /// The series whose figures are the short table, by what they show.
    pub(crate) short: Vec<String>,
    pub(crate) series: Vec<Series>,
}

/// One question, asked to several targets.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Series {
    pub(crate) name: String,
    /// The heading of its table.
    pub(crate) title: String,
    /// `perf/scenarios/NAME.toml`.
    pub(crate) scenario: String,
    pub(crate) kind: Kind,
    /// Instead of the plan's peer, where the job is another one.
    #[serde(default)]
    pub(crate) peer: Option<String>,
    pub(crate) targets: Vec<String>,
    /// Of each run; the search uses it for each step.
    pub(crate) seconds: f64,
    /// Before that.
    pub(crate) warmup_seconds: f64,
    /// Longest burst of equal datagrams in one send call of the generator; default: its own choice. A burst goes to
    /// one socket whole, so a target with several sockets for its address needs 1.
    #[serde(default)]
    pub(crate) burst: Option<u16>,
    /// Only for `rate`: shares of the highest rate of `percent_of`, which is searched once before the rounds.
    #[serde(default)]
    pub(crate) percents: Vec<u32>,
    #[serde(default)]
    pub(crate) percent_of: Vec<String>,
}

/// How the generator is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// More than the target can take.
    Saturated,
    /// The highest rate that is carried with less than 0.1 % lost.
    Search,
    /// The same rates for all targets.
    Rate,
}

/// What the command line leaves of a plan; an empty list leaves everything.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    pub(crate) targets: Vec<String>,
    pub(crate) scenarios: Vec<String>,
    pub(crate) series: Vec<String>,
}

impl Filter {
    pub(crate) fn is_empty(&self) -> bool {
        self.targets.is_empty() && self.scenarios.is_empty() && self.series.is_empty()
    }
}

impl Plan {
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        Self::parse(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let plan: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        let mut names = BTreeSet::new();
        for series in &plan.series {
            if !names.insert(&series.name) {
                return Err(format!("two series are called {:?}", series.name));
            }
            series.check().map_err(|error| format!("series {}: {error}", series.name))?;
        }
        match plan.short.iter().find(|name| !names.contains(name)) {
            Some(name) => Err(format!("short: there is no series {name:?}")),
            None => Ok(plan),
        }
    }

    /// The part of it that was asked for.
    pub(crate) fn filtered(mut self, filter: &Filter) -> Result<Self, String> {
        let wanted = |list: &[String], name: &String| list.is_empty() || list.contains(name);
        self.refuse_unknown(filter)?;
        self.series.retain(|series| {
            wanted(&filter.series, &series.name) && wanted(&filter.scenarios, &series.scenario)
        });
        for series in &mut self.series {
            series.targets.retain(|name| wanted(&filter.targets, name));
        }
        self.series.retain(|series| !series.targets.is_empty());
        if self.series.is_empty() {
            return Err("nothing of the plan is left with these filters".into());
        }
        Ok(self)
    }

    fn refuse_unknown(&self, filter: &Filter) -> Result<(), String> {
        let check = |what: &str, asked: &[String], known: BTreeSet<&String>| {
            asked.iter().find(|name| !known.contains(name)).map_or(Ok(()), |name| {
                let known: Vec<&str> = known.iter().map(|name| name.as_str()).collect();
                Err(format!("no {what} {name:?} in the plan; there are {}", known.join(", ")))
            })
        };
        check("target", &filter.targets, self.target_names())?;
        check("scenario", &filter.scenarios, self.series.iter().map(|s| &s.scenario).collect())?;
        check("series", &filter.series, self.series.iter().map(|s| &s.name).collect())
    }

    /// All targets that are run or that rates are taken from.
    pub(crate) fn target_names(&self) -> BTreeSet<&String> {
        self.series.iter().flat_map(|s| s.targets.iter().chain(&s.percent_of)).collect()
    }
}

impl Series {
    fn check(&self) -> Result<(), String> {
        let rate = self.kind == Kind::Rate;
        if self.targets.is_empty() {
            return Err("targets: there is none".into());
        }
        if rate == (self.percents.is_empty() || self.percent_of.is_empty()) {
            return Err("percents and percent_of: both for the kind \"rate\", else neither".into());
        }
        if !(self.seconds > 0.0 && self.warmup_seconds >= 0.0) {
            return Err("seconds and warmup_seconds: positive numbers".into());
        }
        if self.percents.iter().any(|percent| !(1..=100).contains(percent)) {
            return Err("percents: 1 to 100".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = "peer = \"k\"\nfloor = \"f\"\nshort = [\"a\"]\n\
        [[series]]\nname = \"a\"\ntitle = \"A\"\nscenario = \"one\"\nkind = \"saturated\"\n\
        targets = [\"k\", \"f\"]\nseconds = 1\nwarmup_seconds = 1\n\
        [[series]]\nname = \"b\"\ntitle = \"B\"\nscenario = \"two\"\nkind = \"rate\"\ntargets = [\"f\"]\n\
        seconds = 1\nwarmup_seconds = 0\npercents = [50]\npercent_of = [\"k\"]\n";

    fn refused(from: &str, to: &str, part: &str) {
        assert!(PLAN.contains(from), "{from}");
        let error = Plan::parse(&PLAN.replacen(from, to, 1)).expect_err("a mistake");
        assert!(error.contains(part), "{error}");
    }

    #[test]
    fn a_plan_is_read_whole() {
        let plan = Plan::parse(PLAN).expect("valid");
        assert_eq!(plan.series.len(), 2);
        refused("seconds = 1\n", "seconds = 1\nsecond = 2\n", "second");
        refused("kind = \"rate\"", "kind = \"saturated\"", "percents");
        refused("percents = [50]", "percents = [500]", "1 to 100");
        refused("name = \"b\"", "name = \"a\"", "two series");
        refused("short = [\"a\"]", "short = [\"c\"]", "no series \"c\"");
        refused("peer = \"k\"\n", "", "peer");
    }

    #[test]
    fn filters_leave_what_was_asked_for() {
        let plan = |filter: &Filter| Plan::parse(PLAN).expect("valid").filtered(filter);
        let of = |word: &str| vec![word.to_owned()];
        assert_eq!(plan(&Filter::default()).expect("all").series.len(), 2);
        let two = plan(&Filter { scenarios: of("two"), ..Filter::default() }).expect("one is left");
        assert_eq!(two.series[0].name, "b");
        let k = plan(&Filter { targets: of("k"), ..Filter::default() }).expect("one is left");
        assert_eq!((k.series.len(), &k.series[0].targets), (1, &of("k")));
        let error = plan(&Filter { targets: of("x"), ..Filter::default() }).expect_err("unknown");
        assert!(error.contains("there are f, k"), "{error}");
        assert!(plan(&Filter { targets: of("k"), series: of("b"), ..Filter::default() }).is_err());
    }

    #[test]
    fn the_plan_of_the_tree_is_valid() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let plan =
            Plan::read(&root.join("perf/plan.toml")).unwrap_or_else(|error| panic!("{error}"));
        for name in plan.target_names() {
            assert!(root.join(format!("perf/targets/{name}.toml")).exists(), "target {name}");
        }
        for series in &plan.series {
            let path = root.join(format!("perf/scenarios/{}.toml", series.scenario));
            assert!(path.exists(), "scenario {}", series.scenario);
        }
        assert!(
            plan.target_names().contains(&plan.peer) && plan.target_names().contains(&plan.floor)
        );
    }
}
