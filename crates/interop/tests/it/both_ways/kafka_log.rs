//! What Kafka says while it starts on directories that Ottla served: no recovery after a clean
//! stop, and nothing that it warns of. Must not know what was written.

use anyhow::ensure;

/// What Kafka warns of whoever served the directories before, and why.
const ALLOWED: [(&str, &str); 2] = [
    ("Performing controller activation.", "said at each start, of any directory"),
    (
        "Unexpected error handling request RequestHeader(apiKey=CONTROLLER_REGISTRATION,",
        "its controller is registered before it is active: NotControllerException, and again",
    ),
];

/// The same after its predecessor was killed.
const ALLOWED_AFTER_KILL: [(&str, &str); 1] = [(
    "Non-monotonic update of high watermark from",
    "records were deleted after high watermarks were last checkpointed, which is done less often",
)];

/// Log lines are `[thread] LEVEL class - text`; what follows without a thread belongs to the one
/// before.
fn level(line: &str) -> Option<&str> {
    let (_, rest) = line.strip_prefix('[')?.split_once("] ")?;
    rest.split(' ').next()
}

/// Fails with the lines that should not be there. `clean`: the last stop was a clean one.
pub(crate) fn check(said: &str, clean: bool) -> anyhow::Result<()> {
    let after_kill = if clean { &[] } else { &ALLOWED_AFTER_KILL[..] };
    let allowed =
        |line: &&str| ALLOWED.iter().chain(after_kill).any(|(part, _)| line.contains(part));
    let (mut bad, mut is_bad) = (Vec::new(), false);
    for line in said.lines() {
        if let Some(level) = level(line) {
            is_bad = matches!(level, "WARN" | "ERROR" | "FATAL") && !allowed(&line);
        }
        if is_bad {
            bad.push(line);
        }
    }
    ensure!(bad.is_empty(), "Kafka warns:\n{}", bad.join("\n"));
    // The metadata log is read again at each start, whoever wrote it.
    let recovers = |line: &&str| {
        (line.contains("Recovering unflushed segment") || line.contains("Attempting recovery"))
            && !line.contains("__cluster_metadata-0")
    };
    let recovered: Vec<&str> = said.lines().filter(recovers).collect();
    if clean {
        ensure!(recovered.is_empty(), "Kafka recovers:\n{}", recovered.join("\n"));
        ensure!(said.contains("Skipping recovery of"), "Kafka does not see a clean stop");
    } else {
        ensure!(!recovered.is_empty(), "Kafka does not see that it was killed");
    }
    Ok(())
}
