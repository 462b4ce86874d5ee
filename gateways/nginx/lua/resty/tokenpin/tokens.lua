-- The tokens of the configuration: their credentials, and their states.

local fields_of = require "resty.tokenpin.fields"
local json = require "resty.tokenpin.json"
local library = require "resty.tokenpin.library"
local secrets = require "resty.tokenpin.secrets"

local C, fail = library.C, library.fail

local MAX_CAPACITY = 65536

local PSEUDO = { [":authority"] = true, [":path"] = true, [":scheme"] = true }

local _M = {}

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
  local credential = { name = fields_of.own_header_name(name, fields:at("name")) }
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
    if credential.prefix ~= "" then fail(fields:at("prefix"), "needs a value, file or env to stand in front of") end
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
function _M.read(fields)
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
