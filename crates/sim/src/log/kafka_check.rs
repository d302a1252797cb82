//! Holds what Apache Kafka would serve from the directories, as a crash or a stop left them, against
//! the models: whoever starts next must find what was acknowledged. Must not know its loader's
//! rules.

use std::collections::BTreeMap;
use std::path::Path;

use ottla_log::AbortedTransaction;

use super::World;
use super::check::consume;
use super::compaction::records;
use super::kafka_loader::{Beside, Files, Served, load};
use super::model::Model;
use crate::promise;
use crate::violation::Stop;

const MARKER: &str = ".kafka_cleanshutdown";
const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
const LOG_STARTS: &str = "log-start-offset-checkpoint";

impl World {
    /// Before a start: what would Apache Kafka find (X6)?
    pub(super) fn check_as_kafka(&self) -> Result<(), Stop> {
        if self.swarm.beyond || self.outcome.derived_damaged > 0 {
            return Ok(());
        }
        let all = self.disk.files();
        for dir in &self.dirs {
            let beside: BTreeMap<&str, &[u8]> = all
                .iter()
                .filter(|(path, _)| path.parent() == Some(dir.path.as_path()))
                .filter_map(|(path, content)| Some((name(path)?, content.as_slice())))
                .collect();
            for slot in self.dirs.iter().flat_map(|dir| &dir.slots) {
                let (partition, of) = (slot.name.to_string(), dir.path.clone());
                // A move that was interrupted may leave it in two; which of them counts is for who
                // starts to say.
                let places: Vec<_> = self
                    .dirs
                    .iter()
                    .filter(|dir| {
                        let place = dir.path.join(&partition);
                        all.iter().any(|(path, _)| path.parent() == Some(place.as_path()))
                    })
                    .collect();
                match places.as_slice() {
                    [] if dir.slots.iter().any(|known| known.name == slot.name) => {}
                    [one] if one.path == dir.path => {}
                    _ => continue,
                }
                let files: Files = all
                    .iter()
                    .filter(|(path, _)| path.parent() == Some(of.join(&partition).as_path()))
                    .filter_map(|(path, content)| Some((name(path)?.to_owned(), content.clone())))
                    .collect();
                let at = |file| offset_in(beside.get(file).copied(), &partition);
                let found = Beside {
                    clean: beside.contains_key(MARKER),
                    recovery_point: at(RECOVERY_POINTS),
                    log_start: at(LOG_STARTS),
                };
                // A truncation to a new start that was not finished is finished by who began it.
                if slot.model.restart_at.is_some() {
                    continue;
                }
                let served = load(files, &found);
                if self.verbose {
                    eprintln!(
                        "as Kafka, {partition}: {} to {}, {found:?}, {:?}",
                        served.log_start, served.log_end, served.misled
                    );
                }
                self.check_served(&slot.model, &served, slot.config.compact)?;
            }
        }
        Ok(())
    }

    /// What is acknowledged is served, and what is aborted is known.
    fn check_served(&self, model: &Model, served: &Served, compact: bool) -> Result<(), Stop> {
        if let Some(what) = served.misled.first() {
            return Err(Self::broken("X6", format!("Apache Kafka is misled: {what}")));
        }
        let floor = match self.only_synced_is_safe {
            true => model.durable,
            false => model.durable.max(model.written),
        };
        promise!(
            "X6",
            served.log_end >= floor,
            "for Apache Kafka the log ends at {}, and up to {floor} was acknowledged",
            served.log_end
        );
        promise!(
            "X6",
            served.log_start <= model.start,
            "for Apache Kafka the log starts at {}, and not at {}",
            served.log_start,
            model.start
        );
        let start = model.start;
        // What nobody was told of may be anything.
        let stable = model.first_undecided(start, floor).unwrap_or(floor);
        let batches: Vec<_> = served
            .batches
            .iter()
            .filter(|bytes| {
                ottla_records::Batch::parse(bytes).is_ok_and(|batch| {
                    let last = batch.header().last_offset().0;
                    last >= start && last < stable
                })
            })
            .cloned()
            .collect();
        let asked = |t: &AbortedTransaction| t.last_offset.0 >= start && t.first_offset.0 < stable;
        let aborted = served.aborted.iter().filter(|t| asked(t)).copied().collect();
        let seen = consume(&batches, aborted, start)?;
        let expected = model.committed(start, stable);
        if !compact {
            let of = model.from(start).iter().take_while(|entry| entry.last < stable);
            let same = of.clone().count() == batches.len()
                && of.zip(&batches).all(|(entry, found)| entry.bytes == *found);
            promise!("X6", same, "Apache Kafka serves other batches from {start} to {stable}");
            promise!(
                "X6",
                seen == expected,
                "a reader of committed data from {start} to {stable} gets {seen:?} of Apache \
                 Kafka, and not {expected:?}"
            );
            return Ok(());
        }
        Self::check_what_is_left(model, &batches)?;
        let extra: Vec<_> = seen.difference(&expected).collect();
        promise!("X6", extra.is_empty(), "Apache Kafka takes {extra:?} for committed");
        let found: BTreeMap<_, _> = records(&batches)?
            .into_iter()
            .filter(|(offset, _, _)| seen.contains(offset))
            .map(|(_, key, value)| (key, value))
            .collect();
        for (key, value) in model.last_committed(start, stable) {
            let there = found.get(&key).copied();
            promise!(
                "X6",
                there == Some(value) || (value.is_none() && there.is_none()),
                "of key {key} Apache Kafka serves {there:?}, and the last is {value:?}"
            );
        }
        Ok(())
    }
}

fn name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

/// The offset of a partition in a checkpoint; 0 when there is none.
fn offset_in(file: Option<&[u8]>, partition: &str) -> i64 {
    let text = String::from_utf8_lossy(file.unwrap_or_default());
    let found = text.lines().skip(2).find_map(|line| {
        let (name, offset) = line.rsplit_once(' ')?;
        let (topic, number) = name.rsplit_once(' ')?;
        (format!("{topic}-{number}") == partition).then(|| offset.parse().ok())?
    });
    found.unwrap_or(0)
}
