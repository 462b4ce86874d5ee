-- The configuration, checked. gateways/envoy/README.md says what the fields mean, README.md what
-- differs here.

local ffi = require "ffi"
local fields_of = require("resty.tokenpin.fields")
local json = require "resty.tokenpin.json"
local library = require "resty.tokenpin.library"
local secrets = require "resty.tokenpin.secrets"

local C, fail = library.C, library.fail

local MAX_CAPACITY = 65536
local MAX_U32 = 4294967295
local MAX_EXACT = 9007199254740992 -- 2^53
local MAX_RETRIES = 3
-- Tokens cool down, and requests are retried, after statuses of errors only.
local LEAST_ERROR = 400

-- After these nginx can send a request again (proxy_next_upstream).
local RETRIED = { [403] = true, [404] = true, [429] = true, [500] = true, [502] = true, [503] = true, [504] = true }

-- Some headers carry the message itself, or are looked after otherwise.
local OTHERS = {
  connection = true, ["content-length"] = true, cookie = true, host = true, ["set-cookie"] = true, te = true,
  ["transfer-encoding"] = true, upgrade = true,
}

local PSEUDO = { [":authority"] = true, [":path"] = true, [":scheme"] = true }

local _M = { LEAST_ERROR = LEAST_ERROR }

-- In lower case, as nginx reports them. RFC 9110 section 5.6.2.
local function header_name(value, path)
  if type(value) ~= "string" then fail(path, "expected a string") end
  if not value:find("^[%w!#$%%&'*+.^_`|~-]+$") then fail(path, "expected a header's name") end
  return value:lower()
end

-- The same for a header that the gateway changes.
local function own_header_name(value, path)
  local name = header_name(value, path)
  if OTHERS[name] then fail(path, "is not for the gateway to set") end
  return name
end

local function header_field(fields, name, read)
  local value = fields:find(name)
  return value ~= nil and read(value, fields:at(name)) or nil
end

-- The place of a value in a request. `special` is what only this source may have.
local function read_source(value, path, special)
  local fields = fields_of.of(value, path)
  local source = { header = header_field(fields, "header", header_name) }
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

local function read_status(fields, status)
  return {
    weight = fields:number("weight", 0, C.TOKENPIN_MAX_WEIGHT, status.weight),
    state = fields:enum("state", C.TOKENPIN_ENUM_STATE, status.state),
    ["until"] = fields:number("until", 0, 35184372088831, status["until"]),
  }
end

-- Of a token, over `declared`.
function _M.parse_status(value, declared)
  local fields = fields_of.of(value, "")
  local status = read_status(fields, declared)
  fields:refuse_others()
  return status
end

-- A credential's secret, as it becomes the header's value; or what is wrong with it. RFC 9110
-- section 5.5, without the bytes that are obsolete there.
function _M.header_value(prefix, secret)
  if secret == "" then return nil, "the value is empty" end
  local value = prefix .. secret
  if value:find("[^ -~]") or value:find("^ ") or value:find(" $") then
    return nil, "the value cannot stand in a header"
  end
  return value
end

-- `value` is false for a header that is taken off.
local function read_credential(json_value, path)
  local fields = fields_of.of(json_value, path)
  local name = fields:require("name")
  if PSEUDO[name] then fail(fields:at("name"), "nginx sends what proxy_pass and proxy_set_header say") end
  local credential = { name = own_header_name(name, fields:at("name")) }
  local remove = fields:bool("remove", false)
  local secret = secrets.read_secret(fields)
  local value = fields:string("value")
  if (secret and 1 or 0) + (value and 1 or 0) + (remove and 1 or 0) ~= 1 then
    fail(path, "needs one of value, file, env and remove")
  end
  credential.file = fields:string("file")
  credential.prefix = fields:string("prefix", "")
  fields:refuse_others()
  if remove then
    if credential.prefix ~= "" then fail(fields:at("prefix"), "stands in front of nothing") end
    credential.value = false
    return credential
  end
  local wrong
  credential.value, wrong = _M.header_value(credential.prefix, secret or value)
  return wrong and fail(path, wrong) or credential
end

-- A token sends its own credentials and nothing of another's, also not from the client.
local function remove_others_credentials(tokens, capacity)
  local names = {}
  for slot = 0, capacity - 1 do
    for _, credential in ipairs(tokens[slot] and tokens[slot].credentials or {}) do names[credential.name] = true end
  end
  local sorted = {}
  for name in pairs(names) do table.insert(sorted, name) end
  table.sort(sorted)
  for slot = 0, capacity - 1 do
    local token = tokens[slot]
    if token then
      local own = {}
      for _, credential in ipairs(token.credentials) do own[credential.name] = true end
      for _, name in ipairs(sorted) do
        if not own[name] then table.insert(token.credentials, { name = name, value = false }) end
      end
    end
  end
end

-- Tokens by slot; a slot without one is vacant. And how many slots there are.
local function read_tokens(fields)
  local capacity = fields:number("capacity", 1, MAX_CAPACITY)
  local tokens, most, position = {}, 0, 0
  fields:require("tokens")
  fields:list("tokens", function(value, path)
    local token = fields_of.of(value, path)
    local slot = token:number("slot", 0, MAX_CAPACITY - 1, position)
    position = position + 1
    if slot >= (capacity or MAX_CAPACITY) then fail(path, "its slot is not below the capacity") end
    if tokens[slot] then fail(path, "its slot is taken") end
    token:require("name")
    local result = { name = token:string("name") }
    if result.name == "" then fail(token:at("name"), "is empty") end
    local usual = { weight = C.TOKENPIN_MAX_WEIGHT, state = C.TOKENPIN_STATE_UP, ["until"] = 0 }
    result.status = read_status(token, usual)
    local names = {}
    result.credentials = token:list("headers", function(header, at)
      local credential = read_credential(header, at)
      if names[credential.name] then fail(at, "a header is given twice") end
      names[credential.name] = true
      return credential
    end) or {}
    token:refuse_others()
    tokens[slot] = result
    most = math.max(most, slot + 1)
  end)
  if position == 0 then fail(fields:at("tokens"), "is empty") end
  capacity = capacity or most
  remove_others_credentials(tokens, capacity)
  return tokens, capacity
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

