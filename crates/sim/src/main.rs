//! The simulator's command line. Must not know what is simulated.
#![expect(clippy::print_stdout, reason = "a command line tool reports on stdout")]

use ottla_sim::{World, run_seed};

fn main() {
    let seeds: u64 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(100);
    let from: u64 = std::env::args().nth(2).and_then(|n| n.parse().ok()).unwrap_or(0);
    let mut total = ottla_sim::Outcome::default();
    let begun = std::time::Instant::now();
    let mut bad = 0;
    for seed in from..from + seeds {
        let (outcome, failure) = run_seed(World::Log, seed, seeds == 1);
        total.add(&outcome);
        if let Some(failure) = failure {
            bad += 1;
            println!("seed {seed}: {}", failure.violation);
            if bad > 20 {
                break;
            }
        }
    }
    println!("{total:?} in {:?}, {bad} bad", begun.elapsed());
}
