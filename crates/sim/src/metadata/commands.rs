//! What brokers and clients ask of the simulated controller. Must not know crashes.

use ottla_controller::ByHand;
use ottla_metadata::{Command, Reply, feature_table};
use ottla_protocol::k19_create_topics::{CreatableTopic, CreatableTopicConfig};
use ottla_protocol::k62_broker_registration::{Feature, Listener};
use ottla_protocol::{
    BrokerHeartbeatRequest, BrokerRegistrationRequest, CreateTopicsRequest, DeleteTopicsRequest,
    ErrorCode, StrBytes, Uuid,
};

use super::{CLUSTER, World};
use crate::choose::Choose;
use crate::promise;
use crate::violation::Stop;

impl World {
    pub(super) fn step(&mut self, controller: &mut ByHand) -> Result<(), Stop> {
        match self.draw.below(12) {
            0..=4 => self.create(controller),
            5..=6 => self.delete(controller),
            7 => self.register(controller),
            8 => {
                controller.write_snapshots();
                self.ticked(controller)
            }
            9 => {
                // The snapshot is written, but what follows from it waits.
                controller.write_snapshots();
                Ok(())
            }
            10 => {
                let pause = if self.draw.one_in(8) { 20_000 } else { 200 };
                self.clock.advance_ms(pause);
                self.ticked(controller)
            }
            _ => self.ticked(controller),
        }
    }

    pub(super) fn ticked(&mut self, controller: &mut ByHand) -> Result<(), Stop> {
        let done = controller.tick();
        done.map_err(|error| self.failed("a tick", &error))
    }

    fn call(&mut self, controller: &mut ByHand, command: Command) -> Result<Option<Reply>, Stop> {
        match controller.call(command) {
            Ok(Ok(reply)) => {
                self.model.offset = self.model.offset.max(controller.log_range().1.0);
                self.outcome.appends += 1;
                Ok(Some(reply))
            }
            Ok(Err(refusal)) if self.was_hurt() => {
                drop(refusal);
                Ok(None)
            }
            Ok(Err(refusal)) => Err(self.failed("a command", &format!("{refusal:?}"))),
            Err(error) => Err(self.failed("a command", &error)),
        }
    }

    /// The only broker; without one no topic can be placed.
    pub(super) fn register(&mut self, controller: &mut ByHand) -> Result<(), Stop> {
        self.incarnation = self.incarnation.wrapping_add(1);
        let image = controller.image();
        let features = feature_table::supported(image.features());
        let features = features.map(|(name, range)| Feature {
            name,
            min_supported_version: range.min,
            max_supported_version: range.max,
            ..Feature::default()
        });
        let request = BrokerRegistrationRequest {
            broker_id: 1,
            cluster_id: StrBytes::from(CLUSTER),
            incarnation_id: Uuid([self.incarnation; 16]),
            listeners: vec![Listener {
                name: StrBytes::from("PLAINTEXT"),
                host: StrBytes::from("127.0.0.1"),
                port: 9092,
                ..Listener::default()
            }],
            features: features.collect(),
            log_dirs: self.model.meta.iter().map(|meta| meta.directory_id).collect(),
            previous_broker_epoch: -1,
            ..BrokerRegistrationRequest::default()
        };
        // A broker whose session is alive refuses another incarnation: that is no failure.
        let answer = controller.call(Command::RegisterBroker(request));
        let reply = match answer {
            Ok(Ok(Reply::RegisterBroker(reply))) => reply,
            Ok(_) => return Ok(()),
            Err(error) => return Err(self.failed("a registration", &error)),
        };
        let beat = BrokerHeartbeatRequest {
            broker_id: 1,
            broker_epoch: reply.broker_epoch,
            current_metadata_offset: controller.image().position().offset.get(),
            ..BrokerHeartbeatRequest::default()
        };
        controller
            .call(Command::BrokerHeartbeat(beat))
            .map(drop)
            .map_err(|error| self.failed("a heartbeat", &error))
    }

    fn name(&mut self) -> String {
        format!("t{}", self.draw.below(8))
    }

    pub(super) fn create(&mut self, controller: &mut ByHand) -> Result<(), Stop> {
        let name = self.name();
        let partitions = self.draw.range(1, 4);
        let config = CreatableTopicConfig {
            name: StrBytes::from("retention.ms"),
            value: Some(StrBytes::from("1000")),
            ..CreatableTopicConfig::default()
        };
        let topic = CreatableTopic {
            name: StrBytes::from(name.clone()),
            num_partitions: i32::try_from(partitions).unwrap_or(1),
            replication_factor: 1,
            configs: if self.draw.one_in(2) { vec![config] } else { Vec::new() },
            ..CreatableTopic::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], ..CreateTopicsRequest::default() };
        // What came of an earlier command is not known: a disk without space delays, and refuses to
        // say more.
        if self.model.open.contains_key(&name) {
            return Ok(());
        }
        let known = self.model.topics.entry(name.clone()).or_default().is_some();
        if !known {
            self.model.open.insert(name.clone(), Some(partitions));
        }
        let reply = self.call(controller, Command::CreateTopics(request))?;
        let Some(Reply::CreateTopics(reply)) = reply else { return Ok(()) };
        self.model.open.remove(&name);
        let Some(result) = reply.topics.first() else { return Ok(()) };
        if result.error_code == 0 {
            promise!("K3", !known, "topic {name} was created, and it was there already");
            self.model.topics.insert(name, Some((result.topic_id, partitions)));
        } else if result.error_code == i16::from(ErrorCode::TopicAlreadyExists) {
            promise!("K3", known, "topic {name} is said to be there, and nobody created it");
        }
        Ok(())
    }

    pub(super) fn delete(&mut self, controller: &mut ByHand) -> Result<(), Stop> {
        let name = self.name();
        let request = DeleteTopicsRequest {
            topic_names: vec![StrBytes::from(name.clone())],
            ..DeleteTopicsRequest::default()
        };
        // What came of an earlier command is not known: a disk without space delays, and refuses to
        // say more.
        if self.model.open.contains_key(&name) {
            return Ok(());
        }
        let known = self.model.topics.entry(name.clone()).or_default().is_some();
        if known {
            self.model.open.insert(name.clone(), None);
        }
        let reply = self.call(controller, Command::DeleteTopics(request))?;
        let Some(Reply::DeleteTopics(reply)) = reply else { return Ok(()) };
        self.model.open.remove(&name);
        if reply.responses.first().is_some_and(|result| result.error_code == 0) {
            promise!("K3", known, "topic {name} was deleted, and it was not there");
            self.model.topics.insert(name, None);
        }
        Ok(())
    }
}
