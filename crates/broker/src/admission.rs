//! Who may connect: open connections in all and per address, and how fast new ones come. Must
//! not know sockets or requests.

use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use ottla_metadata::configs::Effective;
use parking_lot::Mutex;
use tracing::warn;

/// So much of a rate may be used at once after a pause.
const BURST: Duration = Duration::from_secs(1);
/// From this many connections a second on, nothing is held back.
const UNLIMITED_RATE: i64 = 1_000_000;

type ByIp = HashMap<IpAddr, usize, foldhash::fast::FixedState>;

/// The limits in force; all of them may change while the broker runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AdmissionLimits {
    /// Open connections, all listeners together (`max.connections`).
    total_max: usize,
    /// Open connections from one address (`max.connections.per.ip`).
    per_ip_max: usize,
    /// The same for single addresses (`max.connections.per.ip.overrides`).
    overrides: ByIp,
    /// Those that were given by host name.
    named: Vec<(String, usize)>,
    /// Time between two connections (`max.connection.creation.rate`); zero for no limit.
    interval: Duration,
}

impl AdmissionLimits {
    /// As the settings say now.
    pub(crate) fn read(effective: &Effective<'_>) -> Self {
        let number = |name: &str| effective.broker(name).as_i64().unwrap_or(i64::MAX);
        let size = |name: &str| usize::try_from(number(name)).unwrap_or(0);
        let rate = number("max.connection.creation.rate");
        let mut limits = Self {
            total_max: size("max.connections"),
            per_ip_max: size("max.connections.per.ip"),
            interval: if rate >= UNLIMITED_RATE {
                Duration::ZERO
            } else {
                // A rate of none would shut everybody out for good; Kafka lets one in now and then.
                Duration::from_secs(1) / u32::try_from(rate).unwrap_or(0).max(1)
            },
            ..Self::default()
        };
        let overrides = effective.broker("max.connections.per.ip.overrides");
        let items = overrides.as_str().unwrap_or_default().split(',').map(str::trim);
        for item in items.filter(|item| !item.is_empty()) {
            let Some((host, max)) = parse_override(item) else {
                warn!(item, "max.connections.per.ip.overrides: not of the form HOST:COUNT");
                continue;
            };
            match host.parse::<IpAddr>() {
                Ok(ip) => {
                    let _given_twice = limits.overrides.insert(ip.to_canonical(), max);
                }
                Err(_) => limits.named.push((host.to_owned(), max)),
            }
        }
        limits
    }
}

/// `HOST:COUNT`; an IPv6 address may stand in brackets.
fn parse_override(item: &str) -> Option<(&str, usize)> {
    let (host, max) = item.rsplit_once(':')?;
    let host = host.trim();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    (!host.is_empty()).then_some((host, max.trim().parse().ok()?))
}

/// Why a connection was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("max.connections is reached")]
    Total,
    #[error("max.connections.per.ip is reached")]
    PerIp,
}

/// Holds the limits for the whole broker.
#[derive(Debug)]
pub(crate) struct Admission {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limits: AdmissionLimits,
    /// Counts the changes of the limits.
    generation: u64,
    total: usize,
    per_ip: ByIp,
    /// When the next connection may be served, by the rate.
    next_turn: Option<Instant>,
}

/// An open connection's place in the counts; given back on drop.
#[derive(Debug)]
pub(crate) struct ConnectionSlot {
    admission: Arc<Admission>,
    ip: IpAddr,
}

impl Admission {
    pub(crate) fn new(limits: AdmissionLimits) -> Arc<Self> {
        let state = State {
            limits: AdmissionLimits::default(),
            generation: 0,
            total: 0,
            per_ip: ByIp::default(),
            next_turn: None,
        };
        let admission = Arc::new(Self { state: Mutex::new(state) });
        admission.set(limits);
        admission
    }

    /// From now on other limits hold; connections over them stay. Names are looked up on a
    /// thread of their own, since that may take long.
    pub(crate) fn set(self: &Arc<Self>, mut limits: AdmissionLimits) {
        let named = std::mem::take(&mut limits.named);
        let generation = {
            let mut state = self.state.lock();
            state.limits = limits;
            state.generation += 1;
            state.generation
        };
        if named.is_empty() {
            return;
        }
        let admission = Arc::clone(self);
        let resolve = move || {
            let found = resolve(&named);
            let mut state = admission.state.lock();
            if state.generation == generation {
                for (ip, max) in found {
                    // An address that was given as such counts for more.
                    state.limits.overrides.entry(ip).or_insert(max);
                }
            }
        };
        let thread = std::thread::Builder::new().name("ottla-resolve".to_owned());
        if let Err(error) = thread.spawn(resolve) {
            warn!(%error, "max.connections.per.ip.overrides: names are not looked up");
        }
    }

