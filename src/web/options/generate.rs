//! The package's `GenerateOptions`, on top of how a model's makers sample from it.

use serde_json::{Value, json};

use super::read;
use crate::error::Result;
use crate::model::{GenerateOptions, SamplingDefaults};

/// Options of a continuation: those given, else as the model's makers say, else `usual`.
pub(in crate::web) fn asked_for(
    what: &str,
    given: Value,
    model: &SamplingDefaults,
    usual: GenerateOptions,
) -> Result<GenerateOptions> {
    let asked: GenerateOptions = read(what, given.clone())?;
    let greedy = asked.temperature == 0.0 && given.get("temperature").is_some();
    // Who asks for the likeliest token gets it: no penalty but one that was asked for.
    let model = if greedy { &SamplingDefaults { repetition_penalty: None, ..*model } } else { model };
    let mut all = json!(model.over(usual));
    if let (Value::Object(all), Value::Object(given)) = (&mut all, given) {
        all.extend(given);
    }
    read(what, all)
}

/// What is usual in a conversation: longer answers, and no penalty, which would make the marks of a turn less
/// likely from turn to turn.
pub(in crate::web) fn usual_chat() -> GenerateOptions {
    GenerateOptions { max_tokens: 4096, repetition_penalty: Some(1.0), ..GenerateOptions::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_counts_before_the_model_and_that_before_what_is_usual() {
        let model = SamplingDefaults {
            temperature: Some(0.2),
            top_k: Some(7),
            repetition_penalty: Some(1.3),
            ..SamplingDefaults::default()
        };
        let ask = |given| asked_for("options", given, &model, usual_chat()).expect("reads");
        let usual = ask(json!({ "topK": 9 }));
        assert_eq!((usual.temperature, usual.top_k, usual.top_p, usual.max_tokens), (0.2, 9, 0.95, 4096));
        assert_eq!(usual.repetition_penalty, Some(1.3));
        // Greedy is greedy, unless a penalty is asked for as well.
        assert_eq!(ask(json!({ "temperature": 0 })).repetition_penalty, Some(1.0));
        let both = json!({ "temperature": 0, "repetitionPenalty": 1.2 });
        assert_eq!(ask(both).repetition_penalty, Some(1.2));
        let none = SamplingDefaults::default();
        let plain = asked_for("options", json!({}), &none, GenerateOptions::default()).expect("reads");
        assert_eq!(plain, GenerateOptions::default());
        let error = asked_for("options", json!({ "top": 1 }), &none, usual_chat()).expect_err("refused");
        assert!(error.message().contains("`top`"), "{error}");
    }
}
