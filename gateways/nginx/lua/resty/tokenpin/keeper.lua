-- The files that change while nginx runs: those of states, and those of secrets. All workers look
-- at them, and one reports.

local library = require "resty.tokenpin.library"
local secrets = require "resty.tokenpin.secrets"
local tokens = require "resty.tokenpin.tokens"

local fail = library.fail

local _M = {}

local function read_states(gateway)
  local settings = gateway.settings
  local text = secrets.read_file(settings.state_file, secrets.MAX_FILE) or fail("", "cannot be read")
  return tokens.parse_states(text, settings)
end

-- Reads the state file for the first time: a bad one refuses the configuration.
function _M.begin(gateway)
  local settings = gateway.settings
  if not settings.state_file then return end
  gateway.state_version = secrets.version_of(settings.state_file)
  if not gateway.state_version then
    ngx.log(ngx.WARN, "tokenpin: the state file is not there, states are as configured: ", settings.state_file)
    return
  end
  local ok, declared, unknown = pcall(read_states, gateway)
  if not ok and not library.is_problem(declared) then error(declared, 0) end
  if not ok then fail("state_file", tostring(declared)) end
  for _, name in ipairs(unknown) do
    ngx.log(ngx.WARN, "tokenpin: no such token: ", name, " in ", settings.state_file)
  end
  gateway.fleet.declared = declared
end

local function tell(gateway, level, counter, text)
  if ngx.worker.id() ~= 0 then return end
  ngx.log(level, "tokenpin: ", text)
  if counter then gateway.metrics:count(counter) end
end

-- A bad state file changes nothing.
local function check_state_file(gateway)
  local path = gateway.settings.state_file
  if not path then return end
  -- Taken before the file is read, so that a write in between is seen the next time.
  local version = secrets.version_of(path)
  if version == gateway.state_version then return end
  gateway.state_version = version
  if not version then
    return tell(gateway, ngx.WARN, nil, "the state file is gone, states stay as they are: " .. path)
  end
  local ok, declared, unknown = pcall(read_states, gateway)
  if not ok then
    return tell(gateway, ngx.ERR, "state_file_refused",
      ("state file refused, states stay as they are: %s: %s"):format(path, tostring(declared)))
  end
  gateway.fleet:declare(declared, ngx.time())
  tell(gateway, ngx.NOTICE, "state_file_applied", "state file applied: " .. path)
  if #unknown ~= 0 then
    tell(gateway, ngx.WARN, "state_file_unknown", ("no such token: %s in %s"):format(table.concat(unknown, ", "), path))
  end
end

-- The values of a token's credentials as their files have them, and whether one is new. Or nil, the
-- credential that is wrong, and the reason.
local function read_values(credentials)
  local values, is_changed = {}, false
  for i, credential in ipairs(credentials) do
    values[i] = credential.value
    if credential.file then
      local secret = secrets.read_secret_file(credential.file)
      if not secret then return nil, credential, "the file cannot be read" end
      local value, wrong = tokens.header_value(credential.prefix, secret)
      if wrong then return nil, credential, wrong end
      is_changed = is_changed or value ~= credential.value
      values[i] = value
    end
  end
  return values, is_changed
end

-- Takes all secrets of a token together, so that no old one stands beside a new one.
local function check_secrets(gateway, token)
  local versions = {}
  for _, credential in ipairs(token.credentials) do
    if credential.file then table.insert(versions, secrets.version_of(credential.file) or "none") end
  end
  local version = table.concat(versions, ",")
  if version == "" or version == token.version then return end
  token.version = version
  local values, is_changed, wrong = read_values(token.credentials)
  if not values then
    return tell(gateway, ngx.ERR, "secrets_refused",
      ("secrets refused, those of token %s stay as they are: %s: %s"):format(token.name, is_changed.name, wrong))
  end
  if not is_changed then return end
  for i, credential in ipairs(token.credentials) do credential.value = values[i] end
  tell(gateway, ngx.NOTICE, "secrets_applied", "secrets applied: token " .. token.name)
end

-- Takes over what has changed in the files of a gateway.
function _M.look(gateway)
  check_state_file(gateway)
  for _, token in pairs(gateway.settings.tokens) do check_secrets(gateway, token) end
end

return _M
