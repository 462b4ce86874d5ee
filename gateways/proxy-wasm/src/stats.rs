//! The filter's metrics. They have the names of the Envoy filter's, without what cannot happen
//! here.

use alloc::vec::Vec;

use tokenpin::ids::Summary;
use tokenpin::{Affinity, Decision, IdVerdict, KeyReason, Outcome, PinState, Source, Verdict};

use crate::abi::{Metric, define_metric, increment_metric, record_metric};

macro_rules! counters {
    ($($name:ident),+ $(,)?) => {
        #[derive(Clone, Copy)]
        #[expect(non_camel_case_types, reason = "these are the names that operators see")]
        pub(crate) enum Counter { $($name),+ }
        const NAMES: &[&str] = &[$(stringify!($name)),+];
    };
}

counters!(
    ambiguous,
    cookies_set,
    cooldowns,
    errors,
    bad_tenants,
    foreign_cookies,
    ids_opened,
    ids_plain,
    ids_sealed,
    echoes_lost,
    bodies_not_understood,
    bodies_not_read,
    bodies_not_sealed,
    bodies_refused,
    bodies_too_large,
    bodies_too_many,
    upgrades_refused,
);

/// The numbers that the host knows the metrics by.
pub(crate) struct Stats {
    counters: Vec<u32>,
    source: Vec<u32>,
    outcome: Vec<u32>,
    pin_state: Vec<u32>,
    verdict: Vec<u32>,
    id_verdict: Vec<u32>,
    key_reason: Vec<u32>,
    config_fingerprint: u32,
    live_fingerprint: u32,
}

fn increment(ids: &[u32], which: usize, by: u32) {
    if let Some(id) = ids.get(which).filter(|_| by != 0) {
        increment_metric(*id, by);
    }
}

impl Stats {
    /// Under this name, which filters in one host need one each of.
    pub(crate) fn define(namespace: &str) -> Self {
        let counter = |name: &str| define_metric(Metric::Counter, &[namespace, ".", name].concat());
        let each = |prefix: &str, names: &mut dyn Iterator<Item = &'static str>| {
            names.map(|name| counter(&[prefix, "_", name].concat())).collect()
        };
        let gauge = |name: &str| define_metric(Metric::Gauge, &[namespace, ".", name].concat());
        Self {
            counters: NAMES.iter().map(|name| counter(name)).collect(),
            source: each("source", &mut Source::ALL.iter().map(|it| it.name())),
            outcome: each("outcome", &mut Outcome::ALL.iter().map(|it| it.name())),
            pin_state: each("pin_state", &mut PinState::ALL.iter().map(|it| it.name())),
            verdict: each("verdict", &mut Verdict::ALL.iter().map(|it| it.name())),
            id_verdict: each("id_verdict", &mut IdVerdict::ALL.iter().map(|it| it.name())),
            key_reason: each("key_reason", &mut KeyReason::ALL.iter().map(|it| it.name())),
            config_fingerprint: gauge("config_fingerprint"),
            live_fingerprint: gauge("live_fingerprint"),
        }
    }

    pub(crate) fn count(&self, counter: Counter) {
        self.count_by(counter, 1);
    }

    pub(crate) fn count_by(&self, counter: Counter, by: u32) {
        increment(&self.counters, counter as usize, by);
    }

    pub(crate) fn count_decision(&self, decision: &Decision) {
        increment(&self.source, decision.source as usize, 1);
        increment(&self.outcome, decision.outcome as usize, 1);
        increment(&self.pin_state, decision.pin_state as usize, 1);
        increment(&self.verdict, decision.verdict as usize, 1);
        increment(&self.id_verdict, decision.id_verdict as usize, 1);
        increment(&self.key_reason, decision.key_reason as usize, 1);
        self.count_by(Counter::ambiguous, decision.ambiguous.into());
    }

    /// Of the ids of a request, and of its documents that were not understood.
    pub(crate) fn count_ids(&self, summary: &Summary, unexpected: u32) {
        self.count_by(Counter::ids_opened, summary.opened);
        self.count_by(Counter::ids_plain, summary.plain);
        self.count_by(Counter::echoes_lost, summary.echo.lost);
        self.count_by(Counter::bodies_not_understood, unexpected);
    }

    /// Replicas that show different ones do not agree.
    pub(crate) fn set_fingerprints(&self, affinity: &Affinity<'_>, now: u64) {
        record_metric(self.config_fingerprint, affinity.fingerprint());
        record_metric(self.live_fingerprint, affinity.live_fingerprint(now));
    }
}
