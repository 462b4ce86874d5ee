# The Lua module for nginx and OpenResty.

TESTS += nginx
CHECKS += nginx-e2e
# make test installs: Debian's nginx with Lua, and luacheck, by apt-get, for nginx and lint

NGINX := gateways/nginx
NGINX_OUT := $(BUILD)/nginx
# -B: no compiled files among the sources. build/nginx keeps the files of every nginx of a run.
NGINX_TESTS := $(VENV)/bin/python -B -m pytest --quiet --build-dir $(BUILD) -c $(NGINX)/tests/pytest.ini
NGINX_AS_ENVOY := gateways/envoy/tests/e2e

.PHONY: nginx-ready
nginx-ready: lib $(VENV_READY)
	checks/need.sh /usr/sbin/nginx nginx 'the module runs in it'
	checks/need.sh /usr/lib/nginx/modules/ngx_http_lua_module.so libnginx-mod-http-lua 'the module runs in it'

.PHONY: nginx-judge
nginx-judge: lib
	checks/need.sh luajit luajit2 'it runs the parser of configurations'

.PHONY: nginx
nginx: nginx-ready ## the module for nginx: its own tests, and the most valuable of the Envoy filter's
	$(NGINX_TESTS) $(NGINX)/tests -m 'not slow'
	$(NGINX_TESTS) $(NGINX_AS_ENVOY) -m quick

.PHONY: nginx-e2e
nginx-e2e: nginx-ready ## all end-to-end tests of the Envoy filter in nginx, and its own interpreted too
	$(NGINX_TESTS) $(NGINX)/tests -m slow
	$(NGINX_TESTS) $(NGINX_AS_ENVOY)
	$(NGINX_TESTS) $(NGINX_AS_ENVOY) -m smoke --no-jit
	$(NGINX_TESTS) $(NGINX)/tests --no-jit

.PHONY: bench-nginx
bench-nginx: nginx-ready ## the price of the module in a real nginx, also into its page; QUICK=1 for a minute
	checks/need.sh wrk wrk 'it makes the requests'
	$(VENV)/bin/python -B benches/nginx.py --build $(BUILD) --folder $(BENCH)/nginx \
	  $(if $(QUICK),--runs 2 --seconds 2,--document gateways/nginx/README.md)
