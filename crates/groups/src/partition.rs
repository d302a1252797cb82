//! Which partition of `__consumer_offsets` coordinates a group. Must not know what a group is.

/// The partition of `__consumer_offsets`, of `partitions` in all, that coordinates `group_id`:
/// Java's `String.hashCode` (over UTF-16 code units), made positive as Kafka does it (the least
/// integer becomes 0), modulo `partitions`. Without partitions the answer is 0.
#[must_use]
pub fn partition_for(group_id: &str, partitions: i32) -> i32 {
    let hash = group_id
        .encode_utf16()
        .fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    hash.checked_abs().unwrap_or(0).checked_rem(partitions).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::partition_for;

    /// Expected values: `Math.abs(s.hashCode()) % n` on a JVM.
    #[test]
    fn hash_is_javas() {
        assert_eq!(partition_for("", 50), 0);
        assert_eq!(partition_for("a", 1000), 97);
        assert_eq!(partition_for("golden-classic", i32::MAX), 1_059_780_558);
        assert_eq!(partition_for("gruppe-äöü-😀", i32::MAX), 165_931_064);
        assert_eq!(partition_for("polygenelubricants", 50), 0, "hashes to the least integer");
        assert_eq!(partition_for("a", 0), 0);
    }
}
