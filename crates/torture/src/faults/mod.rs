//! What goes wrong, and when: the shim that is preloaded into the broker, and the page through
//! which it is told. Must not know what the broker serves.

mod control;
mod shim;

pub use control::{Action, Control, Fault, Op, When};
pub use shim::Shim;
