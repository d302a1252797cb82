//! Which names a topic may have (Kafka's `org.apache.kafka.common.internals.Topic`), and which
//! two collide. Must not know which topics exist.

use ottla_protocol::ErrorCode;

use crate::refusal::Refusal;

const LENGTH_MAX: usize = 249;
/// The metadata log's own name: nobody creates it.
pub const CLUSTER_METADATA: &str = "__cluster_metadata";
/// Topics that Kafka keeps for itself.
pub const INTERNAL: [&str; 3] =
    ["__consumer_offsets", "__transaction_state", "__share_group_state"];

/// Whether a topic of this name is one of Kafka's own.
#[must_use]
pub fn is_internal(name: &str) -> bool {
    INTERNAL.contains(&name)
}

/// # Errors
/// `INVALID_TOPIC_EXCEPTION` with Kafka's sentence when no topic may have this name.
pub fn validate(name: &str) -> Result<(), Refusal> {
    let invalid = |why: String| {
        Err(Refusal::new(ErrorCode::InvalidTopicException, format!("Topic name is invalid: {why}")))
    };
    if name.is_empty() {
        return invalid("the empty string is not allowed".to_owned());
    }
    if name == "." || name == ".." {
        return invalid(format!("'{name}' is not allowed"));
    }
    // Kafka counts UTF-16 units; a name with others than these letters is illegal anyway, but
    // which of the two sentences it gets depends on the count.
    if name.encode_utf16().count() > LENGTH_MAX {
        return invalid(format!(
            "the length of '{name}' is longer than the max allowed length {LENGTH_MAX}"
        ));
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
        return invalid(format!(
            "'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
        ));
    }
    Ok(())
}

/// Whether the name has a letter that metrics cannot tell from another.
#[must_use]
pub fn has_collision_letters(name: &str) -> bool {
    name.contains(['.', '_'])
}

/// The name with those letters made one: two topics with the same result collide.
#[must_use]
pub fn unified(name: &str) -> String {
    name.replace('.', "_")
}

#[cfg(test)]
mod tests {
    use super::validate;

    #[test]
    fn names_are_refused_with_kafkas_sentences() {
        let refused = |name: &str| validate(name).unwrap_err().message.unwrap();
        assert_eq!(refused(""), "Topic name is invalid: the empty string is not allowed");
        assert_eq!(refused(".."), "Topic name is invalid: '..' is not allowed");
        assert_eq!(
            refused("a b"),
            "Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
        );
        assert!(refused(&"x".repeat(250)).ends_with("' is longer than the max allowed length 249"));
        validate(&"x".repeat(249)).unwrap();
        validate("a.b_c-9").unwrap();
    }
}
