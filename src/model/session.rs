//! A [`Session`]: the state of a few independent texts on a device. Prefill in bounded segments, decode
//! several tokens a submission, fork.

use std::ops::ControlFlow;

use super::engine::Model;
use super::generation::Generation;
use super::sampling::{GenerateOptions, Generated};
use super::transformer::Ending;
use crate::error::{Error, ErrorKind, Result};
use crate::exec::{Compiled, Executor, KernelTime, Memory, Run, by_kernel, zeros};
use crate::kernels::rows::nll::UNSCORED;
use crate::kernels::sample::sample::STEPS;
use crate::tensor::{Call, Lane, lane_table, ring_after};

/// Where a text stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Slot {
    /// Tokens the state has seen.
    pub(super) position: usize,
    /// Rows in the ring: `position mod b`, or b for a whole block that is not folded yet.
    pub(super) ring: usize,
    /// Tokens of the text the state has not seen yet (at most one: the last of a generation that was cut
    /// short).
    pub(super) pending: Vec<u32>,
    /// Which tokens occurred, for the repetition penalty.
    pub(super) seen: Vec<bool>,
}

/// Independent texts on a loaded model.
#[derive(Debug)]
pub struct Session {
    pub(super) model: Model,
    pub(super) state: Memory,
    pub(super) slots: Vec<Slot>,
    pub(super) prefill: Compiled,
    decode: Option<Compiled>,
    all: Option<Compiled>,
    nll: Option<Compiled>,
}

