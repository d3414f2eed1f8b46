//! Which of a session's events were begun and done: a floor below which all is done, and a mark each for a window above.
//!
//! From what happens to events, by sequence, to the few bytes that must be written so that a restarted process knows it
//! again; pure. Guarantees: after any prefix of these writes each event that was received is either done, or comes again
//! once the session is resumed at [`Window::resume_at`], told apart if its handler may have seen it. The window is
//! bounded: an event that is not done while [`WIDTH`] newer ones came counts as done. Deliberately absent: files, locks,
//! and which session it is.

use std::collections::VecDeque;

/// How many sequences above the floor have a mark.
pub(super) const WIDTH: u64 = 8_192;

/// The most often that an event is noted to have been begun.
pub(super) const MOST_BEGUN: u8 = 63;

/// What is known of one event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mark {
    /// It was not begun.
    #[default]
    None,
    /// Its handler was begun by processes that are gone, so often.
    Broken(u8),
    /// Its handler was begun, for the so manieth time.
    Begun(u8),
    /// Its handler ended.
    Done,
    /// Nobody handles it.
    Passed,
}

/// What has to be written, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Write {
    /// The sequence up to which all is done.
    Floor(u64),
    /// One event's mark.
    Mark(u64, Mark),
}

/// What an event that was received is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// To be handled.
    Fresh,
    /// To be handled, though processes that are gone have begun to, so often.
    Redelivered(u8),
    /// Not to be handled: somebody has begun it, or is done with it.
    Skip,
}

/// The floor and the marks above it.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    floor: u64,
    marks: VecDeque<Mark>,
    received: u64,
}

impl Window {
    /// A session whose events up to `floor` need nobody any more, nor those to `skip` above it.
    pub(super) fn new(floor: u64, skip: &[u64], redelivered: &[u64]) -> Self {
        let mut window = Self { floor, marks: VecDeque::new(), received: floor };
        for sequence in skip {
            window.set(*sequence, Mark::Done);
        }
        for sequence in redelivered {
            window.broken(*sequence);
        }
        window.sink();
        window.replay();
        window
    }

    /// What a process that is gone left behind: what it had begun is broken.
    pub(super) fn left_behind(floor: u64, marks: impl IntoIterator<Item = (u64, Mark)>) -> Self {
        let mut window = Self { floor, marks: VecDeque::new(), received: floor };
        for (sequence, mark) in marks {
            let mark = if let Mark::Begun(times) = mark { Mark::Broken(times) } else { mark };
            window.set(sequence, mark);
        }
        window.sink();
        window.replay();
        window
    }

    /// The sequence up to which all is done.
    pub(super) const fn floor(&self) -> u64 {
        self.floor
    }

    /// The newest sequence that came.
    pub(super) const fn received(&self) -> u64 {
        self.received
    }

    /// How many of what was received may not be done.
    pub(super) const fn unfinished(&self) -> u64 {
        self.received.saturating_sub(self.floor)
    }

    /// All marks above the floor but those that say nothing, by rising sequence.
    pub(super) fn marks(&self) -> impl Iterator<Item = (u64, Mark)> {
        let above = (self.floor + 1..).zip(self.marks.iter().copied());
        above.filter(|(_, mark)| *mark != Mark::None)
    }

    /// The sequence up to which nothing has to come again.
    pub(super) fn resume_at(&self) -> u64 {
        let over = |mark: &&Mark| matches!(mark, Mark::Begun(_) | Mark::Done | Mark::Passed);
        self.floor + self.marks.iter().take_while(over).count() as u64
    }

    /// What above [`Self::resume_at`] has been begun.
    pub(super) fn skip(&self) -> Vec<u64> {
        let at = self.resume_at();
        let begun = |mark| matches!(mark, Mark::Begun(_) | Mark::Done);
        self.marks().filter(|(sequence, mark)| *sequence > at && begun(*mark)).map(|(at, _)| at).collect()
    }

    /// What processes that are gone had begun, and nobody has since: each as often as it was begun.
    pub(super) fn redelivered(&self) -> Vec<u64> {
        let times = |mark| if let Mark::Broken(times) = mark { usize::from(times) } else { 0 };
        self.marks().flat_map(|(at, mark)| std::iter::repeat_n(at, times(mark))).collect()
    }

