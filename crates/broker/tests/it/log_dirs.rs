//! Several log directories: where partitions are, moving them while they are used, and what a
//! restart or a failure in between leaves.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use ottla_env::{Disk, DiskErrorKind};
use ottla_log::{DirState, parse_dir};
use ottla_protocol::k34_alter_replica_log_dirs::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use ottla_protocol::{AlterReplicaLogDirsRequest, DescribeLogDirsRequest, ErrorCode, NodeId, Uuid};

use crate::data::{batch, create, delete, fetch, fetched, produce, produced, values, write};
use crate::fixture::{Client, LIMIT, Owner, Running, World, alter_config, set, until};
use crate::space::delete_records;

const CORDONED: &str = "cordoned.log.dirs";
const RATE: &str = "replica.alter.log.dirs.io.max.bytes.per.second";

fn alter(client: &mut Client, path: &'static str, name: &'static str, index: i32) -> ErrorCode {
    let topic = AlterReplicaLogDirTopic {
        name: name.into(),
        partitions: vec![index],
        ..Default::default()
    };
    let dir = AlterReplicaLogDir { path: path.into(), topics: vec![topic], ..Default::default() };
    let request = AlterReplicaLogDirsRequest { dirs: vec![dir], ..Default::default() };
    let answer = client.ask(2, &request).unwrap();
    assert_eq!(*answer.results[0].topic_name, *name);
    assert_eq!(answer.results[0].partitions[0].partition_index, index);
    answer.results[0].partitions[0].error_code.into()
}

/// Log directory, whether it is a copy, lag, size.
type Place = (String, bool, i64, i64);

fn places(client: &mut Client, name: &str) -> Vec<Place> {
    let request = DescribeLogDirsRequest { topics: None, ..Default::default() };
    let answer = client.ask(4, &request).unwrap();
    let mut places = Vec::new();
    for dir in &answer.results {
        for topic in dir.topics.iter().filter(|topic| *topic.name == *name) {
            for p in &topic.partitions {
                let place = (dir.log_dir.to_string(), p.is_future_key, p.offset_lag);
                places.push((place.0, place.1, place.2, p.partition_size));
            }
        }
    }
    places
}

fn is_at(client: &mut Client, name: &str, path: &str) -> bool {
    let found = places(client, name);
    matches!(found.as_slice(), [(dir, false, 0, _)] if dir == path)
}

fn home(client: &mut Client, name: &str) -> &'static str {
    if is_at(client, name, "/data") { "/data" } else { "/more" }
}

fn other(path: &str) -> &'static str {
    if path == "/data" { "/more" } else { "/data" }
}

/// The directory that the metadata has for the topic's first partition.
fn noted(running: &Running, name: &str) -> Uuid {
    let image = running.controller.image();
    image.topic(name).unwrap().partition(0).unwrap().directories[0]
}

fn id_of(world: &World, path: &str) -> Uuid {
    let text = world.disk.files()[&std::path::Path::new(path).join("meta.properties")].clone();
    ottla_log::MetaProperties::decode(std::str::from_utf8(&text).unwrap())
        .unwrap()
        .directory_id
        .unwrap()
}

fn throttle(client: &mut Client, rate: &str) {
    assert_eq!(alter_config(client, Owner::Broker(""), RATE, rate), ErrorCode::None);
}

/// Directories of this kind, wherever.
fn dirs(world: &World, state: DirState) -> usize {
    let names = ["/data", "/more"].into_iter().flat_map(|dir| {
        world.disk.list(std::path::Path::new(dir)).unwrap().into_iter().map(|entry| entry.name)
    });
    names.filter(|name| parse_dir(name).is_some_and(|(_, found)| found == state)).count()
}

fn write_error(client: &mut Client, name: &'static str) -> ErrorCode {
    let request = produce(-1, name, batch(ottla_records::BatchOptions::default(), b"x"));
    produced(client, &request).error_code.into()
}

/// What does this to a path that begins so fails.
fn fail(world: &World, action: &'static str, path: String) {
    world.disk.set_fault(Some(Box::new(move |does, at| {
        (does == action && at.starts_with(&path)).then_some(DiskErrorKind::Io)
    })));
}

/// Creates a topic in a log directory that the metadata knows then.
fn create_at(running: &Running, world: &World, name: &'static str, path: &'static str) {
    let mut client = running.client();
    assert_eq!(alter(&mut client, path, name, 0), ErrorCode::UnknownTopicOrPartition);
    create(&mut client, name);
    until(|| noted(running, name) == id_of(world, path));
}

