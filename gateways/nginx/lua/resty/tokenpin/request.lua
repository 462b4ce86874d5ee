-- A request: its values, and the changes to it.

local ffi = require "ffi"
local entropy = require "resty.tokenpin.entropy"
local library = require "resty.tokenpin.library"

local C = library.C
local OK = C.TOKENPIN_STATUS_OK
local MAX_SCOPE = tonumber(C.TOKENPIN_MAX_SCOPE)

local _M = {}

-- Of this worker. `reader` is the exchange whose request it holds.
local request, reader = ffi.new("struct tokenpin_request"), nil
local tried = ffi.new("uint32_t[4]")
local id_hint = ffi.new("uint8_t[16]")
local length = ffi.new("size_t[1]")
local name_buffer = ffi.new("char[?]", C.TOKENPIN_MAX_COOKIE_NAME)
local strip_buffer, strip_room = ffi.new("char[?]", 4096), 4096

-- Arrays of `tokenpin_bytes`, which grow. What they point to is kept from the collector by the
-- lists.
local function list_of()
  return { array = ffi.new("struct tokenpin_bytes[?]", 16), room = 16, count = 0 }
end
local consumers, sessions, cookies, values = list_of(), list_of(), list_of(), list_of()

local function add(list, value)
  local count = list.count + 1
  list[count], list.count = value, count
end

local function array(list)
  if list.count > list.room then
    while list.room < list.count do list.room = 2 * list.room end
    list.array = ffi.new("struct tokenpin_bytes[?]", list.room)
  end
  local to = list.array
  for i = 1, list.count do
    to[i - 1].ptr, to[i - 1].len = list[i], #list[i]
  end
  return to, list.count
end

local TAB = 9

local function trim(text)
  return text:match("^[ \t]*(.-)[ \t]*$")
end

-- One value for copies of it that were joined by commas, with empty ones or without. Else the value
-- as it is. nginx leaves tabs around it.
local function unjoined(value)
  if value:byte(1) == TAB or value:byte(-1) == TAB then value = trim(value) end
  if not value:find(",", 1, true) then return value end
  local one = ""
  for part in value:gmatch("[^,]+") do
    part = trim(part)
    if one == "" then one = part end
    if part ~= "" and part ~= one then return value end
  end
  return one
end

-- Reads all values of a header. Copies of one count as one, and empty ones not at all, except for
-- cookies.
local function read_header(headers, name, list, is_raw)
  list.count = 0
  local value = rawget(headers, name)
  if value == nil then return list end
  if type(value) == "table" then
    for i = 1, #value do
      local each = is_raw and value[i] or unjoined(value[i])
      if is_raw or each ~= "" then add(list, each) end
    end
  else
    value = is_raw and value or unjoined(value)
    if is_raw or value ~= "" then add(list, value) end
  end
  return list
end

-- Returns whether the request is of HTTP/0.9. Only that, and HTTP/1.0, may come without `Host`.
function _M.has_no_version(exchange)
  return rawget(exchange.headers, "host") == nil and (ngx.req.http_version() or 1) < 1
end

-- The first value of a header, nil for none.
function _M.first(exchange, name)
  local value = rawget(exchange.headers, name)
  return type(value) == "table" and value[1] or value
end

local function read_source(exchange, source, list)
  list.count = 0
  if source then read_header(exchange.headers, source.header, list) end
  return list
end

-- Returns whether all are copies of one value; false for none. Of several values none is known to
-- be the right one.
local function are_one(list)
  for i = 2, list.count do
    if list[i] ~= list[1] then return false end
  end
  return list.count > 0
end

-- Returns false if the tenant is ambiguous.
local function read_scope(exchange, terms)
  exchange.scope = terms.overlay.scope or ""
  local tenant = terms.settings.tenant
  if not tenant then return true end
  read_source(exchange, tenant, values)
  if values.count == 0 then return true end
  if not are_one(values) then return false end
  -- No configured scope has a zero byte, so scope and tenant cannot run into each other.
  exchange.scope = (terms.scope or "") .. "\0" .. values[1]
  return #exchange.scope <= MAX_SCOPE
end

local function reads_true(exchange, source)
  if not source then return false end
  read_source(exchange, source, values)
  if source.present then return values.count ~= 0 end
  for i = 1, values.count do
    if values[i] == "true" or values[i] == "1" then return true end
  end
  return false
end

