//! Decisions, one file a kind of request. Each reads the image and gives records and a reply;
//! none changes the image. Must not know logs or clocks.

pub(crate) mod activation;
mod alter_configs;
mod assign_replicas_to_dirs;
mod broker_configs;
pub(crate) mod brokers;
mod controllers;
mod create_partitions;
mod create_topics;
mod delete_topics;
mod partition_change;
mod placement;
mod producer_ids;
mod replicas;
mod update_features;

use std::collections::BTreeMap;

use ottla_protocol::{ErrorCode, Millis, NodeId, Offset};

use crate::command::{Command, Reply};
use crate::configs::Effective;
use crate::image::Image;
use crate::machine::{Plan, Settings};
use crate::random::Random;
use crate::record::VersionedRecord;
use crate::refusal::Refusal;
use crate::sessions::Sessions;

/// Most records that one request may lead to, as in Kafka.
const RECORDS_MAX: usize = 10_000;

/// What a decision is made with.
pub(crate) struct Context<'a> {
    pub(crate) image: &'a Image,
    pub(crate) settings: &'a Settings,
    pub(crate) registered_at: &'a BTreeMap<NodeId, Offset>,
    pub(crate) sessions: &'a mut Sessions,
    pub(crate) now: Millis,
    pub(crate) next_offset: Offset,
    pub(crate) random: &'a mut dyn Random,
}

impl<'a> Context<'a> {
    pub(crate) fn effective(&self) -> Effective<'a> {
        Effective {
            image: self.image,
            node: self.settings.node,
            properties: &self.settings.properties,
        }
    }
}

pub(crate) fn command(context: &mut Context<'_>, command: &Command) -> Result<Plan, Refusal> {
    let (records, reply) = match command {
        Command::RegisterBroker(request) => {
            let (records, response) = brokers::register(context, request)?;
            (records, Reply::RegisterBroker(response))
        }
        Command::BrokerHeartbeat(request) => {
            let (records, response) = brokers::heartbeat(context, request)?;
            (records, Reply::BrokerHeartbeat(response))
        }
        Command::UnregisterBroker(request) => {
            let (records, response) = brokers::unregister(context, request)?;
            (records, Reply::UnregisterBroker(response))
        }
        Command::RegisterController(request) => {
            let (records, response) = controllers::register(context, request)?;
            (records, Reply::RegisterController(response))
        }
        Command::CreateTopics(request) => {
            let (records, response) = create_topics::plan(context, request)?;
            (records, Reply::CreateTopics(response))
        }
        Command::DeleteTopics(request) => {
            let (records, response) = delete_topics::plan(context, request)?;
            (records, Reply::DeleteTopics(response))
        }
        Command::CreatePartitions(request) => {
            let (records, response) = create_partitions::plan(context, request)?;
            (records, Reply::CreatePartitions(response))
        }
        Command::AlterConfigs(request) => {
            let (records, response) = alter_configs::replace(context, request);
            (records, Reply::AlterConfigs(response))
        }
        Command::IncrementalAlterConfigs(request) => {
            let (records, response) = alter_configs::change(context, request);
            (records, Reply::IncrementalAlterConfigs(response))
        }
        Command::UpdateFeatures { request, version } => {
            let (records, response) = update_features::plan(context, request, *version);
            (records, Reply::UpdateFeatures(response))
        }
        Command::AllocateProducerIds(request) => {
            let (records, response) = producer_ids::allocate(context, request)?;
            (records, Reply::AllocateProducerIds(response))
        }
        Command::AssignReplicasToDirs(request) => {
            let (records, response) = assign_replicas_to_dirs::plan(context, request)?;
            (records, Reply::AssignReplicasToDirs(response))
        }
    };
    let unbounded = matches!(
        command,
        Command::BrokerHeartbeat(_) | Command::RegisterBroker(_) | Command::UnregisterBroker(_)
    );
    if records.len() > RECORDS_MAX && !unbounded {
        return Err(Refusal::new(
            ErrorCode::PolicyViolation,
            "Unable to perform excessively large batch operation.",
        ));
    }
    Ok(Plan { records, reply })
}

type Records = Vec<VersionedRecord>;
