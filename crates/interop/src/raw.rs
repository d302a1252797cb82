//! A raw client: connect, send bytes or a frame, read a frame, each within a limit. For bad input
//! and for sending the same request to two brokers. Knows frames, headers and correlation ids; must
//! not know what a message means.

mod ask;

pub use ask::frame;

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// How long a read or write may take.
const LIMIT: Duration = Duration::from_secs(20);

/// Errors that mean that the other side closed.
const ENDS: [io::ErrorKind; 4] = [
    io::ErrorKind::UnexpectedEof,
    io::ErrorKind::ConnectionReset,
    io::ErrorKind::ConnectionAborted,
    io::ErrorKind::BrokenPipe,
];

/// Whether nothing came within the limit of a socket.
#[must_use]
pub fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// The correlation id of the last typed request.
    correlation: i32,
}

/// What a broker did next on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A frame without its length.
    Frame(Vec<u8>),
    /// It closed the connection.
    Closed,
    /// Nothing within the limit.
    Silence,
}

impl Connection {
    /// Connects to `HOST:PORT`.
    pub fn open(address: &str) -> io::Result<Self> {
        let address: SocketAddr =
            address.parse().map_err(|_| io::Error::other(format!("{address} is no address")))?;
        let stream = TcpStream::connect_timeout(&address, LIMIT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        Ok(Self { stream, correlation: 0 })
    }

    /// Waits at most `limit` for each part of an answer from now on.
    pub fn wait_at_most(&mut self, limit: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(limit))
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a frame: the length, then the bytes.
    pub fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        let length = i32::try_from(frame.len()).map_err(io::Error::other)?;
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend_from_slice(frame);
        self.send_bytes(&bytes)
    }

    /// Sends a request with the header that its version has: `flexible` says whether that is v2.
    pub fn request(
        &mut self,
        api_key: i16,
        version: i16,
        correlation: i32,
        flexible: bool,
        body: &[u8],
    ) -> io::Result<()> {
        self.send(&request(api_key, version, correlation, flexible, body))
    }

    /// No more is sent; answers can still be read.
    pub fn finish(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// What the broker does next.
    pub fn answer(&mut self) -> io::Result<Answer> {
        let mut length = [0; 4];
        if let Some(other) = self.fill(&mut length)? {
            return Ok(other);
        }
        let length = u32::try_from(i32::from_be_bytes(length)).map_err(io::Error::other)?;
        let mut frame = Vec::new();
        let mut part = (&self.stream).take(u64::from(length));
        part.read_to_end(&mut frame)?;
        let whole = u64::try_from(frame.len()).is_ok_and(|read| read == u64::from(length));
        Ok(if whole { Answer::Frame(frame) } else { Answer::Closed })
    }

    /// Reads exactly that many bytes, or tells why there are none.
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<Option<Answer>> {
        match self.stream.read_exact(buffer) {
            Ok(()) => Ok(None),
            Err(error) if ENDS.contains(&error.kind()) => Ok(Some(Answer::Closed)),
            Err(error) if is_silence(&error) => Ok(Some(Answer::Silence)),
            Err(error) => Err(error),
        }
    }
}

/// A request's bytes: header (client id `raw`), then body.
pub fn request(
    api_key: i16,
    version: i16,
    correlation: i32,
    flexible: bool,
    body: &[u8],
) -> Vec<u8> {
    let mut frame = Vec::with_capacity(body.len() + 16);
    frame.extend_from_slice(&api_key.to_be_bytes());
    frame.extend_from_slice(&version.to_be_bytes());
    frame.extend_from_slice(&correlation.to_be_bytes());
    frame.extend_from_slice(&3_i16.to_be_bytes());
    frame.extend_from_slice(b"raw");
    if flexible {
        frame.push(0);
    }
    frame.extend_from_slice(body);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn pair() -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let connection = Connection::open(&address).expect("connected");
        (connection, listener.accept().expect("accepted").0)
    }

    #[test]
    fn frames_go_both_ways() {
        let (mut connection, mut broker) = pair();
        connection.request(18, 3, 7, true, &[1, 2]).expect("sent");
        let mut sent = [0; 20];
        broker.read_exact(&mut sent).expect("received");
        let wanted = [0, 0, 0, 16, 0, 18, 0, 3, 0, 0, 0, 7, 0, 3, b'r', b'a', b'w', 0, 1, 2];
        assert_eq!(sent, wanted);
        broker.write_all(&[0, 0, 0, 2, 8, 9]).expect("answered");
        assert_eq!(connection.answer().expect("read"), Answer::Frame(vec![8, 9]));
    }

    #[test]
    fn an_end_a_torn_frame_and_silence_are_told_apart() {
        let (mut connection, broker) = pair();
        connection.wait_at_most(Duration::from_millis(20)).expect("set");
        assert_eq!(connection.answer().expect("read"), Answer::Silence);
        drop(broker);
        assert_eq!(connection.answer().expect("read"), Answer::Closed);
        let (mut connection, mut broker) = pair();
        broker.write_all(&[0, 0, 0, 9, 1]).expect("answered");
        drop(broker);
        assert_eq!(connection.answer().expect("read"), Answer::Closed);
    }
}
