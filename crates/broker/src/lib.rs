//! Connections, request dispatch, hosting of partitions and coordinators.
//!
//! The path of a request: [`worker`](worker) → [`connection`] → [`dispatch`] → `api/kNN_name.rs`
//! → [`replica`] or [`coordinator`] or the controller. Protocol decisions are not made here: the
//! machines of `ottla-partition`, `ottla-groups` and `ottla-metadata` make them.

mod admission;
mod api;
mod authorise;
mod broker;
mod cleaner;
mod connection;
mod coordinator;
mod dispatch;
mod endpoints;
mod errors;
mod fetch_sessions;
mod group_config;
mod group_request;
mod hosted;
mod limits;
mod listener;
mod mailbox;
mod metadata_follower;
mod producer_ids;
mod registration;
mod replica;
mod request_header;
mod settings;
mod shared;
mod space;
mod storage_upkeep;
mod thread;
mod timetable;
mod topics;
mod turn;
mod upkeep;
mod worker;

pub use broker::{Broker, BrokerStart, StartError};
pub use limits::Limits;
pub use listener::{BindError, ListenerConfig};
pub use registration::RegistrationError;
