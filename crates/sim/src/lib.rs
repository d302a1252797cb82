//! A seeded, deterministic torture of the storage: the log and the metadata log over a simulated
//! disk that loses, tears, fails and fills up, held against models that share no code with them.
//!
//! | piece | owns |
//! |---|---|
//! | [`disk`] | the simulated disk: caches, syncs, names, faults, what a power cut leaves |
//! | `log` | partitions, clients, a committer, crashes; the oracle for them |
//! | `metadata` | a controller without threads, formats, crashes; the oracle for them |
//! | [`enumerate`] | every state after a crash at every operation of scripted sequences |
//! | [`session`] | many seeds on several threads |
//! | [`choose`] | decisions drawn from a seed, or all of them in turn |
//!
//! What is modelled and what is not stands in `docs/simulation.md`. Must not know the inside of
//! what it tests, beyond public interfaces.

pub mod choose;
pub mod disk;
pub mod enumerate;
mod log;
mod metadata;
mod outcome;
#[cfg(feature = "planted")]
pub mod planted;
mod run;
pub mod session;
mod violation;

pub use outcome::Outcome;
pub use run::{Failure, World, run_seed};
pub use violation::{Stop, Violation};