-- False without a hint, with several, or with one that is too long.
local function read_id_hint(exchange, terms)
  local source = terms.settings.id_hint
  if not source then return false end
  local of
  if source.connection then
    of = terms.gateway.connection_seed .. ngx.var.connection
  else
    read_source(exchange, source, values)
    of = are_one(values) and values[1]
  end
  return of and C.tokenpin_affinity_id_hint(terms.gateway.affinity, of, #of, id_hint) == OK
end

-- Reads the parts of a request that do not change while it lives.
function _M.of_client(exchange)
  local headers = ngx.req.get_headers(0)
  local upgrade = rawget(headers, "upgrade")
  -- Over HTTP/1.1 it is a GET that creates; the library knows it by the method of HTTP/2.
  local method = ngx.req.get_method()
  local protocol = type(upgrade) == "string" and upgrade:lower()
  local is_handshake, is_h2c = method == "GET" and protocol == "websocket", protocol == "h2c"
  exchange.headers, exchange.is_handshake, exchange.is_h2c = headers, is_handshake, is_h2c
  exchange.has_upgrade = upgrade ~= nil and not is_h2c
  exchange.method, exchange.target = is_handshake and "CONNECT" or method, ngx.var.request_uri
end

-- Puts all that counts into the library's request, and returns it; nil if the tenant is ambiguous.
-- Its strings are those of the exchange and of the lists above.
function _M.read(exchange, terms)
  reader = exchange
  if not read_scope(exchange, terms) then return nil end
  local settings = terms.settings
  request.scope.ptr, request.scope.len = exchange.scope, #exchange.scope
  request.method.ptr, request.method.len = exchange.method, #exchange.method
  request.target.ptr, request.target.len = exchange.target, #exchange.target
  request.has_group = terms.group and 1 or 0
  request.group = terms.group or 0
  request.existing = reads_true(exchange, terms.existing) and 1 or 0
  request.ids = nil

  read_source(exchange, settings.consumer, consumers)
  request.consumers, request.consumer_count = array(consumers)
  request.consumer_trusted = 1
  sessions.count = 0
  for i = 1, #settings.session do
    if read_source(exchange, settings.session[i], sessions).count ~= 0 then break end
  end
  request.sessions, request.session_count = array(sessions)
  request.cookies, request.cookie_count = array(read_header(exchange.headers, "cookie", cookies, true))

  request.carrier, request.carrier_value.ptr, request.carrier_value.len = 0, nil, 0
  local carrier = settings.carrier_header
  if carrier and rawget(exchange.headers, carrier) ~= nil then
    exchange.carried = true
    request.carrier = 1
    read_header(exchange.headers, carrier, values)
    if are_one(values) then
      exchange.carrier_value = values[1]
      request.carrier_value.ptr, request.carrier_value.len = exchange.carrier_value, #exchange.carrier_value
    end
  end

  request.id_hint = read_id_hint(exchange, terms) and id_hint or nil
  return request
end

-- Decides what `read` has read, into `decision`. Returns the library's status. While the request
-- waited for its body, `read` may have read another.
function _M.decide(exchange, terms, decision)
  if reader ~= exchange and not _M.read(exchange, terms) then return C.TOKENPIN_STATUS_SCOPE_LENGTH end
  request.now = ngx.time()
  terms.gateway.fleet:follow(request.now)
  for i = 1, exchange.tries do tried[i - 1] = exchange.tried[i] end
  request.tried, request.tried_count = tried, exchange.tries
  request.ids = exchange.ids and exchange.ids.summary or nil
  entropy.fill(request.entropy, 16)
  return C.tokenpin_affinity_decide(terms.gateway.affinity, request, decision)
end

-- The name of the affinity cookie of a scope; an empty one is the configured one.
function _M.cookie_name(affinity, scope)
  C.tokenpin_affinity_cookie_name(affinity, scope, #scope, name_buffer, C.TOKENPIN_MAX_COOKIE_NAME, length)
  return ffi.string(name_buffer, length[0])
end

local function stripped(field, name)
  if strip_room < #field then
    while strip_room < #field do strip_room = 2 * strip_room end
    strip_buffer = ffi.new("char[?]", strip_room)
  end
  local status = C.tokenpin_cookie_strip(field, #field, name, #name, strip_buffer, strip_room, length)
  -- Cannot fail; and if it did, a cookie that may be ours must not pass.
  if status ~= OK then return "" end
  return length[0] == #field and field or ffi.string(strip_buffer, length[0])
end

-- Fields are only touched if our cookie is in one of them.
function _M.strip_cookies(exchange, terms, name)
  local headers = exchange.headers
  local given = rawget(headers, "cookie")
  if type(given) == "string" then
    local left = stripped(given, name)
    if left == "" and given ~= "" then
      ngx.req.clear_header("Cookie")
    elseif left ~= given then
      ngx.req.set_header("Cookie", left)
    end
  elseif given then
    local kept, is_changed = {}, false
    for i = 1, #given do
      local left = stripped(given[i], name)
      is_changed = is_changed or left ~= given[i]
      if left ~= "" then table.insert(kept, left) end
    end
    if is_changed and #kept == 0 then
      ngx.req.clear_header("Cookie")
    elseif is_changed then
      ngx.req.set_header("Cookie", kept)
    end
  end
  if exchange.carried then ngx.req.clear_header(terms.settings.carrier_header) end
end

function _M.put_credentials(credentials)
  for i = 1, #credentials do
    local credential = credentials[i]
    if credential.value then
      ngx.req.set_header(credential.name, credential.value)
    else
      ngx.req.clear_header(credential.name)
    end
  end
end

-- Only a cookie names the account that a session was with.
function _M.drop_when_moved(names, decision)
  local outcome = decision.outcome
  if outcome ~= C.TOKENPIN_OUTCOME_REPINNED and outcome ~= C.TOKENPIN_OUTCOME_FALLBACK then return end
  for i = 1, #names do ngx.req.clear_header(names[i]) end
end

-- Makes a target, as it is on the wire, the one that nginx sends. nginx escapes the path again.
function _M.set_target(target)
  local path, query = target:match("^([^?]*)%??(.*)$")
  path = path:gsub("%%(%x%x)", function(digits) return string.char(tonumber(digits, 16)) end)
  ngx.req.set_uri(path, false, true)
  ngx.req.set_uri_args(query)
end

return _M
