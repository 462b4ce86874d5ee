-- A response: what it says of its token, and the changes to it.

local ffi = require "ffi"
local library = require "resty.tokenpin.library"
local retry_after = require "resty.tokenpin.retry_after"

local C = library.C
local OK = C.TOKENPIN_STATUS_OK

local _M = {}

local matches = ffi.new("uint8_t[1]")
local line = ffi.new("char[?]", C.TOKENPIN_MAX_SET_COOKIE)
local length, answer = ffi.new("size_t[1]"), ffi.new("uint8_t[1]")

local DASH = 45

-- Returns whether the upstream that was asked last has answered with a header.
function _M.has_header()
  local times = ngx.var.upstream_header_time
  return times ~= nil and times:byte(-1) ~= DASH
end

-- Returns whether an upstream has sent this response. nginx's own 502 also stands in
-- $upstream_status, but no header came then. A response from a cache, or behind an error_page, has
-- another status.
function _M.is_from_upstream()
  local statuses = ngx.var.upstream_status
  return statuses ~= nil and tonumber(statuses:sub(-3)) == ngx.status and _M.has_header()
end

-- The values of a field of the response, as a list; nil for none.
local function all(name)
  local value = ngx.header[name]
  if type(value) == "string" then return { value } end
  -- That stops at a hundred.
  if value and #value >= 100 then value = ngx.resp.get_headers(0)[name] end
  return value
end

-- Takes an upstream's own cookie of our name out. `list` is what `Set-Cookie` is then, nil if that
-- is not changed.
function _M.others_cookies(name)
  local given = all("set-cookie")
  if not given then return nil, nil end
  local kept
  for i, field in ipairs(given) do
    local is_ours = C.tokenpin_set_cookie_matches(field, #field, name, #name, matches) ~= OK or matches[0] ~= 0
    if is_ours and not kept then
      kept = {}
      for j = 1, i - 1 do kept[j] = given[j] end
    elseif kept and not is_ours then
      table.insert(kept, field)
    end
  end
  return given, kept
end

local function is_met(match, field)
  local values = field(match.name)
  if match.present ~= nil then return (values ~= nil) == match.present end
  for _, value in ipairs(values or {}) do
    if match.exact and value == match.exact then return true end
    if match.prefix and value:sub(1, #match.prefix) == match.prefix then return true end
  end
  return false
end

-- `field` gives the values of a field of the response, as a list, nil for none.
function _M.cool_down(terms, slot, status, field)
  for _, cooldown in ipairs(terms.settings.cooldowns) do
    local is_meant = cooldown.statuses[status] == true
    for _, match in ipairs(is_meant and cooldown.headers or {}) do
      is_meant = is_meant and is_met(match, field)
    end
    if is_meant then
      local now = ngx.time()
      local seconds = cooldown.seconds
      if cooldown.retry_after then
        local wanted = retry_after.read((field("retry-after-ms") or {})[1], (field("retry-after") or {})[1], now)
        if wanted then seconds = math.min(math.max(wanted, 1), cooldown.max_seconds) end
      end
      if terms.gateway.fleet:cool(slot, cooldown.state, now + seconds, now) then
        terms.gateway.metrics:count("cooldowns")
      end
      return
    end
  end
end

_M.field = all

-- A field of a response that nginx does not pass on.
function _M.field_of_upstream(name)
  local value = ngx.var["upstream_http_" .. name:gsub("-", "_")]
  return value and { value }
end

local function append(name, value)
  local there = all(name)
  if not there then
    ngx.header[name] = value
    return
  end
  local longer = { unpack(there) }
  longer[#longer + 1] = value
  ngx.header[name] = longer
end

-- `others` is what stands in `Set-Cookie` already.
function _M.write_cookie(terms, decision, status)
  if decision.cookie == 0 then return end
  -- A WebSocket handshake succeeds with 101.
  if status == 101 then status = terms.settings.library.success_first or 200 end
  local done = C.tokenpin_affinity_finish(terms.gateway.affinity, decision, status, line, C.TOKENPIN_MAX_SET_COOKIE,
    length, answer)
  if done ~= OK then
    ngx.log(ngx.ERR, "tokenpin: cannot finish: ", library.name(C.TOKENPIN_ENUM_STATUS, done))
    return terms.gateway.metrics:count("errors")
  end
  if answer[0] == C.TOKENPIN_ANSWER_NOTHING then return end
  local header = "Set-Cookie"
  if answer[0] == C.TOKENPIN_ANSWER_SET_COOKIE then
    append(header, ffi.string(line, length[0]))
  else
    header = terms.settings.carrier_header
    ngx.header[header] = ffi.string(line, length[0])
  end
  if terms.settings.cache_control then append("Cache-Control", ('no-cache="%s"'):format(header)) end
  terms.gateway.metrics:count("cookies_set")
end

return _M
