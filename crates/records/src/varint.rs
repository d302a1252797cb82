//! Zig-zag varints of records, over a byte slice. Accepts exactly what Kafka accepts: overlong
//! forms too, and bits beyond the type's width are dropped.

use crate::error::RecordError;

/// Reads an `i32`; `None` in place of an error when the bytes end.
pub(crate) fn read_i32(bytes: &mut &[u8]) -> Result<i32, RecordError> {
    let raw = read_u32(bytes)?;
    Ok((raw >> 1).cast_signed() ^ -((raw & 1).cast_signed()))
}

fn read_u32(bytes: &mut &[u8]) -> Result<u32, RecordError> {
    if let [first, rest @ ..] = *bytes
        && *first < 0x80
    {
        *bytes = rest;
        return Ok(u32::from(*first));
    }
    let mut value = 0_u32;
    for i in 0..5_u32 {
        let Some((byte, rest)) = bytes.split_first() else { return Err(RecordError::Cut) };
        *bytes = rest;
        value |= (u32::from(*byte & 0x7f)) << (7 * i);
        if *byte < 0x80 {
            return Ok(value);
        }
    }
    Err(RecordError::Varint)
}

/// Reads an `i64`.
pub(crate) fn read_i64(bytes: &mut &[u8]) -> Result<i64, RecordError> {
    let mut value = 0_u64;
    for i in 0..10_u32 {
        let Some((byte, rest)) = bytes.split_first() else { return Err(RecordError::Cut) };
        *bytes = rest;
        value |= (u64::from(*byte & 0x7f)) << (7 * i);
        if *byte < 0x80 {
            return Ok((value >> 1).cast_signed() ^ -((value & 1).cast_signed()));
        }
    }
    Err(RecordError::Varint)
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
    }
}
