//! Values of configuration keys: from text to a typed value and back, as Kafka's `ConfigDef` does it.
//!
//! Parsing only; bounds are the business of `key`.

use super::key::{ConfigKey, ConfigKind, InvalidValue};

/// A typed value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A truth value.
    Bool(bool),
    /// Text.
    Str(String),
    /// 32-bit integer.
    Int(i32),
    /// 16-bit integer.
    Short(i16),
    /// 64-bit integer.
    Long(i64),
    /// Floating-point number.
    Double(f64),
    /// List of texts.
    List(Vec<String>),
    /// Name of a Java class.
    Class(String),
    /// Secret text.
    Password(String),
}

impl Value {
    /// The value as DescribeConfigs shows it; secrets in clear, so the caller hides them.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Bool(flag) => flag.to_string(),
            Self::Str(text) | Self::Class(text) | Self::Password(text) => text.clone(),
            Self::Int(number) => number.to_string(),
            Self::Short(number) => number.to_string(),
            Self::Long(number) => number.to_string(),
            Self::Double(number) => java_double(*number),
            Self::List(entries) => entries.join(","),
        }
    }

    /// The integer of an integer value.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(i64::from(*number)),
            Self::Short(number) => Some(i64::from(*number)),
            Self::Long(number) => Some(*number),
            Self::Bool(_) | Self::Str(_) | Self::Double(_) | Self::List(_) | Self::Class(_) | Self::Password(_) => None,
        }
    }
}

pub(crate) fn parse_value(key: &ConfigKey, raw: &str) -> Result<Value, InvalidValue> {
    let text = raw.trim_matches(|char: char| char <= ' ');
    let not_a_number = || key.invalid(raw, format!("Not a number of type {}", key.kind.name()));
    match key.kind {
        ConfigKind::Bool if text.eq_ignore_ascii_case("true") => Ok(Value::Bool(true)),
        ConfigKind::Bool if text.eq_ignore_ascii_case("false") => Ok(Value::Bool(false)),
        ConfigKind::Bool => Err(key.invalid(raw, "Expected value to be either true or false".to_owned())),
        ConfigKind::Str => Ok(Value::Str(text.to_owned())),
        ConfigKind::Class => Ok(Value::Class(text.to_owned())),
        ConfigKind::Password => Ok(Value::Password(text.to_owned())),
        ConfigKind::Int => text.parse().map(Value::Int).map_err(|_| not_a_number()),
        ConfigKind::Short => text.parse().map(Value::Short).map_err(|_| not_a_number()),
        ConfigKind::Long => text.parse().map(Value::Long).map_err(|_| not_a_number()),
        ConfigKind::Double => parse_double(text).map(Value::Double).ok_or_else(not_a_number),
        ConfigKind::List => parse_list(key, text),
    }
}

/// Java takes a trailing `f` or `d`; Rust takes `inf` and `nan`, which are no use in any key.
fn parse_double(text: &str) -> Option<f64> {
    let digits = text.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(text);
    digits.parse::<f64>().ok().filter(|number| number.is_finite())
}

fn parse_list(key: &ConfigKey, text: &str) -> Result<Value, InvalidValue> {
    let mut entries: Vec<String> = Vec::new();
    if text.is_empty() {
        return Ok(Value::List(entries));
    }
    for entry in text.split(',').map(str::trim) {
        if entry.is_empty() {
            return Err(InvalidValue(format!("Configuration '{}' values must not be empty.", key.name)));
        }
        // Kafka drops repeated entries of a list with a warning.
        if !entries.iter().any(|known| known == entry) {
            entries.push(entry.to_owned());
        }
    }
    Ok(Value::List(entries))
}

pub(crate) fn throttled_replicas_are_valid(entries: &[String]) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_pair = |entry: &String| {
        entry.split_once(':').is_some_and(|(partition, broker)| is_number(partition) && is_number(broker))
    };
    matches!(entries, [one] if one == "*") || entries.iter().all(is_pair)
}

/// Where a group begins that has no offset (`ShareGroupAutoOffsetResetStrategy`).
pub(crate) fn offset_reset_is_valid(text: &str) -> bool {
    match text.strip_prefix("by_duration:") {
        Some(duration) => is_duration(duration),
        None => matches!(text, "earliest" | "latest"),
    }
}

/// Whether `text` reads as `PnDTnHnMn.nS`, as Java's `Duration.parse` takes it. Signs are left out: a whole that is not
/// negative can be written without them.
fn is_duration(text: &str) -> bool {
    let text = text.to_ascii_uppercase();
    let Some(rest) = text.strip_prefix('P') else { return false };
    let (date, time) = match rest.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (rest, None),
    };
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let has_days = date.strip_suffix('D').is_some_and(is_number);
    if !date.is_empty() && !has_days {
        return false;
    }
    let Some(mut time) = time else { return has_days };
    if time.is_empty() {
        return false;
    }
    for unit in ['H', 'M'] {
        if let Some((number, rest)) = time.split_once(unit) {
            if !is_number(number) {
                return false;
            }
            time = rest;
        }
    }
    let Some(seconds) = time.strip_suffix('S') else { return time.is_empty() };
    let (whole, fraction) = seconds.split_once(['.', ',']).unwrap_or((seconds, ""));
    is_number(whole) && fraction.len() <= 9 && fraction.bytes().all(|byte| byte.is_ascii_digit())
}

/// A number as Java's `Double.toString` writes it.
fn java_double(number: f64) -> String {
    let plain = number == 0.0 || (1e-3..1e7).contains(&number.abs());
    if plain {
        return format!("{number:?}");
    }
    let text = format!("{number:E}");
    match text.split_once('E') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => format!("{mantissa}.0E{exponent}"),
        Some(_) | None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_look_as_in_java() {
        for (number, text) in
            [(0.5, "0.5"), (1.0, "1.0"), (f64::MAX, "1.7976931348623157E308"), (1e7, "1.0E7"), (0.0, "0.0")]
        {
            assert_eq!(java_double(number), text);
        }
    }

    #[test]
    fn offset_resets_are_names_or_durations() {
        for valid in ["earliest", "latest", "by_duration:PT1H", "by_duration:P2DT3H4M5.25S", "by_duration:p1d"] {
            assert!(offset_reset_is_valid(valid), "{valid}");
        }
        for invalid in ["", "sometimes", "by_duration:", "by_duration:P", "by_duration:PT", "by_duration:PT-1H"] {
            assert!(!offset_reset_is_valid(invalid), "{invalid}");
        }
        for invalid in
            ["by_duration:1H", "by_duration:PT1", "by_duration:PTH", "by_duration:PT1M1H", "by_duration:PT.5S"]
        {
            assert!(!offset_reset_is_valid(invalid), "{invalid}");
        }
    }

    #[test]
    fn throttled_replicas() {
        let check = |text: &str| throttled_replicas_are_valid(&text.split(',').map(str::to_owned).collect::<Vec<_>>());
        assert!(check("*"));
        assert!(check("0:1,1:2"));
        assert!(throttled_replicas_are_valid(&[]));
        for refused in ["none", "1", "1:", "1:2,*", "a:b"] {
            assert!(!check(refused), "{refused}");
        }
    }
}
