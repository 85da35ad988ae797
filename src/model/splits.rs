//! How byte-level vocabularies cut a text before they merge bytes: by the names that GGUF files use
//! (`tokenizer.ggml.pre`). Each pattern cuts the pieces of the one before it.

use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{PreTokenizerWrapper, SplitDelimiterBehavior};

/// A way to cut a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// Patterns that come before the last cut.
    pub patterns: &'static [&'static str],
    /// Whether the last cut is GPT-2's.
    pub gpt2: bool,
    /// Whether a piece that is a token is that token, whatever the merges say.
    pub whole: bool,
    /// Whether a text begins with the first token where the file does not say.
    pub begins: bool,
}

/// One digit.
pub(super) const DIGIT: &str = r"\p{N}";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DEEPSEEK3: [&str; 3] = [
    r"\p{N}{1,3}",
    r"[一-龥぀-ゟ゠-ヿ]+",
    r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##,
];
const DEEPSEEK_CODER: [&str; 5] = [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", r"[一-龥ࠀ-一가-\x{D7FF}]+", DIGIT];
/// What files have that do not say.
const UNNAMED: [&str; 4] = [
    r"[\p{P}\$\+<=>\^~\|]+",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
    r"\p{N}+",
    r"[0-9][0-9][0-9]",
];
const FALCON: [&str; 3] = [
    r"[\p{P}\$\+<=>\^~\|`]+",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
    r"[0-9][0-9][0-9]",
];

impl Cut {
    /// GPT-2's, of vocabularies that have nothing more to say.
    pub const GPT2: Self = Self { patterns: &[], gpt2: true, whole: false, begins: false };
    /// Qwen's.
    pub const QWEN2: Self = Self { patterns: &[QWEN2], gpt2: false, whole: false, begins: false };

    /// The cut of this name; none if it is not known.
    pub fn named(name: &str) -> Option<Self> {
        let by =
            |patterns: &'static [&'static str]| Self { patterns, gpt2: false, whole: false, begins: false };
        Some(match name {
            "gpt-2" | "gpt2" | "phi-2" | "mpt" | "olmo" | "jais" | "roberta-bpe" | "gigachat" | "mellum"
            | "trillion" | "granite-docling" | "exaone4" | "a.x-4.0" => Self::GPT2,
            "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" | "exaone" | "minerva-7b" => {
                Self { patterns: &[DIGIT], ..Self::GPT2 }
            }
            "llama-bpe" | "llama3" | "llama-v3" | "falcon3" | "falcon-h1" | "pixtral" | "midm-2.0"
            | "lfm2" => Self { whole: true, begins: true, ..by(&[LLAMA3]) },
            "dbrx" | "smaug-bpe" | "glm4" | "chatglm-bpe" => by(&[LLAMA3]),
            "qwen2" | "deepseek-r1-qwen" | "stablelm2" | "hunyuan" | "megrez" | "grok-2" | "kormo" => {
                Self::QWEN2
            }
            "qwen35" => by(&[QWEN35]),
            "tekken" => Self { whole: true, begins: true, ..by(&[TEKKEN]) },
            "gpt-4o" | "llama4" | "o200k" => by(&[GPT4O]),
            "deepseek-v3" | "hunyuan-dense" => by(&DEEPSEEK3),
            "deepseek-coder" => by(&DEEPSEEK_CODER),
            "falcon" => by(&FALCON),
            "default" | "" => by(&UNNAMED),
            _ => return None,
        })
    }

    /// For the library.
    pub fn pre_tokenizer(&self) -> tokenizers::Result<PreTokenizerWrapper> {
        let bytes = ByteLevel::new(false, true, self.gpt2);
        if self.patterns.is_empty() {
            return Ok(bytes.into());
        }
        let mut steps: Vec<PreTokenizerWrapper> = Vec::new();
        for pattern in self.patterns {
            let pattern = SplitPattern::Regex((*pattern).into());
            steps.push(Split::new(pattern, SplitDelimiterBehavior::Isolated, false)?.into());
        }
        steps.push(bytes.into());
        Ok(Sequence::new(steps).into())
    }
}
