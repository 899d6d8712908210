//! What raft-rs reads of the log: the entries since the last compaction, in memory.

use std::collections::VecDeque;
use std::sync::Mutex;

use raft::eraftpb::{ConfState, Entry, HardState, Snapshot, SnapshotMetadata};
use raft::{Error, GetEntriesContext, RaftState, Result, Storage, StorageError};

/// Framing of one entry inside a message, at most.
const ENTRY_OVERHEAD: u64 = 32;

pub struct LogView {
    hard_state: HardState,
    conf_state: ConfState,
    /// The point that the log was compacted to: the entry before the first one here.
    base_index: u64,
    base_term: u64,
    entries: VecDeque<Entry>,
    bytes: u64,
    /// The answer to a follower that is too far behind, once the caller has made one.
    snapshot: Option<Snapshot>,
    /// (follower, least index) of a snapshot that was asked for in vain.
    wanted: Mutex<Option<(u64, u64)>>,
}

impl LogView {
    pub fn new(
        hard_state: HardState,
        conf_state: ConfState,
        base: (u64, u64),
        entries: Vec<Entry>,
    ) -> Self {
        let mut view = LogView {
            hard_state,
            conf_state,
            base_index: base.0,
            base_term: base.1,
            entries: VecDeque::new(),
            bytes: 0,
            snapshot: None,
            wanted: Mutex::new(None),
        };
        view.append(entries);
        view
    }

    pub fn first(&self) -> u64 {
        self.base_index + 1
    }

    pub fn last(&self) -> u64 {
        self.base_index + self.entries.len() as u64
    }

    /// Bytes of data in the entries held.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds entries; those already here from the first one's index on are replaced.
    pub fn append(&mut self, entries: Vec<Entry>) {
        let Some(first) = entries.first() else { return };
        assert!(
            first.index > self.base_index && first.index <= self.last() + 1,
            "entry {} does not follow a log of {} to {}",
            first.index,
            self.first(),
            self.last()
        );
        while self.last() >= first.index {
            let dropped = self.entries.pop_back().expect("the log is not empty");
            self.bytes -= dropped.get_data().len() as u64;
        }
        for entry in entries {
            assert_eq!(
                entry.index,
                self.last() + 1,
                "entries of a batch must be consecutive"
            );
            self.bytes += entry.get_data().len() as u64;
            self.entries.push_back(entry);
        }
    }

    /// Forgets the entries up to `index`, which must be here.
    pub fn compact(&mut self, index: u64) -> Result<()> {
        if index <= self.base_index {
            return Ok(());
        }
        let term = self.term(index)?;
        for _ in self.base_index..index {
            let dropped = self.entries.pop_front().expect("the index is in the log");
            self.bytes -= dropped.get_data().len() as u64;
        }
        self.base_index = index;
        self.base_term = term;
        Ok(())
    }

    /// Starts the log anew behind a snapshot that the caller has installed.
    pub fn reset(&mut self, metadata: &SnapshotMetadata) {
        self.entries.clear();
        self.bytes = 0;
        self.base_index = metadata.index;
        self.base_term = metadata.term;
        self.conf_state = metadata.get_conf_state().clone();
    }

    pub fn set_conf_state(&mut self, conf: ConfState) {
        self.conf_state = conf;
    }

    pub fn set_snapshot(&mut self, index: u64, term: u64, data: Vec<u8>, conf: ConfState) {
        let mut snapshot = Snapshot {
            data,
            ..Snapshot::default()
        };
        let metadata = snapshot.mut_metadata();
        metadata.index = index;
        metadata.term = term;
        metadata.set_conf_state(conf);
        self.snapshot = Some(snapshot);
        *self.wanted.lock().expect("the lock is never poisoned") = None;
    }

    pub fn clear_snapshot(&mut self) {
        self.snapshot = None;
    }

    pub fn take_wanted(&self) -> Option<(u64, u64)> {
        self.wanted
            .lock()
            .expect("the lock is never poisoned")
            .take()
    }

    /// Copies entries of [low, high), at least one and then as many as fit in `max_bytes`.
    pub fn slice(&self, low: u64, high: u64, max_bytes: Option<u64>) -> Vec<Entry> {
        let from = (low - self.first()) as usize;
        let to = (high - self.first()) as usize;
        let limit = max_bytes.unwrap_or(u64::MAX);
        let mut size = 0u64;
        let mut copied = Vec::new();
        for entry in self.entries.range(from..to) {
            size = size.saturating_add(entry.get_data().len() as u64 + ENTRY_OVERHEAD);
            if size > limit && !copied.is_empty() {
                break;
            }
            copied.push(entry.clone());
        }
        copied
    }
}

impl Storage for LogView {
    fn initial_state(&self) -> Result<RaftState> {
        Ok(RaftState::new(
            self.hard_state.clone(),
            self.conf_state.clone(),
        ))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> Result<Vec<Entry>> {
        if low < self.first() {
            return Err(Error::Store(StorageError::Compacted));
        }
        assert!(
            high <= self.last() + 1,
            "entries up to {high} asked of a log that ends at {}",
            self.last()
        );
        Ok(self.slice(low, high, max_size.into()))
    }

    fn term(&self, index: u64) -> Result<u64> {
        if index == self.base_index {
            return Ok(self.base_term);
        }
        if index < self.base_index {
            return Err(Error::Store(StorageError::Compacted));
        }
        match self.entries.get((index - self.first()) as usize) {
            Some(entry) => Ok(entry.term),
            None => Err(Error::Store(StorageError::Unavailable)),
        }
    }

    fn first_index(&self) -> Result<u64> {
        Ok(self.first())
    }

    fn last_index(&self) -> Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, request_index: u64, to: u64) -> Result<Snapshot> {
        // A snapshot older than the log's start would leave a gap that no entry can close.
        let least = request_index.max(self.base_index);
        match &self.snapshot {
            Some(snapshot)
                if snapshot.get_metadata().index >= least && names(snapshot.get_metadata(), to) =>
            {
                Ok(snapshot.clone())
            }
            _ => {
                *self.wanted.lock().expect("the lock is never poisoned") = Some((to, least));
                Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable))
            }
        }
    }
}

/// Says whether a node was a member where a snapshot was made; it could not install it otherwise.
fn names(metadata: &SnapshotMetadata, node: u64) -> bool {
    let conf = metadata.get_conf_state();
    conf.voters.contains(&node) || conf.learners.contains(&node)
}
