//! The operating system behind the ports of `env`: the real disk, clock and random source. The
//! only crate that may use `unsafe` (it has none so far). Must not know anything of Kafka.

mod clock;
mod direct;
mod disk;
mod rng;
mod whole;

pub use clock::OsClock;
pub use disk::OsDisk;
pub use rng::OsRng;