fn was_clean(world: &World, dir: &str) -> bool {
    world.disk.exists(&std::path::Path::new(dir).join(".kafka_cleanshutdown")).unwrap()
}

/// More than one piece of a copy, so that a throttled one is not done at once.
fn fill(client: &mut Client, name: &'static str) -> usize {
    for index in 0..8_u8 {
        write(client, name, &vec![index; 300_000]);
    }
    8
}

fn all(client: &mut Client, name: &'static str, count: usize) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while found.len() < count {
        let offset = i64::try_from(found.len()).unwrap();
        let more = values(&fetched(client, &fetch(name, &[offset]))[0]);
        assert!(!more.is_empty(), "{} of {count}", found.len());
        found.extend(more);
    }
    assert_eq!(found.len(), count);
    found
}

#[test]
fn a_partition_moves_and_is_there_after_a_restart() {
    let world = World::with_dirs(&["/data", "/more"]);
    let running = world.start(&[("log.segment.bytes", "1048576")]);
    let mut client = running.client();
    create(&mut client, "orders");
    fill(&mut client, "orders");
    delete_records(&mut client, "orders", 2);
    let (from, to) = (home(&mut client, "orders"), other(home(&mut client, "orders")));
    until(|| noted(&running, "orders") == id_of(&world, from));
    assert_eq!(alter(&mut client, to, "orders", 0), ErrorCode::None);
    until(|| is_at(&mut client, "orders", to));
    assert_eq!(noted(&running, "orders"), id_of(&world, to));
    assert_eq!(dirs(&world, DirState::Live), 2, "the partition's and the metadata's");
    assert_eq!(dirs(&world, DirState::Future), 0);
    assert_eq!(dirs(&world, DirState::Delete), 1);
    // To where it is already.
    assert_eq!(alter(&mut client, to, "orders", 0), ErrorCode::None);
    assert_eq!(write(&mut client, "orders", b"after"), 8);
    let check = |client: &mut Client| {
        assert_eq!(values(&fetched(client, &fetch("orders", &[2]))[0])[0], vec![2; 300_000]);
        let out = fetched(client, &fetch("orders", &[1]))[0].error_code;
        assert_eq!(ErrorCode::from(out), ErrorCode::OffsetOutOfRange);
        assert_eq!(values(&fetched(client, &fetch("orders", &[8]))[0]), [b"after"]);
    };
    check(&mut client);
    running.stop();
    let running = world.start(&[]);
    let mut client = running.client();
    assert!(is_at(&mut client, "orders", to));
    check(&mut client);
    // And killed, without a clean stop.
    assert_eq!(alter(&mut client, from, "orders", 0), ErrorCode::None);
    until(|| is_at(&mut client, "orders", from));
    drop(running);
    let running = world.start(&[]);
    let mut client = running.client();
    assert!(is_at(&mut client, "orders", from));
    check(&mut client);
    assert_eq!(write(&mut client, "orders", b"more"), 9);
    running.stop();
}

