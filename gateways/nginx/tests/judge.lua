-- Reports for each configuration why the module refuses it, as `make schema` asks. On each line of
-- the input stand its kind (filter, route or states), a tab, and its JSON; on that of the output
-- the refusal, nothing if it is accepted.
--
--   luajit judge.lua FOLDER_OF_LIBTOKENPIN

package.path = "gateways/nginx/lua/?.lua;include/?.lua;" .. package.path
package.cpath = arg[1] .. "/lib?.so;" .. package.cpath

local build = require("resty.tokenpin.affinity").build
local json = require "resty.tokenpin.json"
local library = require "resty.tokenpin.library"
local settings_of = require "resty.tokenpin.settings"
local tokens = require "resty.tokenpin.tokens"

local KEY = { env = "SCHEMA_KEY_1" }

local function parse_filter(configuration)
  local settings = settings_of.parse(configuration)
  if settings then build(settings) end
end

local judges = { filter = parse_filter }

-- In nginx, a route with its own tokens is a gateway.
function judges.route(configuration)
  if type(configuration) == "table" and configuration.tokens ~= nil then return parse_filter(configuration) end
  settings_of.parse_overlay(configuration)
end

function judges.states(_, text)
  tokens.parse_states(text, settings_of.parse {
    placement_key = KEY, cookie_keys = { { id = 1, role = "sign", key = KEY } }, tokens = { { name = "a" } },
  })
end

for line in io.lines() do
  local kind, text = line:match("^(%l+)\t(.*)$")
  local ok, wrong = pcall(function() judges[kind](json.decode(text), text) end)
  if not ok and not library.is_problem(wrong) then error(wrong, 0) end
  print(ok and "" or tostring(wrong))
end
