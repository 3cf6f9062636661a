//! A disk that is full, or fails, whenever the test says so.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use redb::StorageBackend;

use super::super::disk::RESERVE_BYTES;
use super::*;
use crate::store::samples::{attestation, digest, note, unproven, uri};

const NOTE: &str = "projects/p/notes/n";

#[derive(Debug)]
struct TestDisk {
    directory: Directory,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Nothing but given-up room can be written to.
    full: AtomicBool,
    /// Every write fails.
    broken: AtomicBool,
    /// Bytes given up and not yet used.
    room: AtomicU64,
}

impl State {
    fn write(&self, bytes: u64) -> io::Result<()> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(io::Error::other("the disk is on fire"));
        }
        if !self.full.load(Ordering::SeqCst) {
            return Ok(());
        }
        let used = self
            .room
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |room| room.checked_sub(bytes));
        used.map(drop).map_err(|_| io::ErrorKind::StorageFull.into())
    }
}

impl Disk for TestDisk {
    fn open(&self) -> io::Result<Box<dyn StorageBackend>> {
        Ok(Box::new(TestFile { file: self.directory.open()?, state: Arc::clone(&self.state) }))
    }

    fn is_in_place(&self) -> io::Result<bool> {
        self.directory.is_in_place()
    }

    fn take_reserve(&self) -> io::Result<()> {
        if self.state.full.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.state.room.store(0, Ordering::SeqCst);
        self.directory.take_reserve()
    }

    fn give_reserve(&self) -> io::Result<()> {
        self.state.room.store(RESERVE_BYTES, Ordering::SeqCst);
        self.directory.give_reserve()
    }
}

#[derive(Debug)]
struct TestFile {
    file: Box<dyn StorageBackend>,
    state: Arc<State>,
}

impl StorageBackend for TestFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.state.write(0)?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.state.write(0)?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.state.write(data.len() as u64)?;
        self.file.write(offset, data)
    }
}

fn open_on(dir: &Path) -> (EmbeddedStore, Arc<State>) {
    let state = Arc::new(State::default());
    let disk = TestDisk { directory: Directory::create(dir).unwrap(), state: Arc::clone(&state) };
    let store = EmbeddedStore::open_on(dir, Arc::new(disk), metrics()).unwrap();
    store.apply(Write::create(note(NOTE))).unwrap();
    (store, state)
}

fn create(store: &EmbeddedStore, id: u32) -> Result<Option<String>, StoreError> {
    let name = format!("projects/p/occurrences/{id}");
    store.apply(unproven(vec![attestation(&name, NOTE, &uri(1))]))
}

fn names(store: &EmbeddedStore) -> Vec<String> {
    evidence(store, NOTE, digest(1)).iter().map(|name| name.id().to_owned()).collect()
}

#[test]
fn a_full_disk_refuses_writes_serves_reads_and_heals() {
    let dir = tempfile::tempdir().unwrap();
    let (store, disk) = open_on(dir.path());
    create(&store, 1).unwrap();
    disk.full.store(true, Ordering::SeqCst);
    assert_eq!(
        create(&store, 2),
        Ok(None),
        "the write that finds the disk full goes into the reserve"
    );
    for _ in 0..3 {
        let refused = create(&store, 3).unwrap_err().to_string();
        assert!(refused.contains("wait until 32 MiB of disk are free"), "{refused}");
        assert_eq!(names(&store), ["1", "2"]);
    }
    disk.full.store(false, Ordering::SeqCst);
    assert_eq!(create(&store, 3), Ok(None));
    assert_eq!(names(&store), ["1", "2", "3"]);
    drop(store);
    assert_eq!(names(&open(dir.path())), ["1", "2", "3"]);
}

#[test]
fn a_failed_commit_is_answered_and_the_store_heals_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (store, disk) = open_on(dir.path());
    create(&store, 1).unwrap();
    for round in 0..3 {
        disk.broken.store(true, Ordering::SeqCst);
        let refused = create(&store, 2);
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
        disk.broken.store(false, Ordering::SeqCst);
        assert_eq!(create(&store, 10 + round), Ok(None));
        assert_eq!(store.occurrence(&"projects/p/occurrences/2".parse().unwrap()), Ok(None));
        assert_consistent(&store);
    }
    assert_eq!(names(&store), ["1", "10", "11", "12"]);
}
