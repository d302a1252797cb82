//! A broker with its controller in this process, on a disk in memory, with a clock that stands
//! still; a client that sends typed requests. Must not know what the answers should be.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla_broker::{Broker, BrokerStart, Limits, ListenerConfig, StartError};
use ottla_controller::{
    Contents, ControllerHandle, ControllerOptions, Endpoint, FeatureChoice, FormatOptions,
    MetadataLogSettings, Voters, format, inspect,
};
use ottla_env::memory::MemoryDisk;
use ottla_env::{Disk, ManualClock, SeededRng};
use ottla_log::{LogDir, LogDirLimits};
use ottla_metadata::configs::BrokerProperties;
use ottla_protocol::k19_create_topics::CreatableTopic;
use ottla_protocol::k44_incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use ottla_protocol::message::{ApiRequest, Message};
use ottla_protocol::{
    CreateTopicsRequest, ErrorCode, IncrementalAlterConfigsRequest, Millis, NodeId, Reader,
    RequestHeader, ResponseHeader, request_frame,
};

/// What the clock shows, milliseconds since the Unix epoch.
pub(crate) const NOW: i64 = 1_700_000_000_000;
/// How long a client waits before it gives up.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// What survives a broker: its disk.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) disk: Arc<MemoryDisk>,
    pub(crate) clock: Arc<ManualClock>,
    rng: Arc<SeededRng>,
    dirs: Vec<PathBuf>,
}

/// A broker and its controller.
pub(crate) struct Running {
    pub(crate) controller: ControllerHandle,
    pub(crate) broker: Broker,
}

impl World {
    /// A disk with one formatted data directory.
    pub(crate) fn new() -> Self {
        Self::with_dirs(&["/data"])
    }

    /// A disk with these formatted data directories; the first has the metadata.
    pub(crate) fn with_dirs(dirs: &[&str]) -> Self {
        let world = Self {
            disk: Arc::new(MemoryDisk::new()),
            clock: Arc::new(ManualClock::new(NOW)),
            rng: Arc::new(SeededRng::new(7)),
            dirs: dirs.iter().map(PathBuf::from).collect(),
        };
        let options = FormatOptions {
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
        };
        format(&world.any_disk(), &*world.rng, Millis(NOW), &world.dirs, &options).unwrap();
        world
    }

    pub(crate) fn dir() -> PathBuf {
        PathBuf::from("/data")
    }

    fn any_disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.disk) as Arc<dyn Disk>
    }

    pub(crate) fn controller(&self, properties: &BrokerProperties) -> ControllerHandle {
        let Contents::Formatted(meta) = inspect(&*self.disk, &Self::dir()).unwrap() else {
            panic!("not formatted")
        };
        ottla_controller::start(ControllerOptions {
            disk: self.any_disk(),
            clock: Arc::clone(&self.clock) as _,
            rng: Arc::clone(&self.rng) as _,
            metadata_dir: Self::dir(),
            meta,
            endpoints: Vec::new(),
            properties: properties.clone(),
            log: MetadataLogSettings::default(),
        })
        .unwrap()
    }

    /// What a broker with these settings is started with: one listener on the loopback address,
    /// at a port that the system chooses.
    pub(crate) fn broker_start(&self, settings: &[(&str, &str)]) -> BrokerStart {
        self.broker_start_on(&self.any_disk(), settings)
    }

    /// The same with the log directories as this disk shows them.
    pub(crate) fn broker_start_on(
        &self,
        disk: &Arc<dyn Disk>,
        settings: &[(&str, &str)],
    ) -> BrokerStart {
        let mut properties: BrokerProperties = settings.iter().copied().collect();
        properties.set("node.id", "1");
        let open = |dir| LogDir::open(Arc::clone(disk), dir, LogDirLimits::default()).unwrap();
        BrokerStart {
            node: NodeId(1),
            cluster_id: "4L6g3nShT-eMCtK--X86sw".to_owned(),
            listeners: vec![listener(0)],
            workers: 2,
            limits: Limits::default(),
            controller: self.controller(&properties),
            properties,
            log_dirs: self.dirs.iter().map(|dir| open(dir)).collect(),
            clock: Arc::clone(&self.clock) as _,
            rng: Arc::clone(&self.rng) as _,
        }
    }

    /// Starts a broker with these settings.
    pub(crate) fn start(&self, settings: &[(&str, &str)]) -> Running {
        Running::start(self.broker_start(settings)).unwrap()
    }

    /// Names of the files in the data directory.
    pub(crate) fn names(&self) -> Vec<String> {
        self.disk.list(&Self::dir()).unwrap().into_iter().map(|entry| entry.name).collect()
    }
}

/// A listener on the loopback address.
pub(crate) fn listener(port: u16) -> ListenerConfig {
    ListenerConfig {
        name: "PLAINTEXT".to_owned(),
        host: "127.0.0.1".to_owned(),
        port,
        advertised: None,
    }
}

