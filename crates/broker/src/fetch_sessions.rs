//! Fetch sessions (KIP-227): what a client fetches, remembered between its requests, so that
//! requests and answers carry only what changed. Owns the sessions and their cache; must not
//! know logs or how an answer is filled.

use std::sync::Arc;

use hashbrown::HashMap;
use indexmap::IndexMap;
use ottla_protocol::{ErrorCode, Millis, StrBytes, TopicId};
use parking_lot::Mutex;

/// A session of this id is none.
pub(crate) const NO_SESSION: i32 = 0;
const INITIAL_EPOCH: i32 = 0;
const FINAL_EPOCH: i32 = -1;

/// A partition as a fetch names it: by topic id since version 13, by name before.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TopicKey {
    Id(TopicId),
    Name(StrBytes),
}

/// A partition of a session.
pub(crate) type PartitionKey = (TopicKey, i32);

/// What a client wants of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) fetch_offset: i64,
    pub(crate) current_leader_epoch: i32,
    pub(crate) last_fetched_epoch: i32,
    pub(crate) max_bytes: i32,
}

/// What the client was last told of a partition; an answer leaves out what has not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) high_watermark: i64,
    pub(crate) log_start: i64,
}

impl Told {
    /// Nothing yet, or an error: the next answer includes the partition whatever it is.
    pub(crate) const NOTHING: Self = Self { high_watermark: -1, log_start: -1 };
}

#[derive(Clone, Copy, Debug)]
struct Member {
    wanted: Wanted,
    told: Told,
}

#[derive(Debug)]
struct Session {
    id: i32,
    epoch: i32,
    uses_ids: bool,
    members: IndexMap<PartitionKey, Member, foldhash::fast::FixedState>,
    /// Where the next answer begins, so that no partition starves behind the ones before it.
    first: usize,
    created: Millis,
    used: Millis,
}

/// The session cache of a broker.
#[derive(Debug)]
pub(crate) struct FetchSessions {
    slots_max: usize,
    eviction: Millis,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    sessions: HashMap<i32, Arc<Mutex<Session>>, foldhash::fast::FixedState>,
    last_id: i32,
}

/// What a request says about sessions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionRequest {
    pub(crate) id: i32,
    pub(crate) epoch: i32,
    /// Whether the request's version names topics by id.
    pub(crate) uses_ids: bool,
}

/// A partition to be fetched now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) key: PartitionKey,
    pub(crate) wanted: Wanted,
    /// What the client knows of it: the answer leaves it out as long as there is nothing else to
    /// tell. `None`: it is in the answer whatever it is.
    pub(crate) told: Option<Told>,
}

/// The partitions to fetch now, and what becomes of the session.
#[derive(Debug)]
pub(crate) struct FetchContext {
    pub(crate) partitions: Vec<Asked>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Sessionless,
    Full { uses_ids: bool },
    Incremental(Arc<Mutex<Session>>),
}

impl FetchSessions {
    /// A cache of `slots_max` sessions (`max.incremental.fetch.session.cache.slots`); one that was
    /// not used for `eviction` may be pushed out.
    pub(crate) fn new(slots_max: usize, eviction: Millis) -> Self {
        Self { slots_max, eviction, cache: Mutex::default() }
    }

