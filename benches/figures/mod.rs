//! Instruction counts: those that are committed, those that were found, and how far they may be apart.
//!
//! Owns: the file's format (a plain subset of TOML), the comparison and the table. Runs nothing. Counts are instructions
//! per message.

use std::fmt::Write as _;

/// Instructions of a stage for a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Figure {
    pub(crate) stage: String,
    pub(crate) message: String,
    pub(crate) count: u64,
}

/// What is committed.
#[derive(Debug)]
pub(crate) struct Figures {
    /// The file up to the first stage, kept as it is.
    head: String,
    slower_percent_max: u32,
    faster_percent_max: u32,
    /// Smaller differences are none: a register spilled or not.
    difference_min: u32,
    list: Vec<Figure>,
}

/// The outcome of a comparison.
pub(crate) struct Report {
    pub(crate) text: String,
    pub(crate) is_red: bool,
}

impl Figures {
    /// Reads the file: `name = number` lines, then `[stage]` lines, each with `"message" = count` lines.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let head_end = text.find("\n[").map_or(text.len(), |at| at + 1);
        let (head, rest) = text.split_at(head_end);
        let setting = |name: &str| {
            let pairs = head.lines().filter_map(|line| line.split_once('='));
            let value = pairs.into_iter().find(|(key, _)| key.trim() == name);
            value
                .and_then(|(_, value)| value.trim().parse::<u32>().ok())
                .ok_or(format!("no {name}"))
        };
        let (mut stage, mut list) = ("", vec![]);
        for line in rest.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                stage = name;
                continue;
            }
            let pair = line.split_once(" = ");
            let figure = pair.and_then(|(message, count)| {
                let message = message.strip_prefix('"')?.strip_suffix('"')?.to_owned();
                Some(Figure { stage: stage.to_owned(), message, count: count.parse().ok()? })
            });
            list.push(figure.ok_or_else(|| format!("neither a stage nor a figure: {line}"))?);
        }
        let slower_percent_max = setting("slower_percent_max")?;
        let faster_percent_max = setting("faster_percent_max")?;
        let difference_min = setting("difference_min")?;
        let head = head.to_owned();
        Ok(Self { head, slower_percent_max, faster_percent_max, difference_min, list })
    }

    /// The file with the counts that were found.
    pub(crate) fn rewritten(&self, found: &[Figure]) -> String {
        let (mut text, mut stage) = (self.head.trim_end().to_owned() + "\n", "");
        for figure in found {
            if figure.stage != stage {
                stage = &figure.stage;
                let _ = write!(text, "\n[{stage}]\n");
            }
            let _ = writeln!(text, "\"{}\" = {}", figure.message, figure.count);
        }
        text
    }

    /// The table of all figures, and whether one is beyond what is allowed.
    pub(crate) fn compare(&self, found: &[Figure]) -> Report {
        let mut text = format!(
            "{:<6} {:<30} {:>12} {:>12} {:>9}\n",
            "stage", "message", "instructions", "committed", "change"
        );
        let (mut red, mut faster) = (0, 0);
        for Figure { stage, message, count } in found {
            let _ = write!(text, "{stage:<6} {message:<30} {count:>12} ");
            let Some(committed) = self.committed(stage, message) else {
                red += 1;
                let _ = writeln!(text, "{:>12} {:>9}  RED: not committed", "", "");
                continue;
            };
            let percent = percent(committed, *count);
            let differs = committed.abs_diff(*count) >= u64::from(self.difference_min);
            let mark = if differs && percent > f64::from(self.slower_percent_max) {
                red += 1;
                "  RED: slower"
            } else if differs && percent < -f64::from(self.faster_percent_max) {
                faster += 1;
                "  faster"
            } else {
                ""
            };
            let _ = writeln!(text, "{committed:>12} {percent:>+8.1}%{mark}");
        }
        let is_gone = |figure: &&Figure| {
            !found.iter().any(|f| (&f.stage, &f.message) == (&figure.stage, &figure.message))
        };
        for Figure { stage, message, count } in self.list.iter().filter(is_gone) {
            red += 1;
            let _ = writeln!(
                text,
                "{stage:<6} {message:<30} {:>12} {count:>12} {:>9}  RED: gone",
                "", ""
            );
        }
        let _ = writeln!(
            text,
            "instructions: {} figures, {red} red (more than {} % slower, or not in both), {faster} more than {} % faster",
            found.len(),
            self.slower_percent_max,
            self.faster_percent_max
        );
        if red + faster > 0 {
            text += "instructions: when the change is wanted: UPDATE=1 make instructions, and say why in the commit\n";
        }
        Report { text, is_red: red > 0 }
    }

    fn committed(&self, stage: &str, message: &str) -> Option<u64> {
        let figure = self.list.iter().find(|f| f.stage == stage && f.message == message);
        figure.map(|figure| figure.count)
    }
}

fn percent(committed: u64, found: u64) -> f64 {
    // Counts are far below 2^52: nothing is lost.
    (found as f64 - committed as f64) * 100.0 / (committed.max(1) as f64)
}
