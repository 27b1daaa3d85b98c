//! Configuration keys in environment variables, as Kafka's and Bitnami's container images spell them. Names only; the
//! caller passes the environment in as data.

const PREFIX: &str = "KAFKA_";
const BITNAMI_PREFIX: &str = "KAFKA_CFG_";

/// Variables of Kafka's start scripts and image that look like keys and are none.
const NOT_KEYS: &[&str] = &[
    "KAFKA_GC_LOG_OPTS",
    "KAFKA_HEAP_OPTS",
    "KAFKA_JMX_HOSTNAME",
    "KAFKA_JMX_OPTS",
    "KAFKA_JMX_PORT",
    "KAFKA_JVM_PERFORMANCE_OPTS",
    "KAFKA_LOG4J_LOGGERS",
    "KAFKA_LOG4J_OPTS",
    "KAFKA_LOG4J_ROOT_LOGLEVEL",
    "KAFKA_OPTS",
    "KAFKA_TOOLS_LOG4J_LOGLEVEL",
    "KAFKA_VERSION",
    "KAFKA_HOME",
    "KAFKA_DEBUG",
];

/// The key that a variable sets, or `None` when it sets none. `KAFKA_A_B__C___D` stands for `a.b_c-d`.
///
/// Kubernetes gives every pod beside a service called `kafka` variables such as `KAFKA_PORT=tcp://10.0.0.1:9092`, and
/// beside one called `kafka-ui` such as `KAFKA_UI_SERVICE_HOST`; those are none of ours.
pub(crate) fn key_of_variable(variable: &str, value: &str) -> Option<String> {
    if is_service_link(variable, value) || NOT_KEYS.contains(&variable) {
        return None;
    }
    let rest = variable.strip_prefix(BITNAMI_PREFIX).or_else(|| variable.strip_prefix(PREFIX))?;
    (!rest.is_empty()).then(|| decode(rest))
}

/// The forms of Kubernetes (`envvars.FromServices`), which no key has: `NAME_SERVICE_HOST`, `NAME_SERVICE_PORT` with or
/// without the name of a port, and `NAME_PORT` and `NAME_PORT_80_TCP`, from which values with an address follow.
fn is_service_link(variable: &str, value: &str) -> bool {
    let is_address = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    let mut words = variable.split('_').skip(1).peekable();
    while let Some(word) = words.next() {
        match (word, words.peek().copied()) {
            ("SERVICE", Some("HOST" | "PORT")) => return true,
            ("PORT", None) if is_address => return true,
            ("PORT", Some(number)) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => {
                return true;
            }
            _ => {}
        }
    }
    false
}

fn decode(name: &str) -> String {
    let mut key = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(char) = rest.chars().next() {
        let (plain, taken) = if rest.starts_with("___") {
            ('-', 3)
        } else if rest.starts_with("__") {
            ('_', 2)
        } else if char == '_' {
            ('.', 1)
        } else {
            (char.to_ascii_lowercase(), char.len_utf8())
        };
        key.push(plain);
        rest = &rest[taken..];
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_decoded_longest_first() {
        let key = |variable| key_of_variable(variable, "1");
        assert_eq!(key("KAFKA_LOG_RETENTION_MS").as_deref(), Some("log.retention.ms"));
        assert_eq!(key("KAFKA_CFG_NODE_ID").as_deref(), Some("node.id"));
        assert_eq!(key("KAFKA_A__B___C_D").as_deref(), Some("a_b-c.d"));
        assert_eq!(key("KAFKA_HEAP_OPTS"), None);
        assert_eq!(key("PATH"), None);
        assert_eq!(key("KAFKA_"), None);
    }

    #[test]
    fn service_links_are_not_keys() {
        assert_eq!(key_of_variable("KAFKA_PORT", "tcp://10.0.0.1:9092"), None);
        assert_eq!(key_of_variable("KAFKA_SERVICE_HOST", "10.0.0.1"), None);
        assert_eq!(key_of_variable("KAFKA_PORT_9092_TCP_ADDR", "10.0.0.1"), None);
        assert_eq!(key_of_variable("KAFKA_PORT", "9092").as_deref(), Some("port"));
        for (variable, value) in [
            ("KAFKA_UI_SERVICE_HOST", "10.0.0.1"),
            ("KAFKA_UI_SERVICE_PORT", "8080"),
            ("KAFKA_UI_SERVICE_PORT_HTTP", "8080"),
            ("KAFKA_SCHEMA_REGISTRY_PORT", "tcp://10.0.0.1:8081"),
            ("KAFKA_DNS_PORT", "udp://10.0.0.1:53"),
            ("KAFKA_UI_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ("KAFKA_UI_PORT_8080_TCP_PORT", "8080"),
            ("KAFKA_UI_PORT_53_UDP_PROTO", "udp"),
        ] {
            assert_eq!(key_of_variable(variable, value), None, "{variable}");
        }
    }
}
