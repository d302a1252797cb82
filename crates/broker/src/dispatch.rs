//! From a frame to a handler and from its answer to bytes: header, version check, one line an
//! API. Must not know what the handlers do.

use std::rc::Rc;
use std::sync::Arc;

use bytes::BytesMut;
use ottla_protocol::message::Message;
use ottla_protocol::{ApiKey, EncodeError, response_frame};

use crate::api;
use crate::connection::{CloseReason, ConnectionInfo, Dispatch, Handled, Segments};
use crate::mailbox::Mailbox;
use crate::request_header::{HeaderView, key_and_version};
use crate::shared::Shared;

/// One worker's way from frames to handlers.
pub(crate) struct Dispatcher {
    shared: Arc<Shared>,
    mailbox: Arc<Mailbox>,
}

/// A request on its way: who asks, in which version, and what the worker can reach.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) shared: Arc<Shared>,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) connection: Rc<ConnectionInfo>,
    pub(crate) api: ApiKey,
    pub(crate) version: i16,
    pub(crate) correlation_id: i32,
}

impl Dispatcher {
    pub(crate) fn new(shared: Arc<Shared>, mailbox: Arc<Mailbox>) -> Self {
        Self { shared, mailbox }
    }
}

impl Dispatch for Dispatcher {
    fn dispatch(self: Rc<Self>, connection: &Rc<ConnectionInfo>, mut frame: BytesMut) -> Handled {
        let Some((key, version)) = key_and_version(&frame) else {
            return malformed("the frame is shorter than a request header");
        };
        let Ok(api) = ApiKey::try_from(key) else {
            return Handled::Close(CloseReason::UnknownApi(key));
        };
        let Some(handler) = api::handler(api) else {
            return Handled::Close(CloseReason::UnknownApi(key));
        };
        let supported = api.stable_versions().contains(version);
        if !supported && api != ApiKey::ApiVersions {
            return Handled::Close(CloseReason::UnsupportedVersion { api: api.name(), version });
        }
        let flexible = supported && api.request_header_version(version) >= 2;
        let Some(header) = HeaderView::parse(&frame, flexible) else {
            return malformed("the request header is damaged");
        };
        connection.set_client_id(header.client_id);
        let context = Context {
            shared: Arc::clone(&self.shared),
            mailbox: Arc::clone(&self.mailbox),
            connection: Rc::clone(connection),
            api,
            // A client newer than this broker is told what there is in ApiVersions 0.
            version: if supported { version } else { 0 },
            correlation_id: header.correlation_id,
        };
        let body = frame.split_off(header.body_at);
        let handled = if supported {
            handler(context, body)
        } else {
            api::k18_api_versions::unsupported(&context)
        };
        match &handled {
            Handled::Close(_) => {}
            Handled::Ready(_) | Handled::Pipelined(_) | Handled::Later(_) => {
                connection.proven.set(true);
            }
        }
        handled
    }

    /// Appends are in the order of the requests, so that Produce needs not wait for the commits of
    /// others; what else a client asks sees what it has produced before, as in Kafka.
    fn overlaps(&self, frame: &[u8]) -> bool {
        key_and_version(frame).is_some_and(|(key, _)| key == ApiKey::Produce.id())
    }

    /// The batch of a Produce request goes to a file.
    fn place(&self, beginning: &[u8]) -> usize {
        api::k00_produce::place(&self.shared, beginning).unwrap_or(0)
    }

    fn is_shared(&self) -> bool {
        let volumes = &self.shared.partitions.volumes;
        volumes.iter().any(|volume| volume.reading().is_beside_commits())
    }
}

fn malformed(what: &str) -> Handled {
    Handled::Close(CloseReason::Malformed(what.to_owned()))
}

impl Context {
    /// A response as bytes: length, header, body.
    pub(crate) fn encode<M: Message>(&self, response: &M) -> Result<Segments, EncodeError> {
        let frame = response_frame(self.api, self.version, self.correlation_id, response)?;
        Ok(frame.into_parts())
    }
}
