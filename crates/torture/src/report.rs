//! What a run found, counted: for people and as JSON. Must not know how a run goes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use crate::history::{Rule, Violation};

/// Violations that are shown; all are counted.
const SHOWN: usize = 20;

/// A run's counters.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Cycles that ended as they should or not.
    pub cycles: u64,
    /// What was done to the broker, and how often.
    pub done: BTreeMap<String, u64>,
    /// At which kind of call, and how often.
    pub points: BTreeMap<String, u64>,
    /// Under which file system or setting, and how often.
    pub grounds: BTreeMap<String, u64>,
    /// Records that were acknowledged.
    pub acked: u64,
    /// Times that a record that had to be there was looked for.
    pub wanted: u64,
    /// Records that were read back.
    pub read: u64,
    /// Times that everything was read back.
    pub verified: u64,
    /// Deletions of records that a crash undid, as it may until the next checkpoint.
    pub undone: u64,
    /// Duplicates that were refused because a producer's snapshot holds its last batch only.
    pub forgotten: u64,
    /// Partitions that were seen where they were moved to.
    pub moved: u64,
    /// Starts of the broker.
    pub starts: u64,
    /// What went wrong.
    pub violations: Vec<Violation>,
    /// Where the data of failed cycles lies.
    pub kept: Vec<PathBuf>,
}

impl Tally {
    /// Counts one more of `what`.
    pub fn count(map: &mut BTreeMap<String, u64>, what: impl Into<String>) {
        *map.entry(what.into()).or_default() += 1;
    }

    /// How often a rule was broken.
    #[must_use]
    pub fn broken(&self, rule: Rule) -> usize {
        self.violations.iter().filter(|violation| violation.rule == rule).count()
    }

    /// Adds another run's counters.
    pub fn add(&mut self, other: Self) {
        self.cycles += other.cycles;
        self.acked += other.acked;
        self.wanted += other.wanted;
        self.read += other.read;
        self.verified += other.verified;
        self.undone += other.undone;
        self.forgotten += other.forgotten;
        self.moved += other.moved;
        self.starts += other.starts;
        for (into, from) in [
            (&mut self.done, other.done),
            (&mut self.points, other.points),
            (&mut self.grounds, other.grounds),
        ] {
            for (what, count) in from {
                *into.entry(what).or_default() += count;
            }
        }
        self.violations.extend(other.violations);
        self.kept.extend(other.kept);
    }
}

/// A finished run.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was done: `power`, `kill`, `fsync`, `full`.
    pub mode: String,
    /// The seed.
    pub seed: u64,
    /// Threads.
    pub jobs: u64,
    /// How long it took.
    pub took: Duration,
    /// The counters.
    pub tally: Tally,
    /// The broker was made to lie, and must have been found out.
    pub lie: bool,
}

impl Report {
    /// Nothing is wrong; of a lie, that it was found out.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let found_out = self.tally.broken(Rule::Lost) + self.tally.broken(Rule::End) > 0;
        if self.lie { found_out } else { self.tally.violations.is_empty() }
    }

    fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let cycles = self.tally.cycles as f64;
        cycles / self.took.as_secs_f64().max(0.001)
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let tally = &self.tally;
        let mut text = String::new();
        let lie = if self.lie { " (the broker lies: flush.mode=os)" } else { "" };
        let _ = writeln!(
            text,
            "{}{lie}: {} cycles in {:.1} s ({:.1}/s, {} at a time), seed {}",
            self.mode,
            tally.cycles,
            self.took.as_secs_f64(),
            self.rate(),
            self.jobs,
            self.seed
        );
        let _ = writeln!(
            text,
            "  {} records acknowledged; {} starts; everything read back {} times: {} records, \
             {} of them had to be there",
            tally.acked, tally.starts, tally.verified, tally.read, tally.wanted
        );
        let _ = writeln!(
            text,
            "  as Kafka: {} deletions of records undone by a crash, {} duplicates refused; \
             {} partitions moved",
            tally.undone, tally.forgotten, tally.moved
        );
        let lost = tally.broken(Rule::Lost) + tally.broken(Rule::End);
        let refused = tally.broken(Rule::RefusedStart);
        let all = tally.violations.len();
        let _ = writeln!(text, "  lost {lost}, refused starts {refused}, violations in all {all}");
        for (title, map) in [("done", &tally.done), ("under", &tally.grounds)] {
            let counts: Vec<String> = map.iter().map(|(what, n)| format!("{what} {n}")).collect();
            let _ = writeln!(text, "  {title}: {}", counts.join(", "));
        }
        let _ = writeln!(text, "  at {} kinds of calls", tally.points.len());
        for violation in tally.violations.iter().take(SHOWN) {
            let _ = writeln!(text, "  VIOLATION {violation}");
        }
        if all > SHOWN {
            let _ = writeln!(text, "  and {} more", all - SHOWN);
        }
        for kept in &tally.kept {
            let _ = writeln!(text, "  kept: {}", kept.display());
        }
        text
    }

    /// For machines.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let tally = &self.tally;
        let shown = tally.violations.iter().take(200).map(ToString::to_string);
        json!({
            "mode": self.mode,
            "seed": self.seed,
            "jobs": self.jobs,
            "lie": self.lie,
            "good": self.is_good(),
            "seconds": self.took.as_secs_f64(),
            "cycles": tally.cycles,
            "cycles_per_second": self.rate(),
            "acknowledged": tally.acked,
            "deletions_undone": tally.undone,
            "duplicates_forgotten": tally.forgotten,
            "partitions_moved": tally.moved,
            "starts": tally.starts,
            "verified": tally.verified,
            "records_read": tally.read,
            "records_wanted": tally.wanted,
            "lost": tally.broken(Rule::Lost) + tally.broken(Rule::End),
            "refused_starts": tally.broken(Rule::RefusedStart),
            "violations": tally.violations.len(),
            "violation_list": shown.collect::<Vec<_>>(),
            "done": tally.done,
            "grounds": tally.grounds,
            "points": tally.points,
            "kept": tally.kept,
        })
    }
}

