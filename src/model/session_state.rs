//! What a text of a [`Session`] consists of: saving it, loading it, looking at it.

use std::ops::Range;

use super::session::{Session, Slot, Unsaid};
use super::state_file::{SavedState, SavedTensor};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Role, Tensor};
use crate::tensor::{Capacity, Extent, Shape, Unit};

/// The name of what is kept of the text itself. Older files have none, and older programs pass it over.
const TEXT: &str = "text";

/// The name of what is noted of a text: its bytes, each a word. Where nothing is noted there is none.
const NOTE: &str = "note";

impl Unsaid {
    /// The last token + 1, the bytes owed and how many they are, the bytes held.
    fn to_words(&self) -> Vec<u32> {
        let head = [self.last.map_or(0, |id| id + 1), self.owed.len() as u32];
        let bytes = self.owed.bytes().chain(self.held.iter().copied()).map(u32::from);
        head.into_iter().chain(bytes).collect()
    }

    fn from_words(words: &[u32]) -> Self {
        let [last, owed, bytes @ ..] = words else { return Self::default() };
        let bytes: Vec<u8> = bytes.iter().map(|word| *word as u8).collect();
        let (owed, held) = bytes.split_at((*owed as usize).min(bytes.len()));
        Self {
            last: last.checked_sub(1),
            held: held.to_vec(),
            owed: String::from_utf8_lossy(owed).into_owned(),
        }
    }
}

impl Session {
    /// The state tensors that a saved text consists of.
    fn state_tensors(&self) -> Vec<StateTensor> {
        let plan = &self.model.0.blueprint.prefill;
        let states = plan.tensors.iter().filter(|t| t.bytes > 0 && matches!(t.tensor.role, Role::State(_)));
        states.map(|t| StateTensor::of(&t.tensor, &plan.capacity)).collect()
    }

    /// What a layer remembers of a text before its last block, `[H, F, h]` (sums of φ(k) vᵀ) and `[H, F]`
    /// (sums of φ(k), the normaliser); none for the kinds that keep keys and values instead. For
    /// drawings; the model itself reads it on the device.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for a text or a layer that is not there; [`ErrorKind::Numeric`] for a state that is
    /// made of no numbers; those of the device.
    pub async fn attention_state(&self, slot: usize, layer: usize) -> Result<Option<[Vec<f32>; 2]>> {
        let attention = self.model.attention();
        let Some(features) = attention.features() else { return Ok(None) };
        let (heads, head, size) =
            (attention.layout.heads, attention.layout.head, features.state(attention.layout.head));
        let s = self.slots.get(slot).filter(|_| layer < self.model.config().num_hidden_layers);
        let s = s.ok_or_else(|| {
            Error::new(ErrorKind::Input, format!("layer {layer} of text {slot} is not there"))
        })?;
        let mut values = vec![0.0; heads * size];
        // Before the first whole block the device holds what an earlier text left, and ignores it.
        if s.position > s.ring {
            let range = slot * values.len()..(slot + 1) * values.len();
            let words = self.memory.read(&format!("layers.{layer}.attention.state"), range).await?;
            values.iter_mut().zip(words).for_each(|(value, word)| *value = f32::from_bits(word));
        }
        if values.iter().any(|x| !x.is_finite()) {
            let text =
                format!("text {slot}: the state of layer {layer} is made of no numbers (NaN or infinite)");
            return Err(Error::new(ErrorKind::Numeric, text)
                .help("the weights are damaged, or too large: try another copy of the model"));
        }
        let parts = || values.chunks_exact(size).map(|state| state.split_at(features.count * head));
        Ok(Some([
            parts().flat_map(|(sums, _)| sums).copied().collect(),
            parts().flat_map(|(_, normaliser)| normaliser).copied().collect(),
        ]))
    }

    /// One text's state as bytes, with a fingerprint of the model and a checksum.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for a text that is not there; those of the device.
    pub async fn save(&self, slot: usize) -> Result<Vec<u8>> {
        let s = self.slots.get(slot).ok_or_else(|| {
            Error::new(ErrorKind::Input, format!("text {slot} of a session of {}", self.slots.len()))
        })?;
        let mut tensors = Vec::new();
        for tensor in self.state_tensors() {
            let mut words = Vec::with_capacity(tensor.elements_at(s.position));
            for range in tensor.ranges(slot, s.position) {
                words.extend(self.memory.read(&tensor.name, range).await?);
            }
            tensors.push(SavedTensor { name: tensor.name, words });
        }
        let text = SavedTensor { name: TEXT.into(), words: s.text.to_words() };
        tensors.push(text);
        if !s.note.is_empty() {
            let words = s.note.bytes().map(u32::from).collect();
            tensors.push(SavedTensor { name: NOTE.into(), words });
        }
        let saved = SavedState {
            fingerprint: self.model.0.fingerprint,
            position: s.position as u64,
            ring: s.ring as u64,
            pending: s.pending.clone(),
            seen: s.seen.iter().enumerate().filter(|(_, seen)| **seen).map(|(id, _)| id as u32).collect(),
            tensors,
        };
        Ok(saved.to_bytes())
    }

