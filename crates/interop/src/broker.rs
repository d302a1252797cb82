//! A broker for one test: the ottla binary in a temporary folder, Apache Kafka 4.4.0 in its place,
//! one that is running already, or first the one and then the other on the same directories. Knows
//! the command lines; must not know what clients do.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};
use tempfile::TempDir;

use crate::{program, repository};

/// How long a broker may take to be ready.
const READY: Duration = Duration::from_secs(90);

/// The cluster id that Kafka is formatted with.
const CLUSTER_ID: &str = "4L6g3nShT-eMCtK--X86sw";

/// What stands behind the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The binary under test.
    Ottla,
    /// Apache Kafka 4.4.0 from its released jars.
    Kafka,
    /// Somebody else's, at this address.
    Outside(String),
}

impl Kind {
    /// As `OTTLA_INTEROP_AGAINST` says: `kafka`, an address, or the binary under test without it.
    pub fn chosen() -> Self {
        match std::env::var("OTTLA_INTEROP_AGAINST").as_deref() {
            Err(_) | Ok("" | "ottla") => Self::Ottla,
            Ok("kafka") => Self::Kafka,
            Ok(address) => Self::Outside(address.to_owned()),
        }
    }
}

/// A running broker; killed when dropped.
#[derive(Debug)]
pub struct Broker {
    kind: Kind,
    settings: Vec<String>,
    address: String,
    process: Option<Child>,
    folder: TempDir,
    /// With one properties file for both kinds: the log directories, by name.
    shared: Option<Vec<String>>,
    /// Where in its log the last start begins.
    log_start: u64,
}

impl Broker {
    /// Starts the chosen kind with Kafka `settings` (`key=value`); `{address}` in a value stands
    /// for the broker's own `HOST:PORT`.
    pub fn start(settings: &[&str]) -> anyhow::Result<Self> {
        Self::start_as(Kind::chosen(), settings)
    }

    /// Starts a broker of this kind.
    pub fn start_as(kind: Kind, settings: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("ottla-interop-").tempdir()?;
        let mut broker = Self {
            kind,
            settings: settings.iter().map(|setting| (*setting).to_owned()).collect(),
            address: String::new(),
            process: None,
            folder,
            shared: None,
            log_start: 0,
        };
        broker.spawn("127.0.0.1:0")?;
        Ok(broker)
    }

