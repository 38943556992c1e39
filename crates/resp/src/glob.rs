//! Redis' glob patterns: `*`, `?`, `[a-z]`, `[^x]` and `\` before any of them.

/// Longer patterns match nothing; it bounds the work that a client can ask for.
const PATTERN_BYTES_MAX: usize = 1024;

/// True when `text` as a whole fits `pattern`; ASCII letters fit in either case.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    if pattern.len() > PATTERN_BYTES_MAX {
        return false;
    }
    let (mut pattern, mut text) = (pattern, text);
    // Where the last star was, and what it has swallowed: only that star is ever tried again.
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', rest @ ..] = pattern {
            star = Some((rest, text));
            pattern = rest;
            continue;
        }
        if let Some((&byte, tail)) = text.split_first()
            && let Some(rest) = step(pattern, byte)
        {
            (pattern, text) = (rest, tail);
            continue;
        }
        if pattern.is_empty() && text.is_empty() {
            return true;
        }
        match star {
            Some((behind, [_, swallowed @ ..])) => {
                star = Some((behind, swallowed));
                (pattern, text) = (behind, swallowed);
            }
            _ => return false,
        }
    }
}

/// The pattern behind its first element, when `byte` fits that.
fn step(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    match pattern {
        [] => None,
        [b'?', rest @ ..] => Some(rest),
        [b'[', rest @ ..] => class(rest, byte),
        [b'\\', escaped, rest @ ..] => escaped.eq_ignore_ascii_case(&byte).then_some(rest),
        [plain, rest @ ..] => plain.eq_ignore_ascii_case(&byte).then_some(rest),
    }
}

/// The pattern behind a class, when `byte` is in it. An unclosed class ends with the pattern.
fn class(class: &[u8], byte: u8) -> Option<&[u8]> {
    let (is_negated, mut rest) = match class {
        [b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let byte = byte.to_ascii_lowercase();
    let mut is_in = false;
    rest = loop {
        rest = match rest {
            [] => break rest,
            [b']', rest @ ..] => break rest,
            [b'\\', escaped, rest @ ..] => {
                is_in |= escaped.to_ascii_lowercase() == byte;
                rest
            }
            [from, b'-', to, rest @ ..] => {
                let (from, to) = (from.to_ascii_lowercase(), to.to_ascii_lowercase());
                is_in |= (from.min(to)..=from.max(to)).contains(&byte);
                rest
            }
            [plain, rest @ ..] => {
                is_in |= plain.to_ascii_lowercase() == byte;
                rest
            }
        };
    };
    (is_in != is_negated).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_redis() {
        let cases = [
            ("*", "", true),
            ("*", "anything", true),
            ("max*", "MAXCLIENTS", true),
            ("max*s", "maxclients", true),
            ("max*x", "maxclients", false),
            ("*a*b*c", "xxaxxbxxc", true),
            ("?ave", "save", true),
            ("s[ab]ve", "save", true),
            ("s[^ab]ve", "save", false),
            ("s[a-c]ve", "save", true),
            ("s[c-a]ve", "save", true),
            (r"\*", "*", true),
            (r"\*", "a", false),
            ("[", "a", false),
            ("", "a", false),
            ("a**", "a", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_take_bounded_time() {
        let pattern = "*a".repeat(500);
        assert!(!matches(pattern.as_bytes(), &[b'b'; 10_000]));
        assert!(!matches(&[b'*'; PATTERN_BYTES_MAX + 1], b"a"));
    }
}
