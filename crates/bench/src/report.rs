//! Tables for people and JSON for machines. Must not know how figures came about.

use std::path::Path;

use anyhow::Context;
use serde_json::{Value, json};

use crate::bench::Bench;
use crate::environment::Environment;
use crate::figures::{Cells, Figures, shown};
use crate::scenario::{Cell, Goal, Scenario, Subject};

/// Figures with this name say how busy the load was.
pub(crate) const LOAD_BUSY: &str = "load's core busy, %";
/// More than this is as much as it can.
const LOAD_BUSY_MOST: f64 = 90.0;

/// Everything that was measured so far.
#[derive(Debug)]
pub(crate) struct Report {
    environment: Environment,
    runs: usize,
    short: bool,
    percent: u64,
    done: Vec<(&'static str, Done)>,
}

#[derive(Debug)]
struct Done {
    number: u8,
    about: &'static str,
    goals: &'static [Goal],
    measured: Vec<(Cell, Cells)>,
    /// Which runs are not in the figures, and why.
    failed: Vec<String>,
}

impl Report {
    pub(crate) fn new(environment: Environment, runs: usize, bench: &Bench) -> Self {
        let Bench { short, percent, .. } = *bench;
        Self { environment, runs, short, percent, done: Vec::new() }
    }

    /// `failed` says which runs are not in the figures, and why.
    pub(crate) fn take(
        &mut self,
        scenario: &Scenario,
        measured: Vec<(Cell, Cells)>,
        failed: Vec<String>,
    ) {
        let Scenario { number, about, goals, .. } = *scenario;
        self.done.push((scenario.name, Done { number, about, goals, measured, failed }));
    }

    /// How many runs are in no figures.
    pub(crate) fn failed(&self) -> usize {
        self.done.iter().map(|(_, done)| done.failed.len()).sum()
    }

    pub(crate) fn print_head(&self) {
        let Environment { date, commit, kernel, processor, cores, memory_gib, file_system, load } =
            &self.environment;
        tell(&format!("{date}, commit {commit}"));
        tell(&format!("{kernel}, {cores} cores ({processor}), {memory_gib} GiB, load {load}"));
        tell(&format!("data on {file_system}"));
        tell(
            "broker on one core, load on another; medians (lowest to highest) and ratios to Kafka",
        );
        if self.short {
            tell("SHORT: shows that everything works; the figures mean nothing");
        } else if self.percent < 100 {
            tell(&format!("{} % of the usual amounts: the figures are coarse", self.percent));
        }
    }

    /// The table of the scenario that was taken last.
    pub(crate) fn print_last(&self) {
        if let Some((name, done)) = self.done.last() {
            tell("");
            tell(&format!("{} {name}: {}", done.number, done.about));
            for line in done.table().iter().chain(&done.saturated()) {
                tell(line);
            }
            for failed in &done.failed {
                tell(&format!("Not in the figures: {failed}"));
            }
        }
    }

    /// Everything, as JSON.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let scenarios: Vec<Value> = self.done.iter().map(|(name, done)| done.json(name)).collect();
        let all = json!({
            "environment": self.environment,
            "kafka": "4.4.0",
            "runs": self.runs,
            "short": self.short,
            "percent": self.percent,
            "scenarios": scenarios,
        });
        let text = serde_json::to_string_pretty(&all)? + "\n";
        std::fs::write(path, text).with_context(|| path.display().to_string())
    }
}