/// A call as reports name it: the place of the path is taken by the kind of file.
#[must_use]
pub fn point(what: &str) -> String {
    let mut words = what.splitn(3, ' ');
    let when = words.next().unwrap_or_default();
    let op = words.next().unwrap_or_default();
    let path = words.next().unwrap_or_default();
    format!("{when} {op} {}", kind(path)).trim().to_owned()
}

/// The kind of a file: partition, metadata log or directory itself, and its ending.
fn kind(path: &str) -> String {
    let mut parts = path.rsplit('/');
    let name = parts.next().unwrap_or_default();
    let folder = parts.next().unwrap_or_default();
    let part_of = |text: &str| -> &'static str {
        let number = text.rsplit_once('-').map(|(_, number)| number);
        match text {
            _ if text.starts_with("__cluster_metadata") => "metadata",
            _ if text.starts_with("__consumer_offsets") => "offsets",
            _ if text.contains("-delete") => "deleted partition",
            _ if text.contains("-future") => "copied partition",
            _ if number.is_some_and(|n| n.parse::<u32>().is_ok()) => "partition",
            _ => "",
        }
    };
    let own = part_of(name);
    let is_aside = name.ends_with("-future") || name.ends_with("-delete");
    if !own.is_empty() && (is_aside || !name.contains('.')) {
        return format!("{own} folder");
    }
    let is_number = |c: char| c.is_ascii_digit() || c == '-';
    let ending = name.trim_start_matches(is_number);
    let within = part_of(folder);
    if within.is_empty() { ending.to_owned() } else { format!("{within} {ending}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_named_by_kind() {
        let named = [
            ("after sync /data/whole-0/00000000000000000012.log", "after sync partition .log"),
            (
                "before rename /data/recovery-point-offset-checkpoint.tmp",
                "before rename recovery-point-offset-checkpoint.tmp",
            ),
            (
                "within write /data/__cluster_metadata-0/00000000000000000000.log",
                "within write metadata .log",
            ),
            ("after syncdir /data/whole-12", "after syncdir partition folder"),
            (
                "before remove /data/x-0.0123abc-delete/00000000000000000000.index",
                "before remove deleted partition .index",
            ),
            ("after rename /data-b/whole-0.0123abc-future", "after rename copied partition folder"),
            ("ordered sync ", "ordered sync"),
        ];
        for (what, wanted) in named {
            assert_eq!(point(what), wanted);
        }
    }

    fn report(violations: Vec<Violation>, lie: bool) -> Report {
        let tally = Tally { cycles: 3, violations, ..Tally::default() };
        let took = Duration::from_secs(1);
        Report { mode: "power".to_owned(), seed: 9, jobs: 1, took, tally, lie }
    }

    #[test]
    fn a_violation_is_a_failure_and_a_lie_must_be_found_out() {
        let lost = || vec![Violation::new(Rule::Lost, "whole-0 at 3")];
        assert!(report(vec![], false).is_good());
        assert!(!report(lost(), false).is_good());
        assert!(report(lost(), true).is_good());
        assert!(!report(vec![], true).is_good());
        assert!(!report(vec![Violation::new(Rule::Hung, "")], true).is_good());
        assert!(report(lost(), false).text().contains("VIOLATION lost: whole-0 at 3"));
        assert_eq!(report(lost(), false).json()["lost"], 1);
    }
}
