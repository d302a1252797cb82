//! Tests over the simulated disk that need no seed of the simulator's own.

#[cfg(test)]
mod compaction;
