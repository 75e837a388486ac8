//! The live view of the demo: drawn over itself on a terminal, one line a second elsewhere.
//!
//! Owns: what is shown while calls run. Knows only the sums.

use std::io::Write as _;
use std::time::Duration;

use super::name_of;
use super::plot::duration_label;
use super::promises::Removal;
use super::tally::Tally;

/// Width of the longest bar, in characters.
const BAR: usize = 40;
/// Seconds that "now" looks back.
const RECENT_SECONDS: usize = 3;

/// The view.
#[derive(Debug)]
pub(super) struct View {
    live: bool,
    length: Duration,
    backends: usize,
    /// Lines on the terminal that the next drawing goes over.
    drawn: usize,
    /// The last second that was told in plain mode.
    told: Option<u64>,
}

impl View {
    /// `live`: drawn over itself, with colours. `length`: for how long calls are started.
    pub(super) fn new(live: bool, length: Duration, backends: usize) -> Self {
        Self { live, length, backends, drawn: 0, told: None }
    }

    /// Shows the sums; `elapsed` since the first call.
    pub(super) fn draw(&mut self, tally: &Tally, elapsed: Duration, removal: Option<&Removal>) {
        if self.live {
            let lines = lines(tally, elapsed, self.length, self.backends, removal);
            let mut out = String::new();
            if self.drawn > 0 {
                out += &format!("\x1b[{}A", self.drawn);
            }
            for line in &lines {
                out += &format!("\x1b[2K{line}\n");
            }
            self.drawn = lines.len();
            print!("{out}");
            let _ = std::io::stdout().flush();
        } else if self.told != Some(elapsed.as_secs()) {
            self.told = Some(elapsed.as_secs());
            println!("{}", line(tally, elapsed, removal));
        }
    }

    /// Leaves the last drawing where it is.
    pub(super) fn end(&mut self) {
        self.drawn = 0;
        println!();
    }
}

/// p50, p99 and p99.9 of the last seconds.
fn latency(tally: &Tally) -> String {
    let recent = tally.recent_latency(RECENT_SECONDS);
    let at = |quantile| duration_label(recent.value_at_quantile(quantile) as f64);
    if recent.is_empty() {
        return "no answers yet".to_owned();
    }
    format!("p50 {}  p99 {}  p99.9 {}", at(0.5), at(0.99), at(0.999))
}

fn rate(tally: &Tally, elapsed: Duration) -> u64 {
    let seconds = RECENT_SECONDS.min(usize::try_from(elapsed.as_secs()).unwrap_or(1)).max(1);
    tally.recent_by_backend(seconds).iter().sum::<u64>() / seconds as u64
}

fn line(tally: &Tally, elapsed: Duration, removal: Option<&Removal>) -> String {
    let recent = tally.recent_by_backend(RECENT_SECONDS);
    let total: u64 = recent.iter().sum();
    let shares: Vec<String> = recent
        .iter()
        .enumerate()
        .map(|(index, calls)| format!("{} {:>2} %", name_of(index), calls * 100 / total.max(1)))
        .collect();
    format!(
        "{:>3} s  {:>5} calls  {:>4}/s  {}  {}  failed {}  in progress {}{}",
        elapsed.as_secs(),
        tally.started,
        rate(tally, elapsed),
        shares.join(" "),
        latency(tally),
        tally.failed,
        tally.in_progress(),
        removal.map_or_else(String::new, |r| format!("  ({} is out)", name_of(r.backend))),
    )
}

fn lines(
    tally: &Tally,
    elapsed: Duration,
    length: Duration,
    backends: usize,
    removal: Option<&Removal>,
) -> Vec<String> {
    let recent = tally.recent_by_backend(RECENT_SECONDS);
    let total = recent.iter().sum::<u64>().max(1);
    let mut lines = vec![
        format!(
            "\x1b[1m{:>3} of {} s\x1b[0m   {} calls started, {}/s, \x1b[{}m{} failed\x1b[0m, {} in progress",
            elapsed.as_secs().min(length.as_secs()),
            length.as_secs(),
            tally.started,
            rate(tally, elapsed),
            if tally.failed > 0 { "1;31" } else { "32" },
            tally.failed,
            tally.in_progress(),
        ),
        format!("INVITE to 200, last {RECENT_SECONDS} s:  {}", latency(tally)),
    ];
    for (index, calls) in recent.iter().enumerate().take(backends) {
        let filled =
            usize::try_from(*calls).unwrap_or(0) * BAR / usize::try_from(total).unwrap_or(1);
        let is_out = removal.is_some_and(|removal| removal.backend == index);
        lines.push(format!(
            "  backend {}  \x1b[3{}m{}\x1b[0m{}  {:>3} %  {} in progress{}",
            name_of(index),
            4 + index % 3,
            "\u{2588}".repeat(filled),
            " ".repeat(BAR - filled.min(BAR)),
            calls * 100 / total,
            tally.backends[index].in_progress,
            if is_out { "  \x1b[33mout of the pool\x1b[0m" } else { "" },
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::caller::Event;
    use super::*;

    #[test]
    fn the_line_says_what_happened() {
        let mut tally = Tally::new(Duration::ZERO, 2);
        for (intended_ms, backend) in [(100, 0), (200, 0), (300, 0), (400, 1), (1100, 0)] {
            tally.add(&Event::Started);
            let intended = Duration::from_millis(intended_ms);
            tally.add(&Event::Answered { backend, intended, latency: Duration::from_millis(2) });
        }
        tally.add(&Event::Ended { backend: Some(0), completed: false });
        let text = line(&tally, Duration::from_millis(1500), None);
        for part in
            ["  1 s", "5 calls", "4/s", "a 75 %", "b 25 %", "p50 2", "failed 1", "in progress 4"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        let text =
            lines(&tally, Duration::from_secs(1), Duration::from_secs(9), 2, None).join("\n");
        assert!(text.contains("backend b") && text.contains(" 75 %"), "{text}");
    }
}
