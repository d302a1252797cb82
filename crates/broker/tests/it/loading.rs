//! Many partitions, and partitions whose logs are not open yet or cannot be opened: what clients
//! are told, what checkpoints keep, what a stop and the next start make of it.

use std::path::Path;
use std::sync::Arc;

use ottla_broker::Broker;
use ottla_env::memory::Survival;
use ottla_env::{Disk, DiskErrorKind};
use ottla_protocol::k02_list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use ottla_protocol::k21_delete_records::{DeleteRecordsPartition, DeleteRecordsTopic};
use ottla_protocol::{DeleteRecordsRequest, ErrorCode, ListOffsetsRequest};
use ottla_records::BatchOptions;
use parking_lot::{Condvar, Mutex};

use crate::coordinator::{self, committed};
use crate::data::{batch, delete, fetch, fetched, produce, produced, values, write};
use crate::fixture::{Client, LIMIT, Running, World, create, until};
use crate::hooked::{Hook, Hooked};

const CLEAN: &str = ".kafka_cleanshutdown";

/// Whoever looks for a path that begins like this waits. Opening a log begins with reading a file of
/// its, creating one with looking for its directory.
struct Gate {
    prefix: &'static str,
    closed: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn open(&self) {
        *self.closed.lock() = false;
        self.opened.notify_all();
    }
}

impl Hook for Gate {
    fn before(&self, path: &Path) {
        if path.to_string_lossy().starts_with(self.prefix) {
            let mut closed = self.closed.lock();
            while *closed {
                self.opened.wait(&mut closed);
            }
        }
    }
}

/// Starts a broker that cannot open the logs whose paths begin so, until the gate is opened.
fn start_gated(
    world: &World,
    prefix: &'static str,
    settings: &[(&str, &str)],
) -> (Running, Arc<Gate>) {
    let gate = Arc::new(Gate { prefix, closed: Mutex::new(true), opened: Condvar::new() });
    let disk: Arc<dyn Disk> = Arc::new(Hooked((*world.disk).clone(), Arc::clone(&gate)));
    let start = world.broker_start_on(&disk, settings);
    let controller = start.controller.clone();
    let broker = Broker::start(start).unwrap();
    assert!(!broker.wait_until_open(Some(std::time::Duration::ZERO)), "nothing was kept waiting");
    (Running { controller, broker }, gate)
}

fn end(client: &mut Client, topic: &'static str, partition: i32) -> (ErrorCode, i64) {
    let asked = ListOffsetsPartition {
        partition_index: partition,
        timestamp: -1,
        ..ListOffsetsPartition::default()
    };
    let topic = ListOffsetsTopic {
        name: topic.into(),
        partitions: vec![asked],
        ..ListOffsetsTopic::default()
    };
    let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
    let answer = client.ask(6, &request).unwrap();
    let partition = &answer.topics[0].partitions[0];
    (ErrorCode::from(partition.error_code), partition.offset)
}

fn delete_records(client: &mut Client, topic: &'static str, offset: i64) {
    let partition =
        DeleteRecordsPartition { partition_index: 0, offset, ..DeleteRecordsPartition::default() };
    let topic = DeleteRecordsTopic {
        name: topic.into(),
        partitions: vec![partition],
        ..DeleteRecordsTopic::default()
    };
    let request =
        DeleteRecordsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
    let answer = client.ask(2, &request).unwrap();
    assert_eq!(answer.topics[0].partitions[0].error_code, 0);
}

fn write_error(client: &mut Client, topic: &'static str) -> ErrorCode {
    let request = produce(-1, topic, batch(BatchOptions::default(), b"x"));
    ErrorCode::from(produced(client, &request).error_code)
}

fn read(client: &mut Client, topic: &'static str, offset: i64) -> Vec<Vec<u8>> {
    values(&fetched(client, &fetch(topic, &[offset]))[0])
}

fn has_marker(world: &World) -> bool {
    world.names().iter().any(|name| name == CLEAN)
}

fn checkpoint(world: &World, name: &str) -> String {
    String::from_utf8(world.disk.read(&World::dir().join(name)).unwrap()).unwrap()
}

#[test]
fn hundreds_of_partitions_come_and_come_back() {
    let world = World::new();
    let running = world.start(&[]);
    let mut client = running.client();
    // More than are waited for by who follows the metadata.
    create(&mut client, "many", 700);
    for index in 0..700 {
        assert_eq!(end(&mut client, "many", index), (ErrorCode::None, 0), "{index}");
    }
    assert_eq!(write(&mut client, "many", b"one"), 0);
    running.stop();
    assert!(has_marker(&world));

    let running = world.start(&[]);
    let mut client = running.client();
    assert_eq!(write(&mut client, "many", b"two"), 1);
    running.broker.stop().unwrap();
    running.controller.stop();
    // Everything that was to be on disk was.
    world.disk.crash(|_| Survival::Nothing);

    let running = world.start(&[]);
    let mut client = running.client();
    assert_eq!(read(&mut client, "many", 0), [b"one", b"two"]);
    for index in 1..700 {
        assert_eq!(end(&mut client, "many", index), (ErrorCode::None, 0), "{index}");
    }
    running.stop();
}

