//! The order of things: every cell of a scenario in turn, as often as there are runs. Must not
//! know what a scenario does.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, ensure};

use crate::bench::{Bench, DRIVER_CORE};
use crate::environment::Environment;
use crate::figures::{Cells, Found};
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

/// Runs the scenarios and prints each table as soon as it is there. A run that fails costs its own
/// figures and no others, and is an error at the end.
pub(crate) fn run(bench: &Bench, plan: &Plan, scenarios: &[&Scenario]) -> anyhow::Result<()> {
    let environment = Environment::read(&ottla_interop::repository::root(), bench.data())?;
    // Only now: the cores of the machine were counted.
    process::pin(std::process::id(), DRIVER_CORE).context("this process cannot be bound")?;
    let mut report = Report::new(environment, plan.runs, bench);
    report.print_head();
    for scenario in scenarios {
        let cells = cells(scenario, plan);
        if cells.is_empty() {
            eprintln!("{}: nothing to run", scenario.name);
            continue;
        }
        let run = |cell: &Cell| (scenario.run)(bench, cell);
        let (measured, failed) = in_turns(scenario, plan.runs, cells, run);
        report.take(scenario, measured, failed);
        report.print_last();
        report.write(&plan.json)?;
    }
    report::tell(&format!("as JSON: {}", plan.json.display()));
    let failed = report.failed();
    ensure!(failed == 0, "runs that have failed: {failed}");
    Ok(())
}

/// Each cell's figures, and which runs are not in them, and why.
fn in_turns(
    scenario: &Scenario,
    runs: usize,
    cells: Vec<Cell>,
    run_one: impl Fn(&Cell) -> anyhow::Result<Found>,
) -> (Vec<(Cell, Cells)>, Vec<String>) {
    let mut measured: Vec<_> = cells.into_iter().map(|cell| (cell, Cells::default())).collect();
    let mut failed = Vec::new();
    for run in 1..=runs {
        for (cell, figures) in &mut measured {
            let begun = Instant::now();
            let found = run_one(cell);
            let took = begun.elapsed().as_secs_f64();
            let Scenario { number, name, .. } = scenario;
            eprintln!("run {run} of {runs}: {number} {name}: {}, {took:.0} s", cell.name);
            match found {
                Ok(found) => figures.take(found),
                Err(error) => {
                    eprintln!("it has failed: {error:?}");
                    failed.push(format!("{}, run {run}: {error:#}", cell.name));
                }
            }
        }
    }
    (measured, failed)
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
    use std::cell::Cell as Counter;

    use anyhow::{anyhow, bail};

    use super::*;

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
    fn a_run_that_fails_costs_its_own_figures_alone() {
        let runs = Counter::new(0_u8);
        let run = |_: &Cell| {
            runs.set(runs.get() + 1);
            if runs.get() == 4 {
                bail!(anyhow!("no answer").context("partition 0"));
            }
            let mut found = Found::default();
            found.add("ms", f64::from(runs.get()));
            Ok(found)
        };
        let cells = vec![Cell::OTTLA_OS, Cell::KAFKA];
        let (measured, failed) = in_turns(&SCENARIO, 3, cells, run);
        assert_eq!(failed, ["kafka, run 2: partition 0: no answer"]);
        let figures = measured.iter().map(|(_, cells)| cells.get("ms").unwrap().runs());
        assert_eq!(figures.collect::<Vec<_>>(), [[1.0, 3.0, 5.0].as_slice(), &[2.0, 6.0]]);
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
