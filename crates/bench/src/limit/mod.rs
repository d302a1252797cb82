//! The limit program: the bytes of a scenario between socket and file with no protocol, as a
//! process of its own that is pinned and measured like a broker. What it reaches is what the
//! machine gives to any broker that receives over sockets and keeps in files. Knows no broker.

mod aligned;
mod answer;
mod child;
mod committer;
mod options;
mod peer;
mod receive;
mod run;
mod send;

pub(crate) use options::Options;
pub(crate) use run::{Paced, Reading, Shape, Writing, paced, prepare, read, run, write};
