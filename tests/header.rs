//! `include/tokenpin.h` is what cbindgen makes of `src/capi`; written anew when
//! `TOKENPIN_WRITE_HEADER` is set.

#[test]
fn the_header_is_what_the_code_says() {
    let root = env!("CARGO_MANIFEST_DIR");
    let config = cbindgen::Config::from_file(format!("{root}/cbindgen.toml")).unwrap();
    let mut made = Vec::new();
    cbindgen::Builder::new()
        .with_crate(root)
        .with_config(config)
        .generate()
        .unwrap()
        .write(&mut made);
    let path = format!("{root}/include/tokenpin.h");
    if std::env::var_os("TOKENPIN_WRITE_HEADER").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let there = std::fs::read(&path).unwrap();
    assert!(there == made, "include/tokenpin.h is stale: `make header` writes it anew");
}
