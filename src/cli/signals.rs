//! The ways to be stopped: Ctrl-C, `kill`, a terminal that is closed.
//!
//! Until a command has something worth keeping, a signal ends the program, but never within the writing of a
//! file. From [`catch_interrupt`] on the first one only sets a flag, so that the command can finish what it is
//! at and save it; the second one ends the program. In a conversation ([`catch_turns`]) Ctrl-C ends an answer
//! only. What is ignored from the start (`nohup`) stays ignored. A limit on the size of files is no signal but
//! an error of whoever writes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Whether the command saves what it has when it is told to stop.
static CAUGHT: AtomicBool = AtomicBool::new(false);
static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// Whether Ctrl-C ends only what the program is at.
static TURNS: AtomicBool = AtomicBool::new(false);
/// Whether the program is to end.
static ENDING: AtomicBool = AtomicBool::new(false);

/// Time in which a file may still be written to its end.
const PATIENCE: Duration = Duration::from_secs(3);

/// From here on a signal only sets a flag, so that what is being written can be finished and what was computed
/// saved; a second one ends the program.
pub fn catch_interrupt() {
    CAUGHT.store(true, Ordering::Relaxed);
}

/// The same, and Ctrl-C ends only what the program is at, until [`take_interrupt`].
pub fn catch_turns() {
    TURNS.store(true, Ordering::Relaxed);
    catch_interrupt();
}

/// Whether the command was told to stop.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Whether the command was told to stop; it goes on with something else.
pub fn take_interrupt() -> bool {
    INTERRUPTED.swap(false, Ordering::Relaxed)
}

/// Whether a conversation was told to end, by another signal than Ctrl-C.
pub fn ending() -> bool {
    ENDING.load(Ordering::Relaxed)
}

/// What a signal does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Nothing,
    /// The program ends when no file is being written.
    End,
    /// The program ends at once.
    EndNow,
}

/// Decides what the next signal does.
struct Watch {
    first: Option<Instant>,
}

impl Watch {
    /// `key`: it is Ctrl-C.
    fn effect(&mut self, key: bool) -> Effect {
        /// Signals this close to the first are the same one: `timeout` sends it to a program and to its group,
        /// and a terminal that is closed to its shell, which passes it on.
        const SAME: Duration = Duration::from_millis(300);
        if !CAUGHT.load(Ordering::Relaxed) {
            return Effect::End;
        }
        if !key || !TURNS.load(Ordering::Relaxed) {
            ENDING.store(true, Ordering::Relaxed);
        }
        if !INTERRUPTED.swap(true, Ordering::Relaxed) {
            self.first = None;
        }
        let since = self.first.get_or_insert_with(Instant::now).elapsed();
        if since > SAME { Effect::EndNow } else { Effect::Nothing }
    }
}

/// Listens to signals from here on; `tell` says why the program ends.
#[cfg(unix)]
pub fn watch(tell: fn(&str)) {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
    use signal_hook::iterator::Signals;
    use signal_hook::low_level::{emulate_default_handler, signal_name};

    // A handler, whatever it does, makes the write fail instead, with an error that says why.
    let limit = signal_hook::flag::register(SIGXFSZ, std::sync::Arc::new(AtomicBool::new(false)));
    let wanted = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| !is_ignored(*signal));
    let signals = limit.and_then(|_| Signals::new(wanted));
    let started = signals.and_then(|mut signals| {
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            let mut watch = Watch { first: None };
            for signal in signals.forever() {
                let name = signal_name(signal).unwrap_or("a signal");
                let end = || {
                    // Whoever waits for this process learns of the signal.
                    let _ = emulate_default_handler(signal);
                };
                match watch.effect(signal == SIGINT) {
                    Effect::Nothing => {}
                    Effect::EndNow => end(),
                    Effect::End => polysketch::files::until_idle(PATIENCE, || {
                        tell(&format!("error: stopped by {name}"));
                        end();
                    }),
                }
            }
        })
    });
    if let Err(error) = started {
        log::debug!("signals end the program at once: {error}");
    }
}

/// Whether whoever started this program wants a signal to be ignored.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: the call changes nothing, as there is no new action; it fills `action`, whose zeros are an action
    // too.
    let action = unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr());
        action.assume_init()
    };
    action.sa_sigaction == libc::SIG_IGN
}

/// Listens to Ctrl-C and to a console that is closed from here on; `tell` says why the program ends.
#[cfg(not(unix))]
pub fn watch(tell: fn(&str)) {
    let mut watch = Watch { first: None };
    let started = ctrlc::set_handler(move || match watch.effect(true) {
        Effect::Nothing => {}
        Effect::EndNow => std::process::exit(130),
        Effect::End => polysketch::files::until_idle(PATIENCE, || {
            tell("error: interrupted");
            std::process::exit(130)
        }),
    });
    if let Err(error) = started {
        log::debug!("Ctrl-C ends the program at once: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_signal_ends_the_program() {
        let mut watch = Watch { first: None };
        assert!(watch.effect(true) == Effect::End && !interrupted(), "there is nothing to keep yet");
        catch_interrupt();
        assert!(watch.effect(true) == Effect::Nothing && interrupted() && ending());
        assert_eq!(watch.effect(true), Effect::Nothing, "the same one, sent to the group too");
        let late = |watch: &mut Watch| {
            watch.first = watch.first.and_then(|first| first.checked_sub(Duration::from_secs(1)));
            watch.effect(true)
        };
        assert_eq!(late(&mut watch), Effect::EndNow);
        // In a conversation every answer can be ended.
        catch_turns();
        for _ in 0..3 {
            assert!(take_interrupt() && !interrupted());
            assert!(late(&mut watch) == Effect::Nothing && interrupted());
        }
        assert_eq!(late(&mut watch), Effect::EndNow, "nothing ends the answer");
    }
}
