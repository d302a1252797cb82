//! Power cuts and kills: start, verify, load, strike, and again, on one cluster. Must not know how
//! a strike is carried out, nor what a record looks like.

use std::time::{Duration, Instant};

use super::cluster::{Cluster, Ground};
use super::plan::{End, Plan};
use super::{Episode, Mode, settings};
use crate::history::{Policy, Rule};
use crate::mounted::{Habit, Mounted};
use crate::node::Node;
use crate::report::{Tally, point};
use crate::scene::Scene;
use crate::seeded::Seeded;

/// Cycles on one cluster.
const CYCLES: u64 = 30;
/// How long a load runs at most.
const LOAD_MAX: Duration = Duration::from_millis(500);
/// Bytes of a file system; the image is sparse.
const DISK_BYTES: u64 = 192 << 20;

/// Log directories beside the first.
const MORE: [&str; 2] = ["data-b", "data-c"];

/// Runs one episode.
pub(super) fn run(episode: Episode<'_>, tally: &mut Tally) -> anyhow::Result<()> {
    create(episode)?.cycles(CYCLES, tally, cycle)
}

fn create(episode: Episode<'_>) -> anyhow::Result<Cluster<'_>> {
    let mut seeded = episode.seeded.part(1);
    let power = episode.order.mode == Mode::Power;
    let mut ground = if power {
        let habit = seeded.one_of(&Habit::ALL).copied().unwrap_or(Habit::Usual);
        let disk = Mounted::create(episode.place, DISK_BYTES, habit)?;
        let root = disk.folder().to_owned();
        Ground { data: vec![root.join("data")], root, disk: Some(disk), name: habit.name() }
    } else {
        Ground::plain(&episode, &["data"])?
    };
    // In half of the clusters partitions move between two or three log directories.
    let moves = seeded.once_in(2);
    if moves {
        let more = usize::try_from(seeded.between(1, 2))?;
        ground.data.extend(MORE.iter().take(more).map(|name| ground.root.join(name)));
    }
    let mut settings = settings();
    if episode.order.lie {
        settings.push("flush.mode=os".to_owned());
    }
    // Otherwise nothing here has as many files in a commit.
    if power && seeded.once_in(2) {
        settings.push("log.flush.file.system.min.files=2".to_owned());
    }
    let trusted = if power { Policy::Loose } else { Policy::Whole };
    let cluster = Cluster::create(episode, ground, trusted, settings)?;
    if power {
        cluster.scene.power();
    }
    if moves {
        cluster.scene.let_move();
    }
    Ok(cluster)
}

/// Start, verify, load, strike.
fn cycle(cluster: &mut Cluster<'_>, seeded: &mut Seeded, tally: &mut Tally) -> anyhow::Result<()> {
    let moves = cluster.scene.moves();
    let plan = Plan::draw(seeded, cluster.disk.is_some(), moves);
    Tally::count(&mut tally.grounds, cluster.ground);
    if moves {
        Tally::count(&mut tally.grounds, "with moves");
    }
    cluster.scene.begin();
    if plan.from_start {
        cluster.scene.control.arm(&plan.fault)?;
    } else {
        cluster.scene.control.disarm()?;
    }
    if let Some(node) = cluster.start(tally)? {
        match cluster.verify(&node, seeded, tally) {
            Ok(()) => strike(cluster, node, &plan, seeded, tally)?,
            Err(error) => {
                cluster.scene.failed("reading back", &error);
                Tally::count(&mut tally.done, "struck while reading back");
                node.kill()?;
            }
        }
    }
    if cluster.scene.has_fired() {
        Tally::count(&mut tally.points, point(&cluster.scene.control.what()?));
    }
    if let Some(disk) = &mut cluster.disk {
        disk.unmount()?;
        disk.mount()?;
    }
    Ok(())
}

/// Loads the broker until it is struck or stopped.
fn strike(
    cluster: &mut Cluster<'_>,
    node: Node,
    plan: &Plan,
    seeded: &mut Seeded,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    if !plan.from_start {
        cluster.scene.control.arm(&plan.fault)?;
    }
    let address = node.address().to_owned();
    let (scene, power) = (&cluster.scene, cluster.disk.is_some());
    let done = cluster.load.run(scene, &address, || nemesis(scene, node, plan, seeded, power))?;
    Tally::count(&mut tally.done, done);
    Ok(())
}

/// Waits for the counted call, or ends the cycle as planned; what was done.
fn nemesis(
    scene: &Scene,
    mut node: Node,
    plan: &Plan,
    seeded: &mut Seeded,
    power: bool,
) -> anyhow::Result<&'static str> {
    let fired_before = scene.control.times_fired()?;
    let wanted = scene.world().acked + plan.records;
    let end = Instant::now() + LOAD_MAX;
    while Instant::now() < end && !scene.has_fired() && scene.world().acked <= wanted {
        if let Some(status) = node.ended_within(Duration::from_micros(300))? {
            if !scene.has_fired() {
                scene.world().wrong(Rule::Ended, format!("it ended by itself with {status}"));
                scene.strike();
            }
            break;
        }
    }
    if scene.has_fired() {
        std::thread::sleep(plan.linger);
        node.kill()?;
        return Ok("struck at a call");
    }
    match plan.end {
        End::Struck if power => {
            node.order_cut()?;
            std::thread::sleep(plan.linger.min(Duration::from_millis(1)));
            scene.strike();
            node.kill()?;
            Ok("struck from outside")
        }
        End::Struck => {
            scene.strike();
            node.kill()?;
            Ok("struck from outside")
        }
        End::StruckStopping | End::Stopped => stop(scene, node, plan, seeded, fired_before),
    }
}

/// Asks the broker to stop; strikes it meanwhile if that is the plan. `fired_before` says how often
/// anything had happened before the load.
fn stop(
    scene: &Scene,
    node: Node,
    plan: &Plan,
    seeded: &mut Seeded,
    fired_before: u32,
) -> anyhow::Result<&'static str> {
    scene.strike();
    if plan.end == End::StruckStopping {
        scene.control.arm(&plan.while_stopping(seeded))?;
    } else {
        scene.control.disarm()?;
    }
    let status = node.stop()?;
    // Also at the call that was ordered before, while that order was taken back.
    if scene.control.times_fired()? > fired_before {
        return Ok("struck while stopping");
    }
    if !status.success() {
        scene.world().wrong(Rule::Ended, format!("asked to stop, it ended with {status}"));
    }
    scene.world().stopped_cleanly();
    Ok("stopped while busy")
}