    /// Loads what [`Session::save`] wrote, here or on any other executor.
    ///
    /// # Errors
    /// [`ErrorKind::State`] for a damaged file, or one of another model or version; the text is then as
    /// before.
    pub async fn load(&mut self, slot: usize, bytes: &[u8], label: &str) -> Result<()> {
        let saved = SavedState::from_bytes(bytes, label, self.model.0.fingerprint)?;
        let fail = |what: String| {
            Err(Error::new(ErrorKind::State, format!("{label}: {what}"))
                .help("save it again with this version and this model"))
        };
        let expected = self.state_tensors();
        let vocabulary = self.model.0.config.vocab_size;
        let block = self.model.0.attention.layout.block as u64;
        if slot >= self.slots.len() {
            return fail(format!("text {slot} of a session of {}", self.slots.len()));
        }
        if saved.ring > block
            || saved.ring > saved.position
            || !(saved.position - saved.ring).is_multiple_of(block)
            || saved.position > u64::from(u32::MAX)
            || saved.pending.len() > 1
            || saved.pending.iter().chain(&saved.seen).any(|id| *id as usize >= vocabulary)
        {
            return fail("its position is impossible".into());
        }
        let (position, context) = (saved.position as usize, self.model.0.blueprint.build.context);
        if context > 0 && position > context {
            return Err(Error::new(
                ErrorKind::State,
                format!("{label}: a text of {position} tokens does not fit the key-value cache of {context}"),
            )
            .help(format!("use --max-context {position} or more")));
        }
        let mut found = Vec::new();
        for tensor in &expected {
            let Some(t) = saved.tensors.iter().find(|t| t.name == tensor.name) else {
                return fail(format!("it has no {}", tensor.name));
            };
            let Some(rows) = tensor.rows_of(t.words.len(), position) else {
                return fail(format!(
                    "{} has {} numbers, a text of {position} tokens needs {}",
                    t.name,
                    t.words.len(),
                    tensor.elements_at(position)
                ));
            };
            found.push((tensor, rows, &t.words));
        }
        for (tensor, rows, words) in found {
            for (group, range) in tensor.ranges(slot, position).enumerate() {
                let at = group * rows * tensor.row;
                let words = &words[at..at + range.len()];
                self.memory.write(&tensor.name, range.start, words).await?;
            }
        }
        let mut seen = vec![false; vocabulary];
        saved.seen.iter().for_each(|id| seen[*id as usize] = true);
        let text = saved.tensors.iter().find(|t| t.name == TEXT).map(|t| Unsaid::from_words(&t.words));
        let text =
            text.unwrap_or_else(|| Unsaid { last: saved.pending.last().copied(), ..Unsaid::default() });
        let mut place = Slot::at(saved.position as usize, saved.ring as usize, saved.pending, seen);
        place.text = text;
        if let Some(note) = saved.tensors.iter().find(|t| t.name == NOTE) {
            let bytes: Vec<u8> = note.words.iter().map(|word| *word as u8).collect();
            place.note = String::from_utf8_lossy(&bytes).into_owned();
        }
        self.place(slot, place);
        Ok(())
    }

    /// Bytes that a saved text of so many tokens takes, at most.
    pub fn saved_bytes(&self, tokens: usize) -> usize {
        // Names and counts.
        const SMALL: usize = 4 << 10;
        let tensors = self.state_tensors();
        let numbers: usize = tensors.iter().map(|t| t.elements_at(tokens.min(t.rows))).sum();
        4 * (numbers + self.model.0.config.vocab_size.min(tokens)) + SMALL
    }

    /// Bytes of state that a text of so many tokens fills.
    pub fn bytes_of(&self, tokens: usize) -> usize {
        self.state_tensors().iter().map(|tensor| 4 * tensor.elements_at(tokens)).sum()
    }

    /// Bytes of state of one text.
    pub fn state_bytes(&self) -> usize {
        self.state_tensors().iter().map(|tensor| 4 * tensor.elements()).sum()
    }
}

