//! Whose the shard is: taking it up, seeing that it is taken away, and what a new or a lost session means for both.
//!
//! From the record ([`crate::session::records`]), the fence and the shard's progress to the session that the next connection resumes.
//! Guarantees: nothing of the shard is connected or begun before its layout has duty and the pod owns it, while the pod is cut off, or once
//! the record names another; after that it goes on where nothing was begun, as another owner would. Deliberately absent: the
//! rules of claiming.

use std::time::Duration;

use futures::future::pending;
use shard_contract::{
    record::Session as RecordedSession,
    report::{ShardState, WaitsFor},
    whose::Duty,
};
use tokio::time::timeout;
use twilight_gateway::Session;
use twilight_model::gateway::payload::incoming::Ready;

use super::{
    Kept, ShardTask,
    link::{Ended, is_url},
};
use crate::session::{fence::Fencing, records::Claimed};

/// A connection that was online for less may have been thrown out by another owner's RESUME.
const SHORT: Duration = Duration::from_secs(30);
/// How long such a connection's end waits for the API server's word.
const WORD_WITHIN: Duration = Duration::from_secs(2);

impl ShardTask {
    /// Waits until the pod owns the shard, and takes its session up, if it has one; ends with the pod's stop too.
    /// `by_file`: the progress file may stand in for an API server that is away.
    pub(super) async fn take_up(&mut self, by_file: bool) {
        self.progress.close();
        self.let_go();
        (self.kept, self.heard_ms) = (None, None);
        self.enter(ShardState::Waiting);
        let stop = self.around.stop.clone();
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            claimed = self.own(by_file) => self.live |= claimed.live,
        }
        self.around.status.update(self.id.number(), |row| row.waits_for = None);
        if let Some((session, after)) = self.progress.resume() {
            tracing::info!(shard = self.id.number(), after, "has a session to resume");
            self.guilds.resumed(&session);
            let url = session.resume_url.filter(|url| is_url(url));
            self.kept = Some(Kept { session: Session::new(after, session.id), url });
        }
    }

    async fn own(&self, mut by_file: bool) -> Claimed {
        let mut fencing = self.around.fencing.clone();
        loop {
            self.wait_for_duty().await;
            // Nobody fences any more: that is no fence.
            let known = fencing.wait_for(|fencing| *fencing != Fencing::Unsure).await.map(|known| *known);
            // A pod that was cut off reads its records before it goes on, also where that was in its last container.
            by_file &= !matches!(known, Ok(Fencing::Fenced));
            let nobody_fences = fencing.wait_for(|fencing| *fencing == Fencing::Free).await.is_err();
            let claimed = match &self.around.records {
                Some(records) => records.claim(self.id.number(), by_file).await,
                None => Claimed { live: false },
            };
            if nobody_fences || *fencing.borrow() == Fencing::Free {
                return claimed;
            }
        }
    }

    /// Who handles nothing takes no session from those who do: its layout was made beside theirs, or nobody knows it any more.
    async fn wait_for_duty(&self) {
        let mut duty = self.around.duty.clone();
        if !duty.borrow_and_update().has_sessions() {
            self.around.status.update(self.id.number(), |row| row.waits_for = Some(WaitsFor::Duty));
            // Nobody tells of duty any more: what is known last stays, and the process ends.
            if duty.wait_for(Duty::has_sessions).await.is_err() {
                pending::<()>().await;
            }
        }
    }

    /// Ends when the shard must be closed: the pod is cut off, or its record is another pod's.
    pub(super) fn taken_away(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut fencing = self.around.fencing.clone();
        let owned = self.around.records.as_ref().and_then(|records| records.owned(self.id.number()));
        async move {
            let cut_off = async {
                if fencing.wait_for(|fencing| *fencing == Fencing::Fenced).await.is_err() {
                    pending::<()>().await;
                }
            };
            let lost = async {
                let Some(mut owned) = owned else { return pending().await };
                if owned.wait_for(|owned| !*owned).await.is_err() {
                    pending::<()>().await;
                }
            };
            tokio::select! {
                biased;
                () = cut_off => {}
                () = lost => {}
            }
        }
    }

    /// Whether the shard is still this pod's after a connection ended as it does when another owner resumes the session.
    /// An API server that does not answer leaves it so.
    pub(super) async fn is_owner_after(&self, ended: &Ended) -> bool {
        let thrown_out = match ended {
            Ended::WasOnline(online) => *online < SHORT || self.kept.is_none(),
            Ended::SessionGone | Ended::ClosedOnResume => true,
            _ => false,
        };
        let Some(records) = self.around.records.as_ref().filter(|_| thrown_out) else { return true };
        tokio::select! {
            biased;
            () = self.around.stop.cancelled() => true,
            word = timeout(WORD_WITHIN, records.names_me(self.id.number())) => word.ok().flatten().unwrap_or(true),
        }
    }

    /// READY came: the session is kept before any of its events are handed on.
    pub(super) fn begin_session(&self, ready: &Ready, sequence: u64) {
        let (shard, url) = (self.id.number(), ready.resume_gateway_url.clone());
        self.progress.begin_session(RecordedSession {
            id: ready.session_id.clone(),
            resume_url: Some(url).filter(|url| is_url(url)),
            intents: self.around.connector.intents().bits(),
            guilds: u32::try_from(ready.guilds.len()).unwrap_or(u32::MAX),
            guilds_at: sequence,
        });
        if let Some(records) = &self.around.records {
            records.ready(shard);
        }
    }

    /// The session cannot be resumed any more.
    pub(super) fn forget_session(&mut self) {
        self.kept = None;
        if self.progress.header().session.is_some() {
            self.progress.lose_session();
        }
    }
}
