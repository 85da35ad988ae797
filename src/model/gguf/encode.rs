//! From floats to the types of tensors that are written. Blocks are rounded as `--weights` rounds on loading
//! ([`Quant::round`]), so that a file and a rounded model are the same numbers.

use half::f16;

use super::blocks::BlockType;
use crate::tensor::Quant;

/// Values of a block that is written.
const BLOCK: usize = 32;

impl BlockType {
    /// How a block of it is rounded; none for those that are not written.
    ///
    /// 8 bits are `Q8_0`: a scale, values around 0. 4 bits are `Q4_1`, a scale and a minimum: its 16 steps
    /// span just the block's values, where those of `Q4_0` lie around 0 whatever the values are. That costs 5
    /// bits a value instead of 4.5.
    fn rounding(self) -> Option<Quant> {
        let (bits, minimum) = match self {
            Self::Q8_0 => (8, false),
            Self::Q4_1 => (4, true),
            _ => return None,
        };
        Some(Quant { bits, block: BLOCK as u8, wide: false, minimum, columns: BLOCK as u32 })
    }

    /// Whether it can be written.
    pub fn is_written(self) -> bool {
        matches!(self, Self::F32 | Self::F16) || self.rounding().is_some()
    }

    /// Appends the nearest values that it holds, whole blocks of them.
    ///
    /// # Errors
    /// Where the first one is that is too large for it.
    pub fn encode(self, values: &[f32], out: &mut Vec<u8>) -> Result<(), usize> {
        if let Some(quant) = self.rounding() {
            let (blocks, rest) = values.as_chunks::<BLOCK>();
            debug_assert!(rest.is_empty(), "{} values of {}", values.len(), self.name());
            let mut row = vec![0u32; quant.row_words()];
            for (i, values) in blocks.iter().enumerate() {
                row.fill(0);
                if quant.round(values, &mut row).is_some() {
                    let largest = (0..BLOCK).max_by(|a, b| values[*a].abs().total_cmp(&values[*b].abs()));
                    return Err(i * BLOCK + largest.unwrap_or(0));
                }
                // Its scales come first, and are halves in the order of the format.
                let (q, scales) = row.split_at(quant.value_words());
                let scales = scales.iter().flat_map(|word| word.to_le_bytes());
                out.extend(scales.take(if quant.minimum { 4 } else { 2 }));
                out.extend(q.iter().flat_map(|word| word.to_le_bytes()));
            }
            return Ok(());
        }
        if self == Self::F16 {
            for (i, x) in values.iter().enumerate() {
                let half = f16::from_f32(*x);
                if half.is_infinite() {
                    return Err(i);
                }
                out.extend(half.to_le_bytes());
            }
            return Ok(());
        }
        debug_assert!(self == Self::F32, "{} is not written", self.name());
        values.iter().for_each(|x| out.extend(x.to_le_bytes()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that look random, of several magnitudes; blocks of zeros and of one number among them.
    fn numbers() -> Vec<f32> {
        let mut state = 7u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        };
        let mut list: Vec<f32> = Vec::new();
        for scale in [0.0f32, 1e-3, 1.0, 37.0, 1e4] {
            (0..20).for_each(|_| list.extend((0..BLOCK).map(|_| scale * next())));
            // On one side of 0 only.
            list.extend((0..BLOCK).map(|_| scale * (next() + 3.0)));
            list.extend([scale; BLOCK]);
        }
        list
    }

    #[test]
    fn blocks_are_those_that_loading_rounds_to() {
        let values = numbers();
        for kind in [BlockType::Q8_0, BlockType::Q4_1] {
            let mut bytes = Vec::new();
            kind.encode(&values, &mut bytes).expect("fits");
            assert_eq!(bytes.len(), values.len() / kind.values() * kind.bytes());
            let mut got = vec![0.0; values.len()];
            kind.dequantize(&bytes, &mut got);
            let quant = Quant { columns: values.len() as u32, ..kind.rounding().expect("is written") };
            let mut row = vec![0; quant.row_words()];
            assert_eq!(quant.round(&values, &mut row), None);
            let mut want = vec![0.0; values.len()];
            quant.widen(&row, &mut want);
            assert_eq!(got, want, "{}", kind.name());
            assert_eq!(
                kind.quant(values.len()),
                Some(quant),
                "{}: no second rounding on loading",
                kind.name()
            );
            // No value is further than half a step, but for the rounding of scale and minimum to halves.
            for (block, values) in values.chunks(BLOCK).enumerate() {
                let (scale, minimum) = quant.scale(&row, block);
                let rounded = |half: f32| (half.abs() * 2f32.powi(-11)).max(2f32.powi(-25));
                let steps = if quant.minimum { 15.0 } else { 127.0 };
                let bound = 0.5001 * scale + 1.001 * (steps * rounded(scale) + rounded(minimum));
                for (i, x) in values.iter().enumerate() {
                    let error = (x - got[block * BLOCK + i]).abs();
                    assert!(error <= bound, "{} {block} {i}: {x} {error} {bound}", kind.name());
                }
            }
        }
    }

    #[test]
    fn four_bits_from_a_minimum_are_nearer() {
        let values: Vec<f32> = numbers()[BLOCK * 22..BLOCK * 42].to_vec();
        let error = |minimum: bool| -> f32 {
            let quant = Quant { bits: 4, block: 32, wide: false, minimum, columns: values.len() as u32 };
            let (mut row, mut got) = (vec![0; quant.row_words()], vec![0.0; values.len()]);
            quant.round(&values, &mut row);
            quant.widen(&row, &mut got);
            values.iter().zip(&got).map(|(x, y)| (x - y).powi(2)).sum()
        };
        assert!(error(true) < 0.8 * error(false), "{} {}", error(true), error(false));
    }

    #[test]
    fn floats_are_their_bytes_and_what_is_too_large_is_found() {
        let values = [1.0f32, -0.0, 6.1e-5, 65504.0];
        let mut bytes = Vec::new();
        BlockType::F32.encode(&values, &mut bytes).expect("fits");
        assert_eq!(bytes, values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
        bytes.clear();
        BlockType::F16.encode(&values, &mut bytes).expect("fits");
        assert_eq!(bytes, values.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect::<Vec<u8>>());
        assert_eq!(BlockType::F16.encode(&[1.0, 65520.0], &mut bytes), Err(1));
        let mut block = [0.5f32; 64];
        block[40] = -1e8;
        assert_eq!(BlockType::Q8_0.encode(&block, &mut bytes), Err(40));
        assert_eq!(BlockType::Q4_1.encode(&block, &mut bytes), Err(40));
        assert!(BlockType::ALL.into_iter().filter(|kind| kind.is_written()).count() == 4);
    }
}
