// Command fromjson is a gateway with a configuration in the words of gateways/config.schema.json.
//
//	go run . config.json 127.0.0.1:8080 http://provider.example
//
// Keys and secrets are in the environment ("env"). It refuses the words for which the middleware
// has functions, or leaves to its host: files, sources that are no headers, cooldowns, retries,
// metadata.
package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"

	"github.com/tokenpin/tokenpin/go"
	"github.com/tokenpin/tokenpin/go/tokenpinhttp"
)

// word is the name of one of an enum's values.
type word[T interface {
	~uint8
	fmt.Stringer
}] struct {
	value T
	given bool
}

func (w *word[T]) UnmarshalJSON(text []byte) error {
	var name string
	if err := json.Unmarshal(text, &name); err != nil {
		return err
	}
	for number := range 32 {
		if T(number).String() == name {
			w.value, w.given = T(number), true
			return nil
		}
	}
	return fmt.Errorf("%q is none of its words", name)
}

// or gives the value, or the default where the field was left out.
func (w word[T]) or(value T) T {
	if w.given {
		return w.value
	}
	return value
}

type env struct{ Env string }

type ringKey struct {
	ID   uint8
	Role word[tokenpin.Role]
	Key  env
}

type source struct {
	Header  string
	Trusted bool
}

type words struct {
	PlacementKey env       `json:"placement_key"`
	CookieKeys   []ringKey `json:"cookie_keys"`
	Tokens       []struct {
		Name    string
		Slot    *int
		Weight  *uint32
		State   word[tokenpin.State]
		Until   int64
		Headers []struct {
			Name, Prefix, Value, Env string
			Remove                   bool
		}
	}
	Capacity int
	Scope    string
	Consumer source
	Session  []source
	Rules    []struct {
		Pattern string
		Group   word[tokenpin.Group]
		IDs     word[tokenpin.IDs] `json:"ids"`
	}
	ReplaceRules   bool `json:"replace_rules"`
	PromptCache    bool `json:"prompt_cache"`
	Strategy       word[tokenpin.Strategy]
	PolicyExisting word[tokenpin.Policy] `json:"policy_existing"`
	PolicyNew      word[tokenpin.Policy] `json:"policy_new"`
	CombineKeys    bool                  `json:"combine_keys"`
	RejectBadKeys  bool                  `json:"reject_bad_keys"`
	KeyedCookies   bool                  `json:"keyed_cookies"`
	MintSingle     bool                  `json:"mint_single"`
	Success        []uint16
	Cookie         struct {
		Name, Path, Domain string
		Secure             *bool
		HTTPOnly           *bool `json:"http_only"`
		Partitioned        bool
		SameSite           word[tokenpin.SameSite] `json:"same_site"`
		MaxAge             *uint32                 `json:"max_age"`
		Skew               *uint32
		MaxLife            *uint32 `json:"max_life"`
		MaxIdle            *uint32 `json:"max_idle"`
	}
	CarrierHeader    string                      `json:"carrier_header"`
	Cooldowns        *[]struct{}                 // only [], for the middleware has none
	CacheControl     bool                        `json:"cache_control"` // it always sets it
	SealedIDs        word[tokenpin.Mode]         `json:"sealed_ids"`
	IDKeys           []ringKey                   `json:"id_keys"`
	IDOwner          word[tokenpin.IDOwner]      `json:"id_owner"`
	ForeignSeals     word[tokenpin.ForeignSeals] `json:"foreign_seals"`
	EncryptedContent *bool                       `json:"encrypted_content"`
	IDFields         []struct {
		Name string
		Kind word[tokenpin.KeyKind]
	} `json:"id_fields"`
	IDPrefixes     []string `json:"id_prefixes"`
	IDCollections  []string `json:"id_collections"`
	MaxBody        int64    `json:"max_body"`
	MaxHeldBodies  int64    `json:"max_held_bodies"`
	Bodies         *bool
	RefuseUpgrades bool `json:"refuse_upgrades"`
}

