//! Listening sockets: binding them, accepting, turning away what is over the limits, handing
//! connections to workers in turn. Must not know requests.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tracing::{debug, warn};

use crate::limits::{ConnectionCounts, ConnectionSlot};

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

/// Binds a listener; the error says which one.
pub(crate) fn bind(config: &ListenerConfig) -> Result<BoundListener, BindError> {
    let host = if config.host.is_empty() { "0.0.0.0" } else { config.host.as_str() };
    let failed = |source| BindError {
        listener: config.name.clone(),
        address: format!("{host}:{}", config.port),
        source,
    };
    let socket = TcpListener::bind((host, config.port)).map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    let address = socket.local_addr().map_err(failed)?;
    Ok(BoundListener { config: config.clone(), address, socket })
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

/// Accepts until `stopped`, giving each connection to the next worker in turn.
pub(crate) async fn accept(
    bound: BoundListener,
    counts: Arc<ConnectionCounts>,
    workers: Vec<mpsc::UnboundedSender<Accepted>>,
    mut stopped: watch::Receiver<bool>,
) {
    let name: Arc<str> = bound.config.name.as_str().into();
    let listener = match tokio::net::TcpListener::from_std(bound.socket) {
        Ok(listener) => listener,
        Err(error) => {
            warn!(listener = %name, %error, "the listener cannot be watched");
            return;
        }
    };
    for worker in workers.iter().cycle() {
        let accepted = loop {
            let next = tokio::select! {
                next = listener.accept() => next,
                _ = stopped.wait_for(|stopped| *stopped) => return,
            };
            match next {
                Ok((stream, peer)) => match counts.take(peer.ip()) {
                    Ok(slot) => break (stream, peer, slot),
                    Err(refused) => debug!(%peer, %refused, "connection refused"),
                },
                // Out of descriptors or memory: the accept loop outlives it.
                Err(error) => {
                    warn!(listener = %name, %error, "accepting failed");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        };
        let (stream, peer, slot) = accepted;
        let Ok(stream) = stream.into_std() else { continue };
        let accepted = Accepted { stream, peer, listener: Arc::clone(&name), slot };
        if worker.send(accepted).is_err() {
            return;
        }
    }
}
