//! The borrowed views say what the owned decoders say, on good and on broken input alike.

use crate::round_trip::encoded;
use bytes::Bytes;
use ottla_protocol::{
    DecodeError, FetchRequest, FetchRequestView, ProduceBeginning, ProduceRequest,
    ProduceRequestView, RandomSource, Reader, Uuid,
};
use proptest::prelude::{ProptestConfig, any, proptest};

type ProduceParts = (Option<String>, i16, i32, Vec<(String, Uuid, i32, Option<Vec<u8>>)>);

fn produce_owned(body: &[u8], version: i16) -> Result<ProduceParts, DecodeError> {
    let mut r = Reader::new(Bytes::copy_from_slice(body));
    let request = ProduceRequest::decode(&mut r, version)?;
    let mut parts = Vec::new();
    for topic in &request.topic_data {
        for p in &topic.partition_data {
            let records = p.records.as_ref().map(|r| r.to_bytes().to_vec());
            parts.push((topic.name.to_string(), topic.topic_id, p.index, records));
        }
    }
    let id = request.transactional_id.map(|t| t.to_string());
    Ok((id, request.acks, request.timeout_ms, parts))
}

fn produce_view(frame: &[u8], at: usize, version: i16) -> Result<ProduceParts, DecodeError> {
    let view = ProduceRequestView::parse(frame, at, version)?;
    let mut parts = Vec::new();
    for topic in view.topics() {
        for p in topic.partitions() {
            let records = p.records.map(|range| frame[range].to_vec());
            parts.push((topic.name.to_owned(), topic.topic_id, p.index, records));
        }
    }
    let id = view.transactional_id().map(str::to_owned);
    Ok((id, view.acks(), view.timeout_ms(), parts))
}

/// The beginning says what the whole says, as soon as the records begin, and nothing before.
fn check_beginning(frame: &[u8], version: i16) {
    let Ok(view) = ProduceRequestView::parse(frame, 0, version) else { return };
    let Some(topic) = view.topics().next() else {
        assert_eq!(ProduceBeginning::parse(frame, 0, version), None);
        return;
    };
    let partition = topic.partitions().next();
    let Some((index, records)) = partition.and_then(|p| Some((p.index, p.records?))) else {
        assert_eq!(ProduceBeginning::parse(frame, 0, version), None);
        return;
    };
    let expected = ProduceBeginning {
        name: topic.name,
        topic_id: topic.topic_id,
        index,
        records_at: records.start,
        records_len: records.len(),
    };
    assert_eq!(ProduceBeginning::parse(frame, 0, version).as_ref(), Some(&expected));
    let (beginning, _) = frame.split_at(records.start);
    assert_eq!(ProduceBeginning::parse(beginning, 0, version).as_ref(), Some(&expected));
    for len in 0..records.start {
        assert_eq!(ProduceBeginning::parse(&frame[..len], 0, version), None);
    }
}

fn fetch_owned(body: &[u8], version: i16) -> Result<String, DecodeError> {
    let mut r = Reader::new(Bytes::copy_from_slice(body));
    let f = FetchRequest::decode(&mut r, version)?;
    let state = &f.replica_state;
    let replica = if version < 15 { f.replica_id } else { state.replica_id };
    let mut out = format!(
        "{:?} {replica} {} {} {} {} {} {} {} {}\n",
        f.cluster_id.as_deref(),
        state.replica_epoch,
        f.max_wait_ms,
        f.min_bytes,
        f.max_bytes,
        f.isolation_level,
        f.session_id,
        f.session_epoch,
        &*f.rack_id
    );
    for t in &f.topics {
        out.push_str(&format!("topic {:?} {}\n", &*t.topic, t.topic_id));
        for p in &t.partitions {
            out.push_str(&format!(
                "{} {} {} {} {} {} {} {}\n",
                p.partition,
                p.current_leader_epoch,
                p.fetch_offset,
                p.last_fetched_epoch,
                p.log_start_offset,
                p.partition_max_bytes,
                p.replica_directory_id,
                p.high_watermark
            ));
        }
    }
    for t in &f.forgotten_topics_data {
        out.push_str(&format!("forget {:?} {} {:?}\n", &*t.topic, t.topic_id, t.partitions));
    }
    Ok(out)
}

