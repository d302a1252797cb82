//! Real clients against the real binary, each test with a broker of its own.
//! `OTTLA_INTEROP_AGAINST=kafka` runs the same against Apache Kafka 4.4.0, an address against
//! whatever listens there.

#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod both_ways;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod differential;
#[cfg(test)]
mod durability;
#[cfg(test)]
mod files;
#[cfg(test)]
mod inspect;
#[cfg(test)]
mod kcat;
#[cfg(test)]
mod moves;
#[cfg(test)]
mod suites;
#[cfg(test)]
mod tools;
#[cfg(test)]
mod wire;
