//! A conversation from code: two questions to a model with a chat template, of which the second reads only
//! what is new.
//!
//! ```sh
//! cargo run --release --example chat -- MODEL.gguf "What is the capital of France?" "And of Italy?"
//! ```

use std::ffi::OsString;
use std::io::{Write, stdout};
use std::ops::ControlFlow;
use std::path::Path;

use polysketch::model::Conversation;
use polysketch::{
    AdapterRequest, Engine, Error, ErrorKind, GenerateOptions, LoadOptions, ModelSource, Session,
};

fn main() -> polysketch::Result<()> {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let Some((path, questions)) = arguments.split_first() else {
        let error = Error::new(ErrorKind::Input, "give a model, and what to say to it");
        return Err(error.help("such as MODEL.gguf \"What is the capital of France?\""));
    };
    pollster::block_on(async {
        // A folder, or a GGUF file: its weights stay in the file's own few bits.
        let source = ModelSource::open(Path::new(path))?;
        let engine = Engine::create(&AdapterRequest::default()).await?;
        let model = engine.load(source, &LoadOptions::default(), &mut |_, _| {}).await?;

        let template = model.conventions().template()?.clone();
        let mut conversation = Conversation::new(template, Some("You answer in one sentence."));
        let mut session = Session::new(&model).await?;
        let greedy = GenerateOptions::greedy(200);
        for question in questions {
            let question = question.to_string_lossy();
            println!("> {question}");
            let reading = conversation.ask(&mut session, 0, &question)?;
            session.prefill(0, &reading.ids, &mut |_| ControlFlow::Continue(())).await?;
            let mut print = |piece: &str| {
                // A reader who has gone away ends it.
                if write!(stdout(), "{piece}").and_then(|()| stdout().flush()).is_ok() {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            };
            let mut said = session.generate(0, &greedy, &mut print).await?;
            println!("{}", conversation.answered(&mut session, 0, &mut said)?);
            eprintln!("[read {}, wrote {} tokens]", reading.ids.len(), said.ids.len());
        }
        Ok(())
    })
}
