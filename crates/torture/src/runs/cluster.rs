//! A cluster and those who torture it, as all modes have them: making, starting, reading back, a
//! last look. Must not know what is done to it in between.

use std::path::PathBuf;

use anyhow::Context;

use super::{Episode, evidence, now_ms, topics};
use crate::faults::Control;
use crate::history::{Policy, Rule};
use crate::load::{self, Load};
use crate::mounted::Mounted;
use crate::node::{Node, Recipe, Started, copy_folder};
use crate::readback;
use crate::report::Tally;
use crate::scene::Scene;
use crate::seeded::Seeded;
use crate::wire::Client;
use crate::world::World;

/// Where a cluster's data lies.
pub(super) struct Ground {
    /// Its file system, if it has one of its own.
    pub(super) disk: Option<Mounted>,
    /// The folder below which all of it lies.
    pub(super) root: PathBuf,
    /// Log directories, below the root.
    pub(super) data: Vec<PathBuf>,
    /// Its name in reports.
    pub(super) name: &'static str,
}

/// One cluster and those who torture it.
pub(super) struct Cluster<'a> {
    pub(super) episode: Episode<'a>,
    pub(super) scene: Scene,
    pub(super) load: Load,
    pub(super) recipe: Recipe,
    pub(super) disk: Option<Mounted>,
    pub(super) ground: &'static str,
    /// The data as it was before the last start.
    before: PathBuf,
}

impl Ground {
    /// An empty folder on the file system that is there.
    pub(super) fn plain(episode: &Episode<'_>, dirs: &[&str]) -> anyhow::Result<Self> {
        let root = episode.place.join("plain");
        if root.exists() {
            std::fs::remove_dir_all(&root).context("cannot empty a folder")?;
        }
        std::fs::create_dir_all(&root).context("cannot make a folder")?;
        let data = dirs.iter().map(|dir| root.join(dir)).collect();
        Ok(Self { disk: None, root, data, name: "a plain folder" })
    }
}

impl<'a> Cluster<'a> {
    /// A cluster that has not been started yet. `trusted` is what may vanish of what the operating
    /// system is trusted with.
    pub(super) fn create(
        episode: Episode<'a>,
        ground: Ground,
        trusted: Policy,
        settings: Vec<String>,
    ) -> anyhow::Result<Self> {
        let place = episode.place;
        let control = Control::create(&place.join("control"), &ground.root)?;
        let mut world = World::new(episode.seeded.part(2).bits(), now_ms());
        for plan in topics(trusted) {
            world.plan(plan);
        }
        let recipe = Recipe {
            binary: episode.order.binary.clone(),
            shim: episode.shim.clone(),
            data: ground.data,
            settings,
            log: place.join("broker.log"),
        };
        let load = Load::new(episode.seeded.part(3));
        let before = place.join("before");
        let scene = Scene::new(world, control);
        let (disk, ground) = (ground.disk, ground.name);
        Ok(Self { episode, scene, load, recipe, disk, ground, before })
    }

    /// Starts the broker; none when it was struck before it was ready, or when it did not start.
    pub(super) fn start(&mut self, tally: &mut Tally) -> anyhow::Result<Option<Node>> {
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
        for (number, data) in self.recipe.data.iter().enumerate().filter(|(_, d)| d.is_dir()) {
            copy_folder(data, &self.before.join(format!("data-{number}")))?;
        }
        Ok(())
    }

    /// Reads everything back, and creates the topics that are missing.
    pub(super) fn verify(
        &mut self,
        node: &Node,
        seeded: &mut Seeded,
        tally: &mut Tally,
    ) -> anyhow::Result<()> {
        let mut client = Client::open(node.address())?;
        // Nothing is learned from answers that a cut of the power came in between.
        let mut world = self.scene.world().clone();
        let seen = readback::verify(&mut world, &mut client, seeded)?;
        self.scene.still_powered()?;
        *self.scene.world() = world;
        tally.wanted += seen.wanted;
        tally.read += seen.records;
        tally.verified += 1;
        load::create_topics(&self.scene, &mut client)
    }

    /// An episode: at most so many cycles, until the first that something is wrong in, and a last
    /// look.
    pub(super) fn cycles(
        mut self,
        most: u64,
        tally: &mut Tally,
        mut cycle: impl FnMut(&mut Self, &mut Seeded, &mut Tally) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for number in 0..self.episode.left.min(most) {
            if self.episode.order.is_over(self.episode.start) {
                break;
            }
            let mut seeded = self.episode.seeded.part(number + 10);
            cycle(&mut self, &mut seeded, tally)?;
            tally.cycles += 1;
            if self.has_failed(tally)? {
                return Ok(());
            }
        }
        self.finish(tally)?;
        self.has_failed(tally)?;
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
            tally.moved += std::mem::take(&mut world.moved);
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
                &self.scene.control.what()?,
                &violations,
            )?);
        }
        tally.violations.extend(violations);
        Ok(true)
    }
}
