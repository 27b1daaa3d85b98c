//! What is known of one configuration key: its type, default, bounds, when it may change and whether it works.
//!
//! A description and its checks; it holds no value of any broker. The key tables are made of it, loading and altering
//! configuration drive it. Messages are those of Kafka's `ConfigDef`, because tools show them to people.

use std::fmt;

use super::value::{Value, offset_reset_is_valid, parse_value, throttled_replicas_are_valid};

/// One configuration key of a broker or a topic.
#[derive(Clone, Copy, Debug)]
pub struct ConfigKey {
    /// Its name.
    pub name: &'static str,
    /// The type of its value.
    pub kind: ConfigKind,
    /// Its default as text; `None` where Kafka has null.
    pub default: Option<&'static str>,
    /// Which values of the type are allowed.
    pub validator: Validator,
    /// When it may change.
    pub update: UpdateMode,
    /// Whether setting it does anything here.
    pub support: Support,
    /// One line for people.
    pub doc: &'static str,
}

/// Type of a value (`ConfigDef.Type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigKind {
    /// `true` or `false`, in any case.
    Bool,
    /// Text without surrounding blanks.
    Str,
    /// 32-bit integer.
    Int,
    /// 16-bit integer.
    Short,
    /// 64-bit integer.
    Long,
    /// Floating-point number.
    Double,
    /// Texts separated by commas.
    List,
    /// Name of a Java class.
    Class,
    /// Secret text, never shown.
    Password,
}

impl ConfigKind {
    /// Number of the type in DescribeConfigs (`DescribeConfigsResponse.ConfigType`).
    #[must_use]
    pub const fn code(self) -> i8 {
        match self {
            Self::Bool => 1,
            Self::Str => 2,
            Self::Int => 3,
            Self::Short => 4,
            Self::Long => 5,
            Self::Double => 6,
            Self::List => 7,
            Self::Class => 8,
            Self::Password => 9,
        }
    }

    /// Kafka's name of the type, as its messages use it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bool => "BOOLEAN",
            Self::Str => "STRING",
            Self::Int => "INT",
            Self::Short => "SHORT",
            Self::Long => "LONG",
            Self::Double => "DOUBLE",
            Self::List => "LIST",
            Self::Class => "CLASS",
            Self::Password => "PASSWORD",
        }
    }
}

/// Which values of the type are allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Validator {
    /// All.
    Any,
    /// Numbers from the bound on.
    AtLeast(i64),
    /// Numbers from the first to the second bound, both included.
    Between(i64, i64),
    /// Floating-point numbers from 0 to the bound, both included.
    Fraction(f64),
    /// One of the texts; for lists each entry.
    OneOf(&'static [&'static str]),
    /// A list of at least one of the texts.
    SomeOf(&'static [&'static str]),
    /// One of the texts, whatever the case.
    OneOfIgnoreCase(&'static [&'static str]),
    /// Not the empty text or list.
    NonEmpty,
    /// A gzip level, or −1 for the codec's own.
    GzipLevel,
    /// `*`, or entries of the form partition:broker.
    ThrottledReplicas,
    /// `earliest`, `latest`, or `by_duration:` and an ISO 8601 duration that is not negative.
    OffsetReset,
    /// Entries of the form id@host:port; their meaning is checked where the quorum is configured.
    QuorumVoters,
    /// Entries of the form host:port; their meaning is checked where the quorum is configured.
    BootstrapServers,
}

/// When a key may change while brokers run (KIP-226).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateMode {
    /// Only by a restart.
    ReadOnly,
    /// Only by a restart, and tools do not show it.
    Internal,
    /// For one broker at a time.
    PerBroker,
    /// For one broker or all of them.
    ClusterWide,
    /// For one topic.
    Topic,
    /// For one group.
    Group,
}

