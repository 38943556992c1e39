//! The two doors: [`Api`] for a front-end, [`Session`] for one of its connections.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::backup::{self, Backing};
use crate::{AdminReply, AdminRequest, Call, Consistency, Error, Reply, Status, Transaction};

/// A reply that is a result, or a failure of this node.
pub type Answer = Result<Reply, Error>;

/// An administrative request under way.
pub type Administering = Pin<Box<dyn Future<Output = Result<AdminReply, Error>>>>;

/// A member, as a front-end on its thread sees it. Front-ends hold it as `Rc<dyn Api>`.
pub trait Api {
    /// Opens a session for one connection.
    fn open(&self) -> Box<dyn Session>;
    /// The member's own view of itself and its group; cheap, never waits.
    fn status(&self) -> Status;
    /// Membership and the like; resolves when it is done, or failed.
    fn administer(&self, request: AdminRequest) -> Administering;
    /// A backup of the state as it is once `consistency` holds, while the member goes on. A member that
    /// makes none (a front-end's test double) says so.
    fn back_up(&self, consistency: Consistency) -> Backing {
        backup::none(consistency)
    }
}

/// One connection's thread of commands.
///
/// Must: give exactly one answer per submission, in the order of submission; execute a read after
/// the session's own earlier writes; never copy an argument more than once on the way to the log.
/// Dropping a session gives up its answers, never the effects of its writes.
pub trait Session {
    /// Hands in a command flagged READ or WRITE in the table. Never blocks; a full queue is answered
    /// with [`Error::Overloaded`].
    fn submit(&mut self, call: Call<'_>);
    /// Hands in a MULTI/EXEC block. The answer is `Reply::Array`, or `Reply::NilArray` when a watched
    /// key has changed.
    fn transact(&mut self, transaction: Transaction);
    /// The next answer; `Pending` (and the waker kept) while there is none yet, also when nothing was
    /// submitted.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Answer>;
    /// Submissions without an answer taken.
    fn outstanding(&self) -> usize;
    /// The consistency of reads submitted from now on whose call says [`Consistency::Configured`];
    /// `None` goes back to the node's default.
    fn set_consistency(&mut self, consistency: Option<Consistency>);
    /// The highest log index whose effects this session has seen in an answer.
    fn seen_index(&self) -> u64;
}
