//! Inline commands: words separated by white space, with quotes and escapes as in Redis'
//! `sdssplitargs`.

use quorate_api::Span;

/// A quote was not closed, or closed in the middle of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unbalanced;

/// Splits `line` into words, unquoted into `words`, one behind the other, each with its span.
pub(crate) fn split(
    line: &[u8],
    words: &mut Vec<u8>,
    spans: &mut Vec<Span>,
) -> Result<(), Unbalanced> {
    words.clear();
    spans.clear();
    let mut rest = skip_space(line);
    while !rest.is_empty() {
        let start = words.len();
        // Invariant: `rest` begins with no white space, so that a word takes at least one byte.
        rest = skip_space(word(rest, words)?);
        // A line is at most 64 KiB long.
        let place = |at: usize| u32::try_from(at).map_err(|_| Unbalanced);
        spans.push(Span { start: place(start)?, end: place(words.len())? });
    }
    Ok(())
}

/// One word; returns what follows it.
fn word<'a>(line: &'a [u8], words: &mut Vec<u8>) -> Result<&'a [u8], Unbalanced> {
    let mut rest = line;
    while let Some((&byte, tail)) = rest.split_first() {
        match byte {
            byte if is_space(byte) => break,
            b'"' => return closed(double_quoted(tail, words)?),
            b'\'' => return closed(single_quoted(tail, words)?),
            byte => words.push(byte),
        }
        rest = tail;
    }
    Ok(rest)
}

/// Behind a closing quote there must be white space, or nothing.
fn closed(rest: &[u8]) -> Result<&[u8], Unbalanced> {
    match rest.first() {
        Some(&byte) if !is_space(byte) => Err(Unbalanced),
        _ => Ok(rest),
    }
}

fn double_quoted<'a>(line: &'a [u8], words: &mut Vec<u8>) -> Result<&'a [u8], Unbalanced> {
    let mut rest = line;
    loop {
        rest = match rest {
            [b'"', tail @ ..] => return Ok(tail),
            [b'\\', b'x', high, low, tail @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                words.push(nibble(*high) << 4 | nibble(*low));
                tail
            }
            [b'\\', escaped, tail @ ..] => {
                words.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                tail
            }
            [byte, tail @ ..] => {
                words.push(*byte);
                tail
            }
            [] => return Err(Unbalanced),
        };
    }
}

fn single_quoted<'a>(line: &'a [u8], words: &mut Vec<u8>) -> Result<&'a [u8], Unbalanced> {
    let mut rest = line;
    loop {
        rest = match rest {
            [b'\'', tail @ ..] => return Ok(tail),
            [b'\\', b'\'', tail @ ..] => {
                words.push(b'\'');
                tail
            }
            [byte, tail @ ..] => {
                words.push(*byte);
                tail
            }
            [] => return Err(Unbalanced),
        };
    }
}

/// A hexadecimal digit's value.
fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit.to_ascii_uppercase().wrapping_sub(b'A') + 10,
    }
}

/// The line from its first word on. Not `trim_ascii_start`, which knows no vertical tab.
fn skip_space(line: &[u8]) -> &[u8] {
    let start = line.iter().position(|byte| !is_space(*byte)).unwrap_or(line.len());
    line.get(start..).unwrap_or_default()
}

/// C's `isspace`.
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &[u8]) -> Result<Vec<Vec<u8>>, Unbalanced> {
        let (mut bytes, mut spans) = (Vec::new(), Vec::new());
        split(line, &mut bytes, &mut spans)?;
        let word = |span: &Span| bytes[span.start as usize..span.end as usize].to_vec();
        Ok(spans.iter().map(word).collect())
    }

    #[test]
    fn words_are_separated_by_white_space_of_any_kind() {
        assert_eq!(
            words(b"  SET\tkey \x0b value  "),
            Ok(vec![b"SET".to_vec(), b"key".into(), b"value".into()])
        );
        assert_eq!(words(b" \t "), Ok(vec![]));
    }

    #[test]
    fn double_quotes_know_escapes() {
        let expected = vec![b"ECHO".to_vec(), b"A\n\t\x07\x08\"\\q\xff".to_vec()];
        assert_eq!(words(br#"ECHO "\x41\n\t\a\b\"\\\q\xFf""#), Ok(expected));
        assert_eq!(words(br#""a\xzz""#), Ok(vec![b"axzz".to_vec()]));
    }

    #[test]
    fn single_quotes_know_only_their_own_escape() {
        assert_eq!(words(br"'a\'b\n' ''"), Ok(vec![br"a'b\n".to_vec(), b"".into()]));
    }

    #[test]
    fn a_quote_may_open_within_a_word_but_must_end_it() {
        assert_eq!(words(br#"foo"bar" x"#), Ok(vec![b"foobar".to_vec(), b"x".into()]));
        for line in [br#""a"b"#.as_slice(), br#""abc"#, b"'abc", br#""abc\"#, br#"'a'"b""#] {
            assert_eq!(words(line), Err(Unbalanced), "{}", line.escape_ascii());
        }
    }
}