/// A state tensor as the slots of a session share it.
struct StateTensor {
    name: String,
    /// Runs of rows of a slot: the heads of a key-value cache, else 1.
    groups: usize,
    /// Rows of a group that there is room for: the tokens of a cache, else 1.
    rows: usize,
    /// Numbers of a row.
    row: usize,
    /// Whether there is a row for each token, so that a text fills only as many as it has.
    by_token: bool,
}

impl StateTensor {
    fn of(tensor: &Tensor, capacity: &Capacity) -> Self {
        let size = |extents: &[Extent]| Shape(extents.to_vec()).elements(capacity);
        let shape = &tensor.ty.shape;
        let (name, all) = (tensor.name.clone(), shape.elements(capacity) / capacity.slots);
        match shape.0.iter().position(|extent| extent.unit == Unit::Context) {
            None => Self { name, groups: 1, rows: 1, row: all, by_token: false },
            Some(at) => {
                let (rows, row) = (size(&shape.0[at..=at]), size(&shape.0[at + 1..]));
                Self { name, groups: all / (rows * row), rows, row, by_token: true }
            }
        }
    }

    /// Numbers of a slot.
    fn elements(&self) -> usize {
        self.groups * self.rows * self.row
    }

    /// Rows of a group that a text of so many tokens fills.
    fn filled(&self, position: usize) -> usize {
        if self.by_token { position } else { self.rows }
    }

    /// Numbers that a text of so many tokens needs.
    fn elements_at(&self, position: usize) -> usize {
        self.groups * self.filled(position) * self.row
    }

    /// Where those lie, group by group.
    fn ranges(&self, slot: usize, position: usize) -> impl Iterator<Item = Range<usize>> {
        let filled = self.filled(position) * self.row;
        let starts = (0..self.groups).map(move |group| (slot * self.groups + group) * self.rows * self.row);
        starts.filter(move |_| filled > 0).map(move |start| start..start + filled)
    }

