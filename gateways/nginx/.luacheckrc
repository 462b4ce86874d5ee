-- What the module may use beside Lua: nginx's own names, and LuaJIT's.
std = "ngx_lua"
max_line_length = 122
files["**/sentences.lua"].max_line_length = false
