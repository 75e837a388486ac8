//! What a comparison leaves behind: `results.json`, from which every table and plot can be made again. The file is large and
//! stays where things are built: the tree has tables and plots only.
//!
//! Owns: the form of that file.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::generator::{Found, Measured};
use crate::machine::Machine;
use crate::plan::Plan;
use crate::target::Target;

/// All of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    pub(crate) rounds: u32,
    /// Wall time of the whole comparison.
    pub(crate) seconds: f64,
    pub(crate) generator_core: usize,
    pub(crate) target_core: usize,
    pub(crate) plan: Plan,
    /// With the version that each said it is.
    pub(crate) targets: Vec<(Target, String)>,
    /// Targets that were left out, and why.
    pub(crate) left_out: BTreeMap<String, String>,
    pub(crate) runs: Vec<Run>,
}

/// One run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Run {
    /// From 1; 0 are the searches before the rounds, which give the rates.
    pub(crate) round: u32,
    pub(crate) series: String,
    pub(crate) scenario: String,
    pub(crate) target: String,
    /// Share of the reference rate, and that rate, in series of the kind `rate`.
    pub(crate) percent: Option<u32>,
    pub(crate) rate: Option<f64>,
    pub(crate) target_command: String,
    pub(crate) generator_command: String,
    /// The generator's answer, or why there is none.
    pub(crate) answer: Option<serde_json::Value>,
    pub(crate) failure: Option<String>,
}

impl Run {
    /// The answer of a run at a rate.
    pub(crate) fn measured(&self) -> Option<Measured> {
        serde_json::from_value(self.answer.clone()?).ok()
    }

    /// The answer of a search; none when even its lowest rate was too high.
    pub(crate) fn found(&self) -> Option<Found> {
        let found: Found = serde_json::from_value(self.answer.clone()?).ok()?;
        Some(found).filter(|found| found.max_rate > 0.0)
    }
}

impl Results {
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// The target of that name, if it took part.
    pub(crate) fn target(&self, name: &str) -> Option<&Target> {
        self.targets.iter().map(|(target, _)| target).find(|target| target.name == name)
    }
}
