//! A model folder of random weights for a `config.json` of any family: to see what a model of that shape costs
//! before one downloads it. Weights are halves, written as they are made, so it takes no memory.
//!
//! ```sh
//! cargo run --release --example random_model -- assets/configs/powercoder-3b.json /tmp/powercoder
//! target/release/polysketch generate --model /tmp/powercoder --weights q4 --prompt "fn main()" -n 32
//! ```

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use half::f16;
use polysketch::files::{Whole, atomic_write, check_room, create_folders, read_text};
use polysketch::model::families::Names;
use polysketch::model::{ModelConfig, ParameterKind};
use polysketch::{Error, ErrorKind, Result};
use serde_json::json;

fn main() -> Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [config, out] = &arguments[..] else {
        let error = Error::new(ErrorKind::Input, "give a config.json and the folder to make");
        return Err(error.help("such as assets/configs/powercoder-3b.json /tmp/powercoder"));
    };
    let text = read_text(config, Whole::Settings)?;
    let (model, _) = ModelConfig::from_json(&text, &config.display().to_string())?;
    // Tensors as the family's files have them; several of ours may be parts of one.
    let names = Names::of(&model, |_| false);
    let mut tensors: BTreeMap<String, (Vec<usize>, ParameterKind)> = BTreeMap::new();
    for ours in model.parameters() {
        let place = names.place(&ours.name);
        let shape = place.shape_in_file(&ours.shape);
        tensors.entry(place.name).or_insert((shape, ours.kind));
    }
    let mut header = serde_json::Map::new();
    let mut end = 0;
    for (name, (shape, _)) in &tensors {
        let bytes = 2 * shape.iter().product::<usize>();
        header.insert(
            name.clone(),
            json!({ "dtype": "F16", "shape": shape, "data_offsets": [end, end + bytes] }),
        );
        end += bytes;
    }
    let mut header = json!(header).to_string();
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    create_folders(out)?;
    let file = out.join("model.safetensors");
    let size = (8 + header.len() + end) as u64;
    check_room(&file, size, size)?;
    atomic_write(&file, |w| {
        w.write_all(&(header.len() as u64).to_le_bytes())?;
        w.write_all(header.as_bytes())?;
        let mut noise = Noise(1);
        for (shape, kind) in tensors.values() {
            // Rows of the embedding are of length 1; a layer leaves its input's length as it is.
            let columns = shape.last().copied().unwrap_or(1) as f32;
            noise.write(w, shape.iter().product(), *kind, (3.0 / columns).sqrt())?;
        }
        Ok(())
    })?;
    atomic_write(&out.join("config.json"), |w| w.write_all(text.as_bytes()))?;
    println!("{}: {} parameters, {size} bytes", out.display(), model.parameter_count());
    Ok(())
}

/// A xorshift generator: noise for a benchmark, no more.
struct Noise(u64);

impl Noise {
    /// Values from -1 to 1.
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn write(&mut self, w: &mut dyn Write, n: usize, kind: ParameterKind, bound: f32) -> std::io::Result<()> {
        const PIECE: usize = 1 << 16;
        let mut bytes = Vec::with_capacity(2 * PIECE);
        for from in (0..n).step_by(PIECE) {
            bytes.clear();
            for _ in from..n.min(from + PIECE) {
                let value = match kind {
                    ParameterKind::NormScale => 1.0,
                    // A gate that forgets slowly.
                    ParameterKind::GateBias => 6.0,
                    ParameterKind::NormBias | ParameterKind::LinearBias | ParameterKind::LogitBias => 0.0,
                    _ => bound * self.next(),
                };
                bytes.extend(f16::from_f32(value).to_le_bytes());
            }
            w.write_all(&bytes)?;
        }
        Ok(())
    }
}
