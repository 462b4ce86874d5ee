-- The ids of a response.

local content = require "resty.tokenpin.content"
local headers = require "resty.tokenpin.headers"
local response = require "resty.tokenpin.response"

local _M = {}

-- Headers that are of the bytes of a body.
local OF_THE_BYTES = { "content-length", "accept-ranges", "etag", unpack(headers.DIGESTS) }

local function seal_locations(ids, slot)
  for i = 1, #headers.LOCATIONS do
    local name = headers.LOCATIONS[i]
    local target = ngx.header[name]
    local sealed = type(target) == "string" and ids:seal_target(target, slot)
    if sealed then ngx.header[name] = sealed end
  end
end

-- Takes off the headers that are not true of the body any more.
local function drop_headers_of_the_bytes()
  for i = 1, #OF_THE_BYTES do
    local name = OF_THE_BYTES[i]
    local value = ngx.header[name]
    local is_weak = type(value) == "string" and value:sub(1, 2) == "W/"
    if value ~= nil and not is_weak then ngx.header[name] = nil end
  end
end

-- A response begins to go to the client.
function _M.begin(exchange)
  local ids, terms = exchange.ids, exchange.terms
  if not ids or ids.is_done or not response.is_from_upstream() then return end
  ids.upstream = ngx.var.tokenpin_upstream or ""
  local kind = content.kind(ngx.header["Content-Type"])
  local seals = ids:seals_body(ngx.status, kind)
  if seals and content.is_encoded(response.field("content-encoding")) then
    terms.gateway.metrics:count("bodies_not_sealed")
    seals = false
  end
  if seals and not ids.is_head then ids:begin_sealing(kind) end
  if terms.observes then return end
  seal_locations(ids, exchange.decision.slot)
  -- Those of a response without a body are true.
  if seals and ngx.header["Content-Length"] ~= "0" then drop_headers_of_the_bytes() end
end

-- A part of the body, in body_filter_by_lua*.
function _M.seal(exchange)
  local ids = exchange.ids
  if not ids or not ids.is_sealing then return end
  local sealed = ids:seal(ngx.arg[1], ngx.arg[2], exchange.decision.slot)
  if sealed and not exchange.terms.observes then ngx.arg[1] = sealed end
end

return _M
