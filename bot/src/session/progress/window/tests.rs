//! The window by its promise: after any prefix of its writes nothing is lost and nothing is repeated unmarked.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// What stands in the file.
#[derive(Clone, Debug, Default)]
struct Disk {
    floor: u64,
    marks: BTreeMap<u64, Mark>,
}

impl Disk {
    fn write(&mut self, write: Write) {
        match write {
            Write::Floor(floor) => self.floor = floor,
            Write::Mark(sequence, mark) => drop(self.marks.insert(sequence, mark)),
        }
    }

    fn load(&self) -> Window {
        let within = self.floor + 1..=self.floor + WIDTH;
        Window::left_behind(self.floor, self.marks.range(within).map(|(at, mark)| (*at, *mark)))
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The next event comes, after so many sequences that mean nothing.
    Receive { left_out: u64, handled: bool },
    /// The oldest event that waits is begun.
    Begin,
    /// One of those that run ends.
    End(prop::sample::Index),
    /// The process dies, when so many of the next step's writes have been made.
    Crash { after: usize },
    /// The connection is closed on purpose and the session resumed by the same process.
    Resume,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (prop_oneof![9 => Just(0_u64), 1 => 1..4_u64], prop::bool::weighted(0.6))
            .prop_map(|(left_out, handled)| Step::Receive { left_out, handled }),
        5 => Just(Step::Begin),
        4 => any::<prop::sample::Index>().prop_map(Step::End),
        1 => (0..3_usize).prop_map(|after| Step::Crash { after }),
        1 => Just(Step::Resume),
    ]
}

/// What handlers have seen of one event.
#[derive(Clone, Debug, Default, PartialEq)]
struct Seen {
    handled: bool,
    begun: u32,
    begun_unmarked: u32,
    ended: bool,
}

/// A process, what Discord keeps, and what handlers saw over all processes.
#[derive(Default)]
struct World {
    window: Window,
    disk: Disk,
    events: BTreeMap<u64, Seen>,
    newest: u64,
    waiting: VecDeque<(u64, bool)>,
    running: Vec<u64>,
    /// Writes of the next step that still reach the file; none: the process lives.
    dies_after: Option<usize>,
}

impl World {
    fn act(&mut self, act: impl FnOnce(&mut Window, &mut dyn FnMut(Write))) -> bool {
        let (disk, left) = (&mut self.disk, self.dies_after);
        let mut made = 0;
        act(&mut self.window, &mut |write| {
            if left.is_none_or(|left| made < left) {
                disk.write(write);
            }
            made += 1;
        });
        left.is_none()
    }

    fn take(&mut self, sequence: u64) {
        let mut what = Received::Skip;
        let alive = self.act(|window, write| what = window.receive(sequence, write).0);
        if !alive {
            return;
        }
        if what == Received::Skip {
            return;
        }
        if self.events[&sequence].handled {
            self.waiting.push_back((sequence, matches!(what, Received::Redelivered(_))));
        } else {
            self.act(|window, write| window.pass(sequence, write));
        }
    }

    fn replay(&mut self) {
        self.waiting.clear();
        self.window.replay();
        let from = self.window.resume_at() + 1;
        let missed: Vec<u64> = self.events.range(from..).map(|(at, _)| *at).collect();
        for sequence in missed {
            self.take(sequence);
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Receive { left_out, handled } => {
                self.newest += left_out + 1;
                self.events.insert(self.newest, Seen { handled, ..Seen::default() });
                self.take(self.newest);
            }
            Step::Begin => {
                if let Some((sequence, redelivered)) = self.waiting.pop_front()
                    && self.act(|window, write| window.begin(sequence, write))
                {
                    let seen = self.events.get_mut(&sequence).unwrap();
                    seen.begun += 1;
                    seen.begun_unmarked += u32::from(!redelivered);
                    self.running.push(sequence);
                }
            }
            Step::End(which) => {
                if !self.running.is_empty() {
                    let sequence = self.running.swap_remove(which.index(self.running.len()));
                    self.events.get_mut(&sequence).unwrap().ended = true;
                    self.act(|window, write| window.done(sequence, write));
                }
            }
            Step::Crash { after } => {
                self.dies_after = Some(after);
                return;
            }
            Step::Resume => self.replay(),
        }
        if self.dies_after.take().is_some() {
            self.running.clear();
            self.window = self.disk.load();
            self.replay();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_nothing_is_repeated_unmarked(steps in prop::collection::vec(step(), 0..120)) {
        let mut world = World::default();
        for step in steps {
            world.step(step);
        }
        // What is left runs to its end.
        if world.dies_after.take().is_some() {
            world.running.clear();
            world.window = world.disk.load();
            world.replay();
        }
        while !world.waiting.is_empty() {
            world.step(Step::Begin);
        }
        for (sequence, seen) in &world.events {
            prop_assert_eq!(seen.begun > 0, seen.handled, "{}: {:?}", sequence, seen);
            prop_assert!(seen.begun_unmarked <= 1, "{}: {:?}", sequence, seen);
        }
        for sequence in std::mem::take(&mut world.running) {
            world.act(|window, write| window.done(sequence, write));
        }
        prop_assert_eq!(world.window.floor(), world.newest);
        prop_assert_eq!(world.disk.load().resume_at(), world.newest);
    }

    #[test]
    fn who_takes_over_begins_exactly_what_was_not_begun(steps in prop::collection::vec(step(), 0..120)) {
        let mut world = World::default();
        for step in steps {
            world.step(step);
        }
        if world.dies_after.take().is_some() {
            world.running.clear();
            world.window = world.disk.load();
        }
        let (after, skip, redelivered) = (world.window.resume_at(), world.window.skip(), world.window.redelivered());
        let mut next = Window::new(after, &skip, &redelivered);
        prop_assert_eq!(next.resume_at(), after);
        for (sequence, seen) in &world.events {
            let received = next.receive(*sequence, &mut |_| ()).0;
            match received {
                Received::Fresh => prop_assert_eq!(seen.begun, 0, "{}", sequence),
                Received::Skip => prop_assert!(!seen.handled || seen.begun > 0, "{}", sequence),
                Received::Redelivered(times) => {
                    // A process may have died after it had noted the begin and before it began.
                    prop_assert!(u32::from(times) >= seen.begun.max(1), "{}", sequence);
                    let named = redelivered.iter().filter(|named| *named == sequence).count();
                    prop_assert_eq!(named, usize::from(times), "{}", sequence);
                }
            }
        }
    }
}

#[test]
fn a_handler_that_never_ends_does_not_stop_the_shard() {
    let (mut window, mut disk) = (Window::default(), Disk::default());
    let mut overruns = 0;
    for sequence in 1..=3 * WIDTH {
        let (received, overrun) = window.receive(sequence, &mut |write| disk.write(write));
        assert_eq!(received, Received::Fresh);
        overruns += overrun;
        window.begin(sequence, &mut |write| disk.write(write));
        if sequence != 5 {
            window.done(sequence, &mut |write| disk.write(write));
        }
    }
    assert_eq!((overruns, window.floor()), (1, 3 * WIDTH));
    window.done(5, &mut |_| panic!("it counts as done"));
    assert_eq!(disk.load().floor(), 3 * WIDTH);
}

#[test]
fn a_jump_beyond_the_window_is_bounded() {
    let mut window = Window::default();
    assert_eq!(window.receive(u64::MAX - 1, &mut |_| ()), (Received::Fresh, 0));
    assert!(window.marks().count() as u64 <= WIDTH);
    assert_eq!(window.receive(3, &mut |_| ()).0, Received::Skip, "below the floor");
}
