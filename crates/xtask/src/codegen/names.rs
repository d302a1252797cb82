//! How Kafka's names are spelled in Rust. Owns spelling only.

/// `ThrottleTimeMs` → `throttle_time_ms`.
pub(crate) fn snake(name: &str) -> String {
    let chars = name.replace("KRaft", "Kraft").chars().collect::<Vec<_>>();
    let mut out = String::new();
    for (i, c) in chars.iter().enumerate() {
        let before = i.checked_sub(1).and_then(|p| chars.get(p));
        let after = chars.get(i + 1);
        let starts_word = c.is_ascii_uppercase()
            && before.is_some_and(|b| {
                !b.is_ascii_uppercase() || after.is_some_and(char::is_ascii_lowercase)
            });
        if starts_word {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// A field's identifier; Rust's own words are escaped.
pub(crate) fn field(name: &str) -> String {
    let snake = snake(name);
    match snake.as_str() {
        "type" | "match" | "move" | "ref" | "in" | "as" | "loop" | "impl" | "where" => {
            format!("r#{snake}")
        }
        _ => snake,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn kafkas_names_in_rust() {
        for (kafka, rust) in [
            ("ThrottleTimeMs", "throttle_time_ms"),
            ("ISRNodes", "isr_nodes"),
            ("CRC", "crc"),
            ("Type", "r#type"),
            ("KRaftVersion", "kraft_version"),
            ("V2Field", "v2_field"),
        ] {
            assert_eq!(super::field(kafka), rust);
        }
    }
}
