//! The reasons that conditions and events carry.
//!
//! One list, so that a runbook can have a page for each. The name of a variant is what users see; it never changes once
//! released. Deliberately absent: messages, which say what was found and are made where it was found.

/// Why something stands as it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::IntoStaticStr)]
pub enum Reason {
    /// Every shard is connected and the spec is reached.
    Online,
    /// `spec.shards` is 0.
    Stopped,
    /// Shards wait for their turn to identify, or for READY.
    Identifying,
    /// Pods are being started.
    StartingPods,
    /// The old layout is being stopped before the next one starts.
    Recreating,
    /// The change needs more IDENTIFYs than are left.
    WaitingForBudget,
    /// `spec.paused` holds a change.
    Paused,
    /// Discord does not answer.
    DiscordUnreachable,
    /// Other ShardedBots have not been looked at yet, or the fleet has not been heard yet.
    Initializing,
    /// Discord has not been asked yet.
    AskingDiscord,
    /// A field whose behaviour this version does not have.
    NotSupported,
    /// A field of the spec cannot be read by this version.
    SpecUnreadable,
    /// The Secret is missing.
    SecretMissing,
    /// The Secret's key is missing.
    TokenKeyMissing,
    /// The Secret's value is no token.
    TokenUnusable,
    /// The Secret is immutable and was made anew: pods hold the token before.
    TokenImmutable,
    /// Discord refuses the token: 401 or close 4004.
    TokenRefused,
    /// An older ShardedBot holds the same token.
    TokenInUse,
    /// Discord refuses the total: close 4010.
    TotalRefused,
    /// A shard has more than 2,500 guilds: close 4011.
    ShardingRequired,
    /// Discord refuses the intents: close 4013 or 4014.
    IntentsRefused,
    /// The API server refuses the pod template.
    TemplateRefused,
    /// A StatefulSet of the bot lost the marks that say what it is.
    SetUnreadable,
    /// A name that the bot needs is taken by an object that is not ours.
    NameTaken,
    /// A quota refuses an object.
    QuotaExceeded,
    /// Pods do not run; quoted.
    PodsFailing,
    /// The API server refused or failed a request of the operator.
    ApiServerError,
    /// Some shards are without a connection.
    ShardsOffline,
    /// The node of some pods does not answer.
    NodeLost,
    /// An object was missing or edited and was put back.
    DriftCorrected,
    /// The spec of an object was edited and was put back.
    EditPutBack,
    /// `kubectl rollout restart` restarts nothing here, and was put back.
    RestartPutBack,
    /// Nothing is under way.
    Idle,
    /// Enough IDENTIFYs are left.
    BudgetLeft,
    /// Only the reserve is left.
    BudgetLow,
    /// No IDENTIFY is left today.
    BudgetSpent,
    /// IDENTIFYs were burned without READY.
    BreakerOpen,
    /// IDENTIFYs reach READY.
    BreakerClosed,
    /// Somebody else uses the token.
    TokenShared,
    /// Nobody else uses the token.
    TokenExclusive,
    /// Another installation watches the namespace as well.
    InstallationContested,
    /// No other installation watches the namespace.
    InstallationExclusive,
    /// Pods identify by the fallback schedule, without the gate.
    FallbackSchedule,
    /// Pods found themselves cut off and let their shards go.
    PodsIsolated,
    /// The pods that report reach the gate.
    GateReached,
    /// Discord answered lately.
    Answered,
    /// Nothing is known yet.
    Unknown,
}

impl Reason {
    /// As it stands in conditions and events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
