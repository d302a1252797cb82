//! The cluster metadata image and the controller's decisions: plan gives records, apply changes state.
