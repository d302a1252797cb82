//! A setting's value: read from text by its type, checked against what is allowed, with Kafka's
//! sentences for what is not (`org.apache.kafka.common.config.ConfigDef`). Must not know whose
//! value it is.

use std::fmt;

use super::definition::{Allowed, ConfigDef, DefaultValue, ValueType};

/// A value of one of the types.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// No value.
    Null,
    /// A BOOLEAN.
    Boolean(bool),
    /// A STRING, CLASS or PASSWORD.
    String(String),
    /// An INT.
    Int(i32),
    /// A SHORT.
    Short(i16),
    /// A LONG.
    Long(i64),
    /// A DOUBLE.
    Double(f64),
    /// A LIST.
    List(Vec<String>),
}

impl Value {
    /// The number, of an INT, SHORT or LONG.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(i64::from(*number)),
            Self::Short(number) => Some(i64::from(*number)),
            Self::Long(number) => Some(*number),
            Self::Null | Self::Boolean(_) | Self::String(_) | Self::Double(_) | Self::List(_) => {
                None
            }
        }
    }

    /// The flag, of a BOOLEAN.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Boolean(flag) = self { Some(*flag) } else { None }
    }

    /// The fraction, of a DOUBLE.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        if let Self::Double(number) = self { Some(*number) } else { None }
    }

    /// The text, of a STRING, CLASS or PASSWORD.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The items, of a LIST.
    #[must_use]
    pub fn as_list(&self) -> Option<&[String]> {
        if let Self::List(items) = self { Some(items) } else { None }
    }

    /// The text DescribeConfigs answers (`ConfigDef.convertToString`); none for no value.
    #[must_use]
    pub fn to_text(&self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Boolean(flag) => Some(flag.to_string()),
            Self::String(text) => Some(text.clone()),
            Self::Int(number) => Some(number.to_string()),
            Self::Short(number) => Some(number.to_string()),
            Self::Long(number) => Some(number.to_string()),
            Self::Double(number) => Some(java_double(*number)),
            Self::List(items) => Some(items.join(",")),
        }
    }
}

/// As Java prints a value in a sentence: a list in brackets.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::List(items) => write!(f, "[{}]", items.join(", ")),
            Self::Boolean(_)
            | Self::String(_)
            | Self::Int(_)
            | Self::Short(_)
            | Self::Long(_)
            | Self::Double(_) => f.write_str(&self.to_text().unwrap_or_default()),
        }
    }
}

/// `Double.toString` of Java.
fn java_double(number: f64) -> String {
    let size = number.abs();
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity".to_owned() } else { "-Infinity".to_owned() };
    }
    if size == 0.0 || (1e-3..1e7).contains(&size) {
        return format!("{number:?}");
    }
    let text = format!("{number:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let point = if mantissa.contains('.') { "" } else { ".0" };
    format!("{mantissa}{point}E{exponent}")
}

/// Why a value is not one: Kafka's sentence (`ConfigException`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidValue(pub String);

impl InvalidValue {
    fn new(def: &ConfigDef, value: &dyn fmt::Display, why: &str) -> Self {
        Self(format!("Invalid value {value} for configuration {}: {why}", def.name))
    }
}

impl ConfigDef {
    /// Reads and checks a value. No text is no value.
    ///
    /// # Errors
    /// Kafka's sentence when the text is not of the type or not allowed.
    pub fn parse(&self, raw: Option<&str>) -> Result<Value, InvalidValue> {
        let value = match raw {
            Some(text) => self.of_type(text)?,
            None => Value::Null,
        };
        self.check(value)
    }

    /// The value that holds when nobody set one; `Null` for a required setting.
    #[must_use]
    pub fn default_value(&self) -> Value {
        match self.default {
            DefaultValue::Required | DefaultValue::Null => Value::Null,
            // A default is of its type; a test reads them all.
            DefaultValue::Value(text) => self.of_type(text).unwrap_or(Value::Null),
        }
    }

