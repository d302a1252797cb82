//! Transactions that wait for their coordinator's word before their first append (KIP-890).
//! Owns the guards. Must not know how the coordinator is asked.

use ottla_protocol::{Millis, ProducerEpoch};

/// Proof that a verification belongs to the transaction that is about to append: valid until a
/// batch or an end of that producer is appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerificationGuard(pub(crate) u64);

/// A verification that has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verification {
    pub(crate) guard: VerificationGuard,
    pub(crate) started: Millis,
    /// Higher sequences wait until this one is written, or they would be out of order for ever.
    pub(crate) lowest_sequence: i32,
    pub(crate) epoch: ProducerEpoch,
    /// The client bumps its epoch with each transaction (`transaction.version` 2).
    pub(crate) supports_epoch_bump: bool,
}

impl Verification {
    /// One more batch of the producer asks for verification.
    pub(crate) fn on_batch(&mut self, sequence: i32, epoch: ProducerEpoch) {
        if epoch == self.epoch && sequence < self.lowest_sequence {
            self.lowest_sequence = sequence;
        }
        if epoch > self.epoch {
            self.epoch = epoch;
            self.lowest_sequence = sequence;
        }
    }
}
