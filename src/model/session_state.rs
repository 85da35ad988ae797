//! What a text of a [`Session`] consists of: saving it, loading it, looking at it.

use super::session::{Session, Slot};
use super::state_file::{SavedState, SavedTensor};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Role;

impl Session {
    /// The state tensors that a saved text consists of, with the number of elements a slot has.
    fn state_tensors(&self) -> Vec<(String, usize)> {
        let plan = &self.model.0.blueprint.prefill;
        let states = plan.tensors.iter().filter(|t| t.bytes > 0 && matches!(t.tensor.role, Role::State(_)));
        states
            .map(|t| {
                (t.tensor.name.clone(), t.tensor.ty.shape.elements(&plan.capacity) / plan.capacity.slots)
            })
            .collect()
    }

    /// What a layer remembers of a text before its last block, `[H, F, h]` (sums of φ(k) vᵀ) and `[H, F]`
    /// (sums of φ(k), the normaliser); none for the kinds that keep keys and values instead. For
    /// drawings; the model itself reads it on the device.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for a text or a layer that is not there; those of the device.
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
        for (name, elements) in self.state_tensors() {
            let words = self.memory.read(&name, slot * elements..(slot + 1) * elements).await?;
            tensors.push(SavedTensor { name, words });
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
        for (name, elements) in &expected {
            match saved.tensors.iter().find(|t| t.name == *name) {
                Some(t) if t.words.len() == *elements => {}
                Some(t) => {
                    return fail(format!(
                        "{name} has {} numbers, this session needs {elements} (was it saved with another --max-context?)",
                        t.words.len()
                    ));
                }
                None => return fail(format!("it has no {name}")),
            }
        }
        for t in saved.tensors.iter().filter(|t| expected.iter().any(|(name, _)| *name == t.name)) {
            self.memory.write(&t.name, slot * t.words.len(), &t.words).await?;
        }
        let mut seen = vec![false; vocabulary];
        saved.seen.iter().for_each(|id| seen[*id as usize] = true);
        self.place(slot, Slot::at(saved.position as usize, saved.ring as usize, saved.pending, seen));
        Ok(())
    }

    /// Bytes of state of one text.
    pub fn state_bytes(&self) -> usize {
        self.state_tensors().iter().map(|(_, n)| n * 4).sum()
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
}
