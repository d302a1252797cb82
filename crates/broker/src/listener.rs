//! Listening sockets: binding them, accepting, turning away what is over the limits, handing
//! connections to workers in turn. Must not know requests.

use std::cell::Cell;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use tokio::sync::{mpsc, watch};
use tracing::{debug, info, warn};

use crate::admission::{Admission, ConnectionSlot};

/// Where a listener is bound and what it tells clients (`listeners`, `advertised.listeners`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Listener name, e.g. `PLAINTEXT`.
    pub name: String,
    /// Host name or address to bind; empty means every interface.
    pub host: String,
    /// Port to bind; 0 lets the system choose.
    pub port: u16,
    /// Host and port that clients are told; without it they are told the address they dialled.
    pub advertised: Option<(String, u16)>,
}

/// A bound listener.
#[derive(Debug)]
pub(crate) struct BoundListener {
    pub(crate) config: ListenerConfig,
    pub(crate) address: SocketAddr,
    socket: TcpListener,
}

/// A connection on its way to its worker.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) listener: Arc<str>,
    pub(crate) slot: ConnectionSlot,
}

/// Binds a listener; the error says which one. Up to `backlog` connections are completed by the
/// system before they are accepted.
pub(crate) fn bind(config: &ListenerConfig, backlog: i32) -> Result<BoundListener, BindError> {
    let failed = |source| BindError {
        listener: config.name.clone(),
        address: format!("{}:{}", config.host, config.port),
        source,
    };
    let candidates = candidates(config).map_err(failed)?;
    let mut outcome = Err(io::Error::other("the host has no address"));
    for candidate in candidates {
        outcome = listen(candidate, backlog);
        match &outcome {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {}
            Ok(_) | Err(_) => break,
        }
    }
    let socket = outcome.map_err(failed)?;
    let address = socket.local_addr().map_err(failed)?;
    Ok(BoundListener { config: config.clone(), address, socket })
}

/// The addresses to try, the best first: every interface in both families when there is no host;
/// IPv4 before IPv6 for a name, as in Kafka.
fn candidates(config: &ListenerConfig) -> io::Result<Vec<SocketAddr>> {
    if config.host.is_empty() {
        let any = [Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()];
        return Ok(any.map(|ip| SocketAddr::new(ip, config.port)).into());
    }
    let mut found: Vec<SocketAddr> =
        (config.host.as_str(), config.port).to_socket_addrs()?.collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    Ok(found)
}

fn listen(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // As the standard library does on Unix: a restart need not wait for old connections.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // The wildcard of IPv6 takes IPv4 too.
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// A listener that could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("listener {listener} cannot listen on {address}: {source}")]
pub struct BindError {
    /// The listener's name.
    pub listener: String,
    /// Host and port that were tried.
    pub address: String,
    /// What the system said.
    pub source: io::Error,
}

/// A listener that the event loop watches, and where its connections go.
pub(crate) struct Accepting {
    name: Arc<str>,
    listener: tokio::net::TcpListener,
    admission: Arc<Admission>,
    workers: Vec<mpsc::UnboundedSender<Accepted>>,
    next_worker: Cell<usize>,
    stopped: watch::Receiver<bool>,
}

/// How long the system is left alone after it could not accept.
const PAUSE: Duration = Duration::from_millis(100);

impl Accepting {
    /// Lets the present event loop watch the listener.
    pub(crate) fn new(
        bound: BoundListener,
        admission: Arc<Admission>,
        workers: Vec<mpsc::UnboundedSender<Accepted>>,
        stopped: watch::Receiver<bool>,
    ) -> io::Result<Rc<Self>> {
        Ok(Rc::new(Self {
            name: bound.config.name.as_str().into(),
            listener: tokio::net::TcpListener::from_std(bound.socket)?,
            admission,
            workers,
            next_worker: Cell::new(0),
            stopped,
        }))
    }

    /// Accepts until the broker stops, giving each connection to the next worker in turn.
    pub(crate) async fn run(self: Rc<Self>) {
        let mut stopped = self.stopped.clone();
        tokio::select! {
            () = self.accept() => {}
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
    }

    async fn accept(&self) {
        let mut failing = false;
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    if failing {
                        info!(listener = %self.name, "accepting again");
                        failing = false;
                    }
                    if self.admit(stream, peer).await.is_none() {
                        return;
                    }
                }
                // Out of descriptors or memory: the listener outlives it.
                Err(error) => {
                    if !failing {
                        warn!(listener = %self.name, %error, "accepting failed; it is tried again");
                        failing = true;
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Gives the connection to a worker, when its turn has come; `None` when no worker is left.
    async fn admit(&self, stream: tokio::net::TcpStream, peer: SocketAddr) -> Option<()> {
        // An IPv4 client of a listener for both families is still an IPv4 client.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let slot = match self.admission.take(peer.ip()) {
            Ok(slot) => slot,
            Err(refused) => {
                debug!(%peer, %refused, "connection refused");
                return Some(());
            }
        };
        let wait = self.admission.turn(Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        let Ok(stream) = stream.into_std() else { return Some(()) };
        self.give(Accepted { stream, peer, listener: Arc::clone(&self.name), slot })
    }

    /// To the next worker, past those that have ended.
    fn give(&self, mut accepted: Accepted) -> Option<()> {
        for _ in 0..self.workers.len() {
            let turn = self.next_worker.get();
            self.next_worker.set(turn.wrapping_add(1));
            match self.workers.get(turn % self.workers.len())?.send(accepted) {
                Ok(()) => return Some(()),
                Err(mpsc::error::SendError(back)) => accepted = back,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn config(host: &str, port: u16) -> ListenerConfig {
        ListenerConfig { name: "A".to_owned(), host: host.to_owned(), port, advertised: None }
    }

    #[test]
    fn no_host_is_every_interface_of_both_families() {
        let bound = bind(&config("", 0), 5).unwrap();
        let port = bound.address.port();
        let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        drop(TcpStream::connect(v4).unwrap());
        if bound.address.is_ipv6() && TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
            drop(TcpStream::connect((Ipv6Addr::LOCALHOST, port)).unwrap());
        }
        let taken = bind(&config("", port), 5).unwrap_err();
        assert_eq!(taken.source.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(
            taken.to_string().split(": ").next(),
            Some(format!("listener A cannot listen on :{port}").as_str())
        );
    }

    #[test]
    fn a_name_is_its_ipv4_address_first() {
        let bound = bind(&config("localhost", 0), 5).unwrap();
        let addresses: Vec<SocketAddr> = ("localhost", 0).to_socket_addrs().unwrap().collect();
        let has_v4 = addresses.contains(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        assert_eq!(bound.address.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST), has_v4);
    }

    #[test]
    fn a_host_that_is_not_here_is_refused() {
        // Kept for documentation (RFC 5737): no machine has it.
        let refused = bind(&config("192.0.2.1", 0), 5).unwrap_err();
        assert_eq!(refused.address, "192.0.2.1:0");
        assert!(bind(&config("no-such-host.invalid", 0), 5).is_err());
    }
}
