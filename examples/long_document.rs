//! A document of any length in constant memory: position, speed, state and process memory while the built-in
//! model reads a file, or a million characters of a repeated text.
//!
//! ```sh
//! cargo run --release --example long_document            # a million characters
//! cargo run --release --example long_document -- book.txt
//! ```

use std::io::Read;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use polysketch::{AdapterRequest, Engine, Error, LoadOptions, ModelSource, Result, Session};

/// The built-in document: this, repeated.
const TEXT: &str = "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness, it was \
the epoch of belief, it was the epoch of incredulity, it was the season of Light, it was the season of Darkness.\n";
const CHARACTERS: usize = 1_000_000;
/// Bytes of text read and tokenized at a time, so that the document itself is never in memory.
const PIECE: usize = 1 << 14;

fn main() -> Result<()> {
    let path = std::env::args_os().nth(1).map(PathBuf::from);
    let name = path.as_ref().map_or("the built-in text".into(), |path| path.display().to_string());
    let document: Box<dyn Read> = match path {
        Some(path) => Box::new(std::fs::File::open(path).map_err(|e| Error::io(&name, &e))?),
        None => Box::new(Repeated { at: 0 }),
    };
    pollster::block_on(read(document, &name))
}

async fn read(mut document: Box<dyn Read>, name: &str) -> Result<()> {
    let engine = Engine::create(&AdapterRequest::default()).await?;
    let model = engine.load(ModelSource::builtin()?, &LoadOptions::default(), &mut |_, _| {}).await?;
    let mut session = Session::new(&model).await?;
    let config = model.config();
    // What softmax would keep of each token: keys and values of all layers.
    let cache = 2 * config.num_hidden_layers * config.hidden_size * 4;
    println!("{name} on {}", model.executor().name());
    println!(
        "{:>9} {:>10} {:>10} {:>13} {:>22}",
        "position", "tokens/s", "state", "process", "key-value cache would be"
    );

    let (mut bytes, mut piece) = (Vec::new(), vec![0; PIECE]);
    let (mut next, mut since, mut from) = (1024, Instant::now(), 0);
    loop {
        let n = document.read(&mut piece).map_err(|e| Error::io(name, &e))?;
        bytes.extend_from_slice(&piece[..n]);
        // Only whole words go on, so that the tokens do not depend on where the pieces end; but no word is
        // longer than a few pieces.
        let end = if n == 0 || bytes.len() > 4 * PIECE {
            bytes.len()
        } else {
            bytes.iter().rposition(|b| *b == b' ' || *b == b'\n').unwrap_or(0)
        };
        let text = String::from_utf8_lossy(&bytes[..end]).into_owned();
        bytes.drain(..end);
        let ids = model.tokenizer()?.encode(&text)?;
        for ids in ids.chunks(1024) {
            session.prefill(0, ids, &mut |_| ControlFlow::Continue(())).await?;
            let position = session.position(0);
            if position >= next {
                let rate = (position - from) as f64 / since.elapsed().as_secs_f64();
                let (state, cache) =
                    (session.state_bytes() as f64 / 1024.0, (cache * position) as f64 / f64::from(1 << 20));
                println!(
                    "{position:>9} {rate:>10.0} {state:>6.0} KiB {:>13} {cache:>20.1} MiB",
                    process_memory()
                );
                (next, from) = (next * 2, position);
                since = Instant::now();
            }
        }
        if n == 0 {
            println!("{} tokens in all", session.position(0));
            return Ok(());
        }
    }
}

/// Resident memory of this process, where the system tells.
fn process_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.map_or_else(|| "?".to_string(), |kib| format!("{:.1} MiB", kib / 1024.0))
}

/// [`TEXT`], over and over, [`CHARACTERS`] in all.
struct Repeated {
    at: usize,
}

impl Read for Repeated {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let n = out.len().min(CHARACTERS - self.at);
        for (i, byte) in out[..n].iter_mut().enumerate() {
            *byte = TEXT.as_bytes()[(self.at + i) % TEXT.len()];
        }
        self.at += n;
        Ok(n)
    }
}
