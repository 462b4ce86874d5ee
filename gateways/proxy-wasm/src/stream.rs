//! One request and its response: what happens at each of the host's hooks.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use tokenpin::cookie::set_cookie;
use tokenpin::gateway::{Content, Refused, retry_after};
use tokenpin::ids::{DIGEST_HEADERS, LOCATION_HEADERS, Mode};
use tokenpin::{Answer, CookieName, Decision, Error, MAX_SET_COOKIE, Verdict};

use crate::abi::{
    Action, Buffer, Level, Map, add_header, buffer, property, remove_header, replace_buffer,
    respond, set_header, set_property, unix_now,
};
use crate::config::{Chain, Setup, Terms};
use crate::content::{content_of, is_encoded, length};
use crate::host::{Headers, log};
use crate::ids::RequestIds;
use crate::request::{Reading, drop_when_moved, put_credentials, strip};
use crate::settings::{HeaderMatch, LEAST_ERROR, Test};
use crate::stats::Counter;

const FOREIGN: &str = "If another tokenpin gateway in front of or behind this one made it, \
                       clients lose its sessions: give one of the two another cookie name (where \
                       none is set, a scope does). Said once; foreign_cookies counts all";

/// The state of a request's body.
enum Hold {
    /// The request does not wait, or no more.
    None,
    /// It is read; the number of bytes that came.
    Reading(u64),
    /// The request gets this answer when its body has passed, of which this many bytes came: most
    /// clients read an answer only when they have sent everything.
    Refused(Refused, u64),
}

/// The data kept from a decision to the response.
struct Served {
    decision: Decision,
    slot: u32,
    /// The cookie's name for the request's scope.
    name: CookieName,
}

pub(crate) struct Stream {
    chain: Rc<Chain>,
    /// None: the request passes.
    terms: Option<Terms>,
    ids: Option<Box<RequestIds>>,
    hold: Hold,
    /// When the request began to wait for its body.
    begun: u64,
    /// The request says how long its body is.
    has_length: bool,
    for_anthropic: bool,
    /// The slot that was chosen, also where the filter only observes.
    slot: Option<u32>,
    served: Option<Served>,
    /// The upstream's authority, as this filter left it.
    authority: Vec<u8>,
}

impl Stream {
    pub(crate) fn new(chain: Rc<Chain>) -> Self {
        Self {
            chain,
            terms: None,
            ids: None,
            hold: Hold::None,
            begun: 0,
            has_length: false,
            for_anthropic: false,
            slot: None,
            served: None,
            authority: Vec::new(),
        }
    }

    /// Since when the request has waited for the first of its body, if it does.
    pub(crate) fn waits_since(&self) -> Option<u64> {
        matches!(self.hold, Hold::Reading(0)).then_some(self.begun)
    }

    fn count(&self, counter: Counter) {
        self.chain.stats.count(counter);
    }

    /// Returns whether the filter may change or refuse a request for its ids.
    fn opens(&self) -> bool {
        self.terms.as_ref().is_some_and(|terms| terms.mode() != Mode::Off && !terms.observes())
    }

    fn refuse(&self, refused: &Refused) -> Action {
        self.send(refused, None);
        Action::Pause
    }

