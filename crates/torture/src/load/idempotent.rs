//! The idempotent producer: five batches in flight, and after a crash the ones in doubt are sent
//! again, as they were. Must not know what happened to the broker.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use ottla_protocol::ProduceRequest;
use ottla_records::Compression;

use super::batch;
use crate::history::{Origin, Policy, Rule};
use crate::scene::Scene;
use crate::seeded::Seeded;
use crate::wire::{self, Client};
use crate::world::{self, World};

/// Requests in flight.
const DEPTH: usize = 5;

type Key = (String, i32);

/// The producer, from cycle to cycle.
#[derive(Debug)]
pub struct Idempotent {
    seeded: Seeded,
    session: Option<Session>,
}

/// One producer id.
#[derive(Debug)]
struct Session {
    id: i64,
    epoch: i16,
    lanes: BTreeMap<Key, Lane>,
}

/// What was sent to one partition under that id.
#[derive(Debug)]
struct Lane {
    stream: u64,
    /// Sequence of the next new batch.
    next: u64,
    /// Batches without an answer, in their order.
    in_doubt: VecDeque<Pending>,
    /// How many of them are on their way.
    on_their_way: usize,
    /// Refused: nothing more goes here under this id.
    is_closed: bool,
    /// The broker knows the producer here: it refuses what follows a refused batch.
    was_acked: bool,
}

#[derive(Debug)]
struct Pending {
    ids: Vec<u64>,
    bytes: Bytes,
    /// The end of the log that was certain when it was sent first.
    end: i64,
}

/// `OUT_OF_ORDER_SEQUENCE_NUMBER`.
const OUT_OF_ORDER: i16 = 45;

/// A request on its way.
struct Sent {
    correlation: i32,
    key: Key,
    /// The disk had failed before it was sent.
    is_late: bool,
}

impl Idempotent {
    /// A producer that has sent nothing.
    #[must_use]
    pub(super) const fn new(seeded: Seeded) -> Self {
        Self { seeded, session: None }
    }

    /// Begins anew with another id.
    pub(super) fn forget(&mut self) {
        self.session = None;
    }

    /// Produces until the scene ends.
    pub(super) fn run(&mut self, scene: &Scene, client: &mut Client) -> anyhow::Result<()> {
        // Now and then what is in doubt is given up, as a producer does that restarts.
        if self.seeded.once_in(4) {
            self.session = None;
        }
        let seeded = &mut self.seeded;
        let session = match &mut self.session {
            Some(session) => session,
            none => none.insert(Session::start(scene, client)?),
        };
        for lane in session.lanes.values_mut() {
            lane.on_their_way = 0;
        }
        let result = session.run(scene, client, seeded);
        if session.lanes.values().any(|lane| lane.is_closed) {
            self.session = None;
        }
        result
    }
}

impl Session {
    fn start(scene: &Scene, client: &mut Client) -> anyhow::Result<Self> {
        // Until the coordinator is there: the answer's limit is the limit of all.
        for _ in 0..100_000 {
            let (code, id, epoch) = client.new_producer()?;
            if code == 0 {
                scene.still_powered()?;
                scene.world().producer(id);
                return Ok(Self { id, epoch, lanes: BTreeMap::new() });
            }
            anyhow::ensure!(matches!(code, 14..=16), "InitProducerId: error {code}");
        }
        anyhow::bail!("InitProducerId: no answer but that it is loading")
    }

    fn run(
        &mut self,
        scene: &Scene,
        client: &mut Client,
        seeded: &mut Seeded,
    ) -> anyhow::Result<()> {
        let mut flight = VecDeque::new();
        loop {
            while flight.len() < DEPTH && !scene.is_stopped() {
                match self.send(scene, client, seeded)? {
                    Some(sent) => flight.push_back(sent),
                    None => break,
                }
            }
            let Some(sent) = flight.pop_front() else { return Ok(()) };
            self.hear(scene, client, &sent)?;
        }
    }

    /// Sends what is in doubt, or else something new; nothing when every partition is closed.
    fn send(
        &mut self,
        scene: &Scene,
        client: &mut Client,
        seeded: &mut Seeded,
    ) -> anyhow::Result<Option<Sent>> {
        let again = self.lanes.iter().find(|(_, lane)| lane.has_more_in_doubt());
        let key = match again.map(|(key, _)| key.clone()) {
            Some(key) => key,
            None => match self.new_batch(scene, seeded)? {
                Some(key) => key,
                None => return Ok(None),
            },
        };
        let Some(lane) = self.lanes.get_mut(&key) else { return Ok(None) };
        let Some(pending) = lane.in_doubt.get(lane.on_their_way) else { return Ok(None) };
        let is_late = scene.is_late(&key.0, key.1);
        let request = wire::produce(-1, vec![(key.0.clone(), key.1, pending.bytes.clone())]);
        let correlation = client.connection.tell(wire::PRODUCE, &request)?;
        lane.on_their_way += 1;
        Ok(Some(Sent { correlation, key, is_late }))
    }

