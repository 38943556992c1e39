//! Calls on the cluster's members: they come, go, get votes and give them up, and one of them leads.

use quorate_api::limits::VOTERS_MAX;
use quorate_api::status::{MemberStatus, Wish};
use quorate_api::{AdminReply, AdminRequest, Caution, Place, Reply, Status};

use crate::builder::LOCAL_PORT;
use crate::errand::{Change, Condition, Request};
use crate::error::Error;
use crate::store::Store;

fn find<'a>(status: &'a Status, name: &str) -> Option<&'a MemberStatus> {
    status.members.iter().find(|member| member.id == name)
}

/// When this node has heard that `name` votes, and takes nobody's place any more.
fn votes(name: &str) -> Condition {
    let name = name.to_owned();
    Box::new(move |status| {
        find(status, &name).is_some_and(|it| it.voter && it.wish.replaces().is_none())
    })
}

impl Store {
    /// Adds the node called `name`, which waits to be added, at `addr`: `host:port`, or the node's name on a
    /// [`crate::Network`]. Returns when it has caught up and has a vote; a learner has none, nor has one beyond
    /// seven voters.
    ///
    /// ```
    /// # quorate::blocking::run(async {
    /// # use quorate::{Builder, Network};
    /// # let network = Network::new();
    /// let n1 = Builder::new("n1").network(&network).bootstrap().start().await?;
    /// // Neither `bootstrap` nor `join`: it waits.
    /// let n2 = Builder::new("n2").network(&network).start().await?;
    /// n1.store().add_member("n2", "n2").await?;
    /// n2.store().set("k", "v").await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Unknown`] when it was added, or may have been, and has no vote within [`Store::timeout`]; or
    /// another [`Error`].
    pub async fn add_member(&self, name: &str, addr: &str) -> Result<(), Error> {
        let own = name.to_owned();
        let settled = move |status: &Status| {
            let full = status.members.iter().filter(|it| it.voter).count() >= VOTERS_MAX;
            find(status, &own).is_some_and(|it| it.voter || full || it.wish == Wish::StaysLearner)
        };
        self.add(name, addr, Place::AsItWishes, Box::new(settled)).await
    }

    /// As [`Store::add_member`], as a learner: a replica for reads, without a vote until
    /// [`Store::promote_member`]. A voter is [`Error::Rejected`].
    ///
    /// ```
    /// # quorate::blocking::run(async {
    /// # use quorate::{Builder, Network};
    /// # let network = Network::new();
    /// let n1 = Builder::new("n1").network(&network).bootstrap().start().await?;
    /// let n2 = Builder::new("n2").network(&network).start().await?;
    /// n1.store().set("k", "v").await?;
    /// n1.store().add_learner("n2", "n2").await?;
    /// assert_eq!(n2.store().get("k").await?.as_deref(), Some(&b"v"[..]));
    /// assert_eq!(n2.store().status().await?.role.as_str(), "learner");
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error`].
    pub async fn add_learner(&self, name: &str, addr: &str) -> Result<(), Error> {
        let own = name.to_owned();
        let is_in = move |status: &Status| find(status, &own).is_some();
        self.add(name, addr, Place::Learner, Box::new(is_in)).await
    }

    /// Puts the node called `new`, at `addr`, in the place of the voter `old`, which leaves for good in the same
    /// step; returns then. The new one may wait to be added, or be a learner already.
    ///
    /// ```
    /// # quorate::blocking::run(async {
    /// # use quorate::{Builder, Network};
    /// # let network = Network::new();
    /// let n1 = Builder::new("n1").network(&network).bootstrap().start().await?;
    /// let n2 = Builder::new("n2").network(&network).join(["n1"]).start().await?;
    /// let n3 = Builder::new("n3").network(&network).start().await?;
    /// n1.store().replace_member("n2", "n3", "n3").await?;
    /// let members = n3.store().status().await?.members;
    /// let names: Vec<_> = members.iter().map(|member| member.id.as_str()).collect();
    /// assert_eq!(names, ["n1", "n3"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Unknown`] when the new one is on its way, or may be, and has no vote within [`Store::timeout`];
    /// or another [`Error`].
    pub async fn replace_member(&self, old: &str, new: &str, addr: &str) -> Result<(), Error> {
        let (leaves, comes) = (old.to_owned(), votes(new));
        let done = move |status: &Status| comes(status) && find(status, &leaves).is_none();
        self.add(new, addr, Place::Of(old.to_owned()), Box::new(done)).await
    }

