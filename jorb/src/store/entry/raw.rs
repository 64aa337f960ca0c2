//! JSON as it is, on one line.
use std::any::type_name;

use serde_json::value::RawValue;

use crate::Unwritable;

/// The text as a value, without line breaks: a log has one line per batch.
pub(crate) fn raw<T>(text: &str) -> Result<Box<RawValue>, Unwritable> {
    let unwritable = |e: serde_json::Error| Unwritable {
        type_name: type_name::<T>(),
        at: String::new(),
        reason: e.to_string(),
    };
    RawValue::from_string(one_line(text)).map_err(unwritable)
}

/// Without line breaks.
fn one_line(text: &str) -> String {
    match memchr::memchr2(b'\n', b'\r', text.as_bytes()) {
        None => text.to_owned(),
        Some(_) => compact(text),
    }
}

/// Without the space that means nothing.
pub(crate) fn compact(text: &str) -> String {
    let mut in_string = false;
    let mut escaped = false;
    let means_something = |c: &char| {
        let space = !in_string && c.is_ascii_whitespace();
        match c {
            '"' if !escaped => in_string = !in_string,
            _ => {}
        }
        escaped = in_string && *c == '\\' && !escaped;
        !space
    };
    text.chars().filter(means_something).collect()
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn only_space_outside_of_strings_is_dropped() {
        let text = "{\n  \"a b\": [1,\r\n 2],\n \"c\\\" \\\\\": \"d \\\\\" , \"e\": \" \"\n}";
        assert_eq!(one_line(text), "{\"a b\":[1,2],\"c\\\" \\\\\":\"d \\\\\",\"e\":\" \"}");
        assert_eq!(one_line("{ \"a\": 1 }"), "{ \"a\": 1 }");
    }
}
