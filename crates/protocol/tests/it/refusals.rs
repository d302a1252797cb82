//! What cannot be written or read is refused with its reason.

use crate::round_trip::encoded;
use bytes::Bytes;
use ottla_protocol::k01_fetch::{FetchPartition, FetchTopic};
use ottla_protocol::{
    ApiKey, DecodeError, EncodeError, FetchRequest, HeartbeatRequest, MetadataRecord,
    MetadataRequest, NoOpRecord, ProduceRequest, Reader, RequestHeader, SaslHandshakeRequest,
    StrBytes, TaggedFields, VersionRange, Writer, request_frame, response_frame,
};

fn refusal<M: ottla_protocol::Message>(message: &M, version: i16) -> EncodeError {
    message.encode(&mut Writer::new(), version).unwrap_err()
}

fn decoded<M: ottla_protocol::Message>(bytes: &[u8], version: i16) -> Result<M, DecodeError> {
    M::decode(&mut Reader::new(Bytes::copy_from_slice(bytes)), version)
}

#[test]
fn a_field_that_the_version_lacks_is_dropped_or_refused() {
    let partition = FetchPartition { last_fetched_epoch: 3, ..Default::default() };
    let topic = FetchTopic { partitions: vec![partition], ..Default::default() };
    let request = FetchRequest { topics: vec![topic], ..Default::default() };
    assert!(request.encode(&mut Writer::new(), 12).is_ok());
    assert_eq!(
        refusal(&request, 11),
        EncodeError::FieldNotSupported { field: "FetchPartition.last_fetched_epoch", version: 11 }
    );
    let ignorable = FetchRequest { rack_id: "r".into(), ..Default::default() };
    assert_eq!(encoded(&ignorable, 10), encoded(&FetchRequest::default(), 10));
}

#[test]
fn null_is_refused_where_the_version_has_none() {
    let all = MetadataRequest { topics: None, ..Default::default() };
    assert_eq!(
        refusal(&all, 0),
        EncodeError::NullNotSupported { field: "MetadataRequest.topics", version: 0 }
    );
    assert_eq!(&encoded(&all, 1)[..], [0xff; 4]);
    let null = decoded::<MetadataRequest>(&[0xff; 4], 0);
    assert_eq!(null, Err(DecodeError::UnexpectedNull { what: "array" }));
}

#[test]
fn versions_outside_the_range_are_refused() {
    let valid = VersionRange::new(3, 13);
    assert_eq!(
        refusal(&ProduceRequest::default(), 2),
        EncodeError::UnsupportedVersion { message: "ProduceRequest", version: 2, valid }
    );
    let error = decoded::<ProduceRequest>(&[], 14).unwrap_err();
    assert_eq!(
        error.to_string(),
        "version 14 of ProduceRequest is not supported (supported: 3-13)"
    );
}

#[test]
fn tagged_fields_need_a_flexible_version() {
    let tags = TaggedFields::from_fields([(5, Bytes::from_static(b"x"))]).unwrap();
    let request = HeartbeatRequest { unknown_tagged_fields: tags.clone(), ..Default::default() };
    assert_eq!(refusal(&request, 3), EncodeError::TagsNotSupported { version: 3 });
    assert!(request.encode(&mut Writer::new(), 4).is_ok());
    let twice = TaggedFields::from_fields([(0, Bytes::new())]).unwrap();
    let request = FetchRequest {
        cluster_id: Some("c".into()),
        unknown_tagged_fields: twice,
        ..Default::default()
    };
    assert_eq!(refusal(&request, 12), EncodeError::DuplicateTag { tag: 0 });
}

#[test]
fn lengths_are_checked_against_what_remains() {
    let array = decoded::<MetadataRequest>(&[0x7f, 0xff, 0xff, 0xff], 1);
    assert_eq!(array, Err(DecodeError::ArrayTooLong { len: 0x7fff_ffff, remaining: 0 }));
    let string = decoded::<SaslHandshakeRequest>(&[0, 3, b'a'], 0);
    assert_eq!(string, Err(DecodeError::Truncated { needed: 3, remaining: 1 }));
    let utf8 = decoded::<SaslHandshakeRequest>(&[0, 1, 0xff], 0);
    assert_eq!(utf8, Err(DecodeError::InvalidUtf8));
    let long = SaslHandshakeRequest { mechanism: StrBytes::from("x".repeat(32_768)) };
    assert_eq!(refusal(&long, 0), EncodeError::StringTooLong { len: 32_768 });
    let varint = decoded::<HeartbeatRequest>(&[0xff; 8], 4);
    assert_eq!(varint, Err(DecodeError::VarintTooLong));
}

