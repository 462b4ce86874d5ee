-- The configuration, checked. gateways/envoy/README.md says what the fields mean, README.md what
-- differs here.

local ffi = require "ffi"
local cooldowns = require "resty.tokenpin.cooldowns"
local fields_of = require "resty.tokenpin.fields"
local json = require "resty.tokenpin.json"
local library = require "resty.tokenpin.library"
local secrets = require "resty.tokenpin.secrets"
local tokens = require "resty.tokenpin.tokens"

local C, fail = library.C, library.fail

local MAX_U32 = 4294967295
local MAX_EXACT = 9007199254740992 -- 2^53

local _M = {}

-- The place of a value in a request. `special` is what only this source may have.
local function read_source(value, path, special)
  local fields = fields_of.of(value, path)
  local source = { header = fields:header("header", fields_of.header_name) }
  for _, name in ipairs { "metadata", "filter_state" } do
    if fields:find(name) ~= nil then fail(fields:at(name), "nginx has none: put it into a header") end
  end
  if special == "trusted" and not (fields:bool("trusted") and source.header) then
    fail(fields:at("trusted"), "must be true: only for a header that clients cannot set")
  end
  if special == "connection" then source.connection = fields:bool("connection", false) or nil end
  if special == "present" then source.present = fields:bool("present", false) end
  fields:refuse_others()
  if (source.header ~= nil) == (source.connection ~= nil) then
    fail(path, special == "connection" and "needs one of header and connection" or "needs a header")
  end
  return source
end

local function source_field(fields, name, special)
  local value = fields:find(name)
  return value ~= nil and read_source(value, fields:at(name), special) or nil
end

-- The fields that a route may have without being a complete configuration.
local function read_overlay(fields)
  local overlay = { scope = fields:string("scope") }
  if overlay.scope and #overlay.scope > C.TOKENPIN_MAX_SCOPE then
    fail(fields:at("scope"), ("is over %d bytes"):format(C.TOKENPIN_MAX_SCOPE))
  end
  overlay.group = fields:enum("group", C.TOKENPIN_ENUM_GROUP)
  overlay.existing = source_field(fields, "existing", "present")
  if fields:find("sealed_ids") == false then
    -- YAML's reading of `off`.
    overlay.sealed_ids = C.TOKENPIN_MODE_OFF
  else
    overlay.sealed_ids = fields:enum("sealed_ids", C.TOKENPIN_ENUM_MODE)
  end
  overlay.observe = fields:bool("observe")
  return overlay
end

local function read_key_ring(fields, name)
  return fields:list(name, function(value, path)
    local key = ffi.new("struct tokenpin_cookie_key")
    local entry = fields_of.of(value, path)
    entry:require("id")
    key.id = entry:number("id", 0, 255)
    entry:require("role")
    key.role = entry:enum("role", C.TOKENPIN_ENUM_ROLE)
    secrets.read_key(fields_of.of(entry:require("key"), entry:at("key")), key.secret)
    entry:refuse_others()
    return key
  end)
end

local function ring_field(fields, name)
  local keys = read_key_ring(fields, name)
  if keys and #keys > C.TOKENPIN_MAX_COOKIE_KEYS then
    fail(fields:at(name), ("has more than %d keys"):format(C.TOKENPIN_MAX_COOKIE_KEYS))
  end
  return keys
end

local function read_rule(value, path)
  local fields = fields_of.of(value, path)
  fields:require("pattern")
  fields:require("group")
  local rule = { pattern = fields:string("pattern"), group = fields:enum("group", C.TOKENPIN_ENUM_GROUP) }
  -- An API that keeps state in an account names it by ids.
  local usual = rule.group == C.TOKENPIN_GROUP_STATEFUL and C.TOKENPIN_IDS_BOTH or C.TOKENPIN_IDS_NONE
  rule.ids = fields:enum("ids", C.TOKENPIN_ENUM_IDS, usual)
  fields:refuse_others()
  return rule
end

local function read_id_field(value, path)
  local fields = fields_of.of(value, path)
  fields:require("name")
  fields:require("kind")
  local field = { name = fields:string("name"), kind = fields:enum("kind", C.TOKENPIN_ENUM_KEY_KIND) }
  fields:refuse_others()
  return field
end

-- The fields of `library` are those of the library's own configuration.
local function read_cookie(fields, settings)
  local value = fields:find("cookie")
  if value == nil then return end
  local cookie = fields_of.of(value, fields:at("cookie"))
  local own = settings.library
  settings.cookie_name = cookie:string("name")
  settings.path = cookie:string("path")
  settings.domain = cookie:string("domain")
  for _, name in ipairs { "secure", "http_only", "partitioned" } do
    settings.attributes[name] = cookie:bool(name)
  end
  settings.attributes.same_site = cookie:enum("same_site", C.TOKENPIN_ENUM_SAME_SITE)
  if cookie:find("max_age") == "auto" then
    own.max_age = MAX_U32
  else
    own.max_age = cookie:number("max_age", 0, C.TOKENPIN_MAX_MAX_AGE)
  end
  for _, name in ipairs { "skew", "max_life", "max_idle" } do
    own[name] = cookie:number(name, 0, MAX_U32)
  end
  cookie:refuse_others()
