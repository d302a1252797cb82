//! One replica's role, ends and high watermark, and the answers that wait for them. Must not
//! know the bytes of the log, nor what an answer looks like.

mod acks;
mod machine;
mod on_role;

pub use acks::Acks;
pub use machine::{Ends, Replica, ReplicaConfig, ReplicaEffect, ReplicaError, Role};
pub use on_role::Leadership;
