//! An episode: random operations on a session of three texts, each followed by a comparison with what is
//! known of the text as it then stands. So no result may depend on cuts, segments, slots, neighbours, forms
//! or files.

use std::cell::RefCell;
use std::ops::ControlFlow;

use pollster::block_on;
use polysketch::check::random::Rng;
use polysketch::exec::{CpuExecutor, Executor};
use polysketch::model::{GenerateOptions, LoadOptions, Model, ModelSource, Session};

use crate::dense::Dense;
use crate::places::{load, max_error};

const SLOTS: usize = 3;

/// How much is done, and how exact it must be.
#[derive(Clone, Copy)]
pub struct Plan {
    pub operations: usize,
    pub longest: usize,
    pub tolerance: f64,
}

/// What is known of a text.
pub trait Known {
    /// Its logits, `[n, V]`.
    fn logits(&self, text: &[u32]) -> Vec<Vec<f64>>;

    /// Those after its last token, `[V]`.
    fn last(&self, text: &[u32]) -> Vec<f64> {
        self.logits(text).pop().unwrap()
    }
}

impl Known for Dense {
    fn logits(&self, text: &[u32]) -> Vec<Vec<f64>> {
        self.logits(text, 0)
    }
}

/// The same model in f64, which reads every text anew and in one call: golden files hold it right there.
pub struct Whole {
    session: RefCell<Session>,
}

impl Whole {
    pub fn new(source: ModelSource, longest: usize) -> Self {
        let options = LoadOptions { segment: Some(longest), max_context: longest, ..LoadOptions::default() };
        let model = load(&Executor::Oracle(CpuExecutor::default()), source, options);
        Self { session: RefCell::new(block_on(Session::new(&model)).unwrap()) }
    }
}

impl Known for Whole {
    fn logits(&self, text: &[u32]) -> Vec<Vec<f64>> {
        let mut session = self.session.borrow_mut();
        session.reset(0);
        let (logits, _) = block_on(session.forward(&[0], &[text], false)).unwrap();
        let row = |row: &[f32]| row.iter().map(|x| f64::from(*x)).collect();
        logits.chunks_exact(session.model().config().vocab_size).map(row).collect()
    }
}

/// The state of an episode: a session, and the text that each slot should hold.
pub struct Episode<'a> {
    known: &'a dyn Known,
    model: Model,
    session: Session,
    texts: Vec<Vec<u32>>,
    rng: Rng,
    plan: Plan,
    /// What was done so far, for messages.
    log: Vec<String>,
    pub worst: f64,
}

impl<'a> Episode<'a> {
    pub fn new(
        executor: &Executor,
        source: ModelSource,
        known: &'a dyn Known,
        seed: u64,
        plan: Plan,
    ) -> Self {
        let mut rng = Rng(seed);
        let segment = rng.pick(&[1, 3, 16, 37, 64, 200]);
        let options = LoadOptions {
            slots: SLOTS,
            segment: Some(segment),
            max_context: 4 * plan.longest,
            ..LoadOptions::default()
        };
        let model = load(executor, source, options);
        let session = block_on(Session::new(&model)).unwrap();
        let log = vec![format!("segments of {segment}")];
        Self { known, model, session, texts: vec![Vec::new(); SLOTS], rng, plan, log, worst: 0.0 }
    }

    fn vocabulary(&self) -> usize {
        self.model.config().vocab_size
    }

    /// Runs the episode; the error says what was done until it went wrong.
    pub fn run(mut self) -> Result<f64, String> {
        for _ in 0..self.plan.operations {
            self.step()?;
        }
        Ok(self.worst)
    }

    fn step(&mut self) -> Result<(), String> {
        let slot = self.rng.below(SLOTS);
        let room = self.plan.longest.saturating_sub(self.texts[slot].len());
        if room < 20 {
            return self.reset(slot);
        }
        match self.rng.below(12) {
            0..=3 => self.prefill(slot, room),
            4..=6 => self.decode(),
            7 | 8 => self.forward(),
            9 => self.save_and_load(slot),
            10 => self.fork(),
            _ => self.one_by_one(slot),
        }
    }

    fn check(&mut self, slot: usize) -> Result<(), String> {
        if self.texts[slot].is_empty() {
            return Ok(());
        }
        let logits = block_on(self.session.logits(slot)).map_err(|e| self.failed(&e.to_string()))?;
        let want = self.known.last(&self.texts[slot]);
        self.compare(&logits, &want, &format!("logits of slot {slot}"))?;
        if block_on(self.session.logits(slot)).unwrap() != logits {
            return Err(self.failed("reading the logits changes them"));
        }
        let position = self.session.position(slot);
        if position == self.texts[slot].len() {
            Ok(())
        } else {
            Err(self.failed(&format!("position is {position}")))
        }
    }

    fn compare(&mut self, got: &[f32], want: &[f64], what: &str) -> Result<(), String> {
        let error = max_error(got, want);
        self.worst = self.worst.max(error);
        if error <= self.plan.tolerance {
            Ok(())
        } else {
            Err(self.failed(&format!("{what}: error {error:.2e}")))
        }
    }

    fn failed(&self, what: &str) -> String {
        format!("{what} after [{}]", self.log.join("; "))
    }

