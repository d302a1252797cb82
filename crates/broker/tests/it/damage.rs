//! Partitions whose logs cannot be opened, and what checkpoints say of topics that are gone.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use ottla_env::memory::MemoryDisk;
use ottla_env::{Disk, OpenMode};
use ottla_protocol::ErrorCode;
use ottla_records::BatchOptions;

use crate::data::{batch, create, delete, fetch, fetched, produce, produced, values, write};
use crate::fixture::World;

fn log_of(world: &World, partition: &str) -> PathBuf {
    let mut files = world.disk.files().into_keys();
    let is_log = |path: &PathBuf| {
        path.starts_with(World::dir().join(partition))
            && path.extension().is_some_and(|e| e == "log")
    };
    files.find(is_log).unwrap()
}

/// What a killed process leaves: the files as they are now, and no marker.
fn killed(world: &World) -> World {
    holding(world, world.disk.files())
}

/// The world with other files.
fn holding(world: &World, files: impl IntoIterator<Item = (PathBuf, Vec<u8>)>) -> World {
    let disk = MemoryDisk::new();
    for (path, content) in files {
        disk.create_dir(path.parent().unwrap()).unwrap();
        let file = disk.open(&path, OpenMode::Create).unwrap();
        file.write_at(&[Bytes::from(content)], 0).unwrap();
    }
    let mut left = world.clone();
    left.disk = Arc::new(disk);
    left
}

#[test]
fn a_damaged_partition_is_offline_and_the_others_go_on() {
    let world = World::new();
    let running = world.start(&[]);
    let mut client = running.client();
    for name in ["orders", "kept"] {
        create(&mut client, name);
        for i in 0..5 {
            write(&mut client, name, &[i; 100]);
        }
    }
    let after_kill = killed(&world);
    running.stop();
    for world in [after_kill, world] {
        let path = log_of(&world, "orders-0");
        let file = world.disk.open(&path, OpenMode::Write).unwrap();
        let len = file.len().unwrap();
        file.write_at(&[Bytes::from_static(b"?")], len - 50).unwrap();
        let damaged = world.disk.files()[&path].clone();

        let running = world.start(&[]);
        let mut client = running.client();
        let refused =
            produced(&mut client, &produce(-1, "orders", batch(BatchOptions::default(), b"x")));
        assert_eq!(ErrorCode::from(refused.error_code), ErrorCode::KafkaStorageError);
        let refused = &fetched(&mut client, &fetch("orders", &[0]))[0];
        assert_eq!(ErrorCode::from(refused.error_code), ErrorCode::KafkaStorageError);
        assert_eq!(write(&mut client, "kept", b"x"), 5);
        assert_eq!(values(&fetched(&mut client, &fetch("kept", &[5]))[0]), [b"x"]);
        assert_eq!(world.disk.files()[&path], damaged, "nothing is cut");
        running.stop();
        // Another start does not take it for sound either: where it looks, or who reads it.
        let running = world.start(&[]);
        let mut client = running.client();
        let refused = &fetched(&mut client, &fetch("orders", &[0]))[0];
        let code = ErrorCode::from(refused.error_code);
        assert!(matches!(code, ErrorCode::KafkaStorageError | ErrorCode::CorruptMessage), "{code}");
        assert_eq!(world.disk.files()[&path], damaged);
        running.stop();
    }
}

#[test]
fn old_damage_is_told_to_who_reads_there_and_to_nobody_else() {
    let world = World::new();
    let running = world.start(&[]);
    let mut client = running.client();
    create(&mut client, "orders");
    for i in 0..100 {
        write(&mut client, "orders", &[i; 100]);
    }
    running.stop();
    let path = log_of(&world, "orders-0");
    let file = world.disk.open(&path, OpenMode::Write).unwrap();
    file.write_at(&[Bytes::from_static(b"?")], 100).unwrap();
    // The start looks at the end of the log alone.
    let running = world.start(&[]);
    let mut client = running.client();
    for _ in 0..2 {
        let refused = &fetched(&mut client, &fetch("orders", &[0]))[0];
        assert_eq!(ErrorCode::from(refused.error_code), ErrorCode::CorruptMessage);
        assert!(refused.records.as_ref().is_none_or(|records| records.is_empty()));
    }
    assert_eq!(values(&fetched(&mut client, &fetch("orders", &[99]))[0]), [[99; 100]]);
    assert_eq!(write(&mut client, "orders", b"more"), 100);
    running.stop();
}

#[test]
fn checkpoints_of_a_deleted_topic_are_not_those_of_its_namesake() {
    let world = World::new();
    let running = world.start(&[]);
    let mut client = running.client();
    create(&mut client, "orders");
    for _ in 0..5 {
        write(&mut client, "orders", b"old");
    }
    // Writes the checkpoints.
    running.stop();
    let running = world.start(&[]);
    let mut client = running.client();
    delete(&mut client, "orders");
    create(&mut client, "orders");
    assert_eq!(write(&mut client, "orders", b"new"), 0);
    let after_kill = killed(&world);
    running.stop();
    let running = after_kill.start(&[]);
    let mut client = running.client();
    assert_eq!(values(&fetched(&mut client, &fetch("orders", &[0]))[0]), [b"new"]);
    assert_eq!(write(&mut client, "orders", b"more"), 1);
    running.stop();
}

#[test]
fn nor_after_kills_before_and_after_its_namesake_is_created() {
    let world = World::new();
    let running = world.start(&[]);
    let mut client = running.client();
    for topic in ["orders", "kept"] {
        create(&mut client, topic);
        for _ in 0..5 {
            write(&mut client, topic, b"old");
        }
    }
    // Writes the checkpoints.
    running.stop();
    let running = world.start(&[]);
    delete(&mut running.client(), "orders");
    let deleted = killed(&world);
    running.stop();
    let running = deleted.start(&[]);
    create(&mut running.client(), "orders");
    let created = killed(&deleted);
    running.stop();
    let running = created.start(&[]);
    let mut client = running.client();
    assert_eq!(write(&mut client, "orders", b"new"), 0);
    assert_eq!(values(&fetched(&mut client, &fetch("orders", &[0]))[0]), [b"new"]);
    assert_eq!(write(&mut client, "kept", b"more"), 5);
    running.stop();
}

#[test]
fn nor_when_the_deleted_directory_was_still_there() {
    let world = World::new();
    let running = world.start(&[]);
    let mut client = running.client();
    create(&mut client, "orders");
    for _ in 0..5 {
        write(&mut client, "orders", b"old");
    }
    running.stop();
    let old = world.disk.files();
    let running = world.start(&[]);
    let mut client = running.client();
    delete(&mut client, "orders");
    create(&mut client, "orders");
    // The metadata log knows of the new topic; the log directory is as it was.
    let is_metadata = |path: &PathBuf| path.starts_with(World::dir().join("__cluster_metadata-0"));
    let mut files = world.disk.files();
    files.retain(|path, _| is_metadata(path));
    files.extend(old.into_iter().filter(|(path, _)| !is_metadata(path)));
    let left = holding(&world, files);
    running.stop();

    let running = left.start(&[]);
    let created = killed(&left);
    running.stop();
    for world in [left, created] {
        let running = world.start(&[]);
        let mut client = running.client();
        assert_eq!(write(&mut client, "orders", b"new"), 0);
        assert_eq!(values(&fetched(&mut client, &fetch("orders", &[0]))[0]), [b"new"]);
        running.stop();
    }
}
