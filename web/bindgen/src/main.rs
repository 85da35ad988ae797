//! `polysketch-bindgen INPUT.wasm FOLDER`: what `wasm-bindgen --target web` does, with the version of Cargo.lock and without
//! the download code that makes the real program slow to build.

use std::error::Error;

use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1);
    let (Some(input), Some(folder), None) = (args.next(), args.next(), args.next()) else {
        return Err("usage: polysketch-bindgen INPUT.wasm FOLDER".into());
    };
    Bindgen::new().web(true)?.input_path(input).typescript(true).generate(folder)?;
    Ok(())
}
