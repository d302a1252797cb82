//! The plan is what the real start then does.

use ottla_env::Disk;
use ottla_env::memory::MemoryDisk;
use serde_json::Value;
use std::path::Path;

use ottla_inspect::{DumpOptions, Format};
use ottla_protocol::Offset;

use crate::support::*;

/// What is done to a directory of two segments, and whether the stop counts as clean.
type Case = (&'static str, fn(&MemoryDisk));

const LAST: &str = "/d/t-0/00000000000000000020.log";
const FIRST: &str = "/d/t-0/00000000000000000000.log";

fn unclean(disk: &MemoryDisk) {
    disk.remove_file(Path::new("/d/.kafka_cleanshutdown")).unwrap();
    put(disk, "/d/recovery-point-offset-checkpoint", b"0\n1\nt 0 24\n");
}

const CASES: &[Case] = &[
    ("a clean stop", |_| {}),
    ("a kill", unclean),
    ("no checkpoints at all", |disk| {
        unclean(disk);
        disk.remove_file(Path::new("/d/recovery-point-offset-checkpoint")).unwrap();
    }),
    ("a torn end", |disk| {
        unclean(disk);
        edit(disk, LAST, |bytes| bytes.truncate(bytes.len() - 700));
    }),
    ("an end of zeros", |disk| {
        unclean(disk);
        edit(disk, LAST, |bytes| bytes.extend([0; 3000]));
    }),
    ("a last batch whose end is zeros", |disk| {
        unclean(disk);
        edit(disk, LAST, |bytes| {
            let from = bytes.len() - 1100;
            bytes[from..].fill(0);
        });
    }),
    ("a bit above the recovery point", |disk| {
        unclean(disk);
        edit(disk, LAST, |bytes| bytes[9000] ^= 1);
    }),
    ("a bit below the recovery point", |disk| {
        unclean(disk);
        edit(disk, LAST, |bytes| bytes[100] ^= 1);
    }),
    ("a bit in a closed segment", |disk| {
        unclean(disk);
        edit(disk, FIRST, |bytes| bytes[100] ^= 1);
    }),
    ("a bit after a clean stop", |disk| edit(disk, LAST, |bytes| bytes[9000] ^= 1)),
    ("no indexes", |disk| {
        for suffix in ["index", "timeindex"] {
            let path = format!("/d/t-0/00000000000000000020.{suffix}");
            disk.remove_file(Path::new(&path)).unwrap();
        }
    }),
    ("zeros in an index", |disk| {
        edit(disk, "/d/t-0/00000000000000000020.index", |bytes| bytes.extend([0; 800]));
    }),
    ("a start beyond the end", |disk| {
        put(disk, "/d/log-start-offset-checkpoint", b"0\n1\nt 0 99\n")
    }),
    ("epochs that are none", |disk| {
        put(disk, "/d/t-0/leader-epoch-checkpoint", b"nothing");
    }),
    ("an unfinished compaction", |disk| {
        put(disk, "/d/t-0/00000000000000000000.log.cleaned", &batch(0, 2, 100));
    }),
    ("a compaction that was being put in place", |disk| {
        let content = disk.read(Path::new(FIRST)).unwrap();
        put(disk, "/d/t-0/00000000000000000000.log.swap", &content);
    }),
    ("an index without a log", |disk| {
        put(disk, "/d/t-0/00000000000000000090.timeindex", &[0; 12]);
    }),
    ("an empty last segment", |disk| put(disk, "/d/t-0/00000000000000000040.log", b"")),
    ("no segment", |disk| {
        for name in [FIRST, LAST] {
            disk.remove_file(Path::new(name)).unwrap();
        }
    }),
];

/// Lengths of the partition's segments.
fn segments(disk: &MemoryDisk) -> Vec<(String, u64)> {
    let entries = disk.list(Path::new("/d/t-0")).unwrap();
    entries
        .into_iter()
        .filter(|entry| entry.name.ends_with(".log"))
        .map(|entry| (entry.name, entry.len))
        .collect()
}

fn of<'a>(rows: &'a [Value], kind: &str) -> Vec<&'a Value> {
    rows.iter().filter(|row| row["type"] == kind).collect()
}

/// Plans a start, starts, and compares. Gives the first and next offset, unless it is refused.
fn plan_and_start(name: &str, disk: &MemoryDisk) -> Option<(Offset, Offset)> {
    let (_, text) = planned_as(disk, "/d", Format::Json);
    let rows = objects(&text);
    let before = segments(disk);
    let started = start(disk);
    let refused = of(&rows, "refused");
    let partitions = of(&rows, "partition");
    match started {
        Err(why) => {
            assert_eq!(refused.len(), 1, "{name}: the start says {why}; the plan:\n{text}");
            assert_eq!(refused[0]["why"], why.as_str(), "{name}");
            assert_eq!(segments(disk), before, "{name}: a refusal changed something");
            None
        }
        Ok((log_start, log_end)) => {
            assert_eq!(refused.len(), 0, "{name}: {text}");
            let planned = partitions[0];
            assert_eq!(planned["logStart"], log_start.0, "{name}: {text}");
            assert_eq!(planned["logEnd"], log_end.0, "{name}: {text}");
            assert_segments(name, &rows, before, &segments(disk));
            Some((log_start, log_end))
        }
    }
}