    fn of_type(&self, raw: &str) -> Result<Value, InvalidValue> {
        let text = java_trim(raw);
        let not_a_number =
            || InvalidValue::new(self, &raw, &format!("Not a number of type {}", self.value_type));
        Ok(match self.value_type {
            ValueType::Boolean if text.eq_ignore_ascii_case("true") => Value::Boolean(true),
            ValueType::Boolean if text.eq_ignore_ascii_case("false") => Value::Boolean(false),
            ValueType::Boolean => {
                return Err(InvalidValue::new(
                    self,
                    &raw,
                    "Expected value to be either true or false",
                ));
            }
            ValueType::String | ValueType::Class | ValueType::Password => {
                Value::String(text.to_owned())
            }
            ValueType::Int => Value::Int(text.parse().map_err(|_| not_a_number())?),
            ValueType::Short => Value::Short(text.parse().map_err(|_| not_a_number())?),
            ValueType::Long => Value::Long(text.parse().map_err(|_| not_a_number())?),
            ValueType::Double => Value::Double(parse_double(text).ok_or_else(not_a_number)?),
            ValueType::List if text.is_empty() => Value::List(Vec::new()),
            ValueType::List => {
                Value::List(text.split(',').map(|item| java_trim(item).to_owned()).collect())
            }
        })
    }

    fn check(&self, value: Value) -> Result<Value, InvalidValue> {
        let refuse = |why: &str| Err(InvalidValue::new(self, &value, why));
        match (self.allowed, &value) {
            (Allowed::Any, _) | (_, Value::Null) => {}
            (Allowed::Range(least, most), number) => {
                let number = number.as_i64().unwrap_or(0);
                if let Some(least) = least.filter(|least| number < *least) {
                    return refuse(&format!("Value must be at least {least}"));
                }
                if let Some(most) = most.filter(|most| number > *most) {
                    return refuse(&format!("Value must be no more than {most}"));
                }
            }
            (Allowed::Fraction(least, most), number) => {
                let number = number.as_f64().unwrap_or(0.0);
                if let Some(least) = least.filter(|least| number < *least) {
                    return refuse(&format!("Value must be at least {least}"));
                }
                if let Some(most) = most.filter(|most| number > *most) {
                    return refuse(&format!("Value must be no more than {most}"));
                }
            }
            (Allowed::GzipLevel, number) => {
                if !matches!(number.as_i64(), Some(-1 | 1..=9)) {
                    return refuse("Value must be between 1 and 9 or equal to -1");
                }
            }
            (Allowed::OneOf(words), text) => {
                if !words.contains(&text.as_str().unwrap_or_default()) {
                    return refuse(&format!("String must be one of: {}", words.join(", ")));
                }
            }
            (Allowed::OneOfIgnoringCase(words), text) => {
                let text = text.as_str().unwrap_or_default();
                if !words.iter().any(|word| word.eq_ignore_ascii_case(text)) {
                    let words = words.join(", ");
                    return refuse(&format!("String must be one of (case insensitive): {words}"));
                }
            }
            (Allowed::NonEmptyString, text) => {
                if text.as_str().unwrap_or_default().is_empty() {
                    return refuse("String must be non-empty");
                }
            }
            (Allowed::NonNull, _) => {}
            (Allowed::NonEmptyList, list) => {
                if list.as_list().unwrap_or_default().is_empty() {
                    return refuse("List must not be empty");
                }
            }
            (Allowed::NonEmptyItems, list) => return self.items(list, &[]),
            (Allowed::DistinctItems, list) => {
                let items = list.as_list().unwrap_or_default();
                let repeated =
                    |(at, item): (usize, &String)| items.iter().take(at).any(|i| i == item);
                if items.iter().enumerate().any(repeated) {
                    let name = self.name;
                    let message = format!("Configuration '{name}' values must not be duplicated.");
                    return Err(InvalidValue(message));
                }
                return self.items(list, &[]);
            }
            (Allowed::ListOf(words), list) => return self.items(list, words),
            (Allowed::ThrottledReplicas, list) => {
                let items = list.as_list().unwrap_or_default();
                let all = matches!(items, [only] if only == "*");
                if !all && !items.iter().all(|item| item.is_empty() || is_replica(item))
                    || partly_empty(items)
                {
                    let name = self.name;
                    return refuse(&format!(
                        "{name} must be the literal '*' or a list of replicas in the following format: \
                         [partitionId]:[brokerId],[partitionId]:[brokerId],..."
                    ));
                }
            }
            (Allowed::ShareOffsetReset, text) => {
                let text = text.as_str().unwrap_or_default();
                if !is_share_offset_reset(text) {
                    return refuse(&format!(
                        "Invalid value `{text}` for configuration {}. The value must be either 'earliest', \
                         'latest' or of the format 'by_duration:<PnDTnHnMn.nS>'.",
                        self.name
                    ));
                }
            }
        }
        Ok(value)
    }

