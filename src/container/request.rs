//! What a command does to a container that runs is noted in its record first:
//! the kernel tells nobody who has sent a SIGKILL.

use crate::spec::signal::Signal;
use crate::state::{Life, Moment, Record, Request, Store};

/// Notes that `verb` is about to send a signal. Where it can't be noted, the
/// signal is sent all the same.
pub fn note(store: &Store, record: &Record, verb: &str, signal: Signal) {
    if !matches!(record.life, Life::Running { .. }) {
        return;
    }
    let (at, verb, pid) = (Moment::now(), verb.to_owned(), std::process::id());
    let request = Request { at, verb, signal: signal.0, pid };
    _ = store.edit(&record.id, |record| {
        if matches!(record.life, Life::Running { .. }) {
            record.request = Some(request);
        }
    });
}
