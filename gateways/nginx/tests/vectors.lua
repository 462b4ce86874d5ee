-- The decisions of tests/vectors, by what the module makes of a configuration and of a request. It
-- runs in a location of nginx, and answers with the differences.

local ffi = require "ffi"
local build = require("resty.tokenpin.affinity").build
local entropy = require "resty.tokenpin.entropy"
local json = require "resty.tokenpin.json"
local library = require "resty.tokenpin.library"
local request = require "resty.tokenpin.request"

local C = library.C

local function bytes(hex)
  return (hex:gsub("%x%x", function(digits) return string.char(tonumber(digits, 16)) end))
end

local function number_of(which, name)
  for value, each in pairs(library.names(which)) do
    if each == name then return value end
  end
  error("no " .. name)
end

local function given(value)
  return value ~= json.null and value or nil
end

local function ring_of(keys)
  local ring = {}
  for i, key in ipairs(keys) do
    ring[i] = ffi.new("struct tokenpin_cookie_key", key.id, number_of(C.TOKENPIN_ENUM_ROLE, key.role))
    ffi.copy(ring[i].secret, bytes(key.secret), 16)
  end
  return #ring ~= 0 and ring or nil
end

-- As settings.lua would have read it.
local function settings_of(config)
  local settings = {
    library = {
      success_first = config.success[1], success_last = config.success[2], skew = config.skew,
      max_life = config.max_life, max_idle = config.max_idle, max_age = given(config.max_age),
    },
    attributes = {}, tokens = {}, capacity = #config.slots, request = { scope = bytes(config.scope) }, session = {},
    cookie_name = given(config.cookie_name), path = config.attributes.path, domain = config.attributes.domain,
    cookie_keys = ring_of(config.cookie_keys), id_keys = ring_of(config.id_keys),
    placement_key = ffi.new("uint8_t[16]", bytes(config.placement_key)),
    consumer = { header = "x-consumer" }, carrier_header = "x-pin",
  }
  ffi.copy(settings.placement_key, bytes(config.placement_key), 16)
  settings.session[1] = { header = "x-session" }
  local own = settings.library
  for _, name in ipairs { "combine_keys", "keyed_cookies", "mint_single", "prompt_cache", "reject_bad_keys" } do
    own[name] = config[name]
  end
  own.encrypted_content = config.encrypted_content
  own.strategy = number_of(C.TOKENPIN_ENUM_STRATEGY, config.strategy)
  own.policy_existing = number_of(C.TOKENPIN_ENUM_POLICY, config.policy_existing)
  own.policy_new = number_of(C.TOKENPIN_ENUM_POLICY, config.policy_new)
  own.id_mode = number_of(C.TOKENPIN_ENUM_MODE, config.id_mode)
  own.id_owner = number_of(C.TOKENPIN_ENUM_ID_OWNER, config.id_owner)
  own.foreign_seals = number_of(C.TOKENPIN_ENUM_FOREIGN_SEALS, config.foreign_seals)
  for _, name in ipairs { "secure", "http_only", "partitioned" } do
    settings.attributes[name] = config.attributes[name]
  end
  settings.attributes.same_site = number_of(C.TOKENPIN_ENUM_SAME_SITE, config.attributes.same_site)
  for i, slot in ipairs(config.slots) do
    if given(slot) and slot.state ~= "vacant" then
      settings.tokens[i - 1] = {
        name = bytes(slot.identity), path = "",
        status = {
          state = number_of(C.TOKENPIN_ENUM_STATE, slot.state), weight = slot.weight, ["until"] = slot["until"],
        },
      }
    end
  end
  return settings
end

-- Cases that no request to the module has: consumers that are not trusted, hints that it has not
-- made, a request's own scope.
local function is_for_nginx(case)
  local asked = case.request
  local joined = false
  for _, list in ipairs { asked.consumers, asked.sessions } do
    for _, value in ipairs(list) do joined = joined or bytes(value):find("[,\t ]") ~= nil end
  end
  return asked.consumer_trusted and not given(asked.id_hint) and not joined
    and (asked.carrier or asked.carrier_value == "")
end

local real_fill, real_time = entropy.fill, ngx.time
local decision, line = ffi.new("struct tokenpin_decision"), ffi.new("char[2400]")
local length, answer = ffi.new("size_t[1]"), ffi.new("uint8_t[1]")
local fingerprint = ffi.new("uint64_t[1]")

local function check(case, affinity, settings, same)
  local asked, wanted = case.request, case.decision
  local function list_of(values, read)
    local list = {}
    for i, value in ipairs(values) do list[i] = read and read(value) or value end
    return #list ~= 0 and list or nil
  end
  local exchange = {
    headers = {
      cookie = list_of(asked.cookies), ["x-consumer"] = list_of(asked.consumers, bytes),
      ["x-session"] = list_of(asked.sessions, bytes), ["x-pin"] = asked.carrier and asked.carrier_value or nil,
    },
    method = asked.method, target = asked.target, tries = #asked.tried, tried = asked.tried,
  }
  local terms = {
    gateway = { affinity = affinity, fleet = { follow = function() end } }, settings = settings,
    overlay = { scope = bytes(asked.scope) },
    group = given(asked.group) and number_of(C.TOKENPIN_ENUM_GROUP, asked.group),
  }
  if asked.existing then
    exchange.headers["x-existing"] = "1"
    terms.existing = { header = "x-existing" }
  end
  -- luacheck: globals ngx.time
  ngx.time = function() return asked.now end
  entropy.fill = function(to) ffi.copy(to, bytes(asked.entropy), 16) end
  request.read(exchange, terms)
  same("status", C.TOKENPIN_STATUS_OK, request.decide(exchange, terms, decision))
  for _, each in ipairs(library.DECISION) do
    same(each.field, wanted[each.field], each.names[decision[each.field]])
  end
  same("slot", given(wanted.slot) or library.SLOT_NONE, decision.slot)
  same("retry_after", wanted.retry_after, decision.retry_after)
  for _, field in ipairs { "ambiguous", "existing", "may_move" } do
    same(field, wanted[field], decision[field] ~= 0)
  end
  C.tokenpin_affinity_fingerprint(affinity, fingerprint)
  same("fingerprint", wanted.fingerprint, bit.tohex(fingerprint[0], 16))
  for _, finished in ipairs(case.finish) do
    C.tokenpin_affinity_finish(affinity, decision, finished.status, line, 2400, length, answer)
    same("answer", finished.answer, library.name(C.TOKENPIN_ENUM_ANSWER, answer[0]))
    same("text", finished.text, ffi.string(line, length[0]))
  end
end

return function(path)
  local file = assert(io.open(path))
  local vectors = json.decode(file:read("*a"))
  file:close()
  local settings, affinities = {}, {}
  for i, config in ipairs(vectors.configs) do
    settings[i] = settings_of(config)
    affinities[i] = build(settings[i])
  end
  local checked, wrong = 0, {}
  for number, case in ipairs(vectors.cases) do
    if is_for_nginx(case) then
      checked = checked + 1
      check(case, affinities[case.config + 1], settings[case.config + 1], function(what, expected, got)
        if expected ~= got then
          table.insert(wrong, ("case %d: %s: %s, wanted %s"):format(number, what, tostring(got), tostring(expected)))
        end
      end)
    end
  end
  -- luacheck: globals ngx.time
  ngx.time, entropy.fill = real_time, real_fill
  ngx.say(checked, " of ", #vectors.cases, " cases, wrong: ", #wrong, ", compiled: ", tostring(jit.status()))
  ngx.say(table.concat(wrong, "\n", 1, math.min(#wrong, 20)))
end
