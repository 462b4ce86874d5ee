-- The next token after a refusal, where nginx tries again (proxy_next_upstream).

local ffi = require "ffi"
local library = require "resty.tokenpin.library"
local request = require "resty.tokenpin.request"
local response = require "resty.tokenpin.response"

local OK = library.C.TOKENPIN_STATUS_OK

local _M = {}

-- Decides for the time after a refusal, before there is one. Returns whether another token may
-- follow this one.
local function prepare_next(exchange)
  local terms = exchange.terms
  local retry = terms.settings.retry
  if not retry or exchange.tries >= retry.max or exchange.decision.may_move == 0 then return false end
  exchange.tries = exchange.tries + 1
  exchange.tried[exchange.tries] = exchange.decision.slot
  exchange.next = exchange.next or ffi.new("struct tokenpin_decision")
  local status = request.decide(exchange, terms, exchange.next)
  exchange.tries = exchange.tries - 1
  -- Without another token nothing may move: the answer that is there is better than none.
  return status == OK and exchange.next.may_move ~= 0
end

local function begin_next(exchange, balancer, status, count)
  local terms, decision = exchange.terms, exchange.decision
  response.cool_down(terms, decision.slot, status, response.field_of_upstream)
  exchange.tries = exchange.tries + 1
  exchange.decision, exchange.next = exchange.next, decision
  count(exchange)
  terms.gateway.metrics:count("retries")
  request.put_credentials(terms.settings.tokens[exchange.decision.slot].credentials)
  assert(balancer.recreate_request())
end

-- In balancer_by_lua*: takes the next token if this is not the first try. `count` counts a
-- decision.
function _M.balance(exchange, count)
  local balancer = require "ngx.balancer"
  local state, status = balancer.get_last_failure()
  if state then
    -- A connection that failed says nothing of the token.
    if not exchange.may_follow or not response.has_header() then return end
    if not exchange.terms.settings.retry.statuses[status] then return end
    begin_next(exchange, balancer, status, count)
  end
  exchange.may_follow = prepare_next(exchange)
  if exchange.may_follow then balancer.set_more_tries(1) end
end

return _M