impl Done {
    /// Names of figures, in the order in which the cells gave them.
    fn figures(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for name in self.measured.iter().flat_map(|(_, cells)| cells.names()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// What a cell's figure is compared with: the other build of the same cell, else Kafka.
    fn reference(&self, cell: &Cell, figure: &str) -> Option<f64> {
        let is_reference = |other: &Cell| match (cell.subject, other.subject) {
            (Subject::Ottla, Subject::OttlaBefore) => {
                other.name.strip_prefix(&*cell.name).is_some_and(|rest| rest.starts_with(", "))
                    && other.settings == cell.settings
            }
            (Subject::Ottla | Subject::Limit, Subject::Kafka) => other.name == Cell::KAFKA.name,
            _ => false,
        };
        let (_, figures) = self.measured.iter().find(|(other, _)| is_reference(other))?;
        Some(figures.get(figure)?.median())
    }

    /// A table as Markdown: a row a figure, a column a cell, ratios in the cells.
    fn table(&self) -> Vec<String> {
        let names = self.measured.iter().map(|(cell, _)| cell.name.to_string());
        let head: Vec<String> =
            ["".to_owned()].into_iter().chain(names).chain(["goal".to_owned()]).collect();
        let rows = self.figures().into_iter().map(|figure| {
            let cells = self.measured.iter().map(|(cell, cells)| self.shown(cell, cells, figure));
            let name = [figure.to_owned()].into_iter();
            name.chain(cells).chain([self.goals_of(figure)]).collect()
        });
        let rows: Vec<Vec<String>> = [head].into_iter().chain(rows).collect();
        let wide = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|text| text.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.measured.len() + 2).map(wide).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(text, width)| format!(" {text:<width$} |"));
            format!("|{}", cells.collect::<String>())
        };
        let rule: String =
            widths.iter().map(|width| format!("{}|", "-".repeat(width + 2))).collect();
        let mut lines: Vec<String> = rows.iter().map(line).collect();
        lines.insert(1, format!("|{rule}"));
        lines
    }

    /// Median, range, and ratio when there is one.
    fn shown(&self, cell: &Cell, cells: &Cells, figure: &str) -> String {
        let Some(figures) = cells.get(figure) else { return String::new() };
        let mut text = figures.to_string();
        if let Some(reference) = self.reference(cell, figure).filter(|figure| *figure != 0.0) {
            text.push_str(&format!(" [{} x]", shown(figures.median() / reference)));
        }
        text
    }

    /// What is asked of a figure, and how it fared.
    fn goals_of(&self, figure: &str) -> String {
        let goals = self.goals.iter().filter(|goal| goal.figure == figure);
        let goals = goals.map(|goal| {
            let verdict = self.verdict(goal);
            let several = self.goals.iter().any(|other| other.cell != goal.cell);
            let cell = if several { format!("{}: ", goal.cell) } else { String::new() };
            format!("{cell}{}: {verdict}", goal.asks())
        });
        goals.collect::<Vec<_>>().join("; ")
    }

    /// Where the load filled its core, so that it was the load that was measured on the wall.
    fn saturated(&self) -> Vec<String> {
        let cells = self.measured.iter().flat_map(|(cell, cells)| {
            let busy = cells.all().filter(|(name, figures)| {
                name.ends_with(LOAD_BUSY) && figures.median() >= LOAD_BUSY_MOST
            });
            busy.map(|(name, _)| match name.trim_end_matches(LOAD_BUSY).trim_end_matches(": ") {
                "" => cell.name.to_string(),
                what => format!("{} ({what})", cell.name),
            })
        });
        let cells = cells.collect::<Vec<_>>().join(", ");
        let line = format!("The load's own core was full, so the wall is the load's: {cells}.");
        if cells.is_empty() { Vec::new() } else { vec![line] }
    }

    fn verdict(&self, goal: &Goal) -> &'static str {
        match goal.judge(&self.measured) {
            None => "not judged",
            Some(judged) if judged.met => "met",
            Some(_) => "MISSED",
        }
    }

    fn json(&self, name: &str) -> Value {
        let figure = |figures: &Figures| {
            let (median, low, high) = (figures.median(), figures.low(), figures.high());
            json!({ "median": median, "low": low, "high": high, "runs": figures.runs() })
        };
        let cells = self.measured.iter().map(|(cell, cells)| {
            let figures: serde_json::Map<String, Value> =
                cells.all().map(|(name, figures)| (name.to_owned(), figure(figures))).collect();
            json!({
                "cell": cell.name, "flush": cell.flush, "settings": cell.settings,
                "figures": figures,
            })
        });
        let goals = self.goals.iter().map(|goal| {
            let judged = goal.judge(&self.measured);
            json!({
                "cell": goal.cell, "figure": goal.figure, "goal": goal.asks(),
                "value": judged.map(|judged| judged.value),
                "met": judged.map(|judged| judged.met),
            })
        });
        json!({
            "number": self.number, "name": name, "about": self.about,
            "cells": cells.collect::<Vec<_>>(), "goals": goals.collect::<Vec<_>>(),
            "failed": self.failed,
        })
    }
}

/// A line of the result.
#[expect(clippy::print_stdout, reason = "the figures are the program's result")]
pub(crate) fn tell(line: &str) {
    println!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Found;
    use crate::scenario::Bound;

    const GOALS: &[Goal] = &[
        Goal { cell: "ottla, os", figure: "thousands", bound: Bound::TimesAtLeast(5.0, "kafka") },
        Goal { cell: "ottla, os", figure: "ms", bound: Bound::AtMost(3.0) },
    ];

    fn done() -> Done {
        let cell = |cell: Cell, thousands, ms| {
            let (mut found, mut cells) = (Found::default(), Cells::default());
            found.add("thousands", thousands);
            found.add("ms", ms);
            found.add("killed", 0.0);
            cells.take(found);
            (cell, cells)
        };
        let measured = vec![cell(Cell::OTTLA_OS, 60.0, 4.0), cell(Cell::KAFKA, 10.0, 8.0)];
        let failed = vec!["kafka, run 2: why".to_owned()];
        Done { number: 1, about: "x", goals: GOALS, measured, failed }
    }

    #[test]
    fn a_table_has_figures_ratios_and_verdicts() {
        let expected = [
            "|           | ottla, os      | kafka | goal                    |",
            "|-----------|----------------|-------|-------------------------|",
            "| thousands | 60.0 [6.00 x]  | 10.0  | at least 5 x kafka: met |",
            "| ms        | 4.00 [0.500 x] | 8.00  | at most 3.00: MISSED    |",
            "| killed    | 0.000          | 0.000 |                         |",
        ];
        assert_eq!(done().table(), expected);
    }

    #[test]
    fn a_load_that_was_at_its_own_limit_is_named() {
        let mut done = done();
        assert!(done.saturated().is_empty());
        for (cell, busy) in [(0, 96.0), (1, 40.0)] {
            let mut found = Found::default();
            found.add(format!("lz4: {LOAD_BUSY}"), busy);
            done.measured[cell].1.take(found);
        }
        let line = "The load's own core was full, so the wall is the load's: ottla, os (lz4).";
        assert_eq!(done.saturated(), [line]);
    }

    #[test]
    fn json_has_every_run_and_every_goal() {
        let json = done().json("name");
        assert_eq!(json["cells"][0]["figures"]["ms"]["runs"], json!([4.0]));
        assert_eq!(json["cells"][0]["settings"], json!(["flush.mode=os"]));
        assert_eq!(json["goals"][1]["met"], json!(false));
        assert_eq!(json["goals"][0]["value"], json!(6.0));
        assert_eq!(json["failed"], json!(["kafka, run 2: why"]));
    }
}