impl Session {
    /// A session of as many empty texts as the model was loaded for.
    pub async fn new(model: &Model) -> Result<Self> {
        let inner = &model.0;
        let mut state = Memory::new();
        for plan in [&inner.blueprint.prefill, &inner.blueprint.decode] {
            inner.executor.reserve_state(plan, &mut state).await?;
        }
        let prefill = inner.executor.compile(&inner.blueprint.prefill).await?;
        let slot = Slot { seen: vec![false; inner.config.vocab_size], ..Slot::default() };
        let slots = vec![slot; inner.blueprint.build.slots];
        Ok(Self { model: model.clone(), state, slots, prefill, decode: None, all: None, nll: None })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Number of texts.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Tokens of a text so far; 0 for an unknown slot.
    pub fn position(&self, slot: usize) -> usize {
        self.slots.get(slot).map_or(0, |s| s.position + s.pending.len())
    }

    /// Which tokens occurred in a text, for the repetition penalty.
    pub(super) fn seen(&self, slot: usize) -> Vec<bool> {
        self.slots.get(slot).map_or_else(Vec::new, |s| s.seen.clone())
    }

    /// Empties a text; an unknown slot is no error.
    pub fn reset(&mut self, slot: usize) {
        // Kernels ignore what an earlier text left in the state when they stand at position 0.
        if let Some(s) = self.slots.get_mut(slot) {
            *s = Slot { seen: vec![false; self.model.0.config.vocab_size], ..Slot::default() };
        }
    }

    /// An independent copy.
    pub async fn fork(&self) -> Result<Self> {
        let executor = &self.model.0.executor;
        Ok(Self {
            model: self.model.clone(),
            state: executor.duplicate(&self.state).await?,
            slots: self.slots.clone(),
            prefill: executor.compile(self.prefill.plan()).await?,
            decode: None,
            all: None,
            nll: None,
        })
    }

    fn check_ids(&self, slot: usize, ids: &[u32]) -> Result<()> {
        let vocabulary = self.model.0.config.vocab_size;
        if slot >= self.slots.len() {
            return Err(Error::new(
                ErrorKind::Input,
                format!("text {slot} of a session of {}", self.slots.len()),
            ));
        }
        if let Some((i, id)) = ids.iter().enumerate().find(|(_, id)| **id as usize >= vocabulary) {
            return Err(Error::new(
                ErrorKind::Input,
                format!("token {i} has id {id}, the vocabulary has {vocabulary}"),
            )
            .help("use the model's own tokenizer"));
        }
        let context = self.model.0.blueprint.build.context;
        let end = self.position(slot) + ids.len();
        if context > 0 && end > context {
            return Err(Error::new(
                ErrorKind::Limit,
                format!("{end} tokens do not fit the key-value cache of {context}"),
            )
            .help("raise --max-context, shorten the text, or use a model with constant state"));
        }
        Ok(())
    }

    fn lane(&self, slot: usize) -> Lane {
        Lane { slot, position: self.slots[slot].position, ring: self.slots[slot].ring }
    }

    fn advance(&mut self, slot: usize, tokens: usize) {
        let block = self.model.0.attention.layout.block;
        let s = &mut self.slots[slot];
        s.position += tokens;
        s.ring = ring_after(s.ring, tokens, block);
    }

    /// Reads a text into the state, in segments of at most [`Blueprint::capacity`](super::Blueprint) tokens.
    /// `progress` is told the tokens done, and may stop in between.
    pub async fn prefill(
        &mut self,
        slot: usize,
        ids: &[u32],
        progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<()> {
        self.check_ids(slot, ids)?;
        let pending = std::mem::take(&mut self.slots[slot].pending);
        let carried = pending.len();
        let ids = [pending, ids.to_vec()].concat();
        let segment = self.model.0.blueprint.capacity.tokens;
        let mut done = 0;
        while done < ids.len() {
            let tokens = segment.min(ids.len() - done);
            let part = &ids[done..done + tokens];
            let calls = [Call { lanes: vec![self.lane(slot)], tokens, lane_base: 0 }];
            let table = lane_table(&calls);
            let inputs = [("ids", part), ("lanes", &table[..])];
            let inner = &self.model.0;
            inner
                .executor
                .run(
                    &mut self.prefill,
                    &inner.parameters,
                    &mut self.state,
                    Run { calls: &calls, inputs: &inputs, reads: &[] },
                )
                .await?;
            self.advance(slot, tokens);
            part.iter().for_each(|id| self.slots[slot].seen[*id as usize] = true);
            done += tokens;
            // A queue without end would hide errors and hold memory: wait for the segment.
            if let Executor::Gpu(gpu) = &self.model.0.executor {
                gpu.context().submitted_work_done().await?;
            }
            if progress(done.saturating_sub(carried)).is_break() {
                return Err(Error::new(
                    ErrorKind::Cancelled,
                    format!("stopped after {done} of {} tokens", ids.len()),
                ));
            }
        }
        Ok(())
    }

    /// The logits of a text's next token, `[V]`.
    pub async fn logits(&mut self, slot: usize) -> Result<Vec<f32>> {
        self.check_ids(slot, &[])?;
        self.flush(slot).await?;
        let v = self.model.0.config.vocab_size;
        let words = self.model.0.executor.read(&self.state, "logits", slot * v..(slot + 1) * v).await?;
        Ok(words.into_iter().map(f32::from_bits).collect())
    }

    /// Runs what is pending, so that the logits are those of the text's end.
    async fn flush(&mut self, slot: usize) -> Result<()> {
        if !self.slots[slot].pending.is_empty() {
            self.prefill(slot, &[], &mut |_| ControlFlow::Continue(())).await?;
        }
        if self.slots[slot].position == 0 {
            return Err(Error::new(ErrorKind::Input, "the text is empty: there is nothing to continue")
                .help("give a prompt"));
        }
        Ok(())
    }

    /// Runs tokens of several texts at once and returns the logits of all of them, `[slots.len(), n, V]` (and
    /// the hidden states after each layer, `[layers][slots.len(), n, d]`, with `hidden`).
    pub async fn forward(
        &mut self,
        slots: &[usize],
        ids: &[&[u32]],
        hidden: bool,
    ) -> Result<(Vec<f32>, Vec<Vec<f32>>)> {
        let n = ids.first().map_or(0, |ids| ids.len());
        if ids.len() != slots.len() || ids.iter().any(|ids| ids.len() != n) || n == 0 {
            return Err(Error::new(
                ErrorKind::Input,
                format!("{} texts of {n} tokens for {} slots", ids.len(), slots.len()),
            )
            .help("give each the same number of tokens, at least 1"));
        }
        for (slot, ids) in slots.iter().zip(ids) {
            self.check_ids(*slot, ids)?;
            if !self.slots[*slot].pending.is_empty() {
                self.flush(*slot).await?;
            }
        }
        let inner = self.model.0.clone();
        if self.all.is_none() {
            self.all =
                Some(inner.executor.compile(&inner.blueprint.plan(&inner.config, Ending::All)?).await?);
        }
        let (v, d, layers) = (
            inner.config.vocab_size,
            inner.config.hidden_size,
            if hidden { inner.config.num_hidden_layers } else { 0 },
        );
        let rows = slots.len().saturating_mul(n);
        let mut outputs = vec![zeros("the logits", rows.saturating_mul(v))?];
        for _ in 0..layers {
            outputs.push(zeros("the hidden states", rows.saturating_mul(d))?);
        }
        let names: Vec<String> = std::iter::once("logits_all".to_string())
            .chain((0..layers).map(|i| format!("hidden.{i}")))
            .collect();
        let mut done = 0;
        while done < n {
            let lanes = slots.iter().map(|&s| self.lane(s)).collect();
            let Some(compiled) = &mut self.all else { break };
            let tokens = compiled.plan().capacity.tokens.min(n - done);
            let calls = [Call { lanes, tokens, lane_base: 0 }];
            let part: Vec<u32> =
                ids.iter().flat_map(|ids| ids[done..done + tokens].iter().copied()).collect();
            let table = lane_table(&calls);
            let reads: Vec<(&str, usize)> = names
                .iter()
                .enumerate()
                .map(|(i, name)| (&name[..], slots.len() * tokens * if i == 0 { v } else { d }))
                .collect();
            let run = Run { calls: &calls, inputs: &[("ids", &part), ("lanes", &table)], reads: &reads };
            let read = inner.executor.run(compiled, &inner.parameters, &mut self.state, run).await?;
            for (i, (words, output)) in read.iter().zip(&mut outputs).enumerate() {
                let width = if i == 0 { v } else { d };
                for (lane, words) in words.chunks_exact(tokens * width).enumerate() {
                    let at = (lane * n + done) * width;
                    output[at..at + tokens * width]
                        .iter_mut()
                        .zip(words)
                        .for_each(|(o, w)| *o = f32::from_bits(*w));
                }
            }
            for (slot, ids) in slots.iter().zip(ids) {
                self.advance(*slot, tokens);
                ids[done..done + tokens].iter().for_each(|id| self.slots[*slot].seen[*id as usize] = true);
            }
            done += tokens;
        }
        // Generation goes on from the logits of the last token.
        for (lane, &slot) in slots.iter().enumerate() {
            let last: Vec<u32> =
                outputs[0][((lane + 1) * n - 1) * v..][..v].iter().map(|x| x.to_bits()).collect();
            inner.executor.write(&mut self.state, "logits", slot * v, &last).await?;
        }
        let hidden = outputs.split_off(1);
        Ok((outputs.swap_remove(0), hidden))
    }

    /// Reads a text into the state and tells `progress` the tokens done and, for each of them but the first,
    /// the negative log-likelihood it had, in nats. The first one is scored too when the text before it ended
    /// in another `score` (or in a generation that was cut short): `ids.len() - 1` or `ids.len()` numbers in
    /// all.
    pub async fn score(
        &mut self,
        slot: usize,
        ids: &[u32],
        progress: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<()> {
        self.check_ids(slot, ids)?;
        let Some(&last) = ids.last() else { return Ok(()) };
        let inner = self.model.0.clone();
        if self.nll.is_none() {
            self.nll =
                Some(inner.executor.compile(&inner.blueprint.plan(&inner.config, Ending::Nll)?).await?);
        }
        let pending = std::mem::take(&mut self.slots[slot].pending);
        let carried = pending.len();
        let ids = [pending, ids.to_vec()].concat();
        let mut done = 0;
        while done < ids.len() {
            let lanes = vec![self.lane(slot)];
            let Some(compiled) = &mut self.nll else { break };
            let tokens = compiled.plan().capacity.tokens.min(ids.len() - done);
            let part = &ids[done..done + tokens];
            let targets: Vec<u32> =
                (done + 1..=done + tokens).map(|i| ids.get(i).copied().unwrap_or(UNSCORED)).collect();
            let calls = [Call { lanes, tokens, lane_base: 0 }];
            let table = lane_table(&calls);
            let run = Run {
                calls: &calls,
                inputs: &[("ids", part), ("lanes", &table), ("targets", &targets)],
                reads: &[("nll", tokens)],
            };
            let read = inner.executor.run(compiled, &inner.parameters, &mut self.state, run).await?;
            self.advance(slot, tokens);
            part.iter().for_each(|id| self.slots[slot].seen[*id as usize] = true);
            done += tokens;
            let scored = tokens - usize::from(done == ids.len());
            let nll: Vec<f32> = read[0][..scored].iter().map(|w| f32::from_bits(*w)).collect();
            progress(done.saturating_sub(carried), &nll);
        }
        // This plan leaves no logits: the last token runs again with whatever comes next.
        let s = &mut self.slots[slot];
        (s.position, s.ring, s.pending) = (s.position - 1, s.ring - 1, vec![last]);
        Ok(())
    }

    /// Samples and runs the next `steps` tokens of each text (at most [`STEPS`]), without the host
    /// in between. Returns ids `[slots.len()][steps]`; fewer if a block or the cache ends before.
    pub async fn decode(
        &mut self,
        slots: &[usize],
        options: &[&GenerateOptions],
        steps: usize,
    ) -> Result<Vec<Vec<u32>>> {
        if slots.is_empty()
            || options.len() != slots.len()
            || slots.iter().enumerate().any(|(i, s)| slots[..i].contains(s))
        {
            return Err(Error::new(
                ErrorKind::Input,
                format!("{} options for {} texts, each once", options.len(), slots.len()),
            ));
        }
        let mut steps = steps.clamp(1, STEPS);
        for &slot in slots {
            self.check_ids(slot, &[])?;
            self.flush(slot).await?;
            steps = self.steps_at_once(slot, steps)?;
        }
        let inner = self.model.0.clone();
        if self.decode.is_none() {
            self.decode = Some(inner.executor.compile(&inner.blueprint.decode).await?);
        }
        for (&slot, options) in slots.iter().zip(options) {
            options.check()?;
            let words = options.words();
            inner.executor.write(&mut self.state, "sampler.settings", slot * words.len(), &words).await?;
            if options.penalty() != 1.0 {
                let seen: Vec<u32> = self.slots[slot].seen.iter().map(|s| u32::from(*s)).collect();
                inner.executor.write(&mut self.state, "sampler.seen", slot * seen.len(), &seen).await?;
            }
        }
        let block = inner.attention.layout.block;
        let mut lanes: Vec<Lane> = slots.iter().map(|&s| self.lane(s)).collect();
        let mut calls = Vec::new();
        for step in 0..steps {
            calls.push(Call { lanes: lanes.clone(), tokens: 1, lane_base: step * slots.len() });
            for lane in &mut lanes {
                lane.position += 1;
                lane.ring = ring_after(lane.ring, 1, block);
            }
        }
        let table = lane_table(&calls);
        let all = self.slots.len();
        let run =
            Run { calls: &calls, inputs: &[("lanes", &table)], reads: &[("sampler.sampled", steps * all)] };
        let Some(compiled) = &mut self.decode else { return Ok(Vec::new()) };
        let read = inner.executor.run(compiled, &inner.parameters, &mut self.state, run).await?;
        let mut ids = Vec::new();
        for &slot in slots {
            let mine: Vec<u32> = (0..steps).map(|step| read[0][step * all + slot]).collect();
            if let Some(id) = mine.iter().find(|id| **id as usize >= inner.config.vocab_size) {
                return Err(Error::new(
                    ErrorKind::Device,
                    format!("the device returned token {id} of a vocabulary of {}", inner.config.vocab_size),
                )
                .help("try another adapter, or --backend cpu"));
            }
            self.advance(slot, steps);
            mine.iter().for_each(|id| self.slots[slot].seen[*id as usize] = true);
            ids.push(mine);
        }
        Ok(ids)
    }

    /// How many of `wanted` decoding steps fit one submission: a block may be folded into the state only by
    /// the first, so that tokens after a stop can be taken back.
    fn steps_at_once(&self, slot: usize, wanted: usize) -> Result<usize> {
        let block = self.model.0.attention.layout.block;
        let context = self.model.0.blueprint.build.context;
        let s = &self.slots[slot];
        let room = if context > 0 { context.saturating_sub(s.position) } else { block - s.ring % block };
        if room == 0 {
            return Err(Error::new(
                ErrorKind::Limit,
                format!("position {} is the end of the key-value cache", s.position),
            )
            .help("raise --max-context, or use a model with constant state"));
        }
        Ok(wanted.min(room))
    }

    /// Takes back the last tokens of a decoding submission: of `ids` only the first `kept` (at least one)
    /// stay.
    pub(super) fn take_back(&mut self, slot: usize, ids: &[u32], kept: usize, seen: Vec<bool>) {
        if kept == ids.len() {
            return;
        }
        let block = self.model.0.attention.layout.block;
        let s = &mut self.slots[slot];
        // The last kept token runs again with whatever comes next, because the logits are now those of a
        // later one.
        let back = ids.len() - kept + 1;
        s.position -= back;
        // Where a ring is folded, it held all of a submission; a cache is never folded, and `ring` only
        // counts.
        s.ring = if back <= s.ring { s.ring - back } else { s.ring + block - back };
        s.pending = vec![ids[kept - 1]];
        s.seen = seen;
        ids[..kept].iter().for_each(|id| s.seen[*id as usize] = true);
    }

    /// Continues a text. `on_text` gets the text piece by piece, always whole characters, and may stop it.
    /// The state then holds every token up to the one that ended generation.
    pub async fn generate(
        &mut self,
        slot: usize,
        options: &GenerateOptions,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generated> {
        self.check_ids(slot, &[])?;
        let mut generation = Generation::new(&self.model, slot, options)?;
        while !generation.ended() {
            generation.advance(self, on_text).await?;
        }
        Ok(generation.finish())
    }

    /// Where the time of a prefill call (`ids` many) or of a decoding step (`ids` empty) goes, by kernel.
    /// Advances the text.
    pub async fn profile(&mut self, slot: usize, ids: &[u32]) -> Result<Vec<KernelTime>> {
        self.check_ids(slot, ids)?;
        let inner = self.model.0.clone();
        let tokens = ids.len().max(1);
        if ids.is_empty() {
            // Compiles, and sets the sampler.
            self.decode(&[slot], &[&GenerateOptions::greedy(1)], 1).await?;
        }
        let calls = [Call { lanes: vec![self.lane(slot)], tokens, lane_base: 0 }];
        let table = lane_table(&calls);
        let run = Run { calls: &calls, inputs: &[("ids", ids), ("lanes", &table)], reads: &[] };
        let compiled = if ids.is_empty() { self.decode.as_mut() } else { Some(&mut self.prefill) };
        let Some(compiled) = compiled else { return Ok(Vec::new()) };
        let (_, times) = inner.executor.run_timed(compiled, &inner.parameters, &mut self.state, run).await?;
        let times = by_kernel(compiled.plan(), &calls[0], &times);
        self.advance(slot, tokens);
        Ok(times)
    }
}
