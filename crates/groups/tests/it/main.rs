//! The group coordinator from outside: scripted scenarios, Kafka's own log, random histories.

#[cfg(test)]
mod golden;
#[cfg(test)]
mod history;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod script;
#[cfg(test)]
mod world;
