-- The gateway's own answers: docs/guides/embedding.md, "Refusals".

local ffi = require "ffi"
local json = require "resty.tokenpin.json"
local library = require "resty.tokenpin.library"

local C = library.C

local _M = {}

local INVALID = "invalid_request_error"

local function of_gateway(status, code, message)
  return { status = status, code = code, message = message, type = "gateway_error" }
end

local function of_request(status, code, message, headers)
  return { status = status, code = code, message = message, type = INVALID, headers = headers }
end

_M.bad_tenant = of_gateway(400, "bad_tenant", "The tenant cannot be determined.")
_M.error = of_gateway(500, "affinity_error", "The gateway cannot choose an account.")
_M.too_large = of_request(413, "request_too_large", "The request's body is too large.")
_M.too_many = of_gateway(503, "too_many_bodies", "The gateway holds too many requests.")
_M.too_many.retry_after = 1
_M.unreadable = of_request(400, "unreadable_body", "The request's body cannot be read.")
_M.wrong_type = of_request(415, "unsupported_content_type", "The request's body has to be JSON.")
_M.wrong_encoding = of_request(415, "unsupported_content_encoding", "The request's body must not be encoded.",
  { ["Accept-Encoding"] = "identity" })
_M.wrong_protocol = of_request(426, "websocket_not_supported", "This is not served over a WebSocket.",
  { Upgrade = "HTTP/1.1", Connection = "upgrade" })
-- The next bytes on the connection may be no request.
_M.wrong_protocol.closes = true

local status, number = ffi.new("uint16_t[1]"), ffi.new("uint8_t[1]")
local name = ffi.new("struct tokenpin_bytes")

-- A refusal names the keys of ids, and is the same whether an account exists or not.
local function key(affinity, decision, which)
  if C.tokenpin_affinity_id_key(affinity, decision.id_keys[which], name) ~= C.TOKENPIN_STATUS_OK then return "" end
  return ffi.string(name.ptr, name.len)
end

-- Of a decision without a slot, and of the report of its ids, if there are any.
function _M.of(decision, affinity, report)
  local length = report and report.quoted_len or 0
  local quoted = length ~= 0 and " '" .. ffi.string(report.quoted, length) .. "'" or ""
  C.tokenpin_decision_refusal(decision, status, number)
  local refusal = {
    status = status[0], code = library.name(C.TOKENPIN_ENUM_REFUSAL, number[0]),
    type = status[0] < 500 and INVALID or "gateway_error", retry_after = decision.retry_after,
    message = "No account is available.",
  }
  if number[0] == C.TOKENPIN_REFUSAL_BAD_AFFINITY_KEY then
    refusal.message = "The session's key cannot be used."
  elseif number[0] == C.TOKENPIN_REFUSAL_SESSION_UNAVAILABLE then
    refusal.message = "The session's account is unavailable."
  elseif number[0] == C.TOKENPIN_REFUSAL_PREVIOUS_RESPONSE_NOT_FOUND then
    refusal.param = key(affinity, decision, 0)
    refusal.message = "The previous response" .. quoted .. " was not found."
  elseif number[0] == C.TOKENPIN_REFUSAL_INVALID_ENCRYPTED_CONTENT then
    refusal.message = "The encrypted content could not be verified."
  elseif number[0] == C.TOKENPIN_REFUSAL_NOT_FOUND then
    refusal.param = key(affinity, decision, 0)
    refusal.message = "The object" .. quoted .. " named by '" .. refusal.param .. "' was not found."
  elseif number[0] == C.TOKENPIN_REFUSAL_CONFLICTING_ACCOUNTS then
    refusal.param = key(affinity, decision, 1)
    refusal.message = "The objects named by '" .. key(affinity, decision, 0) .. "' and '" .. refusal.param
      .. "' cannot be used together: they were created apart."
  elseif number[0] == C.TOKENPIN_REFUSAL_UNREADABLE_BODY then
    return _M.unreadable
  end
  return refusal
end

local function anthropic_type(of)
  if of == 404 then return "not_found_error" end
  if of == 413 then return "request_too_large" end
  return of < 500 and INVALID or "api_error"
end

-- Only clients of Anthropic say which version of its API they mean.
local function body_of(refusal)
  local message = json.escape(refusal.message)
  if ngx.var.http_anthropic_version then
    return ('{"type":"error","error":{"type":"%s","message":"%s"}}'):format(anthropic_type(refusal.status), message)
  end
  local param = refusal.param and '"' .. json.escape(refusal.param) .. '"' or "null"
  return '{"error":{"message":"' .. message .. '","type":"' .. refusal.type .. '","param":' .. param .. ',"code":"'
    .. refusal.code .. '"}}'
end

-- Answers the request, and does not return.
function _M.send(refusal, headers)
  local body = body_of(refusal)
  -- The bytes that the client still sends are no request.
  ngx.req.discard_body()
  ngx.status = refusal.status
  local out = ngx.header
  out["Content-Type"] = "application/json"
  out["Content-Length"] = #body
  if refusal.retry_after and refusal.retry_after ~= 0 then out["Retry-After"] = refusal.retry_after end
  for each, value in pairs(refusal.headers or {}) do out[each] = value end
  for each, value in pairs(headers or {}) do out[each] = value end
  ngx.print(body)
  if not refusal.closes then return ngx.exit(refusal.status) end
  ngx.flush(true)
  return ngx.exit(ngx.HTTP_CLOSE)
end

return _M
