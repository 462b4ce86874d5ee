-- The scenario of scenario.c by LuaJIT's FFI. Arguments: the header without preprocessor, and the
-- library.
local ffi = require("ffi")

local header = assert(io.open(arg[1])):read("*a")
ffi.cdef(header)
local C = ffi.load(arg[2])

local SLOTS, NOW = 5, 1800000000

-- Keeps the memory that C borrows from the garbage collector.
local kept = {}
local function text(string)
  kept[#kept + 1] = string
  return ffi.new("struct tokenpin_bytes", ffi.cast("const char *", string), #string)
end

local function check(status)
  assert(status == C.TOKENPIN_STATUS_OK, "status " .. tonumber(status))
end

local function name(which, value)
  local bytes = ffi.new("struct tokenpin_bytes")
  check(C.tokenpin_enum_name(which, value, bytes))
  return ffi.string(bytes.ptr, bytes.len)
end

local function print_decision(what, decision)
  print(string.format("%s: slot %.0f, %s %s %s %s %s, retry after %.0f", what, decision.slot,
    name(C.TOKENPIN_ENUM_SOURCE, decision.source),
    name(C.TOKENPIN_ENUM_OUTCOME, decision.outcome),
    name(C.TOKENPIN_ENUM_PIN_STATE, decision.pin_state),
    name(C.TOKENPIN_ENUM_VERDICT, decision.verdict),
    name(C.TOKENPIN_ENUM_KEY_REASON, decision.key_reason),
    decision.retry_after))
end

local config = ffi.new("struct tokenpin_config")
check(C.tokenpin_config_init(config, ffi.sizeof(config)))
local slots = ffi.new("struct tokenpin_slot_config[?]", SLOTS)
for i = 0, SLOTS - 1 do
  slots[i].identity = text("account-" .. string.char(97 + i))
  slots[i].status.weight = bit.rshift(C.TOKENPIN_MAX_WEIGHT, i % 3)
  slots[i].status.state = C.TOKENPIN_STATE_UP
end
local key = ffi.new("struct tokenpin_cookie_key", { id = 7, role = C.TOKENPIN_ROLE_SIGN })
ffi.fill(key.secret, 16, 0x33)
config.slots, config.slot_count = slots, SLOTS
config.cookie_keys, config.cookie_key_count = key, 1
local id_key = ffi.new("struct tokenpin_cookie_key", { id = 1, role = C.TOKENPIN_ROLE_SIGN })
ffi.fill(id_key.secret, 16, 0x01)
config.id_keys, config.id_key_count = id_key, 1
config.id_mode = C.TOKENPIN_MODE_SEAL

local affinity = ffi.new("struct tokenpin_affinity *[1]")
local problem = ffi.new("struct tokenpin_config_error")
local status = C.tokenpin_affinity_new(config, affinity, problem)
print("without a placement key: " .. name(C.TOKENPIN_ENUM_STATUS, status)
  .. " " .. name(C.TOKENPIN_ENUM_FIELD, problem.field))
for i = 0, 15 do
  config.placement_key[i] = i + 1
end
check(C.tokenpin_affinity_new(config, affinity, problem))
affinity = affinity[0]
local fingerprint = ffi.new("uint64_t[1]")
check(C.tokenpin_affinity_fingerprint(affinity, fingerprint))
print("fingerprint " .. bit.tohex(fingerprint[0], 16))

local request = ffi.new("struct tokenpin_request")
request.method, request.target = text("POST"), text("/v1/responses")
request.now, request.consumer_trusted = NOW, 1
ffi.fill(request.entropy, 16, 0x5a)
local decision = ffi.new("struct tokenpin_decision")
for i = 0, 19 do
  local value = text("user-" .. i)
  request.consumers, request.consumer_count = value, 1
  check(C.tokenpin_affinity_decide(affinity, request, decision))
  print_decision("user-" .. i, decision)
end
request.consumers, request.consumer_count = nil, 0

check(C.tokenpin_affinity_decide(affinity, request, decision))
print_decision("a newcomer", decision)
local line = ffi.new("char[?]", C.TOKENPIN_MAX_SET_COOKIE)
local len, answer = ffi.new("size_t[1]"), ffi.new("uint8_t[1]")
check(C.tokenpin_affinity_finish(affinity, decision, 200, line, ffi.sizeof(line), len, answer))
line = ffi.string(line, len[0])
print(" " .. name(C.TOKENPIN_ENUM_ANSWER, answer[0]) .. ": " .. line)

local cookie = text(line:match("^[^;]*"))
request.cookies, request.cookie_count = cookie, 1
check(C.tokenpin_affinity_decide(affinity, request, decision))
print_decision("with the cookie", decision)

local down = ffi.new("struct tokenpin_slot_status",
  { ["until"] = NOW + 30, weight = C.TOKENPIN_MAX_WEIGHT, state = C.TOKENPIN_STATE_DOWN })
check(C.tokenpin_affinity_set_slot(affinity, decision.slot, down))
request.existing = 1
check(C.tokenpin_affinity_decide(affinity, request, decision))
print_decision("while its token is down", decision)

local use = ffi.new("struct tokenpin_id_use")
local group, existing, ids = ffi.new("uint8_t[1]"), ffi.new("uint8_t[1]"), ffi.new("uint8_t[1]")
check(C.tokenpin_affinity_classify(affinity, request.method.ptr, request.method.len,
  request.target.ptr, request.target.len, group, existing, ids))
use.ids = ids[0]

-- The body of slot 0's answer.
local BODY = '{"id":"resp_67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d41","object":"response",'
  .. '"previous_response_id":null}'
local function seal_body(summary)
  local sealer, piece = ffi.new("struct tokenpin_id_sealer"), ffi.new("struct tokenpin_piece")
  check(C.tokenpin_id_sealer_init(sealer, C.TOKENPIN_FRAMING_JSON))
  local rest, out = BODY, ""
  while #rest > 0 do
    check(C.tokenpin_affinity_seal_step(affinity, use, summary, 0, sealer, rest, #rest, piece))
    out = out .. rest:sub(1, tonumber(piece.pass)) .. ffi.string(piece.put, piece.put_len)
    rest = rest:sub(tonumber(piece.taken) + 1)
  end
  check(C.tokenpin_affinity_seal_end(affinity, use, summary, 0, sealer, piece))
  return out .. ffi.string(piece.put, piece.put_len)
end

local sealed = seal_body(nil)
print("sealed: " .. sealed)

-- The client refers to it.
local id = sealed:match('"id":"([^"]*)"')
local summary = ffi.new("struct tokenpin_id_summary")
check(C.tokenpin_id_summary_init(summary))
local body = string.format('{"previous_response_id":"%s"}', id)
local place, unexpected = ffi.new("char[?]", #body), ffi.new("uint32_t[1]")
ffi.copy(place, body, #body)
check(C.tokenpin_affinity_open_in_place(affinity, use, summary, place, #body, len, unexpected))
print("opened: " .. ffi.string(place, len[0]))
local target = "/v1/responses/" .. id .. "/cancel"
place = ffi.new("char[?]", #target)
check(C.tokenpin_affinity_open_target(affinity, use, summary, target, #target, place, #target, len))
print("opened: " .. ffi.string(place, len[0]))
request.cookie_count, request.existing, request.ids = 0, 0, summary
check(C.tokenpin_affinity_decide(affinity, request, decision))
print_decision("with the sealed id", decision)
local key_name = ffi.new("struct tokenpin_bytes")
check(C.tokenpin_affinity_id_key(affinity, decision.id_keys[0], key_name))
print(" " .. name(C.TOKENPIN_ENUM_ID_VERDICT, decision.id_verdict) .. ": "
  .. ffi.string(key_name.ptr, key_name.len))
print("sealed: " .. seal_body(summary))

check(C.tokenpin_affinity_set_slot(affinity, 0, down))
check(C.tokenpin_affinity_decide(affinity, request, decision))
print_decision("while its account is down", decision)
local code, refusal = ffi.new("uint16_t[1]"), ffi.new("uint8_t[1]")
check(C.tokenpin_decision_refusal(decision, code, refusal))
print(" " .. name(C.TOKENPIN_ENUM_REFUSAL, refusal[0]) .. ": " .. code[0])
C.tokenpin_affinity_free(affinity)
