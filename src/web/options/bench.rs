//! The package's `BenchOptions`, on top of what is usual.

use serde_json::{Value, json};

use super::read;
use crate::bench::BenchOptions;
use crate::error::Result;

/// [`BenchOptions`]: what is missing is as usual, or as in a quick run where `quick` is given.
pub(in crate::web) fn asked_for(given: Value) -> Result<BenchOptions> {
    let what = "bench options";
    let asked: BenchOptions = read(what, given.clone())?;
    let usual = if asked.quick { BenchOptions::quick() } else { BenchOptions::default() };
    let mut all = json!(usual);
    if let (Value::Object(all), Value::Object(given)) = (&mut all, given) {
        all.extend(given);
    }
    read(what, all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_the_engine_may_say_is_refused() {
        assert!(asked_for(json!({ "browser": "x" })).expect_err("refused").message().contains("`browser`"));
    }

    #[test]
    fn a_benchmark_is_usual_where_nothing_is_said() {
        assert_eq!(asked_for(json!({})).expect("reads"), BenchOptions::default());
        assert_eq!(asked_for(json!({ "quick": true })).expect("reads"), BenchOptions::quick());
        let given = json!({ "quick": true, "most": null, "lengths": [64], "allKinds": true, "budget": 0.5 });
        let want = BenchOptions {
            most: None,
            lengths: vec![64],
            all_kinds: true,
            budget: 0.5,
            ..BenchOptions::quick()
        };
        assert_eq!(asked_for(given).expect("reads"), want);
    }
}