/// Whether setting a key does anything here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It does what Kafka's does.
    Works,
    /// It is refused when set to anything but its default, for this reason.
    Refused(&'static str),
    /// It changes nothing, which is harmless, for this reason.
    Ignored(&'static str),
}

impl ConfigKey {
    /// Parses and checks `raw`.
    ///
    /// # Errors
    /// The value is not of the key's type or out of its bounds.
    pub fn parse(&self, raw: &str) -> Result<Value, InvalidValue> {
        let value = parse_value(self, raw)?;
        self.check(&value)?;
        Ok(value)
    }

    /// Whether values are secrets.
    #[must_use]
    pub const fn is_sensitive(&self) -> bool {
        matches!(self.kind, ConfigKind::Password)
    }

    /// Whether a running broker may change it.
    #[must_use]
    pub const fn is_dynamic(&self) -> bool {
        match self.update {
            UpdateMode::ReadOnly | UpdateMode::Internal => false,
            UpdateMode::PerBroker | UpdateMode::ClusterWide | UpdateMode::Topic | UpdateMode::Group => true,
        }
    }

    /// Why `raw` may not be set although it is valid: the key does not work and `raw` is not its default.
    #[must_use]
    pub fn refusal(&self, raw: &str) -> Option<&'static str> {
        let Support::Refused(reason) = self.support else {
            return None;
        };
        (!self.is_default(raw)).then_some(reason)
    }

    /// Whether `raw` means the same as the default.
    #[must_use]
    pub fn is_default(&self, raw: &str) -> bool {
        self.default.is_some_and(|default| self.parse(raw) == self.parse(default))
    }

    fn check(&self, value: &Value) -> Result<(), InvalidValue> {
        match self.validator {
            Validator::Any | Validator::QuorumVoters | Validator::BootstrapServers => Ok(()),
            Validator::AtLeast(min) => self.check_range(value, min, i64::MAX),
            Validator::Between(min, max) => self.check_range(value, min, max),
            Validator::Fraction(max) => self.check_fraction(value, max),
            Validator::OneOf(allowed) => self.check_texts(value, allowed),
            Validator::SomeOf(allowed) if *value == Value::List(Vec::new()) => Err(InvalidValue(format!(
                "Configuration '{}' must not be empty. Valid values include: [{}]",
                self.name,
                allowed.join(", ")
            ))),
            Validator::SomeOf(allowed) => self.check_texts(value, allowed),
            Validator::OneOfIgnoreCase(allowed) => {
                let text = value.to_text();
                if allowed.iter().any(|one| one.eq_ignore_ascii_case(&text)) {
                    return Ok(());
                }
                Err(self.invalid(&text, format!("String must be one of (case insensitive): {}", allowed.join(", "))))
            }
            Validator::NonEmpty => self.check_not_empty(value),
            Validator::GzipLevel => match value {
                Value::Int(-1 | 1..=9) => Ok(()),
                other => Err(self.invalid(&other.to_text(), "Value must be between 1 and 9 or equal to -1".to_owned())),
            },
            Validator::OffsetReset => {
                let text = value.to_text();
                if offset_reset_is_valid(&text) {
                    return Ok(());
                }
                let form =
                    "The value must be either 'earliest', 'latest' or of the format 'by_duration:<PnDTnHnMn.nS>'.";
                let message = format!("Invalid value `{text}` for configuration {}. {form}", self.name);
                Err(self.invalid(&text, message))
            }
            Validator::ThrottledReplicas => {
                let Value::List(entries) = value else { return Ok(()) };
                if throttled_replicas_are_valid(entries) {
                    return Ok(());
                }
                let form = "[partitionId]:[brokerId],[partitionId]:[brokerId],...";
                let message = format!(
                    "{} must be the literal '*' or a list of replicas in the following format: {form}",
                    self.name
                );
                Err(self.invalid(&format!("[{}]", entries.join(", ")), message))
            }
        }
    }

    fn check_range(&self, value: &Value, min: i64, max: i64) -> Result<(), InvalidValue> {
        let number = match value {
            Value::Int(number) => i64::from(*number),
            Value::Short(number) => i64::from(*number),
            Value::Long(number) => *number,
            Value::Double(number) => return self.check_double(*number, min, max),
            Value::Bool(_) | Value::Str(_) | Value::List(_) | Value::Class(_) | Value::Password(_) => return Ok(()),
        };
        if number < min {
            return Err(self.invalid(&number.to_string(), format!("Value must be at least {min}")));
        }
        if number > max {
            return Err(self.invalid(&number.to_string(), format!("Value must be no more than {max}")));
        }
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "bounds of floating-point keys are small integers")]
    fn check_double(&self, number: f64, min: i64, max: i64) -> Result<(), InvalidValue> {
        let text = Value::Double(number).to_text();
        if number < min as f64 {
            return Err(self.invalid(&text, format!("Value must be at least {min}")));
        }
        if number > max as f64 {
            return Err(self.invalid(&text, format!("Value must be no more than {max}")));
        }
        Ok(())
    }

    fn check_fraction(&self, value: &Value, max: f64) -> Result<(), InvalidValue> {
        let Value::Double(number) = value else { return Ok(()) };
        if *number < 0.0 {
            return Err(self.invalid(&value.to_text(), "Value must be at least 0".to_owned()));
        }
        if *number > max {
            return Err(self.invalid(&value.to_text(), format!("Value must be no more than {max}")));
        }
        Ok(())
    }

    fn check_texts(&self, value: &Value, allowed: &[&str]) -> Result<(), InvalidValue> {
        let texts = match value {
            Value::List(entries) => entries.clone(),
            other => vec![other.to_text()],
        };
        match texts.iter().find(|text| !allowed.contains(&text.as_str())) {
            None => Ok(()),
            Some(text) => Err(self.invalid(text, format!("String must be one of: {}", allowed.join(", ")))),
        }
    }

    fn check_not_empty(&self, value: &Value) -> Result<(), InvalidValue> {
        match value {
            Value::List(entries) if entries.is_empty() => Err(InvalidValue(format!(
                "Configuration '{}' must not be empty. Valid values include: any non-empty value",
                self.name
            ))),
            Value::Str(text) if text.is_empty() => Err(self.invalid(text, "String must be non-empty".to_owned())),
            Value::Bool(_)
            | Value::Str(_)
            | Value::Int(_)
            | Value::Short(_)
            | Value::Long(_)
            | Value::Double(_)
            | Value::List(_)
            | Value::Class(_)
            | Value::Password(_) => Ok(()),
        }
    }

    pub(crate) fn invalid(&self, text: &str, message: String) -> InvalidValue {
        let shown = if self.is_sensitive() { "[hidden]" } else { text };
        InvalidValue(format!("Invalid value {shown} for configuration {}: {message}", self.name))
    }
}

/// Why a value was not accepted, in Kafka's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidValue(pub String);

impl fmt::Display for InvalidValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidValue {}

/// Declares a table of keys: `"name": Kind = default, validator, update mode, support, "doc";`.
macro_rules! keys {
    ($table:ident $($name:literal : $kind:ident = $default:tt, $validator:expr, $update:ident, $support:expr,
        $doc:literal;)*) => {
        pub(crate) const $table: &[$crate::config::ConfigKey] = {
            #[allow(unused_imports, reason = "not every table uses every variant")]
            use $crate::config::key::{Support::*, Validator::*};
            &[$(
                $crate::config::ConfigKey {
                    name: $name,
                    kind: $crate::config::ConfigKind::$kind,
                    default: $crate::config::key::keys!(@default $default),
                    validator: $validator,
                    update: $crate::config::UpdateMode::$update,
                    support: $support,
                    doc: $doc,
                },
            )*]
        };
    };
    (@default null) => { None };
    (@default $default:literal) => { Some($default) };
}

pub(crate) use keys;
