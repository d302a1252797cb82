//! A disk that fails: a counted sync, write or other call of one of two log directories gives an
//! error. That directory's partitions go offline and nothing more is acknowledged there; the others
//! go on; a restart finds everything. Must not know what a record looks like.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::cluster::{Cluster, Ground};
use super::{Episode, settings};
use crate::faults::{Action, Fault, Op, When};
use crate::history::{Policy, Rule};
use crate::load;
use crate::node::Node;
use crate::payload::Shape;
use crate::report::{Tally, point};
use crate::scene::{OFFLINE, Scene};
use crate::seeded::Seeded;
use crate::wire::Client;

/// Cycles on one cluster.
const CYCLES: u64 = 8;
/// How long a failed directory may take to be offline.
const PATIENCE: Duration = Duration::from_secs(10);
const EIO: u32 = 5;
/// The directories; the first has the metadata log.
const DIRS: [&str; 2] = ["dir-a", "dir-b"];

/// What fails in a cycle.
struct Failure {
    fault: Fault,
    /// The directory of the metadata log: the broker has to end.
    is_fatal: bool,
    /// A write or a sync of a log itself.
    is_log: bool,
    /// Made by the committer: no request that is sent later may be granted.
    is_commit: bool,
    /// Takes the whole directory with it, not only a partition that is being made.
    is_final: bool,
}

/// Runs one episode.
pub(super) fn run(episode: Episode<'_>, tally: &mut Tally) -> anyhow::Result<()> {
    let ground = Ground::plain(&episode, &DIRS)?;
    Cluster::create(episode, ground, Policy::Whole, settings())?.cycles(CYCLES, tally, cycle)
}

fn cycle(cluster: &mut Cluster<'_>, seeded: &mut Seeded, tally: &mut Tally) -> anyhow::Result<()> {
    cluster.scene.begin();
    cluster.scene.failing().clear();
    cluster.scene.control.disarm()?;
    let Some(node) = cluster.start(tally)? else { return Ok(()) };
    if let Err(error) = cluster.verify(&node, seeded, tally) {
        cluster.scene.failed("reading back", &error);
        return Ok(());
    }
    let failure = draw(seeded);
    Tally::count(&mut tally.grounds, format!("{} fails", failure.fault.path.trim_matches('/')));
    let failing = lying_in(&node, &failure)?;
    *cluster.scene.failing() = failing;
    cluster.scene.judge_late(failure.is_commit);
    if failure.is_fatal {
        cluster.scene.strike();
    }
    cluster.scene.control.arm(&failure.fault)?;
    let address = node.address().to_owned();
    let scene = &cluster.scene;
    let linger = Duration::from_millis(seeded.between(5, 60));
    let done = cluster.load.run(scene, &address, || nemesis(scene, node, &failure, linger))?;
    Tally::count(&mut tally.done, done);
    if cluster.scene.has_fired() {
        Tally::count(&mut tally.points, point(&cluster.scene.control.what()?));
    }
    // What was sent there last may be stored or not: a new producer begins.
    cluster.load.forget();
    Ok(())
}

fn draw(seeded: &mut Seeded) -> Failure {
    let is_fatal = seeded.once_in(5);
    let path = match (is_fatal, DIRS) {
        (true, _) => "/__cluster_metadata-0/".to_owned(),
        (false, [_, other]) => format!("/{other}/"),
    };
    let (ops, ending, nth) = match seeded.below(8) {
        0..=3 => (vec![Op::Sync], ".log", seeded.between(1, 40)),
        4 | 5 => (vec![Op::Write], ".log", seeded.between(1, 40)),
        6 => (vec![Op::SyncDir, Op::Rename, Op::SyncFs], "", seeded.between(1, 4)),
        _ => (vec![Op::Create], "", seeded.between(1, 4)),
    };
    let is_log = ending == ".log";
    let is_commit = is_log && !is_fatal;
    let is_final = !ops.contains(&Op::Create);
    let action = Action::Fail { errno: EIO, sticky: false };
    let ending = ending.to_owned();
    let fault = Fault { action, when: When::Before, ops, path, ending, nth };
    Failure { fault, is_fatal, is_log, is_commit, is_final }
}

/// The partitions that a failure takes with it, and those that come and go: they may lie anywhere.
fn lying_in(node: &Node, failure: &Failure) -> anyhow::Result<BTreeSet<(String, i32)>> {
    let mut client = Client::open(node.address())?;
    let mut failing = BTreeSet::new();
    for (code, dir, partitions) in client.log_dirs()? {
        anyhow::ensure!(code == 0, "{dir} is offline before anything failed: error {code}");
        let [_, other] = DIRS;
        if failure.is_fatal || dir.ends_with(other) {
            failing.extend(partitions);
        }
    }
    for (name, count) in [("comes-a", 1), ("comes-b", 2), ("__consumer_offsets", 2)] {
        failing.extend((0..count).map(|index| (name.to_owned(), index)));
    }
    Ok(failing)
}

/// Waits for the failure, looks at what follows, and kills the broker; what was done.
fn nemesis(
    scene: &Scene,
    mut node: Node,
    failure: &Failure,
    linger: Duration,
) -> anyhow::Result<&'static str> {
    let end = Instant::now() + Duration::from_millis(400);
    while Instant::now() < end && !scene.has_fired() {
        if node.ended_within(Duration::from_micros(500))?.is_some() {
            break;
        }
    }
    if !scene.has_fired() {
        scene.strike();
        node.kill()?;
        return Ok("killed, as nothing failed in time");
    }
    if failure.is_fatal {
        let patience = if failure.is_log { PATIENCE } else { linger };
        let ended = node.ended_within(patience)?;
        scene.stop();
        // A snapshot that cannot be written is no end: the log has it all.
        if ended.is_none() && failure.is_log {
            let what = "the metadata log failed, and the broker goes on".to_owned();
            scene.world().wrong(Rule::AfterFailure, what);
        }
        node.kill()?;
        return Ok(if failure.is_log {
            "the metadata log failed"
        } else {
            "a file beside the metadata log failed"
        });
    }
    std::thread::sleep(linger);
    scene.stop();
    let result = look(scene, &node, failure);
    if let Err(error) = result {
        scene.failed("looking at what is left", &error);
    }
    scene.strike();
    node.kill()?;
    Ok("a log directory failed")
}

/// The failed directory's partitions are offline, the others are not.
fn look(scene: &Scene, node: &Node, failure: &Failure) -> anyhow::Result<()> {
    let mut client = Client::open(node.address())?;
    let lasting = scene.world().lasting();
    for (topic, index) in lasting {
        let is_failing = scene.failing().contains(&(topic.clone(), index));
        let end = Instant::now() + PATIENCE;
        let code = loop {
            let code = load::append(scene, &mut client, &topic, index, &[Shape::Small])?;
            let settled = is_failing == OFFLINE.contains(&code) || !failure.is_final;
            if settled || Instant::now() >= end {
                break code;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        let what = format!("a probe of {topic}-{index} gives error {code}");
        match (is_failing, code) {
            // A partition that could not be made need not take its directory with it.
            (true, 0) if !failure.is_final => {}
            (true, 0) => scene.world().wrong(Rule::AfterFailure, what),
            (true, code) if OFFLINE.contains(&code) => {}
            (true, _) => scene.world().wrong(Rule::Refused, what),
            (false, 0) => {}
            (false, _) => scene.world().wrong(Rule::Refused, what),
        }
    }
    Ok(())
}
