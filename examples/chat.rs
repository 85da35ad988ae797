//! A conversation from code: two questions to a model with a chat template, of which the second reads only
//! what is new.
//!
//! ```sh
//! cargo run --release --example chat -- MODEL.gguf "What is the capital of France?" "And of Italy?"
//! ```

use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;

use polysketch::model::Conversation;
use polysketch::{
    AdapterRequest, Engine, Error, ErrorKind, GenerateOptions, LoadOptions, ModelSource, Session,
};

fn main() -> polysketch::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((path, questions)) = arguments.split_first() else {
        return Err(Error::new(ErrorKind::Input, "give a model, and what to say to it"));
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
            println!("> {question}");
            let reading = conversation.ask(&mut session, 0, question)?;
            session.prefill(0, &reading.ids, &mut |_| ControlFlow::Continue(())).await?;
            let mut print = |piece: &str| {
                print!("{piece}");
                // A reader who has gone away ends it.
                if std::io::stdout().flush().is_ok() {
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
