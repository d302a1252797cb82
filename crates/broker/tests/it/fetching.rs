//! Fetches over several partitions: what waits, what a session leaves out, how much comes from
//! files at a time.

use ottla_protocol::k01_fetch::{FetchPartition, FetchTopic};
use ottla_protocol::{FetchRequest, FetchResponse};

use crate::data::{create, values, write};
use crate::fixture::{Client, World};

/// Longer than a test waits for any answer.
const LONG_MS: i32 = 3_600_000;

/// Of one topic with one partition each.
fn fetch(wanted: &[(&'static str, i64)]) -> FetchRequest {
    let topic = |(name, offset): &(&'static str, i64)| FetchTopic {
        topic: (*name).into(),
        partitions: vec![FetchPartition {
            fetch_offset: *offset,
            partition_max_bytes: 1 << 20,
            ..FetchPartition::default()
        }],
        ..FetchTopic::default()
    };
    FetchRequest {
        max_bytes: 50 << 20,
        session_epoch: -1,
        topics: wanted.iter().map(topic).collect(),
        ..FetchRequest::default()
    }
}

fn ask(client: &mut Client, request: &FetchRequest) -> FetchResponse {
    let answer = client.ask(12, request).unwrap();
    assert_eq!(answer.error_code, 0);
    answer
}

/// The topics of an answer with their values.
fn found(answer: &FetchResponse) -> Vec<(String, Vec<Vec<u8>>)> {
    let topics = answer.responses.iter();
    topics.map(|topic| (topic.topic.to_string(), values(&topic.partitions[0]))).collect()
}

fn bytes(answer: &FetchResponse) -> usize {
    let partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|partition| partition.records.as_ref().unwrap().len()).sum()
}

/// Values of little and of much, so that what was found is kept while waiting, and is not.
#[test]
fn who_waits_for_much_gets_what_came_to_all_partitions() {
    for size in [10, 60_000] {
        let world = World::new();
        let running = world.start(&[]);
        let mut client = running.client();
        let names = ["a", "b", "c"];
        for name in names {
            create(&mut client, name);
        }
        write(&mut client, "a", &vec![b'0'; size]);
        let one = bytes(&ask(&mut client, &fetch(&[("a", 0)])));
        let mut request = fetch(&names.map(|name| (name, 0)));
        (request.min_bytes, request.max_wait_ms) = (i32::try_from(one * 4).unwrap(), LONG_MS);
        let mut other = running.client();
        let waiting = std::thread::spawn(move || found(&ask(&mut other, &request)));
        for (name, letter) in [("c", b'1'), ("a", b'2'), ("c", b'3')] {
            write(&mut client, name, &vec![letter; size]);
        }
        let of = |letters: &[u8]| letters.iter().map(|l| vec![*l; size]).collect::<Vec<_>>();
        let expected = [("a", of(b"02")), ("b", of(b"")), ("c", of(b"13"))];
        assert_eq!(waiting.join().unwrap(), expected.map(|(name, of)| (name.to_owned(), of)));
        running.stop();
    }
}

#[test]
fn who_waits_for_more_than_comes_gets_at_the_deadline_what_did() {
    let world = World::new();
    let running = world.start(&[]);
    let mut client = running.client();
    for name in ["a", "b"] {
        create(&mut client, name);
    }
    for size in [10, 100_000] {
        let offset = write(&mut client, "b", &vec![b'x'; size]);
        let mut request = fetch(&[("a", 0), ("b", offset)]);
        (request.min_bytes, request.max_wait_ms) = (50 << 20, 50);
        let answer = found(&ask(&mut client, &request));
        assert_eq!(answer[0].1, Vec::<Vec<u8>>::new());
        assert_eq!(answer[1].1, [vec![b'x'; size]]);
    }
    running.stop();
}

#[test]
fn a_session_is_told_of_what_changed_and_of_nothing_else() {
    let world = World::new();
    let running = world.start(&[]);
    let mut client = running.client();
    let names = ["a", "b", "c"];
    for name in names {
        create(&mut client, name);
    }
    let mut request = fetch(&names.map(|name| (name, 0)));
    request.session_epoch = 0;
    let first = ask(&mut client, &request);
    assert_eq!(first.responses.len(), 3);
    let next = |epoch, wanted: &[(&'static str, i64)], wait| FetchRequest {
        session_id: first.session_id,
        session_epoch: epoch,
        min_bytes: 1,
        max_wait_ms: wait,
        ..fetch(wanted)
    };
    let mut other = running.client();
    let request = next(1, &[], LONG_MS);
    let waiting = std::thread::spawn(move || found(&ask(&mut other, &request)));
    write(&mut client, "b", b"1");
    assert_eq!(waiting.join().unwrap(), [("b".to_owned(), vec![b"1".to_vec()])]);
    // It is fetched again until the client says that it has it.
    let again = found(&ask(&mut client, &next(2, &[], 0)));
    assert_eq!(again, [("b".to_owned(), vec![b"1".to_vec()])]);
    assert!(found(&ask(&mut client, &next(3, &[("b", 1)], 0))).is_empty());
    // An error comes again and again.
    for epoch in [4, 5] {
        let answer = ask(&mut client, &next(epoch, &[("c", 7)], LONG_MS));
        assert_eq!(answer.responses.len(), 1);
        assert_eq!(answer.responses[0].partitions[0].error_code, 1);
    }
    running.stop();
}

#[test]
fn what_files_have_comes_in_answers_of_bounded_size() {
    const EACH: usize = 700_000;
    let world = World::new();
    let running = world.start(&[]);
    let mut client = running.client();
    let names = ["a", "b", "c", "d"];
    for name in names {
        create(&mut client, name);
    }
    for (name, letter) in names.iter().zip(b'0'..) {
        for more in 0..3 {
            write(&mut client, name, &vec![letter + more; EACH]);
        }
    }
    running.stop();
    let running = world.start(&[]);
    let mut client = running.client();
    let mut offsets = names.map(|name| (name, 0_i64));
    let mut rounds = 0;
    while offsets.iter().any(|(_, offset)| *offset < 3) {
        let answer = ask(&mut client, &fetch(&offsets));
        assert!((EACH..3 * EACH).contains(&bytes(&answer)), "{}", bytes(&answer));
        for ((name, values), ((_, offset), letter)) in
            found(&answer).into_iter().zip(offsets.iter_mut().zip(b'0'..))
        {
            for value in values {
                let expected = letter + u8::try_from(*offset).unwrap();
                assert!(value == vec![expected; EACH], "{name} at {offset}");
                *offset += 1;
            }
        }
        rounds += 1;
    }
    assert_eq!(rounds, 6);
    running.stop();
}
