//! `gauge`: what is said where there are no compilers, of misspelt names and of tables; and a kernel, where there
//! are some.

use serde_json::Value;

use crate::run::*;

#[test]
fn without_compilers_one_line_says_what_brings_them() {
    let dir = folder();
    let mesa = arg(dir.path());
    fails(run(&["gauge", "--mesa", mesa]), &["no compilers", "ld-linux-x86-64.so.2"], true);
    fails(run(&["gauge", "--mesa", mesa, "--vendor", "voodoo"]), &["voodoo"], true);
    fails(run(&["gauge", "--mesa", mesa, "--update", "linear"]), &["--update"], true);
    let table = dir.path().join("table.txt");
    std::fs::write(&table, "scene step\nprefill embed.0\n").unwrap();
    fails(run(&["gauge", "--mesa", mesa, "--table", arg(&table)]), &["table.txt", "line 2"], true);
}

/// The whole of the gauge, on the compilers that `tests/gauge/setup` brought.
#[test]
fn a_kernel_on_every_compiler() {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(std::path::PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| std::path::PathBuf::from(home).join(".cache"));
    let mesa = cache.or(home).unwrap_or_default().join("polysketch-tests/mesa26");
    if !mesa.join("root").is_dir() {
        println!("skipped: no compilers; tests/gauge/setup brings them");
        return;
    }
    let dir = folder();
    let isa = dir.path().join("isa");
    let rows = json(&["gauge", "product.1024x1024x1024", "--mesa", arg(&mesa), "--isa", arg(&isa)]);
    let rows = rows.as_array().unwrap();
    let number = |row: &Value, name: &str| row[name].as_f64().unwrap();
    for vendor in ["nvidia", "amd", "apple", "adreno"] {
        let row = rows.iter().find(|row| row["vendor"] == vendor && row["step"] == "product").unwrap();
        assert_eq!(row["failed"], Value::Null, "{row}");
        assert!(number(row, "registers") > 0.0 && number(row, "occupancy") > 0.0, "{row}");
        assert!(
            number(row, "instructions") > 100.0 && number(row, "flops") == 2.0 * 1024f64.powi(3),
            "{row}"
        );
        // A product multiplies and adds in its loop, whoever compiles it.
        let share = number(row, "multiply_adds");
        assert!((0.2..=2.0).contains(&share), "{row}");
        // Not faster than the device.
        assert!(number(row, "seconds") > 2.0 * 1024f64.powi(3) / 61.1e12, "{row}");
        let texts = std::fs::read_dir(&isa).unwrap().filter_map(|file| file.ok());
        let names = texts.map(|file| file.file_name().into_string().unwrap());
        assert!(names.filter(|name| name.starts_with(vendor)).count() >= 2, "{vendor}");
    }
    // With the shaders of the repository in place of the program's own, all is the same.
    let shaders = repository("shaders");
    let arguments = ["gauge", "product.1024x1024x1024", "--mesa", arg(&mesa), "--shaders", arg(&shaders)];
    assert_eq!(json(&arguments).as_array().unwrap(), rows);
}