    /// Begins a fetch: what to fetch, from the request and the session that it continues.
    pub(crate) fn begin(
        &self,
        request: SessionRequest,
        wanted: Vec<(PartitionKey, Wanted)>,
        forgotten: Vec<PartitionKey>,
        now: Millis,
    ) -> Result<FetchContext, ErrorCode> {
        let SessionRequest { id, epoch, uses_ids } = request;
        if epoch == INITIAL_EPOCH || epoch == FINAL_EPOCH {
            if id != NO_SESSION {
                self.cache.lock().sessions.remove(&id);
            }
            let kind =
                if epoch == FINAL_EPOCH { Kind::Sessionless } else { Kind::Full { uses_ids } };
            // Of a partition that is listed twice the last counts, as in Kafka.
            let distinct: IndexMap<_, _, foldhash::fast::FixedState> = wanted.into_iter().collect();
            let asked = |(key, wanted)| Asked { key, wanted, told: None };
            return Ok(FetchContext {
                partitions: distinct.into_iter().map(asked).collect(),
                kind,
            });
        }
        let found = self.cache.lock().sessions.get(&id).map(Arc::clone);
        let shared = found.ok_or(ErrorCode::FetchSessionIdNotFound)?;
        let mut session = shared.lock();
        if session.epoch != epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if session.uses_ids != uses_ids {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        for (key, wanted) in wanted {
            session
                .members
                .entry(key)
                .and_modify(|member| member.wanted = wanted)
                .or_insert(Member { wanted, told: Told::NOTHING });
        }
        for key in forgotten {
            session.members.shift_remove(&key);
        }
        if session.members.is_empty() {
            // The cache is locked before its sessions, never after.
            drop(session);
            self.cache.lock().sessions.remove(&id);
            return Ok(FetchContext { partitions: Vec::new(), kind: Kind::Sessionless });
        }
        session.epoch = next_epoch(epoch);
        session.used = now;
        let first = session.first % session.members.len();
        let members = session.members.iter();
        let mut partitions = Vec::with_capacity(members.len());
        let in_turn = members.clone().skip(first).chain(members.take(first));
        partitions.extend(in_turn.map(|(key, member)| Asked {
            key: key.clone(),
            wanted: member.wanted,
            told: Some(member.told),
        }));
        drop(session);
        Ok(FetchContext { partitions, kind: Kind::Incremental(shared) })
    }

    /// Makes room for a session of `size` partitions, and puts it there; its id, or none.
    fn create(
        &self,
        uses_ids: bool,
        members: IndexMap<PartitionKey, Member, foldhash::fast::FixedState>,
        now: Millis,
    ) -> i32 {
        let mut cache = self.cache.lock();
        if cache.sessions.len() >= self.slots_max && !cache.evict(self.eviction, members.len(), now)
        {
            return NO_SESSION;
        }
        if self.slots_max == 0 {
            return NO_SESSION;
        }
        let id = cache.fresh_id();
        let session = Session {
            id,
            epoch: next_epoch(INITIAL_EPOCH),
            uses_ids,
            members,
            first: 0,
            created: now,
            used: now,
        };
        cache.sessions.insert(id, Arc::new(Mutex::new(session)));
        id
    }

    /// Ends a fetch: remembers what the client is told of the partitions that are in the answer
    /// (each with whether it has records), and gives the session id of the answer.
    pub(crate) fn end<'a>(
        &self,
        context: &FetchContext,
        told: impl Iterator<Item = (&'a PartitionKey, Told, bool)>,
        now: Millis,
    ) -> i32 {
        match &context.kind {
            Kind::Sessionless => NO_SESSION,
            Kind::Full { uses_ids } => {
                if context.partitions.is_empty() {
                    return NO_SESSION;
                }
                let mut members: IndexMap<_, _, _> = context
                    .partitions
                    .iter()
                    .map(|asked| {
                        let Asked { key, wanted, told: _ } = asked;
                        (key.clone(), Member { wanted: *wanted, told: Told::NOTHING })
                    })
                    .collect();
                for (key, told, _) in told {
                    if let Some(member) = members.get_mut(key) {
                        member.told = told;
                    }
                }
                self.create(*uses_ids, members, now)
            }
            Kind::Incremental(session) => {
                let mut session = session.lock();
                for (key, told, has_records) in told {
                    let Some((index, _, member)) = session.members.get_full_mut(key) else {
                        continue;
                    };
                    member.told = told;
                    if has_records {
                        session.first = index + 1;
                    }
                }
                session.id
            }
        }
    }
}

impl Cache {
    fn fresh_id(&mut self) -> i32 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if !self.sessions.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }

    /// Pushes out one session: the least recently used when it has been unused for `eviction`,
    /// otherwise the smallest that has lived that long and is smaller than the newcomer.
    fn evict(&mut self, eviction: Millis, newcomer: usize, now: Millis) -> bool {
        let old = |since: Millis| now.get().saturating_sub(since.get()) > eviction.get();
        let facts = |(id, session): (&i32, &Arc<Mutex<Session>>)| {
            let session = session.lock();
            (session.used, session.created, session.members.len(), *id)
        };
        let oldest = self.sessions.iter().map(facts).min_by_key(|(used, ..)| *used);
        let victim = match oldest {
            Some((used, _, _, id)) if old(used) => Some(id),
            _ => self
                .sessions
                .iter()
                .map(facts)
                .filter(|(_, created, size, _)| old(*created) && *size < newcomer)
                .min_by_key(|(_, _, size, _)| *size)
                .map(|(_, _, _, id)| id),
        };
        victim.is_some_and(|id| self.sessions.remove(&id).is_some())
    }
}

