//! The AGX compiler's listing after register allocation: `block4 {` … `} -> block5 block6  from block3`. It
//! is the last listing before the bytes of the shader, which are followed by those of its preamble.

use super::code::{Code, Count, Share};

/// The inner loop of a shader.
pub fn read(text: &str) -> Share {
    code(text).hot_loop()
}

fn code(text: &str) -> Code {
    let lines: Vec<&str> = text.lines().collect();
    // Bytes begin with the line `   0: b500410521800000       stack_adjust 20`.
    let bytes = lines.iter().position(|line| line.trim_start().starts_with("0: ")).unwrap_or(lines.len());
    let start = lines[..bytes].iter().rposition(|line| *line == "block0 {").unwrap_or(bytes);
    let mut code = Code { blocks: Vec::new() };
    for line in lines[start..bytes].iter().map(|line| line.trim()) {
        if let Some(name) = line.strip_suffix(" {") {
            code.label(name);
        } else if let Some(rest) = line.strip_prefix('}') {
            let to = rest.split(" from ").next().unwrap_or_default();
            code.goes_to(to.split_whitespace().filter(|word| *word != "->").map(str::to_string));
        } else if !line.is_empty() && !code.blocks.is_empty() {
            code.count(instruction(line));
        }
    }
    code
}

fn instruction(line: &str) -> Count {
    let operation = line.split_once(" = ").map_or(line, |(_, right)| right);
    let name = operation.split_whitespace().next().unwrap_or_default();
    if matches!(name, "wait" | "nop" | "logical_end") {
        return Count::default();
    }
    let of = |load: &str| if name == load { components(operation) } else { 0 };
    Count {
        instructions: 1,
        multiply_adds: name.starts_with("ffma").into(),
        near: of("local_load"),
        far: of("device_load"),
    }
}

/// `device_load ^r28:r29, ^r27.abs, xyzw, #0x0, slot 0` reads four words.
fn components(operation: &str) -> u32 {
    let mask = operation.split(',').map(str::trim).find(|word| "xyzw".starts_with(word) && !word.is_empty());
    mask.map_or(1, |mask| mask.len() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_of_agx() {
        let text = "
block0 {
   1 = ffma 1583, 1575, 984
} -> block0  from block0

block0 {
   $r51 = mov_imm #0x3
} -> block1 

block1 {
   $r26 = device_load ^r28:r29, ^r27.abs, xyzw, #0x0, slot 0
   r1 = local_load r2, r3, x, #0x0
   wait #0x0, slot 1
   r16 = ffma r4, r8, r16
   r17 = ffma r5, r8, r17
   r18 = ffma r6, r8, r18
   r116 = iadd #1, r116.neg, #0x0
   jmp_exec_any #0x55555a16bb30
   pop_exec #0x0, n=1
} -> block1 block2  from block0 block1

block2 {
   stop 
}
   0: b500410521800000       stack_adjust 20
   8: f2110000               mov      $r4, threadgroup_in_grid_x
block0 {
   r16 = ffma r4, r8, r16
} -> block0 
";
        assert_eq!(
            read(text),
            Share { count: Count { instructions: 8, multiply_adds: 3, near: 1, far: 4 }, looped: true }
        );
    }
}
