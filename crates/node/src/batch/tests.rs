//! The order of batches: what comes back goes where it was; what comes late is not taken.

use super::*;
use crate::session::{Kind, Thread, Turn};

fn push(writes: &mut Writes, bytes: &[u8]) {
    let Turn::Go(waiter) = Thread::default().enter(Kind::Write) else { panic!("held") };
    writes.push(Mono::default, 1, waiter, |out| out.extend_from_slice(bytes));
}

fn forwarded(number: u64) -> Forwarded {
    Forwarded {
        from: NodeId(2),
        number,
        answers: 1,
        long: false,
        parts: Bytes::from_static(b"parts"),
    }
}

#[test]
fn batches_that_were_refused_go_out_again_in_their_old_order() {
    let mut writes = Writes::default();
    push(&mut writes, b"first");
    let first = writes.pop().unwrap();
    push(&mut writes, b"second");
    let second = writes.pop().unwrap();
    push(&mut writes, b"third");
    writes.put_back(second, 2);
    writes.put_back(first, 1);
    push(&mut writes, b" and more");
    let order: Vec<_> = std::iter::from_fn(|| writes.pop()).map(|batch| batch.parts).collect();
    assert_eq!(order, [b"first".to_vec(), b"second".to_vec(), b"third and more".to_vec()]);
}

#[test]
fn a_forward_that_comes_behind_a_later_one_or_twice_is_not_taken() {
    let mut writes = Writes::default();
    let epoch = 7 << 32;
    assert!(writes.take_in(forwarded(epoch + 2)));
    assert!(!writes.take_in(forwarded(epoch + 1)));
    assert!(!writes.take_in(forwarded(epoch + 2)));
    assert!(writes.take_in(forwarded(epoch + 3)));
    assert!(writes.take_in(forwarded((5 << 32) + 1)), "the member has restarted");
}

#[test]
fn bytes_on_their_way_count_until_they_are_answered() {
    let mut writes = Writes::default();
    push(&mut writes, &vec![0; PENDING_BYTES_MAX + 1]);
    assert!(writes.is_full());
    let batch = writes.pop().unwrap();
    writes.insert_sent(1, Sent { term: Term(1), batch, since: Mono::default() });
    assert!(writes.is_full());
    assert!(writes.remove_sent(1).is_some());
    assert!(!writes.is_full());
}
