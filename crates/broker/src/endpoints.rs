//! What clients are told of where a broker listens. Must not know requests.

use ottla_metadata::Broker;
use ottla_protocol::StrBytes;

use crate::dispatch::Context;

impl Context {
    /// Host and port of `broker` for a client that came by this connection's listener: what is
    /// advertised; for this broker, without `advertised.listeners`, the address the client
    /// dialled. `None` when the broker has no such listener.
    pub(crate) fn endpoint(&self, broker: &Broker) -> Option<(StrBytes, u16)> {
        let listener = &*self.connection.listener;
        if broker.id == self.shared.identity.node {
            let own = self.shared.listeners.iter().find(|l| l.name == listener)?;
            return Some(match &own.advertised {
                Some((host, port)) => (StrBytes::from(host.as_str()), *port),
                None => {
                    let dialled = self.connection.local;
                    (StrBytes::from(dialled.ip().to_canonical().to_string()), dialled.port())
                }
            });
        }
        let found = broker.listeners.iter().find(|l| l.name.as_str() == listener)?;
        Some((found.host.clone(), found.port))
    }
}
