//! Text from code: loads the built-in model on the best device, and streams what it writes.
//!
//! ```sh
//! cargo run --release --example generate -- "It was a dark and stormy night"
//! ```

use std::io::{Write, stdout};
use std::ops::ControlFlow;

use polysketch::{AdapterRequest, Engine, GenerateOptions, LoadOptions, ModelSource, Session};

fn main() -> polysketch::Result<()> {
    let given = std::env::args_os().nth(1).map(|text| text.to_string_lossy().into_owned());
    let prompt = given.unwrap_or_else(|| "The old man looked at the sea, and".to_string());
    pollster::block_on(async {
        // A real GPU, or else the CPU. `ModelSource::open(folder)` loads a model of one's own.
        let engine = Engine::create(&AdapterRequest::default()).await?;
        let model = engine.load(ModelSource::builtin()?, &LoadOptions::default(), &mut |_, _| {}).await?;
        eprintln!("on {}", model.executor().name());

        let mut session = Session::new(&model).await?;
        let ids = model.tokenizer()?.encode(&prompt)?;
        session.prefill(0, &ids, &mut |_| ControlFlow::Continue(())).await?;

        print!("{prompt}");
        let options = GenerateOptions { max_tokens: 200, seed: 1, ..GenerateOptions::default() };
        let done = session
            .generate(0, &options, &mut |piece| {
                // A reader who has gone away ends it.
                if write!(stdout(), "{piece}").and_then(|()| stdout().flush()).is_ok() {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })
            .await?;
        // Half a character, if the last token left one.
        println!("{}", session.finish_text(0));
        eprintln!(
            "{} tokens, ended by {:?}; the state has {} bytes at any length",
            done.ids.len(),
            done.reason,
            session.state_bytes()
        );
        Ok(())
    })
}
