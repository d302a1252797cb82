//! What must hold for any bytes that are taken for a message. Shared by the fuzz targets and the
//! normal tests. An input is API key, version (two bytes each) and body.

use bytes::Bytes;
use ottla_protocol::{
    ApiKey, FetchRequestView, ProduceRequestView, Reader, Request, Response, Segments, Writer,
};

fn split(data: &[u8]) -> Option<(ApiKey, i16, Bytes)> {
    let mut r = Reader::new(Bytes::copy_from_slice(data));
    let key = ApiKey::from_i16(r.i16().ok()?)?;
    let version = r.i16().ok()?;
    Some((key, version, r.take_rest()))
}

/// Decoding a request does not panic, and what decodes encodes to something stable. Says whether
/// it decoded.
pub(crate) fn request(data: &[u8]) -> bool {
    let Some((key, version, body)) = split(data) else { return false };
    let decoded = Request::decode(key, &mut Reader::new(body.clone()), version);
    if key == ApiKey::Produce {
        let view = ProduceRequestView::parse(&body, 0, version);
        assert_eq!(view.as_ref().err(), decoded.as_ref().err());
    }
    if key == ApiKey::Fetch {
        let view = FetchRequestView::parse(&body, 0, version);
        assert_eq!(view.as_ref().err(), decoded.as_ref().err());
    }
    let Ok(message) = decoded else { return false };
    let written = |message: &Request| {
        let mut w = Writer::new();
        message.encode(&mut w, version).expect("what was decoded can be encoded");
        let bytes = w.finish();
        assert_eq!(bytes.len(), message.encoded_len(version));
        bytes
    };
    let once = written(&message);
    let again = Request::decode(key, &mut Reader::new(once.to_bytes()), version);
    same(&once, &written(&again.expect("what was encoded can be decoded")));
    true
}

/// As [`request`], for responses.
pub(crate) fn response(data: &[u8]) -> bool {
    let Some((key, version, body)) = split(data) else { return false };
    let Ok(message) = Response::decode(key, &mut Reader::new(body), version) else { return false };
    let written = |message: &Response| {
        let mut w = Writer::new();
        message.encode(&mut w, version).expect("what was decoded can be encoded");
        let bytes = w.finish();
        assert_eq!(bytes.len(), message.encoded_len(version));
        bytes
    };
    let once = written(&message);
    let again = Response::decode(key, &mut Reader::new(once.to_bytes()), version);
    same(&once, &written(&again.expect("what was encoded can be decoded")));
    true
}

/// Bytes, not messages: a NaN is not equal to itself.
fn same(a: &Segments, b: &Segments) {
    assert_eq!(a.to_bytes(), b.to_bytes());
}
