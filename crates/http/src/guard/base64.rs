//! Base64 (RFC 4648, standard alphabet), as the Authorization header needs it.

/// Decodes `text`; padding may be missing, anything foreign is refused.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let unpadded = text.trim_end_matches('=');
    let mut decoded = Vec::with_capacity(unpadded.len() * 3 / 4);
    for group in unpadded.as_bytes().chunks(4) {
        let mut bits = 0_u32;
        for symbol in group {
            bits = bits << 6 | u32::from(value(*symbol)?);
        }
        let missing = 4 - group.len();
        let [_, bytes @ ..] = (bits << (6 * missing)).to_be_bytes();
        // One symbol alone carries no byte.
        decoded.extend_from_slice(bytes.get(..3_usize.checked_sub(missing).filter(|n| *n > 0)?)?);
    }
    Some(decoded)
}

fn value(symbol: u8) -> Option<u8> {
    match symbol {
        b'A'..=b'Z' => Some(symbol - b'A'),
        b'a'..=b'z' => Some(symbol - b'a' + 26),
        b'0'..=b'9' => Some(symbol - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_the_standard_decode() {
        for (text, expected) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
            ("Zm9vYmE", "fooba"),
            ("Zm9vYmFy", "foobar"),
        ] {
            assert_eq!(decode(text).unwrap(), expected.as_bytes(), "{text}");
        }
        assert_eq!(decode("+/+/").unwrap(), [0xfb, 0xff, 0xbf]);
        for wrong in ["Z", "Zm9vY", "Zm9-", "Zm 9"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
