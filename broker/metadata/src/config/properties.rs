//! The `.properties` format by the rules of Java's `Properties.load`: comments, escapes, continuation lines, `=`, `:`
//! or blanks between key and value. Text to entries with line numbers; what the keys mean is none of its business.

use std::fmt;

/// One entry of a properties file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// The key, escapes resolved.
    pub key: String,
    /// The value, escapes resolved.
    pub value: String,
    /// Number of the line on which the entry begins, from 1.
    pub line: u32,
}

/// A `\u` escape without four hexadecimal digits that make a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedEscape {
    /// Number of the line on which the entry begins, from 1.
    pub line: u32,
}

impl fmt::Display for MalformedEscape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: \\u needs four hexadecimal digits that make a character", self.line)
    }
}

impl std::error::Error for MalformedEscape {}

/// All entries of `text` in the order in which they stand; a key may stand there more than once.
///
/// # Errors
/// An escape cannot be resolved.
pub fn parse_properties(text: &str) -> Result<Vec<Property>, MalformedEscape> {
    let mut properties = Vec::new();
    for (line, logical) in logical_lines(text) {
        let (key, value) = split_entry(&logical);
        let resolve = |escaped: &str| unescape(escaped).ok_or(MalformedEscape { line });
        properties.push(Property { key: resolve(key)?, value: resolve(value)?, line });
    }
    Ok(properties)
}

const fn is_blank(char: char) -> bool {
    matches!(char, ' ' | '\t' | '\x0c')
}

/// Lines without comments and blank lines, continuations joined, each with the number of its first line.
fn logical_lines(text: &str) -> Vec<(u32, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(u32, String)> = None;
    for (number, natural) in (1..).zip(natural_lines(text)) {
        let content = natural.trim_start_matches(is_blank);
        let (first, mut logical) = match open.take() {
            Some(begun) => begun,
            None if content.is_empty() || content.starts_with(['#', '!']) => continue,
            None => (number, String::new()),
        };
        if ends_with_continuation(content) {
            logical.push_str(&content[..content.len() - 1]);
            open = Some((first, logical));
        } else {
            logical.push_str(content);
            lines.push((first, logical));
        }
    }
    lines.extend(open);
    lines
}

/// Lines that end in LF, CR or CRLF.
fn natural_lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

