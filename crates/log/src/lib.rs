//! The log: segments, indexes, recovery, group commit, over the Disk port.
