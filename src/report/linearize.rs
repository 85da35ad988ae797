//! What a linearised model is worth beside its teacher (SPEC §10): perplexity and KL by position, recall, state and
//! speed, answers side by side.

use std::time::Instant;

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{ChatTemplate, Conversation, GenerateOptions, Generation, Message, Model, Session};

/// Tokens that models read at a time: all their logits are at hand then.
const AT_ONCE: usize = 256;
/// First positions that are counted together; each further bucket is twice as long as all before it.
const FIRST_BUCKET: usize = 256;

/// How a model predicts some positions of texts, beside its teacher.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Prediction {
    /// Tokens.
    pub tokens: usize,
    /// Sum of negative log-likelihoods, in nats.
    nll: f64,
    /// Sum of KL(teacher ‖ model), in nats.
    kl: f64,
    /// Tokens whose likeliest is the teacher's.
    same: usize,
}

impl Prediction {
    fn add(&mut self, other: Self) {
        self.tokens += other.tokens;
        self.nll += other.nll;
        self.kl += other.kl;
        self.same += other.same;
    }

    /// Perplexity.
    pub fn perplexity(&self) -> f64 {
        (self.nll / self.tokens as f64).exp()
    }

    /// KL to the teacher, in nats a token.
    pub fn kl(&self) -> f64 {
        self.kl / self.tokens as f64
    }

    /// Share of tokens whose likeliest is the teacher's.
    pub fn same_token(&self) -> f64 {
        self.same as f64 / self.tokens as f64
    }
}

/// Predictions by position: 1 to 255, then buckets that double.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Positions(pub Vec<Prediction>);

impl Positions {
    fn add(&mut self, position: usize, prediction: Prediction) {
        let bucket = (position / FIRST_BUCKET).checked_ilog2().map_or(0, |log| log as usize + 1);
        if self.0.len() <= bucket {
            self.0.resize(bucket + 1, Prediction::default());
        }
        self.0[bucket].add(prediction);
    }

    /// First and last position of a bucket.
    pub fn range(bucket: usize) -> [usize; 2] {
        match bucket {
            0 => [1, FIRST_BUCKET - 1],
            n => [FIRST_BUCKET << (n - 1), (FIRST_BUCKET << n) - 1],
        }
    }

    /// All of them.
    pub fn all(&self) -> Prediction {
        let mut sum = Prediction::default();
        self.0.iter().for_each(|part| sum.add(*part));
        sum
    }
}

/// Logarithms of probabilities from logits.
fn log_softmax(logits: &[f32]) -> (Vec<f64>, usize) {
    let best = (0..logits.len()).fold(0, |best, i| if logits[i] > logits[best] { i } else { best });
    let high = f64::from(logits[best]);
    let sum: f64 = logits.iter().map(|x| (f64::from(*x) - high).exp()).sum();
    let norm = high + sum.ln();
    (logits.iter().map(|x| f64::from(*x) - norm).collect(), best)
}

