-- Random bytes of the kernel's, drawn in blocks.

local ffi = require "ffi"

ffi.cdef "ssize_t getrandom(void *buffer, size_t length, unsigned int flags);"

local BLOCK = 4096

local _M = {}

local block = ffi.new("uint8_t[?]", BLOCK)
local left = 0

-- Puts `length` fresh bytes at `to`, or zeros if there are none, which the library refuses where it
-- matters.
function _M.fill(to, length)
  if left < length then
    left = 0
    if ffi.C.getrandom(block, BLOCK, 0) ~= BLOCK then
      ffi.fill(to, length)
      return
    end
    left = BLOCK
  end
  left = left - length
  ffi.copy(to, block + left, length)
  -- No one draws them again.
  ffi.fill(block + left, length)
end

-- A worker has no bytes of the process that it was forked from.
function _M.forget()
  left = 0
end

return _M
