//! What shaders know of weights in few bits.

use crate::kernels::shader::shared::FewBits;
use crate::tensor::DType;

/// Whether a type has so many bits a number, and scales.
pub(in crate::kernels) fn has(dtype: DType, bits: u8) -> bool {
    matches!(dtype, DType::Quant(quant) if quant.bits == bits)
}

/// The values of `shared/few_bits.wgsl`; none for other types.
pub(in crate::kernels) fn overrides(dtype: DType) -> Option<FewBits> {
    let DType::Quant(quant) = dtype else { return None };
    Some(FewBits {
        row_words: quant.row_words(),
        scales: quant.value_words(),
        block: quant.block() / 4,
        wide: quant.wide,
        minimum: quant.minimum,
        offset: f64::from(quant.offset()),
    })
}
