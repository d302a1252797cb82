//! Consumer groups and their offsets: plan gives records, apply changes state.
