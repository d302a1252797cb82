//! Fetch sessions (KIP-227): what is left out, what is added and forgotten, and what ends them.

use anyhow::{Context, ensure};
use ottla_interop::broker::Broker;
use ottla_interop::raw::Connection;
use ottla_protocol::k01_fetch::{FetchTopic, ForgottenTopic};
use ottla_protocol::{DeleteTopicsRequest, ErrorCode, FetchRequest, FetchResponse, TopicId};

use super::requests::{
    FETCH_BY_ID, FETCH_BY_NAME, PRODUCE_BY_NAME, fetch_from, from, one, produce,
};
use super::{create, produced};

/// A client with one session.
struct Reader {
    client: Connection,
    by_id: bool,
    id: TopicId,
    session: i32,
    epoch: i32,
}

impl Reader {
    fn start(broker: &Broker, by_id: bool) -> anyhow::Result<Self> {
        let mut client = Connection::open(broker.address())?;
        let id = create(&mut client, "read", 4, &[])?;
        Ok(Self { client, by_id, id, session: 0, epoch: 0 })
    }

    fn version(&self) -> i16 {
        if self.by_id { FETCH_BY_ID } else { FETCH_BY_NAME }
    }

    fn request(&self, wanted: &[(i32, i64)], forgotten: &[i32]) -> FetchRequest {
        let name = if self.by_id { "" } else { "read" };
        let topic_id = if self.by_id { self.id } else { TopicId::ZERO };
        let mut request = fetch_from(Vec::new());
        if !wanted.is_empty() {
            request.topics.push(FetchTopic {
                topic: name.into(),
                topic_id,
                partitions: wanted.iter().map(|(index, offset)| from(*index, *offset)).collect(),
                ..Default::default()
            });
        }
        if !forgotten.is_empty() {
            request.forgotten_topics_data.push(ForgottenTopic {
                topic: name.into(),
                topic_id,
                partitions: forgotten.to_vec(),
                ..Default::default()
            });
        }
        request.session_id = self.session;
        request.session_epoch = self.epoch;
        request
    }

    fn ask(&mut self, wanted: &[(i32, i64)], forgotten: &[i32]) -> anyhow::Result<FetchResponse> {
        let request = self.request(wanted, forgotten);
        self.client.ask(self.version(), &request)
    }

    /// Opens a session with these partitions.
    fn open(&mut self, wanted: &[(i32, i64)]) -> anyhow::Result<()> {
        (self.session, self.epoch) = (0, 0);
        let answer = self.ask(wanted, &[])?;
        ensure!(answer.error_code == 0 && answer.session_id != 0, "{answer:?}");
        ensure!(answered(&answer) == partitions(wanted), "{answer:?}");
        (self.session, self.epoch) = (answer.session_id, 1);
        Ok(())
    }

    /// The session's next fetch; the partitions in the answer must be those.
    fn next(
        &mut self,
        wanted: &[(i32, i64)],
        forgotten: &[i32],
        expected: &[i32],
    ) -> anyhow::Result<FetchResponse> {
        let answer = self.ask(wanted, forgotten)?;
        ensure!(answer.error_code == 0 && answer.session_id == self.session, "{answer:?}");
        ensure!(answered(&answer) == expected, "{expected:?}: {answer:?}");
        self.epoch += 1;
        Ok(answer)
    }

    fn refused(&mut self, error: ErrorCode) -> anyhow::Result<()> {
        let answer = self.ask(&[], &[])?;
        ensure!(answer.error_code == i16::from(error), "{answer:?}, not {error:?}");
        ensure!(answer.responses.is_empty() && answer.session_id == 0, "{answer:?}");
        Ok(())
    }

    fn produce(&mut self, partition: i32) -> anyhow::Result<()> {
        let request = produce("read", partition, -1, one("v"));
        let answer = produced(&mut self.client, PRODUCE_BY_NAME, &request)?;
        ensure!(answer.error_code == 0, "{answer:?}");
        Ok(())
    }
}

fn partitions(wanted: &[(i32, i64)]) -> Vec<i32> {
    wanted.iter().map(|(index, _)| *index).collect()
}

fn answered(answer: &FetchResponse) -> Vec<i32> {
    let partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
    let mut indexes: Vec<i32> = partitions.map(|partition| partition.partition_index).collect();
    indexes.sort_unstable();
    indexes
}

#[test]
fn only_what_changed_is_answered() -> anyhow::Result<()> {
    let broker = Broker::start(&[])?;
    for by_id in [false, true] {
        let mut reader = Reader::start_again(&broker, by_id)?;
        let end = reader.ends()?;
        reader.open(&[(0, end[0]), (1, end[1]), (2, end[2])])?;
        reader.next(&[], &[], &[])?;
        reader.produce(1)?;
        let answer = reader.next(&[], &[], &[1])?;
        let partition = answer.responses.first().and_then(|topic| topic.partitions.first());
        let records = partition.and_then(|p| p.records.as_ref()).context("no records")?;
        ensure!(!records.is_empty(), "nothing in it");
        // Not read on: the same again.
        reader.next(&[], &[], &[1])?;
        reader.next(&[(1, end[1] + 1)], &[], &[])?;
        // A partition more is answered, though it has nothing.
        reader.next(&[(3, end[3])], &[], &[3])?;
        reader.next(&[], &[], &[])?;
        // Those that are forgotten are not.
        reader.produce(0)?;
        reader.produce(2)?;
        reader.next(&[], &[0], &[2])?;
        reader.next(&[(2, end[2] + 1)], &[], &[])?;
        // And back again.
        reader.next(&[(0, end[0])], &[], &[0])?;
        // What is wrong is told each time.
        reader.next(&[(3, 1 << 40)], &[], &[0, 3])?;
        reader.next(&[], &[], &[0, 3])?;
    }
    Ok(())
}

