//! Progress on stderr of what takes longer than a moment: a bar on a terminal, a line now and then elsewhere
//! (a pipe, a dumb terminal); nothing with `--quiet` or `--json`.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use polysketch::text::printable;

use super::failure::tell;
use super::options::Common;
use super::output::{bytes, seconds, thousands};
use super::terminal;

/// Time that passes before a bar shows: what is quicker needs none.
const PATIENCE: Duration = Duration::from_millis(400);
/// Time before the first line where there is no bar; from line to line it doubles.
const FIRST_LINE: Duration = Duration::from_secs(2);
/// Most time between lines.
const MOST_BETWEEN: Duration = Duration::from_secs(30);

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Tokens.
    Tokens,
    /// Bytes.
    Bytes,
    /// Steps of training.
    #[cfg(feature = "train")]
    Steps,
    /// Rows of a benchmark.
    #[cfg(feature = "bench")]
    Rows,
    /// Cases of a check.
    #[cfg(feature = "bench")]
    Cases,
}

impl Unit {
    /// How a bar counts, in indicatif's words.
    fn template(self) -> &'static str {
        match self {
            Unit::Tokens => "{human_pos} of {human_len} tokens, {rate}/s",
            Unit::Bytes => "{binary_bytes} of {binary_total_bytes}",
            #[cfg(feature = "train")]
            Unit::Steps => "{human_pos} of {human_len} steps",
            #[cfg(feature = "bench")]
            Unit::Rows => "{human_pos} of {human_len} rows",
            #[cfg(feature = "bench")]
            Unit::Cases => "{human_pos} of {human_len}",
        }
    }

    /// How a line counts.
    fn count(self, done: u64, of: u64) -> String {
        let things = match self {
            Unit::Tokens => " tokens",
            Unit::Bytes => return format!("{} of {}", bytes(done), bytes(of)),
            #[cfg(feature = "train")]
            Unit::Steps => " steps",
            #[cfg(feature = "bench")]
            Unit::Rows => " rows",
            #[cfg(feature = "bench")]
            Unit::Cases => "",
        };
        format!("{} of {}{things}", thousands(done), thousands(of))
    }
}

/// How far something is, by what it told last.
#[derive(Debug)]
struct Told {
    what: String,
    /// None: nobody knows its extent.
    unit: Option<Unit>,
    done: u64,
    of: u64,
    /// Where and when it began, for the time left.
    began: (u64, Instant),
}

impl Told {
    fn line(&self) -> String {
        let took = self.began.1.elapsed().as_secs_f64();
        let Some(unit) = self.unit.filter(|_| self.of > 0) else {
            return format!("{}, {} so far", self.what, seconds(took.round()));
        };
        let (done, left) = (self.done.saturating_sub(self.began.0), self.of.saturating_sub(self.done));
        let left = match done {
            0 => String::new(),
            done => format!(", {} left", seconds((took * left as f64 / done as f64).ceil())),
        };
        format!("{}: {}{left}", self.what, unit.count(self.done, self.of))
    }
}

