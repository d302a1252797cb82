//! A full disk under the metadata log: the space kept back is used, then nothing is decided, nothing
//! that was answered is lost, and it goes on by itself when there is space.

use std::time::{Duration, Instant};

use ottla_controller::{ControllerHandle, MetadataLogSettings};
use ottla_env::{Disk, DiskErrorKind};
use ottla_metadata::{Command, Reply};
use ottla_protocol::{CreateTopicsRequest, ErrorCode};

use crate::world::{World, creatable, heartbeat, serving};

const RESERVE: u64 = 8192;
const LIMIT: Duration = Duration::from_secs(30);

fn world() -> World {
    let mut world = World::new();
    world.log =
        MetadataLogSettings { reserve_bytes: Some(RESERVE), ..MetadataLogSettings::default() };
    world.formatted();
    world
}

fn used(world: &World) -> u64 {
    world.disk.files().values().map(|content| content.len() as u64).sum()
}

fn reserve(world: &World) -> Option<usize> {
    let path = World::log_dir().join(".ottla-reserve");
    world.disk.files().get(&path).map(Vec::len)
}

fn try_create(controller: &ControllerHandle, name: &str) -> Result<(), ErrorCode> {
    let request =
        CreateTopicsRequest { topics: vec![creatable(name, 1, &[])], ..Default::default() };
    match controller.call(Command::CreateTopics(request)) {
        Ok(Reply::CreateTopics(response)) => {
            assert_eq!(response.topics[0].error_code, 0);
            Ok(())
        }
        Ok(_) => panic!("another reply"),
        Err(refusal) => {
            assert!(refusal.to_string().contains("No space is left"), "{refusal}");
            Err(refusal.code)
        }
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < LIMIT, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn the_reserve_is_used_and_then_nothing_is_decided() {
    let world = world();
    let controller = world.start().unwrap();
    let epoch = serving(&controller, 1, -1);
    assert_eq!(reserve(&world), Some(8192));
    world.disk.set_capacity(used(&world));
    let mut answered = Vec::new();
    let refused = loop {
        let name = format!("t-{}", answered.len());
        match try_create(&controller, &name) {
            Ok(()) => answered.push(name),
            Err(error) => break (name, error),
        }
        assert_eq!(reserve(&world), None);
    };
    assert!(answered.len() > 10, "the reserve has room: {}", answered.len());
    // The one that was decided comes later; the next ones never.
    assert_eq!(refused.1, ErrorCode::RequestTimedOut);
    for _ in 0..3 {
        assert_eq!(try_create(&controller, "never"), Err(ErrorCode::PolicyViolation));
    }
    heartbeat(&controller, epoch, false).unwrap();
    assert!(controller.image().topic(&refused.0).is_none(), "nobody sees what is not on disk");
    assert_eq!(controller.failure(), None);

    world.disk.set_capacity(1 << 20);
    until("it goes on by itself", || controller.image().topic(&refused.0).is_some());
    assert_eq!(try_create(&controller, "after"), Ok(()));
    world.clock.advance_ms(10_000);
    heartbeat(&controller, epoch, false).unwrap();
    until("the reserve is made again", || {
        try_create(&controller, &format!("more-{}", answered.len())).unwrap();
        answered.push(format!("more-{}", answered.len()));
        reserve(&world) == Some(8192)
    });
    controller.stop();
    let again = world.start().unwrap();
    let image = again.image();
    answered.extend([refused.0, "after".to_owned()]);
    assert!(answered.iter().all(|name| image.topic(name).is_some()));
    assert!(image.topic("never").is_none());
}

#[test]
fn a_full_disk_is_no_obstacle_for_a_start() {
    let world = world();
    let controller = world.start().unwrap();
    serving(&controller, 1, -1);
    controller.stop();
    drop(controller);
    assert_eq!(reserve(&world), Some(8192));
    world.disk.set_capacity(used(&world));
    let controller = world.start().unwrap();
    assert_eq!(reserve(&world), None);
    serving(&controller, 2, -1);
    assert_eq!(try_create(&controller, "t"), Ok(()));
}

#[test]
fn what_was_not_written_is_gone_with_the_process() {
    let world = world();
    let controller = world.start().unwrap();
    serving(&controller, 1, -1);
    world.disk.set_capacity(used(&world) - RESERVE);
    let mut end = 0;
    let refused = loop {
        let name = format!("t-{end}");
        if try_create(&controller, &name).is_err() {
            break name;
        }
        end += 1;
    };
    controller.stop();
    drop(controller);
    world.disk.set_capacity(1 << 20);
    let again = world.start().unwrap();
    let image = again.image();
    assert!((0..end).all(|i| image.topic(&format!("t-{i}")).is_some()));
    assert!(image.topic(&refused).is_none());
}

#[test]
fn a_failed_sync_ends_the_controller_whatever_its_reason() {
    let world = world();
    let controller = world.start().unwrap();
    serving(&controller, 1, -1);
    world.disk.set_fault(Some(Box::new(|verb, path| {
        let log = path.extension().is_some_and(|extension| extension == "log");
        (verb == "sync" && log).then_some(DiskErrorKind::NoSpace)
    })));
    let request =
        CreateTopicsRequest { topics: vec![creatable("t", 1, &[])], ..Default::default() };
    assert!(controller.call(Command::CreateTopics(request)).is_err());
    assert!(controller.failure().is_some());
}

#[test]
fn a_reserve_of_another_size_is_made_anew() {
    let mut world = world();
    let controller = world.start().unwrap();
    serving(&controller, 1, -1);
    controller.stop();
    drop(controller);
    world.log.reserve_bytes = Some(100);
    let controller = world.start().unwrap();
    serving(&controller, 2, -1);
    assert_eq!(reserve(&world), Some(100));
    controller.stop();
    drop(controller);
    world.log.reserve_bytes = Some(0);
    let controller = world.start().unwrap();
    serving(&controller, 3, -1);
    assert_eq!(reserve(&world), None);
    assert!(world.disk.exists(&World::log_dir()).unwrap());
}
