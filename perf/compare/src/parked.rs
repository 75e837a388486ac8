//! Targets that stay up from turn to turn, and stand still (SIGSTOP) while others have theirs: so turns can be as short as a
//! second or two, and what the machine does to one it does to the next.
//!
//! Owns: which are up, and that at most one of them runs.

use std::collections::BTreeMap;

use crate::generator::Mode;
use crate::network;
use crate::record::{Results, Run};
use crate::rounds::{Setting, Step};
use crate::target::Target;
use crate::up::Up;

/// By series and target.
#[derive(Debug, Default)]
pub(crate) struct Parked(BTreeMap<(String, String), Up>);

impl Parked {
    /// One turn of a target; the first one starts it.
    pub(crate) fn measure(
        &mut self,
        setting: &Setting,
        step: &Step<'_>,
        target: &Target,
        mode: Mode,
        run: &mut Run,
    ) -> Result<serde_json::Value, String> {
        let key = (step.series.name.clone(), target.name.clone());
        if !self.0.contains_key(&key) {
            let name = format!("parked-{}-{}", key.0, key.1);
            let up = network::in_a_new_one(|| Up::start(setting, target, &name))?;
            self.0.insert(key.clone(), up);
        }
        let up = self.0.get_mut(&key).expect("it was put there");
        up.resume();
        let answer = up.in_its_network(|up| up.load(setting, step, mode, run));
        up.pause();
        let mut answer = answer?;
        // The curve of the latency holds what the generator's sleep adds, and there is one for each of some hundred turns.
        if let Some(fields) = answer.as_object_mut() {
            fields.remove("histogram");
        }
        Ok(answer)
    }

    /// Ends all. What was seen beside a target goes to its last run; if it was not what it should be, no run of it counts.
    pub(crate) fn end(self, results: &mut Results) {
        for ((series, target), up) in self.0 {
            up.resume();
            let seen = up.end();
            let runs = results.runs.iter_mut();
            let mut runs: Vec<&mut Run> = runs
                .filter(|run| run.series == series && run.target == target && run.round > 0)
                .collect();
            match seen {
                Ok(line) => {
                    runs.last_mut().into_iter().for_each(|run| run.beside.clone_from(&line))
                }
                Err(error) => runs.iter_mut().for_each(|run| {
                    run.answer = None;
                    run.failure = Some(error.clone());
                }),
            }
        }
    }
}
