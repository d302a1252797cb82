//! Whether one changed byte explains a wrong checksum. A CRC is linear: what it is off by depends
//! on the changed bits and on how many bytes follow them alone, so that it can be followed backwards
//! through the batch, one byte at a time. Must not know what is made of the answer.

use ottla_records::crc32c;

/// Where a batch has its checksum, and from where on it counts.
const CRC_AT: usize = 17;
const CHECKED_FROM: usize = 21;
/// CRC-32C, lowest bit first.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// What each byte leaves in an empty register.
const TABLE: [u32; 256] = table();
/// The byte by the highest eight bits of what it leaves.
const BY_TOP: [u8; 256] = by_top();

/// Whether a batch of these bytes is sound but for at most one byte of what its checksum covers, or
/// of the checksum. Changes of several bytes are found by it once in some 2³² / (255 × length) times.
#[expect(clippy::indexing_slicing, reason = "a byte is no more than 255")]
pub(super) fn explains(batch: &[u8]) -> bool {
    let stored = batch.get(CRC_AT..CHECKED_FROM).and_then(|bytes| bytes.first_chunk::<4>());
    let (Some(stored), Some(checked)) = (stored, batch.get(CHECKED_FROM..)) else { return false };
    let off = u32::from_be_bytes(*stored) ^ crc32c(checked);
    if off.to_be_bytes().iter().filter(|byte| **byte != 0).count() <= 1 {
        return true;
    }
    let mut register = off;
    for _ in checked {
        let byte = BY_TOP[usize::from(register.to_be_bytes()[0])];
        let left = TABLE[usize::from(byte)];
        if left == register {
            return true;
        }
        // As it was before one more zero went through.
        register = ((register ^ left) << 8) | u32::from(byte);
    }
    false
}

#[expect(clippy::indexing_slicing, reason = "the loop ends at 256")]
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0_u32;
    while byte < 256 {
        let mut register = byte;
        let mut bit = 0;
        while bit < 8 {
            let low = register & 1;
            register >>= 1;
            if low == 1 {
                register ^= POLYNOMIAL;
            }
            bit += 1;
        }
        table[byte as usize] = register;
        byte += 1;
    }
    table
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "256 bytes have 256 numbers"
)]
const fn by_top() -> [u8; 256] {
    let mut by_top = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        by_top[(TABLE[byte] >> 24) as usize] = byte as u8;
        byte += 1;
    }
    by_top
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_protocol::Millis;
    use ottla_records::{BatchBuilder, BatchOptions};

    fn batch(size: u8) -> Vec<u8> {
        let mut builder = BatchBuilder::new(BatchOptions::default()).unwrap();
        let value: Vec<u8> = (0..size).collect();
        builder.append(Millis(7), None, Some(&value), &[]).unwrap();
        builder.build().unwrap()
    }

    #[test]
    fn every_change_of_one_byte_is_explained() {
        for size in [0, 1, 100] {
            let batch = batch(size);
            assert!(explains(&batch));
            for at in CRC_AT..batch.len() {
                for change in [1, 0x41, 0x80, 0xff] {
                    let mut changed = batch.clone();
                    changed[at] ^= change;
                    assert!(explains(&changed), "byte {at} of {}", batch.len());
                }
            }
        }
    }

    #[test]
    fn half_of_something_else_is_not() {
        let batch = batch(200);
        for from in 30..batch.len() - 4 {
            let mut changed = batch.clone();
            for (i, byte) in changed[from..].iter_mut().enumerate() {
                *byte ^= u8::try_from((i * 37 + from) % 255 + 1).unwrap();
            }
            assert!(!explains(&changed), "from byte {from}");
        }
    }
}
