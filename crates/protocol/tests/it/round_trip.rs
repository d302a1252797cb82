//! Every message in every version: what was written is read back, is as long as announced, and
//! is written the same again.

use bytes::Bytes;
use ottla_protocol::message::Message;
use ottla_protocol::random::{MessageVisitor, RandomMessage, each_message};
use ottla_protocol::{
    ApiKey, GroupRecordKey, GroupRecordValue, MetadataRecord, RandomSource, Reader, ShareRecordKey,
    ShareRecordValue, TaggedFields, TransactionRecordKey, TransactionRecordValue, Writer,
};
use proptest::prelude::{ProptestConfig, any, proptest};

pub(crate) fn encoded<M: Message>(message: &M, version: i16) -> Bytes {
    let mut w = Writer::new();
    message.encode(&mut w, version).unwrap_or_else(|e| panic!("{} v{version}: {e}", M::NAME));
    w.finish().to_bytes()
}

struct RoundTrip {
    source: RandomSource,
    times: usize,
}

impl MessageVisitor for RoundTrip {
    fn visit<M: RandomMessage>(&mut self) {
        for version in M::VALID_VERSIONS.iter() {
            for _ in 0..self.times {
                let message = M::random(&mut self.source, version);
                check(&message, version);
            }
            check(&M::random(&mut RandomSource::new(0), version), version);
        }
    }
}

fn check<M: Message>(message: &M, version: i16) {
    let bytes = encoded(message, version);
    assert_eq!(bytes.len(), message.encoded_len(version), "{} v{version}: length", M::NAME);
    let mut r = Reader::new(bytes.clone());
    let back = M::decode(&mut r, version)
        .unwrap_or_else(|e| panic!("{} v{version}: {e}\n{message:?}", M::NAME));
    r.finish().unwrap_or_else(|e| panic!("{} v{version}: {e}", M::NAME));
    assert_eq!(&back, message, "{} v{version}", M::NAME);
    assert_eq!(encoded(&back, version), bytes, "{} v{version}: second writing", M::NAME);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn every_message_in_every_version(seed in any::<u64>()) {
        each_message(&mut RoundTrip { source: RandomSource::new(seed), times: 2 });
    }
}

/// Defaults can be written in every version: nothing that is unset is refused.
#[test]
fn defaults_are_accepted_by_every_version() {
    struct Defaults;
    impl MessageVisitor for Defaults {
        fn visit<M: RandomMessage>(&mut self) {
            for version in M::VALID_VERSIONS.iter() {
                let bytes = encoded(&M::default(), version);
                let back = M::decode(&mut Reader::new(bytes), version).unwrap();
                assert_eq!(back, M::default(), "{} v{version}", M::NAME);
            }
        }
    }
    each_message(&mut Defaults);
}

#[test]
fn unknown_tagged_fields_are_kept_in_order() {
    use ottla_protocol::FetchResponse;
    // Tag 0 is known from version 16 on, so that in version 12 it is one of the unknown.
    let unknown = |tags: &[u32]| {
        TaggedFields::from_fields(tags.iter().map(|t| (*t, Bytes::from(vec![7; 3])))).unwrap()
    };
    let message =
        FetchResponse { unknown_tagged_fields: unknown(&[0, 1, 300]), ..Default::default() };
    check(&message, 12);
    let endpoint = ottla_protocol::k01_fetch::NodeEndpoint::default();
    let mixed = FetchResponse {
        unknown_tagged_fields: unknown(&[3, 70_000]),
        node_endpoints: vec![endpoint],
        ..Default::default()
    };
    check(&mixed, 16);
}

#[test]
fn tagged_fields_out_of_order_are_put_in_order() {
    use ottla_protocol::FetchRequest;
    let message = FetchRequest { cluster_id: Some("c".into()), ..Default::default() };
    let plain = encoded(&message, 18);
    assert_eq!(plain.as_ref().last_chunk::<5>(), Some(&[1, 0, 2, 2, b'c']));
    let head = &plain[..plain.len() - 5];
    // Tags 9, 0 (known), 4, 9 again, 3.
    let tags = [&[5, 9, 1, 1][..], &[0, 2, 2, b'c'], &[4, 0], &[9, 1, 2], &[3, 2, 5, 6]].concat();
    let bytes = Bytes::from([head, &tags].concat());
    let read = FetchRequest::decode(&mut Reader::new(bytes), 18).unwrap();
    assert_eq!(read.cluster_id, message.cluster_id);
    let fields = read.unknown_tagged_fields.iter().map(|(t, b)| (t, b.to_vec()));
    let expected = [(3, vec![5, 6]), (4, vec![]), (9, vec![2])];
    assert_eq!(fields.collect::<Vec<_>>(), expected);
    check(&read, 18);
}

macro_rules! coordinator_records {
    ($source:ident, $($key:ident $value:ident,)*) => {$(
        for record_type in 0..40 {
            if let Some(versions) = $value::versions(record_type) {
                for version in versions.iter() {
                    let bytes = random_content(&mut $source, |r| {
                        $value::decode_content(record_type, r, version)
                    });
                    let Some(value) = bytes else { continue };
                    let stored = value.encode(version).unwrap();
                    assert_eq!(stored.len(), 2 + value.content_len(version));
                    assert_eq!($value::decode(record_type, stored), Ok(value));
                }
            }
            if $key::versions(record_type).is_some() {
                let key = random_content(&mut $source, |r| {
                    $key::decode_content(record_type, r, 0)
                });
                let Some(key) = key else { continue };
                assert_eq!(key.record_type(), record_type);
                assert_eq!($key::decode(key.encode().unwrap()), Ok(key));
            }
        }
    )*};
}

/// The first random bytes that decode.
fn random_content<T>(
    source: &mut RandomSource,
    decode: impl Fn(&mut Reader) -> Result<T, ottla_protocol::DecodeError>,
) -> Option<T> {
    (0..200).find_map(|_| {
        let mut bytes = vec![0; 60];
        for byte in &mut bytes {
            *byte = u8::try_from(source.below(4)).unwrap();
        }
        decode(&mut Reader::new(Bytes::from(bytes))).ok()
    })
}

#[test]
fn stored_records_carry_type_and_version() {
    let mut source = RandomSource::new(5);
    coordinator_records! {
        source,
        GroupRecordKey GroupRecordValue,
        TransactionRecordKey TransactionRecordValue,
        ShareRecordKey ShareRecordValue,
    }
    let mut seen = 0;
    for record_type in 0..40 {
        let Some(versions) = MetadataRecord::versions(record_type) else { continue };
        for version in versions.iter() {
            let record = random_content(&mut source, |r| {
                MetadataRecord::decode_content(record_type, r, version)
            });
            let Some(record) = record else { continue };
            let stored = record.encode(version).unwrap();
            assert_eq!(MetadataRecord::decode_versioned(stored), Ok((record, version)));
            seen += 1;
        }
    }
    assert!(seen > 20, "only {seen} metadata records were tried");
}

#[test]
fn requests_and_responses_go_by_api_key() {
    for key in ApiKey::ALL {
        assert_eq!(ApiKey::try_from(key.id()), Ok(key));
        assert_eq!(ApiKey::from_i16(key.id()).map(ApiKey::name), Some(key.name()));
    }
    for gone in [-1, 4, 5, 6, 7, 95, i16::MAX] {
        assert!(ApiKey::try_from(gone).is_err());
    }
    assert_eq!(ApiKey::ALL.len(), 91);
}
