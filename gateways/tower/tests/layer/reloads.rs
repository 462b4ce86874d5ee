//! One configuration in the place of another, while requests are under way.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::{Empty, Full};
use tokenpin_test_support::random::Random;
use tokenpin_tower::tokenpin::{Config, CookieKey, OwnedAffinity, Role, Secret, Slot, SlotStatus};
use tokenpin_tower::{Credentials, Generation, PinLayer, RequestBody};
use tokio::sync::Barrier;
use tower::{Layer, ServiceExt, service_fn};

use crate::stand::{block_on, header, unix_now};

/// The number of generations that exist.
static ALIVE: AtomicUsize = AtomicUsize::new(0);

/// Credentials that name account and generation.
struct Named {
    accounts: Vec<String>,
}

impl Named {
    fn new(accounts: Vec<String>) -> Self {
        ALIVE.fetch_add(1, Ordering::SeqCst);
        Self { accounts }
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Credentials for Named {
    fn slots(&self) -> usize {
        self.accounts.len()
    }

    fn apply(&self, slot: u32, request: &mut Parts) {
        let account = self.accounts[slot as usize].parse().unwrap();
        request.headers.insert("x-account", account);
    }
}

/// The same accounts in any order, so that slots mean something else each time.
fn shuffled(random: &mut Random) -> Generation {
    let mut accounts: Vec<String> = ["a", "b", "c", "d"].map(String::from).to_vec();
    for i in (1..accounts.len()).rev() {
        accounts.swap(i, random.below(i as u64 + 1) as usize);
    }
    let keys = [CookieKey { id: 1, role: Role::Sign, secret: Secret::new([2; 16]) }];
    let slots = accounts.iter().map(|name| Slot::new(name.as_bytes(), SlotStatus::UP).unwrap());
    let config = Config::new(Secret::new([1; 16]), &keys);
    let affinity = OwnedAffinity::new(&config, slots.collect()).unwrap();
    Generation::new(affinity, Named::new(accounts)).carrier_header(header("x-affinity"))
}

/// Sessions that continue during reloads: none meets another account, none loses its cookie, and no
/// generation is left but the last one.
#[test]
fn reloads_under_load_leak_nothing_and_lose_nothing() {
    let mut random = Random::new("reloads_under_load_leak_nothing_and_lose_nothing");
    let layer = PinLayer::new(shuffled(&mut random)).unwrap();
    // Answers with the account that was asked, after some time.
    let provider = service_fn(|request: Request<RequestBody<Empty<Bytes>>>| async move {
        let account = request.headers()["x-account"].clone();
        for _ in 0..request.uri().query().map_or(0, |turns| turns.parse().unwrap()) {
            tokio::task::yield_now().await;
        }
        Ok::<_, Infallible>(
            Response::builder().header("x-account", account).body(Empty::<Bytes>::new()).unwrap(),
        )
    });
    let service = layer.layer(provider);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let served = runtime.block_on(async {
        let sessions: Vec<_> = (0..16)
            .map(|session| {
                let (service, mut random) =
                    (service.clone(), Random::new(&format!("session {session}")));
                tokio::spawn(async move {
                    let (mut home, mut value) = (None, String::new());
                    for turn in 0..300 {
                        let request = Request::post(format!("/v1/responses?{}", random.below(20)))
                            .header("x-affinity", &value)
                            .body(Empty::new())
                            .unwrap();
                        let response = service.clone().oneshot(request).await.unwrap();
                        let account = response.headers()["x-account"].to_str().unwrap().to_owned();
                        if let Some(new) = response.headers().get("x-affinity") {
                            assert_eq!(turn, 0, "a session gets one cookie");
                            new.to_str().unwrap().clone_into(&mut value);
                        }
                        assert_eq!(value.len(), 67);
                        assert_eq!(*home.get_or_insert_with(|| account.clone()), account);
                    }
                    300
                })
            })
            .collect();
        let mut reloads = 0;
        while !sessions.iter().all(tokio::task::JoinHandle::is_finished) {
            layer.reload(shuffled(&mut random)).unwrap();
            reloads += 1;
            tokio::task::yield_now().await;
        }
        println!("{reloads} reloads");
        assert!(reloads > 20, "only {reloads} reloads meanwhile");
        let mut served = 0;
        for session in sessions {
            served += session.await.unwrap();
        }
        served
    });
    assert_eq!(served, 4800);
    assert_eq!(ALIVE.load(Ordering::SeqCst), 1, "the last one");
    drop((layer, service));
    assert_eq!(ALIVE.load(Ordering::SeqCst), 0);
}

/// The generation that decided finishes: cookie, cooldown and credentials are of the generation of
/// the request.
#[test]
fn a_response_belongs_to_the_generation_that_decided() {
    let configure = |cookie: u8, carrier| {
        let keys = [CookieKey { id: cookie, role: Role::Sign, secret: Secret::new([cookie; 16]) }];
        let slots = ["a", "b"].map(|name| Slot::new(name.as_bytes(), SlotStatus::UP).unwrap());
        let config = Config::new(Secret::new([1; 16]), &keys);
        let affinity = OwnedAffinity::new(&config, slots.into()).unwrap();
        // Not counted above.
        let credentials = tokenpin_tower::SlotHeaders::bearer(["a", "b"]).unwrap();
        Generation::new(affinity, credentials).carrier_header(header(carrier))
    };
    for status in [200, 429] {
        let layer = PinLayer::new(configure(7, "x-first")).unwrap();
        let barrier = Arc::new(Barrier::new(2));
        let waits = Arc::clone(&barrier);
        let provider = service_fn(move |_: Request<RequestBody<Full<Bytes>>>| {
            let barrier = Arc::clone(&waits);
            async move {
                barrier.wait().await;
                barrier.wait().await;
                let response =
                    Response::builder().status(status).header("x-first", "an upstream's");
                Ok::<_, Infallible>(
                    response.header("x-second", "kept").body(Full::<Bytes>::default()).unwrap(),
                )
            }
        });
        let first = layer.current();
        block_on(async {
            let request =
                Request::post("/v1/responses").header("x-first", "").body(Full::default());
            let answer = layer.layer(provider).oneshot(request.unwrap());
            let reload = async {
                barrier.wait().await;
                layer.reload(configure(8, "x-second")).unwrap();
                barrier.wait().await;
            };
            let (response, ()) = tokio::join!(answer, reload);
            let response = response.unwrap();
            assert_eq!(response.headers()["x-second"], "kept");
            assert_eq!(response.headers().contains_key("x-first"), status == 200);
        });
        let up = |generation: &Generation| {
            (0..2).all(|slot| generation.affinity().get_slot(slot) == Ok(SlotStatus::UP))
        };
        assert!(up(&layer.current()), "the next one has learned nothing");
        assert_eq!(up(&first), status == 200);
        assert!(first.affinity().live_fingerprint(unix_now()) != 0);
    }
}