    /// Rows of a group in a file with so many numbers; none if they are not those of a text of so many
    /// tokens. (Earlier versions saved all that a cache has room for.)
    fn rows_of(&self, elements: usize, position: usize) -> Option<usize> {
        let of_a_row = self.groups * self.row;
        let rows = elements / of_a_row;
        let fits = if self.by_token { rows >= position } else { rows == self.rows };
        (fits && elements.is_multiple_of(of_a_row)).then_some(rows)
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use crate::exec::{CpuExecutor, Executor};
    use crate::model::{Engine, LoadOptions, ModelSource};

    #[test]
    fn places_that_no_text_stands_at_are_refused() {
        let engine = Engine::on(Executor::Cpu(CpuExecutor::default()));
        let model = pollster::block_on(engine.load(
            ModelSource::open("assets/novels-2m".as_ref()).expect("opens"),
            &LoadOptions::default(),
            &mut |_, _| {},
        ))
        .expect("loads");
        let mut session = pollster::block_on(Session::new(&model)).expect("starts");
        pollster::block_on(session.prefill(0, &[5, 6, 7], &mut |_| std::ops::ControlFlow::Continue(())))
            .expect("reads");
        let good = pollster::block_on(session.save(0)).expect("saves");
        let changed = |change: &dyn Fn(&mut SavedState)| {
            let mut state = SavedState::from_bytes(&good, "good", model.fingerprint()).expect("reads");
            change(&mut state);
            state.to_bytes()
        };
        let changes: [&dyn Fn(&mut SavedState); 5] = [
            &|s| s.position = u64::MAX,
            &|s| s.position += 1,
            &|s| s.ring = 4,
            &|s| s.seen.push(u32::MAX),
            &|s| s.pending = vec![1, 2],
        ];
        for change in changes {
            let error =
                pollster::block_on(session.load(0, &changed(change), "changed")).expect_err("impossible");
            assert!(error.kind() == ErrorKind::State && error.message().contains("impossible"), "{error}");
            assert_eq!(session.position(0), 3);
        }
        pollster::block_on(session.load(0, &good, "good")).expect("loads");
    }

    /// Whatever fails while a state is saved: the file is the old state or the new one.
    #[test]
    fn a_state_is_saved_whole_or_not_at_all() {
        use crate::files::{atomic_write, faults};
        use crate::model::read_state;
        let engine = Engine::on(Executor::Cpu(CpuExecutor::default()));
        let model = pollster::block_on(engine.load(
            ModelSource::open("assets/novels-2m".as_ref()).expect("opens"),
            &LoadOptions::default(),
            &mut |_, _| {},
        ))
        .expect("loads");
        let mut session = pollster::block_on(Session::new(&model)).expect("starts");
        let mut save = |ids: &[u32]| {
            let on = &mut |_| std::ops::ControlFlow::Continue(());
            pollster::block_on(session.prefill(0, ids, on)).expect("reads");
            pollster::block_on(session.save(0)).expect("saves")
        };
        let (old, new) = (save(&[5, 6, 7]), save(&[8, 9]));
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("text.state");
        faults::every(|k, fault| {
            std::fs::write(&path, &old).expect("writes");
            let (saved, hit) = faults::with(k, fault, || atomic_write(&path, |w| w.write_all(&new)));
            let found = read_state(&path).expect("reads");
            pollster::block_on(session.load(0, &found, "found")).expect("loads");
            assert_eq!(session.position(0), if saved.is_ok() { 5 } else { 3 }, "{k}");
            assert!(saved.is_ok_and(|()| true) || found == old);
            hit
        });
    }

    /// A state with a key-value cache goes on under any cache that holds it, and takes in the file what its
    /// tokens need.
    #[test]
    fn a_cache_is_saved_as_far_as_it_is_filled() {
        let engine = Engine::on(Executor::Cpu(CpuExecutor::default()));
        let json = r#"{"vocab_size":257,"hidden_size":8,"num_hidden_layers":2,"num_attention_heads":2,
            "intermediate_size":8,"rope":{"where":"none"},"attention":{"kind":"softmax"}}"#;
        let open = |max_context: usize, slots: usize| {
            let config = crate::model::ModelConfig::from_json(json, "c").expect("good").0;
            let specs = config.parameters();
            let numbers = |n: usize, seed: usize| -> Vec<f32> {
                (0..n).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 1009.0 - 0.5).collect()
            };
            let values: Vec<Vec<f32>> =
                specs.iter().enumerate().map(|(i, s)| numbers(s.elements(), i)).collect();
            let tensors: Vec<_> = specs
                .iter()
                .zip(&values)
                .map(|(s, v)| crate::model::tensor_file::TensorData::f32(&s.name, &s.shape, v))
                .collect();
            let bytes = crate::model::tensor_file::safetensors_bytes(&tensors, &[]).expect("bytes");
            let checkpoint = crate::model::checkpoint::Checkpoint::from_bytes(bytes, "new").expect("opens");
            let source = ModelSource {
                config,
                checkpoint,
                tokenizer: crate::model::Tokenizer::bytes(),
                conventions: crate::model::Conventions::default(),
                warnings: Vec::new(),
            };
            let options = LoadOptions { max_context, slots, ..LoadOptions::default() };
            let model = pollster::block_on(engine.load(source, &options, &mut |_, _| {})).expect("loads");
            pollster::block_on(Session::new(&model)).expect("starts")
        };
        let on = |_| std::ops::ControlFlow::Continue(());
        let (first, second): (Vec<u32>, Vec<u32>) = ((10..40).collect(), (50..70).collect());
        let mut whole = open(64, 1);
        pollster::block_on(whole.prefill(0, &first, &mut { on })).expect("reads");
        let saved = pollster::block_on(whole.save(0)).expect("saves");
        assert!(saved.len() < whole.state_bytes(), "{} of {}", saved.len(), whole.state_bytes());
        // As an earlier version saved it: all that the cache has room for.
        let mut old = SavedState::from_bytes(&saved, "saved", whole.model().fingerprint()).expect("reads");
        for tensor in whole.state_tensors() {
            let t = old.tensors.iter_mut().find(|t| t.name == tensor.name).expect("is there");
            let all = pollster::block_on(whole.memory.read(&tensor.name, 0..tensor.elements()));
            t.words = all.expect("reads");
        }
        pollster::block_on(whole.prefill(0, &second, &mut { on })).expect("reads");
        let want = pollster::block_on(whole.logits(0)).expect("logits");
        for (bytes, context, slot) in
            [(&saved, 50, 0), (&saved, 64, 1), (&saved, 200, 1), (&old.to_bytes(), 300, 0)]
        {
            let mut session = open(context, 2);
            pollster::block_on(session.load(slot, bytes, "saved")).expect("loads");
            pollster::block_on(session.prefill(slot, &second, &mut { on })).expect("reads");
            assert_eq!(pollster::block_on(session.logits(slot)).expect("logits"), want, "{context}");
        }
        let error = pollster::block_on(open(29, 1).load(0, &saved, "saved")).expect_err("too small");
        assert!(error.message().contains("30 tokens") && error.message().contains("cache of 29"), "{error}");
        // A file that ends in the middle of a cache.
        old.tensors.iter_mut().filter(|t| t.name.ends_with(".cache")).for_each(|t| t.words.truncate(16));
        assert!(pollster::block_on(open(64, 1).load(0, &old.to_bytes(), "cut")).is_err());
    }
}
