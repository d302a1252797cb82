//! A broker that is measured: either kind as its user would run it, in a folder on a real disk,
//! bound to one core if wanted. Knows the command lines; must not know what is measured.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use ottla_interop::broker::kafka_properties;
use ottla_interop::{program, repository};

use crate::process;
use crate::scenario::{Cell, Subject};

/// What Kafka's own start script gives the virtual machine.
const KAFKA_FLAGS: &[&str] = &[
    "-Xmx1G",
    "-Xms1G",
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-XX:MaxInlineLevel=15",
    "-Djava.awt.headless=true",
];
const CLUSTER_ID: &str = "4L6g3nShT-eMCtK--X86sw";
/// All that there are, as taskset takes them.
const CORES: &str = "/sys/devices/system/cpu/online";
const READY_LIMIT: Duration = Duration::from_secs(120);
const STOP_LIMIT: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(1);

/// The programs that stand for the subjects.
#[derive(Clone, Debug)]
pub(crate) struct Builds {
    pub(crate) ottla: PathBuf,
    /// The build that is compared with.
    pub(crate) before: Option<PathBuf>,
}

/// A broker with its folder; killed and removed when dropped.
#[derive(Debug)]
pub(crate) struct Broker {
    subject: Subject,
    binary: PathBuf,
    settings: Vec<String>,
    /// For Kafka's virtual machine, after those of its start script.
    java_flags: &'static [&'static str],
    address: String,
    process: Option<Child>,
    folder: PathBuf,
}

impl Broker {
    /// Makes an empty directory ready below `data`; starts nothing. Kafka's is formatted, which
    /// Ottla does by itself, or copied from `kept`.
    pub(crate) fn prepare(
        builds: &Builds,
        data: &Path,
        cell: &Cell,
        more: &[&str],
        kept: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let binary = match cell.subject {
            Subject::Ottla => builds.ottla.clone(),
            Subject::OttlaBefore => builds.before.clone().context("no build to compare with")?,
            Subject::Kafka => repository::installed("java")?,
            Subject::Limit => bail!("a limit is no broker"),
        };
        let address = free_address()?;
        let port = address.rsplit(':').next().unwrap_or_default();
        let folder = data.join(format!("{}-{port}", std::process::id()));
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let settings = cell.settings.iter().chain(more).map(|each| (*each).to_owned()).collect();
        let subject = cell.subject;
        let java_flags: &[&str] = &[];
        let process = None;
        let broker = Self { subject, binary, settings, java_flags, address, process, folder };
        if subject == Subject::Kafka {
            broker.format_kafka(kept)?;
        }
        Ok(broker)
    }

