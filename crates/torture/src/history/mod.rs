//! What was sent, what was acknowledged, what was seen, and what must therefore be found: the
//! memory of the tester, kept outside of the disk under test. Pure: no files, sockets, clock.

mod partition;
mod register;
mod violation;

pub use partition::{Content, Found, FoundRecord, Origin, PartitionHistory, Policy};
pub use register::Register;
pub use violation::{Rule, Violation};

#[cfg(test)]
mod tests;
