//! What travels: answers, failures, and bytes that are none.

use quorate_api::Reply;

use super::*;

#[test]
fn answers_and_failures_come_back_as_they_were_sent() {
    let answers = [
        Ok(Reply::Nil),
        Ok(Reply::bulk(b"\r\n\0\xff".as_slice())),
        Ok(Reply::Array(vec![Reply::Int(-1), Reply::err("wrong")])),
        Err(Error::not_applied("why")),
        Err(Error::unknown("why")),
        Err(Error::Overloaded { reason: "why".into() }),
        Err(Error::Stopped { reason: "why".into() }),
    ];
    for answer in answers {
        assert_eq!(decode_answer(encode_answer(&answer)), Ok(answer));
    }
}

#[test]
fn an_answer_that_fits_into_no_frame_is_a_failure_that_says_where_to_ask() {
    let large = Reply::Bulk(vec![b'x'; ANSWER_BYTES_MAX / 2].into());
    let answer = decode_answer(encode_answer(&Ok(Reply::Array(vec![large.clone(), large]))));
    let Ok(Err(Error::NotApplied { reason, .. })) = answer else { panic!("{answer:?}") };
    assert!(reason.contains("too large") && reason.contains("ask the leader"), "{reason}");
}

proptest::proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        drop(decode_answer(bytes.clone().into()));
        proptest::prop_assert!(entry::check_passed(&bytes).is_err() || bytes.len() > 4);
    }
}