impl Running {
    pub(crate) fn start(start: BrokerStart) -> Result<Self, StartError> {
        let controller = start.controller.clone();
        let broker = Broker::start(start)?;
        assert!(broker.wait_until_open(Some(LIMIT)), "the logs are not all open");
        Ok(Self { broker, controller })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.broker.addresses()[0].1
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address()).unwrap()
    }

    /// Stops broker and controller.
    pub(crate) fn stop(self) {
        self.broker.stop().unwrap();
        self.controller.stop();
    }
}

/// A connection that sends typed requests.
pub(crate) struct Client {
    stream: TcpStream,
    correlation: i32,
}

impl Client {
    pub(crate) fn connect(to: SocketAddr) -> io::Result<Self> {
        Self::over(TcpStream::connect_timeout(&to, LIMIT)?)
    }

    /// Connects from another address of this machine.
    pub(crate) fn connect_from(from: Ipv4Addr, to: SocketAddr) -> io::Result<Self> {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(IpAddr::V4(from), 0).into())?;
        socket.connect(&to.into())?;
        Self::over(socket.into())
    }

    fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LIMIT))?;
        Ok(Self { stream, correlation: 0 })
    }

    /// Waits at most this long for each answer from now on.
    pub(crate) fn wait_at_most(&mut self, limit: Duration) {
        self.stream.set_read_timeout(Some(limit)).unwrap();
    }

    /// Sends a request.
    pub(crate) fn tell<R: ApiRequest>(&mut self, version: i16, request: &R) -> io::Result<()> {
        self.correlation += 1;
        let header = RequestHeader {
            correlation_id: self.correlation,
            client_id: Some("test".into()),
            ..RequestHeader::default()
        };
        let frame = request_frame(&header, version, request).unwrap();
        for part in frame.into_parts() {
            self.stream.write_all(&part)?;
        }
        Ok(())
    }

    /// Sends a request and reads its answer.
    pub(crate) fn ask<R: ApiRequest>(
        &mut self,
        version: i16,
        request: &R,
    ) -> io::Result<R::Response>
    where
        R::Response: Message,
    {
        self.tell(version, request)?;
        self.hear::<R>(version)
    }

    /// Sends nothing any more.
    pub(crate) fn finish(&mut self) {
        self.stream.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Reads the answer to the request that was sent last.
    pub(crate) fn hear<R: ApiRequest>(&mut self, version: i16) -> io::Result<R::Response>
    where
        R::Response: Message,
    {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let mut answer = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
        self.stream.read_exact(&mut answer)?;
        let mut reader = Reader::new(answer.into());
        let header_version = R::API_KEY.response_header_version(version);
        let header = ResponseHeader::decode(&mut reader, header_version).unwrap();
        assert_eq!(header.correlation_id, self.correlation);
        Ok(R::Response::decode(&mut reader, version).unwrap())
    }
}

/// Creates a topic; it can be used when this returns.
pub(crate) fn create(client: &mut Client, name: &'static str, partitions: i32) {
    let topic = CreatableTopic {
        name: name.into(),
        num_partitions: partitions,
        replication_factor: 1,
        ..CreatableTopic::default()
    };
    let request =
        CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
    assert_eq!(client.ask(7, &request).unwrap().topics[0].error_code, 0);
}

/// Whose setting [`alter_config`] changes.
#[derive(Clone, Copy)]
pub(crate) enum Owner<'a> {
    Topic(&'a str),
    /// A broker, or all of them when it has no name.
    Broker(&'a str),
}

/// Changes one setting; gives the error code.
pub(crate) fn alter_config(
    client: &mut Client,
    owner: Owner<'_>,
    name: &'static str,
    value: &str,
) -> ErrorCode {
    let config =
        AlterableConfig { name: name.into(), value: Some(value.into()), ..Default::default() };
    let (resource_type, resource_name) = match owner {
        Owner::Topic(name) => (2, name.into()),
        Owner::Broker(name) => (4, name.into()),
    };
    let configs = vec![config];
    let resource =
        AlterConfigsResource { resource_type, resource_name, configs, ..Default::default() };
    let request =
        IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
    client.ask(1, &request).unwrap().responses[0].error_code.into()
}

/// Changes one setting of a topic.
pub(crate) fn set(client: &mut Client, topic: &str, name: &'static str, value: &str) {
    assert_eq!(alter_config(client, Owner::Topic(topic), name, value), ErrorCode::None);
}

/// Waits for what happens by itself.
pub(crate) fn until(mut done: impl FnMut() -> bool) {
    until_some(|| done().then_some(()));
}

/// As [`until`]; gives what was waited for.
pub(crate) fn until_some<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < LIMIT, "it never comes to that");
        std::thread::yield_now();
    }
}