#[test]
fn many_that_were_just_created_survive_a_power_cut() {
    let world = World::new();
    let running = world.start(&[]);
    let mut client = running.client();
    create(&mut client, "many", 40);
    assert_eq!(write(&mut client, "many", b"one"), 0);
    // The power goes; what is stopped afterwards stops on a disk that knows it no more.
    world.disk.crash(|_| Survival::Nothing);
    drop(running);

    let names = world.names();
    assert_eq!(names.iter().filter(|name| name.starts_with("many-")).count(), 40);
    let metadata = World::dir().join("many-39/partition.metadata");
    let id = String::from_utf8(world.disk.read(&metadata).unwrap()).unwrap();
    assert!(id.starts_with("version: 0\ntopic_id: "), "{id}");
    let running = world.start(&[]);
    assert_eq!(read(&mut running.client(), "many", 0), [b"one"]);
    running.stop();
    assert!(!world.names().iter().any(|name| name.ends_with("-stray")));
}

#[test]
fn a_partition_that_is_being_opened_is_asked_for_again() {
    let world = World::new();
    let running = world.start(&[]);
    let mut client = running.client();
    create(&mut client, "slow", 1);
    create(&mut client, "quick", 1);
    write(&mut client, "slow", b"one");
    running.stop();

    let (running, gated) = start_gated(&world, "/data/slow-0", &[]);
    let mut client = running.client();
    // Nobody waits for the slow one.
    while write_error(&mut client, "quick") != ErrorCode::None {}
    assert_eq!(write_error(&mut client, "slow"), ErrorCode::NotLeaderOrFollower);
    assert_eq!(end(&mut client, "slow", 0).0, ErrorCode::NotLeaderOrFollower);
    let answer = &fetched(&mut client, &fetch("slow", &[0]))[0];
    assert_eq!(ErrorCode::from(answer.error_code), ErrorCode::NotLeaderOrFollower);
    gated.open();
    assert!(running.broker.wait_until_open(Some(LIMIT)));
    assert_eq!(write(&mut client, "slow", b"two"), 1);
    assert_eq!(read(&mut client, "slow", 0), [b"one", b"two"]);
    running.stop();
    assert!(has_marker(&world));
}

#[test]
fn a_topic_that_is_deleted_while_it_is_opened_is_gone() {
    let world = World::new();
    let running = world.start(&[]);
    create(&mut running.client(), "slow", 1);
    running.stop();

    let (running, gated) = start_gated(&world, "/data/slow-0", &[]);
    let mut client = running.client();
    let deleting = std::thread::spawn(move || {
        delete(&mut client, "slow");
        create(&mut client, "slow", 1);
        write(&mut client, "slow", b"new");
        read(&mut client, "slow", 0)
    });
    // The deletion waits for who is at work in the directory.
    gated.open();
    assert_eq!(deleting.join().unwrap(), [b"new"]);
    running.stop();
    let aside = |name: &&String| name.starts_with("slow-0.") && name.ends_with("-delete");
    assert_eq!(world.names().iter().filter(aside).count(), 1);
}

#[test]
fn groups_are_told_to_wait_while_their_log_is_opened() {
    let world = World::new();
    let running = world.start(coordinator::SETTINGS);
    let mut client = running.client();
    create(&mut client, "orders", 1);
    coordinator::find(&mut client);
    assert_eq!(coordinator::commit(&mut client, 7, "m"), ErrorCode::None);
    running.stop();

    let (running, gated) = start_gated(&world, "/data/__consumer_offsets-", coordinator::SETTINGS);
    let mut client = running.client();
    coordinator::find(&mut client);
    assert_eq!(committed(&mut client).1, ErrorCode::CoordinatorLoadInProgress);
    assert_eq!(coordinator::commit(&mut client, 8, "m"), ErrorCode::CoordinatorLoadInProgress);
    gated.open();
    assert!(running.broker.wait_until_open(Some(LIMIT)));
    let mut found = committed(&mut client);
    while found.1 == ErrorCode::CoordinatorLoadInProgress {
        found = committed(&mut client);
    }
    assert_eq!(found, (7, ErrorCode::None));
    running.stop();
}

