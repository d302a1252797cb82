//! Whole messages on a raw connection: asked and answered in one version, or sent many at a time.
//! Must not know what they mean.

use anyhow::{Context, bail, ensure};
use ottla_protocol::message::{ApiRequest, Message};
use ottla_protocol::{Reader, RequestHeader, ResponseHeader, Segments, StrBytes, request_frame};

use super::{Answer, Connection};

impl Connection {
    /// Sends a request in `version` and does not wait; gives its correlation id.
    pub fn tell<R: ApiRequest>(&mut self, version: i16, request: &R) -> anyhow::Result<i32> {
        self.correlation += 1;
        let frame = frame(self.correlation, version, request)?;
        self.send_bytes(&frame.to_bytes())?;
        Ok(self.correlation)
    }

    /// Reads the answer to the request with that correlation id and version, which must be next.
    pub fn hear<R: ApiRequest>(
        &mut self,
        version: i16,
        correlation: i32,
    ) -> anyhow::Result<R::Response> {
        let name = R::API_KEY.name();
        match self.answer()? {
            Answer::Frame(bytes) => decoded::<R>(bytes, version, correlation),
            Answer::Closed => bail!("{name} {version}: the broker closed the connection"),
            Answer::Silence => bail!("{name} {version}: no answer"),
        }
    }

    /// Sends a request and reads its answer.
    pub fn ask<R: ApiRequest>(&mut self, version: i16, request: &R) -> anyhow::Result<R::Response> {
        let correlation = self.tell(version, request)?;
        self.hear::<R>(version, correlation)
    }
}

/// A request as it goes over the wire: length, header (client id `raw`), body.
pub fn frame<R: ApiRequest>(
    correlation: i32,
    version: i16,
    request: &R,
) -> anyhow::Result<Segments> {
    let header = RequestHeader {
        correlation_id: correlation,
        client_id: Some(StrBytes::from_static("raw")),
        ..RequestHeader::default()
    };
    let name = R::API_KEY.name();
    request_frame(&header, version, request).with_context(|| format!("{name} {version}"))
}

/// A frame without its length as the answer in `version`; every byte of it must belong to it.
fn decoded<R: ApiRequest>(
    bytes: Vec<u8>,
    version: i16,
    correlation: i32,
) -> anyhow::Result<R::Response> {
    let name = R::API_KEY.name();
    let mut reader = Reader::new(bytes.into());
    let header = ResponseHeader::decode(&mut reader, R::API_KEY.response_header_version(version))
        .with_context(|| format!("the header of {name} {version}"))?;
    let found = header.correlation_id;
    ensure!(found == correlation, "{name} {version}: the answer to {found}, not {correlation}");
    let answer = R::Response::decode(&mut reader, version)
        .with_context(|| format!("the answer of {name} {version}"))?;
    reader.finish().with_context(|| format!("the answer of {name} {version}"))?;
    Ok(answer)
}
