//! What an administrator asks of groups as wholes, split by request.

pub(crate) mod delete;
pub(crate) mod describe;
pub(crate) mod list;
