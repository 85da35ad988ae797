//! ACO's assembly: labels `BB4:`, an instruction a line, its encoding behind `;`. `v_dual_…  :: v_dual_…` is
//! two operations in one.

use super::code::{Code, Count, Share, words_of_bits};

/// The inner loop of a shader.
pub fn read(text: &str) -> Share {
    code(text).hot_loop()
}

/// What waits or hints.
const NOTHING: [&str; 6] = ["s_delay_alu", "s_waitcnt", "s_wait_", "s_clause", "s_nop", "s_sendmsg"];

fn code(text: &str) -> Code {
    let mut code = Code::default();
    for line in text.lines() {
        let line = line.split(';').next().unwrap_or_default().trim();
        let name = line.split_whitespace().next().unwrap_or_default();
        if let Some(label) = line.strip_suffix(':') {
            code.label(label);
        } else if name == "s_endpgm" {
            code.end();
        } else if name == "s_branch" || name.starts_with("s_cbranch") {
            code.count(Count { instructions: 1, ..Count::default() });
            code.branch(line.split_whitespace().nth(1).unwrap_or_default(), name == "s_branch");
        } else if !name.is_empty() && !NOTHING.iter().any(|hint| name.starts_with(hint)) {
            code.count(instruction(line, name));
        }
    }
    code
}

fn instruction(line: &str, name: &str) -> Count {
    // 16 x 16 x 16 by 64 invocations, in the time of sixteen multiply-adds of all of them.
    if name.starts_with("v_wmma_f32_16x16x16") {
        return Count { instructions: 16, multiply_adds: 64, ..Count::default() };
    }
    let multiply_adds = line.split("::").filter(|half| multiplies_and_adds(half)).count() as u32;
    let bits = name.rsplit("_b").next().unwrap_or_default();
    let words = words_of_bits(bits) * if name.contains("_2addr_") { 2 } else { 1 };
    let mut count = Count { instructions: 1, multiply_adds, ..Count::default() };
    // Scalar loads are one for all invocations.
    if name.contains("_load_") && !name.starts_with("s_") {
        *(if name.starts_with("ds_") { &mut count.near } else { &mut count.far }) = words;
    }
    count
}

fn multiplies_and_adds(half: &str) -> bool {
    let name = half.split_whitespace().next().unwrap_or_default();
    ["fma_f32", "fmac_f32", "fmamk_f32", "fmaak_f32"].iter().any(|operation| name.contains(operation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_of_matrices_is_64_multiply_adds_in_the_time_of_sixteen() {
        let line = "v_wmma_f32_16x16x16_f16 v[20:23], v[56:63], v[40:47], v[20:23]";
        let count = instruction(line, "v_wmma_f32_16x16x16_f16");
        assert_eq!(count, Count { instructions: 16, multiply_adds: 64, ..Count::default() });
    }

    #[test]
    fn a_loop_of_aco() {
        let text = "
BB0:
\ts_movk_i32 s1, 0x8000                                       ; b0018000
BB1:
\ts_delay_alu instid0(VALU_DEP_2) | instskip(SKIP_4)          ; bf8700d2
\tds_load_b128 v[8:11], v5 offset:16                          ; e05c0000 80440805
\tds_load_2addr_b64 v[8:11], v5 offset0:1 offset1:2           ; e05c0000 80440805
\ts_waitcnt lgkmcnt(0)                                        ; bf89fc07
\tv_fmac_f32_e32 v77, v131, v124                              ; 569af983
\tv_dual_fmac_f32 v1, v2, v3 :: v_dual_fmac_f32 v4, v5, v6    ; 569af983
\tv_dual_fmac_f32 v1, v2, v3 :: v_dual_mov_b32 v4, v5         ; 569af983
\tv_fma_f32 v77, v131, v124, v3                               ; 569af983
\ts_cbranch_scc0 BB1                                          ; bfa10034
BB2:
\tbuffer_store_b128 v[8:11], v5, s[16:19], 0 offen            ; e05c0000 80440805
\ts_endpgm                                                    ; bfb00000
";
        assert_eq!(
            read(text),
            Share { count: Count { instructions: 7, multiply_adds: 5, near: 8, far: 0 }, looped: true }
        );
    }
}