    /// A list without its repetitions, when every item is something and, with `words`, one of them.
    fn items(&self, list: &Value, words: &[&str]) -> Result<Value, InvalidValue> {
        let mut items: Vec<String> = Vec::new();
        for item in list.as_list().unwrap_or_default() {
            if !items.contains(item) {
                items.push(item.clone());
            }
        }
        for item in &items {
            if item.is_empty() {
                let message = format!("Configuration '{}' values must not be empty.", self.name);
                return Err(InvalidValue(message));
            }
            if !words.is_empty() && !words.contains(&item.as_str()) {
                let why = format!("String must be one of: {}", words.join(", "));
                return Err(InvalidValue::new(self, item, &why));
            }
        }
        Ok(Value::List(items))
    }
}

/// `String.trim` of Java: control characters count as space, other Unicode spaces do not.
fn java_trim(text: &str) -> &str {
    text.trim_matches(|c: char| c <= ' ')
}

fn parse_double(text: &str) -> Option<f64> {
    let digits = text.trim_start_matches(['+', '-']);
    match digits {
        "NaN" => return Some(f64::NAN),
        "Infinity" => {
            return Some(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY });
        }
        _ => {}
    }
    // Rust reads "inf" and "nan" too; Java reads a trailing type letter.
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text).parse().ok()
}

fn is_replica(item: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    item.split_once(':').is_some_and(|(partition, broker)| number(partition) && number(broker))
}

/// Java's list of "," alone is no list; an empty item among others is no replica.
fn partly_empty(items: &[String]) -> bool {
    items.iter().any(String::is_empty) && !items.iter().all(String::is_empty)
}

fn is_share_offset_reset(text: &str) -> bool {
    match text.strip_prefix("by_duration:") {
        Some(duration) => is_iso_duration(duration),
        None => matches!(text, "earliest" | "latest"),
    }
}

/// `PnDTnHnMn.nS`, not negative, with at least one part.
fn is_iso_duration(text: &str) -> bool {
    let text = text.to_ascii_uppercase();
    let Some(rest) = text.strip_prefix('P') else { return false };
    let (days, time) = rest.split_once('T').map_or((rest, None), |(days, time)| (days, Some(time)));
    let number = |digits: &str| {
        !digits.is_empty() && digits.len() < 19 && digits.bytes().all(|b| b.is_ascii_digit())
    };
    let mut parts = 0;
    if !days.is_empty() {
        let Some(digits) = days.strip_suffix('D') else { return false };
        if !number(digits) {
            return false;
        }
        parts += 1;
    }
    let Some(mut time) = time else { return parts > 0 };
    for unit in ['H', 'M', 'S'] {
        let Some((digits, rest)) = time.split_once(unit) else { continue };
        let fraction_ok = match digits.split_once('.') {
            Some((whole, fraction)) => {
                unit == 'S'
                    && number(whole)
                    && fraction.len() <= 9
                    && (fraction.is_empty() || number(fraction))
            }
            None => number(digits),
        };
        if !fraction_ok {
            return false;
        }
        parts += 1;
        time = rest;
    }
    parts > 0 && time.is_empty()
}

#[cfg(test)]
mod tests {
    use super::super::{ConfigKind, all};
    use super::{DefaultValue, Value, java_double};

    #[test]
    fn every_default_is_of_its_type_and_allowed() {
        for kind in
            [ConfigKind::Broker, ConfigKind::ClientMetrics, ConfigKind::Group, ConfigKind::Topic]
        {
            for def in all(kind) {
                match def.default {
                    DefaultValue::Required => assert_eq!(def.default_value(), Value::Null),
                    // A default is not checked by Kafka: an empty bootstrap list stands for none.
                    DefaultValue::Null => {}
                    DefaultValue::Value(text) => {
                        assert_ne!(def.default_value(), Value::Null, "{}", def.name);
                        if !text.is_empty() {
                            def.parse(Some(text)).unwrap();
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn fractions_print_as_java_prints_them() {
        let cases = [
            (0.5, "0.5"),
            (1e7, "1.0E7"),
            (2.5e-5, "2.5E-5"),
            (f64::MAX, "1.7976931348623157E308"),
            (3.0, "3.0"),
        ];
        for (number, text) in cases {
            assert_eq!(java_double(number), text);
        }
    }
}
