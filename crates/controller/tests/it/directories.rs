//! What a directory is told to be, and which are formatted or refused.

use std::path::Path;

use bytes::Bytes;
use ottla_controller::{Contents, FormatError, FormatOptions, Voters, inspect};
use ottla_env::{Disk, OpenMode};
use ottla_protocol::NodeId;

use crate::world::{World, standalone};

fn put(world: &World, path: &str, content: &'static str) {
    let path = Path::new(path);
    world.disk.create_dir(path.parent().unwrap()).unwrap();
    world
        .disk
        .open(path, OpenMode::CreateEmpty)
        .unwrap()
        .write_at(&[Bytes::from(content)], 0)
        .unwrap();
}

fn contents(world: &World) -> Contents {
    inspect(world.disk.as_ref(), &World::dir()).unwrap()
}

#[test]
fn a_directory_is_empty_or_foreign_or_damaged() {
    let world = World::new();
    assert_eq!(contents(&world), Contents::Empty);
    put(&world, "/data/.lock", "");
    assert_eq!(contents(&world), Contents::Empty);
    put(&world, "/data/notes.txt", "mine");
    assert_eq!(
        contents(&world),
        Contents::Foreign("the file notes.txt, but no meta.properties".into())
    );
    put(&world, "/data/photos/a.jpg", "mine");
    assert_eq!(
        contents(&world),
        Contents::Foreign("the file notes.txt and 1 other, but no meta.properties".into())
    );
    for (text, what) in [
        (
            "version=7\n",
            "meta.properties is damaged: its version is \"7\", and only 0 and 1 are known",
        ),
        (
            "version=1\nnode.id=1\ncluster.id=x\n",
            "meta.properties is damaged: it has no directory.id",
        ),
        ("version=1\nnode.id=a\n", "meta.properties is damaged: node.id \"a\" is no number"),
    ] {
        put(&world, "/data/meta.properties", text);
        assert_eq!(contents(&world), Contents::Damaged(what.into()));
    }
}

#[test]
fn a_log_without_meta_properties_is_not_formatted_over() {
    let world = World::new();
    world.formatted();
    world.start().unwrap().stop();
    world.disk.remove_file(Path::new("/data/meta.properties")).unwrap();
    let Contents::Damaged(what) = contents(&world) else { panic!() };
    assert_eq!(
        what,
        "__cluster_metadata-0 holds 00000000000000000000.log, but meta.properties is missing"
    );
    assert!(matches!(world.format(&standalone()), Err(FormatError::Invalid(_))));
}

#[test]
fn a_format_that_was_cut_off_is_done_again() {
    let world = World::new();
    world.formatted();
    world.disk.remove_file(Path::new("/data/meta.properties")).unwrap();
    assert_eq!(contents(&world), Contents::Empty);
    world.formatted();
    assert_eq!(world.start().unwrap().image().features().metadata_version(), 33);
}

#[test]
fn a_formatted_directory_is_left_alone() {
    let world = World::new();
    let meta = world.formatted();
    let again = world.format(&standalone());
    assert_eq!(again, Err(FormatError::Invalid("/data is formatted already".into())));
    let kept = world.format(&FormatOptions { ignore_formatted: true, ..standalone() });
    assert_eq!(kept, Ok(meta.clone()));
    assert_eq!(contents(&world), Contents::Formatted(meta));
}

#[test]
fn choices_that_make_no_sense_are_refused() {
    let features = |levels: &[(&str, i16)]| {
        let mut options = standalone();
        options.features.levels =
            levels.iter().map(|(name, level)| ((*name).to_owned(), *level)).collect();
        options
    };
    let release = |release: &str| {
        let mut options = standalone();
        options.features.release = Some(release.to_owned());
        options
    };
    let cases = [
        (
            features(&[("group.version", 1)]),
            "feature group.version cannot be at level 1: this version supports 0 to 0",
        ),
        (
            features(&[("metadata.version", 34)]),
            "feature metadata.version cannot be at level 34: this version supports 7 to 33",
        ),
        (
            features(&[("kraft.version", 0)]),
            "kraft.version 0 does not fit the way the quorum's voters are given",
        ),
        (
            features(&[("metadata.version", 20), ("eligible.leader.replicas.version", 1)]),
            "feature eligible.leader.replicas.version at level 1 needs metadata.version 23 at least, not 20",
        ),
        (release("2.8"), "there is no release 2.8 that this version knows"),
        (
            FormatOptions { node_id: NodeId(-1), ..standalone() },
            "node.id is -1, which no node can have",
        ),
        (FormatOptions { cluster_id: Some(" ".into()), ..standalone() }, "the cluster id is empty"),
    ];
    for (options, why) in cases {
        assert_eq!(World::new().format(&options), Err(FormatError::Invalid(why.to_owned())));
    }
}

#[test]
fn a_release_and_static_voters_can_be_chosen() {
    let world = World::new();
    let mut options = FormatOptions { voters: Voters::Static, ..standalone() };
    options.features.release = Some("3.9".into());
    world.format(&options).unwrap();
    let controller = world.start().unwrap();
    let image = controller.image();
    let levels: Vec<_> =
        image.features().iter().map(|(name, level)| (name.to_string(), level)).collect();
    assert_eq!(levels, [("metadata.version".to_owned(), 21)]);
    let quorum = String::from_utf8(world.file(&World::log_dir().join("quorum-state"))).unwrap();
    assert_eq!(
        quorum,
        "{\"clusterId\":\"\",\"leaderId\":1,\"leaderEpoch\":1,\"votedId\":-1,\"appliedOffset\":0,\"currentVoters\":[{\"voterId\":1}],\"data_version\":0}"
    );
}
