-- Answers after which a token cools down, or a request is sent again.

local fields_of = require "resty.tokenpin.fields"
local library = require "resty.tokenpin.library"

local C, fail = library.C, library.fail

local MAX_U32 = 4294967295
local MAX_RETRIES = 3
-- Statuses of errors only.
local LEAST_ERROR = 400

-- After these nginx can send a request again (proxy_next_upstream).
local RETRIED = { [403] = true, [404] = true, [429] = true, [500] = true, [502] = true, [503] = true, [504] = true }

local _M = { LEAST_ERROR = LEAST_ERROR }

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
  local match = { name = fields:header("name", fields_of.header_name) }
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

-- The entries of `cooldowns`, or the usual ones.
function _M.read_cooldowns(fields)
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

-- The field `retry`; nil without one.
function _M.read_retry(fields)
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

return _M
