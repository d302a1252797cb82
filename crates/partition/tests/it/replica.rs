//! The replica machine, told as scenes: what happens, and what follows.

use ottla_partition::{
    Acks, Leadership, Replica, ReplicaConfig, ReplicaEffect, ReplicaError, Role,
};
use ottla_protocol::{LeaderEpoch, Millis, NodeId, Offset};

const DURABLE: ReplicaConfig = ReplicaConfig { durable: true, min_insync_replicas: 1 };

type Effects = Vec<ReplicaEffect<&'static str>>;

fn leads(epoch: i32, partition_epoch: i32, replicas: &[i32], isr: &[i32]) -> Leadership {
    Leadership {
        leader_epoch: LeaderEpoch(epoch),
        partition_epoch,
        replicas: replicas.iter().copied().map(NodeId).collect(),
        isr: isr.iter().copied().map(NodeId).collect(),
    }
}

/// Node 1 leads; its log holds 0..10, all of it durable.
fn leader(config: ReplicaConfig, replicas: &[i32], isr: &[i32]) -> Replica<&'static str> {
    let mut replica = Replica::new(NodeId(1), config, Offset(0), Offset(10), Some(Offset(4)));
    assert!(replica.on_leader(&leads(1, 1, replicas, isr), &mut Vec::new()));
    replica
}

/// The effects of one call, as text.
fn told(call: impl FnOnce(&mut Effects)) -> String {
    let mut effects = Vec::new();
    call(&mut effects);
    let texts: Vec<String> = effects
        .into_iter()
        .map(|effect| match effect {
            ReplicaEffect::HighWatermark(offset) => format!("hw {offset}"),
            ReplicaEffect::Answer(token, Ok(())) => format!("{token} ok"),
            ReplicaEffect::Answer(token, Err(error)) => format!("{token}: {error}"),
        })
        .collect();
    texts.join(", ")
}

#[test]
fn alone_and_durable_acks_all_waits_for_the_sync() {
    let mut r = leader(DURABLE, &[1], &[1]);
    assert_eq!(r.high_watermark(), Offset(10), "a lone replica has committed what it has");
    r.on_append(Offset(12));
    assert_eq!(told(|e| r.wait(Acks::All, Offset(12), Millis(50), "all", e)), "");
    assert_eq!(told(|e| r.wait(Acks::Leader, Offset(12), Millis(50), "one", e)), "");
    assert_eq!(told(|e| r.on_written(Offset(11), e)), "");
    assert_eq!(told(|e| r.on_written(Offset(12), e)), "one ok");
    assert_eq!(told(|e| r.on_durable(Offset(11), e)), "hw 11");
    assert_eq!(told(|e| r.on_durable(Offset(12), e)), "hw 12, all ok");
    assert_eq!(told(|e| r.wait(Acks::All, Offset(12), Millis(50), "duplicate", e)), "duplicate ok");
    assert_eq!(r.waiting(), 0);
}

#[test]
fn alone_in_the_page_cache_acks_all_waits_for_the_write() {
    let config = ReplicaConfig { durable: false, ..DURABLE };
    let mut r = leader(config, &[1], &[1]);
    r.on_append(Offset(12));
    r.wait(Acks::All, Offset(12), Millis(50), "all", &mut Vec::new());
    assert_eq!(told(|e| r.on_written(Offset(12), e)), "hw 12, all ok");
    assert_eq!(told(|e| r.on_durable(Offset(12), e)), "");
}

#[test]
fn a_sync_of_bytes_whose_write_was_not_told_counts_as_both() {
    let mut r = leader(DURABLE, &[1], &[1]);
    r.on_append(Offset(12));
    r.wait(Acks::Leader, Offset(12), Millis(50), "one", &mut Vec::new());
    assert_eq!(told(|e| r.on_durable(Offset(12), e)), "one ok, hw 12");
}

#[test]
fn the_slowest_replica_in_sync_holds_the_high_watermark() {
    let mut r = leader(DURABLE, &[1, 2, 3], &[1, 2]);
    assert_eq!(r.high_watermark(), Offset(4), "nothing is known of replica 2 yet");
    r.on_append(Offset(12));
    r.wait(Acks::All, Offset(12), Millis(50), "all", &mut Vec::new());
    assert_eq!(told(|e| r.on_durable(Offset(12), e)), "");
    assert_eq!(told(|e| r.on_follower_fetch(NodeId(2), Offset(9), e).unwrap()), "hw 9");
    assert_eq!(told(|e| r.on_follower_fetch(NodeId(3), Offset(12), e).unwrap()), "");
    assert_eq!(told(|e| r.on_follower_fetch(NodeId(2), Offset(12), e).unwrap()), "hw 12, all ok");
    assert!(r.on_follower_fetch(NodeId(4), Offset(12), &mut Vec::new()).is_err());
}