    /// More flags for Kafka's virtual machine; the last of two that say the same counts.
    pub(crate) fn java_flags(&mut self, flags: &'static [&'static str]) {
        self.java_flags = flags;
    }

    /// Starts the process, bound to `core` or on all cores, and does not wait.
    pub(crate) fn launch(&mut self, core: Option<u32>) -> anyhow::Result<()> {
        ensure!(self.process.is_none(), "the broker is running");
        // Said in either case: this process is bound to a core, and what it starts inherits that.
        let cores = match core {
            Some(core) => core.to_string(),
            None => fs::read_to_string(CORES).with_context(|| CORES)?.trim().to_owned(),
        };
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &cores]).arg(&self.binary);
        if self.subject == Subject::Kafka {
            let jars = repository::fetched("java/libs")?.join("*");
            command.args(KAFKA_FLAGS).args(self.java_flags);
            command.arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn");
            // It unpacks libraries, and one that is killed does not remove them.
            command.arg(format!("-Djava.io.tmpdir={}", self.folder.display()));
            command.arg("-cp").arg(jars).arg("kafka.Kafka").arg(self.properties());
        } else {
            command.arg("start").arg("--data-dir").arg(self.data());
            command.args(["--listen", &self.address]);
            for setting in &self.settings {
                command.args(["-o", setting]);
            }
        }
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_path())?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.process = Some(command.spawn().context("cannot start the broker")?);
        Ok(())
    }

    /// Waits until its port is open.
    pub(crate) fn await_port(&mut self) -> anyhow::Result<()> {
        let end = Instant::now() + READY_LIMIT;
        while TcpStream::connect(&self.address).is_err() {
            if let Some(status) = self.ended()? {
                bail!("the broker ended with {status}\n{}", self.log());
            }
            ensure!(Instant::now() < end, "the broker is not ready\n{}", self.log());
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Where clients start: `HOST:PORT`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn pid(&self) -> anyhow::Result<u32> {
        self.process.as_ref().map(Child::id).context("the broker is not running")
    }

    /// Its log directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// CPU seconds, user and system, that it has used.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        process::cpu_seconds(self.pid()?)
    }

    pub(crate) fn resident_mib(&self) -> anyhow::Result<f64> {
        Ok(process::resident_kib(self.pid()?)? as f64 / 1024.0)
    }

    /// `kill -9`, and nothing more.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        let mut process = self.process.take().context("the broker is not running")?;
        process.kill().context("cannot kill the broker")?;
        process.wait().context("cannot wait for the broker")?;
        Ok(())
    }

    /// Asks it to stop and waits; gives how long that took. An error when it ends with a failure.
    pub(crate) fn stop(&mut self) -> anyhow::Result<Duration> {
        let pid = self.pid()?.to_string();
        let begun = Instant::now();
        program::run(Command::new("kill").args(["-TERM", &pid]), Duration::from_secs(10))?;
        let status = loop {
            if let Some(status) = self.ended()? {
                break status;
            }
            ensure!(begun.elapsed() < STOP_LIMIT, "the broker does not stop\n{}", self.log());
            thread::sleep(PAUSE);
        };
        let took = begun.elapsed();
        self.process = None;
        // A virtual machine that was asked to stop says so with its status.
        let as_asked = self.subject == Subject::Kafka && status.code() == Some(143);
        ensure!(status.success() || as_asked, "stopped with {status}\n{}", self.log());
        Ok(took)
    }

    /// The end of what it logged.
    pub(crate) fn log(&self) -> String {
        let text = fs::read(self.log_path()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.get(lines.len().saturating_sub(40)..).unwrap_or_default();
        format!("--- the broker's log ends:\n{}", last.join("\n"))
    }

    fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        let process = self.process.as_mut().context("the broker is not running")?;
        process.try_wait().context("cannot ask for the broker")
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join("broker.log")
    }

    fn properties(&self) -> PathBuf {
        self.folder.join("server.properties")
    }

    /// Formats the log directory, or copies one that was formatted before into `kept`, with another
    /// controller's address in it: quicker, and nothing to measure a start with.
    fn format_kafka(&self, kept: Option<&Path>) -> anyhow::Result<()> {
        let controller = free_address()?;
        let write = |to: &Path, log_dir: &Path| {
            let log_dirs = [log_dir.to_owned()];
            let mut text = kafka_properties(&self.address, &controller, &log_dirs);
            for setting in &self.settings {
                text.push_str(setting);
                text.push('\n');
            }
            fs::write(to, text).context("cannot write the properties")
        };
        let format = |properties: &Path| {
            let jars = repository::fetched("java/libs")?.join("*");
            let mut format = program::java(&jars.display().to_string(), "error")?;
            format.args(["kafka.tools.StorageTool", "format", "--standalone"]);
            format.args(["-t", CLUSTER_ID, "-c"]).arg(properties);
            program::run(&mut format, READY_LIMIT)
        };
        write(&self.properties(), &self.data())?;
        let Some(kept) = kept else {
            return format(&self.properties()).map(|_| ());
        };
        if !kept.join("meta.properties").exists() {
            fs::create_dir_all(kept)?;
            let properties = self.folder.join("format.properties");
            write(&properties, kept)?;
            format(&properties)?;
        }
        copy(kept, &self.data())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// An address that nobody listens on at the moment.
fn free_address() -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port")?;
    Ok(listener.local_addr().context("no free port")?.to_string())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
