//! `partition.metadata`: the id of the topic that a partition's directory belongs to. Must not
//! know topics' names.

use ottla_protocol::TopicId;

/// The file's text: version 0, no line end after the id.
pub(crate) fn encode(topic_id: TopicId) -> String {
    format!("version: 0\ntopic_id: {topic_id}")
}

/// Reads the text of `partition.metadata`.
///
/// # Errors
/// A fragment that says what is wrong.
pub fn decode(text: &str) -> Result<TopicId, String> {
    let mut lines = text.lines();
    let mut value = |key: &str| {
        let line = lines.next().ok_or_else(|| format!("it has no line {key:?}"))?;
        let rest = line.strip_prefix(key).and_then(|rest| rest.strip_prefix(':'));
        rest.map(|v| v.trim().to_owned())
            .ok_or_else(|| format!("{line:?} stands where {key:?} should"))
    };
    match value("version")?.as_str() {
        "0" => {}
        other => return Err(format!("its version is {other:?}, and only 0 is known")),
    }
    let id = value("topic_id")?;
    match TopicId::parse(&id) {
        Some(id) if !id.is_zero() => Ok(id),
        Some(_) | None => Err(format!("{id:?} is no topic id")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_kafkas() {
        let text = "version: 0\ntopic_id: s1T2Y4t9RWqoDi9J1XSjTA";
        assert_eq!(encode(decode(text).unwrap()), text);
        for bad in [
            "",
            "version: 1\ntopic_id: s1T2Y4t9RWqoDi9J1XSjTA",
            "version: 0\n",
            "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert!(decode(bad).is_err(), "{bad:?}");
        }
    }
}
