//! What a linearised model is worth beside its teacher (SPEC §10): perplexity and KL by position, recall, state and
//! speed, answers side by side. Each piece is added to what was measured before it, so that a report can be
//! gone on with.

use std::ops::ControlFlow;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::model::buckets::Doubling;
use crate::model::{Conversation, GenerateOptions, Generation, Message, Model, Session};

/// Tokens that models read at a time: all their logits are at hand then.
const AT_ONCE: usize = 256;
/// The buckets of [`Positions`].
pub const BUCKETS: Doubling = Doubling { first: 256 };

/// How a model predicts some positions of texts, beside its teacher: sums over tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Tokens.
    pub tokens: usize,
    /// Negative log-likelihoods, in nats.
    nll: f64,
    /// Tokens that its teacher predicts too.
    compared: usize,
    /// KL(teacher ‖ model), in nats.
    kl: f64,
    /// Tokens whose likeliest is the teacher's.
    same: usize,
}

impl Prediction {
    /// Adds others.
    pub fn add(&mut self, other: Self) {
        self.tokens += other.tokens;
        self.nll += other.nll;
        self.compared += other.compared;
        self.kl += other.kl;
        self.same += other.same;
    }

    /// Perplexity, of any tokens.
    pub fn perplexity(&self) -> Option<f64> {
        (self.tokens > 0).then(|| (self.nll / self.tokens as f64).exp())
    }

    /// KL to the teacher, in nats a token, where the teacher predicts too.
    pub fn kl(&self) -> Option<f64> {
        (self.compared > 0).then(|| self.kl / self.compared as f64)
    }

    /// Share of tokens whose likeliest is the teacher's.
    pub fn same_token(&self) -> Option<f64> {
        (self.compared > 0).then(|| self.same as f64 / self.compared as f64)
    }
}

/// Predictions by position, of each of [`BUCKETS`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Positions(pub Vec<Prediction>);

impl Positions {
    /// Those of a bucket; none of one that was not reached.
    pub fn bucket(&self, bucket: usize) -> Prediction {
        self.0.get(bucket).copied().unwrap_or_default()
    }

    /// All of them.
    pub fn all(&self) -> Prediction {
        let mut sum = Prediction::default();
        self.0.iter().for_each(|part| sum.add(*part));
        sum
    }

    /// Those that a teacher predicts too: of the buckets in which it predicts as many.
    pub fn beside(&self, teacher: &Self) -> Prediction {
        let mut sum = Prediction::default();
        let both = self.0.iter().zip(&teacher.0).filter(|(own, teacher)| own.tokens == teacher.tokens);
        both.for_each(|(own, _)| sum.add(*own));
        sum
    }
}

/// Logarithms of probabilities from logits, and the likeliest.
fn log_softmax(logits: &[f32]) -> (Vec<f64>, usize) {
    let best = (0..logits.len()).fold(0, |best, i| if logits[i] > logits[best] { i } else { best });
    let high = f64::from(logits[best]);
    let sum: f64 = logits.iter().map(|x| (f64::from(*x) - high).exp()).sum();
    let norm = high + sum.ln();
    (logits.iter().map(|x| f64::from(*x) - norm).collect(), best)
}

fn go_on(_: usize) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Reads a text with a teacher, as far as its context goes, and with its students beside it, and adds what
/// each predicts to `all`, the teacher first. `progress` is told tokens done, and may stop it: nothing is
/// added then.
///
/// # Errors
/// [`ErrorKind::Cancelled`]; those of the models.
pub async fn predictions(
    models: &[&Model],
    text: &[u32],
    context: usize,
    all: &mut [Positions],
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<()> {
    let mut sessions = Vec::new();
    for model in models {
        sessions.push(Session::new(model).await?);
    }
    let mut read = all.to_vec();
    for first in (0..text.len()).step_by(AT_ONCE) {
        let part = &text[first..text.len().min(first + AT_ONCE)];
        // What it would predict behind its context is of a bucket that it does not reach.
        let of_teacher = part.len().min(context.saturating_sub(first + 1));
        let mut logits = Vec::new();
        for (at, session) in sessions.iter_mut().enumerate() {
            let part = if at == 0 { &part[..of_teacher] } else { part };
            logits.push(match part {
                [] => Vec::new(),
                part => session.forward(&[0], &[part], false).await?.0,
            });
        }
        let vocabulary = models.first().map_or(0, |model| model.config().vocab_size);
        for (i, &next) in text.iter().skip(first + 1).take(part.len()).enumerate() {
            let row = |of: &Vec<f32>| of.get(i * vocabulary..(i + 1) * vocabulary).map(log_softmax);
            let teacher = row(&logits[0]);
            for (at, (logits, positions)) in logits.iter().zip(&mut read).enumerate() {
                let own = if at == 0 { teacher.clone() } else { row(logits) };
                let Some((own, likeliest)) = own else { continue };
                let mut prediction =
                    Prediction { tokens: 1, nll: -own[next as usize], ..Prediction::default() };
                if let Some((teacher, best)) = &teacher {
                    prediction.compared = 1;
                    prediction.kl = teacher.iter().zip(&own).map(|(t, s)| t.exp() * (t - s)).sum();
                    prediction.same = usize::from(likeliest == *best);
                }
                BUCKETS.entry(&mut positions.0, first + i + 1).add(prediction);
            }
        }
        if progress(first + part.len()).is_break() {
            return Err(Error::new(ErrorKind::Cancelled, "interrupted"));
        }
    }
    all.clone_from_slice(&read);
    Ok(())
}

/// How well a model says again what it was told, at one distance: sums over digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recall {
    /// Tokens of other text between telling and asking.
    pub distance: usize,
    /// Digits asked for.
    pub digits: usize,
    /// Of them those that it ranks first.
    ranked_first: usize,
    /// Their log-probabilities, in nats.
    log_probability: f64,
}

