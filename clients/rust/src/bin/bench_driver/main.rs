//! The load of the benchmark, the same for every broker: each line of standard input is a job as
//! JSON, each line of standard output what it found, as JSON. Ends with a failure at the first job
//! that is no good. Must not know which broker it talks to.

mod client;
mod consume;
mod count;
mod cpu;
mod job;
mod latency;
mod open_loop;
mod payload;
mod produce;

use std::io::{BufRead, Write};
use std::process::ExitCode;

use anyhow::Context;

use job::Job;

fn main() -> ExitCode {
    let mut stdout = std::io::stdout();
    for line in std::io::stdin().lock().lines() {
        let (answer, good) = match line.context("standard input").and_then(|line| run(&line)) {
            Ok(answer) => (answer, true),
            Err(error) => (serde_json::json!({ "error": format!("{error:#}") }), false),
        };
        if writeln!(stdout, "{answer}").and_then(|()| stdout.flush()).is_err() || !good {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn run(line: &str) -> anyhow::Result<serde_json::Value> {
    match serde_json::from_str(line).context("not a job")? {
        Job::Produce(job) => Ok(serde_json::to_value(produce::run(&job)?)?),
        Job::Consume(job) => Ok(serde_json::to_value(consume::run(&job)?)?),
        Job::OpenLoop(job) => Ok(serde_json::to_value(open_loop::run(&job)?)?),
    }
}
