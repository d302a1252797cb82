//! A controller on a disk in memory, with a clock moved by hand, and the requests a broker and its
//! clients send. Must not know what the answers should be.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_controller::{
    Contents, ControllerError, ControllerHandle, ControllerOptions, Endpoint, FeatureChoice,
    FormatError, FormatOptions, MetaProperties, MetadataLogSettings, Voters, format, inspect,
    start,
};
use ottla_env::memory::MemoryDisk;
use ottla_env::{Disk, ManualClock, SeededRng};
use ottla_metadata::configs::BrokerProperties;
use ottla_metadata::{Command, Refusal, Reply, feature_table};
use ottla_protocol::k19_create_topics::{CreatableTopic, CreatableTopicConfig};
use ottla_protocol::k62_broker_registration::{Feature, Listener};
use ottla_protocol::{
    BrokerHeartbeatRequest, BrokerHeartbeatResponse, BrokerRegistrationRequest,
    CreateTopicsRequest, CreateTopicsResponse, Millis, NodeId, StrBytes, Uuid,
};

pub(crate) const NOW: i64 = 1_700_000_000_000;

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) disk: Arc<MemoryDisk>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) rng: Arc<SeededRng>,
    pub(crate) log: MetadataLogSettings,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            disk: Arc::new(MemoryDisk::new()),
            clock: Arc::new(ManualClock::new(NOW)),
            rng: Arc::new(SeededRng::new(7)),
            log: MetadataLogSettings::default(),
        }
    }

    pub(crate) fn dir() -> PathBuf {
        PathBuf::from("/data")
    }

    pub(crate) fn log_dir() -> PathBuf {
        Self::dir().join("__cluster_metadata-0")
    }

    pub(crate) fn any_disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.disk) as Arc<dyn Disk>
    }

    pub(crate) fn format(&self, options: &FormatOptions) -> Result<MetaProperties, FormatError> {
        format(&self.any_disk(), self.rng.as_ref(), Millis(NOW), &[Self::dir()], options)
    }

    pub(crate) fn formatted(&self) -> MetaProperties {
        self.format(&standalone()).unwrap()
    }

    pub(crate) fn start(&self) -> Result<ControllerHandle, ControllerError> {
        let Contents::Formatted(meta) = inspect(self.disk.as_ref(), &Self::dir()).unwrap() else {
            panic!("not formatted")
        };
        start(ControllerOptions {
            disk: self.any_disk(),
            clock: Arc::clone(&self.clock) as _,
            rng: Arc::clone(&self.rng) as _,
            metadata_dir: Self::dir(),
            meta,
            endpoints: Vec::new(),
            properties: BrokerProperties::default(),
            log: self.log,
        })
    }

    pub(crate) fn file(&self, path: &Path) -> Vec<u8> {
        self.disk.read(path).unwrap()
    }

    pub(crate) fn names(&self, dir: &Path) -> Vec<String> {
        self.disk.list(dir).unwrap().into_iter().map(|entry| entry.name).collect()
    }
}

pub(crate) fn standalone() -> FormatOptions {
    FormatOptions {
        cluster_id: Some("4L6g3nShT-eMCtK--X86sw".to_owned()),
        node_id: NodeId(1),
        directory_id: None,
        features: FeatureChoice::default(),
        voters: Voters::Standalone(Endpoint {
            listener: "CONTROLLER".to_owned(),
            host: "127.0.0.1".to_owned(),
            port: 9093,
        }),
        ignore_formatted: false,
    }
}

/// Registers node 1 as a broker of the cluster; gives its epoch.
pub(crate) fn register(
    controller: &ControllerHandle,
    incarnation: u8,
    previous_broker_epoch: i64,
) -> i64 {
    let image = controller.image();
    let features = feature_table::supported(image.features()).map(|(name, range)| Feature {
        name,
        min_supported_version: range.min,
        max_supported_version: range.max,
        ..Feature::default()
    });
    let dir = controller.quorum().voters.first().map_or(Uuid::ZERO, |voter| voter.directory_id);
    let request = BrokerRegistrationRequest {
        broker_id: 1,
        cluster_id: StrBytes::from("4L6g3nShT-eMCtK--X86sw"),
        incarnation_id: Uuid([incarnation; 16]),
        listeners: vec![Listener {
            name: StrBytes::from("PLAINTEXT"),
            host: StrBytes::from("127.0.0.1"),
            port: 9092,
            ..Listener::default()
        }],
        features: features.collect(),
        log_dirs: vec![dir],
        previous_broker_epoch,
        ..BrokerRegistrationRequest::default()
    };
    let Reply::RegisterBroker(response) =
        controller.call(Command::RegisterBroker(request)).unwrap()
    else {
        panic!("another reply")
    };
    response.broker_epoch
}

pub(crate) fn heartbeat(
    controller: &ControllerHandle,
    epoch: i64,
    stop: bool,
) -> Result<BrokerHeartbeatResponse, Refusal> {
    let request = BrokerHeartbeatRequest {
        broker_id: 1,
        broker_epoch: epoch,
        current_metadata_offset: controller.image().position().offset.get(),
        want_shut_down: stop,
        ..BrokerHeartbeatRequest::default()
    };
    controller.call(Command::BrokerHeartbeat(request)).map(|reply| {
        let Reply::BrokerHeartbeat(response) = reply else { panic!("another reply") };
        response
    })
}

/// A broker that is registered and serves.
pub(crate) fn serving(controller: &ControllerHandle, incarnation: u8, previous: i64) -> i64 {
    let epoch = register(controller, incarnation, previous);
    assert!(!heartbeat(controller, epoch, false).unwrap().is_fenced);
    epoch
}

pub(crate) fn creatable(name: &str, partitions: i32, configs: &[(&str, &str)]) -> CreatableTopic {
    let configs = configs.iter().map(|(name, value)| CreatableTopicConfig {
        name: StrBytes::from(*name),
        value: Some(StrBytes::from(*value)),
        ..CreatableTopicConfig::default()
    });
    CreatableTopic {
        name: StrBytes::from(name),
        num_partitions: partitions,
        replication_factor: -1,
        configs: configs.collect(),
        ..CreatableTopic::default()
    }
}

pub(crate) fn create(
    controller: &ControllerHandle,
    topics: Vec<CreatableTopic>,
) -> CreateTopicsResponse {
    let request = CreateTopicsRequest { topics, ..CreateTopicsRequest::default() };
    let Reply::CreateTopics(response) = controller.call(Command::CreateTopics(request)).unwrap()
    else {
        panic!("another reply")
    };
    response
}