impl Recall {
    /// Nothing yet.
    pub fn at(distance: usize) -> Self {
        Self { distance, ..Self::default() }
    }

    /// Share of digits that it ranks first.
    pub fn first(&self) -> f64 {
        self.ranked_first as f64 / self.digits as f64
    }

    /// Mean log-probability of a digit, in nats.
    pub fn log_probability(&self) -> f64 {
        self.log_probability / self.digits as f64
    }
}

/// Names of those who have a number.
const NAMES: [&str; 8] = ["Arthur", "Helen", "Oliver", "Martha", "Edmund", "Rosa", "Walter", "Clara"];
/// Tokens that telling, asking and answering take at most, whatever cuts them.
pub const ASKING: usize = 128;

/// A trial of recall: its number, and of how many.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    /// From 0.
    pub number: usize,
    /// Of all.
    pub of: usize,
}

/// A number of four digits told at the start, and asked for after other text, at some distances that grow:
/// the text is read once, and a copy of the session asked at each. Adds to `told`, of which each has its
/// distance.
///
/// # Errors
/// [`ErrorKind::Input`] for filler of fewer tokens; those of the model.
pub async fn recall(session: &mut Session, filler: &[u32], trial: Trial, told: &mut [Recall]) -> Result<()> {
    let longest = told.last().map_or(0, |recall| recall.distance);
    if filler.len() < longest {
        let text = format!("{} tokens of filler, {longest} are needed", filler.len());
        return Err(Error::new(ErrorKind::Input, text).help("give a longer text"));
    }
    let Trial { number, of } = trial;
    let digit = |j: usize| char::from(b'0' + ((7 * number + 3 * j * j + number * j + 1) % 10) as u8);
    let answer: String = (0..4).map(digit).collect();
    let asked = format!(" The secret number of {} is", NAMES[number % NAMES.len()]);
    let model = session.model().clone();
    let tokenizer = model.tokenizer()?;
    let head = tokenizer.encode(&format!("Remember this.{asked} {answer}.\n\n"))?;
    let tail = tokenizer.encode(&format!("\n\nNow remember.{asked} "))?;
    let answer = tokenizer.encode(&answer)?;
    let filler = &filler[number * (filler.len() - longest) / of.max(1)..];
    session.reset(0);
    session.prefill(0, &head, &mut go_on).await?;
    let mut read = 0;
    for recall in told {
        session.prefill(0, &filler[read..recall.distance], &mut go_on).await?;
        read = recall.distance;
        ask(&mut session.fork().await?, &tail, &answer, recall).await?;
    }
    Ok(())
}

/// Asks at the end of a text.
async fn ask(session: &mut Session, tail: &[u32], answer: &[u32], recall: &mut Recall) -> Result<()> {
    session.prefill(0, tail, &mut go_on).await?;
    // The first digit is of the logits after the question, the others of those after the digits before.
    let mut logits = session.logits(0).await?;
    let vocabulary = logits.len();
    logits.extend(session.forward(&[0], &[answer], false).await?.0);
    for (row, &id) in logits.chunks_exact(vocabulary).zip(answer) {
        let (logs, best) = log_softmax(row);
        recall.log_probability += logs[id as usize];
        recall.ranked_first += usize::from(best == id as usize);
        recall.digits += 1;
    }
    Ok(())
}

/// What a text of some length costs.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
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

/// Tokens by which lengths of [`costs`] grow at least: what is written at one is a part of the next.
pub const LEAST_APART: usize = 32;

/// Reads a text to some lengths, and writes a few tokens at each; `progress` is told tokens read of a part, and
/// may stop it.
///
/// # Errors
/// [`ErrorKind::Cancelled`]; those of the model.
pub async fn costs(
    model: &Model,
    text: &[u32],
    lengths: &[usize],
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Vec<Cost>> {
    const WRITTEN: usize = 16;
    let mut session = Session::new(model).await?;
    let mut costs = Vec::new();
    let (mut read, mut time, mut of_reading) = (0, 0.0, 0);
    for &tokens in lengths {
        // What was written at the last length is a part of the text.
        let Some(part) = text.get(read..tokens).filter(|part| !part.is_empty()) else {
            let what = format!("a length of {tokens} tokens after {read}, of a text of {}", text.len());
            return Err(Error::new(ErrorKind::Input, what).help(format!(
                "give lengths that grow by at least {LEAST_APART}, and a text as long as the last"
            )));
        };
        let began = Instant::now();
        session.prefill(0, part, progress).await?;
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

/// The answer to a prompt, of the likeliest tokens.
///
/// # Errors
/// Those of the model and its template.
pub async fn answer(session: &mut Session, prompt: &str, tokens: usize) -> Result<String> {
    let model = session.model().clone();
    session.reset(0);
    let mut conversation = Conversation::new(model.conventions().template()?.clone(), None);
    let reading = conversation.ask_all(session, 0, vec![Message::new("user", prompt)])?;
    session.prefill(0, &reading.ids, &mut go_on).await?;
    let mut generation = Generation::new(&model, 0, &GenerateOptions::greedy(tokens))?;
    generation.run(session, &mut |_| ControlFlow::Continue(())).await?;
    Ok(generation.finish().text)
}
