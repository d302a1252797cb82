//! Power cuts and failing disks: what was answered is there, what is there was decided, and a disk
//! that fails ends the controller.

use ottla_env::Disk;
use ottla_env::DiskErrorKind;
use ottla_env::memory::Survival;
use ottla_protocol::ErrorCode;

use crate::world::{World, creatable, create, serving};

#[test]
fn what_was_answered_survives_every_power_cut() {
    for seed in 0..40_u64 {
        let world = World::new();
        world.formatted();
        let mut answered: Vec<String> = Vec::new();
        for life in 0..3_u8 {
            let controller = world.start().unwrap();
            for name in &answered {
                let image = controller.image();
                assert!(
                    image.topic(name).is_some(),
                    "seed {seed}: topic {name} was answered and is gone"
                );
            }
            serving(&controller, life + 1, -1);
            for index in 0..=(seed % 4) {
                let name = format!("t-{life}-{index}");
                assert_eq!(
                    create(&controller, vec![creatable(&name, 1, &[])]).topics[0].error_code,
                    0
                );
                answered.push(name);
            }
            // The thread is still there when the power goes; only then is it stopped.
            let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            world.disk.crash(|bytes| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                match random % 4 {
                    0 => Survival::Nothing,
                    1 => Survival::Prefix(bytes / 2),
                    2 => Survival::Zeros,
                    _ => Survival::All,
                }
            });
            controller.stop();
        }
    }
}

#[test]
fn a_torn_tail_is_cut_off() {
    for torn in [1_usize, 20, 61, 70] {
        let world = World::new();
        world.formatted();
        let controller = world.start().unwrap();
        serving(&controller, 1, -1);
        create(&controller, vec![creatable("kept", 1, &[])]);
        controller.stop();
        drop(controller);
        let log = World::log_dir().join("00000000000000000000.log");
        let mut content = world.file(&log);
        let good = content.len();
        let tail: Vec<u8> = content[good - 70..good - 70 + torn].to_vec();
        content.extend_from_slice(&tail);
        content.extend_from_slice(&[0; 100]);
        world.disk.write_atomically(&log, content.into()).unwrap();
        let again = world.start().unwrap();
        assert!(again.image().topic("kept").is_some());
        serving(&again, 2, -1);
        assert_eq!(create(&again, vec![creatable("next", 1, &[])]).topics[0].error_code, 0);
    }
}

#[test]
fn a_fault_in_the_middle_of_the_log_is_not_passed_over() {
    let mut world = World::new();
    world.log.segment_bytes = 200;
    world.formatted();
    let controller = world.start().unwrap();
    serving(&controller, 1, -1);
    create(&controller, vec![creatable("t", 1, &[])]);
    controller.stop();
    drop(controller);
    let first = World::log_dir().join("00000000000000000000.log");
    let mut content = world.file(&first);
    let last = content.len() - 1;
    content[last] ^= 1;
    world.disk.write_atomically(&first, content.into()).unwrap();
    let error = world.start().map(drop).unwrap_err().to_string();
    assert!(
        error.starts_with(
            "the metadata log in /data/__cluster_metadata-0 is damaged: in 00000000000000000000.log"
        ),
        "{error}"
    );
}

#[test]
fn a_disk_that_fails_ends_the_controller() {
    let world = World::new();
    world.formatted();
    let controller = world.start().unwrap();
    serving(&controller, 1, -1);
    let (tell, told) = std::sync::mpsc::channel();
    controller.on_failure(move |why| tell.send(why.to_owned()).unwrap());
    assert!(told.try_recv().is_err());
    world.disk.set_fault(Some(Box::new(|verb, _| (verb == "sync").then_some(DiskErrorKind::Io))));
    let request = ottla_protocol::CreateTopicsRequest {
        topics: vec![creatable("t", 1, &[])],
        ..Default::default()
    };
    let refused =
        controller.call(ottla_metadata::Command::CreateTopics(request.clone())).unwrap_err();
    assert_eq!(refused.code, ErrorCode::UnknownServerError);
    assert!(controller.failure().is_some());
    assert_eq!(told.try_recv().ok(), controller.failure().map(|why| why.to_string()));
    assert!(controller.image().topic("t").is_none(), "nobody sees what may not be on disk");
    world.disk.set_fault(None);
    let after = controller.call(ottla_metadata::Command::CreateTopics(request)).unwrap_err();
    assert_eq!(
        after.code,
        ErrorCode::UnknownServerError,
        "it is never tried again as if nothing had happened"
    );
}

#[test]
fn damage_anywhere_is_a_sentence_or_is_repaired() {
    let world = World::new();
    world.formatted();
    let controller = world.start().unwrap();
    serving(&controller, 1, -1);
    create(&controller, vec![creatable("t", 3, &[("retention.ms", "1000")])]);
    controller.stop();
    drop(controller);
    let files: Vec<_> =
        world.disk.files().into_iter().filter(|(_, content)| !content.is_empty()).collect();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % u64::try_from(below).unwrap()).unwrap()
    };
    let (mut started, mut refused) = (0, 0);
    for _ in 0..600 {
        let damaged = World::new();
        for (path, content) in &files {
            damaged.disk.create_dir(path.parent().unwrap()).unwrap();
            damaged.disk.write_atomically(path, content.clone().into()).unwrap();
        }
        let (path, mut content) = files[draw(files.len())].clone();
        match draw(4) {
            0 => content.truncate(draw(content.len())),
            1 => {
                let at = draw(content.len());
                content.splice(at..at, [0xff; 9]);
            }
            _ => {
                let at = draw(content.len());
                content[at] = content[at].wrapping_add(u8::try_from(1 + draw(255)).unwrap());
            }
        }
        damaged.disk.write_atomically(&path, content.into()).unwrap();
        let contents = ottla_controller::inspect(damaged.disk.as_ref(), &World::dir()).unwrap();
        if let ottla_controller::Contents::Damaged(what) = contents {
            assert!(what.starts_with("meta.properties is damaged: "), "{what}");
            refused += 1;
            continue;
        }
        match damaged.start() {
            Ok(_) => started += 1,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                refused += 1;
            }
        }
    }
    assert!(started > 50 && refused > 50, "{started} started, {refused} were refused");
}
