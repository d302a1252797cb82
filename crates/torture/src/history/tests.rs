//! The checker against histories made by hand: each thing that a broker can do wrong is found, and
//! what it may do is not.

use super::{Content, Found, FoundRecord, Origin, PartitionHistory, Policy, Rule};

/// Ids of records are numbers with room for a shape.
const fn id(number: u64) -> u64 {
    number << 2
}

fn origin(number: u64) -> Origin {
    Origin { stream: 1, number, idempotent: true }
}

/// Ten records were sent by one producer, keys going round by three; those in `acked` were
/// acknowledged at the offsets of their numbers.
fn history(policy: Policy, acked: std::ops::Range<u64>) -> PartitionHistory {
    let mut history = PartitionHistory::new("t-0", policy);
    for number in 0..10 {
        history.sent(id(number), number % 3, origin(number));
    }
    for number in acked {
        history.acked(number.cast_signed(), &[id(number)]).unwrap();
    }
    history
}

fn record(offset: i64, number: u64) -> FoundRecord {
    let content = Content::Record { id: id(number), key: number % 3, timestamp: 0 };
    FoundRecord { offset, content }
}

/// Records `from..to` where they belong.
fn found(from: u64, to: u64) -> Found {
    Found {
        start: from.cast_signed(),
        end: to.cast_signed(),
        bytes: 1_000,
        records: (from..to).map(|number| record(number.cast_signed(), number)).collect(),
    }
}

