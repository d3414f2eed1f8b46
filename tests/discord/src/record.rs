//! The recorder behind the ledger: counters for ever, details in windows of fixed size.
//!
//! From: entry, the gateway, REST, chat, each telling what just happened. For: `Ledger` snapshots.
//! Deliberately absent: anything that rules depend on. Nothing reads the record to decide.

pub mod coverage;
pub mod events;

use std::collections::{BTreeMap, VecDeque};

use coverage::Coverage;
use events::Events;

use crate::ledger::{Close, Identify, InteractionCounts, MessageCounts, RestCount, Resume, Side, Violation};

/// Distinct route and status pairs are few: routes are templates.
type RestCounts = BTreeMap<(String, u16), u64>;

/// What happened so far.
#[derive(Debug)]
pub struct Record {
    /// IDENTIFYs.
    pub identifies: Log<Identify>,
    /// Those that led to READY.
    pub identifies_accepted: u64,
    /// RESUMEs.
    pub resumes: Log<Resume>,
    /// Those that led to RESUMED.
    pub resumes_accepted: u64,
    /// Rules broken.
    pub violations: Log<Violation>,
    /// Ends of connections.
    pub closes: Log<Close>,
    /// Those from the client's side, by code.
    pub client_closes: BTreeMap<String, u64>,
    /// Those from the simulator's side, by code.
    pub server_closes: BTreeMap<String, u64>,
    /// Connections cut because the client did not read.
    pub cut_off: u64,
    /// Tokens reset.
    pub token_resets: u64,
    /// IDENTIFYs and RESUMEs with a token that is not good.
    pub bad_tokens: u64,
    /// Calls of routes that do not exist.
    pub unknown_routes: Log<String>,
    /// REST calls that count as invalid.
    pub invalid_requests: u64,
    /// Time of the first IDENTIFY.
    pub first_identify_at_ms: Option<u64>,
    /// Time of the last READY.
    pub last_ready_at_ms: Option<u64>,
    /// Messages.
    pub messages: MessageCounts,
    /// Events that users made.
    pub events: Events,
    /// Shards and their connections.
    pub coverage: Coverage,
    /// Uses of commands.
    pub interactions: InteractionCounts,
    /// Calls of REST that a fault hit, by its kind.
    pub faults: BTreeMap<String, u64>,
    rest: RestCounts,
}

/// A count of everything and the last entries.
#[derive(Debug)]
pub struct Log<T> {
    /// Entries ever made.
    pub count: u64,
    kept: VecDeque<T>,
    capacity: usize,
}

impl<T: Clone> Log<T> {
    fn new(capacity: usize) -> Self {
        Self { count: 0, kept: VecDeque::new(), capacity }
    }

    /// Adds an entry.
    pub fn push(&mut self, entry: T) {
        self.insert(self.kept.len(), entry);
    }

    /// Adds an entry before all whose time is later: what came first may be read last.
    fn push_by_time(&mut self, entry: T, time: impl Fn(&T) -> u64) {
        self.insert(self.kept.partition_point(|kept| time(kept) <= time(&entry)), entry);
    }

    fn insert(&mut self, at: usize, entry: T) {
        self.count += 1;
        self.kept.insert(at, entry);
        if self.kept.len() > self.capacity {
            self.kept.pop_front();
        }
    }

    /// The last entries, oldest first.
    pub fn last(&self) -> Vec<T> {
        self.kept.iter().cloned().collect()
    }
}

impl Record {
    /// A record that keeps the details of so many events.
    pub fn new(events: usize) -> Self {
        Self {
            identifies: Log::new(10_000),
            identifies_accepted: 0,
            resumes: Log::new(1000),
            resumes_accepted: 0,
            violations: Log::new(1000),
            closes: Log::new(1000),
            client_closes: BTreeMap::new(),
            server_closes: BTreeMap::new(),
            cut_off: 0,
            token_resets: 0,
            bad_tokens: 0,
            unknown_routes: Log::new(100),
            invalid_requests: 0,
            first_identify_at_ms: None,
            last_ready_at_ms: None,
            messages: MessageCounts::default(),
            events: Events::new(events),
            coverage: Coverage::default(),
            interactions: InteractionCounts::default(),
            faults: BTreeMap::new(),
            rest: RestCounts::new(),
        }
    }

    /// An IDENTIFY and what became of it, now.
    pub fn identify(&mut self, identify: Identify, now_ms: u64) {
        let first = self.first_identify_at_ms.get_or_insert(identify.at_ms);
        *first = identify.at_ms.min(*first);
        if identify.accepted {
            self.identifies_accepted += 1;
            self.last_ready_at_ms = Some(now_ms);
        }
        self.identifies.push_by_time(identify, |one| one.at_ms);
    }

    /// A RESUME and what became of it.
    pub fn resume(&mut self, resume: Resume) {
        self.resumes_accepted += u64::from(resume.accepted);
        self.resumes.push(resume);
    }

    /// The end of a connection.
    pub fn close(&mut self, close: Close) {
        let code = close.code.map_or_else(|| "none".to_owned(), |code| code.to_string());
        let side = match close.by {
            Side::Client => &mut self.client_closes,
            Side::Server => &mut self.server_closes,
        };
        // A client may invent codes; those that are already there go on being counted.
        let code = if side.len() < 200 || side.contains_key(&code) { code } else { "other".to_owned() };
        *side.entry(code).or_default() += 1;
        self.closes.push(close);
    }

    /// A REST call of a known route, and whether it counts as invalid.
    pub fn rest(&mut self, route: &str, status: u16, is_invalid: bool) {
        self.invalid_requests += u64::from(is_invalid);
        let key = (route.to_owned(), status);
        // Methods can be invented; routes and statuses are few.
        let key = if self.rest.len() < 1000 || self.rest.contains_key(&key) {
            key
        } else {
            ("other".to_owned(), status)
        };
        *self.rest.entry(key).or_default() += 1;
    }

    /// REST calls by route and status.
    pub fn rest_counts(&self) -> Vec<RestCount> {
        let counts = self.rest.iter();
        counts
            .map(|((route, status), count)| RestCount {
                route: route.clone(),
                status: *status,
                count: *count,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_counts_everything_and_keeps_the_last() {
        let mut log = Log::new(2);
        for entry in 1..=5 {
            log.push(entry);
        }
        assert_eq!((log.count, log.last()), (5, vec![4, 5]));
    }

    #[test]
    fn what_came_first_and_is_read_last_stands_first() {
        let mut log = Log::new(3);
        for entry in [(1, 'a'), (4, 'b'), (4, 'c'), (2, 'd')] {
            log.push_by_time(entry, |entry| entry.0);
        }
        assert_eq!((log.count, log.last()), (4, vec![(2, 'd'), (4, 'b'), (4, 'c')]));
    }

    #[test]
    fn invented_close_codes_do_not_grow_the_ledger_without_end() {
        let mut record = Record::new(10);
        for code in 3000..4000 {
            let close = Close {
                at_ms: 0,
                by: Side::Client,
                code: Some(code),
                reason: None,
                session_id: None,
                shard: None,
                total: None,
            };
            record.close(close);
        }
        assert_eq!(record.client_closes.len(), 201);
        assert_eq!(record.client_closes["other"], 800);
    }
}
