-- One request and its response: what is kept of it from the decision to the log.

local ffi = require "ffi"
local library = require "resty.tokenpin.library"
local refusal = require "resty.tokenpin.refusal"

local SLOT_NONE = library.SLOT_NONE

local _M = {}

-- A redirect within nginx (error_page, X-Accel-Redirect) empties ngx.ctx and keeps variables, so
-- $tokenpin holds the exchange's number. An exchange that has ended is used again: then a request
-- makes no table and no structure.
local by_number, free, count = setmetatable({}, { __mode = "v" }), {}, 0
local has_variable = true

local function write_number(number)
  ngx.var.tokenpin = number
end

local function make()
  count = count + 1
  return { number = tostring(count), tried = {}, decision = ffi.new("struct tokenpin_decision") }
end

-- The exchange of a request that is decided now, with nothing in it yet.
function _M.begin(terms)
  local exchange = table.remove(free) or make()
  exchange.terms, exchange.scope, exchange.tries, exchange.decision.slot = terms, "", 0, SLOT_NONE
  exchange.carried, exchange.carrier_value, exchange.ids, exchange.opens_target = false, nil, nil, false
  exchange.held, exchange.cookie_name, exchange.serving, exchange.may_follow = 0, nil, false, false
  ngx.ctx.tokenpin = exchange
  if not has_variable or ngx.is_subrequest then return exchange end
  by_number[exchange.number] = exchange
  has_variable = pcall(write_number, exchange.number)
  if not has_variable then
    ngx.log(ngx.WARN, "tokenpin: no log_format has $tokenpin: what is redirected within nginx is forgotten")
  end
  return exchange
end

-- The exchange of the request at hand; nil before it is decided.
function _M.recall()
  local context = ngx.ctx
  local exchange = context.tokenpin
  if exchange or not has_variable or ngx.is_subrequest then return exchange end
  exchange = by_number[ngx.var.tokenpin or ""]
  context.tokenpin = exchange
  return exchange
end

-- Returns whether the request at hand is a subrequest of one that is decided. It shares that one's
-- headers, and so its credentials.
function _M.is_part_of_another()
  return has_variable and ngx.is_subrequest and by_number[ngx.var.tokenpin or ""] ~= nil
end

-- The decision in words, for logs and headers.
function _M.describe(exchange)
  local parts = {}
  for _, each in ipairs(library.DECISION) do
    table.insert(parts, each.field .. "=" .. each.names[exchange.decision[each.field]])
  end
  local slot = exchange.decision.slot
  if slot ~= SLOT_NONE then table.insert(parts, ("slot=%.0f"):format(slot)) end
  return table.concat(parts, ", ")
end

-- Tells the access log of the decision, if the configuration says so.
function _M.tell(exchange)
  local settings = exchange.terms.settings
  if not settings.metadata or not has_variable or ngx.is_subrequest then return end
  local slot = exchange.decision.slot
  local token = slot ~= SLOT_NONE and settings.tokens[slot]
  ngx.var.tokenpin = _M.describe(exchange) .. (token and ", token=" .. token.name or "")
end

-- Counts a body of `size` bytes among those that the worker waits for; 0 when it is read, or never
-- will be.
function _M.hold(exchange, size)
  local gateway = exchange.terms.gateway
  gateway.held = gateway.held + size - exchange.held
  exchange.held = size
end

-- Lets the request be as if no token served it.
function _M.forget(exchange)
  if exchange.ids then exchange.ids:let_go() end
  exchange.ids, exchange.terms = nil, nil
end

-- Answers the request, and does not return.
function _M.refuse(exchange, with, headers)
  _M.forget(exchange)
  return refusal.send(with, headers)
end

-- The request has ended. Another one gets what it used.
function _M.finish(exchange)
  if exchange.terms and exchange.held ~= 0 then _M.hold(exchange, 0) end
  _M.forget(exchange)
  -- No secret of the client's is kept for longer.
  ngx.ctx.tokenpin, by_number[exchange.number], exchange.headers = nil, nil, nil
  table.insert(free, exchange)
end

return _M
