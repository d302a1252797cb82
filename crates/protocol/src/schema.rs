//! The schema text of stored records, for tools that show records by their fields' names without
//! knowing each. Owns nothing of what the text means: `schema/README.md` says that.

/// Records of `__cluster_metadata`.
pub const METADATA_RECORDS: &str = include_str!("../schema/metadata_records.schema");
/// Keys and values of `__consumer_offsets`.
pub const GROUP_RECORDS: &str = include_str!("../schema/group_records.schema");
/// What members of classic groups tell each other inside those values.
pub const CONSUMER_PROTOCOL: &str = include_str!("../schema/consumer_protocol.schema");
/// Keys and values of `__transaction_state`.
pub const TRANSACTION_RECORDS: &str = include_str!("../schema/transaction_records.schema");
/// Keys and values of `__share_group_state`.
pub const SHARE_RECORDS: &str = include_str!("../schema/share_records.schema");
/// Records of `__remote_log_metadata`.
pub const REMOTE_LOG_METADATA: &str = include_str!("../schema/remote_log_metadata.schema");
/// Keys and values of control records.
pub const CONTROL_RECORDS: &str = include_str!("../schema/control_records.schema");
