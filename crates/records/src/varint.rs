//! Zig-zag varints of records, over a byte slice. Accepts exactly what Kafka accepts: overlong
//! forms too, and bits beyond the type's width are dropped.

use crate::error::RecordError;

/// Reads an `i32`.
pub(crate) fn read_i32(bytes: &mut &[u8]) -> Result<i32, RecordError> {
    // Bits beyond 32 are dropped.
    let raw = (read_raw(bytes, 5)? & 0xffff_ffff) as u32;
    Ok((raw >> 1).cast_signed() ^ -((raw & 1).cast_signed()))
}

/// Reads an `i64`.
pub(crate) fn read_i64(bytes: &mut &[u8]) -> Result<i64, RecordError> {
    Ok(unzigzag(read_raw(bytes, 10)?))
}

fn read_raw(bytes: &mut &[u8], longest: u32) -> Result<u64, RecordError> {
    let mut value = 0_u64;
    for i in 0..longest {
        let Some((byte, rest)) = bytes.split_first() else { return Err(RecordError::Cut) };
        *bytes = rest;
        value |= (u64::from(*byte & 0x7f)) << (7 * i);
        if *byte < 0x80 {
            return Ok(value);
        }
    }
    Err(RecordError::Varint)
}

/// The number at `at` and where it ends, when it has one to four bytes (which an `i32` and an
/// `i64` read the same way). `None` says nothing of what is there: [`read_i32`] does.
#[inline(always)]
pub(crate) fn peek(bytes: &[u8], at: usize) -> Option<(i64, usize)> {
    let first = u64::from(*bytes.get(at)?);
    if first < 0x80 {
        return Some((unzigzag(first), at + 1));
    }
    let second = u64::from(*bytes.get(at + 1)?);
    let value = (first & 0x7f) | (second & 0x7f) << 7;
    if second < 0x80 {
        return Some((unzigzag(value), at + 2));
    }
    let third = u64::from(*bytes.get(at + 2)?);
    let value = value | (third & 0x7f) << 14;
    if third < 0x80 {
        return Some((unzigzag(value), at + 3));
    }
    let fourth = u64::from(*bytes.get(at + 3)?);
    let value = value | (fourth & 0x7f) << 21;
    (fourth < 0x80).then_some((unzigzag(value), at + 4))
}

#[inline(always)]
const fn unzigzag(raw: u64) -> i64 {
    (raw >> 1).cast_signed() ^ -((raw & 1).cast_signed())
}

/// Appends an `i32`.
pub(crate) fn put_i32(out: &mut Vec<u8>, value: i32) {
    put_i64(out, i64::from(value));
}

/// Appends an `i64`. An `i32` has the same bytes in both widths.
pub(crate) fn put_i64(out: &mut Vec<u8>, value: i64) {
    let mut raw = zigzag(value);
    while raw >= 0x80 {
        out.push((raw & 0x7f) as u8 | 0x80);
        raw >>= 7;
    }
    out.push((raw & 0x7f) as u8);
}

const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// Bytes that `value` takes, 1–10.
pub(crate) const fn len_i64(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_survive_the_round_trip() {
        for value in [
            0,
            -1,
            1,
            63,
            64,
            -64,
            -65,
            8191,
            8192,
            i64::from(i32::MAX),
            i64::from(i32::MIN),
            i64::MAX,
            i64::MIN,
        ] {
            let mut out = Vec::new();
            put_i64(&mut out, value);
            assert_eq!(out.len(), len_i64(value), "{value}");
            assert_eq!(read_i64(&mut out.as_slice()), Ok(value));
            if let Ok(small) = i32::try_from(value) {
                assert_eq!(read_i32(&mut out.as_slice()), Ok(small));
            }
        }
    }

    #[test]
    fn endless_and_cut_numbers_are_told_apart() {
        assert_eq!(read_i32(&mut [0x80; 5].as_slice()), Err(RecordError::Varint));
        assert_eq!(read_i32(&mut [0x80; 4].as_slice()), Err(RecordError::Cut));
        assert_eq!(read_i64(&mut [0xff; 10].as_slice()), Err(RecordError::Varint));
        assert_eq!(read_i64(&mut [0xff; 9].as_slice()), Err(RecordError::Cut));
        // An overlong zero, as Kafka reads it.
        assert_eq!(read_i32(&mut [0x80, 0x80, 0x00].as_slice()), Ok(0));
        // Bits beyond 32 are dropped.
        assert_eq!(read_i32(&mut [0xfe, 0xff, 0xff, 0xff, 0x7f].as_slice()), Ok(i32::MAX));
        assert_eq!(read_i32(&mut [0xfe, 0xff, 0xff, 0xff, 0x7f, 1, 2, 3].as_slice()), Ok(i32::MAX));
        assert_eq!(
            read_i32(&mut [0x80, 0x80, 0x80, 0x80, 0x80, 0, 0, 0].as_slice()),
            Err(RecordError::Varint)
        );
    }

    #[test]
    fn both_ways_of_reading_agree() {
        let mut seed = 1_u64;
        for round in 0..20_000_u32 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let value = (seed >> (round % 64)).cast_signed();
            let mut out = Vec::new();
            put_i64(&mut out, value);
            let len = out.len();
            assert_eq!(read_i64(&mut out.as_slice()), Ok(value));
            out.extend_from_slice(&[0xff; 12]);
            let mut rest = out.as_slice();
            assert_eq!(read_i64(&mut rest), Ok(value));
            assert_eq!(rest.len(), 12);
            let peeked = peek(&out, 0);
            assert_eq!(peeked, (len <= 4).then_some((value, len)));
            assert_eq!(peek(&out[..len], 0), peeked);
            assert_eq!(peek(&out[..len - 1], 0), None);
            if len <= 4 {
                let small = read_i32(&mut &out[..len]).unwrap();
                assert_eq!(i64::from(small), value);
            }
        }
    }
}
