//! Whether a pod may have a shard, and where its session goes on: the rules of `docs/protocols.md` section 3.
//!
//! From the record, the pod's own progress file and the layouts document to what is written and what follows; pure. The
//! rules in one sentence: only a parked record, or one's own file, says where to resume; what is held by a pod that is
//! gone, or by oneself without a file, is identified anew; what is held by another layout's living pod is left to it, and
//! the shard goes on as a guest, with a session that no record knows. Deliberately absent: reading and writing.

use shard_contract::{
    layouts::Layouts,
    record::{Owner, Record, Session, State},
    report::WaitsFor,
};

use crate::session::progress::{Checkpoint, Header};

/// Who claims.
#[derive(Clone, Debug)]
pub(crate) struct Me {
    /// As records name it.
    pub(crate) owner: Owner,
    /// What the bot wants Discord to send; a session with other intents is of no use.
    pub(crate) intents: u64,
}

/// What to do about one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one exists at a time, and is taken apart at once")]
pub(super) enum Claim {
    /// The record names this pod already: go on.
    Have,
    /// Write this, and when it is written go on.
    Write(Record, Then),
    /// Another layout has it: go on without a record.
    Guest,
    /// Its owner's layout is not named in the document that is known: read the document and decide again.
    Look,
    /// Not now, because of this.
    Wait(WaitsFor),
}

/// How a shard goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// As the progress file says.
    File,
    /// With the session of a record that was parked.
    TakeOver(Checkpoint),
    /// With an IDENTIFY; whether users were served before.
    Identify { live: bool },
}

/// Decides. `fresh`: the document was read just now and not from a cache. `alone`: this pod is surely the only one of its name.
pub(super) fn decide(
    me: &Me,
    file: &Header,
    record: Option<&Record>,
    layouts: &Layouts,
    fresh: bool,
    alone: bool,
) -> Claim {
    let Some(record) = record else {
        return if file.rev > 0 { take_anew(me, file, 0) } else { Claim::Wait(WaitsFor::Record) };
    };
    let Some(owner) = record.owner.as_ref().filter(|_| record.state != State::Free) else {
        return take_anew(me, file, record.rev);
    };
    let of_own = own_session(me, file).is_some() && never_held(file);
    match record.state {
        State::Parked if !of_own => take_over(me, record),
        State::Parked => take_anew(me, file, record.rev),
        State::Held | State::Free if *owner == me.owner => held_by_me(me, file, record),
        State::Held | State::Free => match left_by(me, owner, layouts) {
            // This pod had the shard and was replaced: taking it back would go on for ever. Or the record is an older one that
            // was put back. A claim that was begun and may yet land is none that it had; the next one stands above it.
            Left::SameLayout if file.rev > 0 && !alone => Claim::Wait(WaitsFor::AnotherPod),
            Left::SameLayout => identify_anew(me, file, record),
            Left::NoLayout if fresh => identify_anew(me, file, record),
            Left::NoLayout => Claim::Look,
            Left::Not if never_held(file) => Claim::Guest,
            Left::Not => Claim::Wait(WaitsFor::AnotherLayout),
        },
    }
}

/// Whether, and how, an owner that is not this pod is gone.
enum Left {
    /// The API server gave its name to this pod.
    SameLayout,
    /// Nobody names its layout any more.
    NoLayout,
    /// It is not.
    Not,
}

fn left_by(me: &Me, owner: &Owner, layouts: &Layouts) -> Left {
    if owner.layout == me.owner.layout {
        Left::SameLayout
    } else if layouts.layouts.iter().all(|layout| layout.number != owner.layout) {
        Left::NoLayout
    } else {
        Left::Not
    }
}

/// Whether this pod's session, if it has one, is one that no record has known.
const fn never_held(file: &Header) -> bool {
    file.rev == 0 && file.writing.is_none()
}

fn held_by_me(me: &Me, file: &Header, record: &Record) -> Claim {
    let landed = file.writing.is_some_and(|writing| writing.rev == record.rev);
    let believed = landed || file.rev == record.rev;
    if !believed || own_session(me, file).is_none() {
        return Claim::Write(held(me, None, newest(file, record.rev) + 1), Then::Identify { live: true });
    }
    match file.writing {
        // It can still land, and must not: another write takes its place.
        Some(writing) if writing.firm && !landed => take_anew(me, file, record.rev),
        _ => Claim::Have,
    }
}

/// Claims what nobody else has, with the session that the file knows, if it does.
fn take_anew(me: &Me, file: &Header, rev: u64) -> Claim {
    let session = own_session(me, file).cloned();
    let then = match session {
        Some(_) => Then::File,
        None => Then::Identify { live: !never_held(file) },
    };
    Claim::Write(held(me, session, newest(file, rev) + 1), then)
}

/// Claims what an owner that is gone left; its session may have brought it more than the record says.
fn identify_anew(me: &Me, file: &Header, record: &Record) -> Claim {
    match own_session(me, file).filter(|_| never_held(file)) {
        Some(own) => Claim::Write(held(me, Some(own.clone()), record.rev + 1), Then::File),
        None => Claim::Write(held(me, None, newest(file, record.rev) + 1), Then::Identify { live: true }),
    }
}

