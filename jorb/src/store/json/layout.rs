//! JSON for people: what is short stands on one line, and what can be found and replaced on a line of its own.

/// What is longer than this is opened. A line of a history fits.
const WIDTH: usize = 180;
/// What is deeper than this is not.
const DEEP: usize = 64;

/// Writes a value, its line indented so far, with at least so many levels opened.
pub(crate) fn lay_out(out: &mut String, value: &str, indent: usize, open: usize) {
    let value = value.trim_ascii();
    let Some(bracket) = value.chars().next().filter(|c| matches!(c, '{' | '[')) else {
        return out.push_str(value);
    };
    let inner = value[1..value.len() - 1].trim_ascii();
    if inner.is_empty() || indent > DEEP || (open == 0 && value.len() <= WIDTH) {
        return on_one_line(out, value);
    }
    out.push(bracket);
    let mut members = Members(inner);
    while let Some(member) = members.next_until(b',') {
        new_line(out, indent + 2);
        let mut member = Members(member);
        if bracket == '{'
            && let Some(key) = member.next_until(b':')
        {
            out.push_str(key.trim_ascii());
            out.push_str(": ");
        }
        lay_out(out, member.0, indent + 2, open.saturating_sub(1));
        if !members.0.is_empty() {
            out.push(',');
        }
    }
    new_line(out, indent);
    out.push_str(&value[value.len() - 1..]);
}

fn new_line(out: &mut String, indent: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n(' ', indent));
}

fn on_one_line(out: &mut String, value: &str) {
    let mut text = Text::default();
    for c in value.chars() {
        let in_string = text.in_string;
        text.next(c as u32);
        match c {
            ',' | ':' if !in_string => out.extend([c, ' ']),
            _ if !in_string && c.is_ascii_whitespace() => {}
            _ => out.push(c),
        }
    }
}

/// What is left of the inside of an object or array.
struct Members<'a>(&'a str);

impl<'a> Members<'a> {
    /// The part up to a separator on this level.
    fn next_until(&mut self, separator: u8) -> Option<&'a str> {
        if self.0.is_empty() {
            return None;
        }
        let mut text = Text::default();
        let ends = |b: &u8| {
            let here = text.depth == 0 && !text.in_string && *b == separator;
            text.next(u32::from(*b));
            here
        };
        let end = self.0.as_bytes().iter().position(ends).unwrap_or(self.0.len());
        let part = &self.0[..end];
        self.0 = self.0.get(end + 1..).unwrap_or("");
        Some(part)
    }
}

/// Where in a JSON text.
#[derive(Default)]
struct Text {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Text {
    fn next(&mut self, c: u32) {
        let c = u8::try_from(c).unwrap_or(b'x');
        match c {
            b'"' if !self.escaped => self.in_string = !self.in_string,
            b'{' | b'[' if !self.in_string => self.depth += 1,
            b'}' | b']' if !self.in_string => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.escaped = self.in_string && c == b'\\' && !self.escaped;
    }
}

#[cfg(test)]
mod tests {
    use super::{WIDTH, lay_out};

    #[test]
    fn short_things_stay_on_one_line() {
        let mut out = String::new();
        let long = "x".repeat(WIDTH);
        let text = format!(r#"{{"a":{{"b: ,\"":[1,{{}},"{{"]}},"c":"{long}","d":["{long}",2],"e":[]}}"#);
        lay_out(&mut out, &text, 0, 1);
        let expected = format!(
            "{{\n  \"a\": {{\"b: ,\\\"\": [1, {{}}, \"{{\"]}},\n  \"c\": \"{long}\",\n  \"d\": [\n    \"{long}\",\n    2\n  ],\n  \"e\": []\n}}"
        );
        assert_eq!(out, expected);
        let same = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(same(&out), same(&text));
    }
}