impl Reader {
    /// As `start`, when the topic may be there.
    fn start_again(broker: &Broker, by_id: bool) -> anyhow::Result<Self> {
        if !by_id {
            return Self::start(broker, by_id);
        }
        let mut client = Connection::open(broker.address())?;
        let request = ottla_protocol::MetadataRequest { topics: None, ..Default::default() };
        let topics = client.ask(12, &request)?.topics;
        let topic = topics.iter().find(|topic| topic.name.as_deref() == Some("read"));
        let id = topic.context("no such topic")?.topic_id;
        Ok(Self { client, by_id, id, session: 0, epoch: 0 })
    }

    /// Where the partitions end.
    fn ends(&mut self) -> anyhow::Result<[i64; 4]> {
        self.epoch = -1;
        let answer = self.ask(&[(0, 0), (1, 0), (2, 0), (3, 0)], &[])?;
        let mut ends = [0; 4];
        for partition in answer.responses.iter().flat_map(|topic| &topic.partitions) {
            let index = usize::try_from(partition.partition_index)?;
            *ends.get_mut(index).context("another partition")? = partition.high_watermark;
        }
        ensure!(answer.session_id == 0, "a session nobody asked for: {answer:?}");
        Ok(ends)
    }
}

#[test]
fn wrong_epochs_and_unknown_sessions_are_refused() -> anyhow::Result<()> {
    let broker = Broker::start(&[])?;
    let mut reader = Reader::start(&broker, true)?;
    reader.open(&[(0, 0)])?;
    for epoch in [2, 5, i32::MAX, -2] {
        reader.epoch = epoch;
        reader.refused(ErrorCode::InvalidFetchSessionEpoch)?;
    }
    reader.epoch = 1;
    reader.next(&[], &[], &[])?;
    // Once more the same: it was answered, but not heard.
    reader.epoch = 1;
    reader.refused(ErrorCode::InvalidFetchSessionEpoch)?;
    reader.epoch = 2;
    reader.next(&[], &[], &[])?;
    let own = reader.session;
    for session in [own ^ 1, 7] {
        reader.session = session;
        reader.refused(ErrorCode::FetchSessionIdNotFound)?;
    }
    reader.session = own;
    reader.next(&[], &[], &[])?;
    // By names what was opened by ids.
    reader.by_id = false;
    reader.refused(ErrorCode::FetchSessionTopicIdError)?;
    reader.by_id = true;
    reader.next(&[], &[], &[])?;
    // A last fetch, and it is gone.
    reader.epoch = -1;
    let answer = reader.ask(&[(0, 0)], &[])?;
    ensure!(answer.error_code == 0 && answer.session_id == 0, "{answer:?}");
    reader.epoch = 4;
    reader.refused(ErrorCode::FetchSessionIdNotFound)?;
    // A new one in the place of an old one.
    reader.open(&[(0, 0)])?;
    let old = reader.session;
    reader.epoch = 0;
    let answer = reader.ask(&[(0, 0)], &[])?;
    ensure!(answer.session_id != 0 && answer.session_id != old, "{answer:?}");
    reader.epoch = 1;
    reader.refused(ErrorCode::FetchSessionIdNotFound)
}

#[test]
fn a_session_without_partitions_ends() -> anyhow::Result<()> {
    let broker = Broker::start(&[])?;
    let mut reader = Reader::start(&broker, true)?;
    reader.open(&[(0, 0), (1, 0)])?;
    reader.next(&[], &[1], &[])?;
    let answer = reader.ask(&[], &[0])?;
    ensure!(answer.error_code == 0 && answer.session_id == 0, "{answer:?}");
    reader.epoch += 1;
    reader.refused(ErrorCode::FetchSessionIdNotFound)
}

#[test]
fn a_full_cache_opens_no_session() -> anyhow::Result<()> {
    let broker = Broker::start(&["max.incremental.fetch.session.cache.slots=2"])?;
    let mut reader = Reader::start(&broker, true)?;
    // Kafka shares its slots between eight parts of the cache.
    let mut opened = 0;
    for _ in 0..40 {
        (reader.session, reader.epoch) = (0, 0);
        let answer = reader.ask(&[(0, 0)], &[])?;
        ensure!(answer.error_code == 0 && answered(&answer) == [0], "{answer:?}");
        opened += i32::from(answer.session_id != 0);
    }
    ensure!(opened <= 8, "{opened} sessions in two slots");
    Ok(())
}

#[test]
fn a_deleted_topic_is_told_in_the_session() -> anyhow::Result<()> {
    let broker = Broker::start(&[])?;
    let mut reader = Reader::start(&broker, true)?;
    reader.open(&[(0, 0)])?;
    let names = vec!["read".into()];
    let request =
        DeleteTopicsRequest { topic_names: names, timeout_ms: 30_000, ..Default::default() };
    reader.client.ask(5, &request)?;
    let mut tries = 0;
    loop {
        let answer = reader.ask(&[], &[])?;
        reader.epoch += 1;
        let told = answer.responses.iter().flat_map(|topic| &topic.partitions).next();
        // Kafka knows the name that the id had.
        let gone = [ErrorCode::UnknownTopicId, ErrorCode::UnknownTopicOrPartition];
        if told.is_some_and(|partition| gone.contains(&partition.error_code.into())) {
            return Ok(());
        }
        ensure!(answer.error_code == 0, "{answer:?}");
        tries += 1;
        ensure!(tries < 100_000, "nobody tells: {answer:?}");
    }
}