    /// A place for a connection from `ip`.
    pub(crate) fn take(self: &Arc<Self>, ip: IpAddr) -> Result<ConnectionSlot, Refused> {
        let mut state = self.state.lock();
        let state = &mut *state;
        if state.total >= state.limits.total_max {
            return Err(Refused::Total);
        }
        let max = state.limits.overrides.get(&ip).copied().unwrap_or(state.limits.per_ip_max);
        if state.per_ip.get(&ip).copied().unwrap_or(0) >= max {
            return Err(Refused::PerIp);
        }
        *state.per_ip.entry(ip).or_insert(0) += 1;
        state.total += 1;
        Ok(ConnectionSlot { admission: Arc::clone(self), ip })
    }

    /// A new connection takes its turn: how long it has to wait for it.
    pub(crate) fn turn(&self, now: Instant) -> Duration {
        let mut state = self.state.lock();
        let interval = state.limits.interval;
        if interval.is_zero() {
            return Duration::ZERO;
        }
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let turn = state.next_turn.map_or(earliest, |next| next.max(earliest));
        state.next_turn = turn.checked_add(interval);
        turn.saturating_duration_since(now)
    }
}

fn resolve(named: &[(String, usize)]) -> Vec<(IpAddr, usize)> {
    let mut found = Vec::new();
    for (name, max) in named {
        match (name.as_str(), 0).to_socket_addrs() {
            Ok(addresses) => found.extend(addresses.map(|a| (a.ip().to_canonical(), *max))),
            Err(error) => warn!(%name, %error, "max.connections.per.ip.overrides: unknown host"),
        }
    }
    found
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut state = self.admission.state.lock();
        state.total -= 1;
        if let Some(count) = state.per_ip.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                state.per_ip.remove(&self.ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_metadata::Image;
    use ottla_metadata::configs::BrokerProperties;
    use ottla_protocol::NodeId;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));

    fn limits(properties: &[(&str, &str)]) -> AdmissionLimits {
        let image = Image::default();
        let properties: BrokerProperties = properties.iter().copied().collect();
        AdmissionLimits::read(&Effective {
            image: &image,
            node: NodeId(1),
            properties: &properties,
        })
    }

    #[test]
    fn connections_are_counted_per_address_and_given_back() {
        let admission =
            Admission::new(limits(&[("max.connections", "3"), ("max.connections.per.ip", "2")]));
        let first = admission.take(A).unwrap();
        let _second = admission.take(A).unwrap();
        assert_eq!(admission.take(A).unwrap_err(), Refused::PerIp);
        let _third = admission.take(B).unwrap();
        assert_eq!(admission.take(B).unwrap_err(), Refused::Total);
        drop(first);
        assert!(admission.take(A).is_ok());
    }

    #[test]
    fn single_addresses_have_limits_of_their_own_and_limits_change() {
        let overrides = "127.0.0.1:0, [::1]:7,bad,example.invalid:x,::ffff:127.0.0.2:1";
        let read = limits(&[
            ("max.connections.per.ip", "2"),
            ("max.connections.per.ip.overrides", overrides),
        ]);
        assert_eq!(read.overrides.len(), 3);
        assert_eq!(read.overrides.get(&"::1".parse::<IpAddr>().unwrap()), Some(&7));
        assert_eq!(read.named, []);
        let admission = Admission::new(read);
        assert_eq!(admission.take(A).unwrap_err(), Refused::PerIp);
        let _held = admission.take(B).unwrap();
        assert_eq!(admission.take(B).unwrap_err(), Refused::PerIp);
        admission.set(limits(&[]));
        assert!(admission.take(A).is_ok() && admission.take(B).is_ok());
    }

    #[test]
    fn names_are_looked_up() {
        let read = limits(&[("max.connections.per.ip.overrides", "localhost:3")]);
        assert_eq!(read.named, [("localhost".to_owned(), 3)]);
        assert!(resolve(&read.named).iter().all(|(ip, max)| ip.is_loopback() && *max == 3));
    }

    #[test]
    fn a_second_s_worth_passes_at_once_and_then_one_after_the_other() {
        let admission = Admission::new(limits(&[("max.connection.creation.rate", "4")]));
        let now = Instant::now() + BURST;
        let waits: Vec<u128> = (0..8).map(|_| admission.turn(now).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 250, 500, 750]);
        assert_eq!(admission.turn(now + Duration::from_secs(9)), Duration::ZERO);
        let free = Admission::new(limits(&[]));
        assert!((0..10_000).all(|_| free.turn(now).is_zero()));
    }
}
