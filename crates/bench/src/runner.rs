//! The order of things: every cell of a scenario in turn, as often as there are runs. Must not
//! know what a scenario does.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;

use crate::bench::{Bench, DRIVER_CORE};
use crate::environment::Environment;
use crate::figures::Cells;
use crate::process;
use crate::report::{self, Report};
use crate::scenario::{Cell, Scenario, Subject};

/// How often, and what is left out.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) runs: usize,
    /// Only Ottla.
    pub(crate) alone: bool,
    /// What the other build of Ottla is called.
    pub(crate) before: Option<String>,
    pub(crate) json: PathBuf,
}

/// Runs the scenarios and prints each table as soon as it is there.
pub(crate) fn run(bench: &Bench, plan: &Plan, scenarios: &[&Scenario]) -> anyhow::Result<()> {
    let environment = Environment::read(&ottla_interop::repository::root(), bench.data())?;
    // Only now: the cores of the machine were counted.
    process::pin(std::process::id(), DRIVER_CORE).context("this process cannot be bound")?;
    let mut report = Report::new(environment, plan.runs, bench);
    report.print_head();
    for scenario in scenarios {
        let mut measured: Vec<(Cell, Cells)> =
            cells(scenario, plan).into_iter().map(|cell| (cell, Cells::default())).collect();
        if measured.is_empty() {
            eprintln!("{}: nothing to run", scenario.name);
            continue;
        }
        for run in 1..=plan.runs {
            for (cell, figures) in &mut measured {
                let (begun, runs) = (Instant::now(), plan.runs);
                let found = (scenario.run)(bench, cell);
                let what = || format!("{} {}: {}", scenario.number, scenario.name, cell.name);
                figures.take(found.with_context(what)?);
                let took = begun.elapsed().as_secs_f64();
                eprintln!("run {run} of {runs}: {}, {took:.0} s", what());
            }
        }
        report.take(scenario, measured);
        report.print_last();
        report.write(&plan.json)?;
    }
    report::tell(&format!("as JSON: {}", plan.json.display()));
    Ok(())
}

/// The cells that the plan asks for.
fn cells(scenario: &Scenario, plan: &Plan) -> Vec<Cell> {
    let wanted = |cell: &&Cell| match cell.subject {
        Subject::Ottla => true,
        Subject::OttlaBefore => false,
        Subject::Kafka => !plan.alone && plan.before.is_none(),
        Subject::Limit => plan.before.is_none(),
    };
    let cells = scenario.cells.iter().filter(wanted).cloned();
    match &plan.before {
        None => cells.collect(),
        Some(before) => cells
            .flat_map(|cell| {
                let name = Cow::Owned(format!("{}, {before}", cell.name));
                let other = Cell { name, subject: Subject::OttlaBefore, ..cell.clone() };
                [other, cell]
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Found;

    const SCENARIO: Scenario = Scenario {
        number: 1,
        name: "x",
        about: "x",
        cells: &[Cell::OTTLA_OS, Cell::OTTLA_DURABLE, Cell::KAFKA],
        goals: &[],
        run: |_, _| Ok(Found::default()),
    };

    fn names(alone: bool, before: Option<&str>) -> Vec<String> {
        let before = before.map(str::to_owned);
        let plan = Plan { runs: 1, alone, before, json: PathBuf::new() };
        cells(&SCENARIO, &plan).into_iter().map(|cell| cell.name.into_owned()).collect()
    }

    #[test]
    fn two_builds_alternate_and_kafka_rests() {
        assert_eq!(names(false, None), ["ottla, os", "ottla, durable", "kafka"]);
        assert_eq!(names(true, None), ["ottla, os", "ottla, durable"]);
        let compared = names(false, Some("v1"));
        assert_eq!(
            compared,
            ["ottla, os, v1", "ottla, os", "ottla, durable, v1", "ottla, durable"]
        );
    }
}
