//! A disk that is full: an ext4 of a few MiB is filled under load. Producers are refused at once,
//! everything else goes on, also after a restart; when space is back, so are the producers. Must
//! not know what a record looks like.

use std::time::{Duration, Instant};

use super::cluster::{Cluster, Ground};
use super::{Episode, settings};
use crate::history::{Policy, Rule};
use crate::load;
use crate::mounted::{Habit, Mounted};
use crate::node::Node;
use crate::payload::Shape;
use crate::report::Tally;
use crate::scene::{FULL, Scene};
use crate::seeded::Seeded;
use crate::wire::Client;

/// Bytes of the file system.
const DISK_BYTES: u64 = 16 << 20;
/// How long filling, and coming back, may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest time that a refusal may take: it is to be at once.
const AT_ONCE: Duration = Duration::from_secs(3);
/// Watermarks that are tried: none, so that writes fail, and two that prevent it.
const WATERMARKS: [u64; 3] = [0, 200_000, 1_500_000];

/// Runs one episode: one cycle on a file system of its own.
pub(super) fn run(episode: Episode<'_>, tally: &mut Tally) -> anyhow::Result<()> {
    let mut seeded = episode.seeded.part(1);
    let disk = Mounted::create(episode.place, DISK_BYTES, Habit::Usual)?;
    let root = disk.folder().to_owned();
    let data = vec![root.join("data")];
    let ground = Ground { data, root, disk: Some(disk), name: "16 MiB" };
    let watermark = seeded.one_of(&WATERMARKS).copied().unwrap_or(0);
    let mut settings = settings();
    settings.push(format!("log.dir.free.refuse.bytes={watermark}"));
    settings.push("log.dir.free.warn.bytes=4000000".to_owned());
    settings.push("metadata.log.reserve.bytes=300000".to_owned());
    let cluster = Cluster::create(episode, ground, Policy::Loose, settings)?;
    Tally::count(&mut tally.grounds, format!("refused below {watermark} free bytes"));
    cluster.cycles(1, tally, |cluster, _, tally| cycle(cluster, &mut seeded, tally))
}

fn cycle(cluster: &mut Cluster<'_>, seeded: &mut Seeded, tally: &mut Tally) -> anyhow::Result<()> {
    cluster.scene.begin();
    let Some(node) = cluster.start(tally)? else { return Ok(()) };
    cluster.verify(&node, seeded, tally)?;
    cluster.scene.may_be_full(true);
    let address = node.address().to_owned();
    let scene = &cluster.scene;
    // All clients, and one that fills the disk.
    let filled = cluster.load.run(scene, &address, || fill(scene, &address))?;
    if !filled {
        let what = format!("the disk is not full after {PATIENCE:?}, or nobody says so");
        cluster.scene.world().wrong(Rule::Refused, what);
        return Ok(());
    }
    cluster.load.forget();
    look(cluster, &node, seeded, tally)?;
    let Some(node) = restart(cluster, node, seeded, tally)? else { return Ok(()) };
    look(cluster, &node, seeded, tally)?;
    come_back(cluster, &node, seeded, tally)?;
    cluster.scene.may_be_full(false);
    let status = node.stop()?;
    if !status.success() {
        let what = format!("asked to stop, it ended with {status}");
        cluster.scene.world().wrong(Rule::Ended, what);
    }
    cluster.scene.world().stopped_cleanly();
    Ok(())
}

/// Appends until the disk is full, and stops the load a little later; whether it was filled.
fn fill(scene: &Scene, address: &str) -> anyhow::Result<bool> {
    let mut client = Client::open(address)?;
    let end = Instant::now() + PATIENCE;
    let mut refused = 0;
    while refused < 20 && Instant::now() < end {
        for index in 0..3 {
            match load::append(scene, &mut client, "whole", index, &[Shape::Large; 3])? {
                0 => {}
                FULL => refused += 1,
                code => scene.refused("a batch that fills the disk", "whole", index, code),
            }
        }
    }
    scene.stop();
    Ok(refused > 0)
}

/// What goes on while the disk is full: producers hear of it at once, everything is there, records
/// and topics are read, settings are changed.
fn look(
    cluster: &mut Cluster<'_>,
    node: &Node,
    seeded: &mut Seeded,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    // Also waits until all partitions are ready after a start.
    if let Err(error) = cluster.verify(node, seeded, tally) {
        cluster.scene.failed("reading back from a full disk", &error);
        return Ok(());
    }
    let scene = &cluster.scene;
    let mut client = Client::open(node.address())?;
    let lasting = scene.world().lasting();
    let mut refused = 0;
    for (topic, index) in &lasting {
        let asked = Instant::now();
        let code = load::append(scene, &mut client, topic, *index, &[Shape::Large])?;
        if asked.elapsed() > AT_ONCE {
            let what = format!("{topic}-{index}: error {code} after {:?}", asked.elapsed());
            scene.world().wrong(Rule::Hung, what);
        }
        match code {
            // Some space may be left, or come back by retention.
            0 => {}
            FULL => refused += 1,
            code => scene.refused("a batch to a full disk", topic, *index, code),
        }
    }
    Tally::count(&mut tally.done, if refused > 0 { "looked while full" } else { "looked" });
    load::set(scene, &mut client, seeded)?;
    drop(client);
    if let Err(error) = cluster.verify(node, seeded, tally) {
        cluster.scene.failed("reading back from a full disk", &error);
    }
    Ok(())
}

/// Stops or kills the broker, and starts it again on the full disk.
fn restart(
    cluster: &mut Cluster<'_>,
    node: Node,
    seeded: &mut Seeded,
    tally: &mut Tally,
) -> anyhow::Result<Option<Node>> {
    if seeded.once_in(2) {
        node.kill()?;
        Tally::count(&mut tally.done, "killed while full");
    } else {
        let status = node.stop()?;
        if !status.success() {
            let what = format!("asked to stop on a full disk, it ended with {status}");
            cluster.scene.world().wrong(Rule::Ended, what);
        }
        Tally::count(&mut tally.done, "stopped while full");
    }
    cluster.scene.begin();
    cluster.start(tally)
}

/// Makes space by deleting records, and waits until all producers are back.
fn come_back(
    cluster: &mut Cluster<'_>,
    node: &Node,
    seeded: &mut Seeded,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let scene = &cluster.scene;
    let mut client = Client::open(node.address())?;
    for index in 0..3 {
        let end = scene.world().partition("whole", index).map_or(0, |p| p.history.end());
        load::delete_to(scene, &mut client, "whole", index, end)?;
    }
    let lasting = scene.world().lasting();
    let end = Instant::now() + PATIENCE;
    for (topic, index) in &lasting {
        loop {
            let code = load::append(scene, &mut client, topic, *index, &[Shape::Middle])?;
            if code == 0 {
                break;
            }
            if code != FULL || Instant::now() >= end {
                let what = format!("{topic}-{index}: error {code} although there is space");
                scene.world().wrong(Rule::Refused, what);
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    let exists = scene.world().topics.get("comes-a").is_some_and(|t| t.life.last().is_some());
    if !exists {
        load::create(scene, &mut client, "comes-a")?;
    }
    load::delete(scene, &mut client, "comes-a")?;
    Tally::count(&mut tally.done, "came back");
    drop(client);
    if let Err(error) = cluster.verify(node, seeded, tally) {
        cluster.scene.failed("reading back after space came back", &error);
    }
    Ok(())
}
