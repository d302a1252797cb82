//! Randomness, passed in. Must not know where it comes from.

use ottla_protocol::Uuid;

/// Where random bytes come from.
pub trait Random {
    /// Fills the buffer with random bytes.
    fn fill(&mut self, buffer: &mut [u8]);
}

/// An id that Kafka would draw: none of the reserved ones, none whose text begins with `-`.
pub fn draw_id(random: &mut dyn Random) -> Uuid {
    loop {
        let mut bytes = [0; 16];
        random.fill(&mut bytes);
        let id = Uuid::from_random(bytes);
        if !id.is_reserved() && !id.to_string().starts_with('-') {
            return id;
        }
    }
}

/// A number below `limit`; 0 for no limit.
pub(crate) fn draw_below(random: &mut dyn Random, limit: usize) -> usize {
    let mut bytes = [0; 8];
    random.fill(&mut bytes);
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    u64::from_le_bytes(bytes)
        .checked_rem(limit)
        .and_then(|number| usize::try_from(number).ok())
        .unwrap_or(0)
}