func main() {
	if len(os.Args) != 4 {
		log.Fatal("the configuration, where to listen, and where the provider is")
	}
	file, err := os.Open(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	handler, err := newGateway(file, os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal((&http.Server{Addr: os.Args[2], Handler: handler}).ListenAndServe())
}

func newGateway(text io.Reader, provider string) (http.Handler, error) {
	upstream, err := url.Parse(provider)
	if err != nil {
		return nil, err
	}
	var given words
	decoder := json.NewDecoder(text)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&given); err != nil {
		return nil, err
	}
	config, credentials, err := given.read()
	if err != nil {
		return nil, err
	}
	affinity, err := tokenpin.New(config)
	if err != nil {
		return nil, err
	}
	if len(given.Session) > 1 || given.Cooldowns != nil && len(*given.Cooldowns) != 0 {
		return nil, errors.New("the middleware reads one header for a session, and has no cooldowns")
	}
	pin := &tokenpinhttp.Pin{
		Affinity: affinity, ConsumerHeader: given.Consumer.Header, CarrierHeader: given.CarrierHeader,
		MaxBody: given.MaxBody, MaxHeldBodies: given.MaxHeldBodies, PassBodies: given.Bodies != nil && !*given.Bodies,
		RefuseUpgrades: given.RefuseUpgrades,
	}
	for _, source := range given.Session {
		pin.SessionHeader = source.Header
	}
	return pin.Handler(&httputil.ReverseProxy{Rewrite: tokenpinhttp.Rewrite(upstream, credentials)}), nil
}

func (w *words) read() (*tokenpin.Config, tokenpinhttp.Credentials, error) {
	config, none := tokenpin.DefaultConfig(), tokenpinhttp.Credentials{}
	if err := w.PlacementKey.read(&config.PlacementKey); err != nil {
		return nil, none, err
	}
	var err error
	if config.CookieKeys, err = ring(w.CookieKeys); err != nil {
		return nil, none, err
	}
	if config.IDs.Keys, err = ring(w.IDKeys); err != nil {
		return nil, none, err
	}
	credentials, err := w.slots(&config)
	if err != nil {
		return nil, none, err
	}
	config.Scope, config.CookieName = w.Scope, w.Cookie.Name
	config.Strategy = w.Strategy.or(config.Strategy)
	config.PolicyExisting, config.PolicyNew = w.PolicyExisting.or(config.PolicyExisting), w.PolicyNew.or(config.PolicyNew)
	config.CombineKeys, config.RejectBadKeys, config.KeyedCookies = w.CombineKeys, w.RejectBadKeys, w.KeyedCookies
	config.MintSingle, config.PromptCache, config.ReplaceRules = w.MintSingle, w.PromptCache, w.ReplaceRules
	if len(w.Success) == 2 {
		config.SuccessFirst, config.SuccessLast = w.Success[0], w.Success[1]
	}
	for _, rule := range w.Rules {
		ids := tokenpin.IDsNone
		if rule.Group.value == tokenpin.GroupStateful {
			ids = tokenpin.IDsBoth
		}
		config.Rules = append(config.Rules, tokenpin.Rule{
			Pattern: rule.Pattern, Group: rule.Group.value, IDs: rule.IDs.or(ids),
		})
	}
	cookie, attributes := &w.Cookie, &config.Attributes
	attributes.Path, attributes.Domain, attributes.Partitioned = cookie.Path, cookie.Domain, cookie.Partitioned
	attributes.SameSite = cookie.SameSite.or(attributes.SameSite)
	set(&attributes.Secure, cookie.Secure)
	set(&attributes.HTTPOnly, cookie.HTTPOnly)
	set(&config.MaxAge, cookie.MaxAge)
	set(&config.Skew, cookie.Skew)
	set(&config.MaxLife, cookie.MaxLife)
	set(&config.MaxIdle, cookie.MaxIdle)
	config.IDs.Mode, config.IDs.Owner = w.SealedIDs.or(config.IDs.Mode), w.IDOwner.or(config.IDs.Owner)
	config.IDs.ForeignSeals = w.ForeignSeals.or(config.IDs.ForeignSeals)
	set(&config.IDs.Encrypted, w.EncryptedContent)
	config.IDs.Fields.Prefixes, config.IDs.Fields.Collections = w.IDPrefixes, w.IDCollections
	for _, field := range w.IDFields {
		config.IDs.Fields.Keys = append(config.IDs.Fields.Keys, tokenpin.IDKey{Name: field.Name, Kind: field.Kind.value})
	}
	return &config, credentials, nil
}

// slots reads the tokens, each into its slot.
func (w *words) slots(config *tokenpin.Config) (tokenpinhttp.Credentials, error) {
	capacity := max(w.Capacity, len(w.Tokens))
	if w.Capacity == 0 {
		for _, token := range w.Tokens {
			if token.Slot != nil {
				capacity = max(capacity, *token.Slot+1)
			}
		}
	}
	vacant := tokenpin.SlotConfig{Status: tokenpin.SlotStatus{State: tokenpin.StateVacant}}
	for range capacity {
		config.Slots = append(config.Slots, vacant)
	}
	headers := make([]http.Header, capacity)
	for place, token := range w.Tokens {
		set(&place, token.Slot)
		if place < 0 || place >= capacity {
			return tokenpinhttp.Credentials{}, fmt.Errorf("%s: its slot is not below the capacity", token.Name)
		}
		status := tokenpin.Up
		status.State, status.Until = token.State.or(tokenpin.StateUp), token.Until
		set(&status.Weight, token.Weight)
		config.Slots[place] = tokenpin.SlotConfig{Identity: token.Name, Status: status}
		headers[place] = http.Header{}
		for _, header := range token.Headers {
			name := http.CanonicalHeaderKey(header.Name)
			if header.Remove {
				headers[place][name] = nil
				continue
			}
			secret := header.Value
			if header.Env != "" {
				secret = os.Getenv(header.Env)
			}
			headers[place].Set(name, header.Prefix+secret)
		}
	}
	return tokenpinhttp.NewCredentials(headers...), nil
}

func ring(keys []ringKey) ([]tokenpin.CookieKey, error) {
	var made []tokenpin.CookieKey
	for _, key := range keys {
		made = append(made, tokenpin.CookieKey{ID: key.ID, Role: key.Role.value})
		if err := key.Key.read(&made[len(made)-1].Secret); err != nil {
			return nil, err
		}
	}
	return made, nil
}

// read reads 32 hexadecimal digits from the environment. What is wrong with them is not repeated.
func (e env) read(into *tokenpin.Secret) error {
	raw, err := hex.DecodeString(os.Getenv(e.Env))
	if err != nil || len(raw) != len(into) {
		return fmt.Errorf("%s is not %d hexadecimal digits", e.Env, 2*len(into))
	}
	copy(into[:], raw)
	return nil
}

// set takes a value that was not left out.
func set[T any](into, value *T) {
	if value != nil {
		*into = *value
	}
}
