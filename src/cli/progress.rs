//! Bars on stderr for what takes longer than a moment; none when stderr is no terminal, or with `--quiet` or
//! `--json`.

use std::io::{IsTerminal as _, stderr};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::options::Common;
use super::output::thousands;

/// Time that passes before a bar shows: what is quicker needs none.
const PATIENCE: Duration = Duration::from_millis(400);

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

/// A bar that shows itself when something takes longer, and is gone when dropped.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    /// Ends the thread that waits to show it.
    waiter: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// Work of `total` units.
    pub fn bar(common: &Common, what: &str, total: u64, unit: Unit) -> Self {
        let count = match unit {
            Unit::Tokens => "{human_pos} of {human_len} tokens, {rate}/s",
            Unit::Bytes => "{binary_bytes} of {binary_total_bytes}",
            #[cfg(feature = "train")]
            Unit::Steps => "{human_pos} of {human_len} steps",
            #[cfg(feature = "bench")]
            Unit::Rows => "{human_pos} of {human_len} rows",
            #[cfg(feature = "bench")]
            Unit::Cases => "{human_pos} of {human_len}",
        };
        let wide = format!("{{msg}} [{{bar:24}}] {count}, {{eta}} left");
        let narrow = "{msg} {percent}%, {eta} left";
        Self::start(
            common,
            what,
            ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden()),
            &wide,
            narrow,
        )
    }

    /// Work of unknown extent.
    pub fn spinner(common: &Common, what: &str) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        Self::start(common, what, bar, "{spinner} {msg} ({elapsed})", "{spinner} {msg}")
    }

    fn start(common: &Common, what: &str, bar: ProgressBar, wide: &str, narrow: &str) -> Self {
        if common.quiet || common.json || !stderr().is_terminal() {
            return Self { bar, waiter: None };
        }
        let columns = console::Term::stderr().size_checked().map_or(80, |(_, columns)| columns);
        let template = if columns < 80 { narrow } else { wide };
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
            bar.set_style(style.with_key("rate", rate).progress_chars("━╸ "));
        }
        bar.set_message(what.to_string());
        let (stop, stopped) = channel();
        let shown = bar.clone();
        let waiter = std::thread::Builder::new().name("progress".into()).spawn(move || {
            if stopped.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                shown.set_draw_target(ProgressDrawTarget::stderr());
                shown.enable_steady_tick(Duration::from_millis(120));
            }
        });
        // Without a thread there is no bar, and the work goes on.
        Self { bar, waiter: waiter.ok().map(|waiter| (stop, waiter)) }
    }

    /// So many units are done.
    pub fn set(&self, done: usize) {
        self.bar.set_position(done as u64);
    }

    /// Work of the given units; known only now.
    pub fn total(&self, total: u64) {
        self.bar.set_length(total);
    }
}

/// What only long work asks for.
#[cfg(feature = "train")]
impl Progress {
    /// So many units were done before: they say nothing about the time left.
    pub fn begin_at(&self, done: u64) {
        self.bar.set_position(done);
        self.bar.reset_eta();
    }

    /// What is being done, by now.
    pub fn say(&self, what: String) {
        self.bar.set_message(what);
    }

    /// Something that prints lines of its own, above the bar.
    pub fn suspend(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }

    /// Whether it may show itself at all.
    pub fn is_shown(&self) -> bool {
        self.waiter.is_some()
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
