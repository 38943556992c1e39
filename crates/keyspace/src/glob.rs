//! Glob patterns, exactly as Redis' `stringmatchlen` takes them, oddities included.
//!
//! `*` any bytes, `?` one byte, `[abc]`, `[a-c]`, `[^a]`, `\x` a literal byte. Redis tries every `*`
//! anew for each one before it; here only the last `*` is ever tried again, which gives the same
//! answers in time bounded by pattern times text.

/// True when all of `text` matches all of `pattern`.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut rest_pattern, mut rest_text) = (pattern, text);
    // Behind the last `*`: the pattern there, and the text from where it was tried last.
    let mut retry: Option<(&[u8], &[u8])> = None;
    while let Some((byte, text_tail)) = rest_text.split_first() {
        if let [b'*', tail @ ..] = rest_pattern {
            retry = Some((tail, rest_text));
            rest_pattern = tail;
            continue;
        }
        if let Some(tail) = element(rest_pattern, *byte) {
            (rest_pattern, rest_text) = (tail, text_tail);
            continue;
        }
        // The `*` takes one byte more. What else it could have taken before is no use: had an earlier
        // `*` more to take, this one would find the same text later.
        let Some((tail, tried)) = retry else { return false };
        let Some((_, next)) = tried.split_first() else { return false };
        retry = Some((tail, next));
        (rest_pattern, rest_text) = (tail, next);
    }
    // As in Redis, an empty text matches nothing but an empty pattern.
    if text.is_empty() {
        return pattern.is_empty();
    }
    rest_pattern.iter().all(|byte| *byte == b'*')
}

/// Matches `byte` against the first element of `pattern`, which is no `*`; the pattern behind it.
fn element(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    match pattern {
        [] => None,
        [b'?', tail @ ..] => Some(tail),
        [b'[', tail @ ..] => class(tail, byte),
        [b'\\', literal, tail @ ..] | [literal, tail @ ..] => (*literal == byte).then_some(tail),
    }
}

/// Matches `byte` against a class whose `[` is taken already. One that is never closed ends with the
/// pattern.
fn class(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    let (negated, mut rest) = match pattern {
        [b'^', tail @ ..] => (true, tail),
        tail => (false, tail),
    };
    let mut found = false;
    let tail = loop {
        rest = match rest {
            [] => break rest,
            [b'\\', literal, tail @ ..] => {
                found |= *literal == byte;
                tail
            }
            [b']', tail @ ..] => break tail,
            [first, b'-', last, tail @ ..] => {
                let (low, high) = (first.min(last), first.max(last));
                found |= (low..=high).contains(&&byte);
                tail
            }
            [literal, tail @ ..] => {
                found |= *literal == byte;
                tail
            }
        };
    };
    (found != negated).then_some(tail)
}

/// What every text that matches `pattern` starts with: the pattern up to its first special byte.
pub(crate) fn literal_prefix(pattern: &[u8]) -> &[u8] {
    let special = |byte: &u8| matches!(byte, b'*' | b'?' | b'[' | b'\\');
    let end = pattern.iter().position(special).unwrap_or(pattern.len());
    pattern.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Redis' own algorithm, transcribed, with the byte behind the end taken as 0 as in its strings.
    fn reference(pattern: &[u8], text: &[u8]) -> bool {
        let at = |index: usize| pattern.get(index).copied().unwrap_or(0);
        let (mut p, mut t) = (0, 0);
        while p < pattern.len() && t < text.len() {
            match at(p) {
                b'*' => {
                    while p < pattern.len() && at(p + 1) == b'*' {
                        p += 1;
                    }
                    if pattern.len() - p == 1 {
                        return true;
                    }
                    return (t..text.len()).any(|from| reference(&pattern[p + 1..], &text[from..]));
                }
                b'?' => t += 1,
                b'[' => {
                    p += 1;
                    let not = at(p) == b'^';
                    p += usize::from(not);
                    let mut found = false;
                    loop {
                        let left = pattern.len().saturating_sub(p);
                        if left >= 2 && at(p) == b'\\' {
                            p += 1;
                            found |= at(p) == text[t];
                        } else if at(p) == b']' {
                            break;
                        } else if left == 0 {
                            p -= 1;
                            break;
                        } else if left >= 3 && at(p + 1) == b'-' {
                            let (low, high) = (at(p).min(at(p + 2)), at(p).max(at(p + 2)));
                            p += 2;
                            found |= (low..=high).contains(&text[t]);
                        } else {
                            found |= at(p) == text[t];
                        }
                        p += 1;
                    }
                    if found == not {
                        return false;
                    }
                    t += 1;
                }
                byte => {
                    let mut byte = byte;
                    if byte == b'\\' && pattern.len() - p >= 2 {
                        p += 1;
                        byte = at(p);
                    }
                    if byte != text[t] {
                        return false;
                    }
                    t += 1;
                }
            }
            p += 1;
            if t == text.len() {
                while at(p) == b'*' {
                    p += 1;
                }
                break;
            }
        }
        p == pattern.len() && t == text.len()
    }

    #[test]
    fn patterns_match_as_in_redis() {
        let cases: [(&str, &str, bool); 26] = [
            ("*", "anything", true),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h*llo", "heeeello", true),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-b]llo", "hbllo", true),
            ("h[b-a]llo", "hallo", true),
            ("h\\?llo", "h?llo", true),
            ("h\\?llo", "hello", false),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "a1b2", false),
            ("", "", true),
            ("*", "", false),
            ("", "a", false),
            ("[", "[", false),
            ("[^", "x", true),
            ("[]", "]", false),
            ("[^]", "x", true),
            ("[a-]", "]", true),
            ("[\\]]", "]", true),
            ("a\\", "a\\", true),
            ("[abc", "b", true),
            ("a**", "a", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
            assert_eq!(
                reference(pattern.as_bytes(), text.as_bytes()),
                expected,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn all_short_patterns_agree_with_redis_own_algorithm() {
        let alphabet = b"*?[]^-\\ab";
        let texts: [&[u8]; 9] = [b"", b"a", b"b", b"ab", b"aab", b"]", b"-", b"^a", b"\\a"];
        let mut patterns: Vec<Vec<u8>> = vec![Vec::new()];
        for _ in 0..5 {
            let longer = patterns.iter().flat_map(|pattern| {
                alphabet.iter().map(move |byte| [pattern.as_slice(), &[*byte]].concat())
            });
            patterns = longer.collect();
            for pattern in &patterns {
                for text in texts {
                    assert_eq!(
                        matches(pattern, text),
                        reference(pattern, text),
                        "{:?} {:?}",
                        String::from_utf8_lossy(pattern),
                        String::from_utf8_lossy(text)
                    );
                }
            }
        }
    }

    #[test]
    fn many_stars_do_not_blow_up() {
        let pattern = [b"a*".repeat(200), b"b".to_vec()].concat();
        assert!(!matches(&pattern, &[b'a'; 4000]));
    }

    #[test]
    fn the_literal_prefix_ends_at_the_first_special_byte() {
        for (pattern, prefix) in
            [("abc", "abc"), ("ab*c", "ab"), ("a[b]", "a"), ("\\a", ""), ("?", "")]
        {
            assert_eq!(literal_prefix(pattern.as_bytes()), prefix.as_bytes());
        }
    }
}