#[test]
fn what_cannot_be_moved_is_refused_as_in_kafka() {
    let world = World::with_dirs(&["/data", "/more"]);
    let running = world.start(&[]);
    let mut client = running.client();
    create(&mut client, "orders");
    let (from, to) = (home(&mut client, "orders"), other(home(&mut client, "orders")));
    assert_eq!(alter(&mut client, "/nowhere", "orders", 0), ErrorCode::LogDirNotFound);
    assert_eq!(alter(&mut client, "", "orders", 0), ErrorCode::LogDirNotFound);
    assert_eq!(alter(&mut client, to, "orders", 1), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(alter(&mut client, to, "orders", -1), ErrorCode::UnknownTopicOrPartition);
    let long: &'static str = "x".repeat(249).leak();
    assert_eq!(alter(&mut client, to, long, 0), ErrorCode::InvalidTopicException);
    // What is not there yet is created where it was wanted.
    for (name, path) in [("a", to), ("b", to), ("c", to)] {
        create_at(&running, &world, name, path);
        assert!(is_at(&mut client, name, path), "{name}");
    }
    let failing = std::path::PathBuf::from(to);
    world.disk.set_fault(Some(Box::new(move |verb, path| {
        (verb == "sync" && path.starts_with(&failing)).then_some(DiskErrorKind::Io)
    })));
    assert_eq!(write_error(&mut client, "a"), ErrorCode::KafkaStorageError);
    assert_eq!(alter(&mut client, to, "orders", 0), ErrorCode::KafkaStorageError);
    assert_eq!(alter(&mut client, from, "a", 0), ErrorCode::KafkaStorageError);
    assert_eq!(alter(&mut client, from, "orders", 0), ErrorCode::None);
    world.disk.set_fault(None);
    drop(running);
}

#[test]
fn a_move_is_seen_called_off_begun_again_and_goes_on_after_a_restart() {
    let world = World::with_dirs(&["/data", "/more"]);
    let running = world.start(&[]);
    let mut client = running.client();
    create(&mut client, "orders");
    let count = fill(&mut client, "orders");
    let (from, to) = (home(&mut client, "orders"), other(home(&mut client, "orders")));
    throttle(&mut client, "1000");
    assert_eq!(alter(&mut client, to, "orders", 0), ErrorCode::None);
    // The first piece of a copy is not waited for; the next ones take an hour.
    let half_done = |client: &mut Client| {
        let found = places(client, "orders");
        let copy = found.iter().find(|place| place.1);
        copy.is_some_and(|(dir, _, lag, size)| dir == to && (1..8).contains(lag) && *size > 0)
            && found.iter().any(|place| place.0 == from && !place.1 && place.3 > 2_400_000)
    };
    until(|| half_done(&mut client));
    assert_eq!(dirs(&world, DirState::Future), 1);
    // Called off.
    assert_eq!(alter(&mut client, from, "orders", 0), ErrorCode::None);
    assert!(is_at(&mut client, "orders", from));
    until(|| dirs(&world, DirState::Future) == 0);
    // Nothing a second lets a piece a minute through.
    throttle(&mut client, "0");
    assert_eq!(alter(&mut client, to, "orders", 0), ErrorCode::None);
    until(|| half_done(&mut client));
    let begun = places(&mut client, "orders").iter().find(|place| place.1).unwrap().3;
    running.stop();
    assert_eq!(dirs(&world, DirState::Future), 1);
    let running = world.start(&[]);
    let mut client = running.client();
    // The copy is taken up again, and goes on when it may.
    until(|| {
        let found = places(&mut client, "orders");
        found.iter().any(|(dir, future, _, size)| dir == to && *future && *size >= begun)
    });
    write(&mut client, "orders", b"meanwhile");
    throttle(&mut client, "100000000");
    until(|| is_at(&mut client, "orders", to));
    assert_eq!(all(&mut client, "orders", count + 1)[count], b"meanwhile");
    running.stop();
}

/// Stops the disk when a copy is about to get its log's name, until the sender is used or dropped.
fn stopped_at_promotion(world: &World) -> (Receiver<()>, Sender<()>) {
    let ((reached, is_reached), (go_on, may_go_on)) = (channel(), channel::<()>());
    let mut gate = Some((reached, may_go_on));
    world.disk.set_fault(Some(Box::new(move |verb, path| {
        let name = path.file_name()?.to_str()?;
        let promotes =
            verb == "rename" && parse_dir(name).is_some_and(|(_, state)| state == DirState::Future);
        if let Some((reached, may_go_on)) = gate.take_if(|_| promotes) {
            reached.send(()).unwrap();
            let _used_or_dropped = may_go_on.recv();
        }
        None
    })));
    (is_reached, go_on)
}

#[test]
fn a_move_called_off_too_late_and_asked_for_again_loses_nothing() {
    for again in [1, 2] {
        let world = World::with_dirs(&["/data", "/more"]);
        let running = world.start(&[]);
        let mut client = running.client();
        create(&mut client, "orders");
        write(&mut client, "orders", b"before");
        let (from, to) = (home(&mut client, "orders"), other(home(&mut client, "orders")));
        let (is_reached, go_on) = stopped_at_promotion(&world);
        assert_eq!(alter(&mut client, to, "orders", 0), ErrorCode::None);
        is_reached.recv_timeout(LIMIT).unwrap();
        // The copy takes the log's place now, whatever is wanted.
        let wanted = [from, to, from];
        for path in &wanted[..=again] {
            assert_eq!(alter(&mut client, path, "orders", 0), ErrorCode::None);
        }
        drop(go_on);
        let last = wanted[again];
        until(|| is_at(&mut client, "orders", last) && dirs(&world, DirState::Future) == 0);
        assert_eq!(write(&mut client, "orders", b"after"), 1);
        until(|| noted(&running, "orders") == id_of(&world, last));
        drop(running);
        let running = world.start(&[]);
        let mut client = running.client();
        assert!(is_at(&mut client, "orders", last));
        assert_eq!(all(&mut client, "orders", 2), [b"before".to_vec(), b"after".to_vec()]);
        running.stop();
    }
}

#[test]
fn a_copy_whose_log_is_gone_is_the_log_where_the_metadata_has_it_and_stays_elsewhere() {
    let world = World::with_dirs(&["/data", "/more"]);
    let running = world.start(&[]);
    let mut client = running.client();
    for (name, path) in [("noted", "/data"), ("other", "/more")] {
        create_at(&running, &world, name, path);
        write(&mut client, name, b"before");
    }
    running.stop();
    // As if the log had been on a disk that is not there any more.
    for (name, path) in [("noted", "/data"), ("other", "/more")] {
        let old = std::path::PathBuf::from(format!("{path}/{name}-0"));
        let copy = format!("/data/{name}-0.00000000000000000000000000000001-future");
        let (content, copy) = (files(&world, path, name), std::path::PathBuf::from(copy));
        world.disk.remove_dir_all(&old).unwrap();
        put_into(&world, &copy, content);
    }
    let running = world.start(&[]);
    let mut client = running.client();
    assert!(is_at(&mut client, "noted", "/data"));
    assert_eq!(all(&mut client, "noted", 1), [b"before"]);
    assert!(is_at(&mut client, "other", "/more"), "created anew, as in Kafka");
    assert_eq!(dirs(&world, DirState::Future), 1, "but what there is of it is kept");
    running.stop();
}

#[test]
fn a_topic_deleted_on_its_way_leaves_nothing() {
    let world = World::with_dirs(&["/data", "/more"]);
    let running = world.start(&[]);
    let mut client = running.client();
    create(&mut client, "orders");
    fill(&mut client, "orders");
    let to = other(home(&mut client, "orders"));
    throttle(&mut client, "1000");
    assert_eq!(alter(&mut client, to, "orders", 0), ErrorCode::None);
    until(|| dirs(&world, DirState::Future) == 1);
    delete(&mut client, "orders");
    until(|| dirs(&world, DirState::Future) == 0);
    assert_eq!(dirs(&world, DirState::Delete), 1);
    // One of the same name is another.
    create(&mut client, "orders");
    assert_eq!(write(&mut client, "orders", b"new"), 0);
    assert_eq!(all(&mut client, "orders", 1), [b"new"]);
    running.stop();
}

/// Files of the topic's first partition in a log directory, and its content put into another one.
type Files = Vec<(std::ffi::OsString, Vec<u8>)>;

fn files(world: &World, dir: &str, name: &str) -> Files {
    let dir = format!("{dir}/{name}-0");
    let found = world.disk.files().into_iter().filter(|(path, _)| path.starts_with(&dir));
    found.map(|(path, content)| (path.file_name().unwrap().to_owned(), content)).collect()
}

fn put(world: &World, dir: &str, name: &str, content: Files) {
    put_into(world, std::path::Path::new(&format!("{dir}/{name}-0")), content);
}

fn put_into(world: &World, dir: &std::path::Path, content: Files) {
    if world.disk.exists(dir).unwrap() {
        world.disk.remove_dir_all(dir).unwrap();
    }
    world.disk.create_dir(dir).unwrap();
    for (name, content) in content {
        world.disk.write_atomically(&dir.join(name), content.into()).unwrap();
    }
}

#[test]
fn of_two_directories_of_one_partition_the_longer_counts_then_what_the_metadata_names() {
    let world = World::with_dirs(&["/data", "/more"]);
    let running = world.start(&[]);
    let mut client = running.client();
    create(&mut client, "orders");
    write(&mut client, "orders", b"a");
    let from = home(&mut client, "orders");
    until(|| noted(&running, "orders") == id_of(&world, from));
    running.stop();
    let short = files(&world, from, "orders");
    // As after a crash between the two renames of a move: equal, and the metadata decides.
    put(&world, other(from), "orders", short.clone());
    let running = world.start(&[]);
    let mut client = running.client();
    assert!(is_at(&mut client, "orders", from));
    assert_eq!(dirs(&world, DirState::Stray), 1);
    assert_eq!(write(&mut client, "orders", b"b"), 1);
    running.stop();
    // The other went on alone, and this one has not been served since.
    let long = files(&world, from, "orders");
    put(&world, from, "orders", short);
    put(&world, other(from), "orders", long);
    for name in [".kafka_cleanshutdown", "recovery-point-offset-checkpoint"] {
        world.disk.remove_file(&std::path::Path::new(from).join(name)).unwrap();
    }
    let running = world.start(&[]);
    let mut client = running.client();
    assert!(is_at(&mut client, "orders", other(from)));
    assert_eq!(all(&mut client, "orders", 2), [b"a", b"b"]);
    until(|| noted(&running, "orders") == id_of(&world, other(from)));
    assert_eq!(dirs(&world, DirState::Stray), 2);
    running.stop();
}

#[test]
fn of_two_directories_none_is_served_while_one_cannot_be_opened() {
    let world = World::with_dirs(&["/data", "/more"]);
    let running = world.start(&[]);
    let mut client = running.client();
    create(&mut client, "orders");
    write(&mut client, "orders", b"a");
    let from = home(&mut client, "orders");
    until(|| noted(&running, "orders") == id_of(&world, from));
    running.stop();
    let short = files(&world, from, "orders");
    let running = world.start(&[]);
    write(&mut running.client(), "orders", b"b");
    running.stop();
    // As when a move's old directory could not be put aside.
    put(&world, other(from), "orders", short);
    for failing in [from, other(from)] {
        fail(&world, "list", format!("{failing}/orders-0"));
        let running = world.start(&[]);
        let mut client = running.client();
        assert_eq!(write_error(&mut client, "orders"), ErrorCode::KafkaStorageError);
        assert_eq!(states(&mut client), [(ErrorCode::None, false); 2]);
        running.stop();
        assert_eq!((dirs(&world, DirState::Live), dirs(&world, DirState::Stray)), (3, 0));
        // The next start looks at both again, with what is known of them.
        assert!(!was_clean(&world, "/data") && !was_clean(&world, "/more"));
        let path = std::path::Path::new(from).join("recovery-point-offset-checkpoint");
        let known = String::from_utf8(world.disk.read(&path).unwrap()).unwrap();
        assert!(known.lines().any(|line| line == "orders 0 2"), "{known}");
    }
    world.disk.set_fault(None);
    let running = world.start(&[]);
    let mut client = running.client();
    assert!(is_at(&mut client, "orders", from));
    assert_eq!(all(&mut client, "orders", 2), [b"a", b"b"]);
    assert_eq!((dirs(&world, DirState::Live), dirs(&world, DirState::Stray)), (2, 1));
    running.stop();
}

#[test]
fn one_that_may_be_in_two_directories_is_deleted_from_both() {
    let world = World::with_dirs(&["/data", "/more"]);
    let running = world.start(&[]);
    create_at(&running, &world, "orders", "/more");
    running.stop();
    put(&world, "/data", "orders", files(&world, "/more", "orders"));
    fail(&world, "list", "/more/orders-0".to_owned());
    let running = world.start(&[]);
    let mut client = running.client();
    assert_eq!(write_error(&mut client, "orders"), ErrorCode::KafkaStorageError);
    delete(&mut client, "orders");
    assert_eq!((dirs(&world, DirState::Live), dirs(&world, DirState::Delete)), (1, 2));
    world.disk.set_fault(None);
    create(&mut client, "orders");
    assert_eq!(write(&mut client, "orders", b"new"), 0);
    running.stop();
    assert!(was_clean(&world, "/data") && was_clean(&world, "/more"));
}

#[test]
fn a_copy_that_a_crash_left_is_looked_at_also_after_a_clean_stop() {
    let world = World::with_dirs(&["/data", "/more"]);
    let running = world.start(&[]);
    let mut client = running.client();
    create_at(&running, &world, "orders", "/more");
    let count = fill(&mut client, "orders");
    throttle(&mut client, "1000");
    assert_eq!(alter(&mut client, "/data", "orders", 0), ErrorCode::None);
    until(|| {
        let found = places(&mut client, "orders");
        found.iter().any(|(_, future, lag, _)| *future && *lag < 6)
    });
    running.stop();
    // As after a crash: a block in the middle of what was copied last is lost.
    let copied = world
        .disk
        .files()
        .into_iter()
        .find(|(path, _)| path.to_string_lossy().ends_with("-future/00000000000000000000.log"));
    let (path, mut content) = copied.unwrap();
    assert!(content.len() > 800_000, "{}", content.len());
    content[400_000..400_512].fill(0);
    world.disk.write_atomically(&path, content.into()).unwrap();
    world.disk.remove_file(std::path::Path::new("/data/.kafka_cleanshutdown")).unwrap();
    // The next run has nothing to copy from, and stops cleanly.
    let start = world.broker_start(&[]);
    world.disk.set_fault(Some(Box::new(|_, path| {
        path.starts_with("/more").then_some(DiskErrorKind::Io)
    })));
    Running::start(start).unwrap().stop();
    world.disk.set_fault(None);
    assert_eq!(dirs(&world, DirState::Future), 1);
    assert!(was_clean(&world, "/data"));

    let running = world.start(&[]);
    let mut client = running.client();
    throttle(&mut client, "100000000");
    until(|| is_at(&mut client, "orders", "/data"));
    for (index, value) in all(&mut client, "orders", count).iter().enumerate() {
        assert!(*value == vec![u8::try_from(index).unwrap(); 300_000], "{index}");
    }
    running.stop();
}

#[test]
fn a_move_to_where_the_name_is_taken_ends_alone() {
    let world = World::with_dirs(&["/data", "/more"]);
    let running = world.start(&[]);
    let mut client = running.client();
    create_at(&running, &world, "orders", "/data");
    create_at(&running, &world, "other", "/more");
    write(&mut client, "orders", b"a");
    // As when there was no space to put it aside after an earlier move.
    put(&world, "/more", "orders", files(&world, "/data", "orders"));
    assert_eq!(alter(&mut client, "/more", "orders", 0), ErrorCode::None);
    until(|| is_at(&mut client, "orders", "/data"));
    // Also when it turns up while the log is copied.
    let taken = std::path::Path::new("/more/orders-0");
    world.disk.remove_dir_all(taken).unwrap();
    fill(&mut client, "orders");
    throttle(&mut client, "1000");
    assert_eq!(alter(&mut client, "/more", "orders", 0), ErrorCode::None);
    until(|| dirs(&world, DirState::Future) == 1);
    world.disk.create_dir(taken).unwrap();
    throttle(&mut client, "100000000");
    until(|| is_at(&mut client, "orders", "/data"));
    until(|| dirs(&world, DirState::Future) == 0);
    assert_eq!(states(&mut client), [(ErrorCode::None, false); 2]);
    assert_eq!(write(&mut client, "orders", b"b"), 9);
    assert_eq!(write(&mut client, "other", b"c"), 0);
    running.stop();
}

#[test]
fn a_move_to_where_the_logs_start_cannot_be_noted_ends() {
    let world = World::with_dirs(&["/data", "/more"]);
    let running = world.start(&[]);
    let mut client = running.client();
    create_at(&running, &world, "orders", "/data");
    write(&mut client, "orders", b"a");
    write(&mut client, "orders", b"b");
    assert_eq!(delete_records(&mut client, "orders", 1), (1, ErrorCode::None));
    let (struck, seen) = channel();
    world.disk.set_fault(Some(Box::new(move |_, path| {
        let noted = path.starts_with("/more/log-start-offset-checkpoint.tmp");
        noted.then(|| {
            let _first_is_enough = struck.send(());
            DiskErrorKind::NoSpace
        })
    })));
    assert_eq!(alter(&mut client, "/more", "orders", 0), ErrorCode::None);
    seen.recv_timeout(LIMIT).unwrap();
    // What was deleted would be back there after a crash.
    until(|| is_at(&mut client, "orders", "/data") && dirs(&world, DirState::Future) == 0);
    world.disk.set_fault(None);
    assert_eq!(alter(&mut client, "/more", "orders", 0), ErrorCode::None);
    until(|| is_at(&mut client, "orders", "/more"));
    running.stop();
}

#[test]
fn a_copy_that_cannot_get_its_name_stays_in_the_directory_that_failed() {
    let world = World::with_dirs(&["/data", "/more"]);
    let running = world.start(&[]);
    let mut client = running.client();
    create_at(&running, &world, "orders", "/data");
    write(&mut client, "orders", b"before");
    let mut fails = true;
    world.disk.set_fault(Some(Box::new(move |verb, path| {
        let (_, state) = parse_dir(path.file_name()?.to_str()?)?;
        let promotes = verb == "rename" && state == DirState::Future;
        (promotes && std::mem::take(&mut fails)).then_some(DiskErrorKind::Io)
    })));
    assert_eq!(alter(&mut client, "/more", "orders", 0), ErrorCode::None);
    until(|| running.controller.image().broker(NodeId(1)).unwrap().log_dirs.len() == 1);
    assert_eq!(write(&mut client, "orders", b"after"), 1);
    running.stop();
    assert_eq!(dirs(&world, DirState::Future), 1, "nothing more is done there");
    world.disk.set_fault(None);
    let running = world.start(&[]);
    let mut client = running.client();
    assert_eq!(all(&mut client, "orders", 2), [b"before".to_vec(), b"after".to_vec()]);
    running.stop();
}

#[test]
fn a_directory_where_names_cannot_be_changed_at_start_takes_no_other_with_it() {
    let world = World::with_dirs(&["/data", "/more"]);
    let running = world.start(&[]);
    let mut client = running.client();
    create_at(&running, &world, "good", "/data");
    create_at(&running, &world, "bad", "/more");
    write(&mut client, "good", b"a");
    write(&mut client, "bad", b"a");
    running.stop();
    let bad = files(&world, "/more", "bad");
    let copy = "/more/bad-0.00000000000000000000000000000001-future";
    let offline = |path: &str, live: usize| {
        fail(&world, "rename", path.to_owned());
        let running = world.start(&[]);
        let mut client = running.client();
        let there = ErrorCode::KafkaStorageError;
        assert_eq!(states(&mut client), [(ErrorCode::None, false), (there, false)]);
        write(&mut client, "good", b"b");
        running.stop();
        world.disk.set_fault(None);
        assert_eq!(dirs(&world, DirState::Live), live, "{path}");
    };
    // Of no topic.
    world.disk.create_dir(std::path::Path::new("/more/gone-0")).unwrap();
    offline("/more/gone-0", 4);
    world.disk.remove_dir_all(std::path::Path::new("/more/gone-0")).unwrap();
    // The shorter of two.
    put(&world, "/more", "good", files(&world, "/more", "bad"));
    let metadata = std::path::Path::new("/data/good-0/partition.metadata");
    let metadata = world.disk.read(metadata).unwrap();
    let to = std::path::Path::new("/more/good-0/partition.metadata");
    world.disk.write_atomically(to, metadata.into()).unwrap();
    offline("/more/good-0", 4);
    world.disk.remove_dir_all(std::path::Path::new("/more/good-0")).unwrap();
    // A copy whose log is gone.
    put_into(&world, std::path::Path::new(copy), bad);
    world.disk.remove_dir_all(std::path::Path::new("/more/bad-0")).unwrap();
    offline(copy, 2);
    let running = world.start(&[]);
    let mut client = running.client();
    assert_eq!(all(&mut client, "bad", 1), [b"a"]);
    assert_eq!(all(&mut client, "good", 4).len(), 4);
    running.stop();
}

/// Lets the others end also when the test fails.
struct EndsWhenDropped<'a>(&'a AtomicBool);

