//! A text made in one run is the text made in two: in one session, and through a saved state.

use std::ops::ControlFlow;

use pollster::block_on;
use polysketch::exec::{CpuExecutor, Executor};
use polysketch::model::{
    Engine, GenerateOptions, Generated, LoadOptions, Model, ModelConfig, ModelSource, Session, StopReason,
    Tokenizer,
};
use polysketch::train::initial::new_model;

/// A model that knows nothing and draws bytes at random: most of them are no characters.
fn source(tokenizer: Tokenizer, vocab_size: usize) -> ModelSource {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/configs/tiny.json"))
        .expect("reads");
    let (mut config, _) = ModelConfig::from_json(&text, "tiny").expect("good");
    config.vocab_size = vocab_size;
    new_model(config, tokenizer, 3).expect("fits")
}

fn load(source: ModelSource) -> Model {
    let engine = Engine::on(Executor::Cpu(CpuExecutor::default()));
    block_on(engine.load(source, &LoadOptions::default(), &mut |_, _| {})).expect("loads")
}

fn begun(model: &Model) -> Session {
    let mut session = block_on(Session::new(model)).expect("starts");
    let go_on = &mut |_| ControlFlow::Continue(());
    block_on(session.prefill(0, &[65, 66], go_on)).expect("reads");
    session
}

fn write(session: &mut Session, tokens: usize, stop: &[String]) -> Generated {
    // Only bytes of a few characters, so that some are whole.
    let options = GenerateOptions {
        max_tokens: tokens,
        temperature: 1.0,
        top_k: 9,
        top_p: 1.0,
        min_p: 0.0,
        repetition_penalty: Some(1.0),
        seed: 5,
        stop: stop.to_vec(),
    };
    let go_on = &mut |_: &str| ControlFlow::Continue(());
    block_on(session.generate(0, &options, go_on)).expect("writes")
}

#[test]
fn one_text_however_it_is_cut() {
    const TOKENS: usize = 40;
    // A tokenizer whose likeliest tokens are the bytes of few characters.
    let vocab: String = (0..9)
        .map(|id| {
            format!("\"{}\":{id}", ["é", "a", "<0xC3>", "<0xA9>", "<0xE6>", "<0x97>", "<0xA5>", "▁", "b"][id])
        })
        .collect::<Vec<_>>()
        .join(",");
    let json = format!(
        r#"{{"version":"1.0","added_tokens":[],"normalizer":null,"pre_tokenizer":null,"post_processor":null,
        "decoder":{{"type":"Sequence","decoders":[{{"type":"Replace","pattern":{{"String":"▁"}},"content":" "}},
            {{"type":"ByteFallback"}},{{"type":"Fuse"}},{{"type":"Strip","content":" ","start":1,"stop":0}}]}},
        "model":{{"type":"BPE","byte_fallback":true,"unk_token":null,"vocab":{{{vocab}}},"merges":[]}}}}"#
    );
    let tokenizer = Tokenizer::from_json_bytes(json.as_bytes(), "few").expect("loads");
    let few = load(source(tokenizer, 100));
    let bytes = load(source(Tokenizer::bytes(), 257));
    for (model, stops) in [
        (&bytes, vec![]),
        (&few, vec![]),
        (&few, ["ab", "ba", "a é", "éa", "aé", "éb", " é", "日"].map(String::from).to_vec()),
    ] {
        let mut session = begun(model);
        let whole = write(&mut session, TOKENS, &stops);
        let rest = session.finish_text(0);
        for cut in 1..whole.ids.len() {
            let mut session = begun(model);
            let first = write(&mut session, cut, &stops);
            assert!(whole.text.starts_with(&first.text), "{cut}: {:?} {:?}", first.text, whole.text);
            let state = block_on(session.save(0)).expect("saves");
            let mut other = block_on(Session::new(model)).expect("starts");
            block_on(other.load(0, &state, "state")).expect("loads");
            for session in [&mut session, &mut other] {
                let second = write(session, TOKENS - cut, &stops);
                assert_eq!([&first.ids[..], &second.ids].concat(), whole.ids, "{cut}");
                assert_eq!(first.text.clone() + &second.text, whole.text, "{cut}");
                assert_eq!((second.reason, session.finish_text(0)), (whole.reason, rest.clone()), "{cut}");
            }
        }
        if stops.is_empty() {
            // What is held back is given out once.
            let mut session = begun(model);
            let first = write(&mut session, TOKENS, &[]);
            assert_eq!(first.text + &session.finish_text(0) + &session.finish_text(0), whole.text + &rest);
        } else {
            assert_eq!(whole.reason, StopReason::StopString);
        }
    }
}

#[test]
fn what_is_read_in_between_settles_what_was_held_back() {
    let model = load(source(Tokenizer::bytes(), 257));
    let mut session = begun(&model);
    let first = write(&mut session, 30, &[]);
    let mut copy = block_on(session.fork()).expect("copies");
    let held = copy.finish_text(0);
    let state = {
        block_on(session.prefill(0, &[65], &mut |_| ControlFlow::Continue(()))).expect("reads");
        block_on(session.save(0)).expect("saves")
    };
    let mut other = block_on(Session::new(&model)).expect("starts");
    block_on(other.load(0, &state, "state")).expect("loads");
    for session in [&mut session, &mut other] {
        let second = write(session, 20, &[]);
        assert!(second.text.starts_with(&held), "{first:?} {held:?} {second:?}");
    }
}

/// Ids that have no text are never drawn, whatever the model thinks of them.
#[test]
fn holes_are_never_sampled() {
    let json = br#"{"version":"1.0","added_tokens":[],"normalizer":null,"pre_tokenizer":null,"post_processor":null,"decoder":null,
        "model":{"type":"WordLevel","unk_token":"a","vocab":{"a":3,"b":7,"c":8,"d":11,"e":15}}}"#;
    let tokenizer = Tokenizer::from_json_bytes(json, "holes").expect("loads");
    let model = load(source(tokenizer, 64));
    for options in [
        GenerateOptions {
            max_tokens: 200,
            temperature: 1e6,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            ..GenerateOptions::default()
        },
        GenerateOptions { max_tokens: 200, temperature: 2.0, ..GenerateOptions::default() },
        GenerateOptions { repetition_penalty: Some(3.0), ..GenerateOptions::greedy(40) },
    ] {
        let mut session = block_on(Session::new(&model)).expect("starts");
        let go_on = &mut |_| ControlFlow::Continue(());
        // Ids that have none may be read.
        block_on(session.prefill(0, &[3, 50, 7], go_on)).expect("reads");
        let done =
            block_on(session.generate(0, &options, &mut |_| ControlFlow::Continue(()))).expect("writes");
        assert_eq!(done.ids.len(), options.max_tokens);
        assert!(done.ids.iter().all(|id| [3, 7, 8, 11, 15].contains(id)), "{:?}", done.ids);
    }
}
