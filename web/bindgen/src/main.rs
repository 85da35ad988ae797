//! `polysketch-bindgen INPUT.wasm FOLDER`: what `wasm-bindgen --target web` does, with the version of
//! Cargo.lock and without the download code that makes the real program slow to build.

use std::error::Error;

use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1);
    let (Some(input), Some(folder), None) = (args.next(), args.next(), args.next()) else {
        return Err("usage: polysketch-bindgen INPUT.wasm FOLDER".into());
    };
    // With its default path the module finds its .wasm beside itself, so that `init()` needs no argument.
    Bindgen::new()
        .web(true)?
        .omit_default_module_path(false)
        .input_path(input)
        // Names of functions are a tenth of a download.
        .remove_name_section(true)
        .remove_producers_section(true)
        .typescript(true)
        .generate(folder)?;
    Ok(())
}
