//! The tokenpin filter for hosts of proxy-wasm. README.md says what it does.

#![no_std]

extern crate alloc;

mod abi;
mod config;
mod content;
mod fleet;
mod host;
mod ids;
mod json;
mod request;
mod secrets;
mod settings;
mod stats;
mod stream;

use alloc::format;
use alloc::rc::Rc;

use abi::Level;
use config::Chain;

/// The period in which a worker without requests learns of cooldowns, for its metrics.
const LOOK_MILLISECONDS: u32 = 250;

/// Puts a plugin's configuration to work in the VM of one worker; none if it is refused.
fn configure(text: &[u8]) -> Option<Rc<Chain>> {
    match Chain::make(text) {
        Ok(chain) => {
            abi::set_tick_period(LOOK_MILLISECONDS);
            Some(Rc::new(chain))
        }
        Err(problem) => {
            host::log(Level::Error, &format!("configuration refused: {problem}"));
            None
        }
    }
}
