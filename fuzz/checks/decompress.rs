//! What must hold for any bytes that are taken for compressed records. Shared by the fuzz target
//! and the normal tests. An input is codec, limit (in sixteenths of a mebibyte) and bytes.

use ottla_records::{Compression, Scratch, compress};

/// Decompressing gives at most the limit and keeps little more than it; what comes out goes in and
/// comes out again. Says whether the bytes were good.
pub(crate) fn decompress(data: &[u8]) -> bool {
    let [codec, limit, bytes @ ..] = data else { return false };
    let Some(codec) = Compression::from_id(codec % 5) else { return false };
    let limit = usize::from(*limit) << 16;
    let mut scratch = Scratch::new();
    let content = match scratch.decompress(codec, bytes, limit) {
        Ok(content) => content.to_vec(),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!(scratch.memory() <= limit.saturating_mul(2) + (1 << 20), "{codec:?}");
            return false;
        }
    };
    assert!(content.len() <= limit, "{} bytes of at most {limit}", content.len());
    let again = compress(codec, None, &content).expect("anything can be compressed");
    let mut other = Scratch::new();
    let found = other.decompress(codec, &again, content.len()).expect("what was compressed");
    assert_eq!(found, content);
    // The same memory serves another time.
    assert_eq!(scratch.decompress(codec, bytes, limit).expect("as before"), content);
    true
}