#[test]
fn a_smaller_isr_lets_the_high_watermark_go_on() {
    let mut r = leader(DURABLE, &[1, 2], &[1, 2]);
    r.on_append(Offset(12));
    r.wait(Acks::All, Offset(12), Millis(50), "all", &mut Vec::new());
    r.on_durable(Offset(12), &mut Vec::new());
    assert_eq!(told(|e| assert!(!r.on_leader(&leads(1, 2, &[1, 2], &[1]), e))), "hw 12, all ok");
    assert_eq!(r.isr(), [NodeId(1)]);
}

#[test]
fn under_min_isr_nothing_is_taken_or_committed() {
    let config = ReplicaConfig { durable: true, min_insync_replicas: 2 };
    let mut r = leader(config, &[1, 2], &[1, 2]);
    r.on_append(Offset(12));
    r.wait(Acks::All, Offset(12), Millis(50), "all", &mut Vec::new());
    assert_eq!(told(|e| assert!(!r.on_leader(&leads(1, 2, &[1, 2], &[1]), e))), "");
    assert_eq!(told(|e| r.on_durable(Offset(12), e)), "", "one replica is not two");
    let refused = ReplicaError::NotEnoughReplicas { in_sync: 1, required: 2 };
    assert_eq!(r.check_append(Some(Acks::All)), Err(refused));
    assert_eq!(r.check_append(Some(Acks::Leader)), Ok(()));
    assert_eq!(r.check_append(None), Ok(()));
    let late = "old: after the append 1 replicas were in sync and 2 are required";
    assert_eq!(told(|e| r.wait(Acks::All, Offset(4), Millis(50), "old", e)), late);
    assert_eq!(told(|e| r.on_tick(Millis(49), e)), "");
    assert_eq!(r.next_deadline(), Some(Millis(50)));
    let timed_out = "all: the replicas did not confirm in time";
    assert_eq!(told(|e| r.on_tick(Millis(50), e)), timed_out);
    assert_eq!(r.next_deadline(), None);
}

#[test]
fn more_replicas_than_exist_are_not_required() {
    let config = ReplicaConfig { durable: true, min_insync_replicas: 3 };
    let r = leader(config, &[1], &[1]);
    assert_eq!(r.check_append(Some(Acks::All)), Ok(()));
}

#[test]
fn a_new_epoch_trusts_no_end_of_the_old() {
    let mut r = leader(DURABLE, &[1, 2], &[1, 2]);
    r.on_follower_fetch(NodeId(2), Offset(10), &mut Vec::new()).unwrap();
    assert_eq!(r.high_watermark(), Offset(10));
    r.on_append(Offset(12));
    r.wait(Acks::All, Offset(12), Millis(50), "all", &mut Vec::new());
    r.on_durable(Offset(12), &mut Vec::new());
    assert_eq!(told(|e| assert!(r.on_leader(&leads(2, 2, &[1, 2], &[1, 2]), e))), "");
    assert_eq!(r.high_watermark(), Offset(10), "it never goes back");
    assert_eq!(told(|e| r.on_follower_fetch(NodeId(2), Offset(12), e).unwrap()), "hw 12, all ok");
}

#[test]
fn who_waits_when_the_leader_goes_is_told() {
    let mut r = leader(DURABLE, &[1, 2], &[1, 2]);
    r.on_append(Offset(12));
    r.wait(Acks::Leader, Offset(12), Millis(50), "one", &mut Vec::new());
    r.wait(Acks::All, Offset(12), Millis(50), "all", &mut Vec::new());
    let gone = "one: this broker does not lead the partition, \
                all: this broker does not lead the partition";
    let follows =
        |r: &mut Replica<_>, e: &mut Effects| r.on_follower(LeaderEpoch(2), 2, Some(NodeId(2)), e);
    assert_eq!(told(|e| assert!(follows(&mut r, e))), gone);
    assert_eq!(r.role(), Role::Follower(Some(NodeId(2))));
    let late = "late: this broker does not lead the partition";
    assert_eq!(told(|e| r.wait(Acks::Leader, Offset(5), Millis(50), "late", e)), late);
    assert_eq!(told(|e| assert!(!r.on_leader(&leads(1, 1, &[1, 2], &[1, 2]), e))), "", "old news");
    assert_eq!(r.role(), Role::Follower(Some(NodeId(2))));
}

