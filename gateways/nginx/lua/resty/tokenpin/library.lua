-- The shared library, and the names of its enums.

local ffi = require "ffi"

local _M = {}

-- The declarations stand beside the Lua files, or where lua_package_path says. A worker without a
-- code cache comes here again.
if not pcall(ffi.typeof, "struct tokenpin_request") then
  local path = assert(package.searchpath("tokenpin", (package.path:gsub("%.lua", ".ffi"))),
    "tokenpin.ffi is not in lua_package_path")
  local file = assert(io.open(path))
  ffi.cdef(file:read("*a"))
  file:close()
end

local C = ffi.load(package.searchpath("tokenpin", package.cpath) or "tokenpin")
_M.C = C
assert(C.tokenpin_abi_version() == C.TOKENPIN_ABI_VERSION, "libtokenpin is of another version than tokenpin.ffi")

_M.SLOT_NONE = 4294967295

local out = ffi.new("struct tokenpin_bytes")

-- The name of an enum's value, nil for none.
function _M.name(which, value)
  if C.tokenpin_enum_name(which, value, out) ~= C.TOKENPIN_STATUS_OK then return nil end
  return ffi.string(out.ptr, out.len)
end

-- The names of an enum, by value from 0.
function _M.names(which)
  local names = {}
  for value = 0, 255 do
    names[value] = _M.name(which, value)
    if not names[value] then return names end
  end
end

-- The enums of a decision, in the order in which they are reported.
_M.DECISION = {}
for _, field in ipairs { "source", "outcome", "pin_state", "verdict", "id_verdict", "key_reason" } do
  local names = _M.names(C["TOKENPIN_ENUM_" .. field:upper()])
  table.insert(_M.DECISION, { field = field, names = names })
end

-- A mistake in a configuration, with its path.
local Problem = {}
Problem.__index = Problem
Problem.__tostring = function(problem)
  return (problem.path == "" and "" or problem.path .. ": ") .. problem.text
end

function _M.fail(path, text)
  error(setmetatable({ path = path, text = text }, Problem), 0)
end

function _M.is_problem(thrown)
  return getmetatable(thrown) == Problem
end

return _M
