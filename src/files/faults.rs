//! For tests: lets an operation of `disk.rs` fail.

use std::cell::Cell;
use std::io;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// One operation fails.
    Once,
    /// All fail from then on, as if the disk were gone.
    FromThen,
}

thread_local! {
    /// Operations until one fails, and how.
    static PLANNED: Cell<Option<(usize, Fault)>> = const { Cell::new(None) };
}

/// An operation is about to happen.
pub(super) fn step() -> io::Result<()> {
    match PLANNED.get() {
        None => Ok(()),
        Some((0, fault)) => {
            PLANNED.set((fault == Fault::FromThen).then_some((0, fault)));
            HIT.set(true);
            Err(io::Error::other("injected fault"))
        }
        Some((left, fault)) => {
            PLANNED.set(Some((left - 1, fault)));
            Ok(())
        }
    }
}

thread_local! {
    static HIT: Cell<bool> = const { Cell::new(false) };
}

/// Does something whose operation `k`, counted from 0, fails. Also tells whether there was one.
pub fn with<T>(k: usize, fault: Fault, something: impl FnOnce() -> T) -> (T, bool) {
    HIT.set(false);
    PLANNED.set(Some((k, fault)));
    let result = something();
    PLANNED.set(None);
    (result, HIT.get())
}

/// `something` for every operation that can fail, both ways; it is told which, and gets a function that does
/// what is to fail.
pub fn every(mut something: impl FnMut(usize, Fault) -> bool) {
    for fault in [Fault::Once, Fault::FromThen] {
        let operations = (0..).take_while(|k| something(*k, fault)).count();
        assert!(operations > 1, "nothing failed");
    }
}
