//! What happens when: scenarios, each step with all that comes of it, split by what they are about.

mod administration;
mod joining;
mod offsets;
mod rebalancing;
mod static_members;
mod time;
