"""The scenario of scenario.c by cffi. Arguments: the header without preprocessor, the library."""

import json
import pathlib
import sys

from cffi import FFI

SLOTS, NOW = 5, 1_800_000_000

ffi = FFI()
ffi.cdef(pathlib.Path(sys.argv[1]).read_text())
c = ffi.dlopen(sys.argv[2])

# Keeps alive the memory that C borrows.
kept = []


def text(string):
    memory = ffi.new("char[]", string.encode())
    kept.append(memory)
    return {"ptr": memory, "len": len(string)}


def check(status):
    if status != c.TOKENPIN_STATUS_OK:
        raise SystemExit(f"status {status}")


def name(which, value):
    found = ffi.new("struct tokenpin_bytes *")
    check(c.tokenpin_enum_name(which, value, found))
    return ffi.buffer(found.ptr, found.len)[:].decode()


def decide(what):
    check(c.tokenpin_affinity_decide(affinity, request, decision))
    names = " ".join(
        name(getattr(c, f"TOKENPIN_ENUM_{enum.upper()}"), getattr(decision, enum))
        for enum in ("source", "outcome", "pin_state", "verdict", "key_reason")
    )
    print(f"{what}: slot {decision.slot}, {names}, retry after {decision.retry_after}")


config = ffi.new("struct tokenpin_config *")
check(c.tokenpin_config_init(config, ffi.sizeof(config[0])))
slots = ffi.new(
    "struct tokenpin_slot_config[]",
    [
        {
            "identity": text(f"account-{chr(97 + i)}"),
            "status": {"weight": c.TOKENPIN_MAX_WEIGHT >> (i % 3), "state": c.TOKENPIN_STATE_UP},
        }
        for i in range(SLOTS)
    ],
)
key = ffi.new("struct tokenpin_cookie_key *", {"id": 7, "role": c.TOKENPIN_ROLE_SIGN, "secret": [0x33] * 16})
config.slots, config.slot_count = slots, SLOTS
config.cookie_keys, config.cookie_key_count = key, 1
id_key = ffi.new("struct tokenpin_cookie_key *", {"id": 1, "role": c.TOKENPIN_ROLE_SIGN, "secret": [0x01] * 16})
config.id_keys, config.id_key_count = id_key, 1
config.id_mode = c.TOKENPIN_MODE_SEAL

place = ffi.new("struct tokenpin_affinity **")
error = ffi.new("struct tokenpin_config_error *")
status = c.tokenpin_affinity_new(config, place, error)
print("without a placement key:", name(c.TOKENPIN_ENUM_STATUS, status), name(c.TOKENPIN_ENUM_FIELD, error.field))
config.placement_key = list(range(1, 17))
check(c.tokenpin_affinity_new(config, place, error))
affinity = place[0]
fingerprint = ffi.new("uint64_t *")
check(c.tokenpin_affinity_fingerprint(affinity, fingerprint))
print(f"fingerprint {fingerprint[0]:016x}")

request = ffi.new(
    "struct tokenpin_request *",
    {
        "method": text("POST"),
        "target": text("/v1/responses"),
        "now": NOW,
        "consumer_trusted": 1,
        "entropy": [0x5A] * 16,
    },
)
decision = ffi.new("struct tokenpin_decision *")
for i in range(20):
    value = ffi.new("struct tokenpin_bytes *", text(f"user-{i}"))
    request.consumers, request.consumer_count = value, 1
    decide(f"user-{i}")
request.consumers, request.consumer_count = ffi.NULL, 0

decide("a newcomer")
buffer = ffi.new("char[]", c.TOKENPIN_MAX_SET_COOKIE)
length, answer = ffi.new("size_t *"), ffi.new("uint8_t *")
check(c.tokenpin_affinity_finish(affinity, decision, 200, buffer, ffi.sizeof(buffer), length, answer))
line = ffi.buffer(buffer, length[0])[:].decode()
print(f" {name(c.TOKENPIN_ENUM_ANSWER, answer[0])}: {line}")

cookie = ffi.new("struct tokenpin_bytes *", text(line.split(";")[0]))
request.cookies, request.cookie_count = cookie, 1
decide("with the cookie")

down = ffi.new(
    "struct tokenpin_slot_status *",
    {"until": NOW + 30, "weight": c.TOKENPIN_MAX_WEIGHT, "state": c.TOKENPIN_STATE_DOWN},
)
check(c.tokenpin_affinity_set_slot(affinity, decision.slot, down))
request.existing = 1
decide("while its token is down")

use = ffi.new("struct tokenpin_id_use *")
numbers = ffi.new("uint8_t[3]")
check(
    c.tokenpin_affinity_classify(
        affinity,
        request.method.ptr,
        request.method.len,
        request.target.ptr,
        request.target.len,
        numbers,
        numbers + 1,
        numbers + 2,
    )
)
use.ids = numbers[2]
BODY = '{"id":"resp_67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d41","object":"response","previous_response_id":null}'


def seal_body(summary):
    """Seals the body of slot 0's answer."""
    sealer, piece = ffi.new("struct tokenpin_id_sealer *"), ffi.new("struct tokenpin_piece *")
    check(c.tokenpin_id_sealer_init(sealer, c.TOKENPIN_FRAMING_JSON))
    out, rest = "", BODY
    while rest:
        check(c.tokenpin_affinity_seal_step(affinity, use, summary, 0, sealer, rest.encode(), len(rest), piece))
        out += rest[: getattr(piece, "pass")] + put(piece)
        rest = rest[piece.taken :]
    check(c.tokenpin_affinity_seal_end(affinity, use, summary, 0, sealer, piece))
    return out + put(piece)


def put(piece):
    return ffi.buffer(piece.put, piece.put_len)[:].decode() if piece.put_len else ""


sealed = seal_body(ffi.NULL)
print("sealed:", sealed)

# The client refers to it.
sealed_id = json.loads(sealed)["id"]
summary = ffi.new("struct tokenpin_id_summary *")
check(c.tokenpin_id_summary_init(summary))
body = json.dumps({"previous_response_id": sealed_id}, separators=(",", ":")).encode()
place, unexpected = ffi.new("char[]", body), ffi.new("uint32_t *")
check(c.tokenpin_affinity_open_in_place(affinity, use, summary, place, len(body), length, unexpected))
print("opened:", ffi.buffer(place, length[0])[:].decode())
target = f"/v1/responses/{sealed_id}/cancel".encode()
place = ffi.new("char[]", len(target))
check(c.tokenpin_affinity_open_target(affinity, use, summary, target, len(target), place, len(target), length))
print("opened:", ffi.buffer(place, length[0])[:].decode())
request.cookie_count, request.existing, request.ids = 0, 0, summary
decide("with the sealed id")
key_name = ffi.new("struct tokenpin_bytes *")
check(c.tokenpin_affinity_id_key(affinity, decision.id_keys[0], key_name))
print(f" {name(c.TOKENPIN_ENUM_ID_VERDICT, decision.id_verdict)}: {ffi.buffer(key_name.ptr, key_name.len)[:].decode()}")
print("sealed:", seal_body(summary))

check(c.tokenpin_affinity_set_slot(affinity, 0, down))
decide("while its account is down")
code, refusal = ffi.new("uint16_t *"), ffi.new("uint8_t *")
check(c.tokenpin_decision_refusal(decision, code, refusal))
print(f" {name(c.TOKENPIN_ENUM_REFUSAL, refusal[0])}: {code[0]}")
c.tokenpin_affinity_free(affinity)
