//! The tokenpin filter for hosts of proxy-wasm. README.md says what it does.

mod config;
mod content;
mod fleet;
mod host;
mod ids;
mod json;
mod refusal;
mod request;
mod retry_after;
mod secrets;
mod settings;
mod stats;
mod stream;

use std::rc::Rc;
use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{BufferType, ContextType, LogLevel};

use config::Chain;
use host::log;
use stream::Stream;

proxy_wasm::main! {{
    // Says in the log where a panic was.
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

/// How often a worker that serves nobody learns of cooldowns, for its metrics.
const LOOK: Duration = Duration::from_millis(250);

/// One plugin's configuration, in the VM of one worker.
#[derive(Default)]
struct Root {
    /// None until there is one.
    chain: Option<Rc<Chain>>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        let text = match size {
            0 => None,
            _ => hostcalls::get_buffer(BufferType::PluginConfiguration, 0, size).ok().flatten(),
        };
        match Chain::make(&text.unwrap_or_default()) {
            Ok(chain) => {
                self.chain = Some(Rc::new(chain));
                let _ = hostcalls::set_tick_period(LOOK);
                true
            }
            Err(problem) => {
                log(LogLevel::Error, &format!("configuration refused: {problem}"));
                false
            }
        }
    }

    fn on_tick(&mut self) {
        if let Some(chain) = &self.chain {
            chain.look_after();
        }
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        match &self.chain {
            Some(chain) => Some(Box::new(Stream::new(Rc::clone(chain)))),
            // The host serves nobody before it has configured the filter.
            None => Some(Box::new(Unconfigured)),
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// Lets no request pass, for it would carry the client's credentials or none.
struct Unconfigured;

impl Context for Unconfigured {}

impl HttpContext for Unconfigured {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> proxy_wasm::types::Action {
        let _ = hostcalls::send_http_response(503, Vec::new(), None);
        proxy_wasm::types::Action::Pause
    }
}
