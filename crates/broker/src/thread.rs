//! Threads that the whole broker needs. Must not know what they do.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing::error;

/// How long the work rests after a panic: not at full speed, should it panic for ever.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// Starts a thread whose work is begun anew when it panics, until it returns. It must leave nothing
/// locked or half done that its next run does not find.
pub(crate) fn keep_running(
    name: &'static str,
    work: impl Fn() + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    let run = move || {
        while catch_unwind(AssertUnwindSafe(&work)).is_err() {
            error!("the thread {name} has panicked, and is started again");
            std::thread::park_timeout(RESTART_PAUSE);
        }
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(run)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_panic_is_not_the_end() {
        static RUNS: AtomicUsize = AtomicUsize::new(0);
        let work = || assert!(RUNS.fetch_add(1, Ordering::Relaxed) == 1, "as it is meant to");
        let thread = keep_running("test", work).unwrap();
        thread.thread().unpark();
        thread.join().unwrap();
        assert_eq!(RUNS.load(Ordering::Relaxed), 2);
    }
}