#[track_caller]
fn rules(history: &PartitionHistory, found: &Found) -> Vec<Rule> {
    let mut rules: Vec<Rule> = history.check(found).iter().map(|wrong| wrong.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

#[test]
fn what_is_there_may_be_more_than_what_was_acknowledged() {
    let history = history(Policy::Whole, 0..5);
    for end in 5..=10 {
        assert_eq!(rules(&history, &found(0, end)), []);
    }
}

#[test]
fn a_lost_tail_is_found() {
    let history = history(Policy::Whole, 0..5);
    assert_eq!(rules(&history, &found(0, 4)), [Rule::Lost, Rule::End]);
    assert_eq!(rules(&history, &Found::default()), [Rule::Lost, Rule::End]);
}

#[test]
fn a_lost_record_in_the_middle_is_found() {
    let history = history(Policy::Whole, 0..5);
    let mut holed = found(0, 5);
    holed.records.remove(2);
    assert_eq!(rules(&history, &holed), [Rule::Lost, Rule::Order, Rule::Offsets]);
}

#[test]
fn a_record_at_another_offset_is_found() {
    let history = history(Policy::Whole, 0..5);
    let mut swapped = found(0, 5);
    swapped.records[1] = record(1, 3);
    swapped.records[3] = record(3, 1);
    assert_eq!(rules(&history, &swapped), [Rule::Changed, Rule::Order]);
}

#[test]
fn changed_bytes_are_found() {
    let history = history(Policy::Whole, 0..5);
    let mut damaged = found(0, 5);
    damaged.records[4].content = Content::Broken("a bit".to_owned());
    assert_eq!(rules(&history, &damaged), [Rule::Damaged]);
}

#[test]
fn a_record_that_nobody_sent_is_found() {
    let history = history(Policy::Whole, 0..5);
    let mut phantom = found(0, 6);
    phantom.records[5] = record(5, 4_000);
    assert_eq!(rules(&history, &phantom), [Rule::Phantom]);
}

#[test]
fn a_duplicate_is_found() {
    let history = history(Policy::Whole, 0..5);
    let mut twice = found(0, 6);
    twice.records[5] = record(5, 4);
    assert_eq!(rules(&history, &twice), [Rule::Duplicate, Rule::Order]);
}

#[test]
fn an_offset_that_goes_back_is_found() {
    let history = history(Policy::Whole, 0..5);
    let mut back = found(0, 6);
    back.records[5] = record(2, 5);
    let rules = rules(&history, &back);
    assert!(rules.contains(&Rule::Offsets), "{rules:?}");
}

#[test]
fn a_gap_in_what_an_idempotent_producer_sent_is_found() {
    let history = history(Policy::Whole, 0..5);
    let mut gap = found(0, 6);
    gap.records[5] = record(5, 7);
    assert_eq!(rules(&history, &gap), [Rule::Order]);
}

#[test]
fn a_gap_is_no_fault_of_a_producer_that_is_not_idempotent() {
    let mut history = PartitionHistory::new("t-0", Policy::Whole);
    for number in 0..10 {
        history.sent(id(number), 0, Origin { idempotent: false, ..origin(number) });
    }
    let mut gap = found(0, 3);
    gap.records[2] = record(2, 7);
    assert_eq!(rules(&history, &gap), []);
    gap.records[1] = record(1, 8);
    assert_eq!(rules(&history, &gap), [Rule::Order]);
}

#[test]
fn what_a_consumer_saw_is_as_good_as_acknowledged() {
    let mut history = history(Policy::Whole, 0..5);
    assert_eq!(history.observed(&[record(5, 5), record(6, 6)]), []);
    assert_eq!(rules(&history, &found(0, 6)), [Rule::Lost, Rule::End]);
    assert_eq!(rules(&history, &found(0, 7)), []);
    // And it cannot see two things at one offset.
    let wrong = history.observed(&[record(6, 7)]);
    assert_eq!(wrong.first().map(|wrong| wrong.rule), Some(Rule::Changed));
    assert!(history.acked(3, &[id(9)]).is_err());
}

#[test]
fn what_was_read_back_must_be_there_the_next_time() {
    let mut history = history(Policy::Whole, 0..5);
    history.settle(&found(0, 8));
    assert_eq!(rules(&history, &found(0, 7)), [Rule::Lost, Rule::End]);
    // What was in doubt and not there may still not appear out of order.
    history.settle(&found(0, 8));
    assert_eq!(rules(&history, &found(0, 9)), []);
}

#[test]
fn records_go_only_as_far_as_deletion_was_asked_for() {
    let mut history = history(Policy::Whole, 0..10);
    assert_eq!(rules(&history, &found(3, 10)), [Rule::Start]);
    history.delete_asked(3);
    assert_eq!(rules(&history, &found(3, 10)), []);
    assert_eq!(rules(&history, &found(0, 10)), []);
    assert_eq!(rules(&history, &found(4, 10)), [Rule::Start]);
    // A crash may undo it, a clean stop may not.
    history.delete_acked(3);
    assert_eq!(rules(&history, &found(0, 10)), []);
    assert!(history.clone().settle(&found(0, 10)));
    history.stopped_cleanly();
    assert_eq!(rules(&history, &found(0, 10)), [Rule::Start]);
    assert_eq!(rules(&history, &found(3, 10)), []);
}

#[test]
fn retention_leaves_as_much_as_it_should() {
    let history = history(Policy::Retained { bytes: 500 }, 0..10);
    assert_eq!(rules(&history, &found(6, 10)), []);
    let few = Found { bytes: 499, ..found(6, 10) };
    assert_eq!(rules(&history, &few), [Rule::Start]);
    // Never at or beyond the end.
    assert_eq!(rules(&history, &found(6, 9)), [Rule::Lost, Rule::End]);
}

#[test]
fn compaction_keeps_the_last_record_of_each_key() {
    let history = history(Policy::Compacted, 0..10);
    let kept = |numbers: &[u64]| Found {
        records: numbers.iter().map(|n| record(n.cast_signed(), *n)).collect(),
        ..found(0, 10)
    };
    assert_eq!(rules(&history, &kept(&[7, 8, 9])), []);
    assert_eq!(rules(&history, &kept(&[0, 1, 5, 7, 8, 9])), []);
    // 8 is the last of its key, and 7 is.
    assert_eq!(rules(&history, &kept(&[7, 9])), [Rule::Lost]);
    assert_eq!(rules(&history, &kept(&[5, 8, 9])), [Rule::Lost]);
    assert_eq!(rules(&history, &kept(&[7, 8, 8, 9])), [Rule::Duplicate, Rule::Offsets]);
}

#[test]
fn what_the_operating_system_was_trusted_with_may_go_but_not_change() {
    let history = history(Policy::Loose, 0..10);
    assert_eq!(rules(&history, &found(0, 2)), []);
    let mut phantom = found(0, 2);
    phantom.records[1] = record(1, 4_000);
    assert_eq!(rules(&history, &phantom), [Rule::Phantom]);
}

#[test]
fn the_log_begins_before_it_ends() {
    let mut history = history(Policy::Whole, 0..0);
    history.delete_asked(9);
    let found = Found { start: 5, end: 3, ..Found::default() };
    assert!(rules(&history, &found).contains(&Rule::Start));
}
