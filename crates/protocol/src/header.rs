//! Request and response headers and whole frames: which header version goes before which message.
//! Must not know sockets.

use crate::message::{ApiRequest, Message};
use crate::{
    ApiKey, DecodeError, EncodeError, Reader, RequestHeader, ResponseHeader, Segments, Writer,
};

impl RequestHeader {
    /// Reads a request's header from the front of a frame (after its length); the header's own
    /// version follows from the API and version it begins with. A version that the API lacks is
    /// not refused here, so that ApiVersions can be answered (KIP-511).
    ///
    /// # Errors
    /// When the API key is unknown or the bytes are no header.
    pub fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let mut ahead = Reader::new(r.shared(r.position(), r.position() + r.remaining().min(4)));
        let key = ApiKey::try_from(ahead.i16()?)?;
        let version = ahead.i16()?;
        Self::decode(r, key.request_header_version(version))
    }
}

/// Room for the fields of a frame. One that is longer than this is most often long for its records,
/// which take none.
fn room(len: usize) -> usize {
    const MOST: usize = 16 << 10;
    if len <= MOST { 4 + len } else { MOST / 4 }
}

/// A whole response frame: length, header, body.
///
/// # Errors
/// When the version cannot carry the response, or it is 2³¹ bytes or longer.
pub fn response_frame<M: Message>(
    api: ApiKey,
    version: i16,
    correlation_id: i32,
    response: &M,
) -> Result<Segments, EncodeError> {
    let header = ResponseHeader { correlation_id, ..ResponseHeader::default() };
    let header_version = api.response_header_version(version);
    let len = header.encoded_len(header_version) + response.encoded_len(version);
    let mut w = Writer::with_capacity(room(len));
    w.u32(crate::writer::checked_len(len)?);
    header.encode(&mut w, header_version)?;
    response.encode(&mut w, version)?;
    Ok(w.finish())
}

/// A whole request frame: length, header, body. Key and version in `header` are set here.
///
/// # Errors
/// When the version cannot carry the request, or it is 2³¹ bytes or longer.
pub fn request_frame<M: ApiRequest>(
    header: &RequestHeader,
    version: i16,
    request: &M,
) -> Result<Segments, EncodeError> {
    let header = RequestHeader {
        request_api_key: M::API_KEY.id(),
        request_api_version: version,
        ..header.clone()
    };
    let header_version = M::API_KEY.request_header_version(version);
    let len = header.encoded_len(header_version) + request.encoded_len(version);
    let mut w = Writer::with_capacity(room(len));
    w.u32(crate::writer::checked_len(len)?);
    header.encode(&mut w, header_version)?;
    request.encode(&mut w, version)?;
    Ok(w.finish())
}
