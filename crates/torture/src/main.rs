//! The command line of the torture. Must not know how a broker is tortured.
#![expect(clippy::print_stdout, reason = "a command line tool reports on stdout")]

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use clap::{Parser, ValueEnum};
use ottla_interop::repository;
use ottla_torture::place::Place;
use ottla_torture::report::Report;
use ottla_torture::runs::{self, Mode, Order};
use rustix::mount::MountFlags;

/// Set in the process that runs in a mount namespace of its own.
const INSIDE: &str = "OTTLA_TORTURE_INSIDE";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Cut the power of the file system below the broker; needs root.
    Power,
    /// Kill the broker.
    Kill,
    /// Let the disk fail.
    Fsync,
    /// Let the disk be full; needs root.
    Full,
    /// A short run of each, and of a broker that lies; needs root.
    Short,
}

#[derive(Parser)]
#[command(name = "cargo xtask torture", about = "Torture of the real binary")]
struct Options {
    /// What to do to the broker.
    #[arg(value_enum, default_value = "short")]
    kind: Kind,
    /// End after so many cycles.
    #[arg(long, default_value_t = u64::MAX)]
    cycles: u64,
    /// End after so many minutes.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Decides what is drawn; another one each time when it is not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Brokers at a time.
    #[arg(long, default_value_t = 2)]
    jobs: u64,
    /// Let the broker answer before the data is safe (`flush.mode=os`); it must be found out.
    #[arg(long)]
    lie: bool,
    /// Write the reports as JSON to this file, too.
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<bool> {
    let options = Options::parse();
    let mounts = modes(options.kind).iter().any(|mode| mode.mounts());
    if mounts && std::env::var_os(INSIDE).is_none() {
        return Err(go_inside());
    }
    let target = repository::root().join("target/torture");
    let temporary;
    let place = if mounts {
        own_memory(&target)?
    } else {
        temporary = Place::create()?;
        temporary.path().to_owned()
    };
    let seed = options.seed.unwrap_or_else(seed_of_now);
    let binary = own_binary(&place)?;
    let interrupted = on_interrupt()?;
    let order = Order {
        mode: Mode::Kill,
        cycles: options.cycles,
        limit: Duration::from_secs_f64(options.minutes.max(0.0) * 60.0),
        seed,
        jobs: options.jobs.max(1),
        binary,
        place,
        keep: target.join("kept"),
        lie: options.lie,
        interrupted,
    };
    let mut reports = Vec::new();
    for order in orders(&options, &order) {
        std::fs::create_dir_all(&order.place).context("cannot make a folder")?;
        let report = runs::run(&order)?;
        println!("{}", report.text());
        reports.push(report);
        if order.interrupted.load(Ordering::SeqCst) {
            break;
        }
    }
    if let Some(path) = &options.json {
        let all: Vec<_> = reports.iter().map(Report::json).collect();
        let text = serde_json::to_string_pretty(&all).context("cannot write the reports")?;
        std::fs::write(path, text + "\n").context("cannot write the reports")?;
    }
    Ok(reports.iter().all(Report::is_good))
}

fn modes(kind: Kind) -> &'static [Mode] {
    match kind {
        Kind::Power => &[Mode::Power],
        Kind::Kill => &[Mode::Kill],
        Kind::Fsync => &[Mode::Fsync],
        Kind::Full => &[Mode::Full],
        Kind::Short => &Mode::ALL,
    }
}

/// The runs that were asked for.
fn orders(options: &Options, order: &Order) -> Vec<Order> {
    let with = |mode: Mode, cycles: u64, lie: bool| Order {
        mode,
        cycles: cycles.min(order.cycles),
        lie,
        place: order.place.join(format!("{}{}", mode.name(), if lie { "-lie" } else { "" })),
        ..order.clone()
    };
    if options.kind != Kind::Short {
        let all = modes(options.kind).iter();
        return all.map(|mode| with(*mode, order.cycles, options.lie)).collect();
    }
    vec![
        with(Mode::Power, 120, false),
        with(Mode::Kill, 120, false),
        with(Mode::Fsync, 8, false),
        with(Mode::Full, 4, false),
        with(Mode::Power, 40, true),
    ]
}

/// Starts this program again in a mount namespace of its own; what it mounts goes with it.
fn go_inside() -> anyhow::Error {
    if !rustix::process::geteuid().is_root() {
        return anyhow::anyhow!(
            "power cuts and full disks need file systems of their own, and mounting them needs \
             root: run this as root, or run `kill` and `fsync`, which need none"
        );
    }
    let Ok(own) = std::env::current_exe() else {
        return anyhow::anyhow!("cannot find this program's own file");
    };
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "--"]).arg(own);
    command.args(std::env::args_os().skip(1)).env(INSIDE, "1");
    anyhow::Error::from(command.exec()).context("cannot run unshare")
}

/// A file system in memory that only this process and its children see, and that goes with them.
fn own_memory(target: &Path) -> anyhow::Result<PathBuf> {
    let place = target.join("place");
    std::fs::create_dir_all(&place).context("cannot make a mount point")?;
    rustix::mount::mount("none", &place, "tmpfs", MountFlags::empty(), c"size=6g,mode=700")
        .context(
            "cannot mount a file system in memory; is this root without the right to mount?",
        )?;
    Ok(place)
}

/// A copy of the binary: it may be built again while the run goes on.
fn own_binary(place: &Path) -> anyhow::Result<PathBuf> {
    let (from, to) = (repository::binary()?, place.join("ottla"));
    std::fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(to)
}

fn seed_of_now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(0) % 1_000_000_000
}

/// A flag that the first SIGINT or SIGTERM sets; the second ends the process at once.
fn on_interrupt() -> anyhow::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&flag);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot wait for signals")?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let both = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
            let (Ok(mut interrupt), Ok(mut terminate)) = both else { return };
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if set.swap(true, Ordering::SeqCst) {
                    std::process::exit(130);
                }
                eprintln!("ending after this cycle; again to end at once");
            }
        });
    });

    Ok(flag)
}
