//! `cargo xtask test`: every check in order, each under its own header, and one line at the end.
//! What a step does stands in `steps`.

use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;

mod steps;

use steps::{STEPS, Step};

/// Which steps to run.
#[derive(Args, Debug, Default)]
pub(crate) struct Choice {
    /// Run only these steps.
    #[arg(long, value_name = "STEP", value_delimiter = ',')]
    only: Vec<String>,
    /// Leave these steps out.
    #[arg(long, value_name = "STEP", value_delimiter = ',')]
    skip: Vec<String>,
    /// Name the steps and run none.
    #[arg(long)]
    list: bool,
}

/// Runs the chosen steps to the end, whatever fails; `Ok(false)` when one failed.
pub(crate) fn run(root: &Path, choice: &Choice) -> anyhow::Result<bool> {
    let names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
    let chosen = choose(&names, &choice.only, &choice.skip)?;
    if choice.list {
        for step in STEPS {
            println!("{:16} {}", step.name, step.about);
        }
        return Ok(true);
    }
    let mut outcomes = Vec::new();
    for step in STEPS.iter().filter(|step| chosen.contains(&step.name)) {
        outcomes.push((step.name, run_step(root, step)));
    }
    println!("\n=== summary");
    for (name, (took, error)) in &outcomes {
        let word = if error.is_some() { "FAILED" } else { "ok" };
        println!("{word:6} {name:16} {:>8.1} s", took.as_secs_f64());
        if let Some(error) = error {
            println!("       {error}");
        }
    }
    let failed = outcomes.iter().filter(|(_, (_, error))| error.is_some()).count();
    println!("{} passed, {failed} failed", outcomes.len() - failed);
    Ok(failed == 0)
}

fn run_step(root: &Path, step: &Step) -> (Duration, Option<String>) {
    println!("\n=== {}: {}", step.name, step.about);
    let start = Instant::now();
    let outcome = (step.run)(root);
    let took = start.elapsed();
    let error = outcome.err().map(|error| format!("{error:#}"));
    match &error {
        None => println!("--- {} ok, {:.1} s", step.name, took.as_secs_f64()),
        Some(error) => println!("--- {} FAILED, {:.1} s: {error}", step.name, took.as_secs_f64()),
    }
    (took, error)
}

/// The steps to run, in their order; a name that is no step is an error.
fn choose<'a>(names: &[&'a str], only: &[String], skip: &[String]) -> anyhow::Result<Vec<&'a str>> {
    for name in only.iter().chain(skip) {
        let known = names.contains(&name.as_str());
        anyhow::ensure!(known, "no step is called {name}; there are: {}", names.join(", "));
    }
    let has = |list: &[String], name: &str| list.iter().any(|entry| entry == name);
    let chosen = |name: &&str| (only.is_empty() || has(only, name)) && !has(skip, name);
    Ok(names.iter().copied().filter(chosen).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(only: &[&str], skip: &[&str]) -> Result<Vec<&'static str>, String> {
        let owned = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        choose(&["a", "b", "c"], &owned(only), &owned(skip)).map_err(|error| error.to_string())
    }

    #[test]
    fn steps_are_chosen_in_their_order() {
        assert_eq!(chosen(&[], &[]), Ok(vec!["a", "b", "c"]));
        assert_eq!(chosen(&["c", "a"], &[]), Ok(vec!["a", "c"]));
        assert_eq!(chosen(&[], &["b"]), Ok(vec!["a", "c"]));
        assert_eq!(chosen(&["x"], &[]), Err("no step is called x; there are: a, b, c".to_owned()));
        assert!(chosen(&[], &["x"]).is_err());
    }

    #[test]
    fn names_of_steps_are_unique() {
        let mut names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), STEPS.len());
    }
}
