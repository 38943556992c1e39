//! Replies as a client must be able to read them: RESP2 and RESP3, without looking at what they say.

/// Where the frame at the start of `bytes` ends; `None` when it does not end. Panics on what is no frame.
pub fn end(bytes: &[u8]) -> Option<usize> {
    let line = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let after = line + 2;
    let number = || -> i64 {
        let text = std::str::from_utf8(&bytes[1..line]).expect("a number");
        text.parse().unwrap_or_else(|_| panic!("{text:?} is no length"))
    };
    let many =
        |count: i64| (0..count.max(0)).try_fold(after, |at, _| Some(at + end(&bytes[at..])?));
    match bytes[0] {
        b'+' | b'-' | b':' | b',' | b'#' | b'_' | b'(' => Some(after),
        b'$' | b'=' | b'!' if number() < 0 => Some(after),
        b'$' | b'=' | b'!' => {
            let end = after + usize::try_from(number()).expect("a length");
            let tail = bytes.get(end..end + 2)?;
            assert_eq!(tail, b"\r\n", "a bulk string of another length");
            Some(end + 2)
        }
        b'*' | b'~' | b'>' => many(number()),
        b'%' | b'|' => many(2 * number()),
        other => panic!("{:?} begins no reply", char::from(other)),
    }
}

/// How many frames `bytes` are. Panics when they end within one.
pub fn count(bytes: &[u8]) -> usize {
    let (mut at, mut count) = (0, 0);
    while at < bytes.len() {
        at += end(&bytes[at..]).unwrap_or_else(|| {
            panic!("a reply ends within: {:?}", bytes[at..].escape_ascii().to_string())
        });
        count += 1;
    }
    count
}