    /// Answers the client, with one more header if there is one. The hook then stops.
    fn send(&self, refused: &Refused, header: Option<(&str, &str)>) {
        let own: Vec<(&str, Cow<'_, str>)> = refused.headers().collect();
        let mut headers: Vec<(&str, &str)> =
            own.iter().map(|(name, value)| (*name, &**value)).collect();
        headers.extend(header);
        let body = refused.body(self.for_anthropic);
        respond(refused.status(), refused.code(), &headers, body.as_bytes());
    }

    /// Of a request that cannot be decided.
    fn fail(&self, terms: &Terms, error: &Error) -> Action {
        let bad_tenant = matches!(error, Error::ScopeLength);
        self.count(if bad_tenant { Counter::bad_tenants } else { Counter::errors });
        if !bad_tenant {
            log(Level::Error, &format!("cannot decide: {error}"));
        }
        if terms.observes() { Action::Continue } else { self.refuse(&Refused::of_error(error)) }
    }

    fn begin(&mut self, terms: &Terms, is_whole: bool) -> Action {
        let headers = Headers::read(Map::Request);
        #[cfg(feature = "planted-panic")]
        assert!(!headers.has("x-panic"));
        self.for_anthropic = headers.has("anthropic-version");
        let reading = match Reading::of(&headers, terms) {
            Ok(reading) => reading,
            Err(error) => return self.fail(terms, &error),
        };
        match self.waits(terms, &reading, is_whole) {
            Some(action) => action,
            None => self.decide(terms, &reading, None),
        }
    }

    /// Reads the ids of the target. Returns an action if the request waits for its body, or is
    /// refused.
    fn waits(&mut self, terms: &Terms, reading: &Reading<'_>, is_whole: bool) -> Option<Action> {
        let (headers, settings, mode) = (reading.headers, terms.settings(), terms.mode());
        // Of what comes behind an upgrade, hosts never tell the end.
        let is_upgrade = headers.has("upgrade");
        let has_body = !is_whole && !is_upgrade;
        if mode == Mode::Off && !(settings.bodies && has_body) {
            return None;
        }
        let (method, target) = (reading.method(), reading.target());
        let mut ids =
            RequestIds::of(terms, headers, (method, target), &reading.scope, reading.consumer())?;
        ids.open_target(target);
        let has_state = ids.has_state();
        let ids = self.ids.insert(ids);
        // The ids in a WebSocket's frames cannot be seen, nor a body behind another upgrade.
        // Clients that learn so ask by requests instead.
        if is_upgrade && (has_state || !reading.is_handshake) {
            let refuses = mode != Mode::Open || settings.refuse_upgrades;
            if refuses && mode != Mode::Off && !terms.observes() {
                self.count(Counter::upgrades_refused);
                return Some(self.refuse(&Refused::wrong_protocol()));
            }
        }
        if !has_body {
            return None;
        }
        let content = content_of(headers);
        if content != Content::Json || is_encoded(headers) {
            return self.refuse_unread(content, mode);
        }
        ids.begin_body();
        let announced = length(headers);
        self.has_length = announced.is_some();
        if announced.is_some_and(|length| length > settings.max_body) {
            return self.give_up(true).then_some(Action::Pause);
        }
        self.hold = Hold::Reading(0);
        self.begun = unix_now();
        Some(Action::Pause)
    }

    /// A body that cannot be read passes, unless the mode says that it might hide what counts.
    fn refuse_unread(&self, content: Content, mode: Mode) -> Option<Action> {
        let is_json = content == Content::Json;
        let may_pass = match mode {
            Mode::Strict => {
                let uploads = self.ids.as_ref().is_some_and(|ids| ids.summary.uploads);
                content == Content::Multipart && uploads
            }
            Mode::Seal => !is_json,
            Mode::Off | Mode::Open => true,
        };
        if self.opens() && !may_pass {
            self.count(Counter::bodies_refused);
            let refused = if is_json { Refused::wrong_encoding() } else { Refused::wrong_type() };
            return Some(self.refuse(&refused));
        }
        if is_json {
            self.count(Counter::bodies_not_read);
        }
        None
    }

    /// A body is too much for the filter: it is too large, or one too many. True if the request is
    /// refused for it.
    fn give_up(&mut self, is_too_large: bool) -> bool {
        self.release();
        let refuses = self.opens();
        self.count(match (refuses, is_too_large) {
            (false, _) => Counter::bodies_not_read,
            (true, true) => Counter::bodies_too_large,
            (true, false) => Counter::bodies_too_many,
        });
        if refuses {
            let answer = if is_too_large { Refused::too_large() } else { Refused::too_many() };
            self.hold = Hold::Refused(answer, 0);
        }
        refuses
    }

    /// The body is held no more.
    fn release(&mut self) {
        if let Hold::Reading(size) = core::mem::replace(&mut self.hold, Hold::None) {
            self.chain.held.set(self.chain.held.get().saturating_sub(size));
        }
    }

    /// Reads the next part of a body, of which `size` bytes are here.
    fn read_on(&mut self, terms: &Terms, size: usize, is_last: bool) -> Action {
        let Hold::Reading(before) = self.hold else { return Action::Continue };
        let (settings, total) = (terms.settings(), size as u64);
        let more = total.saturating_sub(before);
        let is_too_large = total > settings.max_body;
        if is_too_large || self.chain.held.get().saturating_add(more) > settings.max_held {
            if self.give_up(is_too_large) {
                return self.swallow(terms, size, is_last);
            }
            if let Some(ids) = &mut self.ids {
                ids.give_up_body();
            }
            return self.resume(terms, None);
        }
        self.chain.held.set(self.chain.held.get() + more);
        self.hold = Hold::Reading(total);
        if let Some(ids) = &mut self.ids {
            // All that came before is still there.
            let at = usize::try_from(before).unwrap_or(size);
            ids.open(&buffer(Buffer::RequestBody, at, size.saturating_sub(at)));
        }
        if !is_last {
            return Action::Pause;
        }
        self.end_reading(terms, size)
    }

    fn end_reading(&mut self, terms: &Terms, size: usize) -> Action {
        if let Some(ids) = &mut self.ids {
            ids.end_body();
        }
        self.resume(terms, Some(size))
    }

    /// Takes what else comes of a body that is of no use.
    fn swallow(&mut self, terms: &Terms, size: usize, is_last: bool) -> Action {
        let Hold::Refused(_, came) = &mut self.hold else { return Action::Continue };
        if size != 0 {
            replace_buffer(Buffer::RequestBody, size, b"");
        }
        *came = came.saturating_add(size as u64);
        if is_last || *came > terms.settings().max_body.saturating_mul(2) {
            if let Hold::Refused(refused, _) = core::mem::replace(&mut self.hold, Hold::None) {
                self.send(&refused, None);
            }
        }
        Action::Pause
    }

    /// The request was held, and its body, of this size, is known; or none is, and passes.
    fn resume(&mut self, terms: &Terms, size: Option<usize>) -> Action {
        self.release();
        let headers = Headers::read(Map::Request);
        let reading = match Reading::of(&headers, terms) {
            Ok(reading) => reading,
            Err(error) => return self.fail(terms, &error),
        };
        let is_readable = self.ids.as_ref().is_none_or(|ids| ids.is_readable());
        if terms.mode() == Mode::Strict && self.opens() && size.is_some() && !is_readable {
            self.count(Counter::bodies_refused);
            return self.refuse(&Refused::unreadable());
        }
        self.decide(terms, &reading, size)
    }

    fn decide(&mut self, terms: &Terms, reading: &Reading<'_>, size: Option<usize>) -> Action {
        let affinity = terms.setup.affinity.get();
        let summary = self.ids.as_ref().map(|ids| &ids.summary);
        let decided = reading
            .decide(terms, summary)
            .and_then(|decision| Ok((decision, terms.setup.cookie_name_of(&reading.scope)?)));
        let (decision, name) = match decided {
            Ok(decided) => decided,
            Err(error) => return self.fail(terms, &error),
        };
        let stats = &self.chain.stats;
        stats.count_decision(&decision);
        if let Some(ids) = &self.ids {
            stats.count_ids(&ids.summary, ids.unexpected);
        }
        if terms.settings().metadata {
            write_metadata(&terms.setup, &decision);
        }
        self.slot = decision.slot;
        if !terms.observes() {
            let Some(slot) = decision.slot else {
                let refused = Refused::of_decision(
                    affinity,
                    &decision,
                    self.ids.as_ref().map(|ids| &ids.summary),
                );
                let header = terms.settings().response_header.as_deref();
                let text = header.map(|_| describe(&decision)).unwrap_or_default();
                self.send(&refused, header.map(|name| (name, text.as_str())));
                return Action::Pause;
            };
            let served = Served { decision, slot, name };
            self.serve(terms, reading.headers, &served, size);
            self.served = Some(served);
        }
        let slot = self.slot;
        self.ids.take_if(|ids| slot.is_none() || !ids.seals());
        if self.ids.is_some() {
            self.authority = Headers::read(Map::Request).first(":authority").to_vec();
        }
        Action::Continue
    }

    fn serve(&self, terms: &Terms, headers: &Headers, served: &Served, size: Option<usize>) {
        let settings = terms.settings();
        strip(headers, served.name.as_bytes(), settings.carrier_header.as_deref());
        let verdict = served.decision.verdict;
        if matches!(verdict, Verdict::UnknownKey | Verdict::BadTag) {
            self.count(Counter::foreign_cookies);
            if terms.setup.tells_of("request") {
                let (name, why) = (name_of(served), verdict.name());
                log(
                    Level::Warn,
                    &format!(
                        "removed from a request a cookie named {name} that no key of this \
                         configuration made ({why}). {FOREIGN}"
                    ),
                );
            }
        }
        drop_when_moved(&settings.drop_when_moved, &served.decision);
        if let Some(token) = settings.tokens.get(served.slot as usize) {
            put_credentials(headers, &token.credentials);
        }
        if let Some(ids) = &self.ids {
            self.put_opened(ids, size);
        }
    }

    /// The request as the account knows it.
    fn put_opened(&self, ids: &RequestIds, size: Option<usize>) {
        if let Some(target) = &ids.target {
            set_header(Map::Request, ":path", target);
        }
        // The ids in a compressed response cannot be seen.
        if ids.seals() && !ids.summary.downloads {
            set_header(Map::Request, "accept-encoding", b"identity");
        }
        let Some(size) = size.filter(|_| !ids.edits.is_empty()) else { return };
        let opened = ids.edits.apply(&buffer(Buffer::RequestBody, 0, size));
        replace_buffer(Buffer::RequestBody, size, &opened);
        if self.has_length {
            set_header(Map::Request, "content-length", opened.len().to_string().as_bytes());
        }
        for &name in DIGEST_HEADERS {
            remove_header(Map::Request, name);
        }
    }

    /// The response to a request that a token was put on.
    fn respond(&mut self, terms: &Terms, served: &Served, is_whole: bool) {
        let settings = terms.settings();
        if let Some(name) = &settings.response_header {
            set_header(Map::Response, name, describe(&served.decision).as_bytes());
        }
        let headers = Headers::read(Map::Response);
        let status = core::str::from_utf8(headers.first(":status"));
        let status: u16 = status.ok().and_then(|text| text.parse().ok()).unwrap_or(0);
        let ours = |line: &[u8]| set_cookie::matches(line, served.name.as_bytes());
        let sets_ours = headers.all("set-cookie").any(ours);
        let carrier = settings.carrier_header.as_deref();
        let has_carrier = carrier.is_some_and(|name| headers.has(name));
        // Most responses leave nothing to do: it does not matter where they came from.
        let is_plain =
            status < LEAST_ERROR && served.decision.cookie.is_none() && !sets_ours && !has_carrier;
        if !is_plain {
            if !is_from_upstream() {
                return;
            }
            if status >= LEAST_ERROR {
                self.cool_down(terms, served.slot, status, &headers);
            }
            if sets_ours {
                remove_header(Map::Response, "set-cookie");
                for line in headers.all("set-cookie").filter(|line| !ours(line)) {
                    add_header(Map::Response, "set-cookie", line);
                }
            }
            if let Some(name) = carrier.filter(|_| has_carrier) {
                remove_header(Map::Response, name);
            }
            if sets_ours || has_carrier {
                self.note_foreign(&terms.setup, served);
            }
            self.write_cookie(terms, served, status);
        }
        self.begin_sealing(terms, &headers, is_whole);
    }

    /// The upstream's own cookie of our name is gone for its maker.
    fn note_foreign(&self, setup: &Setup, served: &Served) {
        self.count(Counter::foreign_cookies);
        if setup.tells_of("response") {
            let name = name_of(served);
            log(
                Level::Warn,
                &format!(
                    "removed from a response the upstream's own cookie named {name}, or carrier header. {FOREIGN}"
                ),
            );
        }
    }

    /// Changes the state of the token that gave the response, where the status asks for it.
    fn cool_down(&self, terms: &Terms, slot: u32, status: u16, headers: &Headers) {
        let cooldowns = terms.settings().cooldowns.iter();
        let mut matching = cooldowns.filter(|cooldown| {
            cooldown.statuses.contains(&status)
                && cooldown.headers.iter().all(|it| it.matches(headers))
        });
        let Some(cooldown) = matching.next() else { return };
        let now = unix_now();
        let mut seconds = u64::from(cooldown.seconds);
        if cooldown.retry_after {
            let (milliseconds, text) =
                (headers.first("retry-after-ms"), headers.first("retry-after"));
            if let Some(asked) = retry_after(milliseconds, text, now) {
                seconds = asked.clamp(1, cooldown.max_seconds.into());
            }
        }
        let affinity = terms.setup.affinity.get();
        if terms.setup.fleet.cool(affinity, now, slot, cooldown.state, now.saturating_add(seconds))
        {
            self.count(Counter::cooldowns);
        }
    }

    /// Gives the client the decision's cookie, if it has one for this status.
    fn write_cookie(&self, terms: &Terms, served: &Served, status: u16) {
        if served.decision.cookie.is_none() {
            return;
        }
        let settings = terms.settings();
        // A WebSocket handshake succeeds with 101.
        let status = if status == 101 { settings.success.0 } else { status };
        let mut out = [0; MAX_SET_COOKIE];
        let finished = terms.setup.affinity.get().finish(&served.decision, status, &mut out);
        let (answer, len) = finished.unwrap_or_else(|error| {
            log(Level::Error, &format!("cannot finish: {error}"));
            self.count(Counter::errors);
            (Answer::Nothing, 0)
        });
        let value = out.get(..len).unwrap_or_default();
        let named = match (answer, settings.carrier_header.as_deref()) {
            (Answer::SetCookie, _) => {
                add_header(Map::Response, "set-cookie", value);
                "Set-Cookie"
            }
            (Answer::Carrier, Some(name)) => {
                set_header(Map::Response, name, value);
                name
            }
            _ => return,
        };
        if settings.cache_control {
            let text = ["no-cache=\"", named, "\""].concat();
            add_header(Map::Response, "cache-control", text.as_bytes());
        }
        self.count(Counter::cookies_set);
    }

    /// A response begins to go to the client. What its headers say of its body, and what is not
    /// right any more once ids are sealed in it, is taken off.
    fn begin_sealing(&mut self, terms: &Terms, headers: &Headers, is_whole: bool) {
        let (Some(ids), Some(slot)) = (&mut self.ids, self.slot) else { return };
        if !is_from_upstream() {
            return;
        }
        // The authority as the router left it. Hosts only show it for a request that waited for its
        // body.
        let upstream =
            property(&["request", "host"]).unwrap_or(core::mem::take(&mut self.authority));
        ids.begin_response(slot, upstream);
        let content = content_of(headers);
        let mut seals = ids.seals_body(headers.first(":status"), content);
        if seals && is_encoded(headers) {
            self.chain.stats.count(Counter::bodies_not_sealed);
            seals = false;
        }
        if seals && !is_whole {
            ids.begin_sealing(content);
        }
        if terms.observes() {
            return;
        }
        for &name in LOCATION_HEADERS {
            if let Some(sealed) = ids.seal_location(headers.first(name)) {
                set_header(Map::Response, name, &sealed);
            }
        }
        // In a response without a body, except to HEAD, they are true.
        if seals && (!is_whole || ids.is_head()) {
            for name in ["content-length", "accept-ranges", "etag"].iter().chain(DIGEST_HEADERS) {
                let value = headers.first(name);
                // A weak tag says that it means the same.
                if !value.is_empty() && !value.starts_with(b"W/") {
                    remove_header(Map::Response, name);
                }
            }
        }
    }

    fn seal(&mut self, terms: &Terms, size: usize, is_last: bool) {
        let Some(ids) = self.ids.as_mut().filter(|ids| ids.is_sealing()) else { return };
        let part = buffer(Buffer::ResponseBody, 0, size);
        if let Some(sealed) = ids.seal(&part, is_last) {
            if !terms.observes() {
                replace_buffer(Buffer::ResponseBody, size, &sealed);
            }
        }
        if is_last {
            self.count_sealed();
        }
    }

    fn count_sealed(&mut self) {
        if let Some(ids) = &mut self.ids {
            let (sealed, unexpected) = ids.newly();
            self.chain.stats.count_by(Counter::ids_sealed, sealed);
            self.chain.stats.count_by(Counter::bodies_not_understood, unexpected);
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.release();
    }
}

// The host's hooks.
impl Stream {
    pub(crate) fn on_request_headers(&mut self, is_whole: bool) -> Action {
        self.terms = self.chain.terms();
        match self.terms.clone() {
            Some(terms) => self.begin(&terms, is_whole),
            None => Action::Continue,
        }
    }

    pub(crate) fn on_request_body(&mut self, size: usize, is_last: bool) -> Action {
        let Some(terms) = self.terms.clone() else { return Action::Continue };
        match self.hold {
            Hold::None => Action::Continue,
            Hold::Refused(..) => self.swallow(&terms, size, is_last),
            Hold::Reading(_) => self.read_on(&terms, size, is_last),
        }
    }

    /// The body passed in front of its trailers.
    pub(crate) fn on_request_trailers(&mut self) -> Action {
        let Some(terms) = self.terms.clone() else { return Action::Continue };
        match self.hold {
            Hold::None => Action::Continue,
            Hold::Refused(..) => self.swallow(&terms, 0, true),
            Hold::Reading(size) => self.end_reading(&terms, usize::try_from(size).unwrap_or(0)),
        }
    }

    pub(crate) fn on_response_headers(&mut self, is_whole: bool) -> Action {
        let Some(terms) = self.terms.clone() else { return Action::Continue };
        match self.served.take() {
            Some(served) => {
                self.respond(&terms, &served, is_whole);
                self.served = Some(served);
            }
            None if self.ids.is_some() => {
                self.begin_sealing(&terms, &Headers::read(Map::Response), is_whole);
            }
            None => {}
        }
        Action::Continue
    }

    pub(crate) fn on_done(&mut self) {
        self.count_sealed();
    }

    pub(crate) fn on_response_body(&mut self, size: usize, is_last: bool) -> Action {
        if let Some(terms) = self.terms.clone() {
            self.seal(&terms, size, is_last);
        }
        Action::Continue
    }
}

/// False for the host's own replies, which come by as well and say nothing about a token: also
/// timeouts and resets, which have an upstream's address.
fn is_from_upstream() -> bool {
    property(&["response", "code_details"]).is_some_and(|details| details == b"via_upstream")
}

impl HeaderMatch {
    /// Returns whether one of its values meets it.
    fn matches(&self, headers: &Headers) -> bool {
        let mut values = headers.all(&self.name);
        match &self.test {
            Test::Exact(text) => values.any(|value| value == text.as_bytes()),
            Test::Prefix(text) => values.any(|value| value.starts_with(text.as_bytes())),
            Test::Present => values.next().is_some(),
            Test::Absent => values.next().is_none(),
        }
    }
}

fn name_of(served: &Served) -> Cow<'_, str> {
    String::from_utf8_lossy(served.name.as_bytes())
}

/// The enums of a decision, by name.
fn enums(decision: &Decision) -> [(&'static str, &'static str); 6] {
    [
        ("source", decision.source.name()),
        ("outcome", decision.outcome.name()),
        ("pin_state", decision.pin_state.name()),
        ("verdict", decision.verdict.name()),
        ("id_verdict", decision.id_verdict.name()),
        ("key_reason", decision.key_reason.name()),
    ]
}

fn describe(decision: &Decision) -> String {
    let mut parts: Vec<String> =
        enums(decision).iter().map(|(name, value)| [name, "=", value].concat()).collect();
    parts.extend(decision.slot.map(|slot| format!("slot={slot}")));
    parts.join(", ")
}

/// For access logs, as filter state: a filter of this kind cannot write dynamic metadata.
fn write_metadata(setup: &Setup, decision: &Decision) {
    let set = |key: &str, value: &[u8]| {
        set_property(&["tokenpin.", key].concat(), value);
    };
    for (key, value) in enums(decision) {
        set(key, value.as_bytes());
    }
    let token = decision.slot.and_then(|slot| setup.settings.tokens.get(slot as usize));
    if let Some(token) = token {
        set("token", token.name.as_bytes());
    }
    let keys: Vec<&[u8]> =
        decision.id_keys.iter().filter_map(|number| setup.affinity.get().id_key(*number)).collect();
    if !keys.is_empty() {
        set("id_keys", &keys.join(&b','));
    }
}
