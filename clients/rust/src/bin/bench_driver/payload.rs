//! Values of records: numbered, of one size, made of prepared bytes. Knows no client library.

use anyhow::ensure;
use serde::Deserialize;

/// What a value consists of, between its numbers.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fill {
    /// Bytes that no codec makes smaller.
    Random,
    /// Events as JSON, as a codec meets them.
    Text,
}

/// So many different values are prepared: with random bytes of 1 KiB more than any codec of Kafka
/// looks back by default.
const TEMPLATES: u64 = 509;
/// The number, and at the end its complement.
const NUMBER_BYTES: usize = 8;

const ACTIONS: &[&str] = &["view", "search", "add-to-cart", "checkout", "refund", "sign-in"];
const WORDS: &[&str] = &[
    "order",
    "customer",
    "delivered",
    "the",
    "warehouse",
    "pending",
    "to",
    "payment",
    "accepted",
    "by",
    "bank",
    "parcel",
    "of",
    "returned",
    "address",
    "unknown",
    "a",
    "retry",
    "tomorrow",
];

/// Prepared values.
pub(crate) struct Payload {
    templates: Vec<Vec<u8>>,
}

impl Payload {
    pub(crate) fn new(fill: Fill, bytes: usize) -> anyhow::Result<Self> {
        ensure!(bytes >= 2 * NUMBER_BYTES, "a record of {bytes} bytes cannot be numbered");
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        let templates = (0..TEMPLATES).map(|_| match fill {
            Fill::Random => (0..bytes).map(|_| dice.roll().to_le_bytes()[0]).collect(),
            Fill::Text => text(&mut dice, bytes),
        });
        Ok(Self { templates: templates.collect() })
    }

    /// The value with this number.
    pub(crate) fn numbered(&mut self, number: u64) -> &[u8] {
        let index = (number % TEMPLATES) as usize;
        let value = &mut self.templates[index];
        let tail = value.len() - NUMBER_BYTES;
        value[..NUMBER_BYTES].copy_from_slice(&number.to_le_bytes());
        value[tail..].copy_from_slice(&(!number).to_le_bytes());
        value
    }
}

/// The number of a value of this size; an error when it is none of ours.
pub(crate) fn number(value: &[u8], bytes: usize) -> anyhow::Result<u64> {
    ensure!(value.len() == bytes, "a record of {} bytes, sent were {bytes}", value.len());
    let read = |part: Option<&[u8; NUMBER_BYTES]>| part.map(|part| u64::from_le_bytes(*part));
    let (head, tail) = (read(value.first_chunk()), read(value.last_chunk()));
    match (head, tail) {
        (Some(head), Some(tail)) if head == !tail => Ok(head),
        _ => anyhow::bail!("a record that was not sent"),
    }
}

fn text(dice: &mut Dice, bytes: usize) -> Vec<u8> {
    let mut text = String::new();
    while text.len() < bytes {
        let action = dice.one_of(ACTIONS);
        text.push_str(&format!(
            "{{\"event\":\"{:016x}\",\"at\":17{:011},\"customer\":{},\"action\":\"{action}\",\
             \"amount\":\"{}.{:02}\",\"note\":\"",
            dice.roll(),
            dice.roll() % 100_000_000_000,
            dice.roll() % 1_000_000,
            dice.roll() % 1_000,
            dice.roll() % 100,
        ));
        for _ in 0..6 + dice.roll() % 10 {
            text.push_str(dice.one_of(WORDS));
            text.push(' ');
        }
        text.push_str("\"}\n");
    }
    text.truncate(bytes);
    text.into_bytes()
}

/// The same numbers in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn one_of(&mut self, words: &[&'static str]) -> &'static str {
        words[(self.roll() % words.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_says_its_number_and_foreign_ones_do_not() {
        for fill in [Fill::Random, Fill::Text] {
            let mut payload = Payload::new(fill, 100).expect("large enough");
            assert_eq!(number(payload.numbered(7), 100).expect("numbered"), 7);
            assert_eq!(number(payload.numbered(1 << 40), 100).expect("numbered"), 1 << 40);
            let mut other = payload.numbered(8).to_vec();
            other[0] ^= 1;
            assert!(number(&other, 100).is_err(), "a changed number");
            assert!(number(&other[..99], 100).is_err(), "a shorter value");
        }
        assert!(Payload::new(Fill::Random, 15).is_err());
    }
}