#[test]
fn a_tagged_field_is_as_long_as_it_says() {
    let mut bytes = encoded(&FetchRequest::default(), 12).to_vec();
    bytes.pop();
    bytes.extend([1, 0, 5, 2, b'c', 0, 0, 0]);
    assert_eq!(
        decoded::<FetchRequest>(&bytes, 12),
        Err(DecodeError::TagSize { tag: 0, announced: 5, actual: 2 })
    );
}

#[test]
fn memory_is_bounded_by_the_input() {
    // Topics of version 12 take 3 bytes each and far more in memory.
    let count = 200_000_u32;
    let mut w = Writer::new();
    w.raw(&encoded(&FetchRequest::default(), 12)[..25]);
    w.uvarint(count + 1);
    w.raw(&vec![1; usize::try_from(count).unwrap() * 3]);
    let bytes = w.finish().to_bytes();
    let error = decoded::<FetchRequest>(&bytes, 12).unwrap_err();
    assert_eq!(error, DecodeError::TooMuchMemory { input: bytes.len() });
}

#[test]
fn frames_of_metadata_records_are_checked() {
    let record = MetadataRecord::from(NoOpRecord::default());
    assert_eq!(&record.encode(0).unwrap()[..], [1, 20, 0, 0]);
    let said = |bytes: &'static [u8]| MetadataRecord::decode(Bytes::from_static(bytes));
    assert_eq!(said(&[0, 20, 0, 0]), Err(DecodeError::UnknownFrameVersion { version: 0 }));
    assert_eq!(
        said(&[1, 19, 9, 0]).unwrap_err().to_string(),
        "version 9 of RemoveAccessControlEntryRecord is not supported (supported: 0)"
    );
    assert_eq!(said(&[1, 99, 0, 0]), Err(DecodeError::UnknownRecordType { record_type: 99 }));
    assert_eq!(said(&[1, 20, 0, 0, 7]), Err(DecodeError::TrailingBytes { count: 1 }));
}

#[test]
fn headers_follow_the_api_and_its_version() {
    let header = RequestHeader { correlation_id: 7, client_id: None, ..Default::default() };
    let request = HeartbeatRequest::default();
    for (version, tags) in [(3, 0), (4, 1)] {
        let frame = request_frame(&header, version, &request).unwrap().to_bytes();
        let mut r = Reader::new(frame.slice(4..));
        let read = RequestHeader::read(&mut r).unwrap();
        assert_eq!((read.request_api_key, read.request_api_version), (12, version));
        assert_eq!((read.correlation_id, read.client_id.clone()), (7, None));
        assert_eq!(r.position(), 10 + tags);
        assert_eq!(HeartbeatRequest::decode(&mut r, version), Ok(request.clone()));
        assert_eq!(&frame[..4], u32::try_from(frame.len() - 4).unwrap().to_be_bytes());
    }
    let unknown = RequestHeader::read(&mut Reader::new(Bytes::from_static(&[0, 4, 0, 0])));
    assert_eq!(unknown, Err(DecodeError::UnknownApiKey { key: 4 }));
    // ApiVersions of an unknown version still has a header, and an answer in version 0's.
    let newer = [0, 18, 0, 99, 0, 0, 0, 5, 0xff, 0xff, 0];
    assert!(RequestHeader::read(&mut Reader::new(Bytes::copy_from_slice(&newer))).is_ok());
    assert_eq!(ApiKey::ApiVersions.response_header_version(3), 0);
    assert_eq!(ApiKey::Heartbeat.response_header_version(4), 1);
    let response = ottla_protocol::HeartbeatResponse::default();
    let frame = response_frame(ApiKey::Heartbeat, 4, 9, &response).unwrap().to_bytes();
    assert_eq!(&frame[..], [0, 0, 0, 12, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0]);
}
