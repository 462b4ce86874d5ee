-- Settings become the library's affinity.

local ffi = require "ffi"
local library = require "resty.tokenpin.library"
local sentences = require "resty.tokenpin.sentences"

local C, fail = library.C, library.fail

local _M = {}

-- The place of the library's field in the configuration.
local function path_of(field, index, settings)
  local name = library.name(C.TOKENPIN_ENUM_FIELD, field)
  if field == C.TOKENPIN_FIELD_RULES then return ("rules[%d].pattern"):format(index) end
  if field == C.TOKENPIN_FIELD_SLOTS then
    -- The tokens may be listed in another order than that of their slots.
    local token = settings.tokens[index]
    return token and ("tokens (%s)"):format(token.name) or "tokens"
  end
  if field == C.TOKENPIN_FIELD_COOKIE_NAME then return "cookie.name" end
  if name == "cookie_keys" or name:find("^id_[kfpc]") then return ("%s[%d]"):format(name, index) end
  for _, own in ipairs { "path", "domain", "max_age", "secure", "same_site", "partitioned", "http_only" } do
    if name == own then return "cookie." .. name end
  end
  return name
end

local NO_PATTERN = "expected segments with / between them, where one behind the first may begin with a *, and no "
  .. "%, ? or #"

-- `settings`, which the caller holds, keeps from the collector the bytes that C borrows.
local function set_text(bytes, text)
  bytes.ptr, bytes.len = text, #text
end

local function array_of(kind, list, put)
  if not list or #list == 0 then return nil, 0 end
  local array = ffi.new("struct " .. kind .. "[?]", #list)
  for i, element in ipairs(list) do put(array[i - 1], element) end
  return array, #list
end

-- The affinity lives as long as the process, which nginx ends with each configuration.
function _M.build(settings)
  local config = ffi.new("struct tokenpin_config")
  assert(C.tokenpin_config_init(config, ffi.sizeof(config)) == C.TOKENPIN_STATUS_OK)
  for name, value in pairs(settings.library) do config[name] = value end
  for name, value in pairs(settings.attributes) do config.attributes[name] = value end
  ffi.copy(config.placement_key, settings.placement_key, 16)

  local slots = ffi.new("struct tokenpin_slot_config[?]", settings.capacity)
  for slot = 0, settings.capacity - 1 do
    local token, status = settings.tokens[slot], slots[slot].status
    if token then
      set_text(slots[slot].identity, token.name)
      status.weight, status.state = token.status.weight, token.status.state
      status["until"] = token.status["until"]
    else
      status.weight, status.state = C.TOKENPIN_MAX_WEIGHT, C.TOKENPIN_STATE_VACANT
    end
  end
  config.slots, config.slot_count = slots, settings.capacity
  -- Each array has its own local, or nothing would keep it.
  local function put_key(to, key) to.id, to.role, to.secret = key.id, key.role, key.secret end
  local cookie_keys, id_keys, rules, id_fields, id_prefixes, id_collections
  cookie_keys, config.cookie_key_count = array_of("tokenpin_cookie_key", settings.cookie_keys, put_key)
  id_keys, config.id_key_count = array_of("tokenpin_cookie_key", settings.id_keys, put_key)
  rules, config.rule_count = array_of("tokenpin_rule", settings.rules, function(to, rule)
    set_text(to.pattern, rule.pattern)
    to.group, to.ids = rule.group, rule.ids
  end)
  id_fields, config.id_field_count = array_of("tokenpin_id_field", settings.id_fields, function(to, field)
    set_text(to.name, field.name)
    to.kind = field.kind
  end)
  id_prefixes, config.id_prefix_count = array_of("tokenpin_bytes", settings.id_prefixes, set_text)
  id_collections, config.id_collection_count = array_of("tokenpin_bytes", settings.id_collections, set_text)
  config.cookie_keys, config.id_keys, config.rules = cookie_keys, id_keys, rules
  config.id_fields, config.id_prefixes, config.id_collections = id_fields, id_prefixes, id_collections
  set_text(config.scope, settings.request.scope or "")
  set_text(config.cookie_name, settings.cookie_name or "")
  set_text(config.attributes.path, settings.path or "")
  set_text(config.attributes.domain, settings.domain or "")

  local made = ffi.new("struct tokenpin_affinity *[1]")
  local wrong = ffi.new("struct tokenpin_config_error")
  local status = C.tokenpin_affinity_new(config, made, wrong)
  -- The library keeps its own copies.
  ffi.fill(settings.placement_key, 16)
  ffi.fill(config.placement_key, 16)
  local function wipe_keys(array, keys)
    for i, key in ipairs(keys or {}) do
      ffi.fill(array[i - 1].secret, 16)
      ffi.fill(key.secret, 16)
    end
  end
  wipe_keys(cookie_keys, settings.cookie_keys)
  wipe_keys(id_keys, settings.id_keys)
  if status ~= C.TOKENPIN_STATUS_OK then
    fail(path_of(wrong.field, tonumber(wrong.index), settings),
      status == C.TOKENPIN_STATUS_PATTERN and NO_PATTERN or sentences[status])
  end
  return made[0]
end

return _M