impl Drop for EndsWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn nothing_is_lost_while_it_moves_to_and_fro() {
    let world = World::with_dirs(&["/data", "/more"]);
    let running = world.start(&[("log.segment.bytes", "1048576")]);
    let mut client = running.client();
    create(&mut client, "orders");
    let done = AtomicBool::new(false);
    let mut written = Vec::new();
    std::thread::scope(|scope| {
        let producers: Vec<_> = (0..3)
            .map(|producer: u64| {
                let (mut client, done) = (running.client(), &done);
                scope.spawn(move || {
                    let mut acknowledged = Vec::new();
                    let mut index = 0_u64;
                    while !done.load(Ordering::Relaxed) {
                        let mut value = vec![0; 3000];
                        value[..8].copy_from_slice(&producer.to_be_bytes());
                        value[8..16].copy_from_slice(&index.to_be_bytes());
                        acknowledged.push((write(&mut client, "orders", &value), value));
                        index += 1;
                    }
                    acknowledged
                })
            })
            .collect();
        // A reader follows, and never misses one.
        let (mut reader, finished) = (running.client(), &done);
        let reading = scope.spawn(move || {
            let mut next = 0;
            while !finished.load(Ordering::Relaxed) {
                let found = values(&fetched(&mut reader, &fetch("orders", &[next]))[0]);
                next += i64::try_from(found.len()).unwrap();
            }
            next
        });
        let _ends = EndsWhenDropped(&done);
        let begun = Instant::now();
        for _ in 0..6 {
            let to = other(home(&mut client, "orders"));
            set(&mut client, "orders", "retention.ms", "-1");
            assert_eq!(alter(&mut client, to, "orders", 0), ErrorCode::None);
            until(|| is_at(&mut client, "orders", to));
            assert!(begun.elapsed() < LIMIT * 4);
        }
        done.store(true, Ordering::Relaxed);
        for producer in producers {
            written.extend(producer.join().unwrap());
        }
        assert!(reading.join().unwrap() > 0);
    });
    written.sort();
    let expected: Vec<Vec<u8>> = written.into_iter().map(|(_, value)| value).collect();
    assert!(all(&mut client, "orders", expected.len()) == expected);
    drop(running);
    let running = world.start(&[]);
    let mut client = running.client();
    assert!(all(&mut client, "orders", expected.len()) == expected);
    running.stop();
}

