//! The panic handler of the C artefacts, which cannot be linked.
//!
//! `make lib` compiles the crate with `--cfg tokenpin_artefact`. If any panic survives
//! optimisation, the library refers to a symbol that exists nowhere, and linking fails.
//! `checks/symbols/symbols.sh` proves that the check works, with a planted panic.

unsafe extern "C" {
    safe fn tokenpin_error_a_panic_is_reachable() -> !;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    tokenpin_error_a_panic_is_reachable()
}

/// The planted panic of the check: an index that no optimiser can prove to be in range.
/// cbindgen:ignore
#[cfg(tokenpin_planted_panic)]
#[unsafe(no_mangle)]
pub extern "C" fn tokenpin_planted_panic(index: usize) -> u8 {
    [1, 2, 3][index]
}
