//! A directory that Apache Kafka 4.4.0 wrote: it loads, says what Kafka's own dump says, and the
//! quorum goes on in the next epoch.

use std::path::Path;

use bytes::Bytes;
use ottla_controller::{Contents, inspect};
use ottla_env::{Disk, OpenMode};
use ottla_metadata::{ConfigResource, Image};
use ottla_protocol::{LeaderEpoch, NodeId, Offset, StrBytes, Uuid};

use crate::world::{World, creatable, create, serving};

/// The golden directory on a disk in memory.
fn kafka() -> World {
    copied("kafka-4.4.0", World::new())
}

/// Puts the files of a golden directory on the world's disk.
fn copied(name: &str, world: World) -> World {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let log = World::log_dir();
    world.disk.create_dir(&log).unwrap();
    for (from, to) in [(source.clone(), World::dir()), (source.join("__cluster_metadata-0"), log)] {
        for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                let file =
                    world.disk.open(&to.join(entry.file_name()), OpenMode::CreateEmpty).unwrap();
                file.write_at(&[Bytes::from(std::fs::read(entry.path()).unwrap())], 0).unwrap();
                file.sync_data().unwrap();
            }
        }
    }
    world
}

fn names(image: &Image) -> Vec<String> {
    image.topics().map(|topic| format!("{}:{}", topic.name, topic.partition_count())).collect()
}

#[test]
fn its_identity_is_read() {
    let world = kafka();
    let Contents::Formatted(meta) = inspect(world.disk.as_ref(), &World::dir()).unwrap() else {
        panic!()
    };
    assert_eq!(meta.cluster_id, "4L6g3nShT-eMCtK--X86sw");
    assert_eq!(meta.node_id, NodeId(1));
    assert_eq!(meta.directory_id, Uuid::parse("qtHxQ43aTGCNr0nPk3fYfA").unwrap());
}

#[test]
fn its_metadata_is_what_its_dump_says() {
    let controller = kafka().start().unwrap();
    let image = controller.image();
    assert_eq!(
        names(&image),
        [
            "__consumer_offsets:1",
            "__transaction_state:1",
            "appendtime:1",
            "codecs:1",
            "compacted:1",
            "segments:1",
            "trimmed:1",
            "txn:2"
        ]
    );
    assert!(image.topic("gone").is_none());
    let levels: Vec<String> =
        image.features().iter().map(|(name, level)| format!("{name} {level}")).collect();
    assert_eq!(
        levels,
        [
            "eligible.leader.replicas.version 1",
            "group.version 1",
            "metadata.version 33",
            "share.version 2",
            "streams.version 1",
            "transaction.version 2"
        ]
    );
    let codecs = image.topic("codecs").unwrap();
    assert_eq!(codecs.id, Uuid::parse("nXvqtAxFTlKjVatMH3WXTw").unwrap());
    let partition = codecs.partition(0).unwrap();
    assert_eq!(
        (partition.leader, partition.leader_epoch, partition.partition_epoch),
        (NodeId(-1), LeaderEpoch(1), 1)
    );
    assert_eq!(
        (&partition.isr[..], &partition.elr[..], &partition.last_known_elr[..]),
        (&[][..], &[NodeId(1)][..], &[NodeId(1)][..])
    );
    assert_eq!(partition.directories, [Uuid::parse("qtHxQ43aTGCNr0nPk3fYfA").unwrap()]);
    let compacted = image.config(&ConfigResource::topic("compacted")).unwrap();
    assert_eq!(compacted.get("delete.retention.ms"), Some(&StrBytes::from("100")));
    assert_eq!(compacted.len(), 4);
    let broker = image.broker(NodeId(1)).unwrap();
    assert!(broker.fenced && broker.in_controlled_shutdown);
    assert_eq!(broker.epoch, 14);
    assert_eq!(image.next_producer_id(), 1000);
}