/// Shows itself when something takes longer, and is gone when dropped.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    told: Arc<Mutex<Told>>,
    /// Ends the thread that waits to show it.
    waiter: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// Work of `total` units.
    pub fn bar(common: &Common, what: &str, total: u64, unit: Unit) -> Self {
        let wide = format!("{{msg}} [{{bar:24}}] {}, {{eta}} left", unit.template());
        let narrow = "{msg} {percent}%, {eta} left";
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        Self::start(common, what, bar, Some(unit), &wide, narrow)
    }

    /// Work of unknown extent.
    pub fn spinner(common: &Common, what: &str) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        Self::start(common, what, bar, None, "{spinner} {msg} ({elapsed})", "{spinner} {msg}")
    }

    fn start(
        common: &Common,
        what: &str,
        bar: ProgressBar,
        unit: Option<Unit>,
        wide: &str,
        narrow: &str,
    ) -> Self {
        // Names of adapters and models come from others.
        let what = printable(what);
        let of = bar.length().unwrap_or(0);
        let told = Told { what: what.clone(), unit, done: 0, of, began: (0, Instant::now()) };
        let mut progress = Self { bar, told: Arc::new(Mutex::new(told)), waiter: None };
        if !common.talks() {
            return progress;
        }
        progress.waiter = match terminal::columns() {
            Some(columns) => progress.show_bar(what, if columns < 80 { narrow } else { wide }),
            None => progress.show_lines(),
        };
        progress
    }

    fn show_bar(&self, what: String, template: &str) -> Option<(Sender<()>, JoinHandle<()>)> {
        let style = if template.contains("spinner") {
            ProgressStyle::default_spinner()
        } else {
            ProgressStyle::default_bar()
        };
        // The templates are constants; if one were wrong, the default shows.
        if let Ok(style) = style.template(template) {
            let rate = |state: &ProgressState, w: &mut dyn std::fmt::Write| {
                // A failed write leaves the rate out.
                let _ = w.write_str(&thousands(state.per_sec() as u64));
            };
            self.bar.set_style(style.with_key("rate", rate).progress_chars("━╸ "));
        }
        self.bar.set_message(what);
        let (stop, stopped) = channel();
        let shown = self.bar.clone();
        let waiter = std::thread::Builder::new().name("progress".into()).spawn(move || {
            if stopped.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                shown.set_draw_target(ProgressDrawTarget::stderr());
                shown.enable_steady_tick(Duration::from_millis(120));
            }
        });
        // Without a thread there is no bar, and the work goes on.
        Some((stop, waiter.ok()?))
    }

    fn show_lines(&self) -> Option<(Sender<()>, JoinHandle<()>)> {
        let (stop, stopped) = channel();
        let told = Arc::clone(&self.told);
        let waiter = std::thread::Builder::new().name("progress".into()).spawn(move || {
            let mut pause = FIRST_LINE;
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                let line = told.lock().unwrap_or_else(PoisonError::into_inner).line();
                tell(line);
                pause = (pause * 2).min(MOST_BETWEEN);
            }
        });
        Some((stop, waiter.ok()?))
    }

    fn told(&self, change: impl FnOnce(&mut Told)) {
        change(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// So many units are done.
    pub fn set(&self, done: usize) {
        self.bar.set_position(done as u64);
        self.told(|told| told.done = done as u64);
    }

    /// Work of the given units; known only now.
    pub fn total(&self, total: u64) {
        self.bar.set_length(total);
        self.told(|told| told.of = total);
    }
}

/// What only long work asks for.
#[cfg(any(feature = "hub", feature = "train"))]
impl Progress {
    /// So many units were done before: they say nothing about the time left.
    pub fn begin_at(&self, done: u64) {
        self.bar.set_position(done);
        self.bar.reset_eta();
        self.told(|told| (told.done, told.began) = (done, (done, Instant::now())));
    }

    /// What is being done, by now.
    #[cfg(feature = "train")]
    pub fn say(&self, what: &str) {
        let what = printable(what);
        self.bar.set_message(what.clone());
        self.told(|told| told.what = what);
    }

    /// Something that prints lines of its own, above the bar.
    pub fn suspend(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((stop, waiter)) = self.waiter.take() {
            drop(stop);
            let _ = waiter.join();
        }
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_how_far_and_how_long() {
        let began = Instant::now().checked_sub(Duration::from_secs(10)).expect("a clock that runs");
        let told = |unit, done, of| Told { what: "reading".into(), unit, done, of, began: (0, began) }.line();
        assert_eq!(told(None, 0, 0), "reading, 10 s so far");
        assert_eq!(told(Some(Unit::Tokens), 0, 2000), "reading: 0 of 2,000 tokens");
        assert_eq!(told(Some(Unit::Bytes), 1024, 2048), "reading: 1 KiB of 2 KiB, 11 s left");
        // What is not known yet is not told.
        assert_eq!(told(Some(Unit::Bytes), 0, 0), "reading, 10 s so far");
    }
}
