//! Wakes the shards when their deadlines come. Must not know what is due.

use std::sync::Arc;
use std::time::Duration;

use super::GroupCoordinator;

/// Runs for ever, as a task on one worker.
pub(crate) async fn run(coordinator: Arc<GroupCoordinator>) {
    loop {
        let next = coordinator.tick();
        let changed = coordinator.wake.notified();
        let Some(next) = next else {
            changed.await;
            continue;
        };
        let now = coordinator.now().mono;
        let wait = u64::try_from(next.get().saturating_sub(now.get())).unwrap_or(0);
        // Never in a busy loop, also when a shard's deadline does not move.
        let wait = Duration::from_millis(wait.max(1));
        let _sooner = tokio::time::timeout(wait, changed).await;
    }
}