#[test]
fn the_start_does_what_the_plan_says() {
    for (name, damage) in CASES {
        let disk = written(&[10, 10]);
        damage(&disk);
        plan_and_start(name, &disk);
    }
}

/// A number that looks random, and is the same for the same seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % end.max(1)
    }
}

/// A bit, a cut, or zeros, in any file.
fn hurt(disk: &MemoryDisk, draw: &mut Draw) -> String {
    let names: Vec<String> = disk
        .files()
        .into_keys()
        .map(|path| path.to_str().unwrap().to_owned())
        .filter(|path| !path.ends_with(".lock") && !path.ends_with("meta.properties"))
        .collect();
    // The last segment is where most happens.
    let last = names.iter().position(|name| name == LAST);
    let drawn = draw.below(names.len());
    let path = &names[last.filter(|_| draw.below(2) == 0).unwrap_or(drawn)];
    let (kind, mut said) = (draw.below(4), String::new());
    edit(disk, path, |bytes| {
        let at = draw.below(bytes.len());
        let len = draw.below(bytes.len() - at).min(draw.below(3000)) + 1;
        said = format!("{path}: kind {kind} at {at}, {len} bytes");
        match kind {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << draw.below(8),
            1 => bytes.truncate(at),
            2 if !bytes.is_empty() => {
                let end = (at + len).min(bytes.len());
                bytes[at..end].fill(0);
            }
            _ => bytes.extend(vec![0; len]),
        }
    });
    said
}

#[test]
fn any_damage_is_planned_as_it_is_started() {
    let sound = written(&[10, 10]).files();
    let (mut refused, mut short) = (0, 0);
    for seed in 0..120 {
        let mut draw = Draw(seed);
        let disk = MemoryDisk::new();
        disk.create_dir(Path::new("/d/t-0")).unwrap();
        for (path, content) in &sound {
            put(&disk, path.to_str().unwrap(), content);
        }
        if seed % 2 == 0 {
            unclean(&disk);
        }
        let said = format!("seed {seed}: {}", hurt(&disk, &mut draw));
        let (found, text) = verified(&disk, "/d");
        let (_, plan) = planned(&disk, "/d");
        let all = DumpOptions { print_data: true, ..DumpOptions::default() };
        objects(&dumped_as(&disk, "/d", &all, Format::Json));
        objects(&indexed(&disk, "/d", Format::Json).1);
        match plan_and_start(&said, &disk) {
            Some(ends) => {
                let whole = ends == (Offset(0), Offset(40));
                let clean = found.repairable + found.damage == 0;
                assert!(whole || !clean, "{said}: offsets {ends:?}\n{text}\n{plan}");
                short += u32::from(!whole);
            }
            None => {
                assert!(found.damage > 0, "{said}: refused\n{text}\n{plan}");
                refused += 1;
            }
        }
    }
    assert!(refused > 5 && short > 5, "{refused} refused, {short} cut: too little was tried");
}