/// Reads texts with a teacher and its students side by side; the first of the results is the teacher's own.
/// `progress` is told tokens done.
///
/// # Errors
/// Those of the models.
pub async fn predictions(
    models: &[&Model],
    texts: &[Vec<u32>],
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<Positions>> {
    let mut all = vec![Positions::default(); models.len()];
    let mut done = 0;
    let mut sessions = Vec::new();
    for model in models {
        sessions.push(Session::new(model).await?);
    }
    for text in texts {
        sessions.iter_mut().for_each(|session| session.reset(0));
        for first in (0..text.len()).step_by(AT_ONCE) {
            let part = &text[first..text.len().min(first + AT_ONCE)];
            let mut logits = Vec::new();
            for session in &mut sessions {
                logits.push(session.forward(&[0], &[part], false).await?.0);
            }
            for (i, &next) in text.iter().skip(first + 1).take(part.len()).enumerate() {
                let vocabulary = logits[0].len() / part.len();
                let row = |of: &[f32]| log_softmax(&of[i * vocabulary..(i + 1) * vocabulary]);
                let (teacher, best) = row(&logits[0]);
                for (at, (logits, result)) in logits.iter().zip(&mut all).enumerate() {
                    let (own, likeliest) = if at == 0 { (teacher.clone(), best) } else { row(logits) };
                    let kl = teacher.iter().zip(&own).map(|(t, s)| t.exp() * (t - s)).sum();
                    let prediction = Prediction {
                        tokens: 1,
                        nll: -own[next as usize],
                        kl,
                        same: usize::from(likeliest == best),
                    };
                    result.add(first + i + 1, prediction);
                }
            }
            done += part.len();
            progress(done);
        }
    }
    Ok(all)
}

/// How well a model says again what it was told.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Recall {
    /// Tokens of other text between telling and asking.
    pub distance: usize,
    /// Numbers asked for.
    pub trials: usize,
    /// Digits that it ranks first, of all.
    pub first: f64,
    /// Mean log-probability of a digit, in nats.
    pub log_probability: f64,
}

/// Names of those who have a number.
const NAMES: [&str; 8] = ["Arthur", "Helen", "Oliver", "Martha", "Edmund", "Rosa", "Walter", "Clara"];

/// A number of four digits told at the start, and asked for after other text.
///
/// # Errors
/// [`ErrorKind::Input`] for filler of fewer tokens; those of the model.
pub async fn recall(model: &Model, filler: &[u32], distance: usize, trials: usize) -> Result<Recall> {
    if filler.len() < distance {
        let text = format!("{} tokens of filler, {distance} are needed", filler.len());
        return Err(Error::new(ErrorKind::Input, text).help("give a longer text"));
    }
    let tokenizer = model.tokenizer()?;
    let mut session = Session::new(model).await?;
    let (mut sum, mut first, mut digits) = (0.0, 0, 0);
    for trial in 0..trials {
        let digit = |j: usize| char::from(b'0' + ((7 * trial + 3 * j * j + trial * j + 1) % 10) as u8);
        let answer: String = (0..4).map(digit).collect();
        let asked = format!(" The secret number of {} is", NAMES[trial % NAMES.len()]);
        let head = tokenizer.encode(&format!("Remember this.{asked} {answer}.\n\n"))?;
        let tail = tokenizer.encode(&format!("\n\nNow remember.{asked} "))?;
        let answer = tokenizer.encode(&answer)?;
        let at = trial * (filler.len() - distance) / trials.max(1);
        session.reset(0);
        let before = [&head[..], &filler[at..at + distance], &tail[..]].concat();
        session.prefill(0, &before, &mut |_| std::ops::ControlFlow::Continue(())).await?;
        // The first digit is of the logits after the question, the others of those after the digits before.
        let vocabulary = model.config().vocab_size;
        let mut logits = session.logits(0).await?;
        logits.extend(session.forward(&[0], &[&answer], false).await?.0);
        for (row, &id) in logits.chunks_exact(vocabulary).zip(&answer) {
            let (logs, best) = log_softmax(row);
            sum += logs[id as usize];
            first += usize::from(best == id as usize);
            digits += 1;
        }
    }
    let n = f64::from(digits);
    Ok(Recall { distance, trials, first: first as f64 / n, log_probability: sum / n })
}

/// What a text of some length costs.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Cost {
    /// Tokens of the text.
    pub tokens: usize,
    /// Bytes that are kept of it.
    pub bytes: usize,
    /// Tokens a second that it is read at, over all of it.
    pub reading: f64,
    /// Seconds a token that is written at its end.
    pub writing: f64,
}

