-- Secrets from files and the environment. No message tells one.

local ffi = require "ffi"
local library = require "resty.tokenpin.library"

local fail = library.fail

-- Of the kernel's `struct statx`, which is the same on all machines.
ffi.cdef [[
struct tokenpin_statx {
  uint32_t mask, block_size;
  uint64_t attributes;
  uint32_t links, uid, gid;
  uint16_t mode, spare;
  uint64_t inode, size, blocks, attributes_mask;
  struct { int64_t seconds; uint32_t nanoseconds; int32_t reserved; } accessed, born, changed, modified;
  uint32_t rdev_major, rdev_minor, device_major, device_minor;
  uint64_t rest[14];
};
int tokenpin_statx(int folder, const char *path, int flags, unsigned int mask, struct tokenpin_statx *found)
  __asm__("statx");
]]

local AT_FDCWD, BASIC_STATS = -100, 0x7ff
local MAX_SECRET = 65536

-- MAX_FILE is for files other than those of secrets.
local _M = { MAX_FILE = 16 * 1024 * 1024 }

local found = ffi.new("struct tokenpin_statx")

-- A text that changes when the file does; nil if it is not there.
function _M.version_of(path)
  if ffi.C.tokenpin_statx(AT_FDCWD, path, 0, BASIC_STATS, found) ~= 0 then return nil end
  local changed, modified = found.changed, found.modified
  return table.concat({
    tostring(found.inode), tostring(found.size), found.device_major, found.device_minor,
    tostring(changed.seconds), changed.nanoseconds, tostring(modified.seconds), modified.nanoseconds,
  }, " ")
end

-- The contents of a file of at most `limit` bytes, else nil.
function _M.read_file(path, limit)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read(limit + 1)
  -- At the end of an empty file there is nothing to read; of a folder there is neither.
  if not text and file:read(0) == nil and file:seek("end") == 0 then text = "" end
  file:close()
  if text and #text <= limit then return text end
end

-- Editors and `echo` end a file with a line end.
local function without_line_end(text)
  return (text:gsub("\r?\n$", ""))
end

function _M.read_secret_file(path)
  local text = _M.read_file(path, MAX_SECRET)
  return text and without_line_end(text)
end

-- The secret that `file` or `env` names; nil without both.
function _M.read_secret(fields)
  local file, env = fields:find("file"), fields:find("env")
  if file ~= nil and env ~= nil then fail(fields.path, "has both file and env") end
  if file ~= nil then
    return _M.read_secret_file(fields:string("file")) or fail(fields:at("file"), "the file cannot be read")
  elseif env ~= nil then
    local value = os.getenv(fields:string("env"))
    return without_line_end(value or fail(fields:at("env"), "the environment variable is not set"))
  end
end

-- Puts a key at `to`.
function _M.read_key(fields, to)
  local hex = _M.read_secret(fields)
  if not hex then fail(fields.path, "needs file or env") end
  fields:refuse_others()
  if #hex ~= 32 or hex:find("%X") then fail(fields.path, "the key is not 32 hexadecimal digits") end
  for i = 0, 15 do
    to[i] = tonumber(hex:sub(2 * i + 1, 2 * i + 2), 16)
  end
end

return _M
