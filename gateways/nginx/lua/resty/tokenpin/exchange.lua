-- One request and its response: what is kept of it from the decision to the log.

local ffi = require "ffi"
local get_request = require("resty.core.base").get_request
local library = require "resty.tokenpin.library"
local refusal = require "resty.tokenpin.refusal"

local C, SLOT_NONE = library.C, library.SLOT_NONE

local _M = {}

-- A redirect within nginx (error_page, X-Accel-Redirect) empties ngx.ctx and keeps variables, so
-- $tokenpin holds the exchange's number: one for each request, none for a subrequest. An exchange
-- that has ended is used again: then a request makes no table and no structure.
local by_number, free, count = setmetatable({}, { __mode = "v" }), {}, 0
local has_variable = true

local function write_number(number)
  ngx.var.tokenpin = number
end

local function clear(decision)
  ffi.fill(decision, ffi.sizeof(decision))
  decision.slot, decision.outcome = SLOT_NONE, C.TOKENPIN_OUTCOME_NONE
end

-- Takes out everything that a request has left.
local function empty(exchange)
  clear(exchange.decision)
  if exchange.next then clear(exchange.next) end
  exchange.request, exchange.number, exchange.terms, exchange.ids = nil, nil, nil, nil
  exchange.headers, exchange.method, exchange.target, exchange.scope = nil, nil, nil, ""
  exchange.carried, exchange.carrier_value, exchange.cookie_name = nil, nil, nil
  exchange.tries, exchange.held = 0, 0
  exchange.opens_target, exchange.serving, exchange.may_follow = false, false, false
  return exchange
end

local function make()
  return empty { tried = {}, decision = ffi.new("struct tokenpin_decision") }
end

-- The exchange of a request that is decided now, with nothing in it yet.
function _M.begin(terms)
  local exchange = table.remove(free) or make()
  exchange.terms, exchange.request = terms, get_request()
  ngx.ctx.tokenpin = exchange
  if ngx.is_subrequest then return exchange end
  count = count + 1
  exchange.number = tostring(count)
  if not has_variable then return exchange end
  by_number[exchange.number] = exchange
  has_variable = pcall(write_number, exchange.number)
  if not has_variable then
    ngx.log(ngx.WARN, "tokenpin: no log_format has $tokenpin: what is redirected within nginx is forgotten")
  end
  return exchange
end

-- The exchange in `context`, if it is that of the request at hand. A subrequest may share the ctx
-- of its parent.
local function own(context)
  local exchange = context.tokenpin
  return exchange and exchange.request == get_request() and exchange or nil
end
_M.own = own

-- The exchange of the request at hand; nil before it is decided.
function _M.recall()
  local context = ngx.ctx
  local exchange = own(context)
  if exchange or not has_variable or ngx.is_subrequest then return exchange end
  exchange = by_number[ngx.var.tokenpin or ""]
  context.tokenpin = exchange
  return exchange
end

-- Returns whether the request at hand is a subrequest of one that is decided. It shares that one's
-- headers, and so its credentials.
function _M.is_part_of_another()
  if not ngx.is_subrequest then return false end
  local shared = ngx.ctx.tokenpin
  return shared ~= nil and shared.number ~= nil or has_variable and by_number[ngx.var.tokenpin or ""] ~= nil
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

-- The request has ended. Another one gets what it used, but no secret of its client's.
function _M.finish(exchange)
  if exchange.request == nil then return end
  if exchange.terms and exchange.held ~= 0 then _M.hold(exchange, 0) end
  _M.forget(exchange)
  ngx.ctx.tokenpin = nil
  if exchange.number then by_number[exchange.number] = nil end
  table.insert(free, empty(exchange))
end

return _M