/// Reads a text to some lengths, and writes a few tokens at each.
///
/// # Errors
/// Those of the model.
pub async fn costs(model: &Model, text: &[u32], lengths: &[usize]) -> Result<Vec<Cost>> {
    const WRITTEN: usize = 16;
    let mut session = Session::new(model).await?;
    let mut costs = Vec::new();
    let (mut read, mut time, mut of_reading) = (0, 0.0, 0);
    for &tokens in lengths {
        // What was written at the last length is a part of the text.
        let Some(part) = text.get(read..tokens).filter(|part| !part.is_empty()) else {
            let what = format!("a length of {tokens} tokens after {read}, of a text of {}", text.len());
            return Err(Error::new(ErrorKind::Input, what)
                .help("give lengths that grow by at least 32, and a text as long as the last"));
        };
        let began = Instant::now();
        session.prefill(0, part, &mut |_| std::ops::ControlFlow::Continue(())).await?;
        time += began.elapsed().as_secs_f64();
        of_reading += part.len();
        let options = GenerateOptions::greedy(WRITTEN);
        session.decode(&[0], &[&options], 1).await?;
        let began = Instant::now();
        let (mut written, mut steps) = (0, 0);
        while written < WRITTEN {
            let ids = session.decode(&[0], &[&options], WRITTEN - written).await?;
            written += ids[0].len();
            steps += 1;
            if steps > WRITTEN {
                break;
            }
        }
        let writing = began.elapsed().as_secs_f64() / written.max(1) as f64;
        let bytes = session.bytes_of(tokens);
        costs.push(Cost { tokens, bytes, reading: of_reading as f64 / time, writing });
        read = session.position(0);
    }
    Ok(costs)
}

/// An answer of each model to one prompt.
#[derive(Clone, Debug, Serialize)]
pub struct Answers {
    /// What was asked.
    pub prompt: String,
    /// What each said.
    pub answers: Vec<String>,
}

/// What people ask.
pub const PROMPTS: [&str; 20] = [
    "What is the capital of France?",
    "Explain in two sentences why the sky is blue.",
    "Write a short poem about the sea.",
    "Give me three tips for learning a language.",
    "What is the difference between a comet and an asteroid?",
    "Translate into French: Good morning, my friend.",
    "Write a Python function that reverses a string.",
    "Who wrote Pride and Prejudice?",
    "Suggest a simple dinner with eggs and tomatoes.",
    "What is 17 plus 25?",
    "Summarise the story of Cinderella in three sentences.",
    "How do vaccines work?",
    "Name five animals that live in Africa.",
    "What should I pack for a weekend in the mountains?",
    "Explain what a database index is.",
    "Write a polite email asking for a day off.",
    "Why do leaves change colour in autumn?",
    "What is the largest planet of the solar system?",
    "Give me a riddle and its answer.",
    "How can I sleep better?",
];

/// The answers of models to [`PROMPTS`], or the first few, each the likeliest tokens.
///
/// # Errors
/// Those of the models and their templates.
pub async fn answers(models: &[&Model], prompts: usize, tokens: usize) -> Result<Vec<Answers>> {
    let mut all: Vec<Answers> =
        PROMPTS.iter().take(prompts).map(|p| Answers { prompt: (*p).into(), answers: Vec::new() }).collect();
    for model in models {
        let template = model.conventions().template()?.clone();
        let mut session = Session::new(model).await?;
        for answers in &mut all {
            let text = answer(&mut session, model, template.clone(), &answers.prompt, tokens).await?;
            answers.answers.push(text);
        }
    }
    Ok(all)
}

async fn answer(
    session: &mut Session,
    model: &Model,
    template: ChatTemplate,
    prompt: &str,
    tokens: usize,
) -> Result<String> {
    session.reset(0);
    let mut conversation = Conversation::new(template, None);
    let reading = conversation.ask_all(session, 0, vec![Message::new("user", prompt)])?;
    session.prefill(0, &reading.ids, &mut |_| std::ops::ControlFlow::Continue(())).await?;
    let mut generation = Generation::new(model, 0, &GenerateOptions::greedy(tokens))?;
    generation.run(session, &mut |_| std::ops::ControlFlow::Continue(())).await?;
    Ok(generation.finish().text)
}
