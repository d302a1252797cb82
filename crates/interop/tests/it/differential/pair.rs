//! The same request to Apache Kafka and to Ottla, and the list of what their answers differ in.
//! Must not know what is asked.

use std::collections::BTreeMap;

use anyhow::Context;
use ottla_interop::broker::{Broker, Kind};
use ottla_interop::raw::Connection;
use ottla_protocol::message::ApiRequest;
use ottla_protocol::{ApiKey, Uuid};

use super::expected::{EXPECTED, Expected};
use super::tree;

/// Settings that the harness gives Kafka because one broker needs them; Ottla gets them too, so
/// that both describe the same ones as given.
const SHARED: [&str; 8] = [
    "offsets.topic.replication.factor=1",
    "transaction.state.log.replication.factor=1",
    "transaction.state.log.min.isr=1",
    "share.coordinator.state.topic.replication.factor=1",
    "share.coordinator.state.topic.min.isr=1",
    "group.initial.rebalance.delay.ms=0",
    "offsets.topic.num.partitions=4",
    "auto.create.topics.enable=false",
];

/// How the raw connection says that the broker ended it.
const CLOSED: &str = "the broker closed the connection";

/// One of the two brokers.
pub(super) struct Side {
    pub(super) broker: Broker,
    connection: Connection,
    /// What is written differently on each side, and what is written here for both.
    words: Vec<(String, String)>,
    /// The same by label.
    known: BTreeMap<String, String>,
}

/// What a broker made of a request: its answer, or that it closed the connection.
pub(super) type Outcome<T> = Result<T, String>;

/// Both brokers and what was found so far.
pub(super) struct Pair {
    pub(super) kafka: Side,
    pub(super) ottla: Side,
    /// Place and values, and the versions in which they were found.
    found: BTreeMap<Place, Vec<i16>>,
    compared: usize,
}

/// API, case, place in the answer, Kafka's value, Ottla's.
type Place = (String, String, String, String, String);

impl Side {
    fn start(kind: Kind, settings: &[&str]) -> anyhow::Result<Self> {
        let settings: Vec<&str> = SHARED.iter().chain(settings).copied().collect();
        Self::of(Broker::start_as(kind, &settings)?)
    }

    /// With several log directories, known by the labels `dir0`, `dir1` and so on.
    fn start_with_dirs(kind: Kind, settings: &[&str], log_dirs: usize) -> anyhow::Result<Self> {
        let mut side = Self::of(Broker::movable(kind, settings, log_dirs)?)?;
        for (number, dir) in side.broker.log_dirs()?.iter().enumerate() {
            side.learn(&dir.display().to_string(), &format!("dir{number}"));
        }
        Ok(side)
    }

    fn of(broker: Broker) -> anyhow::Result<Self> {
        let connection = Connection::open(broker.address())?;
        let mut side = Self { broker, connection, words: Vec::new(), known: BTreeMap::new() };
        let port = side.broker.address().rsplit(':').next().unwrap_or_default().to_owned();
        side.words.push((format!("port: {port},"), "port: <port>,".into()));
        side.words.push((format!("127.0.0.1:{port}"), "127.0.0.1:<port>".into()));
        if let Ok(data) = side.broker.data() {
            side.words.push((data.display().to_string(), "<data>".into()));
        }
        Ok(side)
    }

    /// After the broker was started again.
    pub(super) fn connect_again(&mut self) -> anyhow::Result<()> {
        self.connection = Connection::open(self.broker.address())?;
        Ok(())
    }

    /// From now on `own` is written as `<label>`.
    pub(super) fn learn(&mut self, own: &str, label: &str) {
        if !own.is_empty() {
            self.words.push((own.to_owned(), format!("<{label}>")));
            self.known.insert(label.to_owned(), own.to_owned());
        }
    }

    /// From now on the topic id is written as `<id of label>`, and known by the label.
    pub(super) fn learn_id(&mut self, id: Uuid, label: &str) {
        if !id.is_zero() {
            self.learn(&id.to_string(), &format!("id of {label}"));
        }
    }

    /// What was learned under that label; without any, the label.
    pub(super) fn word(&self, label: &str) -> String {
        self.known.get(label).cloned().unwrap_or_else(|| label.to_owned())
    }

    /// The topic id learned under that label; zero without any.
    pub(super) fn id(&self, label: &str) -> Uuid {
        self.known.get(&format!("id of {label}")).and_then(|id| Uuid::parse(id)).unwrap_or_default()
    }

    /// Asks this side alone.
    pub(super) fn ask<R: ApiRequest>(
        &mut self,
        version: i16,
        request: &R,
    ) -> anyhow::Result<R::Response> {
        self.connection.ask(version, request)
    }

    /// Asks; a connection that the broker closed is opened again.
    fn try_ask<R: ApiRequest>(
        &mut self,
        version: i16,
        request: &R,
    ) -> anyhow::Result<Outcome<R::Response>> {
        let correlation = self.connection.tell(version, request)?;
        match self.connection.hear::<R>(version, correlation) {
            Ok(answer) => Ok(Ok(answer)),
            Err(error) if error.to_string().ends_with(CLOSED) => {
                self.connection = Connection::open(self.broker.address())?;
                Ok(Err(CLOSED.to_owned()))
            }
            Err(error) => Err(error),
        }
    }

    fn written(&self, text: String) -> String {
        self.words.iter().fold(text, |text, (own, common)| text.replace(own, common))
    }
}

