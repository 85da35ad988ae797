//! Which of the cuts that GGUF files have a name for a tokenizer makes.

use tokenizers::pre_tokenizers::split::SplitPattern;
use tokenizers::{PreTokenizerWrapper, SplitDelimiterBehavior};

use crate::model::splits::{Cut, DIGIT};

/// Digits that stand together.
const NUMBER: &str = r"\p{N}+";
/// GPT-2's cut as a pattern.
const GPT2_STEP: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// The patterns that a pre-tokenizer cuts by, one after the other; none where it does something else.
fn patterns(given: &PreTokenizerWrapper) -> Option<Vec<String>> {
    match given {
        PreTokenizerWrapper::Sequence(all) => {
            let (last, before) = all.as_ref().split_last()?;
            let mut list = before.iter().map(pattern).collect::<Option<Vec<String>>>()?;
            list.extend(patterns(last)?);
            Some(list)
        }
        // Places of tokens in the text, which `trim_offsets` is about, matter to nobody here.
        PreTokenizerWrapper::ByteLevel(b) if !b.add_prefix_space => {
            Some(b.use_regex.then(|| GPT2_STEP.to_string()).into_iter().collect())
        }
        _ => None,
    }
}

/// The pattern of a step before the bytes.
fn pattern(given: &PreTokenizerWrapper) -> Option<String> {
    match given {
        PreTokenizerWrapper::Digits(digits) => {
            Some(if digits.individual_digits { DIGIT } else { NUMBER }.into())
        }
        PreTokenizerWrapper::Split(split) => match &split.pattern {
            SplitPattern::Regex(regex) if !split.invert => {
                (split.behavior == SplitDelimiterBehavior::Isolated).then(|| regex.clone())
            }
            _ => None,
        },
        _ => None,
    }
}

/// Names that are written, one for each cut.
const NAMES: [&str; 11] = [
    "gpt-2",
    "smollm",
    "llama-bpe",
    "dbrx",
    "qwen2",
    "qwen35",
    "tekken",
    "gpt-4o",
    "deepseek-v3",
    "deepseek-coder",
    "falcon",
];

/// The name of the cut that a pre-tokenizer makes, if it has one; `whole` says whether a piece that is a
/// token is that token, whatever the merges say.
pub(super) fn name_of(given: &PreTokenizerWrapper, whole: bool) -> Option<&'static str> {
    let given = patterns(given)?;
    NAMES.into_iter().find(|name| {
        Cut::named(name).is_some_and(|cut| {
            let gpt2 = cut.gpt2.then_some(GPT2_STEP);
            cut.whole == whole
                && given.iter().map(String::as_str).eq(cut.patterns.iter().copied().chain(gpt2))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(json: &str, whole: bool) -> Option<&'static str> {
        name_of(&serde_json::from_str(json).expect("a pre-tokenizer"), whole)
    }

    #[test]
    fn every_cut_has_a_name_that_is_its_own() {
        for name in NAMES {
            let cut = Cut::named(name).expect("is known");
            assert_eq!(name_of(&cut.pre_tokenizer().expect("compiles"), cut.whole), Some(name));
            assert_ne!(name_of(&cut.pre_tokenizer().expect("compiles"), !cut.whole), Some(name));
        }
    }

    #[test]
    fn cuts_as_tokenizer_json_spells_them() {
        let bytes = |regex: bool, space: bool| {
            format!(
                r#"{{"type":"ByteLevel","add_prefix_space":{space},"trim_offsets":false,"use_regex":{regex}}}"#
            )
        };
        let sequence =
            |first: &str, last: &str| format!(r#"{{"type":"Sequence","pretokenizers":[{first},{last}]}}"#);
        let digits = |each: bool| format!(r#"{{"type":"Digits","individual_digits":{each}}}"#);
        let split = |regex: &str, behavior: &str| {
            let regex = serde_json::to_string(regex).expect("a text");
            format!(
                r#"{{"type":"Split","pattern":{{"Regex":{regex}}},"behavior":"{behavior}","invert":false}}"#
            )
        };
        assert_eq!(named(&bytes(true, false), false), Some("gpt-2"));
        assert_eq!(named(&bytes(true, true), false), None, "a space before the text");
        assert_eq!(named(&bytes(true, false), true), None);
        assert_eq!(named(&sequence(&digits(true), &bytes(true, false)), false), Some("smollm"));
        assert_eq!(
            named(&sequence(&split(GPT2_STEP, "Isolated"), &bytes(false, false)), false),
            Some("gpt-2")
        );
        assert_eq!(named(&sequence(&digits(false), &bytes(true, false)), false), None);
        let first = |name: &str| Cut::named(name).expect("is known").patterns[0];
        let (llama3, qwen2) = (first("llama-bpe"), first("qwen2"));
        let llama = sequence(&split(llama3, "Isolated"), &bytes(false, false));
        assert_eq!((named(&llama, true), named(&llama, false)), (Some("llama-bpe"), Some("dbrx")));
        assert_eq!(named(&sequence(&split(llama3, "Removed"), &bytes(false, false)), true), None);
        assert_eq!(named(&sequence(&split(llama3, "Isolated"), &bytes(true, false)), true), None);
        assert_eq!(named(&sequence(&split(qwen2, "Isolated"), &bytes(false, false)), false), Some("qwen2"));
        assert_eq!(named(r#"{"type":"Whitespace"}"#, false), None);
    }
}
