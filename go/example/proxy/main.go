// Command proxy is a gateway in front of one provider with several accounts. Each session keeps its
// account, by its cookie or by the ids that it was given, which are sealed. An account that limits
// its rate or fails gets no new sessions for a while; and what no account has to do itself is sent
// to another one.
//
//	export PROXY_PLACEMENT_KEY=$(openssl rand -hex 16) PROXY_COOKIE_KEY=$(openssl rand -hex 16)
//	export PROXY_TOKENS="account-a=sk-1 account-b=sk-2"
//	go run . -upstream https://api.example.com -certificate cert.pem -key key.pem
//
// All replicas get the same keys, and the same accounts in the same order. An account's name
// outlives its token; "-" keeps a place free for one to come. Without a certificate, the proxy
// speaks plain HTTP and gives its cookie another name, because cookie jars send a __Host- cookie
// over HTTPS only.
package main

import (
	"encoding/hex"
	"flag"
	"fmt"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/tokenpin/tokenpin/go"
	"github.com/tokenpin/tokenpin/go/tokenpinhttp"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8443", "the address to listen on")
	upstream := flag.String("upstream", "", "the provider's base URL")
	certificate := flag.String("certificate", "", "the file with the TLS certificate")
	key := flag.String("key", "", "the file with its key")
	flag.Parse()
	handler, _, err := newProxy(*upstream, os.Getenv, *certificate != "")
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Addr: *listen, Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	if *certificate != "" {
		err = server.ListenAndServeTLS(*certificate, *key)
	} else {
		err = server.ListenAndServe()
	}
	log.Fatal(err)
}

func newProxy(upstream string, env func(string) string, secure bool) (http.Handler, *tokenpin.Affinity, error) {
	target, err := url.Parse(upstream)
	if err != nil || target.Host == "" {
		return nil, nil, fmt.Errorf("-upstream is no URL with a host")
	}
	config := tokenpin.DefaultConfig()
	config.IDs.Mode = tokenpin.ModeSeal // for clients that keep no cookies
	config.CookieKeys = make([]tokenpin.CookieKey, 1)
	if err := secret(&config.PlacementKey, env, "PROXY_PLACEMENT_KEY"); err != nil {
		return nil, nil, err
	}
	if err := secret(&config.CookieKeys[0].Secret, env, "PROXY_COOKIE_KEY"); err != nil {
		return nil, nil, err
	}
	if !secure {
		config.CookieName, config.Attributes.Secure = "tokenpin", false
	}
	var tokens []string
	for _, account := range strings.Fields(env("PROXY_TOKENS")) {
		identity, token, _ := strings.Cut(account, "=")
		slot := tokenpin.SlotConfig{Identity: identity, Status: tokenpin.Up}
		if identity == "-" {
			slot = tokenpin.SlotConfig{Status: tokenpin.SlotStatus{State: tokenpin.StateVacant}}
		}
		config.Slots, tokens = append(config.Slots, slot), append(tokens, token)
	}
	affinity, err := tokenpin.New(&config)
	if err != nil {
		return nil, nil, err
	}
	credentials := tokenpinhttp.Bearer(tokens...)
	pin := &tokenpinhttp.Pin{Affinity: affinity}
	return pin.Handler(&httputil.ReverseProxy{
		Rewrite:   tokenpinhttp.Rewrite(target, credentials),
		Transport: &transport{http.DefaultTransport, affinity, credentials},
	}), affinity, nil
}

// secret reads 32 hexadecimal digits from the environment. What is wrong with them is not repeated.
func secret(into *tokenpin.Secret, env func(string) string, name string) error {
	raw, err := hex.DecodeString(env(name))
	if err != nil || len(raw) != len(into) {
		return fmt.Errorf("%s is not %d hexadecimal digits", name, 2*len(into))
	}
	copy(into[:], raw)
	return nil
}