/// An odd number of backslashes at the end of a line continues it; an even one is so many escaped backslashes.
fn ends_with_continuation(content: &str) -> bool {
    content.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// Key and value, still escaped. The key ends at the first `=`, `:` or blank that is not escaped.
fn split_entry(logical: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = logical.char_indices().find(|(_, char)| {
        let ends = !escaped && (is_blank(*char) || matches!(char, '=' | ':'));
        escaped = !escaped && *char == '\\';
        ends
    });
    let Some((end, _)) = end else {
        return (logical, "");
    };
    let rest = logical[end..].trim_start_matches(is_blank);
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (&logical[..end], value.trim_start_matches(is_blank))
}

fn unescape(escaped: &str) -> Option<String> {
    let mut plain = String::with_capacity(escaped.len());
    let mut chars = escaped.chars();
    let mut units: Vec<u16> = Vec::new();
    while let Some(char) = chars.next() {
        let unescaped = match char {
            '\\' => match chars.next() {
                // A backslash at the end of the input escapes nothing and disappears.
                None => continue,
                Some('u') => {
                    let digits: String = chars.by_ref().take(4).collect();
                    let is_hex = digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
                    units.push(is_hex.then(|| u16::from_str_radix(&digits, 16).ok()).flatten()?);
                    continue;
                }
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\x0c',
                Some(other) => other,
            },
            other => other,
        };
        flush_units(&mut units, &mut plain)?;
        plain.push(unescaped);
    }
    flush_units(&mut units, &mut plain)?;
    Some(plain)
}

/// Escapes are UTF-16: two of them in a row may be one character.
fn flush_units(units: &mut Vec<u16>, plain: &mut String) -> Option<()> {
    for char in char::decode_utf16(units.drain(..)) {
        plain.push(char.ok()?);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entries(text: &str) -> Vec<(String, String, u32)> {
        let parsed = parse_properties(text).expect("the escapes are well formed");
        parsed.into_iter().map(|property| (property.key, property.value, property.line)).collect()
    }

    fn one(text: &str) -> (String, String) {
        let mut all = entries(text);
        assert_eq!(all.len(), 1, "{text:?}");
        let (key, value, _) = all.remove(0);
        (key, value)
    }

    #[test]
    fn separators() {
        for text in ["k=v", "k:v", "k v", "k = v", "  k\t:  v", "k  v"] {
            assert_eq!(one(text), ("k".to_owned(), "v".to_owned()), "{text:?}");
        }
        assert_eq!(one("k"), ("k".to_owned(), String::new()));
        assert_eq!(one("k==v"), ("k".to_owned(), "=v".to_owned()));
        assert_eq!(one("k=a b = c"), ("k".to_owned(), "a b = c".to_owned()));
        assert_eq!(one("k=v  "), ("k".to_owned(), "v  ".to_owned()));
    }

    #[test]
    fn comments_blank_lines_and_line_ends() {
        let text = "# c\n! d\r\n\n   # e\na=1\r\nb=2\rc=3#no comment\n";
        let expected = [("a", "1", 5), ("b", "2", 6), ("c", "3#no comment", 7)];
        let expected: Vec<_> = expected.map(|(k, v, line)| (k.to_owned(), v.to_owned(), line)).into();
        assert_eq!(entries(text), expected);
    }

    #[test]
    fn continuations() {
        assert_eq!(
            entries("fruits  apple, \\\n   pear, \\\n   # not a comment\nx=1"),
            [("fruits".to_owned(), "apple, pear, # not a comment".to_owned(), 1), ("x".to_owned(), "1".to_owned(), 4)]
        );
        assert_eq!(one("path=c:\\\\"), ("path".to_owned(), "c:\\".to_owned()));
        assert_eq!(one("a=b\\"), ("a".to_owned(), "b".to_owned()));
    }

    #[test]
    fn escapes() {
        assert_eq!(one(r"a\=b\ c=\tx\u00e9\q"), ("a=b c".to_owned(), "\txéq".to_owned()));
        assert_eq!(one(r"k=\uD83D\uDE00"), ("k".to_owned(), "😀".to_owned()));
        assert_eq!(parse_properties("a=1\nb=\\u12"), Err(MalformedEscape { line: 2 }));
        assert_eq!(parse_properties("b=\\uD83D"), Err(MalformedEscape { line: 1 }));
    }

    fn escape(text: &str, is_key: bool) -> String {
        let mut escaped = String::new();
        for (index, char) in text.chars().enumerate() {
            match char {
                '\n' => escaped.push_str("\\n"),
                '\r' => escaped.push_str("\\r"),
                '\t' => escaped.push_str("\\t"),
                '\x0c' => escaped.push_str("\\f"),
                '\\' | '#' | '!' | '=' | ':' => escaped.extend(['\\', char]),
                ' ' if is_key || index == 0 => escaped.push_str("\\ "),
                other => escaped.push(other),
            }
        }
        escaped
    }

    proptest! {
        #[test]
        fn what_is_written_as_java_writes_it_is_read_back(
            pairs in prop::collection::vec((".{1,12}", ".{0,20}"), 0..6)
        ) {
            let text: String =
                pairs.iter().map(|(key, value)| format!("{}={}\n", escape(key, true), escape(value, false))).collect();
            let read: Vec<_> = entries(&text).into_iter().map(|(key, value, _)| (key, value)).collect();
            prop_assert_eq!(read, pairs);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[ab=:\\\\u0-9\\n\\r #!]{0,40}") {
            let _ = parse_properties(&text);
        }
    }
}
