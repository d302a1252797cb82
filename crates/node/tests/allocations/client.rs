//! One connection that allocates nothing between a prepared request and its whole answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use ottla_protocol::message::{ApiRequest, Message};
use ottla_protocol::{Reader, RequestHeader, ResponseHeader, request_frame};

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(60);
/// No answer is longer.
const ANSWER_MAX: usize = 4 << 20;

/// A request as it is sent.
pub(crate) type Frame = Bytes;

pub(crate) struct Client {
    stream: TcpStream,
    answer: Vec<u8>,
    answer_len: usize,
}

pub(crate) fn frame<R: ApiRequest>(version: i16, request: &R) -> Frame {
    let header = RequestHeader { client_id: Some("count".into()), ..RequestHeader::default() };
    let parts = request_frame(&header, version, request).unwrap().into_parts();
    Frame::from(parts.into_iter().flatten().collect::<Vec<u8>>())
}

impl Client {
    pub(crate) fn connect(to: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&to, LIMIT).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        Self { stream, answer: vec![0; ANSWER_MAX], answer_len: 0 }
    }

    /// Sends a request and reads its answer; gives the answer's length.
    pub(crate) fn exchange(&mut self, frame: &Frame) -> usize {
        self.stream.write_all(frame).unwrap();
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).unwrap();
        self.answer_len = usize::try_from(u32::from_be_bytes(length)).unwrap();
        self.stream.read_exact(&mut self.answer[..self.answer_len]).unwrap();
        self.answer_len
    }

    /// The answer that came last.
    pub(crate) fn answer<R: ApiRequest>(&self, version: i16) -> R::Response
    where
        R::Response: Message,
    {
        let mut reader = Reader::new(Bytes::copy_from_slice(&self.answer[..self.answer_len]));
        ResponseHeader::decode(&mut reader, R::API_KEY.response_header_version(version)).unwrap();
        R::Response::decode(&mut reader, version).unwrap()
    }

    /// Sends a request and decodes its answer.
    pub(crate) fn ask<R: ApiRequest>(&mut self, version: i16, request: &R) -> R::Response
    where
        R::Response: Message,
    {
        self.exchange(&frame(version, request));
        self.answer::<R>(version)
    }
}