#[test]
fn the_quorum_goes_on_in_the_next_epoch() {
    let world = kafka();
    let controller = world.start().unwrap();
    let quorum = controller.quorum();
    assert_eq!((quorum.leader, quorum.epoch), (NodeId(1), LeaderEpoch(2)));
    // One leader change, one registration of this controller.
    assert_eq!(quorum.high_watermark, Offset(117));
    let epoch = serving(&controller, 9, 14);
    assert_eq!(epoch, 117);
    let leader =
        |topic: &str| controller.image().topic(topic).unwrap().partition(0).unwrap().leader;
    assert_eq!(leader("codecs"), NodeId(1), "its replica was eligible after a clean stop");
    assert_eq!(create(&controller, vec![creatable("new", 3, &[])]).topics[0].error_code, 0);
    let image = controller.image();
    controller.stop();
    drop(controller);
    let state = String::from_utf8(world.file(&World::log_dir().join("quorum-state"))).unwrap();
    assert_eq!(
        state,
        "{\"leaderId\":1,\"leaderEpoch\":2,\"votedId\":-1,\"votedDirectoryId\":\"AAAAAAAAAAAAAAAAAAAAAA\",\"data_version\":1}"
    );
    let again = world.start().unwrap();
    assert_eq!(names(&again.image()), names(&image));
    assert_eq!(again.quorum().epoch, LeaderEpoch(3));
}

#[test]
fn an_unclean_restart_elects_the_last_leader() {
    let controller = kafka().start().unwrap();
    serving(&controller, 9, -1);
    let image = controller.image();
    let partition = image.topic("codecs").unwrap().partition(0).unwrap();
    assert_eq!(
        (partition.leader, &partition.isr[..], &partition.elr[..]),
        (NodeId(1), &[NodeId(1)][..], &[][..])
    );
    assert_eq!(partition.leader_recovery_state, 1, "it may have lost what was not on its disk");
}

#[test]
fn records_that_an_older_release_begins_with_are_read() {
    let world = World::new();
    world.formatted();
    world
        .disk
        .remove_file(&World::log_dir().join("00000000000000000000-0000000000.checkpoint"))
        .unwrap();
    let world = copied("kafka-4.0", world);
    world
        .disk
        .remove_file(&World::log_dir().join("00000000000000000500-0000000009.checkpoint"))
        .unwrap();
    let controller = world.start().unwrap();
    assert_eq!(controller.image().features().metadata_version(), 25);
    assert_eq!(
        controller.quorum().voters[0].directory_id,
        Uuid::ZERO,
        "its voters are in the settings"
    );
}

#[test]
fn a_snapshot_of_an_older_release_is_gone_on_from() {
    let world = World::new();
    world.formatted();
    let world = copied("kafka-4.0", world);
    let controller = world.start().unwrap();
    let image = controller.image();
    assert_eq!(names(&image), ["t:1"]);
    let partition = image.topic("t").unwrap().partition(0).unwrap();
    assert_eq!(partition.replicas, [NodeId(1), NodeId(2)]);
    let quorum = controller.quorum();
    // The log begins where the snapshot ends: a leader change, the controller.
    assert_eq!((quorum.epoch, quorum.high_watermark), (LeaderEpoch(10), Offset(502)));
    assert!(world.names(&World::log_dir()).contains(&"00000000000000000500.log".to_owned()));
    controller.stop();
    drop(controller);
    assert_eq!(names(&world.start().unwrap().image()), ["t:1"]);
}

#[test]
fn another_quorums_log_is_refused() {
    let world = kafka();
    let meta = "version=1\nnode.id=1\ncluster.id=4L6g3nShT-eMCtK--X86sw\ndirectory.id=AAECAwQFBgcICQoLDA0ODw\n";
    world.disk.write_atomically(&World::dir().join("meta.properties"), Bytes::from(meta)).unwrap();
    assert_eq!(
        world.start().map(drop).unwrap_err().to_string(),
        "the metadata quorum's voters are 1 in directory qtHxQ43aTGCNr0nPk3fYfA; this is 1 in directory AAECAwQFBgcICQoLDA0ODw"
    );
}