    fn prefill(&mut self, slot: usize, room: usize) -> Result<(), String> {
        let n = self.rng.within(1, room);
        let ids = self.rng.tokens(n, self.vocabulary());
        // One call or several.
        let cut = self.rng.below(n + 1);
        self.log.push(format!("prefill slot {slot} with {cut} + {}", n - cut));
        for part in [&ids[..cut], &ids[cut..]].into_iter().filter(|part| !part.is_empty()) {
            self.read(slot, part)?;
        }
        self.check(slot)
    }

    fn read(&mut self, slot: usize, ids: &[u32]) -> Result<(), String> {
        block_on(self.session.prefill(slot, ids, &mut |_| ControlFlow::Continue(())))
            .map_err(|e| self.failed(&e.to_string()))?;
        self.texts[slot].extend_from_slice(ids);
        Ok(())
    }

    fn one_by_one(&mut self, slot: usize) -> Result<(), String> {
        let n = self.rng.within(1, 9);
        self.log.push(format!("prefill slot {slot} with {n} times 1"));
        for id in self.rng.tokens(n, self.vocabulary()) {
            self.read(slot, &[id])?;
        }
        self.check(slot)
    }

    /// The recurrent form: tokens drawn at a high temperature, so that the texts are varied.
    fn decode(&mut self) -> Result<(), String> {
        let slots = self.some_slots(|text, longest| !text.is_empty() && text.len() + 20 <= longest);
        if slots.is_empty() {
            return Ok(());
        }
        let steps = self.rng.within(1, 17);
        let options: Vec<GenerateOptions> = slots
            .iter()
            .map(|_| GenerateOptions {
                temperature: 3.0,
                seed: self.rng.bits(),
                ..GenerateOptions::greedy(1)
            })
            .collect();
        let options: Vec<&GenerateOptions> = options.iter().collect();
        let ids = block_on(self.session.decode(&slots, &options, steps))
            .map_err(|e| self.failed(&e.to_string()))?;
        self.log.push(format!("decode {} of {steps} in slots {slots:?}", ids[0].len()));
        if ids[0].is_empty() || ids[0].len() > steps {
            return Err(self.failed("wrong number of tokens"));
        }
        for (&slot, ids) in slots.iter().zip(&ids) {
            self.texts[slot].extend_from_slice(ids);
        }
        (0..SLOTS).try_for_each(|slot| self.check(slot))
    }

    /// The chunk-parallel form of several texts at once, all logits.
    fn forward(&mut self) -> Result<(), String> {
        let slots = self.some_slots(|text, longest| text.len() + 20 <= longest);
        if slots.is_empty() {
            return Ok(());
        }
        let room = slots.iter().map(|s| self.plan.longest - self.texts[*s].len()).min().unwrap();
        let n = self.rng.within(1, room);
        self.log.push(format!("forward of {n} in slots {slots:?}"));
        let texts: Vec<Vec<u32>> = slots.iter().map(|_| self.rng.tokens(n, self.vocabulary())).collect();
        let ids: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
        let (logits, _) =
            block_on(self.session.forward(&slots, &ids, false)).map_err(|e| self.failed(&e.to_string()))?;
        for ((&slot, ids), got) in slots.iter().zip(&texts).zip(logits.chunks_exact(n * self.vocabulary())) {
            let before = self.texts[slot].len();
            self.texts[slot].extend_from_slice(ids);
            let want: Vec<f64> = self.known.logits(&self.texts[slot]).split_off(before).concat();
            self.compare(got, &want, &format!("all logits of slot {slot}"))?;
            self.check(slot)?;
        }
        Ok(())
    }

    /// A saved text goes on in any slot as it would have in its own.
    fn save_and_load(&mut self, slot: usize) -> Result<(), String> {
        let other = self.rng.below(SLOTS);
        self.log.push(format!("save slot {slot}, load into {other}"));
        let bytes = block_on(self.session.save(slot)).map_err(|e| self.failed(&e.to_string()))?;
        block_on(self.session.load(other, &bytes, "episode")).map_err(|e| self.failed(&e.to_string()))?;
        self.texts[other] = self.texts[slot].clone();
        self.check(other)?;
        self.one_by_one(other)
    }

    /// Goes on with a copy; what happens to the original is not seen by it.
    fn fork(&mut self) -> Result<(), String> {
        self.log.push("fork".to_string());
        let copy = block_on(self.session.fork()).map_err(|e| self.failed(&e.to_string()))?;
        let mut original = std::mem::replace(&mut self.session, copy);
        for slot in 0..SLOTS {
            block_on(original.prefill(slot, &[0, 0, 0], &mut |_| ControlFlow::Continue(())))
                .map_err(|e| self.failed(&e.to_string()))?;
        }
        (0..SLOTS).try_for_each(|slot| self.check(slot))
    }

    /// An emptied slot knows nothing of the text before.
    fn reset(&mut self, slot: usize) -> Result<(), String> {
        self.log.push(format!("reset slot {slot}"));
        self.session.reset(slot);
        self.texts[slot].clear();
        if block_on(self.session.logits(slot)).is_ok() {
            return Err(self.failed("an empty text has logits"));
        }
        self.prefill(slot, 12)
    }

    fn some_slots(&mut self, fits: impl Fn(&[u32], usize) -> bool) -> Vec<usize> {
        let mut slots: Vec<usize> = (0..SLOTS).filter(|s| fits(&self.texts[*s], self.plan.longest)).collect();
        // Any of them, in any order.
        for i in (1..slots.len()).rev() {
            slots.swap(i, self.rng.below(i + 1));
        }
        slots.truncate(self.rng.within(1, SLOTS));
        slots
    }
}
