//! A [`Session`]: the state of a few independent texts on a device. Prefill in bounded segments, decode
//! several tokens a submission, take back, fork.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::engine::Model;
use super::sampling::GenerateOptions;
use super::transformer::{Ending, Handles};
use crate::error::{Error, ErrorKind, Result};
use crate::exec::{KernelTime, Memory, Program, Submission, by_kernel, zeros};
use crate::kernels::rows::nll::UNSCORED;
use crate::kernels::sample::sample::{NEVER, NO_TOKEN, OCCURRED, SETTINGS, STEPS};
use crate::tensor::{Call, Lane, TensorId, ring_after};

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
    /// The text as far as it was not given out.
    pub(super) text: Unsaid,
    /// What is kept with the text.
    pub(super) note: String,
    /// Whether the last logits were no numbers: nothing can be sampled from them.
    broken: bool,
    /// What the last decoding submission sampled, and whether the text had not had the token before.
    decoded: Vec<(u32, bool)>,
    /// Whether the sampler, which keeps count of what it samples, knows the tokens that occurred.
    sampler_knows: bool,
    /// The sampler's settings, as it has them.
    settings: Option<[u32; SETTINGS]>,
}

/// What generation held back of a text, and what it needs to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Unsaid {
    /// The last token.
    pub(super) last: Option<u32>,
    /// Bytes of a character that is not complete, or of what may be the beginning of a stop string.
    pub(super) held: Vec<u8>,
    /// Text that was held back until something else was read: whatever it may have become, it did not.
    pub(super) owed: String,
}

impl Unsaid {
    /// What was held back stays what it is.
    pub(super) fn settle(&mut self) {
        self.owed.push_str(&String::from_utf8_lossy(&std::mem::take(&mut self.held)));
    }
}

impl Slot {
    /// A text at its beginning, or where it was when it was saved.
    pub(super) fn at(position: usize, ring: usize, pending: Vec<u32>, seen: Vec<bool>) -> Self {
        Self { position, ring, pending, seen, ..Self::default() }
    }

    /// Goes on by tokens that a call ran; tells which of them are new to the text.
    fn go_on(&mut self, ids: &[u32], block: usize) -> Vec<bool> {
        self.position += ids.len();
        self.ring = ring_after(self.ring, ids.len(), block);
        self.text.last = ids.last().copied().or(self.text.last);
        self.broken = false;
        ids.iter().map(|id| !std::mem::replace(&mut self.seen[*id as usize], true)).collect()
    }
}

/// Why a handle is there.
const KEEPS_LOGITS: &str = "a graph with Ending::Last keeps logits";
const SAMPLES: &str = "a graph with Ending::Sample has a sampler";

/// The error of a text whose logits are no numbers, after so many tokens.
fn no_numbers(slot: usize, position: usize) -> Error {
    let text = format!("text {slot}: the logits after token {position} are no numbers (NaN or infinite)");
    Error::new(ErrorKind::Numeric, text)
        .help("the weights are damaged, or too large for their type: try f32, or another copy of the model")
}

/// A program of the model, and its tensors.
#[derive(Debug)]
struct Decoder {
    ending: Ending,
    program: Program,
    handles: Arc<Handles>,
}

/// Independent texts on a loaded model. Sessions own their states; scratch memory is the model's, and
/// sessions that run one after the other use the same.
#[derive(Debug)]
pub struct Session {
    pub(super) model: Model,
    /// The states of all texts, on top of the model's weights.
    pub(super) memory: Memory,
    pub(super) slots: Vec<Slot>,
    /// What was needed so far.
    decoders: Vec<Decoder>,
}

/// What bounds the length of a text.
#[derive(Clone, Copy)]
enum Bound {
    /// The key-value cache.
    Cache,
    /// The table of positions.
    Positions,
}