fn take_over(me: &Me, record: &Record) -> Claim {
    let rev = record.rev + 1;
    let same = |session: &&Session| session.intents == me.intents;
    match (record.session.as_ref().filter(same), record.after) {
        (Some(session), Some(after)) => {
            let (skip, redelivered) = (record.skip.clone(), record.redelivered.clone());
            let checkpoint = Checkpoint { session: Some(session.clone()), after, skip, redelivered };
            Claim::Write(held(me, Some(session.clone()), rev), Then::TakeOver(checkpoint))
        }
        _ => Claim::Write(held(me, None, rev), Then::Identify { live: true }),
    }
}

fn own_session<'a>(me: &Me, file: &'a Header) -> Option<&'a Session> {
    file.session.as_ref().filter(|session| session.intents == me.intents)
}

/// A `rev` that no write on its way can have.
fn newest(file: &Header, rev: u64) -> u64 {
    rev.max(file.rev).max(file.writing.map_or(0, |writing| writing.rev))
}

/// A record as its holder writes it.
pub(super) fn held(me: &Me, session: Option<Session>, rev: u64) -> Record {
    Record { rev, owner: Some(me.owner.clone()), state: State::Held, session, ..Record::default() }
}

/// A record as its holder leaves it.
pub(super) fn parked(
    me: &Me,
    Checkpoint { session, after, skip, redelivered }: Checkpoint,
    rev: u64,
) -> Record {
    let resumable = session.is_some();
    Record {
        rev,
        owner: Some(me.owner.clone()),
        state: State::Parked,
        session,
        after: resumable.then_some(after),
        skip: if resumable { skip } else { Vec::new() },
        redelivered: if resumable { redelivered } else { Vec::new() },
        ..Record::default()
    }
}

#[cfg(test)]
mod tests {
    use shard_contract::layouts::{Layout, Role};

    use super::*;
    use crate::session::progress::Writing;

    const INTENTS: u64 = 513;

    fn owner(layout: u32, uid: &str) -> Owner {
        Owner { layout, pod_uid: uid.into() }
    }

    fn me() -> Me {
        Me { owner: owner(2, "me"), intents: INTENTS }
    }

    fn session(id: &str) -> Session {
        Session { id: id.into(), resume_url: None, intents: INTENTS, guilds: 1, guilds_at: 1 }
    }

    fn layouts(numbers: &[u32]) -> Layouts {
        let layout = |number| Layout {
            number,
            total: 4,
            pods: 1,
            role: Role::Active,
            session_group: 0,
            fallback_slot: 0,
        };
        Layouts { layouts: numbers.iter().copied().map(layout).collect(), ..Layouts::default() }
    }

    fn file(rev: u64, session_id: Option<&str>, writing: Option<(u64, bool)>) -> Header {
        let writing = writing.map(|(rev, firm)| Writing { rev, firm });
        Header { pod_uid: "me".into(), rev, writing, session: session_id.map(session) }
    }

    fn held_by(by: &Owner, rev: u64) -> Record {
        Record {
            rev,
            owner: Some(by.clone()),
            state: State::Held,
            session: Some(session("old")),
            ..Record::default()
        }
    }

    fn parked_by(by: &Owner, intents: u64) -> Record {
        let session = Some(Session { intents, ..session("parked") });
        Record {
            rev: 8,
            owner: Some(by.clone()),
            state: State::Parked,
            session,
            after: Some(40),
            skip: vec![42],
            ..Record::default()
        }
    }