/// Error code of each directory, and whether it is cordoned.
fn states(client: &mut Client) -> Vec<(ErrorCode, bool)> {
    let answer = client.ask(5, &DescribeLogDirsRequest { topics: None, ..Default::default() });
    let results = answer.unwrap().results;
    results.iter().map(|result| (result.error_code.into(), result.is_cordoned)).collect()
}

#[test]
fn a_cordoned_directory_takes_nothing_new() {
    let world = World::with_dirs(&["/data", "/more"]);
    let settings = [("log.dirs", "/data,/more")];
    let running = world.start(&settings);
    let mut client = running.client();
    let cordon =
        |client: &mut Client, dirs: &str| alter_config(client, Owner::Broker("1"), CORDONED, dirs);
    assert_eq!(cordon(&mut client, "/nowhere"), ErrorCode::InvalidRequest);
    assert_eq!(cordon(&mut client, "*,/more"), ErrorCode::InvalidRequest);
    assert_eq!(states(&mut client), [(ErrorCode::None, false); 2]);
    assert_eq!(cordon(&mut client, "/data"), ErrorCode::None);
    assert_eq!(states(&mut client), [(ErrorCode::None, true), (ErrorCode::None, false)]);
    for name in ["a", "b", "c"] {
        create(&mut client, name);
        assert!(is_at(&mut client, name, "/more"), "{name}");
        // The controller chose it already, as there is but one.
        assert_eq!(noted(&running, name), id_of(&world, "/more"));
    }
    let cordoned = |running: &Running| {
        let image = running.controller.image();
        image.broker(ottla_protocol::NodeId(1)).unwrap().cordoned_log_dirs.clone()
    };
    assert_eq!(cordoned(&running), [id_of(&world, "/data")]);
    assert_eq!(alter(&mut client, "/data", "a", 0), ErrorCode::InvalidReplicaAssignment);
    assert_eq!(alter(&mut client, "/more", "a", 0), ErrorCode::None);
    assert_eq!(cordon(&mut client, "/more"), ErrorCode::None);
    // Out of it is allowed.
    assert_eq!(alter(&mut client, "/data", "a", 0), ErrorCode::None);
    until(|| is_at(&mut client, "a", "/data"));
    running.stop();
    let running = world.start(&settings);
    let mut client = running.client();
    assert_eq!(states(&mut client), [(ErrorCode::None, false), (ErrorCode::None, true)]);
    assert_eq!(cordoned(&running), [id_of(&world, "/more")]);
    create(&mut client, "d");
    assert!(is_at(&mut client, "d", "/data"));
    assert_eq!(cordon(&mut client, ""), ErrorCode::None);
    until(|| cordoned(&running).is_empty());
    running.stop();
}

