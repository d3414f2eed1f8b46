//! Progress over processes: what a killed one leaves, what a stop leaves to the next owner.

use super::*;

fn session(id: &str) -> Session {
    Session { id: id.into(), resume_url: None, intents: 513, guilds: 1, guilds_at: 1 }
}

fn kept(folder: &Path) -> Arc<Progress> {
    Progress::kept(folder, 0, 3, "uid")
}

#[test]
fn a_killed_process_leaves_what_it_had_begun_to_be_handled_again() {
    let folder = tempfile::tempdir().unwrap();
    let progress = kept(folder.path());
    progress.written(4);
    progress.begin_session(session("a"));
    let mut tickets: Vec<_> = (1..=5).map(|sequence| progress.receive(sequence).unwrap()).collect();
    assert!(tickets[..4].iter_mut().all(Ticket::begin));
    drop(tickets.remove(2));
    drop(tickets.remove(0));
    // The process is killed: nothing is dropped in an orderly way.
    tickets.into_iter().for_each(std::mem::forget);

    let next = kept(folder.path());
    assert_eq!(next.header().rev, 4);
    assert_eq!(next.resume(), Some((session("a"), 1)));
    let marks: Vec<_> =
        (2..=6).map(|sequence| next.receive(sequence).map(|ticket| ticket.begun_before())).collect();
    assert_eq!(marks, [Some(1), None, Some(1), Some(0), Some(0)]);
}

#[test]
fn after_closing_nothing_begins_and_the_next_owner_gets_the_rest() {
    let progress = Progress::unkept(0);
    progress.begin_session(session("a"));
    let mut tickets: Vec<_> = (1..=4).map(|sequence| progress.receive(sequence).unwrap()).collect();
    assert!(tickets[0].begin() && tickets[1].begin());
    progress.close();
    assert!(!tickets[2].begin());
    let checkpoint = progress.checkpoint();
    assert_eq!(
        checkpoint,
        Checkpoint { session: Some(session("a")), after: 2, skip: vec![], redelivered: vec![] }
    );
    drop(tickets);

    let next = Progress::unkept(0);
    next.take_over(&checkpoint);
    assert_eq!(next.resume(), Some((session("a"), 2)));
    assert_eq!(next.receive(3).unwrap().begun_before(), 0);
}

#[test]
fn what_ends_late_is_not_noted_in_the_next_session() {
    let progress = Progress::unkept(0);
    progress.begin_session(session("a"));
    let mut late = progress.receive(1).unwrap();
    let mut later = progress.receive(2).unwrap();
    assert!(late.begin());
    progress.begin_session(session("b"));
    let _one = progress.receive(1).unwrap();
    drop(late);
    assert!(later.begin(), "what the old session brought is still handled");
    drop(later);
    assert_eq!(progress.resume(), Some((session("b"), 0)));
}

#[test]
fn another_pods_file_and_garbage_are_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    kept(folder.path()).begin_session(session("a"));
    assert_eq!(Progress::kept(folder.path(), 0, 3, "other").resume(), None);
    std::fs::write(folder.path().join("0.3"), b"garbage").unwrap();
    assert_eq!(kept(folder.path()).resume(), None);
    kept(folder.path()).begin_session(session("b"));
    assert_eq!(kept(folder.path()).resume(), Some((session("b"), 0)), "and it is written anew");
}

#[test]
fn a_note_of_a_write_outlives_the_process_and_its_end_too() {
    let folder = tempfile::tempdir().unwrap();
    let progress = kept(folder.path());
    progress.writing(7, true);
    assert_eq!(kept(folder.path()).header().writing, Some(Writing { rev: 7, firm: true }));
    progress.written(7);
    assert_eq!((kept(folder.path()).header().rev, kept(folder.path()).header().writing), (7, None));
}