impl Pair {
    /// Starts both brokers.
    pub(super) fn start(settings: &[&str]) -> anyhow::Result<Self> {
        Ok(Self {
            kafka: Side::start(Kind::Kafka, settings)?,
            ottla: Side::start(Kind::chosen(), settings)?,
            found: BTreeMap::new(),
            compared: 0,
        })
    }

    /// Both with several log directories.
    pub(super) fn start_with_dirs(settings: &[&str], log_dirs: usize) -> anyhow::Result<Self> {
        let start = |kind| Side::start_with_dirs(kind, settings, log_dirs);
        Ok(Self {
            kafka: start(Kind::Kafka)?,
            ottla: start(Kind::chosen())?,
            found: BTreeMap::new(),
            compared: 0,
        })
    }

    /// Both sides.
    pub(super) fn sides(&mut self) -> [&mut Side; 2] {
        [&mut self.kafka, &mut self.ottla]
    }

    /// Sends a request to both and compares the answers.
    pub(super) fn both<R: ApiRequest>(
        &mut self,
        case: &str,
        version: i16,
        request: impl Fn(&Side) -> R,
    ) -> anyhow::Result<()> {
        self.outcomes(case, version, request, |_| ()).map(|_| ())
    }

    /// The same; `less` takes out of an answer what may differ.
    pub(super) fn both_less<R: ApiRequest>(
        &mut self,
        case: &str,
        version: i16,
        request: impl Fn(&Side) -> R,
        less: impl Fn(&mut R::Response),
    ) -> anyhow::Result<()> {
        self.outcomes(case, version, request, less).map(|_| ())
    }

    /// The same, and gives what came of it: Kafka's, then Ottla's.
    pub(super) fn outcomes<R: ApiRequest>(
        &mut self,
        case: &str,
        version: i16,
        request: impl Fn(&Side) -> R,
        less: impl Fn(&mut R::Response),
    ) -> anyhow::Result<[Outcome<R::Response>; 2]> {
        let (to_kafka, to_ottla) = (request(&self.kafka), request(&self.ottla));
        let why = || format!("case {case:?}");
        let kafka = self.kafka.try_ask(version, &to_kafka).with_context(why)?;
        let ottla = self.ottla.try_ask(version, &to_ottla).with_context(why)?;
        let text = |side: &Side, outcome: &Outcome<R::Response>| match outcome {
            Ok(answer) => {
                let mut answer = answer.clone();
                less(&mut answer);
                side.written(format!("{answer:#?}"))
            }
            Err(error) => error.clone(),
        };
        let trees =
            [tree::read(&text(&self.kafka, &kafka)), tree::read(&text(&self.ottla, &ottla))];
        for (place, left, right) in tree::differences(&trees[0], &trees[1]) {
            self.differs(R::API_KEY.name(), case, version, (place, left, right));
        }
        self.compared += 1;
        Ok([kafka, ottla])
    }

    /// The same request in every version that is served.
    pub(super) fn in_each_version<R: ApiRequest>(
        &mut self,
        case: &str,
        request: impl Fn(&Side, i16) -> R,
    ) -> anyhow::Result<()> {
        for version in versions(R::API_KEY) {
            self.both(case, version, |side| request(side, version))?;
        }
        Ok(())
    }

    /// Notes a difference.
    pub(super) fn differs(
        &mut self,
        api: &str,
        case: &str,
        version: i16,
        (place, kafka, ottla): tree::Difference,
    ) {
        let place = (api.to_owned(), case.to_owned(), place, kafka, ottla);
        self.found.entry(place).or_default().push(version);
    }

    /// Counts something that was compared without [`Pair::both`].
    pub(super) fn compared(&mut self) {
        self.compared += 1;
    }

    /// Fails with the list of differences that no entry of the table expects, and with the
    /// entries for `apis` that nothing matched any more.
    pub(super) fn finish(self, part: &str, at_least: usize) -> anyhow::Result<()> {
        let own: Vec<&Expected> = EXPECTED.iter().filter(|entry| entry.part == part).collect();
        let mut used = vec![false; own.len()];
        let mut lines = Vec::new();
        for ((api, case, place, kafka, ottla), versions) in &self.found {
            let matching = own.iter().position(|entry| entry.is(api, case, place));
            match matching.and_then(|at| used.get_mut(at)) {
                Some(used) => *used = true,
                None => lines.push(format!(
                    "{api} {versions:?}, {case}: {place}\n    Kafka {kafka}\n    Ottla {ottla}"
                )),
            }
        }
        let count = lines.len();
        // Against Kafka itself nothing differs, and no entry is used.
        if !matches!(self.ottla.broker.kind(), Kind::Kafka | Kind::Outside(_)) {
            let unused = own.iter().zip(&used).filter(|(_, used)| !**used);
            lines.extend(unused.map(|(entry, _)| format!("nothing differs as in {entry:?}")));
        }
        anyhow::ensure!(
            lines.is_empty(),
            "{count} differences in {} answers:\n{}",
            self.compared,
            lines.join("\n")
        );
        anyhow::ensure!(self.compared >= at_least, "only {} answers compared", self.compared);
        Ok(())
    }
}

/// The versions in which an API is served.
pub(super) fn versions(api: ApiKey) -> impl Iterator<Item = i16> {
    let versions = api.stable_versions();
    versions.min..=versions.max
}