/// The segments after the start are those before it with the plan's actions.
fn assert_segments(
    name: &str,
    rows: &[Value],
    mut before: Vec<(String, u64)>,
    after: &[(String, u64)],
) {
    for action in of(rows, "action") {
        let file = action["file"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        if !file.ends_with(".log") {
            continue;
        }
        match action["action"].as_str().unwrap() {
            "cut" => {
                let to = action["to"].as_u64().unwrap();
                before.iter_mut().filter(|(n, _)| *n == file).for_each(|(_, len)| *len = to);
            }
            "remove" => before.retain(|(n, _)| *n != file),
            "create" => before.push((file, 0)),
            "put in place" => {
                let len = after.iter().find(|(n, _)| *n == file).map_or(0, |(_, len)| *len);
                before.retain(|(n, _)| *n != file);
                before.push((file, len));
            }
            "replace" => before.retain(|(n, _)| *n != file),
            "read" => {}
            other => panic!("{name}: {other} {file}"),
        }
    }
    before.sort();
    assert_eq!(before, after, "{name}: {rows:#?}");
}

#[test]
fn what_is_cut_is_told_by_offsets() {
    let disk = written(&[10, 10]);
    unclean(&disk);
    // The last commit was two batches, and the first of them did not come to the disk.
    let size = disk.read(Path::new(LAST)).unwrap().len() / 10;
    edit(&disk, LAST, |bytes| bytes[8 * size..9 * size].fill(0));
    let (tally, text) = planned(&disk, "/d");
    assert_eq!(tally.cut, 1, "{text}");
    let cut =
        format!("cut 00000000000000000020.log at byte {}, off its {} bytes", 8 * size, 10 * size);
    assert!(text.contains(&cut), "{text}");
    assert!(text.contains("2 sound records, offsets 38 to 39, go with it"), "{text}");
}

/// Does what an option asks for.
fn take(disk: &MemoryDisk, option: &Value) {
    if let Some(file) = option["truncate"].as_str() {
        let size = usize::try_from(option["truncateTo"].as_u64().unwrap()).unwrap();
        edit(disk, &format!("/d/t-0/{file}"), |bytes| bytes.truncate(size));
    }
    for base in option["removeSegments"].as_array().unwrap() {
        for suffix in ["log", "index", "timeindex"] {
            let path = format!("/d/t-0/{:020}.{suffix}", base.as_i64().unwrap());
            if disk.exists(Path::new(&path)).unwrap() {
                disk.remove_file(Path::new(&path)).unwrap();
            }
        }
    }
    for file in option["checkpoints"].as_array().unwrap() {
        let offset = &option["checkpointOffset"];
        let path = format!("/d/{}", file.as_str().unwrap());
        put(disk, &path, format!("0\n1\nt 0 {offset}\n").as_bytes());
    }
}

/// Which option is taken, where the log ends then, and the damage.
type Way = (&'static str, i64, fn(&MemoryDisk));

#[test]
fn the_ways_out_are_ways_out() {
    let damages: [Way; 4] = [
        ("cut", 2, |disk| edit(disk, FIRST, |bytes| bytes[2000] ^= 1)),
        ("cut", 20, |disk| {
            unclean(disk);
            edit(disk, LAST, |bytes| bytes[100] ^= 1);
        }),
        ("accept", 40, |disk| put(disk, "/d/log-start-offset-checkpoint", b"0\n1\nt 0 99\n")),
        ("accept", 40, |disk| {
            put(disk, "/d/recovery-point-offset-checkpoint", b"0\n1\nt 0 99\n");
            disk.remove_file(Path::new("/d/.kafka_cleanshutdown")).unwrap();
        }),
    ];
    for (kind, end, damage) in damages {
        let disk = written(&[10, 10]);
        damage(&disk);
        let (tally, text) = planned_as(&disk, "/d", Format::Json);
        assert_eq!(tally.damaged + tally.refused, 1, "{text}");
        let rows = objects(&text);
        let option = of(&rows, "option").into_iter().find(|row| row["option"] == kind);
        take(&disk, option.unwrap_or_else(|| panic!("no {kind} in\n{text}")));
        let ends = plan_and_start(kind, &disk);
        assert_eq!(ends.map(|(_, end)| end), Some(Offset(end)), "{text}");
        let (tally, text) = verified(&disk, "/d");
        assert_eq!(tally.damage, 0, "{text}");
    }
}

#[test]
fn damage_that_a_start_does_not_see_has_ways_out() {
    let disk = written(&[10, 10]);
    edit(&disk, FIRST, |bytes| bytes[2000] ^= 1);
    let (tally, text) = planned(&disk, "/d");
    assert_eq!(tally.damaged + tally.refused, 1, "{text}");
    assert!(text.contains("damage in 00000000000000000000.log, bytes "), "{text}");
    assert!(text.contains("offsets 2 to 3: the batch's CRC is "), "{text}");
    assert!(text.contains("option: cut the log at offset 2 (truncate -s "), "{text}");
    assert!(text.contains("36 sound records, offsets 4 to 39, are lost too"), "{text}");
}

#[test]
fn a_directory_in_use_is_refused() {
    use ottla_inspect::{Out, plan, targets};
    let disk = written(&[1]);
    let lock = disk.lock(Path::new("/d/.lock")).unwrap();
    let shared: std::sync::Arc<dyn Disk> = std::sync::Arc::new(disk.clone());
    let found = targets(shared.as_ref(), &["/d".into()]).unwrap();
    let mut bytes = Vec::new();
    let mut out = Out::new(&mut bytes, Format::Text);
    let error = plan(&shared, &found, plan_options(), &mut out).unwrap_err();
    assert_eq!(error.to_string(), "/d is in use by a running broker: stop it first");
    drop(lock);
    plan(&shared, &found, plan_options(), &mut out).unwrap();
}

#[test]
fn a_foreign_directory_keeps_a_broker_from_starting() {
    let disk = written(&[1]);
    disk.create_dir(Path::new("/d/lost+found")).unwrap();
    let (tally, text) = planned(&disk, "/d");
    assert_eq!(tally.refused, 1, "{text}");
    assert!(text.contains("is not the directory of a partition"), "{text}");
}

#[test]
fn the_metadata_of_another_directory_counts() {
    use ottla_inspect::{Out, plan, targets};
    let disk = golden();
    disk.create_dir(Path::new("/e/unknown-0")).unwrap();
    put(&disk, "/e/meta.properties", b"version=1\nnode.id=1\n");
    put(&disk, "/e/unknown-0/00000000000000000000.log", &batch(0, 2, 100));
    let shared: std::sync::Arc<dyn Disk> = std::sync::Arc::new(disk.clone());
    let found = targets(shared.as_ref(), &["/d".into(), "/e".into()]).unwrap();
    let mut bytes = Vec::new();
    let mut out = Out::new(&mut bytes, Format::Text);
    plan(&shared, &found, plan_options(), &mut out).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let told = "unknown-0: put aside: the metadata does not have it on this broker";
    assert!(text.contains(told), "{text}");
}