fn fetch_view(frame: &[u8], at: usize, version: i16) -> Result<String, DecodeError> {
    let f = FetchRequestView::parse(frame, at, version)?;
    let mut out = format!(
        "{:?} {} {} {} {} {} {} {} {} {}\n",
        f.cluster_id,
        f.replica_id,
        f.replica_epoch,
        f.max_wait_ms,
        f.min_bytes,
        f.max_bytes,
        f.isolation_level,
        f.session_id,
        f.session_epoch,
        f.rack_id
    );
    for t in f.topics() {
        out.push_str(&format!("topic {:?} {}\n", t.topic, t.topic_id));
        for p in t.partitions() {
            out.push_str(&format!(
                "{} {} {} {} {} {} {} {}\n",
                p.partition,
                p.current_leader_epoch,
                p.fetch_offset,
                p.last_fetched_epoch,
                p.log_start_offset,
                p.partition_max_bytes,
                p.replica_directory_id,
                p.high_watermark
            ));
        }
    }
    for t in f.forgotten() {
        let partitions = t.partitions().collect::<Vec<_>>();
        out.push_str(&format!("forget {:?} {} {partitions:?}\n", t.topic, t.topic_id));
    }
    Ok(out)
}

/// The body itself, cut short, and with bytes changed.
fn variants(body: &[u8], s: &mut RandomSource) -> Vec<Vec<u8>> {
    let mut all = vec![body.to_vec()];
    for _ in 0..20 {
        all.push(body[..s.below(body.len() + 1)].to_vec());
        let mut changed = body.to_vec();
        for _ in 0..=s.below(3) {
            let at = s.below(changed.len());
            changed[at] = s.i8().cast_unsigned();
        }
        all.push(changed);
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn produce(seed in any::<u64>(), version in 3_i16..=13) {
        let mut s = RandomSource::new(seed);
        let body = encoded(&ProduceRequest::random(&mut s, version), version);
        for body in variants(&body, &mut s) {
            assert_eq!(produce_view(&body, 0, version), produce_owned(&body, version));
            check_beginning(&body, version);
            let framed = [&[9; 11][..], &body].concat();
            let shifted = produce_view(&framed, 11, version);
            assert_eq!(shifted.ok(), produce_owned(&body, version).ok());
        }
    }

    #[test]
    fn fetch(seed in any::<u64>(), version in 4_i16..=18) {
        let mut s = RandomSource::new(seed);
        let body = encoded(&FetchRequest::random(&mut s, version), version);
        for body in variants(&body, &mut s) {
            assert_eq!(fetch_view(&body, 0, version), fetch_owned(&body, version));
            let framed = [&[9; 11][..], &body].concat();
            let shifted = fetch_view(&framed, 11, version);
            assert_eq!(shifted.ok(), fetch_owned(&body, version).ok());
        }
    }
}

#[test]
fn the_memory_bound_is_the_owned_decoders() {
    for (version, empty_topic) in [(9, &[1_u8, 1, 0][..]), (3, &[0, 0, 0, 0, 0, 0])] {
        for count in (0..90_000_u32).step_by(7_919) {
            let mut w = ottla_protocol::Writer::new();
            w.raw(
                &encoded(&ProduceRequest::default(), version)[..if version == 9 { 7 } else { 8 }],
            );
            if version == 9 {
                w.uvarint(count + 1)
            } else {
                w.u32(count)
            }
            for _ in 0..count {
                w.raw(empty_topic);
            }
            w.u8(0);
            let body = w.finish().to_bytes();
            assert_eq!(
                produce_view(&body, 0, version),
                produce_owned(&body, version),
                "{count} topics in version {version}"
            );
        }
    }
}