impl Session {
    /// A session of as many empty texts as the model was loaded for.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`]; those of the device.
    pub async fn new(model: &Model) -> Result<Self> {
        let inner = &model.0;
        let memory = Memory::over(&inner.parameters);
        for plan in [&inner.blueprint.prefill, &inner.blueprint.decode] {
            memory.reserve_states(plan).await?;
        }
        let slot = Slot::at(0, 0, Vec::new(), vec![false; inner.config.vocab_size]);
        let slots = vec![slot; inner.blueprint.build.slots];
        let mut session = Self { model: model.clone(), memory, slots, decoders: Vec::new() };
        session.decoder(Ending::Last).await?.program.compile().await?;
        Ok(session)
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

    /// Empties a text; an unknown slot is no error.
    pub fn reset(&mut self, slot: usize) {
        // Kernels ignore what an earlier text left in the state when they stand at position 0.
        let seen = vec![false; self.model.0.config.vocab_size];
        if self.slots.get(slot).is_some() {
            self.place(slot, Slot::at(0, 0, Vec::new(), seen));
        }
    }

    /// Puts a text in the place of another, whose sampler stays as it was set.
    pub(super) fn place(&mut self, slot: usize, text: Slot) {
        self.slots[slot] = Slot { settings: self.slots[slot].settings, ..text };
    }

    /// An independent copy.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`]; those of the device.
    pub async fn fork(&self) -> Result<Self> {
        let memory = self.memory.duplicate().await?;
        let over = |decoder: &Decoder| Decoder {
            ending: decoder.ending,
            program: decoder.program.over(&memory),
            handles: decoder.handles.clone(),
        };
        let decoders = self.decoders.iter().map(over).collect();
        Ok(Self { model: self.model.clone(), slots: self.slots.clone(), decoders, memory })
    }

    /// The program of an ending, made when it is first asked for.
    async fn decoder(&mut self, ending: Ending) -> Result<&mut Decoder> {
        let known = self.decoders.iter().position(|decoder| decoder.ending == ending);
        let at = match known {
            Some(at) => at,
            None => {
                let (program, handles) = self.model.program(ending, &self.memory).await?;
                self.decoders.push(Decoder { ending, program, handles });
                self.decoders.len() - 1
            }
        };
        Ok(&mut self.decoders[at])
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
        let end = self.position(slot) + ids.len();
        match self.most_tokens() {
            Some((most, Bound::Cache)) if end > most => Err(Error::new(
                ErrorKind::Limit,
                format!("{end} tokens do not fit the key-value cache of {most}"),
            )
            .help("raise --max-context, shorten the text, or use a model with constant state")),
            Some((most, Bound::Positions)) if end > most => Err(Error::new(
                ErrorKind::Limit,
                format!("{end} tokens are more than the {most} positions that this model has learned"),
            )
            .help("shorten the text, or use a model with rotary positions")),
            _ => Ok(()),
        }
    }

    /// Most tokens that a text can have, where there is a bound.
    fn most_tokens(&self) -> Option<(usize, Bound)> {
        let context = self.model.0.blueprint.build.context;
        let positions = self.model.0.config.learned_positions;
        let bounds = [(context, Bound::Cache), (positions, Bound::Positions)];
        bounds.into_iter().filter(|(most, _)| *most > 0).min_by_key(|(most, _)| *most)
    }

    /// Tokens that a text can still take; none where nothing bounds it.
    pub fn room(&self, slot: usize) -> Option<usize> {
        self.most_tokens().map(|(most, _)| most.saturating_sub(self.position(slot)))
    }

    /// What generation held back of a text: the beginning of a character or of a stop string that the last
    /// tokens may be. It comes first when the text is continued; this gives it out instead, for a text that
    /// is not. What is no character becomes U+FFFD.
    pub fn finish_text(&mut self, slot: usize) -> String {
        self.slots.get_mut(slot).map_or_else(String::new, |s| {
            s.text.settle();
            std::mem::take(&mut s.text.owed)
        })
    }

    /// A note that is kept with a text, and saved with it; empty where there is none.
    pub fn note(&self, slot: usize) -> &str {
        self.slots.get(slot).map_or("", |s| &s.note)
    }

    /// Keeps a note with a text, until it is reset; an unknown slot is no error.
    pub fn set_note(&mut self, slot: usize, note: impl Into<String>) {
        if let Some(s) = self.slots.get_mut(slot) {
            s.note = note.into();
        }
    }

    fn block(&self) -> usize {
        self.model.0.attention.layout.block
    }

    /// `steps` calls one after the other, each of `tokens` tokens of some texts, from where those stand.
    fn calls(&self, slots: &[usize], tokens: usize, steps: usize) -> Vec<Call> {
        let block = self.block();
        let at = |slot: usize, step: usize| {
            let Slot { position, ring, .. } = self.slots[slot];
            let ring = if step == 0 { ring } else { ring_after(ring, step * tokens, block) };
            Lane { slot, position: position + step * tokens, ring }
        };
        let call = |step: usize| Call {
            lanes: slots.iter().map(|slot| at(*slot, step)).collect(),
            tokens,
            lane_base: step * slots.len(),
        };
        (0..steps).map(call).collect()
    }

    /// Runs the next tokens of some texts, the same number of each, and moves the texts on. `targets` go with
    /// [`Ending::Nll`].
    async fn call(
        &mut self,
        ending: Ending,
        slots: &[usize],
        ids: &[&[u32]],
        targets: Option<&[u32]>,
        reads: &[(TensorId, usize)],
    ) -> Result<Vec<Vec<u32>>> {
        let calls = self.calls(slots, ids[0].len(), 1);
        let Decoder { program, handles, .. } = self.decoder(ending).await?;
        let rows = ids.concat();
        let mut inputs = vec![(handles.ids, &rows[..])];
        if let (Some(scores), Some(targets)) = (&handles.scores, targets) {
            inputs.push((scores.targets, targets));
        }
        let read = program.run(Submission { calls: &calls, inputs: &inputs, reads }).await?;
        let block = self.block();
        for (slot, ids) in slots.iter().zip(ids) {
            let slot = &mut self.slots[*slot];
            let new = slot.go_on(ids, block);
            slot.sampler_knows &= !new.contains(&true);
            slot.decoded.clear();
        }
        Ok(read)
    }

    /// What is to be run of a text before other tokens, and those.
    fn with_pending(&mut self, slot: usize, ids: &[u32]) -> Vec<u32> {
        [&std::mem::take(&mut self.slots[slot].pending), ids].concat()
    }

    /// Reads a text into the state, in segments of at most [`Blueprint::capacity`](super::Blueprint) tokens.
    /// `progress` is told the tokens done, and may stop in between.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for a text that is not there and for tokens outside the vocabulary,
    /// [`ErrorKind::Limit`] at the end of a key-value cache, [`ErrorKind::Cancelled`]; those of the device.
    pub async fn prefill(
        &mut self,
        slot: usize,
        ids: &[u32],
        progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<()> {
        self.check_ids(slot, ids)?;
        if !ids.is_empty() {
            self.slots[slot].text.settle();
        }
        let carried = self.slots[slot].pending.len();
        let ids = self.with_pending(slot, ids);
        let mut done = 0;
        for part in ids.chunks(self.model.0.blueprint.capacity.tokens) {
            self.call(Ending::Last, &[slot], &[part], None, &[]).await?;
            done += part.len();
            // A queue without end would hide errors and hold memory: wait for the segment.
            self.memory.executor().finish().await?;
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
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for a text that is empty or not there; [`ErrorKind::Numeric`] for logits that are
    /// no numbers; as [`Session::prefill`].
    pub async fn logits(&mut self, slot: usize) -> Result<Vec<f32>> {
        self.check_ids(slot, &[])?;
        self.flush(slot).await?;
        let v = self.model.0.config.vocab_size;
        let Decoder { program, handles, .. } = self.decoder(Ending::Last).await?;
        let words = program.read(handles.logits.expect(KEEPS_LOGITS), slot * v..(slot + 1) * v).await?;
        let logits: Vec<f32> = words.into_iter().map(f32::from_bits).collect();
        if logits.iter().any(|x| !x.is_finite()) {
            return Err(no_numbers(slot, self.position(slot)));
        }
        Ok(logits)
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
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for texts that do not have the same number of tokens, at least one;
    /// [`ErrorKind::Numeric`] for logits that are no numbers; [`ErrorKind::OutOfMemory`]; as [`Session::prefill`].
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
            self.slots[*slot].text.settle();
        }
        let (v, d) = (self.model.0.config.vocab_size, self.model.0.config.hidden_size);
        let Decoder { program, handles, .. } = self.decoder(Ending::All).await?;
        let segment = program.plan().capacity.tokens;
        let all = handles.all.as_ref().expect("a graph with Ending::All gives all logits");
        let layers = if hidden { &all.hidden[..] } else { &[] };
        // Tensors with their widths.
        let wanted: Vec<(TensorId, usize)> =
            std::iter::once((all.logits, v)).chain(layers.iter().map(|id| (*id, d))).collect();
        let rows = slots.len().saturating_mul(n);
        let mut outputs = Vec::new();
        for (i, (_, width)) in wanted.iter().enumerate() {
            let what = if i == 0 { "the logits" } else { "the hidden states" };
            outputs.push(zeros(what, rows.saturating_mul(*width))?);
        }
        for done in (0..n).step_by(segment) {
            let tokens = segment.min(n - done);
            let parts: Vec<&[u32]> = ids.iter().map(|ids| &ids[done..done + tokens]).collect();
            let reads: Vec<_> =
                wanted.iter().map(|(id, width)| (*id, slots.len() * tokens * width)).collect();
            let read = self.call(Ending::All, slots, &parts, None, &reads).await?;
            for ((words, output), (_, width)) in read.iter().zip(&mut outputs).zip(&wanted) {
                for (lane, words) in words.chunks_exact(tokens * width).enumerate() {
                    let at = (lane * n + done) * width;
                    let output: &mut [f32] = &mut output[at..at + tokens * width];
                    output.iter_mut().zip(words).for_each(|(o, w)| *o = f32::from_bits(*w));
                }
            }
            for (lane, &slot) in slots.iter().enumerate() {
                let mut rows = outputs[0][(lane * n + done) * v..][..tokens * v].chunks_exact(v);
                if let Some(row) = rows.position(|row| row.iter().any(|x| !x.is_finite())) {
                    return Err(no_numbers(slot, self.slots[slot].position - tokens + row + 1));
                }
            }
        }
        // Generation goes on from the logits of the last token.
        let Decoder { program, handles, .. } = self.decoder(Ending::Last).await?;
        let logits = handles.logits.expect(KEEPS_LOGITS);
        for (lane, &slot) in slots.iter().enumerate() {
            let last: Vec<u32> =
                outputs[0][((lane + 1) * n - 1) * v..][..v].iter().map(|x| x.to_bits()).collect();
            program.write(logits, slot * v, &last).await?;
        }
        let hidden = outputs.split_off(1);
        Ok((outputs.swap_remove(0), hidden))
    }

    /// Reads a text into the state and tells `progress` the tokens done and, for each of them but the first,
    /// the negative log-likelihood it had, in nats. The first one is scored too when the text before it ended
    /// in another `score` (or in a generation that was cut short): `ids.len() - 1` or `ids.len()` numbers in
    /// all. `progress` may stop in between.
    ///
    /// # Errors
    /// [`ErrorKind::Numeric`] for a likelihood that is no number; as [`Session::prefill`].
    pub async fn score(
        &mut self,
        slot: usize,
        ids: &[u32],
        progress: &mut dyn FnMut(usize, &[f32]) -> ControlFlow<()>,
    ) -> Result<()> {
        self.check_ids(slot, ids)?;
        if ids.is_empty() {
            return Ok(());
        }
        let Decoder { program, handles, .. } = self.decoder(Ending::Nll).await?;
        let nll = handles.scores.expect("a graph with Ending::Nll gives scores").nll;
        let segment = program.plan().capacity.tokens;
        self.slots[slot].text.settle();
        let carried = self.slots[slot].pending.len();
        let ids = self.with_pending(slot, ids);
        let mut done = 0;
        for part in ids.chunks(segment) {
            let tokens = part.len();
            let targets: Vec<u32> =
                (done + 1..=done + tokens).map(|i| ids.get(i).copied().unwrap_or(UNSCORED)).collect();
            let reads = [(nll, tokens)];
            let read = self.call(Ending::Nll, &[slot], &[part], Some(&targets), &reads).await?;
            done += tokens;
            let scored = tokens - usize::from(done == ids.len());
            let nll: Vec<f32> = read[0][..scored].iter().map(|w| f32::from_bits(*w)).collect();
            if let Some(at) = nll.iter().position(|x| !x.is_finite()) {
                return Err(no_numbers(slot, self.slots[slot].position - tokens + at + 1));
            }
            if progress(done.saturating_sub(carried), &nll).is_break() {
                break;
            }
        }
        // This plan leaves no logits: the last token runs again with whatever comes next.
        let s = &mut self.slots[slot];
        (s.position, s.ring, s.pending) = (s.position - 1, s.ring - 1, vec![ids[done - 1]]);
        if done < ids.len() {
            let what = format!("stopped after {done} of {} tokens", ids.len());
            return Err(Error::new(ErrorKind::Cancelled, what));
        }
        Ok(())
    }

    /// Samples and runs the next `steps` tokens of each text (at most [`STEPS`]), without the host in
    /// between. Returns ids `[slots.len()][steps]`; fewer if a block or the cache ends before, and of a text
    /// whose logits are no numbers from some step on. Ids that have no text are never sampled.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for options outside their range, for no text, or one that is empty, given twice
    /// or not there; [`ErrorKind::Limit`] at the end of a key-value cache; [`ErrorKind::Numeric`] for logits
    /// that are no numbers; those of the device.
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
            if self.slots[slot].broken {
                return Err(no_numbers(slot, self.position(slot)));
            }
            steps = self.steps_at_once(slot, steps)?;
        }
        for (&slot, options) in slots.iter().zip(options) {
            options.check()?;
            self.set_sampler(slot, options).await?;
        }
        let (calls, all) = (self.calls(slots, 1, steps), self.slots.len());
        let Decoder { program, handles, .. } = self.decoder(Ending::Sample).await?;
        let sampled = handles.sampler.expect(SAMPLES).sampled;
        let reads = [(sampled, steps * all)];
        let read = program.run(Submission { calls: &calls, inputs: &[], reads: &reads }).await?;
        let (vocabulary, block) = (self.model.0.config.vocab_size, self.block());
        let mut ids = Vec::new();
        let mut failed = None;
        for &slot in slots {
            let mut mine: Vec<u32> = (0..steps).map(|step| read[0][step * all + slot]).collect();
            mine.truncate(mine.iter().position(|id| *id == NO_TOKEN).unwrap_or(steps));
            if let Some(id) = mine.iter().find(|id| **id as usize >= vocabulary) {
                return Err(Error::new(
                    ErrorKind::Device,
                    format!("the device returned token {id} of a vocabulary of {vocabulary}"),
                )
                .help("try another adapter, or --backend cpu"));
            }
            let s = &mut self.slots[slot];
            if mine.is_empty() {
                // All that ran is taken back, save that a whole block was folded into the state.
                if !self.model.0.attention.has_cache() && s.ring == block {
                    s.ring = 0;
                }
                (s.broken, s.sampler_knows) = (true, false);
                s.decoded.clear();
                failed = failed.or(Some(slot));
                continue;
            }
            let new = s.go_on(&mine, block);
            s.decoded = mine.iter().copied().zip(new).collect();
            let over = steps - mine.len();
            if over > 0 {
                s.position += over;
                s.ring = ring_after(s.ring, over, block);
                s.decoded.extend(std::iter::repeat_n((0, false), over));
                self.rewind(slot, over)?;
            }
            ids.push(mine);
        }
        match failed {
            Some(slot) => Err(no_numbers(slot, self.position(slot))),
            None => Ok(ids),
        }
    }

    /// Tells the sampler of a text what it does not know yet.
    async fn set_sampler(&mut self, slot: usize, options: &GenerateOptions) -> Result<()> {
        let (mut words, s) = (options.words(), &self.slots[slot]);
        let holes = self.model.0.holes.as_deref();
        words[SETTINGS - 1] = u32::from(holes.is_some());
        let new_settings = s.settings != Some(words);
        let marks = |id: usize, seen: bool| {
            let never = holes.is_some_and(|holes| holes[id]);
            u32::from(seen) * OCCURRED + u32::from(never) * NEVER
        };
        let seen: Option<Vec<u32>> = ((options.penalty() != 1.0 || holes.is_some()) && !s.sampler_knows)
            .then(|| s.seen.iter().enumerate().map(|(id, seen)| marks(id, *seen)).collect());
        let Decoder { program, handles, .. } = self.decoder(Ending::Sample).await?;
        let sampler = handles.sampler.expect(SAMPLES);
        if new_settings {
            program.write(sampler.settings, slot * words.len(), &words).await?;
        }
        if let Some(seen) = &seen {
            program.write(sampler.seen, slot * seen.len(), seen).await?;
        }
        let s = &mut self.slots[slot];
        s.settings = Some(words);
        s.sampler_knows |= seen.is_some();
        Ok(())
    }

    /// How many of `wanted` decoding steps fit one submission: a block may be folded into the state only by
    /// the first, so that tokens after a stop can be taken back.
    fn steps_at_once(&self, slot: usize, wanted: usize) -> Result<usize> {
        let block = self.block();
        let s = &self.slots[slot];
        // One more token must fit.
        self.check_ids(slot, &[0])?;
        let of_block = if self.model.0.attention.has_cache() { usize::MAX } else { block - s.ring % block };
        let left = self.most_tokens().map_or(usize::MAX, |(most, _)| most - s.position);
        Ok(wanted.min(of_block).min(left))
    }

    /// Takes back the last `tokens` of what [`Session::decode`] just ran of a text; at least one of them
    /// stays.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for a text that is not there, and for more tokens than can be taken back.
    pub fn rewind(&mut self, slot: usize, tokens: usize) -> Result<()> {
        self.check_ids(slot, &[])?;
        let (block, s) = (self.block(), &mut self.slots[slot]);
        if tokens == 0 {
            return Ok(());
        }
        let Some(kept) = s.decoded.len().checked_sub(tokens).filter(|kept| *kept > 0) else {
            let text = format!("{tokens} tokens to take back of {} just decoded", s.decoded.len());
            return Err(Error::new(ErrorKind::Input, text).help("at least one of them stays"));
        };
        for (id, _) in s.decoded[kept..].iter().filter(|(_, new)| *new) {
            s.seen[*id as usize] = false;
        }
        // The last kept token runs again with whatever comes next, because the logits are now those of a
        // later one.
        s.pending = vec![s.decoded[kept - 1].0];
        s.text.last = s.pending.last().copied();
        let back = tokens + 1;
        s.position -= back;
        // Where a ring is folded, it held all of a submission; a cache is never folded, and `ring` only
        // counts.
        s.ring = if back <= s.ring { s.ring - back } else { s.ring + block - back };
        s.decoded.clear();
        s.sampler_knows = false;
        Ok(())
    }

    /// Where the time of a prefill call (`ids` many) or of a decoding step (`ids` empty) goes, by kernel.
    /// Advances the text.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for more tokens than a call takes; as [`Session::prefill`] and
    /// [`Session::decode`].
    pub async fn profile(&mut self, slot: usize, ids: &[u32]) -> Result<Vec<KernelTime>> {
        self.check_ids(slot, ids)?;
        let tokens = ids.len().max(1);
        let ending = if ids.is_empty() { Ending::Sample } else { Ending::Last };
        if ids.is_empty() {
            // Compiles, and sets the sampler.
            self.decode(&[slot], &[&GenerateOptions::greedy(1)], 1).await?;
        }
        let calls = self.calls(&[slot], tokens, 1);
        let Decoder { program, handles, .. } = self.decoder(ending).await?;
        let given = [(handles.ids, ids)];
        let inputs = if ids.is_empty() { &[] } else { &given[..] };
        let (_, times) = program.run_timed(Submission { calls: &calls, inputs, reads: &[] }).await?;
        let times = by_kernel(program.plan(), &calls[0], &times);
        let block = self.block();
        let s = &mut self.slots[slot];
        (s.position, s.ring) = (s.position + tokens, ring_after(s.ring, tokens, block));
        s.decoded.clear();
        s.sampler_knows = false;
        Ok(times)
    }
}
