//! The text files of a log directory that hold one offset for each partition. Must not know what
//! the offsets mean.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ottla_protocol::Offset;

use crate::names::TopicPartition;

/// One of Kafka's offset checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetCheckpoint {
    /// Up to where each log is known to be on stable storage.
    RecoveryPoint,
    /// Where each log begins, for those that begin after their first segment does.
    LogStart,
    /// The high watermarks.
    HighWatermark,
}

impl OffsetCheckpoint {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::RecoveryPoint, Self::LogStart, Self::HighWatermark];

    /// The file's name.
    #[must_use]
    pub const fn file(self) -> &'static str {
        match self {
            Self::RecoveryPoint => "recovery-point-offset-checkpoint",
            Self::LogStart => "log-start-offset-checkpoint",
            Self::HighWatermark => "replication-offset-checkpoint",
        }
    }
}

/// Offsets by partition.
pub type Offsets = BTreeMap<TopicPartition, Offset>;

/// The text of the file; each partition is named once.
pub(crate) fn encode<'a, I>(offsets: I) -> String
where
    I: IntoIterator<Item = (&'a TopicPartition, &'a Offset), IntoIter: ExactSizeIterator>,
{
    let offsets = offsets.into_iter();
    let mut text = format!("0\n{}\n", offsets.len());
    for (partition, offset) in offsets {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{} {} {offset}", partition.topic, partition.partition);
    }
    text
}

/// Reads the text of an offset checkpoint.
///
/// # Errors
/// A fragment that says what is wrong.
pub fn decode(text: &str) -> Result<Offsets, String> {
    let mut lines = text.lines();
    match lines.next().map(str::trim) {
        Some("0") => {}
        Some(other) => return Err(format!("its version is {other:?}, and only 0 is known")),
        // Kafka makes the file before it has anything to say.
        None => return Ok(Offsets::new()),
    }
    let count = lines.next().and_then(|n| n.trim().parse::<usize>().ok());
    let count = count.ok_or("its second line is no number of entries")?;
    let mut offsets = Offsets::new();
    for line in lines.filter(|line| !line.trim().is_empty()) {
        let entry = parse(line)
            .ok_or_else(|| format!("the line {line:?} is no topic, partition and offset"))?;
        if let Some((twice, _)) = offsets.insert(entry.0.clone(), entry.1).map(|o| (entry.0, o)) {
            return Err(format!("{twice} is in it twice"));
        }
    }
    if offsets.len() == count {
        Ok(offsets)
    } else {
        Err(format!("it promises {count} entries and has {}", offsets.len()))
    }
}

fn parse(line: &str) -> Option<(TopicPartition, Offset)> {
    let mut words = line.split_whitespace();
    let topic = words.next()?;
    let partition = words.next()?.parse().ok().filter(|p| *p >= 0)?;
    let offset = words.next()?.parse().ok().filter(|o| *o >= 0)?;
    words.next().is_none().then(|| (TopicPartition::new(topic, partition), Offset(offset)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_kafkas() {
        let text = "0\n2\n__consumer_offsets 0 10\ntxn 1 7\n";
        let read = decode(text).unwrap();
        assert_eq!(read.get(&TopicPartition::new("txn", 1)), Some(&Offset(7)));
        assert_eq!(encode(&read), text);
        assert_eq!(encode(&Offsets::new()), "0\n0\n");
    }

    #[test]
    fn damage_is_named() {
        assert_eq!(decode(""), Ok(Offsets::new()));
        for bad in [
            "1\n0\n",
            "0\n",
            "0\nx\n",
            "0\n1\n",
            "0\n1\na 0\n",
            "0\n1\na 0 -1\n",
            "0\n2\na 0 1\na 0 2\n",
            "0\n1\na 0 1 2\n",
        ] {
            assert!(decode(bad).is_err(), "{bad:?}");
        }
    }
}
