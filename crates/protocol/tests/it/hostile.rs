//! Broken input: never a panic, never more memory than 16 times the input and 1 MiB.

use crate::round_trip::encoded;
use bytes::Bytes;
use ottla_protocol::random::{MessageVisitor, RandomMessage, each_message};
use ottla_protocol::{RandomSource, Reader};

const fn allowed(input: usize) -> u64 {
    16 * input as u64 + (1 << 20)
}

/// Decodes under the counting allocator; gives whether it succeeded.
fn decode_counted<M: RandomMessage>(input: &Bytes, version: i16) -> bool {
    let mut good = false;
    let input = input.clone();
    let len = input.len();
    let info = allocation_counter::measure(|| {
        let mut r = Reader::new(input);
        good = M::decode(&mut r, version).is_ok();
    });
    let name = M::NAME;
    assert!(info.bytes_max <= allowed(len), "{name} v{version}: {} of {len}", info.bytes_max);
    good
}

struct Mutations {
    source: RandomSource,
    decoded: usize,
    refused: usize,
}

impl Mutations {
    fn feed<M: RandomMessage>(&mut self, input: &Bytes, version: i16) {
        if decode_counted::<M>(input, version) {
            self.decoded += 1;
        } else {
            self.refused += 1;
        }
    }

    fn mutated(&mut self, input: &[u8]) -> Bytes {
        const EXTREMES: [u8; 6] = [0, 1, 0x7f, 0x80, 0xfe, 0xff];
        let mut bytes = input.to_vec();
        for _ in 0..=self.source.below(4) {
            let at = self.source.below(bytes.len());
            match self.source.below(4) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, self.source.i8().cast_unsigned()),
                2 if at < bytes.len() => bytes[at] = EXTREMES[self.source.below(6)],
                _ if at < bytes.len() => bytes[at] = self.source.i8().cast_unsigned(),
                _ => bytes.push(0xff),
            }
        }
        Bytes::from(bytes)
    }
}

impl MessageVisitor for Mutations {
    fn visit<M: RandomMessage>(&mut self) {
        for version in M::VALID_VERSIONS.iter() {
            let good = encoded(&M::random(&mut self.source, version), version);
            for cut in 0..good.len().min(400) {
                self.feed::<M>(&good.slice(..cut), version);
            }
            for _ in 0..15 {
                let bytes = self.mutated(&good);
                self.feed::<M>(&bytes, version);
            }
            for _ in 0..5 {
                let len = self.source.below(200);
                let random = (0..len).map(|_| self.source.i8().cast_unsigned());
                let random = Bytes::from(random.collect::<Vec<_>>());
                self.feed::<M>(&random, version);
            }
        }
    }
}

#[test]
fn mutated_and_truncated_messages() {
    let mut mutations = Mutations { source: RandomSource::new(44), decoded: 0, refused: 0 };
    each_message(&mut mutations);
    assert!(mutations.decoded > 1_000 && mutations.refused > 10_000);
}

/// Long runs of one byte: the densest arrays of the smallest elements there are.
#[test]
fn dense_input_stays_within_the_bound() {
    struct Dense;
    impl MessageVisitor for Dense {
        fn visit<M: RandomMessage>(&mut self) {
            let newest = M::VALID_VERSIONS.max;
            for byte in [0, 1, 2, 3, 0x7f] {
                // A length of 300,000 elements wherever an array begins, small elements after.
                for head in 0..24 {
                    let mut bytes = vec![0; head];
                    bytes.extend([0xe1, 0xa7, 0x12]);
                    bytes.resize(300_100, byte);
                    decode_counted::<M>(&Bytes::from(bytes), newest);
                }
            }
        }
    }
    each_message(&mut Dense);
}

/// Unknown tagged fields, in order and not, of no content: two or three bytes each.
#[test]
fn many_small_tagged_fields_stay_within_the_bound() {
    use ottla_protocol::{FetchRequest, HeartbeatRequest};
    let heads = [encoded(&HeartbeatRequest::default(), 4), encoded(&FetchRequest::default(), 18)];
    for (i, head) in heads.into_iter().enumerate() {
        for rising in [true, false] {
            let count = 100_000_u32;
            let mut w = ottla_protocol::Writer::new();
            w.raw(&head[..head.len() - 1]);
            w.uvarint(count);
            for n in 0..count {
                w.uvarint(if rising { 10 + n } else { 10 + count - n });
                w.u8(0);
            }
            let bytes = w.finish().to_bytes();
            let good = if i == 0 {
                decode_counted::<HeartbeatRequest>(&bytes, 4)
            } else {
                decode_counted::<FetchRequest>(&bytes, 18)
            };
            assert!(good || !rising);
        }
    }
}
