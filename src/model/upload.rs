//! From the files of a checkpoint to the memory of an executor, a piece of a parameter at a time: neither a file
//! nor a large matrix is ever in main memory as a whole.

use std::ops::Range;

use super::bytes::at_once;
use super::checkpoint::Checkpoint;
use super::weights::{Packed, Part};
use crate::error::Result;
use crate::exec::Memory;
use crate::tensor::DType;

/// Words of a piece, at most, where a part can be cut.
const MOST: usize = 4 << 20;

/// Stores parameters from their checkpoint. `progress` is told bytes done and in all.
///
/// # Errors
/// As [`Packed::read`]; those of the device.
pub async fn upload(
    memory: &Memory,
    parameters: &[Packed],
    checkpoint: &Checkpoint,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<()> {
    let bytes = |packed: &Packed| packed.dtype.bytes(packed.elements) as u64;
    let total: u64 = parameters.iter().map(bytes).sum();
    let mut before = 0;
    for packed in parameters {
        let mut filling = memory.fill(&packed.name, packed.dtype, packed.elements).await?;
        let mut done = 0;
        for piece in packed.pieces(MOST) {
            progress(before + 4 * done as u64, total);
            let words = piece.read(checkpoint).await?;
            filling.put(done, &words).await?;
            done += words.len();
        }
        filling.finish();
        before += bytes(packed);
    }
    progress(total, total);
    Ok(())
}

impl Packed {
    /// The parameter as words, from a checkpoint whose files are at hand. Halves stay halves; anything else is
    /// rounded once.
    ///
    /// # Errors
    /// As [`Packed::read`].
    pub fn words(&self, checkpoint: &Checkpoint) -> Result<Vec<u32>> {
        at_once(self.read(checkpoint))
    }

    /// The parameter as words, from the checkpoint. Halves stay halves; anything else is rounded once.
    ///
    /// # Errors
    /// As [`Checkpoint::read_f32`] and [`Checkpoint::read_f16`].
    pub async fn read(&self, checkpoint: &Checkpoint) -> Result<Vec<u32>> {
        let mut words = Vec::with_capacity(self.dtype.bytes(self.elements) / 4);
        if let DType::Quant(quant) = self.dtype {
            for part in &self.parts {
                let (at, rows) = (words.len(), part.len() / quant.columns());
                words.resize(at + rows * quant.row_words(), 0);
                match part {
                    Part::Tensor { name, range } => {
                        let rows = range.start / quant.columns()..range.end / quant.columns();
                        checkpoint.read_quantized(name, &quant, rows, &mut words[at..]).await?;
                    }
                    Part::Zeros(_) => {}
                    Part::Ones(_) => unreachable!("ones are of norms, which are floats"),
                }
            }
            return Ok(words);
        }
        if self.dtype == DType::F16 {
            let mut halves: Vec<u16> = Vec::with_capacity(self.elements + 1);
            for part in &self.parts {
                match part {
                    Part::Tensor { name, range } => {
                        halves.extend(checkpoint.read_f16(name, Some(range.clone())).await?);
                    }
                    Part::Zeros(n) => halves.resize(halves.len() + n, 0),
                    Part::Ones(n) => halves.resize(halves.len() + n, half::f16::ONE.to_bits()),
                }
            }
            let pair = |pair: &[u16]| u32::from(pair[0]) | u32::from(pair.get(1).copied().unwrap_or(0)) << 16;
            words.extend(halves.chunks(2).map(pair));
            return Ok(words);
        }
        for part in &self.parts {
            match part {
                Part::Tensor { name, range } => {
                    let values = checkpoint.read_f32(name, Some(range.clone())).await?;
                    words.extend(values.iter().map(|x| x.to_bits()));
                }
                Part::Zeros(n) => words.resize(words.len() + n, 0f32.to_bits()),
                Part::Ones(n) => words.resize(words.len() + n, 1f32.to_bits()),
            }
        }
        Ok(words)
    }

    /// The parameter in pieces of at most so many words, whole rows each, of which there is at least one.
    fn pieces(&self, most: usize) -> impl Iterator<Item = Packed> {
        let row = self.columns.unwrap_or(1).max(1);
        // Rows that begin with a word wherever they are cut.
        let rows = if self.dtype == DType::F16 && !row.is_multiple_of(2) { 2 * row } else { row };
        let groups =
            (most / (self.dtype.bytes(rows) / 4).max(1)).clamp(1, self.elements.div_ceil(rows).max(1));
        let size = groups * rows;
        (0..self.elements).step_by(size).map(move |from| {
            let piece = from..self.elements.min(from + size);
            let of_part = |(part, at): (&Part, Range<usize>)| {
                let [start, end] = [piece.start, piece.end].map(|x| x.clamp(at.start, at.end) - at.start);
                (start < end).then(|| part.some(start..end))
            };
            let parts = self.ranges().filter_map(of_part).collect();
            Packed { elements: piece.len(), parts, ..self.clone() }
        })
    }
}

impl Part {
    /// Some of its elements.
    fn some(&self, elements: Range<usize>) -> Self {
        match self {
            Part::Tensor { name, range } => Part::Tensor {
                name: name.clone(),
                range: range.start + elements.start..range.start + elements.end,
            },
            Part::Zeros(_) => Part::Zeros(elements.len()),
            Part::Ones(_) => Part::Ones(elements.len()),
        }
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::model::config::ModelConfig;
    use crate::model::{ModelSource, transformer, weights};
    use crate::tensor::Quant;

    /// Every parameter of models of all kinds of places and types, in one piece and in many.
    #[test]
    fn pieces_are_the_whole() {
        let public = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/public");
        let quant = |columns| Quant { bits: 4, block: 32, wide: false, minimum: true, columns };
        let mut seen = 0;
        for name in ["llama-hf", "gpt2", "gpt-neox-f16", "gguf/llama-Q4_1.gguf", "gguf/gpt2-Q8_0.gguf"] {
            let source = ModelSource::open(&public.join(name)).expect("opens");
            let config: &ModelConfig = &source.config;
            let attention = transformer::attention(config);
            for dtype in [DType::F32, DType::F16, DType::Quant(quant(32))] {
                for mut packed in weights::packed(config, &attention, dtype, usize::MAX) {
                    if let (DType::Quant(_), Some(columns)) = (packed.dtype, packed.columns) {
                        packed.dtype = DType::Quant(quant(columns as u32));
                    }
                    let whole = packed.words(&source.checkpoint).expect("reads");
                    for most in [1, 100, usize::MAX] {
                        let pieces: Vec<Packed> = packed.pieces(most).collect();
                        let words =
                            pieces.iter().map(|piece| piece.words(&source.checkpoint).expect("reads"));
                        assert_eq!(
                            words.collect::<Vec<_>>().concat(),
                            whole,
                            "{name} {} {dtype:?}",
                            packed.name
                        );
                        assert_eq!(pieces.iter().map(|piece| piece.elements).sum::<usize>(), packed.elements);
                        seen += pieces.len();
                    }
                }
            }
        }
        assert!(seen > 1000, "{seen}");
    }
}
