//! The system's random source. Must not know what the bytes are used for.

use ottla_env::Rng;

/// The system's random source.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsRng;

impl Rng for OsRng {
    /// # Panics
    /// When the operating system has no randomness: nothing safe could be done then.
    fn fill(&self, buffer: &mut [u8]) {
        let filled = getrandom::fill(buffer);
        assert!(filled.is_ok(), "the operating system gives no random bytes: {filled:?}");
    }
}
