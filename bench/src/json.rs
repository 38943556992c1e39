//! One field out of a JSON document whose shape is known: the first of that name.

/// The text of `"name":"text"`, without escapes.
pub(crate) fn text<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    value(json, name)?.strip_prefix('"')?.split('"').next()
}

/// The number of `"name":12`.
pub(crate) fn number(json: &str, name: &str) -> Option<u64> {
    let value = value(json, name)?;
    let end = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    value.get(..end)?.parse().ok()
}

fn value<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = json.split_once(&format!("\"{name}\":"))?;
    Some(rest.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name() {
        let json = r#"{"role":"leader","log":{"last": 11},"empty":""}"#;
        assert_eq!(text(json, "role"), Some("leader"));
        assert_eq!(text(json, "empty"), Some(""));
        assert_eq!(number(json, "last"), Some(11));
        assert_eq!((number(json, "role"), text(json, "last"), text(json, "x")), (None, None, None));
    }
}