    /// What a case comes to, in short: what is written as `rev` and session, and what follows.
    fn short(claim: Claim) -> String {
        match claim {
            Claim::Write(record, then) => {
                assert_eq!((record.owner, record.state), (Some(me().owner), State::Held));
                let session = record.session.map_or("none".to_owned(), |session| session.id);
                let then = match then {
                    Then::File => "resume by the file".to_owned(),
                    Then::TakeOver(checkpoint) => {
                        format!("resume at {} but {:?}", checkpoint.after, checkpoint.skip)
                    }
                    Then::Identify { live: true } => "identify as live".to_owned(),
                    Then::Identify { live: false } => "identify".to_owned(),
                };
                format!("write {} with {session}, {then}", record.rev)
            }
            Claim::Have => "go on".to_owned(),
            Claim::Guest => "guest".to_owned(),
            Claim::Look => "look".to_owned(),
            Claim::Wait(_) => "wait".to_owned(),
        }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "one table")]
    fn the_rules_of_claiming() {
        let (mine, twin, old) = (owner(2, "me"), owner(2, "twin"), owner(1, "old"));
        let (none, new) = (None, Header::default());
        let free = Record::default();
        let guest = file(0, Some("mine"), None);
        let believed = file(7, Some("mine"), None);
        let mut other_intents = file(7, Some("mine"), None);
        other_intents.session.as_mut().unwrap().intents = 1;
        let cases: Vec<(&str, Option<Record>, Header, &str)> = vec![
            ("nobody made it yet", none.clone(), new.clone(), "wait"),
            (
                "deleted under its holder",
                none.clone(),
                believed.clone(),
                "write 8 with mine, resume by the file",
            ),
            (
                "deleted under a holder without session",
                none,
                file(7, None, None),
                "write 8 with none, identify as live",
            ),
            ("free", Some(free.clone()), new.clone(), "write 1 with none, identify"),
            (
                "made anew under its holder",
                Some(free.clone()),
                believed.clone(),
                "write 8 with mine, resume by the file",
            ),
            ("free, for a guest", Some(free), guest.clone(), "write 1 with mine, resume by the file"),
            ("own, believed", Some(held_by(&mine, 7)), believed.clone(), "go on"),
            (
                "own, another rev",
                Some(held_by(&mine, 9)),
                believed.clone(),
                "write 10 with none, identify as live",
            ),
            (
                "own, without file",
                Some(held_by(&mine, 7)),
                new.clone(),
                "write 8 with none, identify as live",
            ),
            (
                "own, other intents",
                Some(held_by(&mine, 7)),
                other_intents,
                "write 8 with none, identify as live",
            ),
            (
                "own, a session may be noted late",
                Some(held_by(&mine, 7)),
                file(7, Some("mine"), Some((8, false))),
                "go on",
            ),
            (
                "own, the session was noted",
                Some(held_by(&mine, 8)),
                file(7, Some("mine"), Some((8, false))),
                "go on",
            ),
            (
                "own, a park may land",
                Some(held_by(&mine, 7)),
                file(7, Some("mine"), Some((8, true))),
                "write 9 with mine, resume by the file",
            ),
            (
                "own, the claim had landed",
                Some(held_by(&mine, 9)),
                file(0, Some("mine"), Some((9, true))),
                "go on",
            ),
            (
                "parked",
                Some(parked_by(&old, INTENTS)),
                new.clone(),
                "write 9 with parked, resume at 40 but [42]",
            ),
            (
                "parked by oneself",
                Some(parked_by(&mine, INTENTS)),
                believed.clone(),
                "write 9 with parked, resume at 40 but [42]",
            ),
            (
                "parked with other intents",
                Some(parked_by(&old, 1)),
                new.clone(),
                "write 9 with none, identify as live",
            ),
            (
                "parked, for a guest",
                Some(parked_by(&old, INTENTS)),
                guest.clone(),
                "write 9 with mine, resume by the file",
            ),
            (
                "held by the pod before this one",
                Some(held_by(&twin, 7)),
                new.clone(),
                "write 8 with none, identify as live",
            ),
            (
                "held by the pod before this one, after a claim of which nothing is known",
                Some(held_by(&twin, 7)),
                file(0, None, Some((8, true))),
                "write 9 with none, identify as live",
            ),
            ("held by the pod after this one", Some(held_by(&twin, 9)), believed.clone(), "wait"),
            ("held by a living layout", Some(held_by(&old, 7)), new.clone(), "guest"),
            ("held by a living layout, had before", Some(held_by(&old, 9)), believed, "wait"),
            (
                "held by a layout that is gone",
                Some(held_by(&owner(9, "x"), 7)),
                new,
                "write 8 with none, identify as live",
            ),
            (
                "held by a layout that is gone, for a guest",
                Some(held_by(&owner(9, "x"), 7)),
                guest,
                "write 8 with mine, resume by the file",
            ),
        ];
        for (case, record, file, expected) in cases {
            let claim = decide(&me(), &file, record.as_ref(), &layouts(&[1, 2]), true, false);
            assert_eq!(short(claim), expected, "{case}");
        }
    }

    #[test]
    fn a_pod_that_is_the_only_one_of_its_name_claims_what_names_another() {
        let (twin, old) = (held_by(&owner(2, "twin"), 9), held_by(&owner(1, "old"), 9));
        let claim = |record| decide(&me(), &file(7, None, None), Some(record), &layouts(&[1, 2]), true, true);
        assert_eq!(short(claim(&twin)), "write 10 with none, identify as live");
        assert_eq!(claim(&old), Claim::Wait(WaitsFor::AnotherLayout), "that layout's pods claim it");
    }

    #[test]
    fn a_layout_that_a_cached_document_does_not_name_may_be_a_newer_one() {
        let record = held_by(&owner(3, "x"), 7);
        assert_eq!(
            decide(&me(), &Header::default(), Some(&record), &layouts(&[2]), false, false),
            Claim::Look
        );
    }

    #[test]
    fn nothing_is_resumed_by_a_parked_record_without_a_session() {
        let parked = parked(&me(), Checkpoint { after: 3, skip: vec![5], ..Checkpoint::default() }, 4);
        assert_eq!((parked.after, parked.skip.len(), parked.session.is_none()), (None, 0, true));
    }
}
