//! Ports to the world: disk, clock, randomness. Traits only.