#[test]
fn a_follower_takes_the_leaders_high_watermark_as_far_as_its_log_reaches() {
    let mut r: Replica<&str> = Replica::new(NodeId(1), DURABLE, Offset(0), Offset(10), None);
    assert_eq!(r.high_watermark(), Offset(0));
    r.on_follower(LeaderEpoch(1), 1, Some(NodeId(2)), &mut Vec::new());
    assert_eq!(told(|e| r.on_leader_high_watermark(Offset(8), e)), "hw 8");
    assert_eq!(told(|e| r.on_leader_high_watermark(Offset(20), e)), "hw 10");
    assert_eq!(told(|e| r.on_leader_high_watermark(Offset(9), e)), "");
    r.on_truncate(Offset(7), &mut Vec::new());
    assert_eq!((r.high_watermark(), r.ends().log_end), (Offset(7), Offset(7)));
    r.on_append(Offset(9));
    assert_eq!(r.ends().written, Offset(7));
    r.on_restart_at(Offset(100), &mut Vec::new());
    assert_eq!((r.high_watermark(), r.ends().durable), (Offset(100), Offset(100)));
}

#[test]
fn a_failed_disk_answers_everybody_and_takes_nothing() {
    let mut r = leader(DURABLE, &[1], &[1]);
    r.on_append(Offset(12));
    r.wait(Acks::All, Offset(12), Millis(50), "all", &mut Vec::new());
    let failed = "all: the log directory of the partition has failed";
    assert_eq!(told(|e| r.on_failure(e)), failed);
    assert_eq!(r.check_append(None), Err(ReplicaError::KafkaStorageError));
    assert_eq!(told(|e| assert!(!r.on_leader(&leads(5, 5, &[1], &[1]), e))), "");
    assert_eq!(r.role(), Role::Failed);
}

#[test]
fn a_log_start_beyond_the_high_watermark_takes_it_along() {
    let mut r: Replica<&str> =
        Replica::new(NodeId(1), DURABLE, Offset(2), Offset(10), Some(Offset(1)));
    assert_eq!(r.high_watermark(), Offset(2), "a checkpoint below the log start");
    assert_eq!(told(|e| r.on_log_start(Offset(6), e)), "hw 6");
    assert_eq!(told(|e| r.on_log_start(Offset(5), e)), "");
    assert_eq!(r.ends().log_start, Offset(6));
}

#[test]
fn leader_epochs_of_requests() {
    let r = leader(DURABLE, &[1], &[1]);
    let current = LeaderEpoch(1);
    assert_eq!(r.check_leader(None), Ok(()));
    assert_eq!(r.check_leader(Some(current)), Ok(()));
    let requested = LeaderEpoch(0);
    let fenced = ReplicaError::FencedLeaderEpoch { requested, current };
    assert_eq!(r.check_leader(Some(requested)), Err(fenced));
    let requested = LeaderEpoch(2);
    let unknown = ReplicaError::UnknownLeaderEpoch { requested, current };
    assert_eq!(r.check_leader(Some(requested)), Err(unknown));
    let fresh: Replica<&str> = Replica::new(NodeId(1), DURABLE, Offset(0), Offset(0), None);
    assert_eq!(fresh.check_leader(None), Err(ReplicaError::NotLeaderOrFollower));
}

#[test]
fn a_relaxed_topic_commits_what_was_only_written() {
    let mut r = leader(DURABLE, &[1], &[1]);
    r.on_append(Offset(12));
    r.wait(Acks::All, Offset(12), Millis(50), "all", &mut Vec::new());
    r.on_written(Offset(12), &mut Vec::new());
    let relaxed = ReplicaConfig { durable: false, ..DURABLE };
    assert_eq!(told(|e| r.on_config(relaxed, e)), "hw 12, all ok");
    assert_eq!(told(|e| r.on_config(DURABLE, e)), "", "what is visible stays visible");
    assert_eq!(r.high_watermark(), Offset(12));
}

#[test]
fn older_metadata_is_ignored() {
    let mut r = leader(DURABLE, &[1, 2], &[1, 2]);
    assert!(!r.on_leader(&leads(1, 0, &[1], &[1]), &mut Vec::new()), "an older partition epoch");
    assert!(!r.on_leader(&leads(0, 9, &[1], &[1]), &mut Vec::new()), "an older leader epoch");
    assert!(!r.on_follower(LeaderEpoch(0), 9, None, &mut Vec::new()));
    assert!(!r.on_follower(LeaderEpoch(2), 0, None, &mut Vec::new()));
    assert_eq!(
        (r.role(), r.leader_epoch(), r.partition_epoch()),
        (Role::Leader, LeaderEpoch(1), 1)
    );
    assert_eq!(r.isr(), [NodeId(1), NodeId(2)]);
}

#[test]
fn who_waits_for_what_was_cut_off_is_told() {
    let mut r = leader(DURABLE, &[1, 2], &[1, 2]);
    r.on_append(Offset(12));
    r.wait(Acks::All, Offset(11), Millis(50), "kept", &mut Vec::new());
    r.wait(Acks::All, Offset(12), Millis(50), "cut", &mut Vec::new());
    let gone = "cut: this broker does not lead the partition";
    assert_eq!(told(|e| r.on_truncate(Offset(11), e)), gone);
    assert_eq!((r.waiting(), r.ends().log_end), (1, Offset(11)));
}