-- As a set.
local function read_statuses(fields, name)
  fields:require(name)
  local statuses = {}
  fields:list(name, function(value, path)
    statuses[fields_of.number(value, path, LEAST_ERROR, 599)] = true
  end)
  fields:refuse_empty(name)
  return statuses
end

local function read_header_match(value, path)
  local fields = fields_of.of(value, path)
  local match = { name = header_field(fields, "name", header_name) }
  if not match.name then fields:require("name") end
  match.exact = fields:string("exact")
  match.prefix = fields:string("prefix")
  match.present = fields:bool("present")
  fields:refuse_others()
  local kinds = (match.exact and 1 or 0) + (match.prefix and 1 or 0) + (match.present ~= nil and 1 or 0)
  if kinds ~= 1 then fail(path, "needs one of exact, prefix and present") end
  return match
end

-- None goes down by default: a client may have caused the answer, and would take the token from all
-- others.
local function default_cooldowns()
  return { {
    statuses = { [401] = true, [429] = true }, headers = {}, state = C.TOKENPIN_STATE_DRAINING, seconds = 30,
    retry_after = true, max_seconds = 3600,
  } }
end

local function read_cooldowns(fields)
  local settled = {}
  return fields:list("cooldowns", function(value, path)
    local entry = fields_of.of(value, path)
    local cooldown = { statuses = read_statuses(entry, "status") }
    local headers = entry:list("headers", read_header_match)
    entry:refuse_empty("headers")
    -- Behind an entry that always matches, another is a mistake.
    for status in pairs(cooldown.statuses) do
      if settled[status] then
        fail(entry:at("status"), "has a status that an entry without headers has already")
      end
    end
    for status in pairs(cooldown.statuses) do
      settled[status] = not headers or nil
    end
    cooldown.headers = headers or {}
    entry:require("state")
    cooldown.state = entry:enum("state", C.TOKENPIN_ENUM_STATE)
    if cooldown.state == C.TOKENPIN_STATE_UP then fail(entry:at("state"), "expected one of draining, down") end
    entry:require("seconds")
    cooldown.seconds = entry:number("seconds", 1, MAX_U32)
    cooldown.retry_after = entry:bool("retry_after", false)
    cooldown.max_seconds = entry:number("max_seconds", 1, MAX_U32, 3600)
    entry:refuse_others()
    return cooldown
  end) or default_cooldowns()
end

local function read_retry(fields)
  local value = fields:find("retry")
  if value == nil then return nil end
  local retry = fields_of.of(value, fields:at("retry"))
  local result = { statuses = read_statuses(retry, "status"), max = retry:number("max", 1, MAX_RETRIES, 1) }
  retry:refuse_others()
  retry:list("status", function(status, path)
    if not RETRIED[tonumber(status)] then
      fail(path, "nginx sends a request again only after 403, 404, 429, 500, 502, 503 and 504")
    end
  end)
  return result
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
    if header and others[header] then fail(fields:at(name), "has another use already") end
    if header then others[header] = true end
  end
end

local function read_settings(fields)
  local settings = { library = {}, attributes = {}, placement_key = ffi.new("uint8_t[16]") }
  local own = settings.library
  secrets.read_key(fields_of.of(fields:require("placement_key"), fields:at("placement_key")), settings.placement_key)
  fields:require("cookie_keys")
  settings.cookie_keys = ring_field(fields, "cookie_keys")
  settings.tokens, settings.capacity = read_tokens(fields)
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
  settings.carrier_header = header_field(fields, "carrier_header", own_header_name)
  settings.drop_when_moved = fields:list("drop_when_moved", own_header_name) or {}
  settings.state_file = fields:string("state_file")
  settings.cooldowns = read_cooldowns(fields)
  settings.retry = read_retry(fields)
  if fields:bool("clear_route_cache") then
    fail(fields:at("clear_route_cache"), "nginx has chosen the location already")
  end
  settings.cache_control = fields:bool("cache_control", false)
  settings.metadata = fields:bool("metadata", false)
  settings.response_header = header_field(fields, "response_header", own_header_name)
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

-- The state file: the declared status of each slot, over what the configuration says; and the names
-- in it that the configuration does not have. (It may be newer or older than the file.)
function _M.parse_states(text, settings)
  local declared, slots, unknown = {}, {}, {}
  for slot = 0, settings.capacity - 1 do
    local token = settings.tokens[slot]
    if token then
      declared[slot] = token.status
      slots[token.name] = slot
    end
  end
  local fields = fields_of.of(json.decode(text), "")
  local tokens = fields_of.of(fields:require("tokens"), "tokens")
  fields:refuse_others()
  for name, entry in pairs(tokens.value) do
    local slot = slots[name]
    local token = fields_of.of(entry, "tokens." .. name)
    local status = read_status(token, slot and declared[slot] or { weight = 0, state = 0, ["until"] = 0 })
    token:refuse_others()
    if slot then
      declared[slot] = status
    else
      table.insert(unknown, name)
    end
  end
  table.sort(unknown)
  return declared, unknown
end

return _M