    /// Starts a broker of this kind whose directories the other kind can take over: both read the
    /// same properties file. Kafka logs what it recovers.
    pub fn movable(kind: Kind, settings: &[&str], log_dirs: usize) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("ottla-interop-").tempdir()?;
        let mut broker = Self {
            kind,
            settings: settings.iter().map(|setting| (*setting).to_owned()).collect(),
            address: String::new(),
            process: None,
            folder,
            shared: Some((0..log_dirs).map(|number| format!("data{number}")).collect()),
            log_start: 0,
        };
        let (listen, controller) = (free_address()?, free_address()?);
        broker.write_properties(&listen, &controller)?;
        broker.spawn(&listen)?;
        Ok(broker)
    }

    /// Starts the other kind, or the same, on the directories of a stopped movable broker.
    pub fn start_again_as(&mut self, kind: Kind) -> anyhow::Result<()> {
        ensure!(self.shared.is_some(), "the broker is not movable");
        self.kind = kind;
        self.start_again()
    }

    /// The log directories; an error when the broker is somebody else's.
    pub fn log_dirs(&self) -> anyhow::Result<Vec<PathBuf>> {
        match &self.shared {
            Some(names) => Ok(names.iter().map(|name| self.folder.path().join(name)).collect()),
            None => Ok(vec![self.data()?]),
        }
    }

    /// Everything it logged since it was last started.
    pub fn said(&self) -> anyhow::Result<String> {
        let text = fs::read(self.folder.path().join("broker.log"))?;
        let from = usize::try_from(self.log_start)?.min(text.len());
        Ok(String::from_utf8_lossy(text.get(from..).unwrap_or_default()).into_owned())
    }

    /// Where clients start: `HOST:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What stands behind it.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The log directory; an error when the broker is somebody else's.
    pub fn data(&self) -> anyhow::Result<PathBuf> {
        ensure!(!matches!(self.kind, Kind::Outside(_)), "the broker is somebody else's");
        let name = self.shared.as_ref().and_then(|names| names.first());
        Ok(self.folder.path().join(name.map_or("data", String::as_str)))
    }

    /// The process id.
    pub fn pid(&self) -> anyhow::Result<u32> {
        self.process.as_ref().map(Child::id).context("the broker is not ours or not running")
    }

    /// `kill -9`, and nothing more.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let mut process = self.process.take().context("the broker is not ours or not running")?;
        process.kill().context("cannot kill the broker")?;
        process.wait().context("cannot wait for the broker")?;
        Ok(())
    }

    /// Asks it to stop (SIGTERM) and waits; an error when it ends with a failure or not at all.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        let pid = self.pid()?.to_string();
        program::run(Command::new("kill").args(["-TERM", &pid]), Duration::from_secs(10))?;
        let end = Instant::now() + Duration::from_secs(60);
        let process = self.process.as_mut().context("the broker is not running")?;
        let status = loop {
            if let Some(status) = process.try_wait()? {
                break status;
            }
            ensure!(Instant::now() < end, "the broker does not stop\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        };
        self.process = None;
        let stopped_as_kafka_does = self.kind == Kind::Kafka && status.code() == Some(143);
        ensure!(status.success() || stopped_as_kafka_does, "stopped with {status}\n{}", self.log());
        Ok(())
    }

    /// Starts it again on the same data, settings and address.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        ensure!(self.process.is_none(), "the broker is still running");
        let address = self.address.clone();
        self.spawn(&address)
    }

    /// The end of what it logged.
    pub fn log(&self) -> String {
        let text = fs::read(self.folder.path().join("broker.log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.get(lines.len().saturating_sub(60)..).unwrap_or_default();
        format!("--- the broker's log ends:\n{}", last.join("\n"))
    }

    fn spawn(&mut self, listen: &str) -> anyhow::Result<()> {
        let log = fs::metadata(self.folder.path().join("broker.log"));
        self.log_start = log.map_or(0, |log| log.len());
        match self.kind.clone() {
            Kind::Ottla => self.spawn_ottla(listen),
            Kind::Kafka => self.spawn_kafka(listen),
            Kind::Outside(address) => {
                self.address = address;
                Ok(())
            }
        }
    }

    fn log_file(&self) -> anyhow::Result<fs::File> {
        let path = self.folder.path().join("broker.log");
        let file = fs::OpenOptions::new().create(true).append(true).open(path);
        file.context("cannot write the broker's log")
    }

    fn spawn_ottla(&mut self, listen: &str) -> anyhow::Result<()> {
        let mut command = Command::new(repository::binary()?);
        if self.shared.is_some() {
            command.arg("start").arg("--config").arg(self.properties());
            return self.await_ottla(command);
        }
        let named = self.settings.iter().any(|setting| setting.contains("{address}"));
        let listen = if named { fixed(listen)? } else { listen.to_owned() };
        command.arg("start").arg("--data-dir").arg(self.data()?).args(["--listen", &listen]);
        for setting in &self.settings {
            command.args(["-o", &setting.replace("{address}", &listen)]);
        }
        self.await_ottla(command)
    }

    /// Starts ottla and waits for its ready line.
    fn await_ottla(&mut self, mut command: Command) -> anyhow::Result<()> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(self.log_file()?);
        let mut child = command.spawn().context("cannot start ottla")?;
        let stdout = child.stdout.take().context("ottla has no output")?;
        let lines = program::lines(stdout);
        self.process = Some(child);
        let end = Instant::now() + READY;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = lines.recv_timeout(left);
            let line = line.map_err(|_| anyhow!("ottla is not ready\n{}", self.log()))?;
            if let Some(address) = ready_address(&line) {
                self.address = address.to_owned();
                return Ok(());
            }
        }
    }

    fn spawn_kafka(&mut self, listen: &str) -> anyhow::Result<()> {
        let broker = fixed(listen)?;
        if self.shared.is_none() {
            self.write_properties(&broker, &free_address()?)?;
        }
        let properties = self.properties();
        let first = self.log_dirs()?.into_iter().next().context("no log directory")?;
        if !first.join("meta.properties").exists() {
            let mut format = program::java(&repository::client_classes()?, "error")?;
            format.args([
                "kafka.tools.StorageTool",
                "format",
                "-t",
                CLUSTER_ID,
                "--standalone",
                "-c",
            ]);
            program::run(format.arg(&properties), READY)?;
        }
        let level = if self.shared.is_some() { "info" } else { "warn" };
        let mut kafka = program::java(&repository::client_classes()?, level)?;
        // It unpacks libraries, and one that is killed does not remove them.
        kafka.arg(format!("-Djava.io.tmpdir={}", self.folder.path().display()));
        kafka.arg("kafka.Kafka").arg(&properties).stdin(Stdio::null());
        kafka.stdout(self.log_file()?).stderr(self.log_file()?);
        self.process = Some(kafka.spawn().context("cannot start Kafka")?);
        self.address = broker;
        self.wait_for_port()
    }

    fn properties(&self) -> PathBuf {
        self.folder.path().join("server.properties")
    }

    fn write_properties(&self, broker: &str, controller: &str) -> anyhow::Result<()> {
        let mut text = kafka_properties(broker, controller, &self.log_dirs()?);
        // Tests do not wait for members that might come.
        text.push_str("group.initial.rebalance.delay.ms=0\n");
        for setting in &self.settings {
            text.push_str(&setting.replace("{address}", broker));
            text.push('\n');
        }
        fs::write(self.properties(), text).context("cannot write the properties")
    }

    fn wait_for_port(&mut self) -> anyhow::Result<()> {
        let address: SocketAddr = self.address.parse().context("no address")?;
        let end = Instant::now() + READY;
        while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
            let ended = self.process.as_mut().and_then(|child| child.try_wait().ok().flatten());
            if let Some(status) = ended {
                bail!("the broker ended with {status}\n{}", self.log());
            }
            ensure!(Instant::now() < end, "the broker is not ready\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}

/// The first address of the ready line: `ottla ready on HOST:PORT…`.
fn ready_address(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("ottla ready on ")?;
    rest.split([' ', ',']).next()
}

/// The address with a free port in place of port 0.
fn fixed(listen: &str) -> anyhow::Result<String> {
    if listen.ends_with(":0") { free_address() } else { Ok(listen.to_owned()) }
}

/// An address that nobody listens on at the moment.
fn free_address() -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port")?;
    Ok(listener.local_addr().context("no free port")?.to_string())
}

/// The properties of a node of its own for Apache Kafka: what it needs, the rest is its defaults.
#[must_use]
pub fn kafka_properties(broker: &str, controller: &str, log_dirs: &[PathBuf]) -> String {
    let log_dirs: Vec<String> = log_dirs.iter().map(|dir| dir.display().to_string()).collect();
    format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.bootstrap.servers={controller}\n\
         listeners=PLAINTEXT://{broker},CONTROLLER://{controller}\n\
         advertised.listeners=PLAINTEXT://{broker},CONTROLLER://{controller}\n\
         controller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
         log.dirs={}\n\
         offsets.topic.replication.factor=1\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         share.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\n",
        log_dirs.join(",")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_gives_the_first_address() {
        let line = "ottla ready on 127.0.0.1:40001, [::1]:40002 (data in ./x, node 1)";
        assert_eq!(ready_address(line), Some("127.0.0.1:40001"));
        assert_eq!(ready_address("ottla ready on 127.0.0.1:9 (data in x)"), Some("127.0.0.1:9"));
        assert_eq!(ready_address("warning: something"), None);
    }
}
