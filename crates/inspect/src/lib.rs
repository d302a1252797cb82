//! Looks at log directories that no broker is using: what is in the files ([`dump()`]), whether it
//! is right ([`verify()`]), what a start would do ([`plan()`]), how good the indexes are
//! ([`indexes()`]). Works on Apache Kafka's directories as on Ottla's.
//!
//! Nothing is ever written: files are only opened for reading, and a start is rehearsed by the
//! real recovery over a [`Rehearsal`], which keeps its changes in memory. So the plan cannot
//! differ from the recovery.
//!
//! Must not know the command line, nor who reads the answers: these go, as lines of text or one
//! JSON object a line, to an [`Out`].

mod dump;
mod error;
mod indexes;
mod json;
mod kind;
mod out;
mod plan;
mod schema;
mod target;
mod verify;
mod walk;

pub use dump::{Decoder, DumpOptions, FieldDecoder, IndexMode, dump};
pub use error::InspectError;
pub use indexes::indexes;
pub use json::Json;
pub use kind::Kind;
pub use out::{Format, Out};
pub use plan::{PlanOptions, PlanTally, Rehearsal, plan};
pub use target::{Target, targets};
pub use verify::{Finding, Severity, Tally, VerifyOptions, verify};
