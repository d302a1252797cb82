//! Tells a write that a crash cut short from damage to what was on disk. Must not know what is in
//! a batch.
//!
//! Batches of one append have one timestamp and are synced together; nothing is written after
//! them before they are on disk. So what a crash leaves behind a bad batch is at most the rest of
//! the same append. A sound batch of a later append proves that the bad one was on disk once.

use ottla_records::{Batch, BatchHeader};

/// Place of the magic byte in a batch.
const MAGIC_AT: usize = 16;
const MAGIC: u8 = 2;

/// Whether `tail`, which begins with a bad batch, was damaged after it had been written whole.
/// `end` is the offset that the bad batch should begin at.
pub(crate) fn is_damage(tail: &[u8], end: i64) -> bool {
    let mut appends = Vec::new();
    // The header of the bad batch tells its append, when at least its length is right.
    if let Ok(header) = BatchHeader::parse(tail)
        && tail.get(header.size()..).is_some_and(|rest| sound(rest, end).is_some())
    {
        appends.push(header.max_timestamp);
    }
    let mut at = 1;
    while let Some(rest) = tail.get(at..).filter(|rest| rest.len() > MAGIC_AT) {
        match sound(rest, end) {
            Some(batch) => {
                let timestamp = batch.header().max_timestamp;
                if !appends.contains(&timestamp) {
                    appends.push(timestamp);
                }
                at += batch.size();
            }
            None => at += 1,
        }
        if appends.len() > 1 {
            return true;
        }
    }
    false
}

/// The batch at the front of `bytes`, when it is whole, right, and later than `end`.
fn sound(bytes: &[u8], end: i64) -> Option<Batch<'_>> {
    if bytes.get(MAGIC_AT) != Some(&MAGIC) {
        return None;
    }
    let batch = Batch::parse(bytes).ok()?;
    let later = batch.header().base_offset.get() > end;
    (later && batch.verify_crc().is_ok()).then_some(batch)
}

#[cfg(test)]
mod tests {
    use ottla_protocol::{Millis, Offset};
    use ottla_records::{BatchBuilder, BatchOptions};

    use super::is_damage;

    fn batch(offset: i64, timestamp: i64) -> Vec<u8> {
        let options = BatchOptions { base_offset: Offset(offset), ..BatchOptions::default() };
        let mut builder = BatchBuilder::new(options).unwrap();
        builder.append(Millis(timestamp), None, Some(b"a record of some length"), &[]).unwrap();
        builder.build().unwrap()
    }

    fn flipped(mut batch: Vec<u8>, at: usize) -> Vec<u8> {
        batch[at] ^= 1;
        batch
    }

    #[test]
    fn an_unfinished_write_is_no_damage() {
        let whole = batch(5, 100);
        for cut in 0..whole.len() {
            assert!(!is_damage(&whole[..cut], 5), "cut at {cut}");
        }
        assert!(!is_damage(&[0; 5000], 5));
        // The second of two batches of one append came to the disk, the first did not.
        let mut torn = vec![0; whole.len()];
        torn.extend(batch(6, 100));
        assert!(!is_damage(&torn, 5));
        let torn = [flipped(batch(5, 100), 70), batch(6, 100)].concat();
        assert!(!is_damage(&torn, 5));
    }

    #[test]
    fn a_bad_batch_before_a_later_append_is_damage() {
        for at in [8, 11, 17, 40, 70] {
            let tail = [flipped(batch(5, 100), at), batch(6, 200), batch(7, 300)].concat();
            assert!(is_damage(&tail, 5), "flipped at {at}");
        }
        let tail = [flipped(batch(5, 100), 70), batch(6, 200)].concat();
        assert!(is_damage(&tail, 5));
    }
}