    fn new_batch(&mut self, scene: &Scene, seeded: &mut Seeded) -> anyhow::Result<Option<Key>> {
        let mut world = scene.world();
        let mut open = world.lasting();
        open.retain(|key| self.lanes.get(key).is_none_or(|lane| !lane.is_closed));
        open.retain(|(topic, _)| {
            world.topics.get(topic).is_some_and(|topic| topic.plan.policy != Policy::Loose)
        });
        let Some(key) = seeded.one_of(&open).cloned() else { return Ok(None) };
        let lane = match self.lanes.entry(key.clone()) {
            std::collections::btree_map::Entry::Occupied(lane) => lane.into_mut(),
            std::collections::btree_map::Entry::Vacant(room) => {
                room.insert(Lane::new(world.number()))
            }
        };
        let Some(pending) = lane.draw(&mut world, &key, seeded, (self.id, self.epoch))? else {
            return Ok(None);
        };
        lane.in_doubt.push_back(pending);
        Ok(Some(key))
    }

    fn hear(&mut self, scene: &Scene, client: &mut Client, sent: &Sent) -> anyhow::Result<()> {
        let answer = client.connection.hear::<ProduceRequest>(wire::PRODUCE, sent.correlation)?;
        let answer = batch::only(answer)?;
        let (topic, index) = (&sent.key.0, sent.key.1);
        let Some(lane) = self.lanes.get_mut(&sent.key) else { return Ok(()) };
        if answer.error_code == 0 && !sent.is_late {
            scene.still_powered()?;
        }
        if answer.error_code == OUT_OF_ORDER && lane.is_known(scene, &sent.key) {
            lane.pop();
            scene.world().forgotten += 1;
            return Ok(());
        }
        if answer.error_code != 0 {
            // What follows a refused batch is refused, too: that is told once.
            if !lane.is_closed {
                scene.refused("an idempotent batch", topic, index, answer.error_code);
            }
            lane.is_closed = true;
            return Ok(());
        }
        if lane.is_closed {
            // The answer is that of a later batch.
            lane.in_doubt.clear();
        }
        let front = lane.pop();
        let mut world = scene.world();
        if sent.is_late {
            let what = format!("an idempotent batch to {topic}-{index} is acknowledged");
            world.wrong(Rule::AfterFailure, what);
        }
        if lane.is_closed && lane.was_acked {
            let what = format!("{topic}-{index}: a batch is taken that follows a refused one");
            world.wrong(Rule::Order, what);
        }
        lane.was_acked = true;
        if let Some(pending) = front {
            world.acked(topic, index, answer.base_offset, &pending.ids);
        }
        Ok(())
    }
}

impl Lane {
    const fn new(stream: u64) -> Self {
        Self {
            stream,
            next: 0,
            in_doubt: VecDeque::new(),
            on_their_way: 0,
            is_closed: false,
            was_acked: false,
        }
    }

    fn has_more_in_doubt(&self) -> bool {
        !self.is_closed && self.on_their_way < self.in_doubt.len()
    }

    fn pop(&mut self) -> Option<Pending> {
        self.on_their_way = self.on_their_way.saturating_sub(1);
        self.in_doubt.pop_front()
    }

    /// Whether the batch that was sent first is in the log already, or was. A snapshot of
    /// producers holds the last batch of each, as Kafka's does: a duplicate of one before it is
    /// refused after a restart, and rightly not stored again. One that was compacted away before
    /// anybody read it cannot be told from one that was lost.
    fn is_known(&self, scene: &Scene, (topic, index): &Key) -> bool {
        let mut world = scene.world();
        let Some(partition) = world.partition(topic, *index) else { return false };
        let history = &partition.history;
        self.in_doubt.front().is_some_and(|pending| {
            history.policy() == Policy::Compacted
                || history.start() > pending.end
                || pending.ids.iter().all(|id| history.was_seen(*id))
        })
    }

    fn draw(
        &mut self,
        world: &mut World,
        key: &Key,
        seeded: &mut Seeded,
        (id, epoch): (i64, i16),
    ) -> anyhow::Result<Option<Pending>> {
        let compacted =
            world.topics.get(&key.0).is_some_and(|t| t.plan.policy == Policy::Compacted);
        let shapes = world::shapes(seeded, compacted);
        let origin = Origin { stream: self.stream, number: self.next, idempotent: true };
        let Some(drawn) = world.draw(&key.0, key.1, origin, &shapes) else { return Ok(None) };
        let sequence = i32::try_from(self.next)?;
        let codec = seeded.one_of(&Compression::ALL).copied().unwrap_or_default();
        let codec = if seeded.once_in(3) { codec } else { Compression::None };
        let bytes = batch::build(&drawn.records, codec, Some((id, epoch, sequence)))?;
        self.next += drawn.ids.len() as u64;
        let end = world.partition(&key.0, key.1).map_or(0, |partition| partition.history.end());
        Ok(Some(Pending { ids: drawn.ids, bytes, end }))
    }
}
