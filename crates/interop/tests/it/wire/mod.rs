//! The protocol as clients use it, over raw connections: order, waiting, limits, sessions,
//! idempotence, topic ids.

pub(crate) mod requests;