/// The epoch of a session's next request; 0 and −1 have meanings of their own.
const fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &'static str) -> PartitionKey {
        (TopicKey::Name(StrBytes::from(name)), 0)
    }

    fn wanted(fetch_offset: i64) -> Wanted {
        Wanted { fetch_offset, current_leader_epoch: -1, last_fetched_epoch: -1, max_bytes: 1 }
    }

    fn request(id: i32, epoch: i32) -> SessionRequest {
        SessionRequest { id, epoch, uses_ids: false }
    }

    const TOLD: Told = Told { high_watermark: 5, log_start: 0 };

    #[test]
    fn a_session_remembers_and_leaves_out() {
        let sessions = FetchSessions::new(10, Millis(1000));
        let all = vec![(key("a"), wanted(0)), (key("b"), wanted(0))];
        let full = sessions.begin(request(0, 0), all, vec![], Millis(0)).unwrap();
        let (a, b) = (key("a"), key("b"));
        let told = [(&a, TOLD, false), (&b, TOLD, false)];
        let id = sessions.end(&full, told.into_iter(), Millis(0));
        assert_ne!(id, NO_SESSION);

        let next = sessions.begin(request(id, 1), vec![], vec![], Millis(1)).unwrap();
        let known = |asked: &Asked| (asked.key.clone(), asked.told);
        let of = |asked: &FetchContext| asked.partitions.iter().map(known).collect::<Vec<_>>();
        assert_eq!(of(&next), [(a.clone(), Some(TOLD)), (b.clone(), Some(TOLD))]);
        let newer = Told { high_watermark: 6, ..TOLD };
        // Of what is not in the answer the client knows what it knew.
        assert_eq!(sessions.end(&next, std::iter::once((&a, newer, true)), Millis(1)), id);
        let next = sessions.begin(request(id, 2), vec![], vec![], Millis(1)).unwrap();
        assert_eq!(of(&next), [(b.clone(), Some(TOLD)), (a.clone(), Some(newer))]);

        let changed = vec![(key("b"), wanted(7))];
        let next = sessions.begin(request(id, 3), changed, vec![a], Millis(2)).unwrap();
        assert_eq!(next.partitions, [Asked { key: b, wanted: wanted(7), told: Some(TOLD) }]);
    }

    #[test]
    fn a_wrong_epoch_an_unknown_session_and_a_mix_of_names_and_ids_are_refused() {
        let sessions = FetchSessions::new(10, Millis(1000));
        let full =
            sessions.begin(request(0, 0), vec![(key("a"), wanted(0))], vec![], Millis(0)).unwrap();
        let id = sessions.end(&full, std::iter::empty(), Millis(0));
        let refused = |request| sessions.begin(request, vec![], vec![], Millis(0)).unwrap_err();
        assert_eq!(refused(request(id, 2)), ErrorCode::InvalidFetchSessionEpoch);
        assert_eq!(refused(request(id + 1, 1)), ErrorCode::FetchSessionIdNotFound);
        let by_id = SessionRequest { uses_ids: true, ..request(id, 1) };
        assert_eq!(refused(by_id), ErrorCode::FetchSessionTopicIdError);
        assert!(sessions.begin(request(id, -1), vec![], vec![], Millis(0)).is_ok());
        assert_eq!(refused(request(id, 1)), ErrorCode::FetchSessionIdNotFound);
    }

    #[test]
    fn the_cache_is_bounded_and_pushes_out_the_unused() {
        let sessions = FetchSessions::new(1, Millis(1000));
        let create = |now| {
            let wanted = vec![(key("a"), wanted(0))];
            let full = sessions.begin(request(0, 0), wanted, vec![], now).unwrap();
            sessions.end(&full, std::iter::empty(), now)
        };
        let first = create(Millis(0));
        assert_eq!(create(Millis(1000)), NO_SESSION);
        let second = create(Millis(1001));
        assert_ne!(second, NO_SESSION);
        let gone = sessions.begin(request(first, 1), vec![], vec![], Millis(1002));
        assert_eq!(gone.unwrap_err(), ErrorCode::FetchSessionIdNotFound);
    }

    #[test]
    fn of_a_partition_listed_twice_the_last_counts() {
        let sessions = FetchSessions::new(10, Millis(1000));
        let twice = vec![(key("a"), wanted(1)), (key("b"), wanted(2)), (key("a"), wanted(3))];
        for epoch in [INITIAL_EPOCH, FINAL_EPOCH] {
            let begun = sessions.begin(request(0, epoch), twice.clone(), vec![], Millis(0));
            let asked = |name, offset| Asked { key: key(name), wanted: wanted(offset), told: None };
            assert_eq!(begun.unwrap().partitions, [asked("a", 3), asked("b", 2)]);
        }
    }

    #[test]
    fn a_session_that_ends_while_another_begins_blocks_neither() {
        let sessions = FetchSessions::new(1, Millis(-1));
        let create = || {
            let wanted = vec![(key("a"), wanted(0))];
            let full = sessions.begin(request(0, 0), wanted, vec![], Millis(0)).unwrap();
            sessions.end(&full, std::iter::empty(), Millis(0))
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        let id = create();
                        // Pushed out already, or emptied now: either way it is gone.
                        let _gone =
                            sessions.begin(request(id, 1), vec![], vec![key("a")], Millis(0));
                    }
                });
            }
        });
        assert!(sessions.cache.lock().sessions.len() <= 1);
    }

    #[test]
    fn the_epoch_skips_the_two_that_mean_something() {
        assert_eq!(next_epoch(1), 2);
        assert_eq!(next_epoch(i32::MAX), 1);
    }
}
