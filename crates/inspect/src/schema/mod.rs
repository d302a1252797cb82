//! Stored records shown by their fields' names, read by the schema text of `protocol`. Must not
//! know what any record does.

mod parse;
mod read;
mod stored;

pub(crate) use stored::{Shown, control, group_record, metadata, remote_log, share, transaction};