    /// Gives a learner a vote; returns when it has caught up and has it.
    ///
    /// ```
    /// # quorate::blocking::run(async {
    /// # use quorate::{Builder, Network};
    /// # let network = Network::new();
    /// let n1 = Builder::new("n1").network(&network).bootstrap().start().await?;
    /// let n2 = Builder::new("n2").network(&network).join(["n1"]).learner().start().await?;
    /// n1.store().promote_member("n2").await?;
    /// assert_eq!(n1.store().status().await?.members.iter().filter(|it| it.voter).count(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`Store::add_member`].
    pub async fn promote_member(&self, name: &str) -> Result<(), Error> {
        let request = AdminRequest::Promote { member: name.to_owned() };
        self.change(request, votes(name)).await
    }

    /// Takes a voter's vote away: it stays as a learner. One without which the rest has no majority is
    /// [`Error::Rejected`].
    ///
    /// ```
    /// # quorate::blocking::run(async {
    /// # use quorate::{Builder, Network};
    /// # let network = Network::new();
    /// let n1 = Builder::new("n1").network(&network).bootstrap().start().await?;
    /// let n2 = Builder::new("n2").network(&network).join(["n1"]).start().await?;
    /// n1.store().demote_member("n2").await?;
    /// assert_eq!(n1.store().status().await?.members.iter().filter(|it| it.voter).count(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error`].
    pub async fn demote_member(&self, name: &str) -> Result<(), Error> {
        let member = name.to_owned();
        let request =
            AdminRequest::Demote { member: member.clone(), caution: Caution::KeepMajority };
        let learns = move |status: &Status| find(status, &member).is_none_or(|it| !it.voter);
        self.change(request, Box::new(learns)).await
    }

    /// Removes a member, by name; it is never added again under that name. Removing a member without
    /// which the rest has no quorum is [`Error::Rejected`].
    ///
    /// ```
    /// # quorate::blocking::run(async {
    /// # use quorate::{Builder, Network};
    /// # let network = Network::new();
    /// let n1 = Builder::new("n1").network(&network).bootstrap().start().await?;
    /// let n2 = Builder::new("n2").network(&network).join(["n1"]).start().await?;
    /// n1.store().remove_member("n2").await?;
    /// assert_eq!(n1.store().status().await?.members.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error`].
    pub async fn remove_member(&self, name: impl Into<String>) -> Result<(), Error> {
        let member = name.into();
        let request = AdminRequest::Leave { member, caution: Caution::KeepMajority };
        self.change(request, Box::new(|_| true)).await
    }

    /// Hands leadership to the member called `to`, or to the one that is best placed.
    ///
    /// ```
    /// # quorate::blocking::run(async {
    /// # use quorate::{Builder, Network};
    /// # let network = Network::new();
    /// let n1 = Builder::new("n1").network(&network).bootstrap().start().await?;
    /// let n2 = Builder::new("n2").network(&network).join(["n1"]).start().await?;
    /// n1.store().transfer_leadership(Some("n2")).await?;
    /// let leads = |status: &quorate::Status| status.members.iter().any(|it| it.leader && it.id == "n2");
    /// n2.store().wait_until(leads).await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error`].
    pub async fn transfer_leadership(&self, to: Option<&str>) -> Result<(), Error> {
        let request = AdminRequest::Transfer { to: to.map(str::to_owned) };
        self.change(request, Box::new(|_| true)).await
    }

    async fn add(
        &self,
        name: &str,
        addr: &str,
        place: Place,
        until: Condition,
    ) -> Result<(), Error> {
        let mut addr = addr.to_owned();
        if self.finds_by_name() && !addr.contains(':') {
            addr.push_str(&format!(":{LOCAL_PORT}"));
        }
        self.change(AdminRequest::Join { id: Some(name.to_owned()), addr, place }, until).await
    }

    async fn change(&self, request: AdminRequest, until: Condition) -> Result<(), Error> {
        let change = Change { request, until };
        let patience = self.patience();
        match self.ask(|answer| Request::Administer(change, patience, answer)).await?? {
            AdminReply::Refused(reason) => match Reply::err(reason) {
                Reply::Error(error) => Err(Error::Rejected(error)),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}
