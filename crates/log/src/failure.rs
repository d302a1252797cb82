//! That something has failed for good, why, and who is told of it. Must not know what it is.

use std::fmt;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

type Tell = Box<dyn FnOnce(&str) + Send>;

/// Says once, and for ever, that something has failed.
#[derive(Default)]
pub struct Failure {
    why: OnceLock<Arc<str>>,
    /// Those who are still to be told.
    waiting: Mutex<Vec<Tell>>,
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Failure").field(&self.why.get()).finish()
    }
}

impl Failure {
    /// Notes the failure and tells everybody; the first reason stays.
    pub fn set(&self, why: impl FnOnce() -> Arc<str>) {
        self.why.get_or_init(why);
        self.tell();
    }

    /// The reason, once there is one.
    #[must_use]
    pub fn why(&self) -> Option<Arc<str>> {
        self.why.get().cloned()
    }

    /// Calls `tell` with the reason once it has failed, at once if it has already. It runs on the
    /// thread that finds the failure, which may hold locks: it must not wait.
    pub fn on_set(&self, tell: impl FnOnce(&str) + Send + 'static) {
        self.waiting.lock().push(Box::new(tell));
        self.tell();
    }

    fn tell(&self) {
        let Some(why) = self.why.get() else { return };
        let waiting = std::mem::take(&mut *self.waiting.lock());
        waiting.into_iter().for_each(|tell| tell(why));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn everybody_is_told_once_and_the_first_reason_stays() {
        let failure = Failure::default();
        let told = Arc::new(AtomicUsize::new(0));
        let watch = |failure: &Failure| {
            let told = Arc::clone(&told);
            failure.on_set(move |why| {
                assert_eq!(why, "first");
                told.fetch_add(1, Ordering::Relaxed);
            });
        };
        watch(&failure);
        watch(&failure);
        assert_eq!((failure.why(), told.load(Ordering::Relaxed)), (None, 0));
        failure.set(|| "first".into());
        failure.set(|| "second".into());
        assert_eq!((failure.why().as_deref(), told.load(Ordering::Relaxed)), (Some("first"), 2));
        watch(&failure);
        assert_eq!(told.load(Ordering::Relaxed), 3);
    }
}