end

local function read_ids(fields, settings)
  local own = settings.library
  own.id_mode = settings.request.sealed_ids
  settings.id_keys = ring_field(fields, "id_keys")
  fields:refuse_empty("id_keys")
  own.id_owner = fields:enum("id_owner", C.TOKENPIN_ENUM_ID_OWNER)
  own.foreign_seals = fields:enum("foreign_seals", C.TOKENPIN_ENUM_FOREIGN_SEALS)
  own.encrypted_content = fields:bool("encrypted_content")
  settings.id_fields = fields:list("id_fields", read_id_field)
  settings.id_prefixes = fields:list("id_prefixes", fields_of.text)
  settings.id_collections = fields:list("id_collections", fields_of.text)
  settings.bodies = fields:bool("bodies", true)
  settings.max_body = fields:number("max_body", 1, MAX_U32, 64 * 1024 * 1024)
  settings.max_held = fields:number("max_held_bodies", 1, MAX_EXACT, 1024 * 1024 * 1024)
  settings.refuse_upgrades = fields:bool("refuse_upgrades", false)
end

local function read_success(fields, own)
  local value = fields:find("success")
  if value == nil then return end
  if not json.is_list(value) or #value ~= 2 then fail(fields:at("success"), "expected a list of two statuses") end
  own.success_first = fields_of.number(value[1], fields:at("success[0]"), 100, 599)
  own.success_last = fields_of.number(value[2], fields:at("success[1]"), 100, 599)
end

-- A header that the gateway writes for one purpose must not be read or written for another.
local function refuse_shared_headers(fields, settings)
  local others = {}
  local function add(source)
    if source and source.header then others[source.header] = true end
  end
  for slot = 0, settings.capacity - 1 do
    for _, credential in ipairs(settings.tokens[slot] and settings.tokens[slot].credentials or {}) do
      others[credential.name] = true
    end
  end
  add(settings.consumer)
  add(settings.tenant)
  add(settings.id_hint)
  add(settings.request.existing)
  for _, source in ipairs(settings.session) do add(source) end
  for _, name in ipairs { "carrier_header", "response_header" } do
    local header = settings[name]
    if header and others[header] then fail(fields:at(name), "is the header of another setting") end
    if header then others[header] = true end
  end
end

local function read_settings(fields)
  local settings = { library = {}, attributes = {}, placement_key = ffi.new("uint8_t[16]") }
  local own = settings.library
  secrets.read_key(fields_of.of(fields:require("placement_key"), fields:at("placement_key")), settings.placement_key)
  fields:require("cookie_keys")
  settings.cookie_keys = ring_field(fields, "cookie_keys")
  settings.tokens, settings.capacity = tokens.read(fields)
  settings.request = read_overlay(fields)
  settings.tenant = source_field(fields, "tenant")
  settings.consumer = source_field(fields, "consumer", "trusted")
  settings.session = fields:list("session", read_source) or {}
  settings.id_hint = source_field(fields, "id_hint", "connection")
  settings.rules = fields:list("rules", read_rule)
  fields:refuse_empty("rules")
  own.replace_rules = fields:bool("replace_rules")
  if own.replace_rules and not settings.rules then fail(fields:at("replace_rules"), "needs rules") end
  own.strategy = fields:enum("strategy", C.TOKENPIN_ENUM_STRATEGY)
  own.policy_existing = fields:enum("policy_existing", C.TOKENPIN_ENUM_POLICY)
  own.policy_new = fields:enum("policy_new", C.TOKENPIN_ENUM_POLICY)
  for _, name in ipairs { "combine_keys", "reject_bad_keys", "keyed_cookies", "mint_single", "prompt_cache" } do
    own[name] = fields:bool(name)
  end
  read_success(fields, own)
  read_cookie(fields, settings)
  read_ids(fields, settings)
  settings.carrier_header = fields:header("carrier_header", fields_of.own_header_name)
  settings.drop_when_moved = fields:list("drop_when_moved", fields_of.own_header_name) or {}
  settings.state_file = fields:string("state_file")
  settings.cooldowns = cooldowns.read_cooldowns(fields)
  settings.retry = cooldowns.read_retry(fields)
  if fields:bool("clear_route_cache") then
    fail(fields:at("clear_route_cache"), "nginx has chosen the location already")
  end
  settings.cache_control = fields:bool("cache_control", false)
  settings.metadata = fields:bool("metadata", false)
  settings.response_header = fields:header("response_header", fields_of.own_header_name)
  refuse_shared_headers(fields, settings)
  return settings
end

-- Of a gateway. Nil for an empty configuration: every request passes.
function _M.parse(configuration)
  local fields = fields_of.of(configuration, "")
  if next(configuration) == nil then return nil end
  fields:require("tokens")
  local settings = read_settings(fields)
  fields:refuse_others()
  return settings
end

-- Of a route.
function _M.parse_overlay(configuration)
  local fields = fields_of.of(configuration, "")
  local overlay = read_overlay(fields)
  fields:refuse_others()
  -- To the library an empty scope is the configured one.
  if overlay.scope == "" then fail("scope", "is empty") end
  return overlay
end

return _M
