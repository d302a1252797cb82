//! Power cuts and kills: start, verify, load, strike, and again, on one cluster. Must not know how
//! a strike is carried out, nor what a record looks like.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::plan::{End, Plan};
use super::{Episode, Mode, evidence, now_ms, settings, topics};
use crate::faults::Control;
use crate::history::{Policy, Rule};
use crate::load::{self, Load};
use crate::mounted::{Habit, Mounted};
use crate::node::{Node, Recipe, Started, copy_folder};
use crate::readback;
use crate::report::{Tally, point};
use crate::scene::Scene;
use crate::seeded::Seeded;
use crate::wire::Client;
use crate::world::World;

/// Cycles on one cluster.
const CYCLES: u64 = 30;
/// Bytes of a file system; the image is sparse.
const DISK_BYTES: u64 = 192 << 20;

/// One cluster and those who torture it.
struct Cluster<'a> {
    episode: Episode<'a>,
    scene: Scene,
    load: Load,
    recipe: Recipe,
    disk: Option<Mounted>,
    ground: &'static str,
    /// The data as it was before the last start.
    before: PathBuf,
}

/// Runs one episode.
pub(super) fn run(episode: Episode<'_>, tally: &mut Tally) -> anyhow::Result<()> {
    let mut cluster = Cluster::create(episode)?;
    let count = cluster.episode.left.min(CYCLES);
    for cycle in 0..count {
        if cluster.episode.order.is_over(cluster.episode.start) {
            break;
        }
        let mut seeded = cluster.episode.seeded.part(cycle + 10);
        cluster.cycle(&mut seeded, tally)?;
        tally.cycles += 1;
        if cluster.has_failed(tally)? {
            return Ok(());
        }
    }
    cluster.finish(tally)?;
    cluster.has_failed(tally)?;
    Ok(())
}

impl<'a> Cluster<'a> {
    fn create(episode: Episode<'a>) -> anyhow::Result<Self> {
        let mut seeded = episode.seeded.part(1);
        let power = episode.order.mode == Mode::Power;
        let place = episode.place;
        let (disk, root, ground) = if power {
            let habit = seeded.one_of(&Habit::ALL).copied().unwrap_or(Habit::Usual);
            let disk = Mounted::create(place, DISK_BYTES, habit)?;
            let root = disk.folder().to_owned();
            (Some(disk), root, habit.name())
        } else {
            let root = place.join("plain");
            if root.exists() {
                std::fs::remove_dir_all(&root).context("cannot empty a folder")?;
            }
            std::fs::create_dir_all(&root).context("cannot make a folder")?;
            (None, root, "a plain folder")
        };
        let control = Control::create(&place.join("control"), &root)?;
        let mut world = World::new(episode.seeded.part(2).bits(), now_ms());
        let trusted = if power { Policy::Loose } else { Policy::Whole };
        for plan in topics(trusted) {
            world.plan(plan);
        }
        let mut settings = settings();
        if episode.order.lie {
            settings.push("flush.mode=os".to_owned());
        }
        let recipe = Recipe {
            binary: episode.order.binary.clone(),
            shim: episode.shim.clone(),
            data: vec![root.join("data")],
            settings,
            log: place.join("broker.log"),
        };
        let load = Load::new(episode.seeded.part(3));
        let before = place.join("before");
        let scene = Scene::new(world, control);
        Ok(Self { episode, scene, load, recipe, disk, ground, before })
    }

    /// Start, verify, load, strike.
    fn cycle(&mut self, seeded: &mut Seeded, tally: &mut Tally) -> anyhow::Result<()> {
        let plan = Plan::draw(seeded, self.disk.is_some());
        Tally::count(&mut tally.grounds, self.ground);
        self.scene.begin();
        if plan.from_start {
            self.scene.control.arm(&plan.fault)?;
        } else {
            self.scene.control.disarm()?;
        }
        if let Some(node) = self.start(tally)? {
            match self.verify(&node, seeded, tally) {
                Ok(()) => self.strike(node, &plan, seeded, tally)?,
                Err(error) => {
                    self.scene.failed("reading back", &error);
                    Tally::count(&mut tally.done, "struck while reading back");
                    node.kill()?;
                }
            }
        }
        if self.scene.has_fired() {
            Tally::count(&mut tally.points, point(&self.scene.control.what()?));
        }
        if let Some(disk) = &mut self.disk {
            disk.unmount()?;
            disk.mount()?;
        }
        Ok(())
    }

