//! What a benchmark asks of the clock: dates, its resolution, pauses.

pub use crate::clock::{Instant, nanoseconds_since};
#[cfg(not(target_arch = "wasm32"))]
use std::time::{SystemTime, UNIX_EPOCH};
#[cfg(target_arch = "wasm32")]
use web_time::{SystemTime, UNIX_EPOCH};

/// Now, as `2026-11-22T09:00:49Z`.
pub fn date() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format_date(since.as_secs())
}

/// Seconds since 1970 as a date (Hinnant, days to civil).
fn format_date(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153; // months from March on
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// Lets a browser's worker take its messages, a request to stop among them: on the CPU executor nothing else
/// waits.
pub async fn breathe() {
    #[cfg(target_arch = "wasm32")]
    {
        use wasm_bindgen::JsCast as _;
        let later = js_sys::Promise::new(&mut |resolve, _| {
            let set_timeout = js_sys::Reflect::get(&js_sys::global(), &"setTimeout".into())
                .ok()
                .and_then(|f| f.dyn_into::<js_sys::Function>().ok());
            match set_timeout {
                Some(set_timeout) => drop(set_timeout.call1(&wasm_bindgen::JsValue::UNDEFINED, &resolve)),
                None => drop(resolve.call0(&wasm_bindgen::JsValue::UNDEFINED)),
            }
        });
        drop(wasm_bindgen_futures::JsFuture::from(later).await);
    }
}

/// The smallest step this clock is seen to make, nanoseconds. Browsers coarsen it on purpose.
pub fn resolution() -> f64 {
    let step = || {
        let start = Instant::now();
        loop {
            let elapsed = nanoseconds_since(start);
            if elapsed > 0.0 {
                return elapsed;
            }
        }
    };
    (0..16).map(|_| step()).fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(format_date(0), "1970-01-01T00:00:00Z");
        assert_eq!(format_date(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(format_date(1_795_338_049), "2026-11-22T09:00:49Z");
        assert!(resolution() > 0.0 && resolution() < 1e7);
    }
}