#[test]
fn where_a_log_begins_is_written_down_while_it_is_served() {
    let world = World::new();
    let often = ("log.flush.start.offset.checkpoint.interval.ms", "10");
    let running = world.start(&[often]);
    let mut client = running.client();
    create(&mut client, "t", 2);
    for value in [b"a", b"b", b"c"] {
        write(&mut client, "t", value);
    }
    for offset in [1, 2] {
        // All of it is in the last segment: no file goes, and only the interval writes it down.
        delete_records(&mut client, "t", offset);
        let begun = std::time::Instant::now();
        let path = World::dir().join("log-start-offset-checkpoint");
        let expected = format!("0\n1\nt 0 {offset}\n").into_bytes();
        while world.disk.read(&path).unwrap_or_default() != expected {
            assert!(begun.elapsed() < LIMIT, "it is not written down");
            std::thread::yield_now();
        }
    }
    running.stop();
}

#[test]
fn a_log_that_cannot_be_opened_keeps_what_is_known_of_it() {
    let world = World::new();
    let running = world.start(&[]);
    let mut client = running.client();
    create(&mut client, "bad", 1);
    create(&mut client, "good", 1);
    for value in [b"a", b"b", b"c"] {
        write(&mut client, "bad", value);
    }
    delete_records(&mut client, "bad", 2);
    running.stop();
    assert_eq!(checkpoint(&world, "log-start-offset-checkpoint"), "0\n1\nbad 0 2\n");

    world.disk.set_fault(Some(Box::new(|action, path| {
        let bad = action == "list" && path.to_string_lossy().starts_with("/data/bad-0");
        bad.then_some(DiskErrorKind::Io)
    })));
    let running = world.start(&[]);
    let mut client = running.client();
    assert_eq!(write_error(&mut client, "bad"), ErrorCode::KafkaStorageError);
    assert_eq!(end(&mut client, "bad", 0).0, ErrorCode::KafkaStorageError);
    assert_eq!(write(&mut client, "good", b"x"), 0);
    running.stop();
    // The next start must look at it: this was no clean stop of that directory.
    assert!(!has_marker(&world));
    assert_eq!(checkpoint(&world, "log-start-offset-checkpoint"), "0\n1\nbad 0 2\n");
    let recovery = checkpoint(&world, "recovery-point-offset-checkpoint");
    assert_eq!(recovery, "0\n2\nbad 0 3\ngood 0 1\n");

    world.disk.set_fault(None);
    let running = world.start(&[]);
    let mut client = running.client();
    assert_eq!(read(&mut client, "bad", 2), [b"c"]);
    let below = &fetched(&mut client, &fetch("bad", &[1]))[0];
    assert_eq!(ErrorCode::from(below.error_code), ErrorCode::OffsetOutOfRange);
    running.stop();
    assert!(has_marker(&world));
}

#[test]
fn logs_that_nobody_wrote_to_are_left_alone() {
    let world = World::new();
    let running = world.start(&[]);
    let mut client = running.client();
    create(&mut client, "idle", 20);
    write(&mut client, "idle", b"one");
    running.stop();
    let files = |world: &World| -> Vec<_> {
        let files = world.disk.files().into_iter();
        files.filter(|(path, _)| path.starts_with("/data/idle-0")).collect()
    };
    let before = files(&world);

    let touched: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&touched);
    world.disk.set_fault(Some(Box::new(move |action, path| {
        let path = path.to_string_lossy();
        if path.starts_with("/data/idle-")
            && !["open", "read", "list", "look for", "measure"].contains(&action)
        {
            seen.lock().push(format!("{action} {path}"));
        }
        None
    })));
    world.start(&[]).stop();
    assert_eq!(*touched.lock(), [""; 0]);
    assert_eq!(files(&world), before);
}

#[test]
fn a_topic_that_is_created_again_without_space_is_not_taken_for_the_old_one() {
    let world = World::new();
    let running = world.start(&[]);
    let mut client = running.client();
    create(&mut client, "t", 1);
    for value in [b"a", b"b", b"c"] {
        write(&mut client, "t", value);
    }
    delete_records(&mut client, "t", 2);
    running.stop();
    assert_eq!(checkpoint(&world, "log-start-offset-checkpoint"), "0\n1\nt 0 2\n");

    let running = world.start(&[]);
    let mut client = running.client();
    delete(&mut client, "t");
    world.disk.set_fault(Some(Box::new(|action, path| {
        let is_checkpoint = path.to_string_lossy().contains("offset-checkpoint");
        (action == "write" && is_checkpoint).then_some(DiskErrorKind::NoSpace)
    })));
    create(&mut client, "t", 1);
    assert_eq!(write_error(&mut client, "t"), ErrorCode::KafkaStorageError);
    world.disk.set_fault(None);
    // By itself.
    until(|| write_error(&mut client, "t") == ErrorCode::None);
    assert_eq!(read(&mut client, "t", 0), [b"x"]);
    world.disk.crash(|_| Survival::Nothing);
    drop(running);

    let running = world.start(&[]);
    let mut client = running.client();
    assert_eq!(read(&mut client, "t", 0), [b"x"]);
    assert_eq!(write(&mut client, "t", b"y"), 1);
    running.stop();
}