    /// Starts the broker; none when it was struck before it was ready, or when it did not start.
    fn start(&mut self, tally: &mut Tally) -> anyhow::Result<Option<Node>> {
        self.remember()?;
        tally.starts += 1;
        let what = match self.recipe.start(&self.scene.control)? {
            Started::Ready(node) => return Ok(Some(node)),
            // Killed, or its disk is gone, and it says so.
            Started::Ended(_) if self.scene.has_fired() => {
                Tally::count(&mut tally.done, "struck while starting");
                return Ok(None);
            }
            Started::Ended(status) => format!("it ended with {status}"),
            Started::Hung => "it was not ready within 60 s".to_owned(),
        };
        let text = format!("{what}\n{}", self.recipe.last_words());
        self.scene.world().wrong(Rule::RefusedStart, text);
        Ok(None)
    }

    /// Keeps the data as the broker finds it, for the case that it cannot deal with it.
    fn remember(&self) -> anyhow::Result<()> {
        if self.before.exists() {
            std::fs::remove_dir_all(&self.before).context("cannot empty a folder")?;
        }
        match self.recipe.data.first() {
            Some(data) if data.is_dir() => copy_folder(data, &self.before),
            _ => Ok(()),
        }
    }

    /// Reads everything back, and creates the topics that are missing.
    fn verify(
        &mut self,
        node: &Node,
        seeded: &mut Seeded,
        tally: &mut Tally,
    ) -> anyhow::Result<()> {
        let mut client = Client::open(node.address())?;
        let seen = readback::verify(&mut self.scene.world(), &mut client, seeded)?;
        tally.wanted += seen.wanted;
        tally.read += seen.records;
        tally.verified += 1;
        load::create_topics(&self.scene, &mut client)
    }

    /// Loads the broker until it is struck or stopped.
    fn strike(
        &mut self,
        node: Node,
        plan: &Plan,
        seeded: &mut Seeded,
        tally: &mut Tally,
    ) -> anyhow::Result<()> {
        if !plan.from_start {
            self.scene.control.arm(&plan.fault)?;
        }
        let address = node.address().to_owned();
        let (scene, power) = (&self.scene, self.disk.is_some());
        let done = self.load.run(scene, &address, || nemesis(scene, node, plan, seeded, power))?;
        Tally::count(&mut tally.done, done);
        Ok(())
    }

    /// A last look: a clean stop, a start, and everything is there.
    fn finish(&mut self, tally: &mut Tally) -> anyhow::Result<()> {
        for round in 0..2 {
            self.scene.begin();
            self.scene.control.disarm()?;
            let Some(node) = self.start(tally)? else { return Ok(()) };
            let mut seeded = self.episode.seeded.part(900 + round);
            if let Err(error) = self.verify(&node, &mut seeded, tally) {
                self.scene.failed("reading back", &error);
            }
            let status = node.stop()?;
            if !status.success() {
                let what = format!("asked to stop, it ended with {status}");
                self.scene.world().wrong(Rule::Ended, what);
            }
            self.scene.world().stopped_cleanly();
        }
        Ok(())
    }

    /// Takes over what was counted and what went wrong; whether something did.
    fn has_failed(&mut self, tally: &mut Tally) -> anyhow::Result<bool> {
        let violations = {
            let mut world = self.scene.world();
            tally.acked += std::mem::take(&mut world.acked);
            tally.undone += std::mem::take(&mut world.undone);
            tally.forgotten += std::mem::take(&mut world.forgotten);
            std::mem::take(&mut world.violations)
        };
        if violations.is_empty() {
            return Ok(false);
        }
        let order = self.episode.order;
        if !order.lie {
            let name = format!("{}-{}", order.mode.name(), order.seed);
            tally.kept.push(evidence::keep(
                &order.keep,
                &name,
                &self.recipe,
                &self.before,
                &violations,
            )?);
        }
        tally.violations.extend(violations);
        Ok(true)
    }
}

/// Waits for the counted call, or ends the cycle as planned; what was done.
fn nemesis(
    scene: &Scene,
    mut node: Node,
    plan: &Plan,
    seeded: &mut Seeded,
    power: bool,
) -> anyhow::Result<&'static str> {
    let end = Instant::now() + plan.load;
    while Instant::now() < end && !scene.has_fired() {
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
        End::StruckStopping | End::Stopped => stop(scene, node, plan, seeded),
    }
}

/// Asks the broker to stop; strikes it meanwhile if that is the plan.
fn stop(
    scene: &Scene,
    node: Node,
    plan: &Plan,
    seeded: &mut Seeded,
) -> anyhow::Result<&'static str> {
    scene.strike();
    if plan.end == End::StruckStopping {
        scene.control.arm(&plan.while_stopping(seeded))?;
    } else {
        scene.control.disarm()?;
    }
    let status = node.stop()?;
    if scene.has_fired() {
        return Ok("struck while stopping");
    }
    if !status.success() {
        scene.world().wrong(Rule::Ended, format!("asked to stop, it ended with {status}"));
    }
    scene.world().stopped_cleanly();
    Ok("stopped while busy")
}