#[test]
fn a_directory_that_cannot_be_read_at_start_takes_only_its_partitions_with_it() {
    let world = World::with_dirs(&["/data", "/more"]);
    let running = world.start(&[]);
    let mut client = running.client();
    for (name, path) in [("good", "/data"), ("bad", "/more")] {
        create_at(&running, &world, name, path);
        write(&mut client, name, b"before");
    }
    running.stop();
    let before = files(&world, "/more", "bad");
    let start = world.broker_start(&[]);
    world.disk.set_fault(Some(Box::new(|_, path| {
        path.starts_with("/more").then_some(DiskErrorKind::Io)
    })));
    let running = Running::start(start).unwrap();
    let mut client = running.client();
    let there = ErrorCode::KafkaStorageError;
    assert_eq!(states(&mut client), [(ErrorCode::None, false), (there, false)]);
    let image = running.controller.image();
    let of_bad = image.topic("bad").unwrap().partition(0).unwrap();
    assert_eq!(of_bad.leader, ottla_protocol::NodeId::NONE);
    assert_eq!(write(&mut client, "good", b"after"), 1);
    assert_eq!(alter(&mut client, "/data", "bad", 0), ErrorCode::ReplicaNotAvailable);
    create(&mut client, "new");
    assert!(is_at(&mut client, "new", "/data"));
    assert!(places(&mut client, "bad").is_empty(), "it is not created anew");
    running.stop();
    world.disk.set_fault(None);
    assert_eq!(files(&world, "/more", "bad"), before, "nothing was done to it");
    let running = world.start(&[]);
    let mut client = running.client();
    assert!(is_at(&mut client, "bad", "/more"));
    assert_eq!(all(&mut client, "bad", 1), [b"before"]);
    assert_eq!(write(&mut client, "bad", b"after"), 1);
    running.stop();
}
