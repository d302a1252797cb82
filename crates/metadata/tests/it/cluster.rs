//! A machine with one broker, and the log it wrote. Must not know what is asked of it.

use ottla_metadata::configs::BrokerProperties;
use ottla_metadata::{
    Command, Image, Machine, Position, Random, Refusal, Replay, Reply, Settings, VersionedRecord,
    feature_table,
};
use ottla_protocol::k62_broker_registration::{Feature, Listener};
use ottla_protocol::{
    BrokerHeartbeatRequest, BrokerRegistrationRequest, FeatureLevelRecord, LeaderEpoch,
    MetadataRecord, Millis, NodeId, Offset, StrBytes, Uuid,
};

/// SplitMix64.
pub(crate) struct Seeded(pub(crate) u64);

impl Random for Seeded {
    fn fill(&mut self, buffer: &mut [u8]) {
        for byte in buffer {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            *byte = u8::try_from((z ^ (z >> 31)) & 0xff).unwrap();
        }
    }
}

pub(crate) struct Cluster {
    pub(crate) machine: Machine,
    pub(crate) log: Vec<VersionedRecord>,
    pub(crate) now: Millis,
    random: Seeded,
}

pub(crate) const DIRECTORY: Uuid = Uuid([7; 16]);

impl Cluster {
    /// A cluster that has just begun, with these feature levels.
    pub(crate) fn with_levels(levels: &[(&str, i16)]) -> Self {
        let properties: BrokerProperties = [("node.id", "1")].into_iter().collect();
        let settings = Settings { node: NodeId(1), cluster_id: "cluster".to_owned(), properties };
        let machine = Machine::new(settings, Image::default());
        let mut cluster = Self { machine, log: Vec::new(), now: Millis(1000), random: Seeded(1) };
        let bootstrap: Vec<VersionedRecord> = levels
            .iter()
            .map(|(name, level)| VersionedRecord {
                record: MetadataRecord::FeatureLevel(Box::new(FeatureLevelRecord {
                    name: StrBytes::from(*name),
                    feature_level: *level,
                    ..Default::default()
                })),
                version: 0,
            })
            .collect();
        let records = cluster.machine.activate(cluster.now, &bootstrap);
        cluster.append(records);
        cluster
    }

    pub(crate) fn new() -> Self {
        let levels = [("metadata.version", 33), ("eligible.leader.replicas.version", 1)];
        let mut cluster = Self::with_levels(&levels);
        cluster.serve(1, 1, -1, None);
        cluster
    }

    pub(crate) fn append(&mut self, records: Vec<VersionedRecord>) {
        for record in records {
            let offset = Offset(i64::try_from(self.log.len()).unwrap());
            // What is written must be what is read.
            let written = record.record.encode(record.version).unwrap();
            assert_eq!(MetadataRecord::decode(written).unwrap(), record.record);
            self.machine.apply(Self::position(offset), &record.record).unwrap();
            self.log.push(record);
        }
    }

    fn position(offset: Offset) -> Position {
        Position { offset, epoch: LeaderEpoch(1), timestamp: Millis(5) }
    }

    /// Decides, without consequences.
    pub(crate) fn plan(
        &mut self,
        command: &Command,
    ) -> Result<(Vec<VersionedRecord>, Reply), Refusal> {
        let next = Offset(i64::try_from(self.log.len()).unwrap());
        self.machine
            .plan(self.now, next, command, &mut self.random)
            .map(|plan| (plan.records, plan.reply))
    }

    pub(crate) fn run(&mut self, command: &Command) -> Result<Reply, Refusal> {
        let (records, reply) = self.plan(command)?;
        self.append(records);
        Ok(reply)
    }

    pub(crate) fn tick(&mut self) {
        loop {
            let records = self.machine.tick(self.now);
            if records.is_empty() {
                return;
            }
            self.append(records);
        }
    }

    pub(crate) fn registration(
        &self,
        id: i32,
        incarnation: u8,
        previous: i64,
        rack: Option<&str>,
    ) -> Command {
        let features =
            feature_table::supported(self.machine.latest().features()).map(|(name, range)| {
                Feature {
                    name,
                    min_supported_version: range.min,
                    max_supported_version: range.max,
                    ..Default::default()
                }
            });
        let mut directory = DIRECTORY;
        directory.0[15] = u8::try_from(id).unwrap();
        Command::RegisterBroker(BrokerRegistrationRequest {
            broker_id: id,
            cluster_id: StrBytes::from("cluster"),
            incarnation_id: Uuid([incarnation; 16]),
            listeners: vec![Listener {
                name: StrBytes::from("PLAINTEXT"),
                port: 9092,
                ..Default::default()
            }],
            features: features.collect(),
            rack: rack.map(StrBytes::from),
            log_dirs: vec![directory],
            previous_broker_epoch: previous,
            ..Default::default()
        })
    }

    pub(crate) fn heartbeat(&self, id: i32, want_fence: bool, want_shut_down: bool) -> Command {
        let epoch = self.machine.latest().broker(NodeId(id)).map_or(-1, |broker| broker.epoch);
        Command::BrokerHeartbeat(BrokerHeartbeatRequest {
            broker_id: id,
            broker_epoch: epoch,
            current_metadata_offset: i64::MAX,
            want_fence,
            want_shut_down,
            ..Default::default()
        })
    }

    /// Registers a broker and lets it serve.
    pub(crate) fn serve(&mut self, id: i32, incarnation: u8, previous: i64, rack: Option<&str>) {
        let registration = self.registration(id, incarnation, previous, rack);
        self.run(&registration).unwrap();
        let heartbeat = self.heartbeat(id, false, false);
        self.run(&heartbeat).unwrap();
    }

    /// What a reader of the log sees.
    pub(crate) fn replayed(&self) -> Image {
        let mut replay = Replay::default();
        for (offset, record) in self.log.iter().enumerate() {
            replay
                .apply(Self::position(Offset(i64::try_from(offset).unwrap())), &record.record)
                .unwrap();
        }
        replay.visible().clone()
    }

    /// What a reader of a snapshot sees.
    pub(crate) fn restored(&self) -> Image {
        let mut replay = Replay::default();
        let image = self.machine.latest();
        let position = image.position();
        let written: Result<(), String> = image.write_records(|record| {
            let value = record.record.encode(record.version).map_err(|error| error.to_string())?;
            let read = MetadataRecord::decode(value).map_err(|error| error.to_string())?;
            replay.apply(position, &read).map_err(|error| error.to_string())
        });
        written.unwrap();
        replay.visible().clone()
    }
}