    /// The session is resumed at [`Self::resume_at`]: what lies above is sent again.
    pub(super) fn replay(&mut self) {
        self.received = self.resume_at();
    }

    /// An event came. Sequences left out before it belong to nothing that will come. Also says how many events count as
    /// done by this, though they are not.
    pub(super) fn receive(&mut self, sequence: u64, write: &mut dyn FnMut(Write)) -> (Received, u64) {
        if sequence <= self.floor {
            return (Received::Skip, 0);
        }
        let overrun = self.make_room(sequence, write);
        for left_out in self.received.max(self.floor) + 1..sequence {
            if matches!(self.get(left_out), Mark::None | Mark::Broken(_)) {
                self.over(left_out, Mark::Passed, write);
            }
        }
        self.received = self.received.max(sequence);
        let received = match self.get(sequence) {
            Mark::None => Received::Fresh,
            Mark::Broken(times) => Received::Redelivered(times),
            Mark::Begun(_) | Mark::Done | Mark::Passed => Received::Skip,
        };
        (received, overrun)
    }

    /// Its handler is about to be begun.
    pub(super) fn begin(&mut self, sequence: u64, write: &mut dyn FnMut(Write)) {
        let before = match self.get(sequence) {
            Mark::None => 0,
            Mark::Broken(times) => times,
            Mark::Begun(_) | Mark::Done | Mark::Passed => return,
        };
        let begun = Mark::Begun(before.saturating_add(1).min(MOST_BEGUN));
        if self.set(sequence, begun) {
            write(Write::Mark(sequence, begun));
        }
    }

    /// Its handler ended.
    pub(super) fn done(&mut self, sequence: u64, write: &mut dyn FnMut(Write)) {
        self.over(sequence, Mark::Done, write);
    }

    /// Nobody handles it.
    pub(super) fn pass(&mut self, sequence: u64, write: &mut dyn FnMut(Write)) {
        self.over(sequence, Mark::Passed, write);
    }

    /// It was begun once more by a process that is gone.
    fn broken(&mut self, sequence: u64) {
        let before = if let Mark::Broken(times) = self.get(sequence) { times } else { 0 };
        self.set(sequence, Mark::Broken(before.saturating_add(1).min(MOST_BEGUN)));
    }

    fn over(&mut self, sequence: u64, mark: Mark, write: &mut dyn FnMut(Write)) {
        if !self.set(sequence, mark) {
            return;
        }
        if self.sink() {
            write(Write::Floor(self.floor));
        } else {
            write(Write::Mark(sequence, mark));
        }
    }

    /// Moves the floor up so far that the sequence has a place.
    fn make_room(&mut self, sequence: u64, write: &mut dyn FnMut(Write)) -> u64 {
        let Some(least) = sequence.checked_sub(WIDTH).filter(|least| *least > self.floor) else { return 0 };
        let leaving = usize::try_from(least - self.floor).unwrap_or(usize::MAX).min(self.marks.len());
        let open = |mark: &Mark| !matches!(mark, Mark::Done | Mark::Passed);
        // A mark of none may belong to a sequence that was left out, or to one that still waits to be begun.
        let overrun = self.marks.drain(..leaving).filter(open).count() as u64;
        self.floor = least;
        self.sink();
        write(Write::Floor(self.floor));
        overrun
    }

    /// The floor rises over all that is done.
    fn sink(&mut self) -> bool {
        let before = self.floor;
        while let Some(Mark::Done | Mark::Passed) = self.marks.front() {
            self.marks.pop_front();
            self.floor += 1;
        }
        self.floor > before
    }

    fn get(&self, sequence: u64) -> Mark {
        self.place(sequence).and_then(|place| self.marks.get(place)).copied().unwrap_or_default()
    }

    /// Whether the sequence has a place.
    fn set(&mut self, sequence: u64, mark: Mark) -> bool {
        let Some(place) = self.place(sequence) else { return false };
        if place >= self.marks.len() {
            self.marks.resize(place + 1, Mark::None);
        }
        self.marks[place] = mark;
        true
    }

    fn place(&self, sequence: u64) -> Option<usize> {
        let place = sequence.checked_sub(self.floor + 1)?;
        if place < WIDTH { usize::try_from(place).ok() } else { None }
    }
}

#[cfg(test)]
mod tests;
