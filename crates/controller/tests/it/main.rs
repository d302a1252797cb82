//! The controller over disks in memory and over a directory that Apache Kafka wrote.

#[cfg(test)]
mod crash;
#[cfg(test)]
mod directories;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod life;
#[cfg(test)]
mod space;
#[cfg(test)]
mod world;
