//! Driver errors as values.
//!
//! wgpu's default for an error nobody asked about is to panic, and several of its waits panic when
//! the device is gone. Here the first such fault is kept, work goes on into the void, and the next
//! [`super::GpuContext::check`] reports it.

use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, ErrorKind};

/// The first thing that went wrong on a device.
#[derive(Debug, Default)]
pub(super) struct Faults {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    first: Option<Error>,
    lost: Option<Error>,
}

impl Faults {
    /// Has `device` report here. The handlers hold no reference to the device.
    pub fn install(self: &Arc<Self>, device: &wgpu::Device) {
        let faults = self.clone();
        device.on_uncaptured_error(Arc::new(move |error| {
            let error = from_wgpu("the device", error);
            log::error!("{error}");
            faults.record(error);
        }));
        let faults = self.clone();
        device.set_device_lost_callback(move |reason, message| {
            log::debug!("device lost: {reason:?} {message}");
            faults.record_lost(lost(reason, &message));
        });
    }

    pub fn record(&self, error: Error) {
        let mut state = self.lock();
        state.first.get_or_insert(error);
    }

    pub fn record_lost(&self, error: Error) {
        let mut state = self.lock();
        state.lost.get_or_insert(error);
    }

    /// Loss of the device comes first: whatever else was reported is its consequence.
    pub fn first(&self) -> Option<Error> {
        let state = self.lock();
        state.lost.clone().or_else(|| state.first.clone())
    }

    pub fn lost(&self) -> Option<Error> {
        self.lock().lost.clone()
    }

    /// Forgets a fault that was dealt with; a lost device stays lost.
    pub fn take(&self) -> Option<Error> {
        let mut state = self.lock();
        let first = state.first.take();
        state.lost.clone().or(first)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A typed error from wgpu's, about `what`.
pub(super) fn from_wgpu(what: &str, error: wgpu::Error) -> Error {
    match error {
        wgpu::Error::OutOfMemory { source } => out_of_memory(what, &source.to_string()),
        wgpu::Error::Validation { description, .. } => {
            let help = "this is a bug of the program or of the driver; please report it";
            Error::new(ErrorKind::Device, format!("{what}: {}", one_line(&description))).help(help)
        }
        wgpu::Error::Internal { description, .. } => {
            Error::new(ErrorKind::Device, format!("{what}: {}", one_line(&description)))
                .help("the driver failed; update it, take another adapter, or use --backend cpu")
        }
    }
}

pub(super) fn out_of_memory(what: &str, detail: &str) -> Error {
    let detail = one_line(detail);
    let message = if detail.is_empty() {
        format!("{what}: out of device memory")
    } else {
        format!("{what}: out of device memory ({detail})")
    };
    let help =
        "use a smaller model, batch or context, close other programs that use the GPU, or use --backend cpu";
    Error::new(ErrorKind::OutOfMemory, message).help(help)
}

pub(super) fn lost(reason: wgpu::DeviceLostReason, message: &str) -> Error {
    let message = one_line(message);
    match reason {
        _ if message.to_lowercase().contains("memory") => out_of_memory("the device was lost", &message),
        wgpu::DeviceLostReason::Destroyed => {
            Error::new(ErrorKind::DeviceLost, "the device was lost: it was destroyed")
                .help("create a new engine; saved states stay valid")
        }
        wgpu::DeviceLostReason::Unknown => {
            let why = if message.is_empty() {
                "the driver was reset or the GPU removed".to_string()
            } else {
                message
            };
            Error::new(ErrorKind::DeviceLost, format!("the device was lost: {why}"))
                .help("create a new engine (saved states stay valid); if it happens again, use smaller chunks, another adapter or --backend cpu")
        }
    }
}

/// The message of a wait that the driver ended.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn lost_in_wait(message: &str) -> Error {
    lost(wgpu::DeviceLostReason::Unknown, message)
}

/// wgpu's error trees on one line.
pub(super) fn one_line(text: &str) -> String {
    let parts: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty() && *l != "Caused by:" && *l != "Validation Error")
        .collect();
    let line = parts.join(": ").replace(".: ", ": ");
    match line.char_indices().nth(600) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

#[cfg(not(target_arch = "wasm32"))]
thread_local! {
    static GUARDED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Runs a wgpu call that panics where it should return an error (`Device::poll` on a lost device,
/// the OpenGL context lock) and turns the panic into its message.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    let before = GUARDED.replace(true);
    // What `call` captures is wgpu handles, which stay usable: wgpu releases its locks before it
    // panics, and every later call on a lost device is checked by wgpu itself.
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call));
    GUARDED.set(before);
    result.map_err(|payload| {
        let text = payload
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| payload.downcast_ref::<&str>().map(|s| s.to_string()));
        one_line(&text.unwrap_or_default())
    })
}

/// For programs: keeps the panics that this module turns into errors from being printed. Libraries
/// should leave the panic hook alone, so nothing here calls it.
pub fn hush_driver_panics() {
    #[cfg(not(target_arch = "wasm32"))]
    {
        let next = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                next(info);
            }
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_fault_is_kept_and_loss_wins() {
        let faults = Faults::default();
        assert!(faults.first().is_none());
        faults.record(Error::new(ErrorKind::Device, "one"));
        faults.record(Error::new(ErrorKind::Device, "two"));
        assert_eq!(faults.first().unwrap().message(), "one");
        assert_eq!(faults.take().unwrap().message(), "one");
        assert!(faults.first().is_none());
        faults.record(Error::new(ErrorKind::Device, "three"));
        faults.record_lost(lost(wgpu::DeviceLostReason::Unknown, ""));
        assert_eq!(faults.take().unwrap().kind(), ErrorKind::DeviceLost);
        assert_eq!(faults.first().unwrap().kind(), ErrorKind::DeviceLost);
    }

    #[test]
    fn error_trees_become_one_line() {
        let tree = "Validation Error\n\nCaused by:\n  In Device::create_buffer, label = 'x'\n    Buffer size 5 is too large.\n";
        assert_eq!(one_line(tree), "In Device::create_buffer, label = 'x': Buffer size 5 is too large.");
    }

    #[test]
    fn a_driver_panic_becomes_its_message() {
        hush_driver_panics();
        assert_eq!(guarded(|| 3), Ok(3));
        assert_eq!(guarded(|| panic!("lost\n at {}", 5)), Err::<(), _>("lost: at 5".to_string()));
        assert_eq!(
            lost(wgpu::DeviceLostReason::Unknown, "Not enough memory left.").kind(),
            ErrorKind::OutOfMemory
        );
    }
}
