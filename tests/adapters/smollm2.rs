//! A real model, SmolLM2-135M-Instruct in a GGUF file: tokens, chats, logits, texts and perplexity as an
//! independent f64 implementation found them (`tests/public/smollm2/expected.json`).
//!
//! `tests/setup` fetches the file, 98 MB, once; `SMOLLM2` names another place. Without it these tests are
//! ignored, by name.

use std::ops::ControlFlow;
use std::path::PathBuf;

use pollster::block_on;
use polysketch::model::{
    EncodeOptions, GenerateOptions, LoadOptions, Message, Model, ModelSource, Session, StopReason,
};
use serde_json::Value;

use crate::places::{Place, Tests, load, public_folder};

const SUITE: &str = "smollm2";

/// The file, where `tests/setup` puts it.
fn file() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = || set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    let usual = || Some(cache()?.join("polysketch-tests/SmolLM2-135M-Instruct.Q4_1.gguf"));
    set("SMOLLM2").or_else(usual).filter(|file| file.is_file())
}

fn expected() -> Value {
    let text = std::fs::read_to_string(public_folder().join("smollm2/expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn ids(list: &Value) -> Vec<u32> {
    list.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

fn source() -> ModelSource {
    ModelSource::open(&file().unwrap()).unwrap()
}

fn model(place: &Place) -> Model {
    load(place.executor(), source(), LoadOptions { max_context: 1024, ..LoadOptions::default() })
}

fn go_on(_: usize) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn tokens_of_texts(_: &Place) {
    let tokenizer = source().tokenizer;
    for text in expected()["texts"].as_array().unwrap() {
        let (words, want) = (text["text"].as_str().unwrap(), ids(&text["ids"]));
        assert_eq!(tokenizer.encode(words).unwrap(), want, "{words:?}");
        assert_eq!(tokenizer.decode(&want), words);
        if let Some(want) = text.get("ids_special_as_text") {
            let how = EncodeOptions { special_as_text: true, ..EncodeOptions::default() };
            assert_eq!(tokenizer.encode_as(words, how, &mut |_| {}).unwrap(), ids(want), "{words:?}");
        }
    }
    let of = &expected()["tokenizer"];
    assert!(tokenizer.begin().is_empty() && of["adds_bos"] == false);
    let ends = [of["eos_token_id"].as_u64(), tokenizer.token_to_id("<|endoftext|>").map(u64::from)];
    assert!(
        ends.iter().all(|end| tokenizer.ends().iter().any(|id| Some(u64::from(*id)) == *end)),
        "{ends:?}"
    );
}

fn chats(_: &Place) {
    let ModelSource { tokenizer, conventions, .. } = source();
    let template = conventions.template().unwrap();
    for chat in expected()["chats"].as_array().unwrap() {
        let messages: Vec<Message> = serde_json::from_value(chat["messages"].clone()).unwrap();
        let rendered = template.render(&messages, chat["add_generation_prompt"] == true).unwrap();
        assert_eq!(Some(rendered.as_str()), chat["rendered"].as_str());
        assert_eq!(tokenizer.encode(&rendered).unwrap(), ids(&chat["ids"]));
    }
}

/// The logits after a prompt, and the likeliest text, to its end or the first tokens of it.
fn goes_on(session: &mut Session, prompt: &Value, most: usize) {
    session.reset(0);
    let name = &prompt["text"];
    block_on(session.prefill(0, &ids(&prompt["ids"]), &mut go_on)).unwrap();
    let logits = block_on(session.logits(0)).unwrap();
    let largest = f64::from(logits.iter().copied().fold(0.0, |a: f32, b| a.max(b.abs())));
    let total: f64 = logits.iter().map(|x| f64::from(*x).exp()).sum();
    for top in prompt["top20"].as_array().unwrap() {
        let (id, logit, log_probability) =
            (top[0].as_u64().unwrap() as usize, top[1].as_f64().unwrap(), top[2].as_f64().unwrap());
        let got = f64::from(logits[id]);
        assert!((got - logit).abs() <= 5e-5 * largest, "{name}: logit of {id} is {got}, must be {logit}");
        let got = got - total.ln();
        assert!((got - log_probability).abs() <= 2e-3, "{name}: {got}, must be {log_probability}");
    }
    let want = ids(&prompt["continuation"]);
    let n = want.len().min(most);
    let options = GenerateOptions::greedy(n);
    let said = block_on(session.generate(0, &options, &mut |_| ControlFlow::Continue(()))).unwrap();
    assert_eq!(said.ids, want[..n], "{name}");
    if n == want.len() {
        let text = said.text + &session.finish_text(0);
        // There the end is written out.
        let want = prompt["continuation_text"].as_str().unwrap();
        assert_eq!(text, want.strip_suffix("<|im_end|>").unwrap_or(want), "{name}");
        assert_eq!(said.reason == StopReason::EndOfText, prompt["ended"] == true, "{name}");
    }
}

fn texts_go_on(place: &Place) {
    let mut session = block_on(Session::new(&model(place))).unwrap();
    for prompt in expected()["prompts"].as_array().unwrap() {
        goes_on(&mut session, prompt, usize::MAX);
    }
}

fn a_text_goes_on(place: &Place) {
    let mut session = block_on(Session::new(&model(place))).unwrap();
    goes_on(&mut session, &expected()["prompts"][0], 6);
}

fn perplexity(place: &Place) {
    let want = &expected()["perplexity"];
    let model = model(place);
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/sybil.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let all = model.tokenizer().unwrap().encode(&text).unwrap();
    let (n, window) = (want["tokens"].as_u64().unwrap() as usize, want["window"].as_u64().unwrap() as usize);
    let all = &all[..n];
    let (first, last) = (ids(&want["first_ids"]), ids(&want["last_ids"]));
    assert!(all.starts_with(&first) && all.ends_with(&last), "another text");
    let mut session = block_on(Session::new(&model)).unwrap();
    for (part, want) in all.chunks(window).zip(want["windows"].as_array().unwrap()) {
        session.reset(0);
        let mut nll = Vec::new();
        let mut add = |_: usize, more: &[f32]| {
            nll.extend(more.iter().map(|x| f64::from(*x)));
            ControlFlow::Continue(())
        };
        block_on(session.score(0, part, &mut add)).unwrap();
        let (mean, want) = (nll.iter().sum::<f64>() / nll.len() as f64, want.as_f64().unwrap());
        assert!(nll.len() == window - 1 && (mean - want).abs() <= 1e-4, "{mean} nats, must be {want}");
    }
}

pub fn add(tests: &mut Tests) {
    let on_the_cpu = |place: &Place| place.name == "cpu";
    tests.each(on_the_cpu, SUITE, "tokens_of_texts", tokens_of_texts);
    tests.each(on_the_cpu, SUITE, "chats", chats);
    tests.each(on_the_cpu, SUITE, "texts_go_on", texts_go_on);
    tests.each(on_the_cpu, SUITE, "perplexity", perplexity);
    tests.each(|place| place.name == "lavapipe", SUITE, "a_text_goes_on", a_text_goes_on);
    if file().is_none() {
        tests.ignore(SUITE);
    }
}
