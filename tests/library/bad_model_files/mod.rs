//! Damaged and impossible model files, made on the fly: each must give one clean error that names the thing
//! and the value, never a panic.

mod configuration;
mod tokenizers;
mod weights;

use polysketch::model::Tokenizer;
use polysketch::model::checkpoint::Checkpoint;
use polysketch::model::config::ModelConfig;
use polysketch::{Error, ErrorKind};

use configuration::good_config;
use tokenizers::small_tokenizer;
use weights::Model;

pub fn assert_error<T: std::fmt::Debug>(result: Result<T, Error>, kind: ErrorKind, parts: &[&str]) {
    let error = result.expect_err(&format!("should fail with {parts:?}"));
    assert_eq!(error.kind(), kind, "{error}");
    for part in parts {
        assert!(error.message().contains(part), "{part:?} is not in {:?}", error.message());
    }
    assert!(!error.message().contains('\n') && error.message().len() < 600, "{error}");
}

/// Bytes changed at random: any error will do, but no panic and no wild allocation.
#[test]
fn random_damage_never_panics() {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % n.max(1) as u64) as usize
    };
    let specs = Model::new().specs;
    type Load<'a> = &'a dyn Fn(Vec<u8>);
    let sources: [(Vec<u8>, Load<'_>); 3] = [
        (good_config().to_string().into_bytes(), &|b| {
            drop(ModelConfig::from_json(&String::from_utf8_lossy(&b), "fuzz"));
        }),
        (Model::new().bytes(), &|b| {
            drop(
                Checkpoint::from_bytes(b, "fuzz")
                    .map(|c| c.check(&specs).map(|_| specs.iter().for_each(|s| drop(c.f32(&s.name))))),
            );
        }),
        (small_tokenizer().into_bytes(), &|b| {
            drop(
                Tokenizer::from_json_bytes(&b, "fuzz")
                    .and_then(|t| t.encode("to be, ünd <|endoftext|> 日本").map(|ids| t.decode(&ids))),
            );
        }),
    ];
    for (good, load) in sources {
        for _ in 0..2000 {
            let mut bytes = good.clone();
            for _ in 0..=random(4) {
                let at = random(bytes.len().min(4096));
                match random(4) {
                    0 => bytes[at] = random(256) as u8,
                    1 => bytes[at] = b"0123456789eE-+.\"{}[],:ntf"[random(25)],
                    2 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, b'9'),
                }
            }
            load(bytes);
        }
    }
}
